//! The worked examples of the specification (gateways 23), E1 to E16.

use super::world::{SHOP, World, counts, pod};

#[test]
fn e1_first_version() {
    let mut world = World::new();
    assert_eq!(world.put(SHOP).unwrap(), "");
    assert!(world.entry("shop").view.deployed);
    assert_eq!(world.send("shop", 1, "/", &[]), counts([("503", 1)]));
    world.version("1.0.3");
    assert_eq!(world.show("shop"), "(1.0.3) 100% x1");
    assert_eq!(world.send("shop", 7, "/", &[]), counts([("(1.0.3)", 7)]));
}

#[test]
fn e2_second_version() {
    let mut world = World::shop(&["1.0.3", "2.0.1"]);
    assert_eq!(world.show("shop"), "(1.0.3) 100% x1 | (2.0.1) 0% x1");
    assert_eq!(world.send("shop", 10, "/", &[]), counts([("(1.0.3)", 10)]));
    let only = format!("{SHOP}routes: {{'(2.0.1)': {{weight: 50%}}}}");
    assert!(world.put(&only).unwrap_err().contains("Total route weight must be either 0% or 100%: shop."));
    let both = format!("{SHOP}routes: {{'(1.0.3)': {{weight: 50%}}, '(2.0.1)': {{weight: 50%}}}}");
    assert_eq!(world.put(&both).unwrap(), "(1.0.3) 50% x1 | (2.0.1) 50% x1");
    assert_eq!(world.send("shop", 10, "/", &[]), counts([("(1.0.3)", 5), ("(2.0.1)", 5)]));
}

#[test]
fn e3_version_by_header() {
    let mut world = World::shop(&["1.0.3", "2.0.1"]);
    let conditions = format!(
        "{SHOP}routes:
  '(1.0.3)': {{weight: 0%, condition: Header Accept Contains v1}}
  '(2.0.1)': {{weight: 100%, condition: Header Accept Contains v2}}"
    );
    assert_eq!(
        world.put(&conditions).unwrap(),
        "(1.0.3) 0% x1 if Header Accept Contains v1 100% | (2.0.1) 100% x1 if Header Accept Contains v2 100%"
    );
    for (accept, route) in [
        ("application/vnd.sava.v1+json", "(1.0.3)"),
        ("application/vnd.sava.v2+json", "(2.0.1)"),
        ("text/plain", "(2.0.1)"),
        ("a.v1, a.v2", "(1.0.3)"),
    ] {
        assert_eq!(world.send("shop", 3, "/", &[("Accept", accept)]), counts([(route, 3)]), "{accept}");
    }
}

#[test]
fn e4_strength() {
    let mut world = World::shop(&["1", "2"]);
    let strength = format!(
        "{SHOP}routes:
  '(1)': {{weight: 80%}}
  '(2)': {{weight: 20%, condition: '< url_beg /2 >', condition_strength: 50%}}"
    );
    world.put(&strength).unwrap();
    let close = |counts: std::collections::BTreeMap<String, usize>, one: usize| {
        assert!(counts["(1)"].abs_diff(one) <= 1, "{counts:?} instead of {one}");
    };
    close(world.send("shop", 50, "/2", &[]), 20);
    close(world.send("shop", 50, "/", &[]), 40);
}

#[test]
fn e5_only_firefox() {
    let mut world = World::shop(&["1", "2"]);
    let firefox = |strength| {
        format!(
            "{SHOP}routes:\n  '(1)': {{weight: 100%}}\n  '(2)': {{weight: 0%, condition: user-agent == Firefox{strength}}}"
        )
    };
    world.put(&firefox("")).unwrap();
    let agent = [("User-Agent", "Mozilla/5.0 Firefox/99")];
    assert_eq!(world.send("shop", 4, "/", &agent), counts([("(2)", 4)]));
    assert_eq!(world.send("shop", 4, "/", &[("User-Agent", "curl")]), counts([("(1)", 4)]));
    world.put(&firefox(", condition_strength: 50%")).unwrap();
    assert_eq!(world.send("shop", 4, "/", &agent), counts([("(1)", 2), ("(2)", 2)]));
}

#[test]
fn e6_version_disappears() {
    let mut world = World::shop(&["1", "2"]);
    world.put(&format!("{SHOP}routes: {{'(1)': {{weight: 90%}}, '(2)': {{weight: 10%}}}}")).unwrap();
    world.go("shop-1");
    assert_eq!(world.show("shop"), "(1) 90%>0% x0 absent | (2) 10%>100% x1");
    world.advance(29);
    world.version("1");
    assert_eq!(world.show("shop"), "(1) 90% x1 | (2) 10% x1");
    world.go("shop-1");
    world.advance(30);
    assert_eq!(world.show("shop"), "(2) 100% x1");

    let mut world = World::shop(&["1", "2", "3"]);
    world
        .put(&format!(
            "{SHOP}routes: {{'(1)': {{weight: 10%}}, '(2)': {{weight: 20%}}, '(3)': {{weight: 70%}}}}"
        ))
        .unwrap();
    world.go("shop-3");
    world.advance(30);
    assert_eq!(world.show("shop"), "(1) 33% x1 | (2) 67% x1");
}

#[test]
fn e7_in_place_upgrade() {
    let mut world = World::shop(&["1.0", "1.1"]);
    assert_eq!(world.show("shop"), "(1.0) 100% x1 | (1.1) 0% x1");
    world.go("shop-1.0");
    assert_eq!(world.show("shop"), "(1.0) 100%>0% x0 absent | (1.1) 0%>100% x1");
    assert_eq!(world.send("shop", 3, "/", &[]), counts([("(1.1)", 3)]));
    world.advance(30);
    assert_eq!(world.show("shop"), "(1.1) 100% x1");
}

#[test]
fn e8_several_captures() {
    let mut world = World::new();
    world
        .put("{name: cart, selector: label(app)(sava-cart) && label(locale)((.*)) && label(version)((.*))}")
        .unwrap();
    world.come(pod("a", "app=sava-cart,locale=IE,version=1.0.5", [10, 0, 0, 1], &[80]));
    world.come(pod("b", "app=sava-cart,locale=UK,version=1.0.5", [10, 0, 0, 2], &[80]));
    assert_eq!(world.show("cart"), "(1.0.5),(IE) 100% x1 | (1.0.5),(UK) 0% x1");
}

#[test]
fn e9_no_capture() {
    let mut world = World::new();
    world.put("{name: cart, selector: label(app)(sava-cart)}").unwrap();
    world.come(pod("a", "app=sava-cart,version=1", [10, 0, 0, 1], &[80]));
    world.come(pod("b", "app=sava-cart,version=2", [10, 0, 0, 2], &[80]));
    assert_eq!(world.show("cart"), "() 100% x2");
}

#[test]
fn e10_explicit_addresses() {
    let mut world = World::new();
    let mesos = "
name: mesos
port: 8080/http
sticky: route
routes:
  '[192.168.99.100:5050]': {weight: 50%}
  '[localhost:5050]': {weight: 50%}
";
    assert_eq!(world.put(mesos).unwrap(), "[192.168.99.100:5050] 50% x1 | [localhost:5050] 50% x1");
    let json = world.entry("mesos").view.to_json();
    assert_eq!(json["routes"]["[localhost:5050]"]["targets"][0]["url"], "localhost:5050");
    assert_eq!(json["service"]["port"], "8080/http");
    assert_eq!(
        world.send("mesos", 4, "/", &[]),
        counts([("[192.168.99.100:5050]", 2), ("[localhost:5050]", 2)])
    );
}

#[test]
fn e11_weights_filled_in() {
    let mut world = World::new();
    for (routes, expected) in [
        ("['[a:1]', '[b:1]', '[c:1]']", "[a:1] 33% x1 | [b:1] 33% x1 | [c:1] 34% x1"),
        ("{'[a:1]': {weight: 100%}, '[b:1]': {}}", "[a:1] 100% x1 | [b:1] 0% x1"),
        ("{'[a:1]': {weight: 0%}, '[b:1]': {}, '[c:1]': {}}", "[a:1] 0% x1 | [b:1] 50% x1 | [c:1] 50% x1"),
    ] {
        assert_eq!(world.put(&format!("{{name: g, port: 9000, routes: {routes}}}")).unwrap(), expected);
    }
    assert!(world.put("{name: g, port: 9000, routes: {'[a:1]': {weight: 50%}, '[b:1]': {}}}").is_err());
}

#[test]
fn e12_chained() {
    let mut world = World::new();
    world.put("{name: edge, port: 9001, routes: {blue: {weight: 90%}, green: {weight: 10%}}}").unwrap();
    assert_eq!(world.show("edge"), "blue 90% x0 | green 10% x0", "the others are not there yet");
    world.put("{name: blue, port: 9002, routes: {'[10.0.0.1:1]': {weight: 50%}, '[10.0.0.2:1]': {weight: 50%}}}").unwrap();
    world.put("{name: green, routes: '[10.0.0.3:1]'}").unwrap();
    assert_eq!(world.show("edge"), "blue 90% x1 | green 10% x1");
    let json = world.entry("edge").view.to_json();
    assert_eq!(
        json["routes"]["green"]["targets"][0],
        serde_json::json!({"name": "green", "host": "127.0.0.1", "port": 40000})
    );
    let edge = world.send("edge", 100, "/", &[]);
    assert_eq!(edge, counts([("blue", 90), ("green", 10)]));
    assert_eq!(
        world.send("blue", edge["blue"], "/", &[]),
        counts([("[10.0.0.1:1]", 45), ("[10.0.0.2:1]", 45)])
    );
}

#[test]
fn e13_virtual_host() {
    let mut world = World::new();
    world.put("{name: cart-ie, virtual_hosts: [ie.tutorials.vamp.cloud]}").unwrap();
    let view = world.entry("cart-ie").view.clone();
    assert_eq!(view.port.to_string(), "40000/http");
    assert_eq!(view.virtual_hosts, ["cart-ie.vamp", "ie.tutorials.vamp.cloud"]);
    assert!(world.table.virtual_host("IE.tutorials.vamp.cloud").is_some());
    assert!(world.table.virtual_host("other.example").is_none());
}

#[test]
fn e14_sticky_drain_and_eviction() {
    let mut world = World::new();
    world
        .put("{name: g, port: 9000, sticky: route, routes: {'[a:1]': {weight: 100%}, '[b:1]': {weight: 0%}}}")
        .unwrap();
    let before = world.config("g");
    world.change(crate::Change::Evict { gateway: super::world::name("g") }).unwrap();
    let after = world.config("g");
    assert_eq!(after.sticky_generation, before.sticky_generation + 1);
    assert_eq!(world.entry("g").sticky_generation, after.sticky_generation);
    world.restart();
    assert_eq!(world.config("g").sticky_generation, after.sticky_generation, "old cookies stay invalid");
}

#[test]
fn e15_rewrite() {
    let mut world = World::new();
    world
        .put("{name: g, port: 9000, routes: {'[a:1]': {rewrites: {path: '/v2%[path] if path_beg /api'}}}}")
        .unwrap();
    assert_eq!(world.config("g").routes[0].rewrites.len(), 1);
    assert_eq!(
        world.entry("g").view.to_json()["routes"]["[a:1]"]["rewrites"][0]["path"],
        "/v2%[path] if path_beg /api"
    );
}

#[test]
fn e16_multi_port_pod() {
    let mut world = World::new();
    world.come(pod("a", "app=shop,version=1", [10, 0, 0, 1], &[8080, 9090]));
    world.put(SHOP).unwrap();
    assert_eq!(world.show("shop"), "(1) 100% x2");
    assert!(
        world.entry("shop").warnings[0].contains("several targets"),
        "{:?}",
        world.entry("shop").warnings
    );
    for narrower in ["port(8080)", "index(0)"] {
        world.put(&SHOP.replace("((.*))", &format!("((.*)) && {narrower}"))).unwrap();
        assert_eq!(world.show("shop"), "(1) 100% x1", "{narrower}");
        assert!(world.entry("shop").warnings.is_empty());
    }
}
