//! What users may write, and what becomes of it: R23, ports, hosts, chains, several documents, preconditions.

use model::artifact::{Artifact, ArtifactKind};

use super::world::{SHOP, World, document, name, pod};
use crate::request::{Change, Mode, Outcome, Part, RefusalKind, Request};

fn routes(yaml: &str) -> String {
    format!("{SHOP}routes: {yaml}")
}

/// R23, row by row. All start with `(1) 60 | (2) 40` and `(3)` at 0; (1) has a condition.
#[test]
fn r23_a_document_meets_the_routes_in_force() {
    let start = "(1) 60% x1 if has header x 100% | (2) 40% x1 | (3) 0% x1";
    let check = |written: &str, expected: &str| {
        let mut world = World::shop(&["1", "2", "3"]);
        let all = "{'(1)': {weight: 60%, condition: has header x}, '(2)': {weight: 40%}, '(3)': {}}";
        assert_eq!(world.put(&routes(all)).unwrap(), start);
        match world.put(written) {
            Ok(shown) => assert_eq!(shown, expected, "{written}"),
            Err(message) => assert!(message.contains(expected), "{written}: {message}"),
        }
    };
    check(SHOP, start);
    check(&routes("{}"), start);
    check(&routes("~"), start);
    // No weight given: weights stay, settings of the named ones are replaced.
    check(&routes("{'(1)': {}}"), "(1) 60% x1 | (2) 40% x1 | (3) 0% x1");
    check(
        &routes("{'(2)': {condition: has cookie c, condition_strength: 5%}}"),
        "(1) 60% x1 if has header x 100% | (2) 40% x1 if has cookie c 5% | (3) 0% x1",
    );
    check(
        &routes("{'(9)': {}}"),
        "(1) 60% x1 if has header x 100% | (2) 40% x1 | (3) 0% x1 | (9) 0% x0 absent",
    );
    // Some weight given: sections 5 and 7 over the named ones, the others get nothing.
    check(&routes("{'(2)': {weight: 100%}}"), "(1) 0% x1 if has header x 100% | (2) 100% x1 | (3) 0% x1");
    check(&routes("{'(1)': {weight: 0%}, '(3)': {}}"), "(1) 0% x1 | (2) 0% x1 | (3) 100% x1");
    check(&routes("{'(1)': {weight: 0%}}"), "(1) 0% x1 | (2) 0% x1 | (3) 0% x1");
    check(&routes("{'(2)': {weight: 50%}}"), "Total route weight must be either 0% or 100%: shop.");
    check(
        &routes("{'(2)': {weight: 99.5%}, '(3)': {weight: 0.5%}}"),
        "(1) 0% x1 if has header x 100% | (2) 99.5% x1 | (3) 0.5% x1",
    );
    // Order as written; others stay behind the one that they are behind now.
    check(&routes("{'(3)': {}, '(2)': {}, '(1)': {}}"), "(3) 0% x1 | (2) 40% x1 | (1) 60% x1");
    check(&routes("{'(3)': {}, '(1)': {}}"), "(3) 0% x1 | (1) 60% x1 | (2) 40% x1");
    check(
        &routes("{'(1)': {}, '(8)': {}, '(3)': {}}"),
        "(1) 60% x1 | (2) 40% x1 | (8) 0% x0 absent | (3) 0% x1",
    );
}

#[test]
fn a_new_gateway_with_a_selector_fills_weights_in() {
    let mut world = World::new();
    assert_eq!(
        world.put(&routes("['(1)', '(2)', '(3)']")).unwrap(),
        "(1) 33%>0% x0 absent | (2) 33%>0% x0 absent | (3) 34%>0% x0 absent"
    );
}

#[test]
fn what_was_read_may_be_written_back() {
    let mut world = World::shop(&["1", "2"]);
    world.put(&routes("{'(1)': {weight: 80%, condition: User-Agent == Firefox, metadata: {a: {b: [1]}}}, '(2)': {weight: 20%}}")).unwrap();
    world
        .put("{name: edge, port: 9071/http, sticky: instance, routes: {shop: {}, '[a.example:80]': {}}}")
        .unwrap();
    for gateway in ["shop", "edge"] {
        let before = world.entry(gateway).view.to_json();
        let mark = world.events.len();
        world.put(&before.to_string()).unwrap();
        assert_eq!(world.entry(gateway).view.to_json(), before);
        assert_eq!(world.events_since(mark), ["archive:update"], "{gateway}");
    }
}

#[test]
fn writing_the_same_document_again_is_archived_and_changes_nothing() {
    let mut world = World::shop(&["1"]);
    let (revision, mark) = (world.core.revision(), world.events.len());
    world.put(SHOP).unwrap();
    assert_eq!(world.core.revision(), revision);
    assert_eq!(world.events_since(mark), ["archive:update"]);
}

#[test]
fn a_change_to_a_selector_and_back_starts_afresh() {
    let mut world = World::shop(&["1"]);
    let explicit = "{name: shop, port: 9070, routes: {'[10.1.1.1:80]': {}}}";
    assert_eq!(world.put(explicit).unwrap(), "[10.1.1.1:80] 100% x1");
    assert_eq!(world.put(SHOP).unwrap(), "(1) 100% x1");
}

#[test]
fn route_selectors_give_explicit_targets() {
    let mut world = World::new();
    world.come(pod("a", "app=shop,version=1", [10, 0, 0, 1], &[80]));
    world.come(pod("b", "app=shop,version=2", [10, 0, 0, 2], &[80]));
    let gateway =
        "{name: g, routes: {all: {selector: label(app)(shop)}, none: {selector: label(app)(cart)}}}";
    assert_eq!(world.put(gateway).unwrap(), "all 50% x2 | none 50% x0");
    world.ready("b", false);
    assert_eq!(world.show("g"), "all 50% x1 | none 50% x0");
    world.go("a");
    world.go("b");
    world.advance(1000);
    assert_eq!(world.show("g"), "all 50% x0 | none 50% x0", "explicit routes stay");
}

#[test]
fn ports_that_other_programs_hold_are_not_assigned() {
    let mut world = World::new();
    world.settings.port_check = crate::PortCheck::new(|port| port != 40_000 && port != 40_002);
    world.restart();
    world.put("name: a").unwrap();
    world.put("name: b").unwrap();
    // An explicit port is the user's to choose; the proxy reports what it cannot open.
    world.put("{name: c, port: 40002}").unwrap();
    let port = |gateway: &str| world.entry(gateway).view.port.to_string();
    assert_eq!([port("a"), port("b"), port("c")], ["40001/http", "40003/http", "40002"]);
}

#[test]
fn ports() {
    let port = |world: &World, gateway: &str| world.entry(gateway).view.port.to_string();
    let mut world = World::new();
    world.settings.port_range = 40_000..=40_003;
    world.settings.reserved_ports = vec![40_001, 8090];
    world.restart();
    world.put("name: a").unwrap();
    world.put("{name: fixed, port: 40002}").unwrap();
    world.put("{name: b, port: 0}").unwrap();
    assert_eq!((port(&world, "a"), port(&world, "b")), ("40000/http".into(), "40003/http".into()));

    let full = world.put("name: c").unwrap_err();
    assert!(full.starts_with("Exhausted: No port available in the range 40000-40003"), "{full}");
    // R14: kept, also when what was read is sent back in between.
    world.put("{name: a, port: 40000/http}").unwrap();
    world.put("{name: a, sticky: route}").unwrap();
    assert_eq!(port(&world, "a"), "40000/http");
    // Explicit ports may move, and free ones are used again.
    world.put("{name: fixed, port: 9000}").unwrap();
    world.put("name: c").unwrap();
    assert_eq!((port(&world, "c"), port(&world, "fixed")), ("40002/http".into(), "9000".into()));
    world.change(Change::DeleteGateway(name("a"))).unwrap();
    world.put("{name: d, port: 0/tcp}").unwrap();
    assert_eq!(port(&world, "d"), "40000/tcp");

    for (yaml, refused) in [
        (
            "{name: x, port: 9000}",
            "Gateway port '9000' is/was in use by 'fixed', remove it first or use a different port.",
        ),
        ("{name: x, port: 9000/tcp}", "Gateway port '9000/tcp' is/was in use by 'fixed'"),
        ("{name: c, port: 9000/http}", "Gateway port '9000/http' is/was in use by 'fixed'"),
        ("{name: x, port: 40003}", "is/was in use by 'b'"),
        ("{name: x, port: 8090}", "in use by Vamp itself"),
    ] {
        let message = world.put(yaml).unwrap_err();
        assert!(message.starts_with("Invalid: ") && message.contains(refused), "{yaml}: {message}");
    }
    // An explicit port that is taken away is assigned.
    world.put("{name: d}").unwrap();
    world.put("{name: c, port: 9001}").unwrap();
    world.put("{name: c}").unwrap();
    assert_eq!(port(&world, "c"), "40002/http");
}

#[test]
fn a_trial_shows_the_port_and_takes_nothing() {
    let mut world = World::new();
    let change = || Change::Gateway {
        document: document("{name: a, routes: ['[x:1]', '[y:1]']}"),
        mode: Mode::Create,
    };
    let trial = Request { dry_run: true, ..Request::new(change(), "ann") };
    for _ in 0..2 {
        let Outcome::Gateway(view, _) = world.request(&trial).unwrap().remove(0) else { panic!("a gateway") };
        assert_eq!(view.port.to_string(), "40000/http");
        assert_eq!(view.virtual_hosts, ["a.vamp"]);
        assert_eq!(view.to_json()["routes"]["[x:1]"]["weight"], "50%");
    }
    assert!(world.core.shown().gateways.is_empty());
    assert!(world.events.is_empty());
    assert_eq!(world.core.revision(), 0);
}

#[test]
fn trials_with_many_selectors_are_forgotten() {
    let mut world = World::shop(&["1"]);
    for number in 0..500 {
        let document = document(&format!("{{name: t, selector: label(app)(x{number})}}"));
        let trial =
            Request { dry_run: true, ..Request::new(Change::Gateway { document, mode: Mode::Put }, "ann") };
        world.request(&trial).unwrap();
    }
    assert!(world.core.selectors_kept() < 100);
    assert_eq!(world.show("shop"), "(1) 100% x1");
}

#[test]
fn virtual_hosts() {
    let hosts = |world: &World, gateway: &str| world.entry(gateway).view.virtual_hosts.join(" ");
    let mut world = World::new();
    world.put("{name: my_gw, virtual_hosts: [One.Example, my-gw.vamp]}").unwrap();
    assert_eq!(hosts(&world, "my_gw"), "my-gw.vamp one.example");
    let taken = world.put("{name: b, virtual_hosts: [one.example]}").unwrap_err();
    assert_eq!(taken, "Invalid: Virtual host 'one.example' is already in use by gateway 'my_gw'.");
    let taken = world.put("{name: b, virtual_hosts: [my-gw.vamp]}").unwrap_err();
    assert!(taken.contains("my-gw.vamp"), "{taken}");
    // R35: an automatic name that collides is left out silently.
    world.put("{name: my-gw}").unwrap();
    assert_eq!(hosts(&world, "my-gw"), "");
    world.change(Change::DeleteGateway(name("my_gw"))).unwrap();
    world.put("{name: my-gw}").unwrap();
    assert_eq!(hosts(&world, "my-gw"), "my-gw.vamp");
    world.put("{name: 'sava:1.0/9050', port: 9050}").unwrap();
    assert_eq!(hosts(&world, "sava:1.0/9050"), "9050.sava-1-0.vamp");
    world.put("{name: t, port: 9051/tcp}").unwrap();
    assert_eq!(hosts(&world, "t"), "", "only http gateways take part");
    world.settings.virtual_hosts.enabled = false;
    world.restart();
    world.put("name: off").unwrap();
    assert_eq!(hosts(&world, "off"), "");
}

#[test]
fn chains() {
    let mut world = World::new();
    world.put("{name: c, port: 9003, routes: '[x:1]'}").unwrap();
    world.put("{name: b, port: 9002, routes: c}").unwrap();
    world.put("{name: a, port: 9001, routes: {b: {}, '[y:1]': {}}}").unwrap();
    world.put("{name: t, port: 9004/tcp, routes: c}").unwrap();
    world.put("{name: u, port: 9005/tcp, routes: t}").unwrap();
    for (yaml, refused) in [
        ("{name: a, port: 9001, routes: a}", "lead back to it: a -> a."),
        ("{name: c, port: 9003, routes: ['[x:1]', a]}", "lead back to it: c -> a -> b -> c."),
        ("{name: c, port: 9003, routes: t}", "lead back to it: c -> t -> c."),
        ("{name: h, routes: t}", "Route 't' of http gateway 'h' leads to a tcp gateway"),
        ("{name: c, port: 9003/tcp, routes: '[x:1]'}", "a route of http gateway 'b' leads to it"),
    ] {
        let message = world.put(yaml).unwrap_err();
        assert!(message.starts_with("Invalid: ") && message.contains(refused), "{yaml}: {message}");
    }
    // A path is a label or a group, not a gateway, when there is a selector.
    world.put("{name: c, port: 9003, routes: {a: {selector: label(app)(x)}}}").unwrap();
    world.put("{name: c, port: 9003, selector: label(app)(x), routes: {a: {}}}").unwrap();
    // Targets follow the other gateway.
    let target = |world: &World| world.entry("a").view.to_json()["routes"]["b"]["targets"].clone();
    assert_eq!(target(&world)[0]["port"], 9002);
    let mark = world.events.len();
    world.put("{name: b, port: 9102, routes: c}").unwrap();
    assert_eq!(target(&world)[0]["port"], 9102);
    assert_eq!(world.events_since(mark), ["archive:update", "route:targetschanged routes:b"]);
    world.change(Change::DeleteGateway(name("b"))).unwrap();
    assert_eq!(target(&world), serde_json::json!([]));
}

#[test]
fn tcp_gateways_refuse_what_they_cannot_do_also_for_routes_in_force() {
    let mut world = World::shop(&["1"]);
    world.put(&routes("{'(1)': {weight: 100%, condition: has header x, balance: uri}}")).unwrap();
    let message = world.put(&SHOP.replace("9070", "9070/tcp")).unwrap_err();
    assert!(message.contains("Conditions and rewrites are not allowed for TCP port"), "{message}");
    assert!(message.contains("Balance 'uri' of route '(1)' is not possible"), "{message}");
    world.put("{name: t, port: 0/tcp}").unwrap();
    world.put(&format!("{}routes: {{'(1)': {{}}}}", SHOP.replace("9070", "9070/tcp"))).unwrap();
    assert_eq!(world.config("shop").protocol, model::port::Protocol::Tcp);
}

#[test]
fn service_is_kept_from_the_creation_on() {
    let mut world = World::new();
    let host = |world: &World| world.entry("g").view.service.host.clone();
    world.put("{name: g, service: {host: outside.example, port: 80}}").unwrap();
    assert_eq!(host(&world), "outside.example");
    world.put("{name: g, service: {host: other.example, port: 81}}").unwrap();
    assert_eq!(host(&world), "outside.example");
    world.change(Change::DeleteGateway(name("g"))).unwrap();
    world.put("name: g").unwrap();
    assert_eq!(host(&world), "127.0.0.1");
    world.put("{name: g, service: {host: other.example, port: 81}}").unwrap();
    assert_eq!(host(&world), "127.0.0.1", "on update the stored value wins");
}

#[test]
fn create_put_delete_and_preconditions() {
    let mut world = World::new();
    world.create("name: g").unwrap();
    assert_eq!(world.create("name: g").unwrap_err(), "Exists: Artifact already exists: 'g'.");
    let version = world.entry("g").version;
    let put = |if_match| Request {
        if_match,
        ..Request::new(
            Change::Gateway { document: document("{name: g, sticky: route}"), mode: Mode::Put },
            "ann",
        )
    };
    let stale = world.request(&put(Some(version + 7))).unwrap_err();
    assert_eq!((stale.kind, stale.code.as_str()), (RefusalKind::Conflict, "changed-meanwhile"));
    world.request(&put(Some(version))).unwrap();
    assert!(world.entry("g").version > version);
    assert_eq!(world.request(&put(Some(version))).unwrap_err().kind, RefusalKind::Conflict);

    let delete = |if_match| Request { if_match, ..Request::new(Change::DeleteGateway(name("g")), "ann") };
    assert_eq!(world.request(&delete(Some(version))).unwrap_err().kind, RefusalKind::Conflict);
    assert_eq!(world.request(&delete(None)).unwrap(), [Outcome::Deleted(true)]);
    let (revision, mark) = (world.core.revision(), world.events.len());
    assert_eq!(world.request(&delete(None)).unwrap(), [Outcome::Deleted(false)]);
    assert_eq!((world.core.revision(), world.events.len()), (revision, mark));
    assert_eq!(
        world.request(&put(Some(1))).unwrap_err().kind,
        RefusalKind::Conflict,
        "nothing there to match"
    );
    let missing = world.change(Change::Evict { gateway: name("g") }).unwrap_err();
    assert_eq!(missing.kind, RefusalKind::NotFound);
}

#[test]
fn targets_that_come_and_go_do_not_spoil_preconditions() {
    let mut world = World::shop(&["1"]);
    let version = world.entry("shop").version;
    world.come(pod("more", "app=shop,version=1", [10, 0, 0, 9], &[8080]));
    assert_eq!(world.entry("shop").version, version);
    world.version("2");
    assert!(world.entry("shop").version > version, "a new route does");
}

#[test]
fn internal_gateways_come_with_deployments_only() {
    let mut world = World::new();
    let message = world.put("name: a/b/c").unwrap_err();
    assert!(message.starts_with("Invalid: Gateway 'a/b/c' is an internal deployment gateway"), "{message}");
    assert_eq!(world.change(Change::DeleteGateway(name("a/b/c"))).unwrap(), [Outcome::Deleted(false)]);
}

fn artifact(kind: ArtifactKind, yaml: &str) -> Artifact {
    Artifact::read(kind, yaml).unwrap()
}

#[test]
fn artifacts_and_references() {
    let mut world = World::new();
    let put = |yaml: &str, kind, mode| Change::Artifact { artifact: artifact(kind, yaml), mode };
    world
        .change(put("{name: ff, condition: user-agent == Firefox}", ArtifactKind::Conditions, Mode::Create))
        .unwrap();
    let again = put("{name: ff, condition: has header x}", ArtifactKind::Conditions, Mode::Create);
    assert_eq!(world.change(again).unwrap_err().kind, RefusalKind::Exists);
    let gateway = "{name: g, port: 9000, routes: {'[a:1]': {condition: {ref: ff}}}}";
    assert_eq!(world.put(gateway).unwrap(), "[a:1] 100% x1 if user-agent == Firefox 100%");
    let (revision, mark) = (world.core.revision(), world.events.len());
    world
        .change(put("{name: ff, condition: user-agent == Firefox}", ArtifactKind::Conditions, Mode::Put))
        .unwrap();
    assert_eq!(world.core.revision(), revision, "the same again");
    assert_eq!(world.events_since(mark), ["archive:update conditions:ff"]);
    // Copies: later edits do not reach the gateway.
    world.change(put("{name: ff, condition: has header x}", ArtifactKind::Conditions, Mode::Put)).unwrap();
    assert_eq!(world.show("g"), "[a:1] 100% x1 if user-agent == Firefox 100%");
    let delete = || Change::DeleteArtifact { kind: ArtifactKind::Conditions, name: "ff".into() };
    assert_eq!(world.change(delete()).unwrap(), [Outcome::Deleted(true)]);
    assert_eq!(world.change(delete()).unwrap(), [Outcome::Deleted(false)]);
    let unknown = world.put(gateway).unwrap_err();
    assert!(unknown.starts_with("Invalid: ") && unknown.contains("ff"), "{unknown}");
    world.restart();
    assert_eq!(world.show("g"), "[a:1] 100% x1 if user-agent == Firefox 100%");
}

#[test]
fn several_documents_are_one_change() {
    let gateway = |yaml: &str| Part {
        change: Change::Gateway { document: document(yaml), mode: Mode::Put },
        body: Some(yaml.to_owned()),
    };
    let condition = Part::from(Change::Artifact {
        artifact: artifact(ArtifactKind::Conditions, "{name: ff, condition: user-agent == Firefox}"),
        mode: Mode::Put,
    });
    let mut world = World::new();
    world.put("{name: a, port: 9001, routes: '[x:1]'}").unwrap();
    world.put("{name: b, port: 9002, routes: '[x:1]'}").unwrap();
    let revision = world.core.revision();
    // Order does not matter: a reference before its target, two gateways that swap ports, an assigned port before an explicit
    // one, a chain before its end.
    let outcomes = world
        .change(Change::Many(vec![
            gateway("{name: free, routes: end}"),
            gateway("{name: a, port: 9002, routes: {'[x:1]': {condition: {ref: ff}}}}"),
            gateway("{name: b, port: 9001, routes: '[x:1]'}"),
            gateway("{name: end, port: 40000}"),
            condition,
        ]))
        .unwrap();
    assert_eq!(world.core.revision(), revision + 1);
    assert!(matches!(
        &outcomes[..],
        [
            Outcome::Gateway(..),
            Outcome::Gateway(..),
            Outcome::Gateway(..),
            Outcome::Gateway(..),
            Outcome::Artifact(..)
        ]
    ));
    assert_eq!(world.entry("free").view.port.to_string(), "40001/http");
    assert_eq!(world.show("free"), "end 100% x1");

    // One bad one: nothing happens, and every problem says whose it is.
    let before = (world.core.revision(), world.events.len(), world.entry("a"));
    let refusal = world
        .change(Change::Many(vec![
            gateway("{name: ok, port: 9100}"),
            gateway("{name: c, port: 9001}"),
            gateway("{name: d, routes: d}"),
            Part::from(Change::DeleteGateway(name("a"))),
        ]))
        .unwrap_err();
    let messages: Vec<_> = refusal.problems.0.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "gateways/c: Gateway port '9001' is/was in use by 'b', remove it first or use a different port.",
            "gateways/d: The routes of gateway 'd' lead back to it: d -> d.",
        ]
    );
    assert_eq!((world.core.revision(), world.events.len(), world.entry("a")), before);
}

#[test]
fn a_damaged_record_is_named_and_not_touched() {
    use crate::engine::records;
    let mut world = World::shop(&["1"]);
    let loaded = futures_util::FutureExt::now_or_never(store::Store::load(&world.store)).unwrap().unwrap();
    for (kind, damage) in
        [("gateway-states", "[]"), ("gateways", "1"), ("gateway-sightings", "{\"routes\": 1}")]
    {
        let mut damaged = loaded.clone();
        let record = damaged.records.iter_mut().find(|record| record.kind == kind).unwrap();
        record.body = serde_json::from_str(damage).unwrap();
        let error = records::load(&damaged).unwrap_err().to_string();
        assert!(error.contains(&format!("'{kind}/shop'")), "{error}");
    }
    let mut missing = loaded.clone();
    missing.records.retain(|record| record.kind != "gateway-states");
    assert!(records::load(&missing).unwrap_err().to_string().contains("'gateway-states' record is missing"));
    let mut no_sightings = loaded.clone();
    no_sightings.records.retain(|record| record.kind != "gateway-sightings");
    assert!(records::load(&no_sightings).is_ok());
    world.restart();
}
