//! References and weights.

use super::*;
use crate::artifact::{Artifact, ArtifactKind, Body};

/// Stored artifacts: route `r` and `weighted`, condition `c`, rewrite `w`.
struct Stored;

impl References for Stored {
    fn route(&self, name: &str) -> Option<RouteDocument> {
        let text = match name {
            "r" => {
                "name: r\nbalance: random\ncondition: {reference: c}\nrewrites: [w, {path: /x if path_beg /y}]\nmetadata: {a: b}"
            }
            "weighted" => "name: weighted\nweight: 70%",
            "broken" => "name: broken\ncondition: {reference: none}",
            "selecting" => "name: selecting\nselector: label(a)(b)",
            "hashing" => "name: hashing\nbalance: uri",
            _ => return None,
        };
        match Artifact::read(ArtifactKind::Routes, text).unwrap().body {
            Body::Route(route) => Some(route),
            _ => None,
        }
    }

    fn condition(&self, name: &str) -> Option<Condition> {
        (name == "c").then(|| Condition::parse("user-agent == Firefox").unwrap())
    }

    fn rewrite(&self, name: &str) -> Option<Rewrite> {
        (name == "w").then(|| Rewrite::parse("/v2%[path] if path_beg /api").unwrap())
    }
}

#[track_caller]
fn spec(text: &str) -> GatewaySpec {
    document(text).resolve(&Stored).unwrap_or_else(|problems| panic!("{text}\n{:#?}", problems.0))
}

#[track_caller]
fn unresolved(text: &str, code: &str, path: &str, message: &str) {
    let problems = document(text).resolve(&Stored).expect_err(text);
    assert_eq!(problems.0.len(), 1, "{text}\n{:#?}", problems.0);
    assert_eq!((problems.0[0].code, problems.0[0].path.as_str()), (code, path), "{text}");
    assert!(problems.0[0].message.contains(message), "{text}: {}", problems.0[0].message);
}

#[test]
fn references_become_copies_and_keep_the_path() {
    let g = spec("name: g\nroutes: {a: r, b: {condition: {ref: c}, rewrites: [w]}}");
    let (path, a) = &g.routes[0];
    assert_eq!(path.as_str(), "a");
    assert_eq!(a.balance, Balance::Random);
    assert_eq!(a.condition.as_ref().unwrap().text(), "user-agent == Firefox");
    let rewrites: Vec<_> = a.rewrites.iter().map(Rewrite::text).collect();
    assert_eq!(rewrites, ["/v2%[path] if path_beg /api", "/x if path_beg /y"]);
    assert_eq!(a.metadata["a"], "b");
    assert_eq!(a.strength(), Percent::FULL);
    let (_, b) = &g.routes[1];
    assert_eq!(b.condition.as_ref().unwrap().text(), "user-agent == Firefox");
    assert_eq!(b.rewrites.len(), 1);
    assert_eq!(spec("name: g\nroutes: a").routes[0].1.strength(), Percent::ZERO);
    assert_eq!(
        spec("name: g\nroutes: {a: {condition: host == x, condition_strength: 5%}}").routes[0].1.strength(),
        percent("5%")
    );
}

#[test]
fn what_only_then_can_be_checked() {
    for (text, code, path, message) in [
        (
            "name: g\nroutes: {a: none}",
            "artifact-not-found",
            "/routes/a",
            "Artifact cannot be found: 'none'.",
        ),
        (
            "name: g\nroutes: {a: {condition: {reference: none}}}",
            "artifact-not-found",
            "/routes/a/condition",
            "Artifact cannot be found: 'none'.",
        ),
        (
            "name: g\nroutes: {a: {rewrites: [none]}}",
            "artifact-not-found",
            "/routes/a/rewrites",
            "Artifact cannot be found: 'none'.",
        ),
        (
            "name: g\nroutes: {a: broken}",
            "artifact-not-found",
            "/routes/a/condition",
            "Artifact cannot be found: 'none'.",
        ),
        (
            "name: g\nroutes: {a: weighted}",
            "weight",
            "/routes",
            "Total route weight must be either 0% or 100%: g.",
        ),
        (
            "name: g\nroutes: {a: weighted, b: {weight: 20%}}",
            "weight",
            "/routes",
            "Total route weight must be either 0% or 100%: g.",
        ),
        (
            "name: g\nroutes: {a/b: selecting}",
            "route-selector",
            "/routes/a/b/selector",
            "path must not contain '/'",
        ),
        (
            "name: g\nroutes: {\"[a:1]\": selecting}",
            "route-selector",
            "/routes/[a:1]/selector",
            "external target",
        ),
        (
            "name: g\nport: 9/tcp\nroutes: {a: hashing}",
            "balance",
            "/routes/a/balance",
            "Unsupported balance for tcp",
        ),
    ] {
        unresolved(text, code, path, message);
    }
    let tcp = document("name: g\nport: 9/tcp\nroutes: {a: r}").resolve(&Stored).unwrap_err();
    let codes: Vec<_> = tcp.0.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["condition-on-tcp", "rewrite-on-tcp"]);
    let g = spec("name: g\nroutes: {a: weighted, b: {weight: 30%}}");
    assert_eq!(g.routes[0].1.weight, Some(percent("70%")));
    let all = document("name: g\nroutes: {a: x, b: y}").resolve(&Stored).unwrap_err();
    assert_eq!(all.0.len(), 2);
}

#[test]
fn missing_weights() {
    for (given, expected) in [
        ("", ""),
        ("-", "100%"),
        ("- -", "50% 50%"),
        ("- - -", "33% 33% 34%"),
        ("- - - - - -", "16% 16% 16% 16% 16% 20%"),
        ("- - - - - - -", "14% 14% 14% 14% 14% 14% 16%"),
        ("100% -", "100% 0%"),
        ("100% - -", "100% 0% 0%"),
        ("- 100%", "0% 100%"),
        ("0% - -", "0% 50% 50%"),
        ("- 0% - -", "33% 0% 33% 34%"),
        ("0%", "0%"),
        ("0% 0%", "0% 0%"),
        ("0% -", "0% 100%"),
        ("50% 50%", "50% 50%"),
        ("50% 50% -", "50% 50% 0%"),
        ("0.5% 99.5% -", "0.5% 99.5% 0%"),
        ("0.5% - -", "0.5% 49.75% 49.75%"),
        ("0.5% - - -", "0.5% 33.16% 33.16% 33.18%"),
        ("40% - -", "40% 30% 30%"),
    ] {
        let given: Vec<_> = given.split_whitespace().map(|text| Percent::parse(text).ok()).collect();
        let completed: Vec<_> = complete_weights(&given).iter().map(ToString::to_string).collect();
        assert_eq!(completed.join(" "), expected);
    }
    let many = complete_weights(&vec![None; 1_000]);
    assert_eq!(many.iter().map(|weight| u32::from(weight.hundredths())).sum::<u32>(), 10_000);
    // More than 100 % is refused before; here it must only not break.
    assert_eq!(complete_weights(&[Some(Percent::FULL), Some(Percent::FULL), None])[2], Percent::ZERO);
}
