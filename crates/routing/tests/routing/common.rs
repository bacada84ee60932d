//! Builders of configurations and requests, and counting.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use model::condition::Condition;
use model::gateway::{Balance, Sticky};
use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
use model::rewrite::Rewrite;
use routing::config::{
    GatewayConfig, RouteConfig, RoutingConfig, TargetAddress, TargetConfig, TargetKind, TargetProtocol,
};
use routing::decide::{Chosen, Decision, Dice, decide};
use routing::request::RequestHead;
use routing::table::{Gateway, RoutingTable, TargetState};

/// Seeded chance (splitmix64).
pub(crate) struct Seeded(pub(crate) u64);

impl Dice for Seeded {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Seeded {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }
}

/// A route with one target; weight in percent.
pub(crate) fn route(path: &str, percent: u16) -> RouteConfig {
    RouteConfig {
        path: RoutePath::parse(path).unwrap(),
        lookup: model::lookup::route(&name("shop"), &RoutePath::parse(path).unwrap()),
        weight: percent * 100,
        condition: None,
        strength: 0,
        balance: Balance::Default,
        rewrites: Vec::new(),
        targets: vec![target(path, 0)],
    }
}

pub(crate) fn name(text: &str) -> GatewayName {
    GatewayName::parse(text).unwrap()
}

/// Target number `index` of a route; its id is `<path>-<index>`.
pub(crate) fn target(path: &str, index: usize) -> TargetConfig {
    let address = SocketAddr::from(([10, 1, 0, 1], 8000 + u16::try_from(index).unwrap()));
    TargetConfig {
        id: format!("{path}-{index}"),
        name: format!("{path}-{index}"),
        address: TargetAddress::Socket(address),
        kind: TargetKind::Instance,
        protocol: TargetProtocol::default(),
        tls: None,
    }
}

pub(crate) trait RouteExt {
    fn when(self, condition: &str, strength: u16) -> Self;
    fn rewrites(self, rewrites: &[&str]) -> Self;
    fn targets(self, count: usize) -> Self;
    fn balance(self, balance: Balance) -> Self;
}

impl RouteExt for RouteConfig {
    fn when(mut self, condition: &str, percent: u16) -> Self {
        self.condition = Some(
            Condition::parse(condition).unwrap_or_else(|e| panic!("{condition}: {}", e.describe(condition))),
        );
        self.strength = percent * 100;
        self
    }

    fn rewrites(mut self, rewrites: &[&str]) -> Self {
        let parse =
            |text: &&str| Rewrite::parse(text).unwrap_or_else(|e| panic!("{text}: {}", e.describe(text)));
        self.rewrites = rewrites.iter().map(parse).collect();
        self
    }

    fn targets(mut self, count: usize) -> Self {
        let path = self.path.as_str().to_owned();
        self.targets = (0..count).map(|index| target(&path, index)).collect();
        self
    }

    fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }
}

/// The gateway `shop` on port 9050.
pub(crate) fn shop(routes: impl IntoIterator<Item = RouteConfig>) -> GatewayConfig {
    GatewayConfig {
        name: name("shop"),
        lookup: model::lookup::gateway(&name("shop")),
        port: Some(9050),
        protocol: Protocol::Http,
        hosts: Vec::new(),
        sticky: None,
        sticky_generation: 0,
        tls: None,
        target_tls: None,
        target_care: None,
        proxy_protocol: false,
        routes: routes.into_iter().collect(),
    }
}

pub(crate) fn sticky(config: GatewayConfig, sticky: Sticky) -> GatewayConfig {
    GatewayConfig { sticky: Some(sticky), ..config }
}

/// A configuration of one revision.
pub(crate) fn revision(number: u64, gateways: impl IntoIterator<Item = GatewayConfig>) -> RoutingConfig {
    RoutingConfig {
        revision: number,
        gateways: gateways.into_iter().map(|gateway| (gateway.name.clone(), Arc::new(gateway))).collect(),
    }
}

/// A table of one gateway, after another table.
pub(crate) fn table(config: GatewayConfig, previous: &RoutingTable, seed: u64) -> RoutingTable {
    let mut dice = Seeded(seed);
    RoutingTable::compile(&revision(1, [config]), previous, &mut || dice.roll())
}

pub(crate) fn compile(config: GatewayConfig) -> Arc<Gateway> {
    compile_seeded(config, 7)
}

pub(crate) fn compile_seeded(config: GatewayConfig, seed: u64) -> Arc<Gateway> {
    let table = table(config, &RoutingTable::default(), seed);
    let gateway = table.gateways().next().expect("one gateway");
    Arc::clone(gateway)
}

pub(crate) fn set_down(gateway: &Gateway, route: usize, target: usize, down: bool) {
    set_portion(gateway, route, target, if down { 0 } else { TargetState::FULL });
}

pub(crate) fn set_portion(gateway: &Gateway, route: usize, target: usize, portion: u16) {
    gateway.routes[route].targets[target].state.set_portion(portion);
}

/// A request that owns its parts.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) source: IpAddr,
    pub(crate) tls: bool,
}

pub(crate) fn get(target: &str) -> Request {
    Request {
        method: "GET".into(),
        target: target.into(),
        host: "shop.example:9050".into(),
        fields: Vec::new(),
        source: IpAddr::from([192, 168, 1, 7]),
        tls: false,
    }
}

impl Request {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub(crate) fn from(mut self, source: &str) -> Self {
        self.source = source.parse().unwrap();
        self
    }

    pub(crate) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            target: &self.target,
            host: &self.host,
            fields: &self.fields,
            source: self.source,
            port: 9050,
            tls: self.tls,
        }
    }

    pub(crate) fn decide(&self, gateway: &Gateway) -> Decision {
        decide(gateway, &self.head(), &mut Seeded(1))
    }
}

/// Sends a request `count` times; how often each route served, and then how often nothing did.
pub(crate) fn tally(gateway: &Gateway, request: &Request, count: usize) -> Vec<usize> {
    let mut served = vec![0; gateway.routes.len() + 1];
    for _ in 0..count {
        let route = request.decide(gateway).chosen.map_or(gateway.routes.len(), |chosen| chosen.route);
        served[route] += 1;
    }
    served
}

/// The same for the targets of route 0.
pub(crate) fn tally_targets(gateway: &Gateway, request: &Request, count: usize) -> Vec<usize> {
    let mut served = vec![0; gateway.routes[0].targets.len()];
    for _ in 0..count {
        if let Some(Chosen { target, .. }) = request.decide(gateway).chosen {
            served[target] += 1;
        }
    }
    served
}

/// A client that keeps cookies as a browser does.
#[derive(Default, Clone)]
pub(crate) struct Client {
    pub(crate) jar: Vec<(String, String)>,
}

impl Client {
    pub(crate) fn send(&mut self, gateway: &Gateway, request: &Request) -> Decision {
        let pairs: Vec<String> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if pairs.is_empty() {
            request.clone()
        } else {
            request.clone().with("Cookie", &pairs.join("; "))
        };
        let decision = request.decide(gateway);
        assert!(decision.set_cookies.len() <= 3);
        for cookie in &decision.set_cookies {
            let pair = cookie.strip_suffix("; Path=/; HttpOnly; SameSite=Lax").expect(cookie);
            let (name, value) = pair.split_once('=').expect(cookie);
            assert!(routing::decide::is_own_cookie(name));
            self.jar.retain(|(kept, _)| kept != name);
            self.jar.push((name.into(), value.into()));
        }
        decision
    }

    pub(crate) fn route(&mut self, gateway: &Gateway, request: &Request) -> Option<usize> {
        self.send(gateway, request).chosen.map(|chosen| chosen.route)
    }
}
