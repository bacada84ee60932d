//! A steady load that looks at every response: requests leave when it is their time, whether or not earlier ones were answered, and
//! how long they take counts from then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::node;

/// Clients, each with a connection of its own; one that waits for an answer is late with its next request.
const CLIENTS: u64 = 64;

/// How a client uses its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// One request after the other.
    Kept,
    /// A new one for each request.
    New,
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    clients: JoinSet<Seen>,
    begin: Instant,
}

/// What a load saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How often each outcome came: `200`, or all that is known of what went wrong.
    pub(crate) outcomes: BTreeMap<String, usize>,
    /// Microseconds for each request.
    took: Vec<u64>,
    elapsed: Duration,
}

impl Load {
    /// Begins with `rate` requests a second.
    pub(crate) fn start(url: &str, host: Option<&str>, rate: u64, connections: Connections) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let begin = Instant::now();
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (url, host) = (url.to_owned(), host.map(str::to_owned));
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            clients.spawn(async move {
                let http = node::client(connections);
                let mut seen = Seen::default();
                for turn in 0.. {
                    let time = begin + Duration::from_micros(1_000_000 * (turn * CLIENTS + client) / rate);
                    sleep_until(time).await;
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                    let mut request = http.get(&url);
                    if let Some(host) = &host {
                        request = request.header("host", host);
                    }
                    let outcome = outcome(request).await;
                    sent.fetch_add(1, Ordering::AcqRel);
                    if outcome != "200" {
                        eprintln!("at {:.1} s: {outcome}", begin.elapsed().as_secs_f64());
                    }
                    seen.took.push(u64::try_from(time.elapsed().as_micros()).unwrap_or(u64::MAX));
                    *seen.outcomes.entry(outcome).or_default() += 1;
                }
                seen
            });
        }
        Self { stop, sent, clients, begin }
    }

    /// Waits until `count` more requests were answered.
    pub(crate) async fn more(&self, count: u64) {
        let goal = self.sent.load(Ordering::Acquire) + count;
        let end = Instant::now() + testkit::kube::PATIENCE;
        while self.sent.load(Ordering::Acquire) < goal {
            assert!(Instant::now() < end, "the load does not get on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Seconds since it began.
    pub(crate) fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// Ends.
    pub(crate) async fn finish(mut self) -> Seen {
        self.stop.store(true, Ordering::Release);
        let mut all = Seen { elapsed: self.begin.elapsed(), ..Seen::default() };
        while let Some(seen) = self.clients.join_next().await {
            let seen = seen.expect("a client that ends");
            all.took.extend(seen.took);
            for (outcome, count) in seen.outcomes {
                *all.outcomes.entry(outcome).or_default() += count;
            }
        }
        all.took.sort_unstable();
        all
    }
}

impl Seen {
    pub(crate) fn requests(&self) -> usize {
        self.took.len()
    }

    /// All outcomes but good ones.
    pub(crate) fn failed(&self) -> BTreeMap<&str, usize> {
        self.outcomes.iter().filter(|(o, _)| *o != "200").map(|(o, count)| (o.as_str(), *count)).collect()
    }

    /// One line with the figures.
    pub(crate) fn figures(&self) -> String {
        let at = |share: usize| {
            let index = self.took.len() * share / 1000;
            self.took.get(index).copied().unwrap_or_default() as f64 / 1000.0
        };
        format!(
            "{} requests, {:.0}/s, {} failed; p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
            self.requests(),
            self.requests() as f64 / self.elapsed.as_secs_f64(),
            self.failed().values().sum::<usize>(),
            at(500),
            at(990),
            at(999)
        )
    }
}

async fn outcome(request: reqwest::RequestBuilder) -> String {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return format!("no response: {error:?}"),
    };
    let status = response.status().as_u16();
    let made_by_the_proxy = response.headers().get("vamp-proxy-error").cloned();
    match (response.bytes().await, made_by_the_proxy) {
        (Err(error), _) => format!("{status}, cut: {error:?}"),
        (Ok(_), Some(reason)) => format!("{status}, made by the proxy: {reason:?}"),
        (Ok(_), None) => status.to_string(),
    }
}
