//! Host names of external targets (R2). A name stands for all its addresses: before a configuration is compiled, each target
//! given by name is replaced by one target for each address known. Names are looked up again now and then; what is known
//! stays until an answer says otherwise, so a name server that is away changes nothing.
//!
//! ```text
//! RoutingConfig (names) --expand--> RoutingConfig (addresses only) --compile--> RoutingTable
//!                          ^
//!                     Resolver.known  <-- lookups
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::name::GatewayName;
use routing::config::{GatewayConfig, RoutingConfig, TargetAddress, TargetConfig};

/// A host name and a port.
type Name = (String, u16);

/// Addresses that one name may stand for; more are ignored.
const MAX_ADDRESSES: usize = 32;

/// What is known about names.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    known: HashMap<Name, Vec<SocketAddr>>,
    expanded: HashMap<GatewayName, Expanded>,
}

#[derive(Debug)]
struct Expanded {
    from: Arc<GatewayConfig>,
    with: Vec<Vec<SocketAddr>>,
    to: Arc<GatewayConfig>,
}

impl Resolver {
    /// Looks up names: those never seen, or all. True when something changed.
    pub(crate) async fn look_up(&mut self, config: &RoutingConfig, all: bool, timeout: Duration) -> bool {
        let wanted: BTreeSet<Name> = config.gateways.values().flat_map(|gateway| names(gateway)).collect();
        self.known.retain(|name, _| wanted.contains(name));
        let mut lookups = tokio::task::JoinSet::new();
        for name in wanted {
            if all || !self.known.contains_key(&name) {
                lookups.spawn_local(async move {
                    let found = tokio::time::timeout(timeout, tokio::net::lookup_host(name.clone())).await;
                    let found: BTreeSet<SocketAddr> = match found {
                        Ok(Ok(addresses)) => addresses.take(MAX_ADDRESSES).collect(),
                        Ok(Err(error)) => {
                            tracing::debug!(host = name.0, %error, "name not resolved");
                            BTreeSet::new()
                        }
                        Err(_) => BTreeSet::new(),
                    };
                    (name, found.into_iter().collect::<Vec<_>>())
                });
            }
        }
        let mut changed = false;
        while let Some(result) = lookups.join_next().await {
            let Ok((name, addresses)) = result else { continue };
            if addresses.is_empty() {
                self.known.entry(name).or_default();
            } else if self.known.get(&name) != Some(&addresses) {
                self.known.insert(name, addresses);
                changed = true;
            }
        }
        changed
    }

    /// The configuration with addresses in place of names. A gateway that is the same as before stays the same `Arc`.
    pub(crate) fn expand(&mut self, config: &RoutingConfig) -> RoutingConfig {
        self.expanded.retain(|name, _| config.gateways.contains_key(name));
        let gateways: BTreeMap<_, _> = config
            .gateways
            .iter()
            .map(|(name, gateway)| (name.clone(), self.expand_gateway(name, gateway)))
            .collect();
        RoutingConfig { revision: config.revision, gateways }
    }

    fn expand_gateway(&mut self, name: &GatewayName, gateway: &Arc<GatewayConfig>) -> Arc<GatewayConfig> {
        let with: Vec<Vec<SocketAddr>> =
            names(gateway).map(|name| self.known.get(&name).cloned().unwrap_or_default()).collect();
        if with.is_empty() {
            return Arc::clone(gateway);
        }
        if let Some(expanded) = self.expanded.get(name)
            && Arc::ptr_eq(&expanded.from, gateway)
            && expanded.with == with
        {
            return Arc::clone(&expanded.to);
        }
        let mut to = GatewayConfig::clone(gateway);
        let mut found = with.iter();
        for route in &mut to.routes {
            route.targets = route
                .targets
                .drain(..)
                .flat_map(|target| match target.address {
                    TargetAddress::Socket(_) => vec![target],
                    TargetAddress::Name { .. } => spread(&target, found.next().map_or(&[], Vec::as_slice)),
                })
                .collect();
        }
        let to = Arc::new(to);
        let expanded = Expanded { from: Arc::clone(gateway), with, to: Arc::clone(&to) };
        self.expanded.insert(name.clone(), expanded);
        to
    }
}

/// The names in a gateway, in the order of its targets.
fn names(gateway: &GatewayConfig) -> impl Iterator<Item = Name> {
    gateway.routes.iter().flat_map(|route| &route.targets).filter_map(|target| match &target.address {
        TargetAddress::Socket(_) => None,
        TargetAddress::Name { host, port } => Some((host.clone(), *port)),
    })
}

/// One target for each address. The id must survive restarts and be the same in every replica, and must not show the address.
fn spread(target: &TargetConfig, addresses: &[SocketAddr]) -> Vec<TargetConfig> {
    addresses
        .iter()
        .map(|address| TargetConfig {
            id: format!("{}{:08x}", target.id, fnv(&format!("{}|{address}", target.id))),
            address: TargetAddress::Socket(*address),
            ..target.clone()
        })
        .collect()
}

fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
