//! Events of a change: the gateway as it was stored before against the gateway as it is stored after (spec: gateways 19,
//! R43; automation D31). Computed once for each commit, from what is stored, so every event happens exactly once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::event::NewEvent;
use model::gateway::ServiceAddress;
use model::name::{GatewayName, RoutePath};
use routing::config::TargetConfig;
use serde_json::{Map, Value, json};

use super::{Rules, show};
use crate::state::{Gateway, LiveRoute};

/// Routes up to which every event carries the whole gateway. Above, it carries the route concerned only: the size of a
/// commit must not grow with the square of the number of routes.
const WHOLE_GATEWAY_ROUTES: usize = 32;

/// Who caused a change, why, and when.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// A user, `vamp`, or the name of a client.
    pub actor: &'a str,
    /// In their words.
    pub reason: Option<&'a str>,
    /// When.
    pub now: Timestamp,
}

/// An event of type `event` without tags and value.
pub(super) fn event(actor: &str, now: Timestamp) -> NewEvent {
    NewEvent {
        tags: BTreeSet::new(),
        value: None,
        timestamp: now,
        kind: "event".into(),
        actor: Some(actor.to_owned()),
        version: None,
    }
}

/// The events of one gateway. The value of each is the gateway (as it is now; of a deleted one, as it was) and, under
/// `change`, what changed: `before`, `after`, and the reason.
pub fn diff(
    name: &GatewayName,
    before: Option<&Gateway>,
    after: Option<&Gateway>,
    cause: Cause<'_>,
    rules: &Rules,
) -> Vec<NewEvent> {
    let mut changes = Vec::new();
    let is_deployed =
        |gateway: Option<&Gateway>| gateway.is_some_and(|gateway| show::deployed(name, gateway));
    match (is_deployed(before), is_deployed(after)) {
        (false, true) => changes.push(Found::gateway("deployed", Value::Null, Value::Null)),
        (true, false) => changes.push(Found::gateway("undeployed", Value::Null, Value::Null)),
        _ => {}
    }
    compare_routes(before, after, &mut changes);
    if let (Some(before), Some(after)) = (before, after) {
        let generations = (before.live.sticky_generation, after.live.sticky_generation);
        if generations.0 != generations.1 {
            changes.push(Found::gateway("gateway:evicted", json!(generations.0), json!(generations.1)));
        }
    }
    if let Some(after) = after {
        let address = |gateway: &Gateway| gateway.sighted.service.address.clone();
        let (was, is) = (before.and_then(address), address(after));
        if was != is {
            changes.push(Found::gateway("gateway:serviceupdated", service(was), service(is)));
        }
        let known = before.map_or(&[][..], |before| &before.sighted.warnings);
        for warning in after.sighted.warnings.iter().filter(|warning| !known.contains(warning)) {
            changes.push(Found {
                path: warning.route.as_ref(),
                tag: format!("warning:{}", warning.code()),
                before: Value::Null,
                after: Value::from(warning.message()),
            });
        }
    }
    match after.or(before) {
        Some(shown) if !changes.is_empty() => render(name, shown, changes, cause, rules),
        _ => Vec::new(),
    }
}

/// One change that deserves an event.
struct Found<'a> {
    path: Option<&'a RoutePath>,
    tag: String,
    before: Value,
    after: Value,
}

impl<'a> Found<'a> {
    fn gateway(tag: &str, before: Value, after: Value) -> Self {
        Self { path: None, tag: tag.to_owned(), before, after }
    }

    fn route(path: &'a RoutePath, tag: &str, before: Value, after: Value) -> Self {
        Self { path: Some(path), tag: format!("route:{tag}"), before, after }
    }
}

fn compare_routes<'a>(before: Option<&'a Gateway>, after: Option<&'a Gateway>, changes: &mut Vec<Found<'a>>) {
    let routes =
        |gateway: Option<&'a Gateway>| -> &'a [LiveRoute] { gateway.map_or(&[], |g| &g.live.routes) };
    let index = |routes: &'a [LiveRoute]| -> BTreeMap<&'a RoutePath, &'a LiveRoute> {
        routes.iter().map(|route| (&route.path, route)).collect()
    };
    let (old, new) = (index(routes(before)), index(routes(after)));
    for route in routes(before).iter().filter(|route| !new.contains_key(&route.path)) {
        compare_settings(&route.path, Some(route), None, changes);
        changes.push(Found::route(&route.path, "removed", Value::Null, Value::Null));
    }
    for route in routes(after) {
        let path = &route.path;
        let earlier = old.get(path).copied();
        if earlier.is_none() {
            changes.push(Found::route(path, "added", Value::Null, Value::Null));
        }
        compare_settings(path, earlier, Some(route), changes);
        if let (Some(_), Some(before), Some(after)) = (earlier, before, after) {
            let (was, is) = (before.sighted.targets(path), after.sighted.targets(path));
            if was != is {
                changes.push(Found::route(path, "targetschanged", names(was), names(is)));
            }
        }
    }
}

/// Weight, condition and strength: each is added, updated or removed. A strength is there when its condition is.
fn compare_settings<'a>(
    path: &'a RoutePath,
    before: Option<&LiveRoute>,
    after: Option<&LiveRoute>,
    changes: &mut Vec<Found<'a>>,
) {
    type Setting = (&'static str, fn(&LiveRoute) -> Option<String>);
    let settings: [Setting; 3] = [
        ("weight", |route| Some(route.weight.to_string())),
        ("condition", |route| route.condition.as_ref().map(|condition| condition.text().to_owned())),
        ("conditionstrength", |route| route.condition.as_ref().map(|_| route.strength.to_string())),
    ];
    for (setting, value) in settings {
        let (was, is) = (before.and_then(value), after.and_then(value));
        let what = match (&was, &is) {
            (None, Some(_)) => "added",
            (Some(was), Some(is)) if was != is => "updated",
            (Some(_), None) => "removed",
            _ => continue,
        };
        changes.push(Found::route(path, &format!("{setting}{what}"), Value::from(was), Value::from(is)));
    }
}

fn service(address: Option<ServiceAddress>) -> Value {
    address.map_or(Value::Null, |address| json!({"host": address.host, "port": address.port}))
}

fn names(targets: &[TargetConfig]) -> Value {
    let text = |target: &TargetConfig| match &target.address {
        routing::config::TargetAddress::Socket(address) => address.to_string(),
        routing::config::TargetAddress::Name { host, port } => format!("{host}:{port}"),
    };
    targets.iter().map(text).collect()
}

fn render(
    name: &GatewayName,
    shown: &Gateway,
    changes: Vec<Found<'_>>,
    cause: Cause<'_>,
    rules: &Rules,
) -> Vec<NewEvent> {
    let mut view = show::view(name, shown, rules);
    let whole = view.routes.len() <= WHOLE_GATEWAY_ROUTES;
    let rendered = if whole { view.to_json() } else { Value::Null };
    let routes = std::mem::take(&mut view.routes);
    let routes: BTreeMap<_, _> = routes.iter().map(|(path, route)| (path, route)).collect();
    let mut events = Vec::with_capacity(changes.len());
    for Found { path, tag, before, after } in changes {
        let mut value = if whole {
            rendered.clone()
        } else {
            let concerned = path.and_then(|path| Some((path.clone(), (*routes.get(path)?).clone())));
            view.routes = concerned.into_iter().collect();
            view.to_json()
        };
        let mut change = Map::new();
        if let Some(path) = path {
            change.insert("route".into(), Value::from(path.as_str()));
        }
        change.insert("what".into(), Value::from(tag.as_str()));
        change.insert("before".into(), before);
        change.insert("after".into(), after);
        if let Some(reason) = cause.reason {
            change.insert("reason".into(), Value::from(reason));
        }
        if let Value::Object(gateway) = &mut value {
            gateway.insert("change".into(), Value::Object(change));
        }
        let tags = [Some(format!("gateways:{name}")), path.map(|path| format!("routes:{path}")), Some(tag)];
        events.push(NewEvent {
            tags: tags.into_iter().flatten().collect(),
            value: Some(value),
            ..event(cause.actor, cause.now)
        });
    }
    events
}
