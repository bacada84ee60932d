//! Fake targets: real sockets on loopback that answer as a test wants.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::wire::{Message, Wire};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// What a target saw.
#[derive(Debug, Default)]
pub struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Message>>,
}

/// What a target does with a connection.
pub type Serve = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl Target {
    /// A server that runs `serve` for each connection; the number counts connections from 0.
    pub async fn start(
        serve: impl Fn(Wire, usize, Arc<Seen>) -> Serve + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_on("127.0.0.1:0", serve).await
    }

    /// The same on a given address.
    pub async fn start_on(
        address: &str,
        serve: impl Fn(Wire, usize, Arc<Seen>) -> Serve + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // Connections end with their target.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = shared.connections.fetch_add(1, SeqCst);
                connections.spawn(serve(Wire::new(stream), number, Arc::clone(&shared)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, seen, task })
    }

    /// An HTTP/1.1 server that answers each request with 200 and `name` as body, or the request body after it.
    pub async fn named(name: &str) -> io::Result<Self> {
        let name = name.to_owned();
        Self::start(move |wire, _, seen| Box::pin(answer_all(wire, seen, name.clone()))).await
    }

    /// A server that reads one request for each connection, sends these bytes and closes.
    pub async fn scripted(response: impl Into<Vec<u8>>) -> io::Result<Self> {
        let response = response.into();
        Self::start(move |mut wire, _, seen| {
            let response = response.clone();
            Box::pin(async move {
                if let Some(request) = wire.read_request().await? {
                    seen.record(request);
                    wire.send(&response).await?;
                    wire.close_write().await?;
                    wire.read_to_end().await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// Requests recorded so far.
    pub fn requests(&self) -> Vec<Message> {
        self.seen.lock().clone()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.seen.lock().len()
    }

    /// The last request.
    pub fn last(&self) -> Option<Message> {
        self.seen.lock().last().cloned()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    /// Notes a request.
    pub fn record(&self, request: Message) {
        self.lock().push(request);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Message>> {
        self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Answers requests on a connection with `name`, followed by their body, until the client closes.
pub async fn answer_all(mut wire: Wire, seen: Arc<Seen>, name: String) -> io::Result<()> {
    while let Some(request) = wire.read_request().await? {
        let mut body = name.clone().into_bytes();
        body.extend_from_slice(&request.body);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let has_body = !request.start.starts_with("HEAD ");
        seen.record(request);
        wire.send(head.as_bytes()).await?;
        if has_body {
            wire.send(&body).await?;
        }
    }
    Ok(())
}

/// An address of loopback on which nobody listens, for the moment.
pub async fn refused() -> io::Result<SocketAddr> {
    // Everybody else is on 127.0.0.1, so that nobody gets this port in the meantime.
    TcpListener::bind("127.0.84.1:0").await?.local_addr()
}

/// A connection to an address.
pub async fn connect(address: SocketAddr) -> io::Result<Wire> {
    Ok(Wire::new(TcpStream::connect(address).await?))
}
