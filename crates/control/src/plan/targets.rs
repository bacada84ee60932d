//! Targets of explicit routes, and the ids of all targets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use model::gateway::{External, external};
use model::name::{GatewayName, RoutePath};
use routing::config::{TargetAddress, TargetConfig, TargetKind, TargetProtocol};
use sha2::{Digest, Sha256};

use super::Rules;
use crate::state::State;

/// Id of a target: short, the same after every restart and in every replica, and no address to be read from it.
pub(super) fn id(address: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("{address} {name}"));
    digest[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The target of a route that is written in brackets, or that names a gateway. None for a gateway that is not there (yet),
/// and for paths that name an instance of a deployment.
pub(super) fn explicit(path: &RoutePath, state: &State, rules: &Rules) -> Option<TargetConfig> {
    match path.external() {
        Some(text) => external(text).ok().map(|address| outside(text, address)),
        None => chained(path, state, rules),
    }
}

fn outside(text: &str, address: External) -> TargetConfig {
    let (address, tls) = match address {
        External::Ip { ip, port, tls } => {
            (TargetAddress::Socket(SocketAddr::new(ip, port)), tls.then(|| ip.to_string()))
        }
        External::Name { host, port, tls } => {
            let name = tls.then(|| host.clone());
            (TargetAddress::Name { host, port }, name)
        }
    };
    TargetConfig {
        id: id(text, ""),
        name: text.to_owned(),
        address,
        kind: TargetKind::External,
        protocol: TargetProtocol::default(),
        tls,
    }
}

/// Another gateway is reached through its listener (section 17).
fn chained(path: &RoutePath, state: &State, rules: &Rules) -> Option<TargetConfig> {
    let name = GatewayName::parse(path.as_str()).ok()?;
    let gateway = state.gateways.get(&name)?;
    let address = SocketAddr::new(reachable(rules.gateway_address), gateway.live.port.number());
    Some(TargetConfig {
        id: id("gateway", name.as_str()),
        name: name.as_str().to_owned(),
        address: TargetAddress::Socket(address),
        kind: TargetKind::Gateway,
        protocol: TargetProtocol::default(),
        // Its own listener: whose it is needs no proof.
        tls: gateway.declared.tls.as_ref().map(|_| "localhost".to_owned()),
    })
}

/// Who listens on every address is reached through loopback.
pub(super) fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    }
}
