//! What the status of a custom resource is to say. Pure.

use serde_json::{Map, Value, json};

use super::object::Resource;
use super::refused::Refused;

/// A gateway as it is live.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Live {
    /// Port in force, as text.
    pub port: String,
    /// Virtual hosts.
    pub hosts: Vec<String>,
    /// Routes in order.
    pub routes: Vec<Route>,
    /// What deserves attention.
    pub warnings: Vec<String>,
    /// Rises with every eviction.
    pub sticky_generation: u32,
    /// Revision that holds the document.
    pub revision: u64,
    /// Where clients reach it.
    pub addresses: Vec<Address>,
    /// Of what its document names, what is not there: a reason in one word, and words for people.
    pub unresolved: Option<(&'static str, String)>,
    /// The proxies that serve something.
    pub proxies: Vec<Proxy>,
}

/// A route as it is live.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// Path.
    pub name: String,
    /// Configured weight.
    pub weight: String,
    /// Weight in force.
    pub effective: String,
    /// Text of the condition, with its strength.
    pub condition: Option<(String, String)>,
    /// Instances that may get traffic.
    pub ready: usize,
    /// Instances that there are.
    pub total: usize,
    /// Its instances are gone and awaited.
    pub absent: bool,
}

/// Where clients reach a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// An IP address, or a host name.
    pub value: String,
    /// Port there.
    pub port: u16,
    /// True for the address that all virtual hosts share.
    pub shared: bool,
}

/// What a proxy has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Name.
    pub name: String,
    /// Revision that it serves.
    pub revision: u64,
    /// What it cannot do for this gateway.
    pub problem: Option<String>,
}

/// Routes that the column of weights names.
const NAMED: usize = 8;

/// The status of an object whose document was looked at. `live`: the gateway in force, which a refused document leaves as it
/// was. `now`: the time, as Kubernetes writes it; it gets in only where a condition changes.
pub fn status(object: &Resource, live: Option<&Live>, refused: Option<&Refused>, now: &str) -> Value {
    let mut status = Map::new();
    status.insert("observedGeneration".into(), object.generation.into());
    if let Some(live) = live {
        status.extend(shown(live));
    }
    let conditions =
        conditions(object.generation, live, refused).map(|condition| dated(condition, &object.status, now));
    status.insert("conditions".into(), conditions.into_iter().collect());
    Value::Object(status)
}

/// The merge patch from what the status says to what it is to say; `None` when nothing is different.
pub fn patch(current: &Value, wanted: &Value) -> Option<Value> {
    match (current, wanted) {
        (Value::Object(current), Value::Object(wanted)) => {
            let gone =
                current.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), Value::Null));
            let changed = wanted.iter().filter_map(|(key, value)| match current.get(key) {
                Some(known) => Some((key.clone(), patch(known, value)?)),
                None => Some((key.clone(), value.clone())),
            });
            let all: Map<String, Value> = gone.chain(changed).collect();
            (!all.is_empty()).then_some(Value::Object(all))
        }
        (current, wanted) => (current != wanted).then(|| wanted.clone()),
    }
}

/// True when a change is more than numbers of instances: it is told at once.
pub fn is_urgent(patch: &Value) -> bool {
    ["conditions", "observedGeneration", "port", "hosts", "addresses", "stickyGeneration"]
        .iter()
        .any(|field| patch.get(field).is_some())
        || patch.pointer("/summary/weights").is_some()
}

fn shown(live: &Live) -> Map<String, Value> {
    let routes = live.routes.iter().map(|route| {
        let mut shown = json!({
            "name": route.name,
            "weight": route.weight,
            "targets": {"ready": route.ready, "total": route.total},
        });
        if route.effective != route.weight {
            shown["effectiveWeight"] = route.effective.as_str().into();
        }
        if let Some((text, strength)) = &route.condition {
            shown["condition"] = text.as_str().into();
            shown["strength"] = strength.as_str().into();
        }
        if route.absent {
            shown["absent"] = true.into();
        }
        shown
    });
    let addresses = live.addresses.iter().map(|address| {
        let kind = if address.value.parse::<std::net::IpAddr>().is_ok() { "IPAddress" } else { "Hostname" };
        let purpose = if address.shared { "hosts" } else { "gateway" };
        json!({"type": kind, "value": address.value, "port": address.port, "for": purpose})
    });
    let mut weights: Vec<String> =
        live.routes.iter().take(NAMED).map(|route| format!("{} {}", route.name, route.weight)).collect();
    if live.routes.len() > NAMED {
        weights.push(format!("and {} more", live.routes.len() - NAMED));
    }
    let summary =
        json!({"routes": live.routes.len(), "weights": weights.join(", "), "hosts": live.hosts.join(",")});
    let mut fields = Map::new();
    let mut add = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    add("revision", live.revision.into());
    add("port", live.port.as_str().into());
    add("hosts", json!(live.hosts));
    add("addresses", addresses.collect());
    add("stickyGeneration", live.sticky_generation.into());
    add("routes", routes.collect());
    add("summary", summary);
    if !live.warnings.is_empty() {
        add("warnings", json!(live.warnings));
    }
    fields
}

struct Condition {
    kind: &'static str,
    holds: bool,
    generation: i64,
    reason: String,
    message: String,
}

fn conditions(generation: i64, live: Option<&Live>, refused: Option<&Refused>) -> [Condition; 3] {
    let condition = |kind, holds, reason: &str, message: String| Condition {
        kind,
        holds,
        generation,
        reason: reason.to_owned(),
        message,
    };
    let accepted = match refused {
        None => condition("Accepted", true, "Accepted", "the document is in force".into()),
        Some(why) => condition("Accepted", false, &reason(&why.code), why.message.clone()),
    };
    let (served, why, message) = match (refused, live) {
        (Some(_), Some(_)) => {
            (false, "NotAccepted", "this document was refused, the one of before is in force".into())
        }
        (Some(_), None) => (false, "NotAccepted", "this document was refused, nothing is served".into()),
        (None, None) => (false, "Pending", "the gateway is not in force yet".into()),
        (None, Some(live)) => served(live),
    };
    let programmed = condition("Programmed", served, why, message);
    let missing = refused.filter(|why| why.code == "artifact-not-found");
    let resolved = match (missing, live.and_then(|live| live.unresolved.as_ref())) {
        (Some(why), _) => condition("ResolvedRefs", false, &reason(&why.code), why.message.clone()),
        (None, Some((why, message))) => condition("ResolvedRefs", false, why, message.clone()),
        (None, None) => {
            condition("ResolvedRefs", true, "ResolvedRefs", "what the document names is there".into())
        }
    };
    [accepted, programmed, resolved]
}

/// Whether every proxy serves the document.
fn served(live: &Live) -> (bool, &'static str, String) {
    let (total, revision) = (live.proxies.len(), live.revision);
    let problem = live.proxies.iter().find_map(|proxy| Some((&proxy.name, proxy.problem.as_ref()?)));
    if let Some((name, problem)) = problem {
        return (false, "ProxyProblem", format!("{name}: {problem}"));
    }
    let serving = live.proxies.iter().filter(|proxy| proxy.revision >= revision).count();
    let message = format!("{serving}/{total} proxies, revision {revision}");
    match (serving, total) {
        (_, 0) => (false, "NoProxies", format!("no proxy takes part, revision {revision}")),
        _ if serving == total => (true, "Programmed", message),
        _ => (false, "Pending", message),
    }
}

/// `gateway-port-taken` as Kubernetes writes reasons: `GatewayPortTaken`.
fn reason(code: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    };
    let all: String =
        code.split(['-', '_', ' ']).map(word).filter(|w| w.chars().all(char::is_alphanumeric)).collect();
    if all.is_empty() { "Invalid".into() } else { all }
}

fn dated(condition: Condition, before: &Value, now: &str) -> Value {
    let Condition { kind, holds, generation, reason, message } = condition;
    let status = if holds { "True" } else { "False" };
    let known = before.get("conditions").and_then(Value::as_array);
    let known =
        known.and_then(|all| all.iter().find(|other| other["type"] == kind && other["status"] == status));
    let since = known.and_then(|known| known["lastTransitionTime"].as_str()).unwrap_or(now);
    json!({
        "type": kind,
        "status": status,
        "observedGeneration": generation,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    })
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
