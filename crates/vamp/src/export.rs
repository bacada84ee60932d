//! What goes to an OpenTelemetry collector: spans of the proxy in this process, and the page of metrics.

use proxy::SpanReceiver;
use tracing::info;

use crate::settings::ProxySettings;

/// Spans that may wait for the collector; each is half a kilobyte or so.
const QUEUE: usize = 4096;

/// An export that is about to begin.
pub(crate) struct Export {
    settings: otlp::Settings,
    spans: SpanReceiver,
}

impl Export {
    /// Has the proxy hand in spans, if there is a collector. `instance`: the name of this process.
    pub(crate) fn new(given: &ProxySettings, instance: &str, proxy: &mut proxy::Settings) -> Option<Self> {
        let endpoint = given.otlp_endpoint.clone()?;
        let (sender, spans) = proxy::span_queue(QUEUE);
        proxy.spans = Some(sender);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Some(Self { settings: otlp::Settings::new(endpoint, instance.to_owned(), version), spans })
    }

    /// Exports until the proxy is gone. `metrics` gives the page.
    pub(crate) async fn run(self, metrics: impl Fn() -> String + Send + Sync + 'static) {
        info!(endpoint = %self.settings.endpoint, "spans and metrics go to a collector");
        otlp::run(self.settings, self.spans, metrics).await;
    }
}
