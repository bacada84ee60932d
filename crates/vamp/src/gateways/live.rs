//! A gateway of the control plane as the status of its custom resource shows it.

use control::state::StoredMirror;
use control::{Entry, View};
use kubernetes::gateways::{Address, Live, Proxy, Route};
use model::name::GatewayName;

/// Warnings and routes of a status have their limits, so that an object never becomes too large for a cluster.
const MOST_ROUTES: usize = 500;
const MOST_WARNINGS: usize = 20;

/// `shared`: where all virtual hosts are reached.
pub(super) fn live(
    name: &GatewayName,
    entry: &Entry,
    mirror: &StoredMirror,
    view: &View,
    shared: &[(String, u16)],
) -> Live {
    let routes = entry.view.routes.iter().enumerate().take(MOST_ROUTES).map(|(index, (path, route))| Route {
        name: path.to_string(),
        weight: route.weight.to_string(),
        effective: entry.effective[index].to_string(),
        condition: route
            .condition
            .as_ref()
            .map(|condition| (condition.text().to_owned(), route.condition_strength.to_string())),
        ready: entry.instances[index].ready,
        total: entry.instances[index].existing,
        absent: entry.absent[index],
    });
    let own = entry.service.address.as_ref().map(|address| Address {
        value: address.host.clone(),
        // Inside the cluster a Service is reached on the gateway's own port.
        port: entry.view.port.number(),
        shared: false,
    });
    let hosts = &entry.view.virtual_hosts;
    let shared = shared.iter().filter(|_| !hosts.is_empty()).map(|(value, port)| Address {
        value: value.clone(),
        port: *port,
        shared: true,
    });
    // Nobody waits for one that is lost.
    let proxies = view.proxies.iter().filter(|proxy| !proxy.lost).filter_map(|proxy| {
        let problem = proxy.problems.iter().find(|(gateway, _)| gateway == name);
        Some(Proxy {
            name: proxy.name.clone(),
            // One that has not served anything yet is about to come.
            // More than the document needs says nothing about it.
            revision: proxy.revision?.min(mirror.version),
            problem: problem.map(|(_, problem)| problem.clone()),
        })
    });
    Live {
        port: entry.view.port.to_string(),
        hosts: hosts.clone(),
        routes: routes.collect(),
        warnings: entry.warnings.iter().take(MOST_WARNINGS).cloned().collect(),
        sticky_generation: entry.sticky_generation,
        revision: mirror.version,
        addresses: own.into_iter().chain(shared).collect(),
        unresolved: unresolved(entry, view),
        proxies: proxies.collect(),
    }
}

/// What the document names and is not there.
fn unresolved(entry: &Entry, view: &View) -> Option<(&'static str, String)> {
    if entry.service.blocked {
        let message = "a Service that is not Vamp's has the name that the gateway's own would have: rename the gateway, or delete that \
                       Service";
        return Some(("ForeignService", message.into()));
    }
    if entry.declared.selector.is_some() {
        let none = entry.instances.iter().all(|counts| counts.existing == 0);
        return none.then(|| ("NoInstances", "the selector matches no instance that was ever ready".into()));
    }
    let missing = |(index, (path, route)): (usize, &(model::name::RoutePath, model::gateway::RouteView))| {
        if route.selector.is_some() {
            let none = entry.instances[index].existing == 0;
            return none
                .then(|| ("NoInstances", format!("the selector of route '{path}' matches no instance")));
        }
        let other = path.external().is_none().then(|| GatewayName::parse(path.as_str()).ok()).flatten()?;
        (!view.gateways.contains_key(&other)).then(|| {
            (
                "GatewayNotFound",
                format!("route '{path}' leads to the gateway '{other}', which does not exist"),
            )
        })
    };
    entry.view.routes.iter().enumerate().find_map(missing)
}
