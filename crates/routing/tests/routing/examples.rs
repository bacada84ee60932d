//! The worked examples of gateways section 23 that are decided here.

use model::gateway::Sticky;
use routing::config::RouteConfig;
use routing::decide::rewrite;
use routing::table::RoutingTable;

use crate::common::{Client, RouteExt, compile, get, name, route, shop, sticky, table, tally};

#[test]
fn e3_api_version_by_header() {
    let gateway = compile(shop([
        route("(1.0.3)", 0).when("Header Accept Contains v1", 100),
        route("(2.0.1)", 100).when("Header Accept Contains v2", 100),
    ]));
    let accept = |value: &str| tally(&gateway, &get("/").with("Accept", value), 4);
    assert_eq!(accept("application/vnd.sava.v1+json"), [4, 0, 0]);
    assert_eq!(accept("application/vnd.sava.v2+json"), [0, 4, 0]);
    assert_eq!(accept("application/vnd.sava.v1+json, application/vnd.sava.v2+json"), [4, 0, 0]);
    assert_eq!(tally(&gateway, &get("/"), 4), [0, 4, 0]);
}

#[test]
fn e4_strength() {
    let gateway = compile(shop([route("a", 80), route("b", 20).when("< url_beg /2 >", 50)]));
    assert_eq!(tally(&gateway, &get("/2"), 50), [20, 30, 0]);
    assert_eq!(tally(&gateway, &get("/"), 50), [40, 10, 0]);
}

#[test]
fn e5_only_firefox() {
    let agent = |agent: &str| get("/").with("User-Agent", agent);
    let gateway =
        |strength| compile(shop([route("a", 100), route("b", 0).when("user-agent == Firefox", strength)]));
    let all = gateway(100);
    assert_eq!(tally(&all, &agent("Mozilla/5.0 Firefox/128.0"), 10), [0, 10, 0]);
    assert_eq!(tally(&all, &agent("Mozilla/5.0 Chrome/126.0"), 10), [10, 0, 0]);
    let half = gateway(50);
    let mut served = Vec::new();
    for _ in 0..10 {
        served.push(agent("Firefox").decide(&half).chosen.unwrap().route);
    }
    assert!(served.windows(2).all(|pair| pair[0] != pair[1]), "{served:?}");
}

/// The data plane's half of E6: the weight stays, the targets go and come back.
#[test]
fn e6_version_disappears() {
    let without = |route: RouteConfig| RouteConfig { targets: Vec::new(), ..route };
    let (first, second) = (route("(1)", 90), route("(2)", 10));
    let both = table(shop([first.clone(), second.clone()]), &RoutingTable::default(), 1);
    let gone = table(shop([without(first.clone()), second.clone()]), &both, 2);
    let back = table(shop([first, second]), &gone, 3);
    let tally = |table: &RoutingTable| tally(table.gateway(&name("shop")).unwrap(), &get("/"), 100);
    assert_eq!(tally(&both), [90, 10, 0]);
    assert_eq!(tally(&gone), [0, 100, 0]);
    assert_eq!(tally(&back), [90, 10, 0]);
}

#[test]
fn e10_explicit_addresses() {
    let gateway = compile(sticky(
        shop([route("[192.168.99.100:5050]", 50), route("[localhost:5050]", 50)]),
        Sticky::Route,
    ));
    let mut client = Client::default();
    let home = client.route(&gateway, &get("/"));
    assert!((0..10).all(|_| client.route(&gateway, &get("/")) == home));
    assert_eq!(tally(&gateway, &get("/"), 10), [5, 5, 0]);
}

#[test]
fn e11_weights_filled_in() {
    let split = |weights: [u16; 3]| {
        tally(
            &compile(shop([route("a", weights[0]), route("b", weights[1]), route("c", weights[2])])),
            &get("/"),
            100,
        )
    };
    assert_eq!(split([33, 33, 34]), [33, 33, 34, 0]);
    assert_eq!(split([100, 0, 0]), [100, 0, 0, 0]);
    assert_eq!(split([0, 50, 50]), [0, 50, 50, 0]);
}

#[test]
fn e12_chained() {
    let edge = compile(shop([route("blue", 90), route("green", 10)]));
    let blue = compile(shop([route("b1", 50), route("b2", 50)]));
    let mut served = [0; 3];
    for _ in 0..100 {
        let leaf = match get("/").decide(&edge).chosen.unwrap().route {
            0 => get("/").decide(&blue).chosen.unwrap().route,
            _ => 2,
        };
        served[leaf] += 1;
    }
    assert_eq!(served, [45, 45, 10]);
}

#[test]
fn e14_sticky_drain() {
    let config =
        |weights: [u16; 2]| sticky(shop([route("a", weights[0]), route("b", weights[1])]), Sticky::Route);
    let mut client = Client::default();
    assert_eq!(client.route(&compile(config([0, 100])), &get("/")), Some(1));
    let drained = compile(config([100, 0]));
    assert!((0..5).all(|_| client.route(&drained, &get("/")) == Some(1)));
    assert_eq!(tally(&drained, &get("/"), 5), [5, 0, 0]);
    crate::common::set_down(&drained, 1, 0, true);
    assert_eq!(client.route(&drained, &get("/")), Some(0));
}

#[test]
fn e15_rewrite() {
    let gateway = compile(shop([route("a", 100).rewrites(&["/v2%[path] if path_beg /api"])]));
    let rewritten = |target: &str| rewrite(&gateway, 0, &get(target).head());
    assert_eq!(rewritten("/api/x?q=1").as_deref(), Some("/v2/api/x?q=1"));
    assert_eq!(rewritten("/other"), None);
}
