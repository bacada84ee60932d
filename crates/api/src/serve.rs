//! Serves the API on a listener, with TLS or without: slow heads time out, the number of connections is bounded, and on the way out
//! requests under way are finished.
//!
//! ```text
//! accept --> TLS expected? --no---------------------------------> HTTP/1.1
//!                |yes: first byte of a handshake? --> handshake --> HTTP/1.1 or HTTP/2 (ALPN)
//!                |            `-- of something else: from this machine --> HTTP/1.1
//!                |                                   else              --> 400
//! ```

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse as _;
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderValue, StatusCode};
use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Connections at once. More wait in the backlog of the listener.
const CONNECTIONS: usize = 4096;

/// Longest time for the head of a request to arrive, counted from the end of the one before: idle connections are closed too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What is spoken behind TLS, best first (ALPN).
pub const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// The first byte of every TLS handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Requests at once on a connection of HTTP/2, and the bytes that the fields of one may have.
const STREAMS: u32 = 100;
const FIELDS: u32 = 64 * 1024;

/// After so long without a word, a peer of HTTP/2 is asked whether it is still there; and it has as long again to answer.
const PING: Duration = Duration::from_secs(30);

/// Pause after the system refused a connection (no file descriptors left), so that the loop does not spin.
const REFUSED: Duration = Duration::from_millis(50);

/// How long the first request of a connection is waited for on the way out: whoever has just connected is about to ask.
const FIRST_REQUEST: Duration = Duration::from_millis(300);

/// The request came over TLS. In the extensions of those that did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encrypted;

/// Serves `router` until `closing` is cancelled, then lets requests under way end for at most `drain`. True when all of them did. With
/// `tls`, clients from other machines have to speak TLS; whoever is on this one may do without.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    closing: CancellationToken,
    drain: Duration,
) -> bool {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let accepted = tokio::select! {
            () = closing.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let caller = Caller { peer, router: router.clone(), closing: closing.clone() };
                let connection = caller.converse(stream, acceptor.clone());
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%peer, %error, "a connection to the API ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the API cannot be accepted");
                tokio::time::sleep(REFUSED).await;
            }
        }
    }
    drop(listener);
    connections.close();
    tokio::time::timeout(drain, connections.wait()).await.is_ok()
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// One connection.
struct Caller {
    peer: SocketAddr,
    router: Router,
    closing: CancellationToken,
}

/// What is spoken on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Plain,
    Encrypted { http2: bool },
}

/// How a connection began.
enum Opened {
    Nothing,
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Caller {
    async fn converse(mut self, stream: TcpStream, acceptor: Option<TlsAcceptor>) -> io::Result<()> {
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = acceptor else { return self.talk(TokioIo::new(stream), Wire::Plain).await };
        let opened = self.open(stream, &acceptor);
        let late = async {
            self.closing.cancelled().await;
            tokio::time::sleep(FIRST_REQUEST).await;
        };
        let opened = tokio::select! {
            opened = tokio::time::timeout(HANDSHAKE, opened) => opened.map_err(io::Error::other)??,
            () = late => return Ok(()),
        };
        match opened {
            Opened::Nothing => Ok(()),
            Opened::Encrypted(stream) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(PROTOCOLS[0]);
                self.talk(TokioIo::new(*stream), Wire::Encrypted { http2 }).await
            }
            Opened::Plain(stream) => {
                if !self.peer.ip().to_canonical().is_loopback() {
                    self.router = Router::new().fallback(async || speak_tls());
                }
                self.talk(TokioIo::new(stream), Wire::Plain).await
            }
        }
    }

    /// How a connection begins on which TLS is expected.
    async fn open(&self, stream: TcpStream, acceptor: &TlsAcceptor) -> io::Result<Opened> {
        let mut first = [0];
        match stream.peek(&mut first).await? {
            0 => Ok(Opened::Nothing),
            _ if first[0] == TLS_HANDSHAKE => Ok(Opened::Encrypted(Box::new(acceptor.accept(stream).await?))),
            _ => Ok(Opened::Plain(stream)),
        }
    }

    async fn talk<I>(self, io: I, wire: Wire) -> io::Result<()>
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let Self { peer, router, closing } = self;
        let asked = Arc::new(AtomicBool::new(false));
        let asking = Arc::clone(&asked);
        let service = service_fn(move |mut request: Request<Incoming>| {
            asking.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(ConnectInfo(peer));
            if wire != Wire::Plain {
                request.extensions_mut().insert(Encrypted);
            }
            // HTTP/2 says it in the address of the request.
            if !request.headers().contains_key(HOST)
                && let Some(authority) = request.uri().authority()
                && let Ok(host) = HeaderValue::from_str(authority.as_str())
            {
                request.headers_mut().insert(HOST, host);
            }
            router.clone().oneshot(request.map(Body::new))
        });
        let ended = if wire == (Wire::Encrypted { http2: true }) {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING)
                .keep_alive_timeout(PING)
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(FIELDS)
                .serve_connection(io, service);
            until(&closing, &asked, pin!(connection), |connection| connection.graceful_shutdown()).await
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(io, service)
                .with_upgrades();
            until(&closing, &asked, pin!(connection), |connection| connection.graceful_shutdown()).await
        };
        ended.map_err(io::Error::other)
    }
}

/// Until the connection ends, which on the way out is after the requests under way.
async fn until<C>(
    closing: &CancellationToken,
    asked: &AtomicBool,
    mut connection: Pin<&mut C>,
    shut_down: impl FnOnce(Pin<&mut C>),
) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = closing.cancelled() => {}
    }
    if !asked.load(Ordering::Relaxed)
        && let Ok(ended) = tokio::time::timeout(FIRST_REQUEST, connection.as_mut()).await
    {
        return ended;
    }
    shut_down(connection.as_mut());
    connection.await
}

/// For a client from another machine that does without.
fn speak_tls() -> axum::response::Response {
    let message = r#"{"message":"This API expects TLS: write https:// in the address."}"#;
    let mut response = (StatusCode::BAD_REQUEST, message).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
