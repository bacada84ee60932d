//! Events of the control plane as Kubernetes Events: one line for what belongs together.

use std::collections::BTreeMap;
use std::sync::Arc;

use kubernetes::gateways::Severity;
use model::event::Event;
use model::name::GatewayName;
use serde_json::Value;

/// A line about a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) gateway: GatewayName,
    pub(super) severity: Severity,
    pub(super) reason: String,
    pub(super) message: String,
}

/// What of a line is collected before it is written.
#[derive(Default)]
struct Parts {
    texts: Vec<String>,
    actor: String,
    why: Option<String>,
}

/// Parts that a line spells out.
const SPELLED: usize = 10;

/// The lines about these events, in their order. What a revision did to weights, say, is one line.
pub(super) fn lines(events: &[Arc<Event>]) -> Vec<Line> {
    let mut order = Vec::new();
    let mut all: BTreeMap<(GatewayName, Option<u64>, String, bool), Parts> = BTreeMap::new();
    for event in events {
        let Some((gateway, reason, severity, text)) = read(event) else { continue };
        let key = (gateway, event.revision, reason, severity == Severity::Warning);
        let parts = all.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            Parts {
                actor: event.actor.clone().unwrap_or_default(),
                why: change(event).and_then(|change| change["reason"].as_str()).map(str::to_owned),
                ..Parts::default()
            }
        });
        parts.texts.push(text);
    }
    let line = |key: (GatewayName, Option<u64>, String, bool)| {
        let parts = all.remove(&key)?;
        let (gateway, _, reason, warning) = key;
        let more = parts.texts.len().saturating_sub(SPELLED);
        let mut message = parts.texts.into_iter().take(SPELLED).collect::<Vec<_>>().join(", ");
        if more > 0 {
            message += &format!(", and {more} more");
        }
        if !warning && !parts.actor.is_empty() {
            message += &format!(" (by {})", parts.actor);
        }
        if let Some(why) = parts.why {
            message += &format!(": {why}");
        }
        let severity = if warning { Severity::Warning } else { Severity::Normal };
        Some(Line { gateway, severity, reason, message })
    };
    order.into_iter().filter_map(line).collect()
}

fn change(event: &Event) -> Option<&Value> {
    event.value.as_ref()?.get("change")
}

fn read(event: &Event) -> Option<(GatewayName, String, Severity, String)> {
    let tag = |prefix: &str| event.tags.iter().find_map(|tag| tag.strip_prefix(prefix));
    let gateway = GatewayName::parse(tag("gateways:")?).ok()?;
    let route = tag("routes:").unwrap_or_default();
    let text = |side: &str| change(event).and_then(|change| change[side].as_str()).unwrap_or("-").to_owned();
    if let Some(code) = tag("warning:") {
        return Some((gateway, capitals(code), Severity::Warning, text("after")));
    }
    let from_to = || format!("{route} {} -> {}", text("before"), text("after"));
    let (reason, line) = match tag("route:") {
        Some("added") => ("RouteAdded", route.to_owned()),
        Some("removed") => ("RouteRemoved", route.to_owned()),
        Some("weightupdated") => ("WeightsChanged", from_to()),
        Some("conditionadded" | "conditionupdated" | "conditionremoved") => ("ConditionsChanged", from_to()),
        Some("conditionstrengthupdated") => ("StrengthsChanged", from_to()),
        Some(_) => return None,
        None if event.tags.contains("gateway:evicted") => {
            ("Evicted", "sticky clients choose anew".to_owned())
        }
        None if event.tags.contains("deployed") => ("Deployed", "proxies serve the gateway".to_owned()),
        None => return None,
    };
    Some((gateway, reason.to_owned(), Severity::Normal, line))
}

/// `several-targets` as `SeveralTargets`.
fn capitals(code: &str) -> String {
    let word =
        |word: &str| word.get(..1).map(|first| first.to_ascii_uppercase() + &word[1..]).unwrap_or_default();
    code.split('-').map(word).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(revision: u64, tags: &[&str], change: Value) -> Arc<Event> {
        Arc::new(Event {
            id: "1".into(),
            version: "1.0".into(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            value: Some(json!({"change": change})),
            timestamp: jiff::Timestamp::UNIX_EPOCH,
            kind: "event".into(),
            actor: Some("ann".into()),
            revision: Some(revision),
        })
    }

    #[test]
    fn what_one_revision_did_is_one_line() {
        let weight = |revision, route: &str, before: &str, after: &str| {
            event(
                revision,
                &["gateways", "gateways:shop", &format!("routes:{route}"), "route", "route:weightupdated"],
                json!({"before": before, "after": after, "reason": "canary"}),
            )
        };
        let events = [
            weight(3, "(1)", "100%", "90%"),
            weight(3, "(2)", "0%", "10%"),
            weight(4, "(2)", "10%", "20%"),
            event(4, &["gateways:shop", "routes:(3)", "route:added"], json!({})),
            event(4, &["gateways:shop", "routes:(3)", "route:targetschanged"], json!({})),
            event(5, &["gateways:shop", "warning:no-port"], json!({"after": "declare one"})),
            event(5, &["archive:update"], json!({})),
        ];
        let told: Vec<String> = lines(&events)
            .into_iter()
            .map(|line| format!("{:?} {} {}", line.severity, line.reason, line.message))
            .collect();
        assert_eq!(
            told,
            [
                "Normal WeightsChanged (1) 100% -> 90%, (2) 0% -> 10% (by ann): canary",
                "Normal WeightsChanged (2) 10% -> 20% (by ann): canary",
                "Normal RouteAdded (3) (by ann)",
                "Warning NoPort declare one",
            ]
        );
    }
}
