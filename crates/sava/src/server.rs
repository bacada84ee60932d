//! Serving until told to stop, gently.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Requests that still run this long after the signal are cut off.
const DRAIN: Duration = Duration::from_secs(10);

/// A service could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be used.
    #[error("cannot listen on {address}: {source}; choose another one with --listen or SAVA_BIND")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The service ended unexpectedly.
    #[error("the service ended: {0}")]
    Serve(io::Error),
    /// The operating system refuses signal handlers.
    #[error("cannot wait for signals: {0}")]
    Signal(io::Error),
}

/// A service that runs in the background. Dropping it cuts it off.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Begins to listen and serve.
    pub(crate) async fn start(address: SocketAddr, router: Router) -> Result<Self, ServeError> {
        let bound = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bound)?;
        let address = listener.local_addr().map_err(bound)?;
        let (stop, stopped) = oneshot::channel();
        let serve = axum::serve(listener, router).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        Ok(Self { address, stop: Some(stop), task: tokio::spawn(serve.into_future()) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, and waits for the requests in flight.
    ///
    /// # Errors
    /// The service had ended before.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        drop(self.stop.take());
        match tokio::time::timeout(DRAIN, &mut self.task).await {
            Ok(Ok(ended)) => ended.map_err(ServeError::Serve),
            Ok(Err(error)) => Err(ServeError::Serve(io::Error::other(error))),
            Err(_) => Ok(()),
        }
    }

    /// Serves until SIGTERM or SIGINT.
    pub(crate) async fn until_signal(mut self) -> Result<(), ServeError> {
        let signal = signal().map_err(ServeError::Signal)?;
        tokio::select! {
            () = signal => self.stop().await,
            ended = &mut self.task => match ended {
                Ok(ended) => ended.map_err(ServeError::Serve),
                Err(error) => Err(ServeError::Serve(io::Error::other(error))),
            },
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(unix)]
fn signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
