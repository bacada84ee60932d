//! Whose the declared part is, when a gateway is mirrored outside (design: declared documents are changed by whoever wrote them).
//!
//! ```text
//! edit of the mirrored document:   base --edit--> given       what differs is applied: to declared, and once to live
//! document through the API:        declared + live --edit--> given     settings of routes are live; the rest is declared
//! ```

use model::gateway::{GatewaySpec, RouteSpec};
use model::name::RoutePath;
use model::percent::Percent;
use model::port::Port;
use model::problem::Problem;

use crate::state::{Gateway, LiveRoute};

/// What is declared after the mirrored document went from `base` to `given`, while `declared` may have been changed by others:
/// field by field, the edit wins where there is one.
pub(super) fn edited(base: &GatewaySpec, given: &GatewaySpec, declared: &GatewaySpec) -> GatewaySpec {
    fn pick<T: PartialEq + Clone>(base: &T, given: &T, declared: &T) -> T {
        if given == base { declared.clone() } else { given.clone() }
    }
    GatewaySpec {
        name: declared.name.clone(),
        metadata: pick(&base.metadata, &given.metadata, &declared.metadata),
        port: pick(&base.port, &given.port, &declared.port),
        selector: pick(&base.selector, &given.selector, &declared.selector),
        routes: pick(&base.routes, &given.routes, &declared.routes),
        sticky: pick(&base.sticky, &given.sticky, &declared.sticky),
        target_protocol: pick(&base.target_protocol, &given.target_protocol, &declared.target_protocol),
        virtual_hosts: pick(&base.virtual_hosts, &given.virtual_hosts, &declared.virtual_hosts),
        service: pick(&base.service, &given.service, &declared.service),
        tls: pick(&base.tls, &given.tls, &declared.tls),
        target_tls: pick(&base.target_tls, &given.target_tls, &declared.target_tls),
        target_care: pick(&base.target_care, &given.target_care, &declared.target_care),
        proxy_protocol: pick(&base.proxy_protocol, &given.proxy_protocol, &declared.proxy_protocol),
    }
}

/// The routes in force after an edit. `spec`: what is declared after it.
///
/// Settings that the edit did not touch stay as they are live. Weights are one setting: an edit of any of them applies all.
///
/// # Errors
/// The weights do not add up.
pub(super) fn routes(
    base: &GatewaySpec,
    given: &GatewaySpec,
    spec: &GatewaySpec,
    gateway: &Gateway,
) -> Result<Vec<LiveRoute>, Problem> {
    let live = &gateway.live.routes;
    let same_kind = spec.selector.is_some() == gateway.declared.selector.is_some();
    if given.routes == base.routes && same_kind {
        return Ok(live.clone());
    }
    let mut target = spec.clone();
    for (path, route) in &mut target.routes {
        let before = find(&base.routes, path);
        let now = live.iter().find(|live| live.path == *path);
        if let (Some(before), Some(now)) = (before, now) {
            keep_untouched(route, before, now);
        }
    }
    if same_kind && weights(base) == weights(given) {
        keep_weights(&mut target, live);
    }
    super::routes::merge(Some(gateway), &target)
}

fn find<'a>(routes: &'a [(RoutePath, RouteSpec)], path: &RoutePath) -> Option<&'a RouteSpec> {
    routes.iter().find(|(other, _)| other == path).map(|(_, route)| route)
}

/// Replaces settings that are as in `before` by those that are live.
fn keep_untouched(route: &mut RouteSpec, before: &RouteSpec, live: &LiveRoute) {
    let same_condition = route.condition == before.condition;
    if same_condition && route.condition_strength == before.condition_strength {
        route.condition_strength = Some(live.strength);
    }
    if same_condition {
        route.condition.clone_from(&live.condition);
    }
    if route.balance == before.balance {
        route.balance = live.balance.clone();
    }
    if route.rewrites == before.rewrites {
        route.rewrites.clone_from(&live.rewrites);
    }
    if route.metadata == before.metadata {
        route.metadata.clone_from(&live.metadata);
    }
}

/// Weights that a document gives.
fn weights(spec: &GatewaySpec) -> Vec<(&RoutePath, Percent)> {
    let mut given: Vec<_> =
        spec.routes.iter().filter_map(|(path, route)| Some((path, route.weight?))).collect();
    given.sort();
    given
}

/// Gives routes the weights that they have, unless that makes no whole.
fn keep_weights(target: &mut GatewaySpec, live: &[LiveRoute]) {
    if target.selector.is_some() {
        // Nothing given is what keeps weights there (R23).
        if !live.is_empty() {
            target.routes.iter_mut().for_each(|(_, route)| route.weight = None);
        }
        return;
    }
    let sum =
        |weights: &mut dyn Iterator<Item = Percent>| weights.map(|w| u32::from(w.hundredths())).sum::<u32>();
    let of = |path: &RoutePath| live.iter().find(|route| route.path == *path).map(|route| route.weight);
    let total = sum(&mut live.iter().map(|route| route.weight));
    let kept = sum(&mut target.routes.iter().filter_map(|(path, _)| of(path)));
    if kept == total {
        for (path, route) in &mut target.routes {
            route.weight = match of(path) {
                // Whoever comes to routes that share everything gets nothing yet.
                None if total > 0 => Some(Percent::ZERO),
                kept => kept,
            };
        }
    }
}

/// What is declared after `given` was written through the API over a gateway whose document has an owner elsewhere. `given` may
/// be what was read, with a setting changed.
pub(super) fn kept(previous: &Gateway, given: GatewaySpec) -> GatewaySpec {
    let (declared, live) = (&previous.declared, &previous.live);
    let same_port = |a: Port, b: Port| a.number() == b.number() && a.protocol() == b.protocol();
    let asks = |port: Option<Port>| port.is_none_or(|port| port.number() == 0);
    let port = match (given.port, declared.port) {
        (Some(now), _) if same_port(now, live.port) => {
            let fits = declared.port.is_none_or(|port| port.number() == 0 || same_port(port, now));
            if fits { declared.port } else { given.port }
        }
        (now, before) if asks(now) && asks(before) => before,
        (now, _) => now,
    };
    let virtual_hosts = if given.virtual_hosts == live.hosts {
        declared.virtual_hosts.clone()
    } else {
        // Automatic names are shown, and come back with what was read.
        let automatic = |host: &String| live.hosts.contains(host) && !declared.virtual_hosts.contains(host);
        given.virtual_hosts.iter().filter(|host| !automatic(host)).cloned().collect()
    };
    let routes = if same_routes(previous, &given) { declared.routes.clone() } else { given.routes };
    GatewaySpec {
        name: given.name,
        metadata: given.metadata,
        port,
        selector: given.selector,
        routes,
        sticky: given.sticky,
        target_protocol: given.target_protocol,
        virtual_hosts,
        service: declared.service.clone(),
        tls: given.tls,
        target_tls: given.target_tls,
        target_care: given.target_care,
        proxy_protocol: given.proxy_protocol,
    }
}

/// True when a document has no other routes than there are: what it says about them is live.
fn same_routes(previous: &Gateway, given: &GatewaySpec) -> bool {
    let declared = &previous.declared;
    match (&declared.selector, &given.selector) {
        (Some(_), Some(_)) => true,
        (None, None) => {
            let live = previous.live.routes.iter().map(|route| &route.path);
            let selector = |routes: &[(RoutePath, RouteSpec)], path| {
                find(routes, path).and_then(|route| route.selector.clone())
            };
            live.eq(given.routes.iter().map(|(path, _)| path))
                && given.routes.iter().all(|(path, route)| route.selector == selector(&declared.routes, path))
        }
        _ => false,
    }
}
