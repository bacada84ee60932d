//! The last seconds of one series, as figures.

use std::time::Duration;

use serde::Serialize;

use crate::counters::CLASSES;
use crate::histogram::Histogram;
use crate::ring::Frame;

/// What happened in the last `seconds` whole seconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Window {
    /// Length.
    pub seconds: u32,
    /// Requests (tcp: connections) that ended.
    pub requests: u64,
    /// By status class: index 0 for none, 1 for `1xx` .. 5 for `5xx`.
    pub by_class: [u64; CLASSES],
    /// Requests that Vamp itself answered with an error, or gave up.
    pub errors: u64,
    /// Requests for each second, not rounded.
    pub rate: f64,
    /// Mean of the total times, in milliseconds; `None` without traffic.
    pub mean_ms: Option<f64>,
    /// Median of the total times, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 95th percentile.
    pub p95_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
    /// Requests that went to this route in place of one without ready targets.
    pub rerouted: u64,
}

impl Window {
    /// A window without traffic.
    pub fn empty(seconds: u32) -> Self {
        Self { seconds, ..Self::default() }
    }

    pub(crate) fn new(seconds: u32, frame: &Frame, latencies: &Histogram) -> Self {
        let requests: u64 = frame.by_class.iter().sum();
        let quantile = |q| latencies.quantile(q).map(milliseconds);
        Self {
            seconds,
            requests,
            by_class: frame.by_class,
            errors: frame.failed,
            rate: requests as f64 / f64::from(seconds.max(1)),
            mean_ms: (requests > 0).then(|| frame.total_nanos as f64 / 1e6 / requests as f64),
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            received: frame.received,
            sent: frame.sent,
            rerouted: frame.rerouted,
        }
    }

    /// Responses with a status of 500 or above.
    pub fn server_errors(&self) -> u64 {
        self.by_class[5]
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
