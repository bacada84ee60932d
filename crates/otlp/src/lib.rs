//! Export to an OpenTelemetry collector: OTLP over HTTP, protobuf, with TLS where the address begins with `https`.
//!
//! ```text
//! proxy --spans, bounded queue--> batch --POST /v1/traces-->  collector
//! page of metrics, now and then --> read --POST /v1/metrics-->
//! ```
//!
//! A collector that is slow or away costs spans, which are counted, and never a request. Metrics are sums since the start, so one that
//! is missed loses nothing.

mod metrics;
mod page;
mod spans;
mod wire;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use prost::Message;
use proxy::{Span, SpanReceiver};
use reqwest::{StatusCode, Url, header};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Where to export to, and how often.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the collector, for example `http://collector:4318`; `v1/traces` and `v1/metrics` are below it.
    pub endpoint: Endpoint,
    /// File with the authorities that a collector with TLS is checked against, PEM; those of the system without.
    pub ca: Option<PathBuf>,
    /// Name of this process, unique among those of its kind.
    pub instance: String,
    /// Version of Vamp.
    pub version: String,
    /// Spans sent at once.
    pub batch: usize,
    /// How long a span may wait for others.
    pub linger: Duration,
    /// Time between two exports of metrics.
    pub period: Duration,
    /// How long the collector may take for one request.
    pub timeout: Duration,
    /// Pause before a batch is sent again, doubled each time; after three times it is given up.
    pub pause: Duration,
}

impl Settings {
    /// The usual times.
    pub fn new(endpoint: Endpoint, ca: Option<PathBuf>, instance: String, version: String) -> Self {
        Self {
            endpoint,
            ca,
            instance,
            version,
            batch: 512,
            linger: Duration::from_secs(1),
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            pause: Duration::from_secs(1),
        }
    }
}

/// The address of a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why an address is none of a collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no address of a collector; write for example http://collector:4318 or https://collector:4318 (OTLP over HTTP)"
)]
pub struct NoEndpoint(String);

impl std::str::FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let mut url = Url::parse(text).map_err(|_| NoEndpoint(text.to_owned()))?;
        let known = matches!(url.scheme(), "http" | "https");
        if !known || !url.has_host() || url.query().is_some() || url.fragment().is_some() {
            return Err(NoEndpoint(text.to_owned()));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Endpoint {
    fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    fn join(&self, signal: &str) -> Url {
        // A relative path always joins a base with a host.
        self.0.join(signal).unwrap_or_else(|_| self.0.clone())
    }
}

/// An export that is about to begin.
#[derive(Debug)]
pub struct Exporter {
    settings: Settings,
    client: reqwest::Client,
    started: SystemTime,
}

/// Why something was not taken.
enum Refusal {
    /// Later it may be.
    Now(String),
    /// The collector does not want it.
    Never(String),
}

impl Exporter {
    /// Makes ready; reads the authorities.
    ///
    /// # Errors
    /// They cannot be used: with the file.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let client = reqwest::Client::builder().timeout(settings.timeout).no_proxy();
        let client = if settings.endpoint.is_encrypted() {
            client.tls_backend_preconfigured(pki::client(settings.ca.as_deref(), &pki::provider())?)
        } else {
            // Nobody is asked to prove anything, so nothing is read for it.
            client.tls_certs_only([])
        };
        let client = client.build().map_err(|error| innermost(&error))?;
        Ok(Self { settings, client, started: SystemTime::now() })
    }

    /// Exports until the proxy that hands in spans is gone. `metrics` gives the page of metrics; it may block.
    pub async fn run(self, spans: SpanReceiver, metrics: impl Fn() -> String + Send + Sync + 'static) {
        let metrics = Arc::new(metrics);
        tokio::select! {
            () = self.spans(spans) => {}
            () = self.metrics(metrics) => {}
        }
    }

    /// Where to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.settings.endpoint
    }

    async fn spans(&self, receiver: SpanReceiver) {
        let SpanReceiver { mut spans, dropped } = receiver;
        let url = self.settings.endpoint.join("v1/traces");
        let mut trouble = Trouble::default();
        let mut batch: Vec<Span> = Vec::new();
        let most = self.settings.batch.max(1);
        while let Some(first) = spans.recv().await {
            batch.push(first);
            let fill = async {
                while batch.len() < most {
                    let Some(span) = spans.recv().await else { break };
                    batch.push(span);
                }
            };
            // Whatever came until then goes.
            let _ = timeout(self.settings.linger, fill).await;
            let message = spans::request(&batch, &self.settings).encode_to_vec();
            let sent = self.insist(|| self.post(&url, message.clone())).await;
            if sent.is_err() {
                dropped.fetch_add(batch.len() as u64, Relaxed);
            }
            trouble.tell("spans", sent);
            batch.clear();
        }
    }

    async fn metrics(&self, page: Arc<impl Fn() -> String + Send + Sync + 'static>) {
        let url = self.settings.endpoint.join("v1/metrics");
        let mut ticks = interval(self.settings.period.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::default();
        loop {
            ticks.tick().await;
            let page = Arc::clone(&page);
            let Ok(text) = tokio::task::spawn_blocking(move || page()).await else { continue };
            let now = SystemTime::now();
            let message = metrics::request(&page::read(&text), &self.settings, self.started, now);
            let sent = self.post(&url, message.encode_to_vec()).await;
            trouble.tell("metrics", sent.map_err(|(Refusal::Now(why) | Refusal::Never(why))| why));
        }
    }

    /// Tries a few times.
    async fn insist<F>(&self, send: impl Fn() -> F) -> Result<(), String>
    where
        F: Future<Output = Result<(), Refusal>>,
    {
        let mut pause = self.settings.pause;
        for _ in 0..3 {
            match send().await {
                Ok(()) => return Ok(()),
                Err(Refusal::Never(why)) => return Err(why),
                Err(Refusal::Now(_)) => sleep(pause).await,
            }
            pause *= 2;
        }
        send().await.map_err(|(Refusal::Now(why) | Refusal::Never(why))| why)
    }

    async fn post(&self, url: &Url, body: Vec<u8>) -> Result<(), Refusal> {
        let request = self.client.post(url.clone()).header(header::CONTENT_TYPE, "application/x-protobuf");
        let answer = request.body(body).send().await.map_err(|error| Refusal::Now(innermost(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let why = format!("{url} answered {status}");
        // The four that the protocol lets a client repeat.
        let later = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        Err(if later.contains(&status) { Refusal::Now(why) } else { Refusal::Never(why) })
    }
}

/// The innermost cause says most: "invalid peer certificate" rather than "error sending request".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Says once that something does not work, and once that it does again.
#[derive(Default)]
struct Trouble(bool);

impl Trouble {
    fn tell(&mut self, what: &str, sent: Result<(), String>) {
        match sent {
            Ok(()) if self.0 => tracing::info!(what, "the collector takes them again"),
            Err(error) if !self.0 => {
                tracing::warn!(what, error, "the collector does not take them; they are dropped")
            }
            _ => return,
        }
        self.0 = !self.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, traces) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://127.0.0.1:1/", "http://127.0.0.1:1/v1/traces"),
            ("http://c/otlp", "http://c/otlp/v1/traces"),
            ("https://c:4318", "https://c:4318/v1/traces"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().join("v1/traces").as_str(), traces);
        }
        for text in ["", "collector:4318", "grpc://c", "http://c/?a=b", "http://"] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("for example http://collector:4318"), "{text}: {error}");
        }
    }
}
