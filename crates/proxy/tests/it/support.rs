//! A proxy for a test, and documents for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::condition::Condition;
use model::gateway::{Balance, Sticky};
use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
use model::rewrite::Rewrite;
use proxy::{Applied, Limits, Proxy, Settings};
use routing::config::{
    GatewayConfig, RouteConfig, RoutingConfig, TargetAddress, TargetConfig, TargetKind, TargetProtocol,
};
use telemetry::Telemetry;
pub(crate) use testkit::ports::free as free_port;
use testkit::wire::Wire;

/// A proxy with its revision counter and telemetry.
pub(crate) struct Bench {
    pub(crate) proxy: Proxy,
    pub(crate) telemetry: Arc<Telemetry>,
    revision: std::sync::atomic::AtomicU64,
}

/// A time-out that a test waits for, and that nothing meets by accident: a busy machine may let a thread wait for half a second.
pub(crate) const SHORT: Duration = Duration::from_secs(1);

/// Limits that make a test of a time-out short.
pub(crate) fn short() -> Limits {
    Limits {
        head_timeout: SHORT,
        keep_alive_timeout: SHORT,
        connect_timeout: SHORT,
        inactivity_timeout: SHORT,
        tunnel_timeout: SHORT,
        ..brisk()
    }
}

/// Limits of a proxy that looks after things twenty times a second, with the time-outs that it has by default.
pub(crate) fn brisk() -> Limits {
    let interval = Duration::from_millis(50);
    Limits {
        health_interval: interval,
        refresh_interval: interval,
        bind_interval: interval,
        ..Limits::default()
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            workers: 2,
            virtual_host_listen: Some("127.0.0.1:0".parse().unwrap()),
            ..Settings::default()
        };
        change(&mut settings);
        let telemetry = Telemetry::new(settings.workers);
        let proxy = Proxy::start(settings, Arc::clone(&telemetry)).unwrap();
        Self { proxy, telemetry, revision: 0.into() }
    }

    pub(crate) async fn apply(&self, gateways: Vec<GatewayConfig>) -> Applied {
        self.apply_shared(gateways.into_iter().map(Arc::new).collect()).await
    }

    pub(crate) async fn apply_shared(&self, gateways: Vec<Arc<GatewayConfig>>) -> Applied {
        let revision = self.revision.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let gateways: BTreeMap<_, _> = gateways.into_iter().map(|g| (g.name.clone(), g)).collect();
        self.proxy.apply(Arc::new(RoutingConfig { revision, gateways })).await
    }

    /// A connection to the virtual-host listener.
    pub(crate) async fn connect(&self) -> Wire {
        testkit::target::connect(self.proxy.virtual_host_address().unwrap()).await.unwrap()
    }
}

/// A gateway `name` with the host `name.test` and no port.
pub(crate) fn gateway(name: &str, routes: Vec<RouteConfig>) -> GatewayConfig {
    GatewayConfig {
        name: GatewayName::parse(name).unwrap(),
        lookup: format!("lookup-{name}"),
        port: None,
        protocol: Protocol::Http,
        hosts: vec![format!("{name}.test")],
        sticky: None,
        sticky_generation: 0,
        tls: None,
        target_tls: None,
        target_care: None,
        proxy_protocol: false,
        routes,
    }
}

pub(crate) fn on_port(port: u16, gateway: GatewayConfig) -> GatewayConfig {
    GatewayConfig { port: Some(port), ..gateway }
}

pub(crate) fn tcp(port: u16, gateway: GatewayConfig) -> GatewayConfig {
    GatewayConfig { port: Some(port), protocol: Protocol::Tcp, hosts: Vec::new(), ..gateway }
}

pub(crate) fn sticky(kind: Sticky, gateway: GatewayConfig) -> GatewayConfig {
    GatewayConfig { sticky: Some(kind), ..gateway }
}

/// A route with a weight in percent.
pub(crate) fn route(path: &str, weight: u16, targets: &[SocketAddr]) -> RouteConfig {
    RouteConfig {
        path: RoutePath::parse(path).unwrap(),
        lookup: format!("lookup-{path}"),
        weight: weight * 100,
        condition: None,
        strength: 0,
        balance: Balance::Default,
        rewrites: Vec::new(),
        targets: targets.iter().map(|address| target(*address, TargetKind::Instance)).collect(),
    }
}

pub(crate) fn condition(text: &str, strength: u16, route: RouteConfig) -> RouteConfig {
    RouteConfig { condition: Some(Condition::parse(text).unwrap()), strength: strength * 100, ..route }
}

pub(crate) fn rewrites(texts: &[&str], route: RouteConfig) -> RouteConfig {
    RouteConfig { rewrites: texts.iter().map(|text| Rewrite::parse(text).unwrap()).collect(), ..route }
}

pub(crate) fn kind(kind: TargetKind, route: RouteConfig) -> RouteConfig {
    let targets = route.targets.iter().map(|target| TargetConfig { kind, ..target.clone() }).collect();
    RouteConfig { targets, ..route }
}

pub(crate) fn target(address: SocketAddr, kind: TargetKind) -> TargetConfig {
    TargetConfig {
        id: format!("t{}", address.port()),
        name: format!("pod-{}", address.port()),
        address: TargetAddress::Socket(address),
        kind,
        protocol: TargetProtocol::default(),
        tls: None,
    }
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A GET request to the virtual host `name.test`.
pub(crate) fn get(name: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {name}.test\r\n\r\n")
}
