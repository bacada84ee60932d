//! Section 13: targets of a route.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;

use model::gateway::Balance;
use model::port::Protocol;
use proptest::prelude::*;
use routing::config::{GatewayConfig, RouteConfig};
use routing::decide::{another_target, decide, decide_connection};
use routing::table::{Gateway, RoutingTable};

use crate::common::{
    Request, RouteExt, Seeded, compile, get, name, route, set_down, shop, table, tally_targets,
};

fn gateway(balance: Balance, targets: usize) -> std::sync::Arc<Gateway> {
    compile(shop([route("a", 100).targets(targets).balance(balance)]))
}

fn target_of(gateway: &Gateway, request: &Request) -> usize {
    request.decide(gateway).chosen.unwrap().target
}

#[test]
fn round_robin_is_exact() {
    for balance in [
        Balance::Default,
        Balance::RoundRobin { fixed: false },
        Balance::RoundRobin { fixed: true },
        Balance::UrlParameter("none".into()),
        Balance::Header("none".into()),
    ] {
        let gateway = gateway(balance, 3);
        assert_eq!(tally_targets(&gateway, &get("/"), 30), [10, 10, 10]);
        set_down(&gateway, 0, 1, true);
        // The lost third is shared, not dumped on the next in line.
        assert_eq!(tally_targets(&gateway, &get("/"), 60), [30, 0, 30]);
    }
}

#[test]
fn the_turn_survives_new_targets() {
    let config = |targets| shop([route("a", 100).targets(targets)]);
    let mut last = table(config(2), &RoutingTable::default(), 5);
    let mut order = Vec::new();
    for round in 0..6 {
        // Another weightless change each round; only the first target would ever serve if turns began anew.
        let hosts = vec![format!("h{round}.example")];
        last = table(GatewayConfig { hosts, ..config(2) }, &last, 5);
        order.push(target_of(last.gateway(&name("shop")).unwrap(), &get("/")));
    }
    assert!(order.windows(2).all(|pair| pair[0] != pair[1]), "{order:?}");
}

#[test]
fn least_connections() {
    for (protocol, balance) in
        [(Protocol::Tcp, Balance::Default), (Protocol::Http, Balance::LeastConnections)]
    {
        let config = shop([route("a", 100).targets(3).balance(balance)]);
        let gateway = compile(GatewayConfig { protocol, ..config });
        let choose = || {
            let decision = match protocol {
                Protocol::Tcp => decide_connection(&gateway, [127, 0, 0, 1].into(), &mut Seeded(1)),
                Protocol::Http => decide(&gateway, &get("/").head(), &mut Seeded(1)),
            };
            decision.chosen.unwrap().target
        };
        let busy = |target: usize, count| {
            gateway.routes[0].targets[target].state.in_flight.store(count, Ordering::Relaxed)
        };
        assert_eq!((0..3).map(|_| choose()).collect::<HashSet<_>>().len(), 3, "equals take turns");
        busy(0, 2);
        busy(1, 1);
        busy(2, 2);
        assert_eq!(choose(), 1);
        set_down(&gateway, 0, 1, true);
        assert_ne!(choose(), 1);
    }
}

#[test]
fn first() {
    let gateway = gateway(Balance::First, 3);
    assert_eq!(tally_targets(&gateway, &get("/"), 5), [5, 0, 0]);
    set_down(&gateway, 0, 0, true);
    assert_eq!(tally_targets(&gateway, &get("/"), 5), [0, 5, 0]);
}

#[test]
fn random_is_the_dice() {
    let gateway = gateway(Balance::Random, 4);
    set_down(&gateway, 0, 2, true);
    let mut dice = Seeded(1);
    let mut served = [0; 4];
    for _ in 0..3000 {
        served[decide(&gateway, &get("/").head(), &mut dice).chosen.unwrap().target] += 1;
    }
    assert_eq!(served[2], 0);
    assert!(
        served.iter().enumerate().all(|(index, count)| index == 2 || (900..1100).contains(count)),
        "{served:?}"
    );
}

/// Same key, same target; different keys, about even.
#[test]
fn hashes() {
    type Key = fn(u32) -> Request;
    let rows: [(Balance, Key); 4] = [
        (Balance::Source, |n| get("/").from(&format!("10.0.{}.{}", n / 250, n % 250))),
        (Balance::Uri, |n| get(&format!("/item/{n}?x={n}"))),
        (Balance::UrlParameter("user".into()), |n| get(&format!("/?a=1&user={n}"))),
        (Balance::Header("X-User".into()), |n| get("/").with("x-user", &n.to_string())),
    ];
    for (balance, key) in rows {
        let gateway = gateway(balance.clone(), 4);
        let mut served = [0; 4];
        for n in 0..1000 {
            let target = target_of(&gateway, &key(n));
            assert_eq!(target_of(&gateway, &key(n)), target, "{balance}");
            served[target] += 1;
        }
        assert!(served.iter().all(|count| (190..310).contains(count)), "{balance}: {served:?}");
    }
}

#[test]
fn what_hashes_look_at() {
    let uri = gateway(Balance::Uri, 16);
    assert_eq!(target_of(&uri, &get("/a?x=1")), target_of(&uri, &get("/a?x=2")));
    let source = gateway(Balance::Source, 16);
    assert_eq!(
        target_of(&source, &get("/").from("10.1.2.3")),
        target_of(&source, &get("/").from("::ffff:10.1.2.3"))
    );
    let empty = gateway(Balance::UrlParameter("user".into()), 3);
    assert_eq!(tally_targets(&empty, &get("/?user="), 3), [1, 1, 1], "an empty value is none");
}

#[test]
fn connections_by_source() {
    let config = shop([route("a", 100).targets(8).balance(Balance::Source)]);
    let gateway = compile(GatewayConfig { protocol: Protocol::Tcp, ..config });
    let target = |last: u8| {
        decide_connection(&gateway, [10, 0, 0, last].into(), &mut Seeded(1)).chosen.unwrap().target
    };
    assert!((0..50).all(|last| target(last) == target(last)));
    assert!((0..50).map(target).collect::<HashSet<_>>().len() > 4);
}

/// Only the keys of a target that leaves move, and a target that joins takes keys from all others.
#[test]
fn unrelated_keys_keep_their_target() {
    let config = |targets: usize| RouteConfig {
        balance: Balance::Header("k".into()),
        ..route("a", 100).targets(targets)
    };
    let (five, six) = (compile(shop([config(5)])), compile(shop([config(6)])));
    let key = |n: u32| get("/").with("k", &n.to_string());
    let before: BTreeMap<u32, usize> = (0..500).map(|n| (n, target_of(&five, &key(n)))).collect();
    let moved = before.iter().filter(|(n, target)| {
        let now = target_of(&six, &key(**n));
        assert!(now == **target || now == 5, "a key may only move to the new target");
        now == 5
    });
    assert!((40..130).contains(&moved.count()));
    set_down(&five, 0, 3, true);
    for (n, target) in &before {
        let now = target_of(&five, &key(*n));
        assert!(if *target == 3 { now != 3 } else { now == *target });
    }
}

#[test]
fn retries_go_to_others_in_turn() {
    let gateway = gateway(Balance::Default, 4);
    set_down(&gateway, 0, 1, true);
    let another = |failed: &[usize]| another_target(&gateway, 0, failed, &mut Seeded(1));
    let mut served = [0; 4];
    for _ in 0..20 {
        served[another(&[0]).unwrap()] += 1;
    }
    assert_eq!(served, [0, 0, 10, 10]);
    assert_eq!(another(&[0, 2]), Some(3));
    assert_eq!(another(&[0, 2, 3]), None);
    assert_eq!(another_target(&gateway, 9, &[], &mut Seeded(1)), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every balance chooses a target that serves whenever there is one.
    #[test]
    fn never_a_target_that_is_down(down in prop::collection::vec(any::<bool>(), 1..8), seed: u64) {
        for balance in [
            Balance::Default,
            Balance::LeastConnections,
            Balance::First,
            Balance::Source,
            Balance::Uri,
            Balance::UrlParameter("a".into()),
            Balance::Header("a".into()),
            Balance::Random,
        ] {
            let gateway = gateway(balance, down.len());
            for (target, down) in down.iter().enumerate() {
                set_down(&gateway, 0, target, *down);
            }
            let mut dice = Seeded(seed);
            for n in 0..20 {
                let request = get(&format!("/{n}?a={n}"));
                let chosen = decide(&gateway, &request.head(), &mut dice).chosen;
                prop_assert_eq!(chosen.is_some(), down.contains(&false));
                prop_assert!(chosen.is_none_or(|chosen| !down[chosen.target]));
            }
        }
    }
}
