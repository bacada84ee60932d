//! Sections 11.2 and 11.3: exact shares, and routes that cannot serve (R28, R29).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use model::port::Protocol;
use proptest::prelude::*;
use routing::config::{GatewayConfig, RouteConfig};
use routing::decide::{Reason, decide_connection};
use routing::table::RoutingTable;

use crate::common::{Seeded, compile, compile_seeded, get, name, route, set_down, shop, table, tally};

/// Routes with these weights in hundredths of a percent.
fn fine(weights: &[u16]) -> Vec<RouteConfig> {
    let with_weight = |(index, &weight)| RouteConfig { weight, ..route(&format!("r{index}"), 0) };
    weights.iter().enumerate().map(with_weight).collect()
}

#[test]
fn exact_from_any_start() {
    for seed in 0..50 {
        let split =
            |weights: [u16; 2]| compile_seeded(shop([route("a", weights[0]), route("b", weights[1])]), seed);
        assert_eq!(tally(&split([80, 20]), &get("/"), 50), [40, 10, 0], "seed {seed}");
        assert_eq!(tally(&split([50, 50]), &get("/"), 2), [1, 1, 0], "seed {seed}");
        assert_eq!(tally(&split([0, 100]), &get("/"), 7), [0, 7, 0], "seed {seed}");
    }
}

#[test]
fn starts_differ() {
    let first = |seed| {
        get("/").decide(&compile_seeded(shop([route("a", 50), route("b", 50)]), seed)).chosen.unwrap().route
    };
    let started_with_b: usize = (0..1000).map(first).sum();
    assert!((400..600).contains(&started_with_b), "{started_with_b} of 1000 start with the second route");
}

#[test]
fn nobody_has_weight() {
    let gateway = compile(shop([route("a", 0), route("b", 0)]));
    let decision = get("/").decide(&gateway);
    assert_eq!((decision.chosen, decision.reason, decision.instead_of), (None, Reason::NoTarget, None));
    assert_eq!(get("/").decide(&compile(shop([]))).reason, Reason::NoTarget);
}

#[test]
fn every_thread_shares_the_split() {
    for threads in [1, 2, 4, 7] {
        let gateway = compile(shop([route("a", 70), route("b", 29), route("c", 1)]));
        let served: Arc<[AtomicUsize; 3]> = Arc::default();
        // Uneven work for each thread, 100,000 requests together.
        let counts: Vec<usize> = (0..threads).map(|_| 100_000 / threads).collect();
        let rest = 100_000 - counts.iter().sum::<usize>();
        thread::scope(|scope| {
            for (index, count) in counts.into_iter().enumerate() {
                let (gateway, served) = (&gateway, &served);
                let count = if index == 0 { count + rest } else { count };
                scope.spawn(move || {
                    let request = get("/");
                    for _ in 0..count {
                        let route = request.decide(gateway).chosen.expect("all serve").route;
                        served[route].fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let served: Vec<usize> = served.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(served, [70_000, 29_000, 1_000], "{threads} threads");
    }
}

/// R28: a controller that moves weights every few requests must not starve small routes.
#[test]
fn frequent_weight_changes_do_not_restart_the_cycle() {
    let config = |percent: u16| shop([route("a", 100 - percent), route("b", percent)]);
    let mut table = table(config(10), &RoutingTable::default(), 3);
    let mut served = [0_usize; 2];
    for round in 0..1000 {
        // 10 % and 11 % in turn, three requests each: a cycle that restarts would never reach its rare turn.
        table = crate::common::table(config(10 + round % 2), &table, 0);
        let gateway = table.gateway(&name("shop")).unwrap();
        for _ in 0..3 {
            served[get("/").decide(gateway).chosen.unwrap().route] += 1;
        }
    }
    assert!((250..380).contains(&served[1]), "{served:?}, expected about 315 of 3000");
}

#[test]
fn lost_turns_go_elsewhere_in_proportion() {
    let gateway = compile(shop([route("a", 50), route("b", 40), route("c", 10), route("d", 0)]));
    set_down(&gateway, 1, 0, true);
    // 4 of 10 turns are lost; they go 5 : 1 to a and c. 600 requests are whole cycles of both.
    assert_eq!(tally(&gateway, &get("/"), 600), [300 + 200, 0, 60 + 40, 0, 0]);
    set_down(&gateway, 0, 0, true);
    assert_eq!(tally(&gateway, &get("/"), 10), [0, 0, 10, 0, 0]);
    set_down(&gateway, 2, 0, true);
    assert_eq!(tally(&gateway, &get("/"), 10), [0, 0, 0, 0, 10], "the route of weight 0 is no refuge");
    set_down(&gateway, 1, 0, false);
    assert_eq!(tally(&gateway, &get("/"), 10), [0, 10, 0, 0, 0]);
}

#[test]
fn lost_turns_are_marked() {
    let gateway = compile(shop([route("a", 50), route("b", 50)]));
    set_down(&gateway, 0, 0, true);
    let mut reasons = [get("/").decide(&gateway), get("/").decide(&gateway)];
    reasons.sort_by_key(|decision| decision.reason.as_str());
    assert_eq!(reasons[0].reason, Reason::Rerouted);
    assert_eq!(reasons[0].instead_of, Some(0));
    assert_eq!(reasons[1].reason, Reason::Weight);
    assert_eq!(reasons[1].instead_of, None);
    set_down(&gateway, 1, 0, true);
    let decision = get("/").decide(&gateway);
    assert_eq!((decision.chosen, decision.reason), (None, Reason::NoTarget));
    assert!(decision.instead_of.is_some());
}

#[test]
fn a_route_without_targets_is_like_one_that_is_down() {
    let empty = RouteConfig { targets: Vec::new(), ..route("a", 90) };
    let gateway = compile(shop([empty, route("b", 10)]));
    assert_eq!(tally(&gateway, &get("/"), 100), [0, 100, 0]);
}

#[test]
fn connections_follow_weights_alone() {
    use crate::common::RouteExt;
    let routes = [route("a", 80).when("always_true", 100), route("b", 20)];
    let gateway = compile(GatewayConfig {
        protocol: Protocol::Tcp,
        sticky: Some(model::gateway::Sticky::Instance),
        ..shop(routes)
    });
    let mut served = [0; 2];
    for _ in 0..50 {
        let decision = decide_connection(&gateway, [127, 0, 0, 1].into(), &mut Seeded(1));
        assert_eq!((decision.reason, decision.set_cookies.len()), (Reason::Weight, 0));
        served[decision.chosen.unwrap().route] += 1;
    }
    assert_eq!(served, [40, 10]);
    set_down(&gateway, 0, 0, true);
    for _ in 0..10 {
        let decision = decide_connection(&gateway, [127, 0, 0, 1].into(), &mut Seeded(1));
        assert_eq!(decision.chosen.unwrap().route, 1);
    }
    set_down(&gateway, 1, 0, true);
    let decision = decide_connection(&gateway, [127, 0, 0, 1].into(), &mut Seeded(1));
    assert_eq!((decision.chosen, decision.reason), (None, Reason::NoTarget));
}

/// Weights in hundredths of a percent that add up to 100 %.
fn shares() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec((0..=200_u16).prop_map(|cut| cut * 50), 0..6).prop_map(|mut cuts| {
        cuts.extend([0, 10_000]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whole_cycles_are_exact_and_windows_within_two(weights in shares(), seed: u64) {
        let gateway = compile_seeded(shop(fine(&weights)), seed);
        // All weights are multiples of 50, so 200 requests are whole cycles.
        let mut served = vec![0_i64; weights.len()];
        for n in 1..=400_i64 {
            served[get("/").decide(&gateway).chosen.unwrap().route] += 1;
            for (route, &weight) in weights.iter().enumerate() {
                let deviation = served[route] * 10_000 - i64::from(weight) * n;
                prop_assert!(deviation.abs() < 20_000, "route {route} of {weights:?} after {n}");
                prop_assert!(n % 200 != 0 || deviation == 0, "route {route} of {weights:?} after {n}");
            }
        }
    }

    /// Whatever is down: nobody without weight serves, nobody down serves, and the shares of the others are in proportion.
    #[test]
    fn reroutes_are_proportional(weights in shares(), down in prop::collection::vec(any::<bool>(), 7), seed: u64) {
        let gateway = compile_seeded(shop(fine(&weights)), seed);
        let up = |route: usize| !down[route] && weights[route] > 0;
        for (route, &down) in down.iter().enumerate().take(weights.len()) {
            set_down(&gateway, route, 0, down);
        }
        let total: usize = (0..weights.len()).filter(|&route| up(route)).map(|route| usize::from(weights[route])).sum();
        let lost = 10_000 - total;
        // Whole cycles of the schedule and of the lost turns: every cycle of 200 loses lost/50 turns.
        let cycles = total / 50;
        let served = tally(&gateway, &get("/"), 200 * cycles.max(1));
        for (route, &weight) in weights.iter().enumerate() {
            let own = usize::from(weight) / 50 * cycles;
            let gained = if up(route) { usize::from(weight) * lost / 50 / 50 } else { 0 };
            prop_assert_eq!(served[route], if up(route) { own + gained } else { 0 }, "route {} of {:?}", route, &weights);
        }
        prop_assert_eq!(served[weights.len()], if total == 0 { 200 } else { 0 });
    }
}
