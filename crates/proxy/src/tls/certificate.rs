//! Certificates as clients see them: read from PEM, and chosen by name.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use model::gateway::{Tls, TlsVersion};
use model::port::Protocol;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

/// A certificate and its key, as they are in files and Secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertificatePem {
    /// The certificate, followed by those between it and the authority, PEM.
    pub certificate: Vec<u8>,
    /// The private key, PEM. Secret.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for CertificatePem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificatePem").finish_non_exhaustive()
    }
}

/// A certificate ready to be shown.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    key: Arc<CertifiedKey>,
    /// The names that it is for.
    pub(super) names: Vec<String>,
    /// When it ends.
    pub(super) not_after: Timestamp,
}

impl Certificate {
    /// # Errors
    /// What is wrong with it, in words that show nothing of the key.
    pub(super) fn from_pem(pem: &CertificatePem, provider: &CryptoProvider) -> Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(&pem.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        let own = chain.first().ok_or("there is no certificate in it")?;
        let facts = x509::facts(own).ok_or("the certificate is none of X.509")?;
        let key = PrivateKeyDer::from_pem_slice(&pem.key)
            .map_err(|error| format!("the key cannot be read: {error}"))?;
        let key = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| format!("certificate and key do not go together: {error}"))?;
        Ok(Self { key: Arc::new(key), names: facts.names, not_after: facts.not_after })
    }
}

/// What all configurations share, so that a session can be resumed at any worker, and after a change of the certificates.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<ServerSessionMemoryCache>,
}

/// Sessions of clients of TLS 1.2 that know no tickets.
const SESSIONS: usize = 1024;

impl Common {
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        Ok(Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            tickets: aws_lc_rs::Ticketer::new()?,
            sessions: ServerSessionMemoryCache::new(SESSIONS),
        })
    }

    /// How a gateway speaks TLS with these certificates; `None` without any.
    pub(super) fn configure(
        &self,
        tls: &Tls,
        protocol: Protocol,
        certificates: &[Certificate],
    ) -> Result<Option<Arc<ServerConfig>>, rustls::Error> {
        if certificates.is_empty() {
            return Ok(None);
        }
        let versions = match tls.minimum_version {
            TlsVersion::V12 => &[&TLS13, &TLS12][..],
            TlsVersion::V13 => &[&TLS13][..],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Chooser::new(certificates)));
        config.ticketer = Arc::clone(&self.tickets);
        config.session_storage = Arc::clone(&self.sessions) as _;
        // A stream of bytes may be of any protocol; what a client of one offers is for the target to say, which is not asked.
        if protocol == Protocol::Http {
            config.alpn_protocols = HTTP_PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        }
        Ok(Some(Arc::new(config)))
    }
}

/// What http gateways speak, best first (ALPN).
const HTTP_PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Finds the certificate for a name: one that names it, else one with a wildcard for it, else the first. Of several that fit, the
/// first whose kind of key the client can check.
#[derive(Debug)]
struct Chooser {
    names: HashMap<String, Vec<Arc<CertifiedKey>>>,
    all: Vec<Arc<CertifiedKey>>,
}

impl Chooser {
    fn new(certificates: &[Certificate]) -> Self {
        let mut names: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        for certificate in certificates {
            for name in &certificate.names {
                names.entry(name.clone()).or_default().push(Arc::clone(&certificate.key));
            }
        }
        Self { names, all: certificates.iter().map(|certificate| Arc::clone(&certificate.key)).collect() }
    }

    fn candidates(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let wildcard = || Some(format!("*.{}", name.split_once('.')?.1));
        self.names
            .get(name)
            .or_else(|| self.names.get(&wildcard()?))
            .map_or(&self.all, |found| found.as_slice())
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let candidates = self.candidates(&name);
        candidates.iter().find(fits).or_else(|| self.all.iter().find(fits)).or(candidates.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(names: &[&str]) -> CertificatePem {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        CertificatePem {
            certificate: made.cert.pem().into_bytes(),
            key: made.signing_key.serialize_pem().into_bytes(),
        }
    }

    #[test]
    fn names_choose() {
        let provider = aws_lc_rs::default_provider();
        let sets: [&[&str]; 4] = [&["first.example"], &["*.b.example"], &["x.b.example", "c.example"], &[]];
        let all: Vec<Certificate> =
            sets.iter().map(|names| Certificate::from_pem(&pem(names), &provider).unwrap()).collect();
        let chooser = Chooser::new(&all);
        for (name, expected) in [
            ("first.example", 0),
            ("a.b.example", 1),
            ("x.b.example", 2),
            ("c.example", 2),
            ("a.a.b.example", 0),
            ("b.example", 0),
            ("", 0),
            ("other", 0),
        ] {
            assert!(Arc::ptr_eq(&chooser.candidates(name)[0], &all[expected].key), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_used() {
        let provider = aws_lc_rs::default_provider();
        let (good, other) = (pem(&["a"]), pem(&["a"]));
        let with = |certificate: &[u8], key: &[u8]| {
            let pem = CertificatePem { certificate: certificate.to_vec(), key: key.to_vec() };
            Certificate::from_pem(&pem, &provider).unwrap_err()
        };
        for (error, part) in [
            (with(b"", &good.key), "no certificate in it"),
            (with(&good.key, &good.key), "no certificate in it"),
            (
                with(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &good.key),
                "none of X.509",
            ),
            (with(&good.certificate, b"x"), "the key cannot be read"),
            (with(&good.certificate, &other.key), "do not go together"),
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!format!("{good:?}").contains("BEGIN"));
    }
}
