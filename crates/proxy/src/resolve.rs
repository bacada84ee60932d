//! Host names of external targets (R2). A name stands for all its addresses: before a configuration is compiled, each target
//! given by name is replaced by one target for each address known. Names are looked up again now and then; what is known
//! stays until an answer says otherwise, so a name server that is away changes nothing.
//!
//! A gateway that is a target of another is reached through the listener of this very proxy: what the configuration says about its
//! address holds for whoever wrote it, which is another machine when a controller did.
//!
//! ```text
//! RoutingConfig (names) --expand--> RoutingConfig (addresses only) --compile--> RoutingTable
//!                          ^
//!                     Resolver.known  <-- lookups
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::name::GatewayName;
use routing::config::{GatewayConfig, RoutingConfig, TargetAddress, TargetConfig, TargetKind};

/// A host name and a port.
pub(crate) type Name = (String, u16);

/// Addresses that one name may stand for; more are ignored.
const MAX_ADDRESSES: usize = 32;

/// What is known about names.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// Where this proxy's gateways are reached.
    own: IpAddr,
    known: HashMap<Name, Vec<SocketAddr>>,
    expanded: HashMap<GatewayName, Expanded>,
}

#[derive(Debug)]
struct Expanded {
    from: Arc<GatewayConfig>,
    with: Vec<Vec<SocketAddr>>,
    to: Arc<GatewayConfig>,
}

/// Results of look-ups; no addresses where there was no answer.
pub(crate) type Found = Vec<(Name, Vec<SocketAddr>)>;

/// The names in a configuration.
pub(crate) fn all_names(config: &RoutingConfig) -> BTreeSet<Name> {
    config.gateways.values().flat_map(|gateway| names(gateway)).collect()
}

/// Looks names up, all at once.
pub(crate) async fn look_up(names: BTreeSet<Name>, timeout: Duration) -> Found {
    let mut lookups = tokio::task::JoinSet::new();
    for name in names {
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
            (name, found.into_iter().collect())
        });
    }
    let mut found = Vec::new();
    while let Some(result) = lookups.join_next().await {
        found.extend(result.ok());
    }
    found
}

impl Resolver {
    /// Nothing is known yet. Gateways listen on `address`.
    pub(crate) fn new(address: IpAddr) -> Self {
        // Who listens on every address is reached through loopback.
        let own = match address {
            IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            address => address,
        };
        Self { own, known: HashMap::new(), expanded: HashMap::new() }
    }

    /// Names of a configuration that were never looked up.
    pub(crate) fn unknown(&self, config: &RoutingConfig) -> BTreeSet<Name> {
        all_names(config).into_iter().filter(|name| !self.known.contains_key(name)).collect()
    }

    /// Forgets names that a configuration no longer holds.
    pub(crate) fn forget_all_but(&mut self, config: &RoutingConfig) {
        let wanted = all_names(config);
        self.known.retain(|name, _| wanted.contains(name));
    }

    /// Takes results over; no answer changes nothing. True when something changed.
    pub(crate) fn learn(&mut self, found: Found) -> bool {
        let mut changed = false;
        for (name, addresses) in found {
            let known = self.known.entry(name).or_default();
            if !addresses.is_empty() && *known != addresses {
                *known = addresses;
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
        let moved = |target: &TargetConfig| self.chained(target).is_some();
        if with.is_empty() && !gateway.routes.iter().flat_map(|route| &route.targets).any(moved) {
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
                    TargetAddress::Socket(_) => vec![self.chained(&target).unwrap_or(target)],
                    TargetAddress::Name { .. } => spread(&target, found.next().map_or(&[], Vec::as_slice)),
                })
                .collect();
        }
        let to = Arc::new(to);
        let expanded = Expanded { from: Arc::clone(gateway), with, to: Arc::clone(&to) };
        self.expanded.insert(name.clone(), expanded);
        to
    }

    /// A target that is a gateway, where this proxy serves it; `None` when that is where it is said to be.
    fn chained(&self, target: &TargetConfig) -> Option<TargetConfig> {
        match target.address {
            TargetAddress::Socket(address)
                if target.kind == TargetKind::Gateway && address.ip() != self.own =>
            {
                let address = TargetAddress::Socket(SocketAddr::new(self.own, address.port()));
                Some(TargetConfig { address, ..target.clone() })
            }
            _ => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::name::RoutePath;
    use routing::config::{RouteConfig, TargetKind, TargetProtocol};

    fn config(hosts: &[&str]) -> RoutingConfig {
        let targets = hosts.iter().map(|host| TargetConfig {
            id: format!("id-{host}"),
            name: (*host).to_owned(),
            address: TargetAddress::Name { host: (*host).to_owned(), port: 80 },
            kind: TargetKind::External,
            protocol: TargetProtocol::default(),
            tls: None,
        });
        let name = GatewayName::parse("shop").unwrap();
        let gateway = GatewayConfig {
            name: name.clone(),
            lookup: String::new(),
            port: None,
            protocol: model::port::Protocol::Http,
            hosts: Vec::new(),
            sticky: None,
            sticky_generation: 0,
            tls: None,
            target_tls: None,
            target_care: None,
            proxy_protocol: false,
            routes: vec![RouteConfig {
                path: RoutePath::parse("a").unwrap(),
                lookup: String::new(),
                weight: 10_000,
                condition: None,
                strength: 0,
                balance: model::gateway::Balance::Default,
                rewrites: Vec::new(),
                targets: targets.collect(),
            }],
        };
        RoutingConfig { revision: 1, gateways: [(name, Arc::new(gateway))].into() }
    }

    fn expanded(resolver: &mut Resolver, config: &RoutingConfig) -> (Arc<GatewayConfig>, Vec<String>) {
        let gateway = Arc::clone(resolver.expand(config).gateways.values().next().unwrap());
        let text = |target: &TargetConfig| match &target.address {
            TargetAddress::Socket(address) => format!("{} {address}", target.name),
            TargetAddress::Name { host, .. } => format!("unresolved {host}"),
        };
        let targets = gateway.routes[0].targets.iter().map(text).collect();
        (gateway, targets)
    }

    fn found(host: &str, addresses: &[&str]) -> Found {
        vec![((host.to_owned(), 80), addresses.iter().map(|text| text.parse().unwrap()).collect())]
    }

    #[test]
    fn every_address_becomes_a_target_and_the_last_answer_stays() {
        let (mut resolver, config) = (Resolver::new(Ipv4Addr::LOCALHOST.into()), config(&["one", "two"]));
        assert_eq!(resolver.unknown(&config).len(), 2);
        assert!(resolver.learn(found("one", &["10.0.0.1:80", "10.0.0.2:80"])));
        assert!(!resolver.learn(found("two", &[])));
        assert!(resolver.unknown(&config).is_empty());
        let (first, targets) = expanded(&mut resolver, &config);
        assert_eq!(targets, ["one 10.0.0.1:80", "one 10.0.0.2:80"]);
        let ids: BTreeSet<_> = first.routes[0].targets.iter().map(|target| &target.id).collect();
        assert!(ids.len() == 2 && ids.iter().all(|id| !id.contains("10.0")));
        // The same answer, or none, keeps the very same gateway.
        assert!(!resolver.learn(found("one", &["10.0.0.1:80", "10.0.0.2:80"])));
        assert!(!resolver.learn(found("one", &[])));
        assert!(Arc::ptr_eq(&first, &expanded(&mut resolver, &config).0));
        assert!(resolver.learn(found("two", &["10.0.0.3:80"])));
        let (second, targets) = expanded(&mut resolver, &config);
        assert_eq!(targets, ["one 10.0.0.1:80", "one 10.0.0.2:80", "two 10.0.0.3:80"]);
        assert_eq!(first.routes[0].targets[0].id, second.routes[0].targets[0].id);
    }

    #[test]
    fn a_chained_gateway_is_reached_through_this_proxy() {
        let mut config = config(&["api", "other"]);
        let gateway = Arc::make_mut(config.gateways.values_mut().next().unwrap());
        let targets = &mut gateway.routes[0].targets;
        for target in targets.iter_mut() {
            target.address = TargetAddress::Socket("10.0.0.1:40001".parse().unwrap());
        }
        targets[0].kind = TargetKind::Gateway;
        for (listens, reached) in
            [("0.0.0.0", "127.0.0.1:40001"), ("::", "[::1]:40001"), ("127.1.2.3", "127.1.2.3:40001")]
        {
            let mut resolver = Resolver::new(listens.parse().unwrap());
            let (first, targets) = expanded(&mut resolver, &config);
            assert_eq!(targets, [format!("api {reached}"), "other 10.0.0.1:40001".to_owned()]);
            assert!(Arc::ptr_eq(&first, &expanded(&mut resolver, &config).0));
        }
        let (same, _) = expanded(&mut Resolver::new("10.0.0.1".parse().unwrap()), &config);
        assert!(Arc::ptr_eq(&same, config.gateways.values().next().unwrap()));
    }
}
