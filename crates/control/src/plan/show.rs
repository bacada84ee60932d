//! A gateway as users read it and as proxies serve it.

use model::gateway::{GatewayView, RouteView, ServiceAddress, TargetView};
use model::lookup;
use model::name::GatewayName;
use model::percent::Percent;
use model::port::{Port, Protocol};
use routing::config::{GatewayConfig, RouteConfig, TargetAddress, TargetConfig, TargetKind};

use super::{Rules, targets, weights};
use crate::state::{Gateway, LiveRoute};

/// The document that reads show: declared and live halves merged (section 4).
pub fn view(name: &GatewayName, gateway: &Gateway, rules: &Rules) -> GatewayView {
    let (declared, live, sighted) = (&gateway.declared, &gateway.live, &gateway.sighted);
    let derived = || ServiceAddress {
        host: targets::reachable(rules.gateway_address).to_string(),
        port: Port::assigned(live.port.number(), live.port.protocol()),
    };
    GatewayView {
        name: name.clone(),
        metadata: declared.metadata.clone(),
        service: live.service.clone().or_else(|| sighted.service.address.clone()).unwrap_or_else(derived),
        deployed: deployed(name, gateway),
        port: live.port,
        sticky: declared.sticky,
        target_protocol: declared.target_protocol,
        virtual_hosts: live.hosts.clone(),
        tls: declared.tls.clone(),
        target_tls: declared.target_tls.clone(),
        target_care: declared.target_care.clone(),
        proxy_protocol: declared.proxy_protocol,
        selector: declared.selector.clone(),
        routes: live.routes.iter().map(|route| (route.path.clone(), route_view(route, gateway))).collect(),
    }
}

fn route_view(route: &LiveRoute, gateway: &Gateway) -> RouteView {
    let declared = gateway.declared.routes.iter().find(|(path, _)| *path == route.path);
    RouteView {
        metadata: route.metadata.clone(),
        weight: route.weight,
        condition: route.condition.clone(),
        condition_strength: route.strength,
        balance: route.balance.clone(),
        rewrites: route.rewrites.clone(),
        selector: declared.and_then(|(_, declared)| declared.selector.clone()),
        targets: gateway.sighted.targets(&route.path).iter().map(target_view).collect(),
    }
}

fn target_view(target: &TargetConfig) -> TargetView {
    match (&target.address, target.kind) {
        (TargetAddress::Socket(address), TargetKind::Gateway) => TargetView::Named {
            name: target.name.clone(),
            host: address.ip().to_string(),
            port: address.port(),
        },
        (TargetAddress::Socket(address), _) => TargetView::Url(address.to_string()),
        (TargetAddress::Name { host, port }, _) => TargetView::Url(format!("{host}:{port}")),
    }
}

/// Section 19: the port is assigned and the gateway is not internal, or it has a selector, or some route has a selector or
/// targets.
pub fn deployed(name: &GatewayName, gateway: &Gateway) -> bool {
    let served = || {
        let routes = &gateway.live.routes;
        gateway.declared.selector.is_some()
            || gateway.declared.routes.iter().any(|(_, route)| route.selector.is_some())
            || routes.iter().any(|route| !gateway.sighted.targets(&route.path).is_empty())
    };
    gateway.live.port.number() != 0 && (!name.is_internal() || served())
}

/// Weights in the data plane, in route order.
pub fn effective(gateway: &Gateway) -> Vec<Percent> {
    let configured: Vec<Percent> = gateway.live.routes.iter().map(|route| route.weight).collect();
    weights::effective(&configured, &absent(gateway))
}

/// Which routes are absent, in route order.
pub fn absent(gateway: &Gateway) -> Vec<bool> {
    gateway.live.routes.iter().map(|route| gateway.sighted.is_absent(&route.path)).collect()
}

/// A target with what the gateway says about TLS to its targets.
fn secured(target: &TargetConfig, gateway: &Gateway) -> TargetConfig {
    let Some(tls) = gateway.declared.target_tls.as_ref().filter(|_| target.kind != TargetKind::Gateway)
    else {
        return target.clone();
    };
    let of_address = || match &target.address {
        TargetAddress::Socket(address) => address.ip().to_string(),
        TargetAddress::Name { host, .. } => host.clone(),
    };
    let name = tls.server_name.clone().or_else(|| target.tls.clone()).unwrap_or_else(of_address);
    TargetConfig { tls: Some(name), ..target.clone() }
}

/// The gateway as proxies serve it.
pub fn config(name: &GatewayName, gateway: &Gateway) -> GatewayConfig {
    let live = &gateway.live;
    let protocol = live.port.protocol();
    let routes = live.routes.iter().zip(effective(gateway)).map(|(route, weight)| RouteConfig {
        path: route.path.clone(),
        lookup: lookup::route(name, &route.path),
        weight: weight.hundredths(),
        condition: route.condition.clone(),
        strength: route.strength.hundredths(),
        balance: route.balance.clone(),
        rewrites: route.rewrites.clone(),
        targets: gateway
            .sighted
            .targets(&route.path)
            .iter()
            .map(|target| told(secured(target, gateway), gateway))
            .collect(),
    });
    GatewayConfig {
        name: name.clone(),
        lookup: lookup::gateway(name),
        port: Some(live.port.number()).filter(|number| *number != 0),
        protocol,
        hosts: if protocol == Protocol::Http { live.hosts.clone() } else { Vec::new() },
        sticky: gateway.declared.sticky,
        sticky_generation: live.sticky_generation,
        tls: gateway.declared.tls.clone(),
        target_tls: gateway.declared.target_tls.clone(),
        target_care: gateway.declared.target_care.clone(),
        proxy_protocol: gateway.declared.proxy_protocol,
        routes: routes.collect(),
    }
}

/// What the document says of the protocol of targets goes before what their ports say; a gateway is reached through the
/// listener of a proxy, whose protocol is not up to the document.
fn told(target: TargetConfig, gateway: &Gateway) -> TargetConfig {
    match gateway.declared.target_protocol {
        Some(protocol) if target.kind != TargetKind::Gateway => TargetConfig { protocol, ..target },
        _ => target,
    }
}
