//! What goes to an OpenTelemetry collector: spans of the proxy in this process, and the page of metrics.

use otlp::Exporter;
use proxy::SpanReceiver;
use tracing::info;

use crate::settings::ProxySettings;

/// Spans that may wait for the collector; each is half a kilobyte or so.
const QUEUE: usize = 4096;

/// An export that is about to begin.
pub(crate) struct Export {
    exporter: Exporter,
    spans: SpanReceiver,
}

impl Export {
    /// Has the proxy hand in spans, if there is a collector. `instance`: the name of this process.
    ///
    /// # Errors
    /// The authorities that a collector with TLS is checked against cannot be used.
    pub(crate) fn new(
        given: &ProxySettings,
        instance: &str,
        proxy: &mut proxy::Settings,
    ) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = given.otlp_endpoint.clone() else { return Ok(None) };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let settings = otlp::Settings::new(endpoint, given.otlp_ca.clone(), instance.to_owned(), version);
        let exporter = Exporter::new(settings)
            .map_err(|error| anyhow::anyhow!("--otlp-endpoint with https: {error}; see --otlp-ca"))?;
        let (sender, spans) = proxy::span_queue(QUEUE);
        proxy.spans = Some(sender);
        Ok(Some(Self { exporter, spans }))
    }

    /// Exports until the proxy is gone. `metrics` gives the page.
    pub(crate) async fn run(self, metrics: impl Fn() -> String + Send + Sync + 'static) {
        info!(endpoint = %self.exporter.endpoint(), "spans and metrics go to a collector");
        self.exporter.run(self.spans, metrics).await;
    }
}
