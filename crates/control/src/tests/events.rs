//! Section 19: what is told, exactly once, after it is stored.

use model::gateway::ServiceAddress;
use model::port::{Port, Protocol};
use serde_json::json;

use super::world::{SHOP, World, document, name, pod};
use crate::request::{Change, Mode, Request};
use crate::state::PlatformService;

/// Events of one step, shortened.
fn told(world: &mut World, step: impl FnOnce(&mut World)) -> Vec<String> {
    let mark = world.events.len();
    step(world);
    world.events_since(mark)
}

#[test]
fn the_life_of_a_gateway() {
    let mut world = World::new();
    assert_eq!(told(&mut world, |w| drop(w.create(SHOP))), ["archive:create", "deployed"]);
    assert_eq!(
        told(&mut world, |w| w.version("1")),
        ["route:added routes:(1)", "route:weightadded routes:(1)"]
    );
    assert_eq!(
        told(&mut world, |w| w.version("2")),
        ["route:added routes:(2)", "route:weightadded routes:(2)"]
    );
    let half =
        format!("{SHOP}routes: {{'(1)': {{weight: 50%}}, '(2)': {{weight: 50%, condition: has header x}}}}");
    assert_eq!(
        told(&mut world, |w| drop(w.put(&half))),
        [
            "archive:update",
            "route:weightupdated routes:(1)",
            "route:weightupdated routes:(2)",
            "route:conditionadded routes:(2)",
            "route:conditionstrengthadded routes:(2)",
        ]
    );
    let other = half.replace("has header x", "has header y, condition_strength: 10%");
    assert_eq!(
        told(&mut world, |w| drop(w.put(&other))),
        ["archive:update", "route:conditionupdated routes:(2)", "route:conditionstrengthupdated routes:(2)"]
    );
    let without = half.replace(", condition: has header x", "");
    assert_eq!(
        told(&mut world, |w| drop(w.put(&without))),
        ["archive:update", "route:conditionremoved routes:(2)", "route:conditionstrengthremoved routes:(2)"]
    );
    let more = pod("more", "app=shop,version=1", [10, 0, 0, 9], &[8080]);
    assert_eq!(told(&mut world, |w| w.come(more)), ["route:targetschanged routes:(1)"]);
    assert_eq!(told(&mut world, |w| w.ready("more", false)), ["route:targetschanged routes:(1)"]);
    assert_eq!(told(&mut world, |w| w.go("more")), [""; 0]);
    assert_eq!(told(&mut world, |w| w.go("shop-1")), ["route:targetschanged routes:(1)"]);
    assert_eq!(
        told(&mut world, |w| w.advance(30)),
        ["route:weightremoved routes:(1)", "route:removed routes:(1)", "route:weightupdated routes:(2)"]
    );
    let evict = Change::Evict { gateway: name("shop") };
    assert_eq!(told(&mut world, |w| drop(w.change(evict))), ["gateway:evicted"]);
    assert_eq!(
        told(&mut world, |w| drop(w.change(Change::DeleteGateway(name("shop"))))),
        ["archive:delete", "undeployed", "route:weightremoved routes:(2)", "route:removed routes:(2)"]
    );
}

#[test]
fn events_say_who_what_before_after_and_why() {
    let mut world = World::shop(&["1", "2"]);
    let body = format!("{SHOP}routes: {{'(1)': {{weight: 75%}}, '(2)': {{weight: 25%}}}}");
    let request = Request {
        reason: Some("error budget".into()),
        body: Some(body.clone()),
        ..Request::new(Change::Gateway { document: document(&body), mode: Mode::Put }, "ann")
    };
    let mark = world.events.len();
    world.request(&request).unwrap();
    let events = &world.events[mark..];
    let archive = &events[0];
    assert_eq!((archive.kind.as_str(), archive.value.clone()), ("archive", Some(json!(body))));
    assert!(
        archive.tags.contains("gateways:shop")
            && archive.tags.contains("gateways")
            && archive.tags.contains("archive")
    );
    let weight = &events[1];
    assert_eq!((weight.kind.as_str(), weight.actor.as_deref()), ("event", Some("ann")));
    assert_eq!(weight.revision, Some(world.core.revision()));
    assert_eq!(weight.timestamp, world.now);
    let value = weight.value.as_ref().unwrap();
    assert_eq!(value["name"], "shop");
    assert_eq!(value["routes"]["(1)"]["weight"], "75%", "the gateway is the value");
    assert_eq!(
        value["change"],
        json!({"route": "(1)", "what": "route:weightupdated", "before": "100%", "after": "75%", "reason": "error budget"})
    );

    world.go("shop-2");
    let targets = world.events.last().unwrap();
    assert_eq!(targets.actor.as_deref(), Some("vamp"));
    assert_eq!(targets.value.as_ref().unwrap()["change"]["before"], json!(["10.0.0.2:8080"]));
    assert_eq!(targets.value.as_ref().unwrap()["change"]["after"], json!([]));
}

#[test]
fn a_refused_or_tried_change_tells_nothing() {
    let mut world = World::shop(&["1"]);
    let mark = world.events.len();
    world.put(&format!("{SHOP}routes: {{'(1)': {{weight: 5%}}}}")).unwrap_err();
    world.store_fails = true;
    world.put(&format!("{SHOP}sticky: route")).unwrap_err();
    assert_eq!(world.events_since(mark), [""; 0]);
}

/// A gateway with many routes must not make a commit that grows with the square of their number.
#[test]
fn events_of_large_gateways_carry_the_route_concerned_only() {
    let mut world = World::new();
    let routes = |weight: &str| {
        let rest =
            (1..200).map(|n| format!("'[h{n}:80]': {{weight: {weight}}}")).collect::<Vec<_>>().join(", ");
        format!(
            "{{name: large, routes: {{'[h0:80]': {{weight: {}}}, {rest}}}}}",
            if weight == "0.5%" { "0.5%" } else { "100%" }
        )
    };
    world.put(&routes("0%")).unwrap();
    let mark = world.events.len();
    world.put(&routes("0.5%")).unwrap();
    let events = &world.events[mark + 1..];
    assert_eq!(events.len(), 200);
    for event in events {
        let value = event.value.as_ref().unwrap();
        let path = value["change"]["route"].as_str().unwrap();
        assert_eq!(value["routes"].as_object().unwrap().keys().collect::<Vec<_>>(), [path]);
    }
}

#[test]
fn published_events_are_answered_as_stored() {
    let mut world = World::new();
    let new = model::event::NewEvent {
        tags: ["note:rollback".to_owned()].into(),
        value: Some(json!("by hand")),
        timestamp: world.now,
        kind: "audit".into(),
        actor: Some("ann".into()),
        version: None,
    };
    let outcomes = world.change(Change::Events(vec![new])).unwrap();
    let crate::Outcome::Events(events) = &outcomes[0] else { panic!("events") };
    assert!(!events[0].id.is_empty() && events[0].tags.contains("note"));
    assert_eq!(world.core.revision(), 0, "events alone make no revision");
}

/// R40: the platform's word about a gateway's service is shown and told once, and is no edit.
#[test]
fn the_service_of_a_gateway_comes_moves_and_is_blocked() {
    let mut world = World::shop(&["1"]);
    let service = |address: Option<(&str, u16)>, blocked| Change::Service {
        gateway: name("shop"),
        service: PlatformService {
            address: address.map(|(host, port)| ServiceAddress {
                host: host.into(),
                port: Port::assigned(port, Protocol::Http),
            }),
            blocked,
        },
    };
    let first = service(Some(("10.96.0.7", 30_080)), false);
    assert_eq!(told(&mut world, |w| drop(w.change(first.clone()))), ["gateway:serviceupdated"]);
    assert_eq!(
        world.entry("shop").view.to_json()["service"],
        json!({"host": "10.96.0.7", "port": "30080/http"})
    );
    let revision = world.core.revision();
    assert_eq!(told(&mut world, |w| drop(w.change(first))), [""; 0]);
    assert_eq!(world.core.revision(), revision, "the same again is no change");
    assert_eq!(told(&mut world, |w| w.version("2"))[0], "route:added routes:(2)");
    assert_eq!(world.entry("shop").view.service.host, "10.96.0.7", "kept when targets come");
    let version = world.entry("shop").version;

    let blocked = service(None, true);
    assert_eq!(
        told(&mut world, |w| drop(w.change(blocked))),
        ["gateway:serviceupdated", "warning:foreign-service"]
    );
    assert!(world.entry("shop").warnings.iter().any(|warning| warning.contains("not Vamp's")));
    assert_eq!(told(&mut world, |w| drop(w.change(service(None, false)))), [""; 0]);
    assert!(world.entry("shop").warnings.is_empty());
    assert_eq!(world.entry("shop").view.service.host, "127.0.0.1");
    assert_eq!(world.entry("shop").version, version, "no edit");

    let gone = Change::Service { gateway: name("nobody"), service: PlatformService::default() };
    assert_eq!(told(&mut world, |w| drop(w.change(gone))), [""; 0]);
}
