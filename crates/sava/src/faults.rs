//! Faults on purpose: slow answers and errors, so that a release has something to find.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::settings::{SettingsError, duration, error};

/// Name of the header that says which version answered.
pub(crate) const VERSION_HEADER: HeaderName = HeaderName::from_static("x-sava-version");

/// What goes wrong, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Share of requests answered with 500, in hundredths of a percent.
    pub errors: u16,
    /// Added to every answer.
    pub latency: Duration,
}

impl Faults {
    /// From `SAVA_ERROR_RATE` (percent, `0` to `100`, with or without a percent sign) and `SAVA_LATENCY` (`150ms`).
    ///
    /// # Errors
    /// A value that cannot be understood.
    pub fn read(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut faults = Self::default();
        if let Some(text) = environment("SAVA_ERROR_RATE").filter(|text| !text.trim().is_empty()) {
            let percent: Option<f64> = text.trim().trim_end_matches('%').trim_end().parse().ok();
            let percent = percent.filter(|percent| (0.0..=100.0).contains(percent)).ok_or_else(|| {
                error("SAVA_ERROR_RATE", &text, "give percent from 0 to 100, for example 25")
            })?;
            // In range: checked above.
            faults.errors = (percent * 100.0).round() as u16;
        }
        if let Some(text) = environment("SAVA_LATENCY").filter(|text| !text.trim().is_empty()) {
            faults.latency = duration("SAVA_LATENCY", &text)?;
        }
        Ok(faults)
    }

    /// True when request number `count` (from 0) fails. Evenly spread and without chance: of any 100 requests in a row
    /// at 25 %, exactly 25 fail.
    pub(crate) fn fails(self, count: u64) -> bool {
        // The remainder keeps the product small, and 10 000 requests are a whole period.
        let (count, errors) = (count % 10_000, u64::from(self.errors));
        (count + 1) * errors / 10_000 > count * errors / 10_000
    }
}

/// What the faults of one running service need.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    faults: Faults,
    count: Arc<AtomicU64>,
    version: HeaderValue,
    /// Makes the body of an error, as this service would.
    failure: fn() -> Response,
}

impl Service {
    pub(crate) fn new(version: &str, faults: Faults, failure: fn() -> Response) -> Self {
        // Versions are checked when settings are read; this only keeps the type honest.
        let version = HeaderValue::from_str(version).unwrap_or(HeaderValue::from_static("unknown"));
        Self { faults, count: Arc::default(), version, failure }
    }
}

/// Applies faults, and says which version answered. Health checks are spared: a faulty version is a version that
/// passes its checks and still disappoints.
pub(crate) async fn layer(State(service): State<Service>, request: Request, next: Next) -> Response {
    let mut response = if request.uri().path() == "/health" {
        next.run(request).await
    } else {
        let fails = service.faults.fails(service.count.fetch_add(1, Ordering::Relaxed));
        if !service.faults.latency.is_zero() {
            tokio::time::sleep(service.faults.latency).await;
        }
        if fails { (service.failure)() } else { next.run(request).await }
    };
    response.headers_mut().insert(VERSION_HEADER, service.version.clone());
    response
}
