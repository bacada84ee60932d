//! Targets that the proxy of this process leaves out, as events: once when it begins, once when they can be trusted again.

use std::time::Duration;

use control::{Change, Control, Request};
use jiff::Timestamp;
use model::event::NewEvent;
use proxy::{Incident, Proxy};
use serde_json::json;

/// How often is looked.
const PERIOD: Duration = Duration::from_secs(5);

/// Publishes them for as long as it runs.
pub(crate) async fn tell(proxy: Proxy, control: Control) {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        period.tick().await;
        let now = Timestamp::now();
        let events: Vec<NewEvent> =
            proxy.incidents().into_iter().map(|incident| event(incident, now)).collect();
        if !events.is_empty()
            && let Err(error) = control.submit(Request::new(Change::Events(events), "vamp")).await
        {
            tracing::warn!(%error, "targets that were left out could not be noted as events");
        }
    }
}

fn event(incident: Incident, now: Timestamp) -> NewEvent {
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
    NewEvent {
        tags: tags.into_iter().collect(),
        value: Some(json!({"target": name, "id": id, "reason": why})),
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

    #[test]
    fn events_name_gateway_route_and_target() {
        let incident = |ejected| Incident {
            gateway: GatewayName::parse("shop").unwrap(),
            route: RoutePath::parse("(1.0)").unwrap(),
            id: "ab12".into(),
            name: "pod-1".into(),
            ejected,
        };
        for (ejected, tag) in [(true, "target:ejected"), (false, "target:returned")] {
            let event = event(incident(ejected), Timestamp::UNIX_EPOCH);
            for expected in ["gateways:shop", "routes:(1.0)", "instances:pod-1", tag] {
                assert!(event.tags.contains(expected), "{expected}: {event:?}");
            }
            assert_eq!(event.value.unwrap()["id"], "ab12");
        }
    }
}
