//! What is recorded of a request that belongs to a sampled trace, for an exporter: handed over through a bounded queue that never makes
//! a request wait. What does not fit is counted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

/// The part of this proxy in one request of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Id of the trace.
    pub trace: u128,
    /// Its own id: what the target sees as its parent.
    pub id: u64,
    /// Id of its parent; `None` when the trace began here.
    pub parent: Option<u64>,
    /// The first byte of the request.
    pub start: SystemTime,
    /// To the last byte of the response.
    pub total: Duration,
    /// Waiting for room at a target.
    pub waited: Option<Duration>,
    /// Connecting to the target.
    pub connected: Option<Duration>,
    /// To the first byte of the response.
    pub first_byte: Option<Duration>,
    /// Gateway.
    pub gateway: Option<String>,
    /// Route.
    pub route: Option<String>,
    /// Name of the target.
    pub target: Option<String>,
    /// Why this route.
    pub reason: &'static str,
    /// Method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Status; 0 for none.
    pub status: u16,
    /// The word of `Vamp-Proxy-Error`, when the proxy answered itself or gave up.
    pub error: Option<&'static str>,
    /// Further attempts.
    pub retries: u8,
    /// Address of the client.
    pub client: IpAddr,
}

/// Where a proxy hands in spans.
#[derive(Debug, Clone)]
pub struct SpanSender {
    spans: mpsc::Sender<Span>,
    dropped: Arc<AtomicU64>,
}

/// Where they come out.
#[derive(Debug)]
pub struct SpanReceiver {
    /// The spans.
    pub spans: mpsc::Receiver<Span>,
    /// How many did not fit so far.
    pub dropped: Arc<AtomicU64>,
}

/// A queue for so many spans.
pub fn span_queue(capacity: usize) -> (SpanSender, SpanReceiver) {
    let (sender, spans) = mpsc::channel(capacity.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    (SpanSender { spans: sender, dropped: Arc::clone(&dropped) }, SpanReceiver { spans, dropped })
}

impl SpanSender {
    /// Spans that did not fit so far, and those that the exporter could not get rid of.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Hands one in; it is only made when there is room. Never waits.
    pub(crate) fn offer(&self, span: impl FnOnce() -> Span) {
        match self.spans.try_reserve() {
            Ok(place) => place.send(span()),
            Err(_) => {
                self.dropped.fetch_add(1, Relaxed);
            }
        }
    }
}
