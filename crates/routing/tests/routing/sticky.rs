//! Section 12, R30, R31.

use model::gateway::Sticky;
use routing::config::GatewayConfig;
use routing::decide::Reason;
use routing::table::Gateway;

use crate::common::{Client, RouteExt, compile, get, route, set_down, shop, sticky};

fn two(weights: [u16; 2]) -> GatewayConfig {
    sticky(shop([route("a", weights[0]), route("b", weights[1])]), Sticky::Route)
}

/// A client that a gateway has put on this route.
fn client_of(gateway: &Gateway, route: usize) -> Client {
    for _ in 0..100 {
        let mut client = Client::default();
        if client.route(gateway, &get("/")) == Some(route) {
            return client;
        }
    }
    panic!("nobody gets to route {route}");
}

#[test]
fn names_values_and_attributes() {
    let config = GatewayConfig { sticky_generation: 3, ..two([100, 0]) };
    let config = sticky(config, Sticky::Instance);
    let (shop_id, route_id) = (config.lookup.clone(), config.routes[0].lookup.clone());
    let gateway = compile(config);
    assert_eq!(
        get("/").decide(&gateway).set_cookies,
        [
            format!("vamp_r_{shop_id}=3.{route_id}; Path=/; HttpOnly; SameSite=Lax"),
            format!("vamp_i_{route_id}=3.a-0; Path=/; HttpOnly; SameSite=Lax"),
        ]
    );
}

#[test]
fn without_stickiness_no_cookie_is_read_or_set() {
    let sticky_gateway = compile(two([50, 50]));
    let mut client = client_of(&sticky_gateway, 0);
    let gateway = compile(GatewayConfig { sticky: None, ..two([50, 50]) });
    let served: Vec<_> = (0..4).filter_map(|_| client.route(&gateway, &get("/"))).collect();
    assert_eq!(served.iter().sum::<usize>(), 2, "{served:?}");
    assert!(get("/").decide(&gateway).set_cookies.is_empty());
}

#[test]
fn a_client_stays_and_new_ones_follow_the_weights() {
    let gateway = compile(two([50, 50]));
    let mut clients: Vec<Client> = vec![Client::default(); 20];
    let homes: Vec<_> = clients.iter_mut().map(|client| client.route(&gateway, &get("/"))).collect();
    assert_eq!(homes.iter().filter(|home| **home == Some(0)).count(), 10);
    for (client, home) in clients.iter_mut().zip(&homes) {
        let decision = client.send(&gateway, &get("/"));
        assert_eq!(decision.chosen.map(|chosen| chosen.route), *home);
        assert_eq!(decision.reason, Reason::Sticky);
        assert!(decision.set_cookies.is_empty(), "a valid value is not set again");
    }
}

#[test]
fn draining_keeps_clients_and_eviction_moves_them() {
    let mut client = client_of(&compile(two([50, 50])), 1);
    let drained = compile(two([100, 0]));
    assert_eq!(client.route(&drained, &get("/")), Some(1));
    let evicting = compile(GatewayConfig { sticky_generation: 1, ..two([100, 0]) });
    let decision = client.send(&evicting, &get("/"));
    assert_eq!((decision.chosen.unwrap().route, decision.reason), (0, Reason::Weight));
    assert_eq!(decision.set_cookies.len(), 1, "the old value is replaced");
    assert_eq!(client.send(&evicting, &get("/")).reason, Reason::Sticky);
}

#[test]
fn a_cookie_of_a_dead_route_is_replaced() {
    let gateway = compile(two([50, 50]));
    let mut client = client_of(&gateway, 0);
    set_down(&gateway, 0, 0, true);
    let decision = client.send(&gateway, &get("/"));
    assert_eq!(decision.chosen.unwrap().route, 1);
    assert_eq!((decision.reason, decision.instead_of), (Reason::Rerouted, Some(0)));
    set_down(&gateway, 0, 0, false);
    assert_eq!(client.route(&gateway, &get("/")), Some(1), "the client has a new home");
}

#[test]
fn a_cookie_of_a_missing_route_is_replaced() {
    let mut client = client_of(&compile(two([50, 50])), 1);
    let gateway = compile(sticky(shop([route("a", 100)]), Sticky::Route));
    let decision = client.send(&gateway, &get("/"));
    assert_eq!((decision.chosen.unwrap().route, decision.reason), (0, Reason::Weight));
    assert_eq!(decision.set_cookies.len(), 1);
}

#[test]
fn without_any_target_nothing_is_set() {
    let gateway = compile(two([50, 50]));
    set_down(&gateway, 0, 0, true);
    set_down(&gateway, 1, 0, true);
    let decision = get("/").decide(&gateway);
    assert_eq!((decision.reason, decision.set_cookies.len()), (Reason::NoTarget, 0));
}

#[test]
fn cookies_in_every_shape() {
    let config = two([100, 0]);
    let name = format!("vamp_r_{}", config.lookup);
    let good = format!("0.{}", config.routes[1].lookup);
    let gateway = compile(config);
    let check = |lines: &[String], expected: usize| {
        let request = lines.iter().fold(get("/"), |request, line| request.with("cookie", line));
        assert_eq!(request.decide(&gateway).chosen.unwrap().route, expected, "{lines:?}");
    };
    check(&[format!("{name}={good}")], 1);
    check(&[format!("x=1; {name}=\"{good}\" ;y")], 1);
    check(&[format!(" {name} = {good} ")], 1);
    check(&["x=1".into(), format!("{name}={good}")], 1);
    check(&[format!("{name}=junk; {name}={good}")], 1);
    check(&[format!("{name}=1.{}", &good[2..])], 0);
    check(&[format!("{name}=00.{}", &good[2..])], 0);
    check(&[format!("{name}={}", &good[2..])], 0);
    check(&[format!("{name}=")], 0);
    check(std::slice::from_ref(&name), 0);
    check(&[format!("{}={good}", name.to_uppercase())], 0);
    check(&[format!("{name}=\"{good}")], 0);
    check(&[format!("{name}=0.")], 0);
    check(&["=;=;;; =\"".into()], 0);
}

#[test]
fn conditions_beat_stickiness() {
    let config = sticky(shop([route("a", 100), route("b", 0).when("path_beg /b", 100)]), Sticky::Route);
    let gateway = compile(config);
    let mut client = client_of(&gateway, 0);
    let decision = client.send(&gateway, &get("/b"));
    assert_eq!((decision.chosen.unwrap().route, decision.reason), (1, Reason::Condition));
    assert_eq!(
        client.route(&gateway, &get("/")),
        Some(0),
        "and the route by weight is remembered all the same"
    );
}

#[test]
fn the_draw_is_sticky_both_ways() {
    let config = |strength| {
        sticky(shop([route("a", 100), route("b", 0).when("path_beg /b", strength)]), Sticky::Route)
    };
    let gateway = compile(config(50));
    let mut clients: Vec<Client> = vec![Client::default(); 10];
    let homes: Vec<_> = clients.iter_mut().map(|client| client.route(&gateway, &get("/b"))).collect();
    assert_eq!(homes.iter().filter(|home| **home == Some(1)).count(), 5);
    for (client, home) in clients.iter_mut().zip(&homes) {
        for _ in 0..3 {
            assert_eq!(client.route(&gateway, &get("/b")), *home);
        }
        // The wish of the condition can get weaker without moving anybody, ...
        assert_eq!(client.route(&compile(config(1)), &get("/b")), *home);
        // ... but at full strength everybody who matches comes in, and stays.
        assert_eq!(client.route(&compile(config(100)), &get("/b")), Some(1));
        assert_eq!(client.route(&compile(config(50)), &get("/b")), Some(1));
        let evicting = compile(GatewayConfig { sticky_generation: 1, ..config(0) });
        assert_eq!(client.route(&evicting, &get("/b")), Some(0));
    }
}

#[test]
fn an_outage_does_not_decide_draws() {
    let config = sticky(shop([route("a", 100), route("b", 0).when("path_beg /b", 100)]), Sticky::Route);
    let gateway = compile(config);
    let (mut inside, mut fresh) = (Client::default(), Client::default());
    assert_eq!(inside.route(&gateway, &get("/b")), Some(1));
    set_down(&gateway, 1, 0, true);
    for client in [&mut inside, &mut fresh] {
        let decision = client.send(&gateway, &get("/b"));
        assert_eq!(decision.chosen.unwrap().route, 0);
        assert_eq!((decision.reason, decision.instead_of), (Reason::Rerouted, Some(1)));
        assert!(decision.set_cookies.iter().all(|cookie| !cookie.starts_with("vamp_c_")), "{decision:?}");
    }
    set_down(&gateway, 1, 0, false);
    assert_eq!(inside.route(&gateway, &get("/b")), Some(1));
    assert_eq!(fresh.route(&gateway, &get("/b")), Some(1));
}

#[test]
fn instances() {
    let gateway = compile(sticky(shop([route("a", 100).targets(4)]), Sticky::Instance));
    let mut client = Client::default();
    let home = client.send(&gateway, &get("/")).chosen.unwrap().target;
    for _ in 0..8 {
        let decision = client.send(&gateway, &get("/"));
        assert_eq!(decision.chosen.unwrap().target, home);
        assert!(decision.set_cookies.is_empty());
    }
    set_down(&gateway, 0, home, true);
    let decision = client.send(&gateway, &get("/"));
    let new = decision.chosen.unwrap().target;
    assert_ne!(new, home);
    assert_eq!(decision.set_cookies.len(), 1, "only the target is replaced: {decision:?}");
    set_down(&gateway, 0, home, false);
    assert_eq!(client.send(&gateway, &get("/")).chosen.unwrap().target, new);
}

#[test]
fn route_stickiness_leaves_the_target_to_the_balance() {
    let gateway = compile(sticky(shop([route("a", 100).targets(2)]), Sticky::Route));
    let mut client = Client::default();
    let served: usize = (0..10).map(|_| client.send(&gateway, &get("/")).chosen.unwrap().target).sum();
    assert_eq!(served, 5);
}
