//! The one place that knows telemetry: series are bound to the compiled gateway once, a request only adds to them.

use std::sync::Arc;

use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
use routing::config::TargetConfig;
pub(crate) use telemetry::Outcome;
use telemetry::{Series, Telemetry};

/// Makes meters.
#[derive(Clone)]
pub(crate) struct Meters(Arc<Telemetry>);

/// Counts one gateway, route or target.
#[derive(Clone)]
pub(crate) struct Meter(Arc<Series>);

impl Meters {
    pub(crate) fn new(telemetry: Arc<Telemetry>) -> Self {
        Self(telemetry)
    }

    pub(crate) fn gateway(&self, gateway: &GatewayName, protocol: Protocol) -> Meter {
        Meter(self.0.gateway(gateway, protocol))
    }

    pub(crate) fn route(&self, gateway: &GatewayName, route: &RoutePath) -> Meter {
        Meter(self.0.route(gateway, route))
    }

    pub(crate) fn target(&self, gateway: &GatewayName, route: &RoutePath, target: &TargetConfig) -> Meter {
        Meter(self.0.instance(gateway, route, &target.id, &target.name))
    }
}

impl Meter {
    /// Counts a finished exchange or connection.
    pub(crate) fn record(&self, worker: usize, outcome: &Outcome) {
        self.0.record(worker, outcome);
    }

    /// Adds the phases of an exchange to those of its route.
    pub(crate) fn record_phases(&self, worker: usize, outcome: &Outcome) {
        self.0.record_phases(worker, outcome);
    }

    /// Requests that ever began. Reads all counters, so it is not for every request.
    pub(crate) fn begun(&self) -> u64 {
        let totals = self.0.totals();
        totals.requests().saturating_add(totals.in_flight)
    }

    /// A request or tcp connection begins.
    pub(crate) fn begin(&self, worker: usize) {
        self.0.begin(worker);
    }

    /// A client connects.
    pub(crate) fn opened(&self, worker: usize) {
        self.0.opened(worker);
    }

    /// It is gone.
    pub(crate) fn closed(&self, worker: usize) {
        self.0.closed(worker);
    }

    /// It ended.
    pub(crate) fn end(&self, worker: usize) {
        self.0.end(worker);
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meter")
    }
}
