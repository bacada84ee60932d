//! The routing table as the data plane holds it: every compiled gateway together with what belongs to it and must not be
//! looked up for each request (telemetry series, target addresses, failure counters).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use model::name::GatewayName;
use model::port::Protocol;
use routing::config::{TargetAddress, TargetKind, TargetProtocol};
use routing::decide::{Chosen, Reason};
use routing::table::{Gateway, RoutingTable, Target};

use crate::budget::RetryBudget;
use crate::care::CareRules;
use crate::connection::Client;
use crate::health::{Health, Healths};
use crate::meter::{Meter, Meters};
use crate::stream::Stream;
use crate::tls::{Connector, Keeper, Terminator};
use crate::upstream::Destination;

/// One revision, whole and immutable.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) routing: Arc<RoutingTable>,
    by_name: HashMap<GatewayName, Arc<Served>>,
    by_port: HashMap<u16, Arc<Served>>,
    /// Those that the previous table did not have, or had otherwise.
    fresh: Vec<Arc<Served>>,
}

/// A compiled gateway and its companions; indices are those of [`Gateway::routes`].
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) meter: Meter,
    pub(crate) budget: Arc<RetryBudget>,
    /// How its targets are looked after.
    pub(crate) rules: Arc<CareRules>,
    pub(crate) routes: Vec<ServedRoute>,
    /// What clients that come with TLS are shown.
    pub(crate) tls: Option<Arc<Terminator>>,
}

#[derive(Debug)]
pub(crate) struct ServedRoute {
    pub(crate) meter: Meter,
    pub(crate) targets: Vec<ServedTarget>,
}

#[derive(Debug)]
pub(crate) struct ServedTarget {
    pub(crate) meter: Meter,
    pub(crate) address: SocketAddr,
    /// It speaks HTTP/2.
    pub(crate) http2: bool,
    pub(crate) health: Arc<Health>,
    /// It is reached with TLS.
    pub(crate) tls: Option<Arc<Connector>>,
}

impl Table {
    /// Puts the companions beside a compiled table. Gateways that the compiler took over unchanged keep theirs.
    pub(crate) fn new(
        routing: Arc<RoutingTable>,
        previous: &Self,
        meters: &Meters,
        healths: &mut Healths,
        certificates: &Keeper,
    ) -> Self {
        let room = previous.by_name.len();
        let mut table = Self {
            routing: Arc::clone(&routing),
            by_name: HashMap::with_capacity(room),
            by_port: HashMap::with_capacity(room),
            fresh: Vec::new(),
        };
        for gateway in routing.gateways() {
            let name = &gateway.config.name;
            let served = match previous.by_name.get(name) {
                Some(served) if Arc::ptr_eq(&served.gateway, gateway) => Arc::clone(served),
                _ => {
                    let served = Arc::new(Served::new(Arc::clone(gateway), meters, healths, certificates));
                    table.fresh.push(Arc::clone(&served));
                    served
                }
            };
            if let Some(port) = gateway.config.port {
                table.by_port.insert(port, Arc::clone(&served));
            }
            table.by_name.insert(name.clone(), served);
        }
        healths.admit(&table);
        table
    }

    /// The gateway on a port.
    pub(crate) fn on_port(&self, port: u16) -> Option<&Arc<Served>> {
        self.by_port.get(&port)
    }

    /// The gateway of a virtual host.
    pub(crate) fn virtual_host(&self, host: &str) -> Option<&Arc<Served>> {
        let gateway = self.routing.virtual_host(host)?;
        self.by_name.get(&gateway.config.name).filter(|served| served.protocol() == Protocol::Http)
    }

    /// All gateways.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.by_name.values()
    }

    /// The gateways that came or changed with this table.
    pub(crate) fn fresh(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.fresh.iter()
    }

    /// Ports to listen on, with the gateway that each belongs to.
    pub(crate) fn ports(&self) -> impl Iterator<Item = (u16, &GatewayName)> {
        self.by_port.iter().map(|(port, served)| (*port, &served.gateway.config.name))
    }
}

impl Served {
    fn new(gateway: Arc<Gateway>, meters: &Meters, healths: &mut Healths, certificates: &Keeper) -> Self {
        let name = gateway.config.name.clone();
        let rules = healths.rules(gateway.config.target_care.as_ref());
        let routes = gateway
            .routes
            .iter()
            .zip(&gateway.config.routes)
            .map(|(route, config)| ServedRoute {
                meter: meters.route(&name, &config.path),
                targets: route
                    .targets
                    .iter()
                    .zip(healths.of(&route.targets, &rules))
                    .map(|(target, health)| ServedTarget {
                        meter: meters.target(&name, &config.path, &target.config),
                        address: socket(&target.config.address),
                        http2: target.config.protocol == TargetProtocol::Http2,
                        health,
                        tls: certificates.connector(&gateway.config, &target.config),
                    })
                    .collect(),
            })
            .collect();
        let meter = meters.gateway(&name, gateway.config.protocol);
        let tls = certificates.terminator(&name);
        Self { meter, budget: healths.budget(&name), rules, gateway, routes, tls }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.gateway.config.protocol
    }

    pub(crate) fn target(&self, chosen: Chosen) -> &ServedTarget {
        &self.routes[chosen.route].targets[chosen.target]
    }

    /// The compiled target of a choice.
    pub(crate) fn compiled(&self, chosen: Chosen) -> &Target {
        &self.gateway.routes[chosen.route].targets[chosen.target]
    }

    /// Another target of the route that serves, did not fail for this request and has room; of several the one with the most.
    pub(crate) fn target_with_room(&self, chosen: Chosen, failed: &[usize]) -> Option<usize> {
        let most = self.rules.requests;
        let targets = self.gateway.routes[chosen.route].targets.iter().enumerate();
        let used = |target: &Target| target.state.in_flight.load(Relaxed);
        targets
            .filter(|(index, _)| *index != chosen.target && !failed.contains(index))
            .filter(|(_, target)| !target.state.is_down() && used(target) < most)
            .min_by_key(|(_, target)| used(target))
            .map(|(index, _)| index)
    }

    pub(crate) fn is_gateway(&self, chosen: Chosen) -> bool {
        self.compiled(chosen).config.kind == TargetKind::Gateway
    }

    /// True unless the platform itself says what the target is.
    pub(crate) fn may_be_gateway(&self, chosen: Chosen) -> bool {
        self.compiled(chosen).config.kind != TargetKind::Instance
    }

    /// Where a choice made under `self` lives in a newer version of the gateway; `None` when it would not be made there any
    /// more and the request must be decided again. Until a request is sent, the newest revision decides.
    pub(crate) fn carry_over(&self, chosen: Chosen, reason: Reason, newer: &Self) -> Option<Chosen> {
        let (old, new) = (&self.gateway.config, &newer.gateway.config);
        let old_route = &old.routes[chosen.route];
        let route = new.routes.iter().position(|route| route.path == old_route.path)?;
        let new_route = &new.routes[route];
        let allowed = match reason {
            Reason::Condition => new_route.condition == old_route.condition && new_route.strength > 0,
            Reason::Sticky => new.sticky == old.sticky && new.sticky_generation == old.sticky_generation,
            Reason::Weight | Reason::Rerouted => new_route.weight > 0,
            Reason::NoTarget => false,
        };
        // Rewrites are applied again when the head is written, so they may differ.
        let wanted = &self.compiled(chosen).config;
        let target =
            newer.gateway.routes[route].targets.iter().position(|target| target.config == *wanted)?;
        allowed.then_some(Chosen { route, target })
    }
}

/// Host names are expanded before a table is compiled (see [`crate::resolve`]), so every target has an address.
fn socket(address: &TargetAddress) -> SocketAddr {
    match address {
        TargetAddress::Socket(address) => *address,
        TargetAddress::Name { port, .. } => SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), *port),
    }
}

impl ServedTarget {
    /// What connections to it are kept under.
    pub(crate) fn destination(&self) -> Destination {
        Destination { address: self.address, tls: self.tls.as_ref().map_or(0, |connector| connector.id) }
    }

    /// Connects, and shakes hands where the target is reached with TLS. The caller bounds the time.
    pub(crate) async fn connect(&self, client: &Client) -> io::Result<Stream> {
        let stream = Stream::connect(self.address, client.worker.shared.descriptors).await?;
        if let Some(connector) = &self.tls {
            // Of its own: several requests of a client may connect at the same time.
            let watch = client.worker.sweeper.watch(client.listener.group());
            watch.set(client.worker.shared.settings.limits.connect_timeout);
            let protocol: &[u8] = if self.http2 { b"h2" } else { b"http/1.1" };
            stream.connect_tls(&watch, &client.worker.buffers, connector, protocol).await?;
        }
        Ok(stream)
    }
}
