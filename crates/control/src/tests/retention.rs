//! R22 rule by rule: how routes of a selector come, wait, and go.

use model::instance::InstanceKind;

use super::world::{SHOP, World, counts, pod};

#[test]
fn rule_1_a_route_is_made_when_its_group_is_first_ready() {
    let mut world = World::shop(&[]);
    let mut crashing = pod("p", "app=shop,version=1", [10, 0, 0, 1], &[8080]);
    crashing.ready = false;
    world.come(crashing);
    assert_eq!(world.show("shop"), "", "never ready, so not known");
    world.version("2");
    assert_eq!(world.show("shop"), "(2) 100% x1", "a crashing version does not become the first one");
    world.ready("p", true);
    assert_eq!(world.show("shop"), "(2) 100% x1 | (1) 0% x1");
}

#[test]
fn rule_1_several_at_once_come_in_natural_order() {
    let mut world = World::new();
    for (number, version) in ["1.10", "1.9", "1.2"].into_iter().enumerate() {
        world.come(pod(version, &format!("app=shop,version={version}"), [10, 0, 0, number as u8], &[80]));
    }
    world.put(SHOP).unwrap();
    assert_eq!(world.show("shop"), "(1.2) 100% x1 | (1.9) 0% x1 | (1.10) 0% x1");
}

#[test]
fn rule_1_a_pod_without_address_makes_no_route() {
    let mut world = World::shop(&[]);
    let mut pending = pod("p", "app=shop,version=1", [10, 0, 0, 1], &[8080]);
    pending.ip = None;
    world.come(pending);
    assert_eq!(world.show("shop"), "");
}

#[test]
fn rule_2_a_later_version_gets_nothing_even_while_the_first_is_absent() {
    let mut world = World::shop(&["1"]);
    world.go("shop-1");
    world.version("2");
    assert_eq!(world.show("shop"), "(1) 100%>0% x0 absent | (2) 0%>100% x1");
}

#[test]
fn rule_3_what_returns_in_time_was_never_away() {
    let mut world = World::shop(&["1", "2"]);
    let settings = format!(
        "{SHOP}routes:
  '(1)': {{weight: 40%, condition: has header x, condition_strength: 30%, metadata: {{note: kept}}}}
  '(2)': {{weight: 60%}}"
    );
    world.put(&settings).unwrap();
    let before = world.entry("shop").view.clone();
    for _ in 0..3 {
        world.go("shop-1");
        world.advance(29);
        assert!(world.show("shop").contains("absent"));
        world.version("1");
        assert_eq!(world.entry("shop").view.routes[0].1.metadata, before.routes[0].1.metadata);
        assert_eq!(world.show("shop"), "(1) 40% x1 if has header x 30% | (2) 60% x1");
    }
}

#[test]
fn rule_4_shares_of_absent_routes_go_to_the_present_ones() {
    let mut world = World::shop(&["1", "2", "3"]);
    world
        .put(&format!(
            "{SHOP}routes: {{'(1)': {{weight: 60%}}, '(2)': {{weight: 30%}}, '(3)': {{weight: 10%}}}}"
        ))
        .unwrap();
    world.go("shop-1");
    assert_eq!(world.show("shop"), "(1) 60%>0% x0 absent | (2) 30%>75% x1 | (3) 10%>25% x1");
    assert_eq!(world.send("shop", 40, "/", &[]), counts([("(2)", 30), ("(3)", 10)]));
    world.go("shop-2");
    assert_eq!(world.show("shop"), "(1) 60%>0% x0 absent | (2) 30%>0% x0 absent | (3) 10%>100% x1");
}

#[test]
fn rule_5_removal_keeps_the_part_of_routes_that_are_still_waited_for() {
    let mut world = World::shop(&["1", "2", "3", "4"]);
    world
        .put(&format!(
            "{SHOP}routes: {{'(1)': {{weight: 40%}}, '(2)': {{weight: 20%}}, '(3)': {{weight: 30%}}, '(4)': {{weight: 10%}}}}"
        ))
        .unwrap();
    world.go("shop-1");
    world.advance(20);
    world.go("shop-2");
    world.advance(10);
    assert_eq!(world.show("shop"), "(2) 33%>0% x0 absent | (3) 50%>75% x1 | (4) 17%>25% x1");
    world.version("2");
    assert_eq!(world.show("shop"), "(2) 33% x1 | (3) 50% x1 | (4) 17% x1");
}

#[test]
fn rule_6_an_outage_of_everything_loses_nothing() {
    let mut world = World::shop(&["1", "2"]);
    world.put(&format!("{SHOP}routes: {{'(1)': {{weight: 70%}}, '(2)': {{weight: 30%}}}}")).unwrap();
    world.go("shop-1");
    world.advance(20);
    world.go("shop-2");
    world.advance(100_000);
    assert_eq!(world.show("shop"), "(1) 70%>0% x0 absent | (2) 30%>0% x0 absent");
    assert_eq!(world.send("shop", 1, "/", &[]), counts([("503", 1)]));
    // The first that returns starts the time of the others: they may only be slower.
    world.version("2");
    assert_eq!(world.show("shop"), "(1) 70%>0% x0 absent | (2) 30%>100% x1");
    world.advance(29);
    world.version("1");
    assert_eq!(world.show("shop"), "(1) 70% x1 | (2) 30% x1");
}

#[test]
fn rule_6_an_unready_replacement_does_not_end_the_wait() {
    let mut world = World::shop(&["1"]);
    world.go("shop-1");
    let mut starting = pod("p", "app=shop,version=2", [10, 0, 0, 9], &[8080]);
    starting.ready = false;
    world.come(starting);
    world.advance(1000);
    assert_eq!(world.show("shop"), "(1) 100%>0% x0 absent");
    world.ready("p", true);
    assert_eq!(world.show("shop"), "(1) 100%>0% x0 absent | (2) 0%>100% x1");
    world.advance(30);
    assert_eq!(world.show("shop"), "(2) 100% x1");
}

#[test]
fn rule_7_an_unreadable_platform_changes_nothing() {
    let mut world = World::shop(&["1", "2"]);
    world.go("shop-1");
    world.platform_fails = true;
    world.pods.clear();
    world.look();
    world.advance(1000);
    assert_eq!(
        world.show("shop"),
        "(1) 100%>0% x0 absent | (2) 0%>100% x1",
        "no removal on the strength of old news"
    );
    assert_eq!(world.core.next_wake(), None, "and no timer that cannot lead to anything");
    world.platform_fails = false;
    world.version("2");
    assert_eq!(world.show("shop"), "(2) 100% x1");
}

#[test]
fn rule_8_unready_is_not_absent() {
    let mut world = World::shop(&["1", "2"]);
    world.ready("shop-1", false);
    world.advance(1000);
    assert_eq!(world.show("shop"), "(1) 100% x0 | (2) 0% x1");
    assert_eq!(
        world.send("shop", 1, "/", &[]),
        counts([("503", 1)]),
        "a route at 0% never takes over from an unready one"
    );
    let entry = world.entry("shop");
    assert_eq!((entry.instances[0].ready, entry.instances[0].existing), (0, 1));
}

#[test]
fn a_pod_that_is_being_deleted_gets_no_traffic_and_keeps_no_route() {
    let mut world = World::shop(&["1", "2"]);
    let leaving = world.pods.get_mut("shop-1").unwrap();
    leaving.exists = false;
    world.look();
    assert_eq!(world.show("shop"), "(1) 100%>0% x0 absent | (2) 0%>100% x1");
}

#[test]
fn declared_routes_without_a_group_wait_and_go_like_absent_ones() {
    let mut world = World::new();
    let declared = format!("{SHOP}routes: {{'(1)': {{weight: 80%}}, '(9)': {{weight: 20%}}}}");
    assert_eq!(world.put(&declared).unwrap(), "(1) 80%>0% x0 absent | (9) 20%>0% x0 absent");
    world.advance(1000);
    world.version("1");
    assert_eq!(world.show("shop"), "(1) 80%>100% x1 | (9) 20%>0% x0 absent");
    world.advance(30);
    assert_eq!(world.show("shop"), "(1) 100% x1");
}

#[test]
fn a_changed_selector_keeps_routes_as_absent_ones() {
    let mut world = World::shop(&["1", "2"]);
    let narrower = SHOP.replace("((.*))", "((1))");
    assert_eq!(world.put(&narrower).unwrap(), "(1) 100% x1 | (2) 0% x0 absent");
    world.advance(30);
    assert_eq!(world.show("shop"), "(1) 100% x1");
}

#[test]
fn timers_and_weights_survive_a_restart() {
    let mut world = World::shop(&["1", "2"]);
    world.put(&format!("{SHOP}routes: {{'(1)': {{weight: 90%}}, '(2)': {{weight: 10%}}}}")).unwrap();
    world.go("shop-1");
    world.advance(20);
    let (before, version) = (world.show("shop"), world.entry("shop").version);
    let mark = world.events.len();
    world.restart();
    assert_eq!((world.show("shop"), world.entry("shop").version), (before, version));
    assert_eq!(world.events_since(mark), [""; 0], "nothing happened");
    world.advance(9);
    assert!(world.show("shop").contains("absent"));
    world.advance(1);
    assert_eq!(world.show("shop"), "(2) 100% x1");
}

#[test]
fn nothing_is_written_when_nothing_changes() {
    let mut world = World::shop(&["1", "2"]);
    let (revision, events) = (world.core.revision(), world.events.len());
    world.pods.get_mut("shop-1").unwrap().labels.insert("unrelated".into(), "label".into());
    world.look();
    world.come(pod("other", "app=other", [10, 0, 1, 1], &[80]));
    let mut starting = pod("starting", "app=shop,version=1", [10, 0, 0, 9], &[8080]);
    starting.ready = false;
    world.come(starting);
    world.advance(1000);
    assert_eq!((world.core.revision(), world.events.len()), (revision, events));
    assert_eq!(world.entry("shop").instances[0].existing, 2, "but it is shown");
}

#[test]
fn a_store_that_fails_refuses_users_while_traffic_follows_the_platform() {
    let mut world = World::shop(&["1"]);
    world.come(pod("second", "app=shop,version=1", [10, 0, 0, 2], &[8080]));
    let (revision, mark) = (world.core.revision(), world.events.len());
    world.store_fails = true;
    world.ready("shop-1", false);
    assert_eq!(world.show("shop"), "(1) 100% x1", "no traffic to an unready pod");
    assert!(world.put(&format!("{SHOP}sticky: route")).unwrap_err().starts_with("Unavailable"));
    assert_eq!(world.entry("shop").view.sticky, None);
    world.version("2");
    world.go("shop-1");
    world.go("second");
    assert_eq!(world.show("shop"), "(1) 100%>0% x0 absent | (2) 0%>100% x1", "an upgrade is served");
    world.advance(29);
    assert_eq!((world.core.revision(), world.events.len()), (revision, mark), "but nothing is told");
    world.store_fails = false;
    world.follow();
    assert_eq!(world.core.revision(), revision + 1);
    let events = world.events_since(mark);
    assert_eq!(
        events,
        ["route:targetschanged routes:(1)", "route:added routes:(2)", "route:weightadded routes:(2)"]
    );
    world.advance(1);
    assert_eq!(world.show("shop"), "(2) 100% x1", "the time of the failure counts");
}

#[test]
fn a_user_change_during_recovery_takes_along_what_waited() {
    let mut world = World::shop(&["1"]);
    world.store_fails = true;
    world.version("2");
    world.store_fails = false;
    let mark = world.events.len();
    world.put(&format!("{SHOP}routes: {{'(1)': {{weight: 50%}}, '(2)': {{weight: 50%}}}}")).unwrap();
    assert_eq!(world.show("shop"), "(1) 50% x1 | (2) 50% x1");
    assert_eq!(
        world.events_since(mark),
        [
            "archive:update",
            "route:weightupdated routes:(1)",
            "route:added routes:(2)",
            "route:weightadded routes:(2)"
        ]
    );
    let shown = world.show("shop");
    world.restart();
    assert_eq!(world.show("shop"), shown);
}

#[test]
fn unchanged_gateways_keep_their_configuration() {
    let mut world = World::shop(&["1"]);
    world.put("{name: other, port: 9071, routes: '[10.1.1.1:80]'}").unwrap();
    let before = world.core.shown().config.clone();
    world.version("2");
    let after = world.core.shown().config.clone();
    assert!(after.revision > before.revision);
    assert!(std::sync::Arc::ptr_eq(
        &before.gateways[&super::world::name("other")],
        &after.gateways[&super::world::name("other")]
    ));
    assert!(!std::sync::Arc::ptr_eq(
        &before.gateways[&super::world::name("shop")],
        &after.gateways[&super::world::name("shop")]
    ));
}

#[test]
fn target_ids_survive_restarts_and_tell_no_address() {
    let mut world = World::shop(&["1"]);
    let before = world.config("shop").routes[0].targets.clone();
    world.restart();
    assert_eq!(world.config("shop").routes[0].targets, before);
    assert_eq!(before[0].id.len(), 12);
    assert!(before[0].id.bytes().all(|b| b.is_ascii_hexdigit()));
}

#[test]
fn services_are_targets_only_when_asked_for() {
    let mut world = World::shop(&["1"]);
    let mut service = pod("svc", "app=shop,version=1", [10, 9, 0, 1], &[80]);
    service.kind = InstanceKind::Service;
    world.come(service);
    assert_eq!(world.show("shop"), "(1) 100% x1");
    world.put(&SHOP.replace("label(app)", "kind(service) && label(app)")).unwrap();
    assert_eq!(world.show("shop"), "(1) 100% x1");
    assert_eq!(world.config("shop").routes[0].targets[0].name, "svc");
}

#[test]
fn warnings_come_once_and_go() {
    let mut world = World::shop(&["1"]);
    let mark = world.events.len();
    world.come(pod("portless", "app=shop,version=1", [10, 0, 0, 7], &[]));
    assert!(
        world.entry("shop").warnings[0].contains("declares no TCP port"),
        "{:?}",
        world.entry("shop").warnings
    );
    world.come(pod("portless-2", "app=shop,version=1", [10, 0, 0, 8], &[]));
    world.restart();
    assert_eq!(world.events_since(mark), ["warning:no-port"]);
    world.go("portless");
    world.go("portless-2");
    assert!(world.entry("shop").warnings.is_empty());

    let mut world = World::new();
    world.put("{name: g, selector: 'label(a)((.*)) && label(b)((.*))'}").unwrap();
    world.come(pod("p", "a=1,b=2", [10, 0, 0, 1], &[80]));
    assert!(world.entry("g").warnings.is_empty());
    world.come(pod("q", "a=2,b=1", [10, 0, 0, 2], &[80]));
    assert_eq!(world.show("g"), "(1),(2) 100% x2");
    assert!(world.entry("g").warnings[0].contains("different labels"), "{:?}", world.entry("g").warnings);
}

#[test]
fn unreadable_names_keep_a_readable_title() {
    let mut world = World::new();
    world.put("{name: g, selector: label(team)((.*))}").unwrap();
    world.come(pod("p", "team=red/blue", [10, 0, 0, 1], &[80]));
    let (path, route) = &world.entry("g").view.routes[0];
    assert!(path.as_str().len() == 44 && path.as_str().ends_with("0000"), "{path}");
    assert_eq!(route.metadata["title"], "(red/blue)");
    assert_eq!(route.metadata["groups"], "(red/blue)");
}
