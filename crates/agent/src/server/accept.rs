//! Connections of agents: TCP, then TLS, each within a deadline and a limit.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections at once, those that shake hands included.
const MOST_CONNECTIONS: usize = 4_096;
/// Connections that wait to be taken.
const QUEUE: usize = 64;
/// After an error that has to do with this machine, for example no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection after its handshake.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    from: From,
    _counted: OwnedSemaphorePermit,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct From(#[allow(dead_code, reason = "for the log")] pub(super) SocketAddr);

/// Connections until `closing`.
pub(super) fn incoming(
    listener: TcpListener,
    config: ServerConfig,
    closing: CancellationToken,
) -> ReceiverStream<Result<Connection, io::Error>> {
    let (ready, connections) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        tokio::select! {
            () = closing.cancelled() => {}
            () = accept(listener, TlsAcceptor::from(Arc::new(config)), ready) => {}
        }
    });
    ReceiverStream::new(connections)
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, ready: mpsc::Sender<Result<Connection, io::Error>>) {
    let limit = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(counted) = Arc::clone(&limit).acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "an agent's connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Beats and acknowledgements are small, and each is waited for.
        let _ = stream.set_nodelay(true);
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            match timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let connection = Connection { stream, from: From(address), _counted: counted };
                    // Nobody takes it when the server ends.
                    let _ = ready.send(Ok(connection)).await;
                }
                Ok(Err(error)) => debug!(%address, %error, "no TLS handshake with an agent"),
                Err(_) => debug!(%address, "no TLS handshake with an agent in time"),
            }
        });
    }
}

impl Connected for Connection {
    type ConnectInfo = From;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.from
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
