//! Certificates as clients see them: chosen by name.

use std::collections::HashMap;
use std::sync::Arc;

use model::gateway::{Tls, TlsVersion};
use model::port::Protocol;
use pki::Certificate;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

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
            provider: pki::provider(),
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
    use pki::CertificatePem;

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
        let provider = pki::provider();
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
}
