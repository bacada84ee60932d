//! A target that takes a portion of what would fall to it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use model::gateway::Balance;
use proptest::prelude::*;
use routing::decide::decide;
use routing::table::{Gateway, TargetState};

use crate::common::{RouteExt, Seeded, compile, get, route, set_down, set_portion, shop, tally_targets};

fn gateway(balance: Balance, targets: usize) -> std::sync::Arc<Gateway> {
    compile(shop([route("a", 100).targets(targets).balance(balance)]))
}

#[test]
fn a_tenth_of_its_turns_and_then_more() {
    let gateway = gateway(Balance::Default, 2);
    for (portion, took) in [(1_000, 100), (2_500, 250), (5_000, 500), (TargetState::FULL, 1_000)] {
        set_portion(&gateway, 0, 1, portion);
        let served = tally_targets(&gateway, &get("/"), 2_000);
        assert!((took - 1..=took + 1).contains(&served[1]), "{portion}: {served:?}");
    }
}

/// What one does not take is shared by those that take all, also when another one starts slowly at the same time.
#[test]
fn the_rest_is_shared() {
    let gateway = gateway(Balance::Default, 4);
    set_portion(&gateway, 0, 0, 1_000);
    set_portion(&gateway, 0, 3, 5_000);
    let served = tally_targets(&gateway, &get("/"), 4_000);
    assert!(served[0].abs_diff(100) <= 1 && served[3].abs_diff(500) <= 1, "{served:?}");
    assert!(served[1].abs_diff(served[2]) <= 2, "{served:?}");
}

/// It is spared for the sake of others: with nobody there who takes all, everything goes on as if all did.
#[test]
fn alone_it_takes_all() {
    for balance in [
        Balance::Default,
        Balance::LeastConnections,
        Balance::First,
        Balance::Random,
        Balance::Source,
        Balance::Uri,
    ] {
        let what = balance.to_string();
        let gateway = gateway(balance, 2);
        set_portion(&gateway, 0, 0, 1);
        set_down(&gateway, 0, 1, true);
        assert_eq!(tally_targets(&gateway, &get("/"), 10), [10, 0], "{what}");
    }
    let gateway = gateway(Balance::Default, 2);
    set_portion(&gateway, 0, 0, 1_000);
    set_portion(&gateway, 0, 1, 1_000);
    assert_eq!(tally_targets(&gateway, &get("/"), 10), [5, 5]);
}

#[test]
fn idle_as_it_is_it_does_not_draw_all_connections() {
    let gateway = gateway(Balance::LeastConnections, 3);
    for busy in 0..2 {
        gateway.routes[0].targets[busy].state.in_flight.store(50, Ordering::Relaxed);
    }
    set_portion(&gateway, 0, 2, 1_000);
    let served = tally_targets(&gateway, &get("/"), 3_000);
    assert!(served[2].abs_diff(100) <= 1, "{served:?}");
    set_portion(&gateway, 0, 2, TargetState::FULL);
    assert_eq!(tally_targets(&gateway, &get("/"), 30)[2], 30);
}

#[test]
fn first_and_random() {
    let first = gateway(Balance::First, 3);
    set_portion(&first, 0, 0, 2_000);
    let served = tally_targets(&first, &get("/"), 1_000);
    assert!(served[0].abs_diff(200) <= 1 && served[2] == 0, "{served:?}");
    let random = gateway(Balance::Random, 2);
    set_portion(&random, 0, 0, 2_000);
    let mut dice = Seeded(3);
    let mut took = 0;
    for _ in 0..10_000 {
        took += usize::from(decide(&random, &get("/").head(), &mut dice).chosen.unwrap().target == 0);
    }
    assert!(took.abs_diff(1_000) < 150, "{took}");
}

/// Keys come in one after the other and stay; what is not in yet has a target of its own that it keeps until then.
#[test]
fn keys_that_came_in_stay_in() {
    let gateway = gateway(Balance::Uri, 3);
    let keys: Vec<String> = (0..2_000).map(|key| format!("/{key}")).collect();
    let look = || -> HashMap<&str, usize> {
        let target = |key: &str| decide(&gateway, &get(key).head(), &mut Seeded(1)).chosen.unwrap().target;
        keys.iter().map(|key| (key.as_str(), target(key))).collect()
    };
    set_down(&gateway, 0, 0, true);
    let mut before = look();
    set_down(&gateway, 0, 0, false);
    let all = look().values().filter(|target| **target == 0).count();
    for portion in [1_000, 4_000, 8_000, TargetState::FULL] {
        set_portion(&gateway, 0, 0, portion);
        let now = look();
        for (key, target) in &now {
            assert!(*target == before[key] || *target == 0, "{key}: {} -> {target}", before[key]);
        }
        let here = now.values().filter(|target| **target == 0).count();
        let expected = all * usize::from(portion) / 10_000;
        assert!(here.abs_diff(expected) <= 60, "{portion}: {here} of {expected}");
        before = now;
    }
}

proptest! {
    /// Whatever the portions: something serves if anything can, never one that is down, and none takes more than its share of the turns.
    #[test]
    fn portions(portions in prop::collection::vec(0_u16..=10_000, 1..6), balance in 0..4_usize, seed: u64) {
        let balances = [Balance::Default, Balance::LeastConnections, Balance::First, Balance::Random];
        let gateway = gateway(balances[balance].clone(), portions.len());
        for (target, portion) in portions.iter().enumerate() {
            set_portion(&gateway, 0, target, *portion);
        }
        let mut dice = Seeded(seed);
        for _ in 0..50 {
            match decide(&gateway, &get("/").head(), &mut dice).chosen {
                Some(chosen) => prop_assert!(portions[chosen.target] > 0),
                None => prop_assert!(portions.iter().all(|portion| *portion == 0)),
            }
        }
    }
}
