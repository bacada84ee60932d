//! A fake target that says who it is and counts what it gets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;

/// A target on a port of its own, gone with the value.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Target {
    pub(crate) async fn start(name: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::new(AtomicU64::new(0));
        let router = Router::new().fallback(answer).with_state((name.to_owned(), Arc::clone(&requests)));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a listener that stays");
        });
        Self { name: name.to_owned(), address, requests, task }
    }

    /// Requests that arrived so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Acquire)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State((name, requests)): State<(String, Arc<AtomicU64>)>) -> impl IntoResponse {
    requests.fetch_add(1, Ordering::AcqRel);
    ([("x-target", name.clone())], name)
}
