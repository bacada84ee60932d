//! TLS for tests: an authority of their own, certificates of it in files, clients and targets.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::wire::Wire;

/// An authority that clients of a test trust.
#[derive(Debug)]
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these names, or addresses.
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_until(names, 2090)
    }

    /// One that ended long ago.
    pub fn issue_expired(&self, names: &[&str]) -> Pair {
        self.issue_until(names, 2020)
    }

    fn issue_until(&self, names: &[&str], year: i32) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2015, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts it.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// A connection to an address, asking for a name.
    ///
    /// # Errors
    /// No connection, no session, or no trust.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> io::Result<Wire> {
        connect_with(&self.client(rustls::ALL_VERSIONS, &["http/1.1"]), address, name).await
    }
}

/// A connection to an address, asking for a name.
///
/// # Errors
/// No connection, no session, or no trust.
pub async fn connect_with(client: &TlsConnector, address: SocketAddr, name: &str) -> io::Result<Wire> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    Ok(Wire::tls(client.connect(name, stream).await?))
}

impl Pair {
    /// Writes `NAME.crt` and `NAME.key` into a directory; over what is there, at once.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, directory: &Path, name: &str) -> io::Result<()> {
        for (ending, text) in [("key", &self.key), ("crt", &self.certificate)] {
            let new = directory.join(format!("{name}.{ending}.new"));
            std::fs::write(&new, text)?;
            std::fs::rename(new, directory.join(format!("{name}.{ending}")))?;
        }
        Ok(())
    }

    /// A server that shows it.
    pub fn server(&self) -> TlsAcceptor {
        let chain = vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A target with TLS in front of `inner`: connections are handed on as they are.
///
/// # Errors
/// No socket is to be had.
pub async fn before(inner: SocketAddr, server: TlsAcceptor) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let mut outer = server.accept(stream).await?;
                let mut inner = TcpStream::connect(inner).await?;
                tokio::io::copy_bidirectional(&mut outer, &mut inner).await
            });
        }
    });
    Ok(address)
}
