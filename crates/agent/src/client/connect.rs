//! The way to a controller: address, TCP, TLS, HTTP/2, one after the other and each with a deadline.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};

use crate::SERVER_NAME;
use crate::tls::{self, TlsError};

/// For each step.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that may be under way to an agent: a few parts of a table, so that a large one does not wait for the round trips.
const WINDOW: u32 = 1 << 20;
/// Port of a controller for agents.
const PORT: u16 = 8092;

/// Where a controller is: `host:8092`, also written `https://host:8092`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    host: String,
    port: u16,
}

/// Why a text does not say where a controller is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' does not say where a controller is, write for example vamp-controller:8092")]
pub struct ControllerError(String);

impl FromStr for Controller {
    type Err = ControllerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ControllerError(text.to_owned());
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
                (
                    host,
                    port.strip_prefix(':')
                        .or(if port.is_empty() { Some("") } else { None })
                        .ok_or_else(wrong)?,
                )
            }
            None => rest.split_once(':').unwrap_or((rest, "")),
        };
        let port = if port.is_empty() { PORT } else { port.parse().map_err(|_| wrong())? };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_' | '%');
        if host.is_empty() || host.len() > 253 || !host.chars().all(fits) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Why a controller is not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("its host name has no address: {0}")]
    Address(String),
    #[error("no connection to {0}: {1}")]
    Tcp(SocketAddr, String),
    #[error("{0}: {1}")]
    Authorities(PathBuf, #[source] TlsError),
    #[error("it is not the controller, or not trusted with this --ca-file: {0}")]
    Tls(io::Error),
    #[error("it does not speak HTTP/2: {0}")]
    Http(String),
}

/// All addresses of a controller.
pub(crate) async fn addresses(controller: &Controller) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = timeout(PATIENCE, lookup_host((controller.host.as_str(), controller.port))).await;
    let found = found.map_err(|_| ConnectError::Address("the name server does not answer".into()))?;
    let found: Vec<_> = found.map_err(|error| ConnectError::Address(error.to_string()))?.collect();
    if found.is_empty() { Err(ConnectError::Address("there is none".into())) } else { Ok(found) }
}

/// Connects, and makes sure that it is a controller. The file with the authorities is read each time: it may come later or change.
pub(crate) async fn connect(
    address: SocketAddr,
    authorities: &std::path::Path,
) -> Result<Channel, ConnectError> {
    let config =
        tls::client(authorities).map_err(|error| ConnectError::Authorities(authorities.to_owned(), error))?;
    let late = || ConnectError::Tcp(address, "no answer in time".into());
    let stream = timeout(PATIENCE, TcpStream::connect(address)).await.map_err(|_| late())?;
    let stream = stream.map_err(|error| ConnectError::Tcp(address, error.to_string()))?;
    let _ = stream.set_nodelay(true);
    let name =
        ServerName::try_from(SERVER_NAME).map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = timeout(PATIENCE, handshake).await.map_err(|_| late())?.map_err(ConnectError::Tls)?;
    // The connection stands already; the library gets it when it asks for one, once.
    let mut ready = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = ready.take().ok_or_else(|| io::Error::other("the connection has ended"));
        std::future::ready(stream)
    });
    let endpoint = Endpoint::from_static("http://vamp-controller")
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    let channel = timeout(PATIENCE, endpoint.connect_with_connector(connector)).await.map_err(|_| late())?;
    channel.map_err(|error| ConnectError::Http(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_controller_is() {
        for (text, expected) in [
            ("https://vamp-controller:8092", Some(("vamp-controller", 8092))),
            ("https://vamp-controller.vamp.svc/", Some(("vamp-controller.vamp.svc", 8092))),
            ("https://10.0.0.1:1", Some(("10.0.0.1", 1))),
            ("https://[::1]:2", Some(("::1", 2))),
            ("https://[::1]", Some(("::1", 8092))),
            ("http://vamp-controller:8092", None),
            ("vamp-controller:8092", Some(("vamp-controller", 8092))),
            ("vamp-controller", Some(("vamp-controller", 8092))),
            ("[::1]:2", Some(("::1", 2))),
            ("", None),
            ("https://", None),
            ("https://a:b", None),
            ("https://a/b", None),
            ("https://[::1]x", None),
        ] {
            let parsed = text.parse::<Controller>().ok();
            let expected = expected.map(|(host, port)| Controller { host: host.into(), port });
            assert_eq!(parsed, expected, "{text}");
            if let Some(controller) = parsed {
                assert_eq!(controller.to_string().parse(), Ok(controller));
            }
        }
    }
}
