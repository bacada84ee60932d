//! The proxy without anything around it, for measurements: one gateway with one target, one with a split, a header
//! condition and stickiness, and the first once more with TLS. Each of them serves HTTP/1.1 and HTTP/2.
//!
//! `cargo run --release -p proxy --example bare -- THREADS PLAIN_PORT SPLIT_PORT TARGET_A TARGET_B [TLS_PORT CERTIFICATE KEY]`

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use model::condition::Condition;
use model::gateway::{Balance, CertificateSource, Sticky, Tls, TlsVersion};
use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
use proxy::{Proxy, Settings};
use routing::config::{
    GatewayConfig, RouteConfig, RoutingConfig, TargetAddress, TargetConfig, TargetKind, TargetProtocol,
};
use telemetry::Telemetry;

const USAGE: &str = "expected THREADS PLAIN_PORT SPLIT_PORT TARGET_A TARGET_B [TLS_PORT CERTIFICATE KEY]";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers = arguments.iter().take(6).map(|text| text.parse()).collect::<Result<Vec<u16>, _>>()?;
    let (&[threads, plain, split, a, b], rest) = numbers.split_first_chunk().ok_or(USAGE)?;
    let workers = usize::from(threads);
    let proxy = Proxy::start(Settings { workers, ..Settings::default() }, Telemetry::new(workers))?;
    let mut gateways = vec![
        gateway("plain", plain, None, vec![route("a", 10_000, None, a)?])?,
        gateway(
            "split",
            split,
            Some(Sticky::Route),
            vec![
                route("a", 9_000, None, a)?,
                route("b", 1_000, Some(Condition::parse("header x-canary has yes")?), b)?,
            ],
        )?,
    ];
    if let &[port] = rest {
        let [.., certificate, key] = &arguments[..] else { return Err(USAGE.into()) };
        let files = CertificateSource::Files { certificate: certificate.clone(), key: key.clone() };
        let tls = Tls { certificates: vec![files], minimum_version: TlsVersion::V12, redirect: false };
        let plain = gateway("tls", port, None, vec![route("a", 10_000, None, a)?])?;
        gateways.push(GatewayConfig { tls: Some(tls), ..plain });
    }
    let gateways = gateways.into_iter().map(|gateway| (gateway.name.clone(), Arc::new(gateway))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let applied = runtime.block_on(proxy.apply(Arc::new(RoutingConfig { revision: 1, gateways })));
    if let Some((gateway, problem)) = applied.problems.first() {
        return Err(format!("{gateway}: {problem}").into());
    }
    runtime.block_on(pending())
}

fn gateway(
    name: &str,
    port: u16,
    sticky: Option<Sticky>,
    routes: Vec<RouteConfig>,
) -> Result<GatewayConfig, String> {
    Ok(GatewayConfig {
        name: GatewayName::parse(name)?,
        lookup: name.into(),
        port: Some(port),
        protocol: Protocol::Http,
        hosts: Vec::new(),
        sticky,
        sticky_generation: 0,
        tls: None,
        target_tls: None,
        target_care: None,
        proxy_protocol: false,
        routes,
    })
}

fn route(path: &str, weight: u16, condition: Option<Condition>, port: u16) -> Result<RouteConfig, String> {
    Ok(RouteConfig {
        path: RoutePath::parse(path)?,
        lookup: path.into(),
        weight,
        strength: if condition.is_some() { 10_000 } else { 0 },
        condition,
        balance: Balance::Default,
        rewrites: Vec::new(),
        targets: vec![TargetConfig {
            id: path.into(),
            name: path.into(),
            address: TargetAddress::Socket(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            kind: TargetKind::Instance,
            protocol: TargetProtocol::default(),
            tls: None,
        }],
    })
}
