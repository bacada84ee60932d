//! What gateways must not share: ports and virtual hosts (spec: gateways 6, 15; R6, R11, R13, R14, R35).

use std::collections::{BTreeMap, BTreeSet};

use model::gateway::{GatewaySpec, automatic_host};
use model::name::GatewayName;
use model::port::{Port, Protocol};
use model::problem::Problem;

use super::Rules;
use crate::state::{Gateway, State};

/// The port of a written gateway and whether Vamp chose it. Number 0: still to be assigned.
pub(super) fn port(previous: Option<&Gateway>, spec: &GatewaySpec) -> (Port, bool) {
    let live = previous.map(|gateway| &gateway.live);
    match spec.port.filter(|port| port.number() != 0) {
        // Whoever sends back what was read has not chosen the port.
        Some(port) => (port, live.is_some_and(|live| live.assigned && live.port.number() == port.number())),
        None => {
            let protocol = spec.port.map(|port| port.protocol()).unwrap_or_default();
            let number = live.filter(|live| live.assigned).map_or(0, |live| live.port.number());
            (Port::assigned(number, protocol), true)
        }
    }
}

/// Gives every gateway of `written` that still needs one the lowest free port of the range. Explicit ports anywhere in the
/// state are skipped.
///
/// # Errors
/// The name of the gateway for which there is none.
pub(super) fn assign_ports(
    state: &mut State,
    written: &BTreeSet<GatewayName>,
    rules: &Rules,
) -> Result<(), GatewayName> {
    let needy: Vec<_> = written
        .iter()
        .filter(|name| state.gateways.get(name).is_some_and(|g| g.live.port.number() == 0))
        .collect();
    if needy.is_empty() {
        return Ok(());
    }
    let used = state.gateways.values().map(|gateway| gateway.live.port.number());
    let used: BTreeSet<u16> = used.chain(rules.reserved_ports.iter().copied()).collect();
    let mut free = rules
        .port_range
        .clone()
        .filter(|port| *port != 0 && !used.contains(port))
        .filter(|port| rules.port_check.allows(*port));
    for name in needy {
        let number = free.next().ok_or_else(|| name.clone())?;
        super::accept::edit(state, name, |live| live.port = Port::assigned(number, live.port.protocol()));
    }
    Ok(())
}

/// What is wrong with the port of a written gateway.
pub(super) fn check_port(
    state: &State,
    name: &GatewayName,
    before: Option<&Gateway>,
    rules: &Rules,
) -> Option<Problem> {
    let port = state.gateways.get(name)?.live.port;
    let problem = |message| Some(Problem::new("gateway-port-taken", "/port", message));
    if before.is_some_and(|before| before.live.port.number() == port.number()) {
        return None;
    }
    if rules.reserved_ports.contains(&port.number()) {
        return problem(format!("Gateway port '{port}' is in use by Vamp itself, use a different port."));
    }
    let same = |(other, gateway): &(&GatewayName, &Gateway)| {
        *other != name && gateway.live.port.number() == port.number()
    };
    let (other, _) = state.gateways.iter().find(same)?;
    problem(format!(
        "Gateway port '{port}' is/was in use by '{other}', remove it first or use a different port."
    ))
}

/// Sets the virtual hosts of the written gateways: the automatic name, unless another gateway has it, then the given ones.
/// Returns what is wrong, by gateway: given ones that another gateway has.
pub(super) fn hosts(
    state: &mut State,
    written: &BTreeSet<GatewayName>,
    rules: &Rules,
) -> BTreeMap<GatewayName, Vec<Problem>> {
    let given = |gateway: &Gateway| match gateway.live.port.protocol() {
        Protocol::Http => gateway.declared.virtual_hosts.clone(),
        Protocol::Tcp => Vec::new(),
    };
    let mut problems: BTreeMap<GatewayName, Vec<Problem>> = BTreeMap::new();
    // First all given ones, so that the order of several documents does not matter.
    for name in written {
        if let Some(hosts) = state.gateways.get(name).map(given) {
            super::accept::edit(state, name, |live| live.hosts = hosts);
        }
    }
    for name in written {
        let Some(gateway) = state.gateways.get(name) else { continue };
        for (index, host) in gateway.live.hosts.iter().enumerate() {
            if let Some(holder) = holder(state, name, host) {
                let message = format!("Virtual host '{host}' is already in use by gateway '{holder}'.");
                let problem = Problem::new("virtual-hosts", format!("/virtual_hosts/{index}"), message);
                problems.entry(name.clone()).or_default().push(problem);
            }
        }
    }
    for name in written {
        let Some(gateway) = state.gateways.get(name) else { continue };
        let http = gateway.live.port.protocol() == Protocol::Http;
        let automatic = automatic_host(name, &rules.virtual_hosts).filter(|_| http);
        let automatic = automatic.filter(|host| holder(state, name, host).is_none());
        let mut seen = BTreeSet::new();
        let hosts = automatic.iter().chain(&gateway.live.hosts).filter(|host| seen.insert(host.as_str()));
        let hosts: Vec<String> = hosts.cloned().collect();
        super::accept::edit(state, name, |live| live.hosts = hosts);
    }
    problems
}

/// Another gateway that has this virtual host.
fn holder<'a>(state: &'a State, name: &GatewayName, host: &str) -> Option<&'a GatewayName> {
    let holds = |(other, gateway): &(&GatewayName, &Gateway)| {
        *other != name && gateway.live.hosts.iter().any(|held| held == host)
    };
    state.gateways.iter().find(holds).map(|(other, _)| other)
}
