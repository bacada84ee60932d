//! Helpers for tests: connections that speak byte by byte, fake targets on loopback, ports, a fake Kubernetes API server, namespaces of
//! a real one, and what every store has to do.

pub mod cluster;
#[allow(clippy::unwrap_used, reason = "helpers of tests are tests")]
pub mod conformance;
pub mod kube;
pub mod ports;
pub mod target;
#[allow(clippy::unwrap_used, reason = "helpers of tests are tests")]
pub mod tls;
pub mod wire;

use std::time::{Duration, Instant};

/// Waits for a condition, up to [`wire::PATIENCE`]. True when it came to hold.
pub async fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + wire::PATIENCE;
    while Instant::now() < end {
        if holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holds()
}
