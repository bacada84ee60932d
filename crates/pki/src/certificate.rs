//! Certificates to show, read from PEM.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

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
pub struct Certificate {
    /// What is shown, and what proves that it is one's own.
    pub key: Arc<CertifiedKey>,
    /// The names that it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: Timestamp,
}

impl Certificate {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, in words that show nothing of the key.
    pub fn from_pem(pem: &CertificatePem, provider: &CryptoProvider) -> Result<Self, String> {
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
    fn what_cannot_be_used() {
        let provider = crate::provider();
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
