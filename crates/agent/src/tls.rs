//! TLS at both ends: what a controller shows, and how an agent checks it. TLS 1.3 only: both ends are Vamp.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// gRPC is HTTP/2.
const PROTOCOL: &[u8] = b"h2";

/// Why a certificate, a key or a file of authorities is of no use. Never shows a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or none of what is needed in it.
    #[error("{what}: {reason}")]
    Pem {
        /// What was read.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not belong together, or the kind of key is not supported.
    #[error("the certificate and its key do not go together: {0}")]
    Pair(String),
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
}

/// The certificate of a controller. Clones are handles to the same one; it may be replaced while connections are open.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    current: Arc<RwLock<Arc<CertifiedKey>>>,
}

impl ServerCertificate {
    /// From PEM: the certificate, followed by those between it and the authority, and its private key.
    ///
    /// # Errors
    /// They cannot be read or do not go together.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, TlsError> {
        Ok(Self { current: Arc::new(RwLock::new(pair(chain, key)?)) })
    }

    /// Shows another one to connections from now on.
    ///
    /// # Errors
    /// It cannot be read: the one so far stays.
    pub fn replace(&self, chain: &str, key: &str) -> Result<(), TlsError> {
        let pair = pair(chain, key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(())
    }

    pub(crate) fn config(&self) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| TlsError::Pair(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// How an agent checks controllers: against the authorities in a file.
///
/// # Errors
/// The file is not there or holds no certificate.
pub(crate) fn client(authorities: &Path) -> Result<ClientConfig, TlsError> {
    let text = std::fs::read(authorities).map_err(|error| TlsError::Read(authorities.to_owned(), error))?;
    let what = authorities.display().to_string();
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&text, &what)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Pem { what: what.clone(), reason: error.to_string() })?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| TlsError::Pair(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn pair(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(chain.as_bytes(), "the controller's certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| TlsError::Pem { what: "the controller's key".into(), reason: error.to_string() })?;
    let pair =
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| TlsError::Pair(error.to_string()))?;
    Ok(Arc::new(pair))
}

pub(crate) fn certificates(text: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::Pem { what: what.to_owned(), reason };
    let certificates = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() { Err(wrong("it holds no certificate".into())) } else { Ok(certificates) }
}
