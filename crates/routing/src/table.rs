//! The compiled routing table.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

use model::name::GatewayName;

use crate::config::{GatewayConfig, RoutingConfig, TargetConfig};

/// The immutable snapshot that a proxy reads once per request.
#[derive(Debug, Default)]
pub struct RoutingTable {
    /// Revision of the environment.
    pub revision: u64,
    gateways: HashMap<GatewayName, Arc<Gateway>>,
    hosts: HashMap<String, Arc<Gateway>>,
}

/// One gateway, ready to decide. Schedules and conditions are compiled; positions live in atomics that are carried over
/// from the gateway of the same name in the previous table.
#[derive(Debug)]
pub struct Gateway {
    /// What it was compiled from.
    pub config: Arc<GatewayConfig>,
    /// Same order as `config.routes`.
    pub routes: Vec<Route>,
}

/// One compiled route.
#[derive(Debug)]
pub struct Route {
    /// Same order as the route's `targets` in the configuration (host names: one for each address known).
    pub targets: Vec<Target>,
}

/// One target and its state, which outlives the table.
#[derive(Debug)]
pub struct Target {
    /// What it was compiled from.
    pub config: TargetConfig,
    /// Hot state, shared by every table that holds this target of this route.
    pub state: Arc<TargetState>,
}

/// Hot state of a target.
#[derive(Debug, Default)]
pub struct TargetState {
    /// Requests (http) or connections (tcp) under way.
    pub in_flight: AtomicU32,
    /// True while the proxy's own checks hold it down; a down target is as good as not ready.
    pub down: AtomicBool,
}

impl RoutingTable {
    /// Compiles a configuration. Gateways whose `Arc<GatewayConfig>` is the same as in `previous` are taken over as they are;
    /// the others keep their positions and target states by name. `seed` gives the random start of new cycles (R28).
    pub fn compile(config: &RoutingConfig, previous: &RoutingTable, seed: &mut dyn FnMut() -> u64) -> Self {
        let _ = (config, previous, seed);
        Self::default()
    }

    /// The gateway of that name.
    pub fn gateway(&self, name: &GatewayName) -> Option<&Arc<Gateway>> {
        self.gateways.get(name)
    }

    /// All gateways, in no order.
    pub fn gateways(&self) -> impl Iterator<Item = &Arc<Gateway>> {
        self.gateways.values()
    }

    /// The gateway that serves a virtual host; `host` as in a Host header (R35: case, port and trailing dot ignored).
    pub fn virtual_host(&self, host: &str) -> Option<&Arc<Gateway>> {
        self.hosts.get(host)
    }
}
