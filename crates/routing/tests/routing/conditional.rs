//! Section 11.1: conditions before weights.

use routing::decide::Reason;

use crate::common::{RouteExt, compile, get, route, set_down, shop, tally};

#[test]
fn the_first_condition_that_holds_decides_even_when_its_draw_fails() {
    let gateway = compile(shop([
        route("a", 100),
        route("b", 0).when("path_beg /x", 0),
        route("c", 0).when("path_beg /x", 100),
        route("d", 0).when("path_beg /y", 100),
    ]));
    assert_eq!(tally(&gateway, &get("/x"), 10), [10, 0, 0, 0, 0]);
    assert_eq!(tally(&gateway, &get("/y"), 10), [0, 0, 0, 10, 0]);
    assert_eq!(tally(&gateway, &get("/"), 10), [10, 0, 0, 0, 0]);
}

#[test]
fn strength_is_exact() {
    let gateway = compile(shop([route("a", 100), route("b", 0).when("path_beg /x", 10)]));
    assert_eq!(tally(&gateway, &get("/x"), 50), [45, 5, 0]);
    let decision =
        (0..10).map(|_| get("/x").decide(&gateway)).find(|d| d.reason == Reason::Condition).unwrap();
    assert_eq!(decision.chosen.unwrap().route, 1);
}

#[test]
fn requests_that_do_not_match_leave_the_draw_alone() {
    let gateway = compile(shop([route("a", 100), route("b", 0).when("path_beg /x", 50)]));
    let mut taken = 0;
    for _ in 0..50 {
        taken += tally(&gateway, &get("/x"), 1)[1];
        tally(&gateway, &get("/"), 1);
    }
    assert_eq!(taken, 25);
}

#[test]
fn a_condition_without_ready_target_is_a_lost_draw() {
    let gateway = compile(shop([
        route("a", 100),
        route("b", 0).when("path_beg /x", 100),
        route("c", 0).when("path_beg /x", 100),
    ]));
    set_down(&gateway, 1, 0, true);
    let decision = get("/x").decide(&gateway);
    assert_eq!(decision.chosen.unwrap().route, 0, "the second condition is not consulted");
    assert_eq!((decision.reason, decision.instead_of), (Reason::Rerouted, Some(1)));
    assert_eq!(get("/").decide(&gateway).reason, Reason::Weight);
    set_down(&gateway, 0, 0, true);
    assert_eq!(get("/x").decide(&gateway).reason, Reason::NoTarget);
}

#[test]
fn only_won_draws_count_as_rerouted() {
    let gateway = compile(shop([route("a", 100), route("b", 0).when("path_beg /x", 20)]));
    set_down(&gateway, 1, 0, true);
    let rerouted = (0..50).filter(|_| get("/x").decide(&gateway).reason == Reason::Rerouted).count();
    assert_eq!(rerouted, 10);
}

#[test]
fn a_condition_serves_although_nobody_has_weight() {
    let gateway = compile(shop([route("a", 0).when("path_beg /x", 100), route("b", 0)]));
    assert_eq!(tally(&gateway, &get("/x"), 3), [3, 0, 0]);
    assert_eq!(tally(&gateway, &get("/"), 3), [0, 0, 3]);
}
