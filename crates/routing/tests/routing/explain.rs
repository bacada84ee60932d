//! Asking without changing.

use model::gateway::{Balance, Sticky};
use routing::decide::Reason;
use routing::explain::{Verdict, explain};

use crate::common::{RouteExt, compile, get, route, set_down, shop, sticky};

#[test]
fn says_what_the_next_request_gets_and_changes_nothing() {
    let routes = [
        route("a", 60).targets(3),
        route("b", 40).targets(2).when("path_beg /b", 30),
        route("c", 0).balance(Balance::LeastConnections).targets(2),
    ];
    let gateway = compile(sticky(shop(routes), Sticky::Instance));
    set_down(&gateway, 1, 0, true);
    for n in 0..200 {
        let request = if n % 3 == 0 { get("/b") } else { get("/") };
        let answers: Vec<_> = (0..5).map(|_| explain(&gateway, &request.head()).decision).collect();
        let decision = request.decide(&gateway);
        assert!(answers.iter().all(|answer| *answer == decision), "{answers:?} {decision:?}");
    }
}

#[test]
fn tells_which_condition_decides() {
    let gateway = compile(shop([
        route("a", 100),
        route("b", 0).when("path_beg /x", 100),
        route("c", 0).when("path_beg /x/y", 100).rewrites(&["/z%[path] if always_true"]),
    ]));
    let verdicts = |target: &str| explain(&gateway, &get(target).head()).conditions;
    let verdict = |route, holds, decides| Verdict { route, holds, decides };
    assert_eq!(verdicts("/"), [verdict(1, false, false), verdict(2, false, false)]);
    assert_eq!(verdicts("/x"), [verdict(1, true, true), verdict(2, false, false)]);
    assert_eq!(verdicts("/x/y"), [verdict(1, true, true), verdict(2, true, false)]);
    assert_eq!(explain(&gateway, &get("/x/y").head()).rewritten, None);
}

#[test]
fn tells_the_rewritten_path() {
    let gateway = compile(shop([route("a", 100).rewrites(&["/z%[path] if always_true"])]));
    let explanation = explain(&gateway, &get("/x?q").head());
    assert_eq!(explanation.decision.reason, Reason::Weight);
    assert_eq!(explanation.rewritten.as_deref(), Some("/z/x?q"));
}
