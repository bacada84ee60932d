//! A written document meets the routes in force (spec: gateways 5, 7, 9.4, R23).

use model::gateway::{GatewaySpec, RouteSpec, complete_weights};
use model::name::RoutePath;
use model::percent::Percent;
use model::problem::Problem;
use serde_json::Map;

use crate::state::{Gateway, LiveRoute, Origin};

/// The routes of a gateway after `spec` was written over `previous`.
///
/// Without a selector the document says it all. With one (R23), a document without routes keeps the current ones, and one with
/// routes replaces the settings of those that it names; their weights too as soon as it gives any.
///
/// # Errors
/// The weights do not add up to 0 % or 100 %.
pub(super) fn merge(previous: Option<&Gateway>, spec: &GatewaySpec) -> Result<Vec<LiveRoute>, Problem> {
    // Routes that were not discovered mean something else than groups and do not outlive the change to a selector.
    let current = match previous {
        Some(gateway) if spec.selector.is_some() && gateway.declared.selector.is_some() => {
            gateway.live.routes.as_slice()
        }
        _ => &[],
    };
    let given: Vec<Option<Percent>> = spec.routes.iter().map(|(_, route)| route.weight).collect();
    let keep_weights = !current.is_empty() && given.iter().all(Option::is_none);
    let find = |path: &RoutePath| current.iter().find(|route| route.path == *path);
    let weights = if keep_weights {
        spec.routes.iter().map(|(path, _)| find(path).map_or(Percent::ZERO, |route| route.weight)).collect()
    } else {
        let weights = complete_weights(&given);
        if !matches!(weights.iter().map(|weight| u32::from(weight.hundredths())).sum::<u32>(), 0 | 10_000) {
            let message = format!("Total route weight must be either 0% or 100%: {}.", spec.name);
            return Err(Problem::new("weight", "/routes", message));
        }
        weights
    };
    let named = spec
        .routes
        .iter()
        .zip(weights)
        .map(|((path, route), weight)| written(path, route, weight, find(path)));
    let unnamed = current.iter().filter(|route| spec.routes.iter().all(|(path, _)| *path != route.path));
    let unnamed = unnamed.map(|route| match keep_weights {
        true => route.clone(),
        false => LiveRoute { weight: Percent::ZERO, ..route.clone() },
    });
    Ok(in_order(named.collect(), unnamed.collect(), current))
}

fn written(path: &RoutePath, route: &RouteSpec, weight: Percent, current: Option<&LiveRoute>) -> LiveRoute {
    let default = if route.condition.is_some() { Percent::FULL } else { Percent::ZERO };
    // The readable name of a group stays with it.
    let mut metadata: Map<_, _> = route.metadata.clone();
    for key in ["groups", "title"] {
        let kept = current.and_then(|current| current.metadata.get(key));
        if let (Some(value), false) = (kept, metadata.contains_key(key)) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    LiveRoute {
        path: path.clone(),
        weight,
        condition: route.condition.clone(),
        strength: route.condition_strength.unwrap_or(default),
        balance: route.balance.clone(),
        rewrites: route.rewrites.clone(),
        metadata,
        origin: Origin::Declared,
    }
}

/// Order matters (R5): named routes in the order written; each other one stays behind the route that it is behind now.
fn in_order(named: Vec<LiveRoute>, unnamed: Vec<LiveRoute>, current: &[LiveRoute]) -> Vec<LiveRoute> {
    let mut routes = named;
    for route in unnamed {
        let at = current.iter().position(|other| other.path == route.path).unwrap_or_default();
        let before = at.checked_sub(1).map(|before| &current[before].path);
        let place = before.and_then(|before| routes.iter().position(|other| other.path == *before));
        routes.insert(place.map_or(0, |place| place + 1), route);
    }
    routes
}
