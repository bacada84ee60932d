//! Compiling: what is taken over, hosts, and that nothing in a configuration can break it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::port::Protocol;
use routing::config::{GatewayConfig, RouteConfig, RoutingConfig, TargetAddress};
use routing::decide::Dice;
use routing::table::RoutingTable;

use crate::common::{RouteExt, Seeded, get, name, revision, route, set_down, shop, table, tally, target};

fn named(text: &str, hosts: &[&str]) -> GatewayConfig {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    GatewayConfig { name: name(text), hosts, ..shop([route("a", 100)]) }
}

fn compile(config: &RoutingConfig, previous: &RoutingTable) -> RoutingTable {
    RoutingTable::compile(config, previous, &mut || 1 << 40)
}

#[test]
fn virtual_hosts() {
    let table = compile(
        &revision(
            1,
            [
                named("shop", &["shop.vamp", "www.Shop.example"]),
                GatewayConfig { protocol: Protocol::Tcp, ..named("db", &["db.vamp"]) },
            ],
        ),
        &RoutingTable::default(),
    );
    let check =
        |host: &str, expected: bool| assert_eq!(table.virtual_host(host).is_some(), expected, "{host}");
    check("shop.vamp", true);
    check("SHOP.vamp:80", true);
    check("shop.vamp.", true);
    check("shop.vamp.:8000", true);
    check("www.shop.example", true);
    check("WWW.SHOP.EXAMPLE", true);
    check("db.vamp", false);
    check("other.vamp", false);
    check("", false);
    check(&"a".repeat(300), false);
    check(&format!("{}.vamp", "A".repeat(300)), false);
}

/// Section 15: the gateway with fewer segments, then the first by name.
#[test]
fn a_host_of_several_gateways_has_one_winner() {
    let check = |names: &[&str], winner: &str| {
        let gateways = names.iter().map(|name| named(name, &["x.vamp"]));
        let table = compile(&revision(1, gateways), &RoutingTable::default());
        assert_eq!(table.virtual_host("x.vamp").unwrap().config.name, name(winner), "{names:?}");
    };
    check(&["b", "a"], "a");
    check(&["a/b", "z"], "z");
    check(&["a/b/c", "b/c", "b/b"], "b/b");
}

#[test]
fn unchanged_gateways_are_taken_over() {
    let first = revision(1, [named("one", &["one.vamp"]), named("two", &[])]);
    let table = compile(&first, &RoutingTable::default());
    let mut second = first.clone();
    second.revision = 2;
    second.gateways.insert(name("two"), Arc::new(named("two", &["two.vamp"])));
    // Equal, but not the same: as an agent reads it from the wire.
    second.gateways.insert(name("one"), Arc::new(named("one", &["one.vamp"])));
    let next = compile(&second, &table);
    let same =
        |text: &str| Arc::ptr_eq(table.gateway(&name(text)).unwrap(), next.gateway(&name(text)).unwrap());
    assert!(same("one"));
    assert!(!same("two"));
    assert_eq!(next.revision, 2);
    assert!(next.virtual_host("two.vamp").is_some());
    second.gateways.remove(&name("one"));
    let last = compile(&second, &next);
    assert!(last.gateway(&name("one")).is_none() && last.virtual_host("one.vamp").is_none());
    assert_eq!(last.gateways().count(), 1);
}

#[test]
fn target_states_follow_route_and_id() {
    let before = table(shop([route("a", 50).targets(2), route("b", 50)]), &RoutingTable::default(), 1);
    let gateway = before.gateway(&name("shop")).unwrap();
    gateway.routes[0].targets[1].state.in_flight.store(5, Ordering::Relaxed);
    set_down(gateway, 1, 0, true);
    let mut moved = target("a", 0);
    moved.address = TargetAddress::Name { host: "a.example".into(), port: 80 };
    let a = RouteConfig { targets: vec![target("a", 1), moved, target("a", 2)], ..route("a", 0) };
    let after = table(shop([route("b", 100), a]), &before, 1);
    let after = after.gateway(&name("shop")).unwrap();
    assert!(Arc::ptr_eq(&after.routes[1].targets[0].state, &gateway.routes[0].targets[1].state));
    assert!(
        !Arc::ptr_eq(&after.routes[1].targets[1].state, &gateway.routes[0].targets[0].state),
        "another address"
    );
    assert!(after.routes[0].targets[0].state.is_down());
    assert_eq!(after.routes[1].targets[0].state.in_flight.load(Ordering::Relaxed), 5);
    assert_eq!(tally(after, &get("/"), 5), [0, 0, 5]);
}

#[test]
fn new_conditions_take_effect_and_old_ones_go() {
    let plain = || [route("a", 100), route("b", 0)];
    let [a, b] = plain();
    let with = |path: &str| shop([a.clone(), b.clone().when(&format!("path_beg {path}"), 100)]);
    let first = table(with("/x"), &RoutingTable::default(), 1);
    let second = table(with("/y"), &first, 1);
    let third = table(shop(plain()), &second, 1);
    let to_b = |table: &RoutingTable, path: &str| {
        tally(table.gateway(&name("shop")).unwrap(), &get(path), 1)[1] == 1
    };
    assert!(to_b(&first, "/x") && !to_b(&first, "/y"));
    assert!(!to_b(&second, "/x") && to_b(&second, "/y"));
    assert!(!to_b(&third, "/x") && !to_b(&third, "/y"));
}

/// Thousands of gateways of which one changes: only that one is compiled.
#[test]
fn many_gateways() {
    let gateways = (0..10_000).map(|n| {
        let routes = [route("a", 99), route("b", 1).when("hdr_sub(accept) v2", 100)];
        GatewayConfig { name: name(&format!("g{n}")), hosts: vec![format!("g{n}.vamp")], ..shop(routes) }
    });
    let first = revision(1, gateways);
    let mut seeds = 0;
    let table = RoutingTable::compile(&first, &RoutingTable::default(), &mut || {
        seeds += 1;
        seeds << 33
    });
    let seeded = seeds;
    let mut second = RoutingConfig { revision: 2, gateways: first.gateways.clone() };
    second.gateways.insert(
        name("g77"),
        Arc::new(GatewayConfig { hosts: vec!["new.vamp".into()], ..(*first.gateways[&name("g77")]).clone() }),
    );
    let next = RoutingTable::compile(&second, &table, &mut || {
        seeds += 1;
        seeds << 33
    });
    assert_eq!(seeds, seeded, "a known gateway starts nothing anew");
    let changed =
        next.gateways().filter(|gateway| !Arc::ptr_eq(gateway, table.gateway(&gateway.config.name).unwrap()));
    assert_eq!(changed.map(|gateway| gateway.config.name.to_string()).collect::<Vec<_>>(), ["g77"]);
    assert!(next.virtual_host("g77.vamp").is_none() && next.virtual_host("NEW.vamp").is_some());
    assert!(next.virtual_host("g9999.vamp").is_some());
}

/// A table read back from a disk or a wire decides the same; nonsense in it is survived.
#[test]
fn nonsense_is_survived() {
    let mut dice = Seeded(9);
    let mut wild = named("wild", &["", "."]);
    wild.sticky = Some(model::gateway::Sticky::Instance);
    wild.routes = (0..300)
        .map(|n| RouteConfig {
            weight: dice.roll() as u16,
            strength: dice.roll() as u16,
            lookup: String::new(),
            ..route(&format!("r{}", n / 2), 0).when("always_true", 0)
        })
        .collect();
    let config = RoutingConfig { revision: 1, gateways: BTreeMap::from([(name("other"), Arc::new(wild))]) };
    let table = compile(&config, &RoutingTable::default());
    let next = compile(&RoutingConfig { revision: 2, ..config }, &table);
    let gateway = next.gateway(&name("other")).unwrap();
    assert!(tally(gateway, &get("/"), 100)[300] == 0);
    assert!(get("").decide(gateway).chosen.is_some());
}
