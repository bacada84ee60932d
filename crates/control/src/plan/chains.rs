//! Gateways that lead to gateways (spec: gateways 17; R12, R37).

use std::collections::BTreeSet;

use model::gateway::GatewaySpec;
use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
use model::problem::Problem;

use crate::state::{Gateway, State};

/// The gateways that the routes of a gateway name, whether they exist or not.
fn links(spec: &GatewaySpec) -> impl Iterator<Item = (&RoutePath, GatewayName)> {
    let routes = spec.routes.iter().filter(|(path, route)| {
        spec.selector.is_none() && route.selector.is_none() && path.external().is_none()
    });
    routes.filter_map(|(path, _)| Some((path, GatewayName::parse(path.as_str()).ok()?)))
}

/// True when some route of `gateway` names one of `others`. Asked of every gateway for every change, and so compares texts.
pub(super) fn leads_to(gateway: &Gateway, others: &BTreeSet<&str>) -> bool {
    gateway.declared.selector.is_none()
        && gateway.live.routes.iter().any(|route| others.contains(route.path.as_str()))
}

/// What is wrong with the chains through a written gateway.
pub(super) fn check(state: &State, name: &GatewayName) -> Vec<Problem> {
    let Some(gateway) = state.gateways.get(name) else { return Vec::new() };
    let mut problems = Vec::new();
    if let Some(circle) = circle(state, name) {
        let way: Vec<&str> = circle.iter().map(GatewayName::as_str).collect();
        let message = format!("The routes of gateway '{name}' lead back to it: {}.", way.join(" -> "));
        problems.push(Problem::new("gateway-cycle", "/routes", message));
    }
    if gateway.live.port.protocol() == Protocol::Http {
        for (path, other) in links(&gateway.declared) {
            if is_tcp(state, &other) {
                let message = format!(
                    "Route '{path}' of http gateway '{name}' leads to a tcp gateway; only tcp gateways may."
                );
                problems.push(Problem::new("gateway-chain-type", format!("/routes/{path}"), message));
            }
        }
    } else {
        let from = state.gateways.iter().filter(|(_, other)| other.live.port.protocol() == Protocol::Http);
        let own = BTreeSet::from([name.as_str()]);
        for (other, _) in from.filter(|(_, other)| leads_to(other, &own)) {
            let message = format!(
                "Gateway '{name}' cannot be tcp: a route of http gateway '{other}' leads to it, and only tcp gateways may."
            );
            problems.push(Problem::new("gateway-chain-type", "/port", message));
        }
    }
    problems
}

fn is_tcp(state: &State, name: &GatewayName) -> bool {
    state.gateways.get(name).is_some_and(|gateway| gateway.live.port.protocol() == Protocol::Tcp)
}

/// A way from `start` back to itself. Only ways through `start` are looked for: all others were there before and refused.
fn circle(state: &State, start: &GatewayName) -> Option<Vec<GatewayName>> {
    let mut seen = BTreeSet::new();
    let mut ways = vec![vec![start.clone()]];
    while let Some(way) = ways.pop() {
        let Some(gateway) = way.last().and_then(|last| state.gateways.get(last)) else { continue };
        for (_, next) in links(&gateway.declared) {
            let longer = || way.iter().chain(std::iter::once(&next)).cloned().collect::<Vec<_>>();
            if next == *start {
                return Some(longer());
            }
            if seen.insert(next.clone()) {
                ways.push(longer());
            }
        }
    }
    None
}
