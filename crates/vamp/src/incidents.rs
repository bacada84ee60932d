//! Targets that proxies leave out, as events: once when it begins, once when they can be trusted again. The proxy is that of this process,
//! or those of the agents; what several of them notice about a target in a few seconds is one event.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::agent::Incident;
use control::{Change, Control, Request};
use jiff::Timestamp;
use model::event::NewEvent;
use proxy::Proxy;
use serde_json::{Value, json};

/// How often is looked.
const PERIOD: Duration = Duration::from_secs(5);
/// Events of one look; what else happens meanwhile is counted in the log.
const MOST: usize = 256;
/// Agents that an event names; more are counted.
const MOST_NAMED: usize = 20;

/// What was noticed since the last look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noticed(Arc<Mutex<Gathered>>);

#[derive(Debug, Default)]
struct Gathered {
    /// Oldest first, with the agents that said so; without one it was the proxy of this process.
    all: Vec<(Incident, BTreeSet<String>)>,
    too_many: usize,
}

impl Noticed {
    /// Takes down what an agent noticed.
    pub(crate) fn add(&self, agent: &str, incidents: Vec<Incident>) {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for incident in incidents {
            gathered.add(incident, Some(agent));
        }
    }

    /// Publishes it for as long as this runs.
    pub(crate) async fn tell(self, control: Control) {
        let mut period = period();
        loop {
            period.tick().await;
            let gathered = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            publish(gathered, &control).await;
        }
    }
}

/// Publishes what the proxy of this process notices, for as long as this runs.
pub(crate) async fn tell(proxy: Proxy, control: Control) {
    let mut period = period();
    loop {
        period.tick().await;
        let mut gathered = Gathered::default();
        proxy.incidents().into_iter().for_each(|incident| gathered.add(as_told(incident), None));
        publish(gathered, &control).await;
    }
}

/// An incident as agents tell it.
pub(crate) fn as_told(incident: proxy::Incident) -> Incident {
    let proxy::Incident { gateway, route, id, name, ejected } = incident;
    Incident { gateway, route, id, name, ejected }
}

fn period() -> tokio::time::Interval {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    period
}

async fn publish(gathered: Gathered, control: &Control) {
    if gathered.too_many > 0 {
        tracing::warn!(gathered.too_many, "more targets were left out or let in than are noted as events");
    }
    let now = Timestamp::now();
    let events: Vec<NewEvent> =
        gathered.all.into_iter().map(|(incident, agents)| event(incident, &agents, now)).collect();
    if !events.is_empty()
        && let Err(error) = control.submit(Request::new(Change::Events(events), "vamp")).await
    {
        tracing::warn!(%error, "targets that were left out could not be noted as events");
    }
}

impl Gathered {
    fn add(&mut self, incident: Incident, agent: Option<&str>) {
        let agent = agent.map(str::to_owned);
        match self.all.iter().position(|(known, _)| *known == incident) {
            Some(place) => self.all[place].1.extend(agent),
            None if self.all.len() < MOST => self.all.push((incident, agent.into_iter().collect())),
            None => self.too_many += 1,
        }
    }
}

fn event(incident: Incident, agents: &BTreeSet<String>, now: Timestamp) -> NewEvent {
    let Incident { gateway, route, id, name, ejected } = incident;
    let (tag, why) = match ejected {
        true => ("target:ejected", "it answers badly where others do not, and is left out for a while"),
        false => ("target:returned", "it has served as long as it was left out before"),
    };
    let tags = [
        format!("gateways:{gateway}"),
        format!("routes:{route}"),
        format!("instances:{name}"),
        tag.to_owned(),
    ];
    let mut value = json!({"target": name, "id": id, "reason": why});
    if let Value::Object(value) = &mut value
        && !agents.is_empty()
    {
        let named: Vec<&String> = agents.iter().take(MOST_NAMED).collect();
        value.insert("agents".into(), json!(named));
        value.insert("agent_count".into(), json!(agents.len()));
    }
    NewEvent {
        tags: tags.into_iter().collect(),
        value: Some(value),
        timestamp: now,
        kind: "event".to_owned(),
        actor: Some("vamp".to_owned()),
        version: None,
    }
}

#[cfg(test)]
mod tests {
    use model::name::{GatewayName, RoutePath};

    use super::*;

    fn incident(id: &str, ejected: bool) -> Incident {
        Incident {
            gateway: GatewayName::parse("shop").unwrap(),
            route: RoutePath::parse("(1.0)").unwrap(),
            id: id.into(),
            name: "pod-1".into(),
            ejected,
        }
    }

    #[test]
    fn events_name_gateway_route_and_target() {
        for (ejected, tag) in [(true, "target:ejected"), (false, "target:returned")] {
            let event = event(incident("ab12", ejected), &BTreeSet::new(), Timestamp::UNIX_EPOCH);
            for expected in ["gateways:shop", "routes:(1.0)", "instances:pod-1", tag] {
                assert!(event.tags.contains(expected), "{expected}: {event:?}");
            }
            let value = event.value.unwrap();
            assert_eq!((&value["id"], value.get("agents")), (&json!("ab12"), None));
        }
    }

    #[test]
    fn what_several_agents_notice_is_one_event_that_names_them() {
        let noticed = Noticed::default();
        for n in 0..30 {
            noticed.add(&format!("agent-{n:02}"), vec![incident("a", true), incident("a", true)]);
        }
        noticed.add("agent-00", vec![incident("a", false)]);
        let gathered = std::mem::take(&mut *noticed.0.lock().unwrap());
        assert_eq!((gathered.all.len(), gathered.too_many), (2, 0));
        let (first, agents) = gathered.all[0].clone();
        assert!(first.ejected && !gathered.all[1].0.ejected, "in the order in which it happened");
        let value = event(first, &agents, Timestamp::UNIX_EPOCH).value.unwrap();
        assert_eq!(value["agent_count"], 30);
        assert_eq!(value["agents"].as_array().unwrap().len(), MOST_NAMED);
        assert_eq!(value["agents"][0], "agent-00");
    }

    #[test]
    fn a_look_makes_a_bounded_number_of_events() {
        let noticed = Noticed::default();
        noticed.add("a", (0..MOST + 9).map(|n| incident(&n.to_string(), true)).collect());
        noticed.add("b", vec![incident("0", true)]);
        let gathered = std::mem::take(&mut *noticed.0.lock().unwrap());
        assert_eq!((gathered.all.len(), gathered.too_many), (MOST, 9));
        assert_eq!(gathered.all[0].1.len(), 2, "what is known goes on");
    }
}
