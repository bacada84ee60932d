//! TLS to targets: whom to trust, and the handshake.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use model::gateway::AuthoritySource;
use rustls::client::UnbufferedClientConnection;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Tls;
use super::session::{Session, Side};
use crate::buffers::Buffers;
use crate::stream::Stream;
use crate::timer::Watch;

/// Which certificates of targets are good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// Those of the authorities that the system trusts.
    System,
    /// Those of the authorities in a file, or in an object of the cluster.
    Authorities(AuthoritySource),
    /// Any. For what this very process serves, and for whoever asked for it in so many words.
    Anything,
}

/// How targets are spoken to that share a trust and a name. Connections read it; only the keeper changes it.
#[derive(Debug)]
pub(crate) struct Connector {
    /// Unlike that of any other connector: connections kept for reuse must not outlive the trust that they were made with.
    pub(crate) id: u64,
    /// What the certificate must be for.
    name: String,
    config: ArcSwapOption<ClientConfig>,
}

impl Connector {
    pub(super) fn new(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { id: NEXT.fetch_add(1, Relaxed), name: name.to_owned(), config: ArcSwapOption::empty() }
    }

    pub(super) fn set(&self, config: Arc<ClientConfig>) {
        self.config.store(Some(config));
    }
}

/// How to check targets against these authorities.
///
/// # Errors
/// What is wrong with them.
pub(super) fn trusting_pem(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<ClientConfig>, String> {
    trusting(pki::in_pem(pem)?, provider)
}

/// How to check targets against the authorities of the system.
///
/// # Errors
/// The system has none.
pub(super) fn trusting_system(provider: &Arc<CryptoProvider>) -> Result<Arc<ClientConfig>, String> {
    let roots = pki::of_system().map_err(|error| {
        format!("{error}, say whom to trust with `ca_file`, `ca_secret` or `ca_config_map`")
    })?;
    trusting(roots, provider)
}

fn trusting(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<ClientConfig>, String> {
    let config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// How to speak to targets whoever they are.
///
/// # Errors
/// The library of cryptography is not fit for it.
pub(super) fn trusting_anything(provider: &Arc<CryptoProvider>) -> Result<Arc<ClientConfig>, String> {
    let verifier = Anything(provider.signature_verification_algorithms);
    let config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Takes every certificate, as long as its owner has the key.
#[derive(Debug)]
struct Anything(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// A target could not be spoken to with TLS; the connection itself worked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TlsFailed(String);

impl TlsFailed {
    fn error(reason: impl ToString) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Self(reason.to_string()))
    }

    /// Whether this is why a connection could not be made.
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl Stream {
    /// Makes a TLS connection of a plain one to a target, and checks that it is who it should be and speaks that protocol
    /// (ALPN). The caller bounds the time.
    ///
    /// # Errors
    /// [`TlsFailed`].
    pub(crate) async fn connect_tls(
        &self,
        watch: &Watch,
        buffers: &Rc<Buffers>,
        connector: &Connector,
        protocol: &[u8],
    ) -> io::Result<()> {
        let config = connector.config.load_full();
        let config = config.ok_or_else(|| TlsFailed::error("nothing is trusted yet"))?;
        let name = ServerName::try_from(connector.name.clone()).map_err(TlsFailed::error)?;
        let connection = UnbufferedClientConnection::new_with_alpn(config, name, vec![protocol.to_vec()])
            .map_err(TlsFailed::error)?;
        let mut session = Session::new(Side::Client(connection));
        session.start().map_err(TlsFailed::error)?;
        let tls = self.tls.get_or_init(|| Box::new(Tls::new(session, buffers, None)));
        tls.flush_now(&self.socket);
        self.establish(watch).await.map_err(TlsFailed::error)?;
        // Whoever says nothing speaks HTTP/1.1 (RFC 7301 leaves it to the protocol; RFC 9113, 3.2 asks for it).
        if protocol == b"h2" && !tls.speaks(protocol) {
            return Err(TlsFailed::error("the target does not speak HTTP/2"));
        }
        Ok(())
    }
}
