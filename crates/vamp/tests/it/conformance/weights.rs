//! Weights at write time (gateways 7, 1.3, R46, E11): what a document's routes get.

use serde_json::json;

use super::{Report, weights_of};
use crate::harness::Vamp;

/// Rule, routes, weights in route order.
const FILLED: &[(&str, &str, &[&str])] = &[
    ("7 one", "[a]", &["a=100%"]),
    ("7 two", "[a, b]", &["a=50%", "b=50%"]),
    ("E11 three", "[a, b, c]", &["a=33%", "b=33%", "c=34%"]),
    ("7 four", "[a, b, c, d]", &["a=25%", "b=25%", "c=25%", "d=25%"]),
    (
        "7 six: the last takes the rest",
        "[a, b, c, d, e, f]",
        &["a=16%", "b=16%", "c=16%", "d=16%", "e=16%", "f=20%"],
    ),
    (
        "7 seven: the last takes the rest",
        "[a, b, c, d, e, f, g]",
        &["a=14%", "b=14%", "c=14%", "d=14%", "e=14%", "f=14%", "g=16%"],
    ),
    ("7 all given", "{a: {weight: 60%}, b: {weight: 40%}}", &["a=60%", "b=40%"]),
    (
        "7 all given, zeros too",
        "{a: {weight: 0%}, b: {weight: 100%}, c: {weight: 0%}}",
        &["a=0%", "b=100%", "c=0%"],
    ),
    ("E11 some given, sum 100", "{a: {weight: 100%}, b: {}}", &["a=100%", "b=0%"]),
    (
        "7 some given, sum 100, in the middle",
        "{a: {}, b: {weight: 60%}, c: {}, d: {weight: 40%}}",
        &["a=0%", "b=60%", "c=0%", "d=40%"],
    ),
    ("E11 a zero and missing ones", "{a: {weight: 0%}, b: {}, c: {}}", &["a=0%", "b=50%", "c=50%"]),
    ("7 a zero last", "{a: {}, b: {weight: 0%}}", &["a=100%", "b=0%"]),
    (
        "7 a zero in the middle",
        "{a: {}, b: {weight: 0%}, c: {}, d: {}}",
        &["a=33%", "b=0%", "c=33%", "d=34%"],
    ),
    ("7 two zeros", "{a: {weight: 0%}, b: {weight: 0%}, c: {}}", &["a=0%", "b=0%", "c=100%"]),
    ("7 all at 0%", "{a: {weight: 0%}, b: {weight: 0%}}", &["a=0%", "b=0%"]),
    ("7 one at 0%", "{a: {weight: 0%}}", &["a=0%"]),
    ("R5 order stays", "{z: {weight: 10%}, a: {weight: 90%}}", &["z=10%", "a=90%"]),
    ("R5 order stays, weights missing", "{z: {weight: 100%}, m: {}, a: {}}", &["z=100%", "m=0%", "a=0%"]),
    ("7 a condition has no say in the weight", "{a: {condition: has header A}, b: {}}", &["a=50%", "b=50%"]),
    (
        "E3 condition at 0%",
        "{a: {weight: 0%, condition: has header A}, b: {weight: 100%}}",
        &["a=0%", "b=100%"],
    ),
    ("R46 decimals", "{a: {weight: 99.95%}, b: {weight: 0.05%}}", &["a=99.95%", "b=0.05%"]),
    (
        "R46 sum of decimals",
        "{a: {weight: 33.3%}, b: {weight: 33.3%}, c: {weight: 33.4%}}",
        &["a=33.3%", "b=33.3%", "c=33.4%"],
    ),
    (
        "R46 decimals and a missing one",
        "{a: {weight: 0.5%}, b: {weight: 99.5%}, c: {}}",
        &["a=0.5%", "b=99.5%", "c=0%"],
    ),
    (
        "R46 never floating point",
        "{a: {weight: 0.1%}, b: {weight: 0.2%}, c: {weight: 99.7%}}",
        &["a=0.1%", "b=0.2%", "c=99.7%"],
    ),
    ("5 sum 0", "{a: {weight: 0%}, b: {weight: 0.00%}}", &["a=0%", "b=0%"]),
    ("3 list of maps", "[{b: {weight: 70%}}, {a: {weight: 30%}}]", &["b=70%", "a=30%"]),
    ("7 a reference that has a weight", "{a: full, b: {}}", &["a=100%", "b=0%"]),
    ("7 a reference without a weight", "{a: bare, b: {}}", &["a=50%", "b=50%"]),
];

/// Rule, route, strength.
const STRENGTHS: &[(&str, &str, &str)] = &[
    ("7 no condition", "{}", "0%"),
    ("7 condition", "{condition: has header A}", "100%"),
    ("7 given", "{condition: has header A, condition_strength: 30%}", "30%"),
    ("7 given 0%", "{condition: has header A, condition_strength: 0%}", "0%"),
    ("7 given 100%", "{condition: has header A, condition_strength: 100%}", "100%"),
    ("R46 given decimals", "{condition: has header A, condition_strength: 2.5%}", "2.5%"),
    ("7 condition of a reference", "conditional", "100%"),
    ("7 strength of a reference", "strong", "20%"),
];

async fn stored(vamp: &Vamp) {
    for (name, body) in [
        ("full", "weight: 100%"),
        ("bare", "balance: random"),
        ("conditional", "condition: has header A"),
        ("strong", "condition: has header A\ncondition_strength: 20%"),
    ] {
        let answer = vamp.put(&format!("/routes/{name}"), &format!("name: {name}\n{body}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filled_in() {
    let vamp = Vamp::start().await;
    stored(&vamp).await;
    let mut report = Report::new("weights");
    vamp.gateway("name: gw").await;
    for (rule, routes, expected) in FILLED {
        let expected: Vec<String> = expected.iter().map(|e| (*e).to_owned()).collect();
        let body = format!("name: gw\nroutes: {routes}");
        let answer = vamp.post("/gateways?validate_only=true", &format!("name: new\nroutes: {routes}")).await;
        report.same(
            &format!("{rule}: {routes}, create (trial)"),
            (answer.status, weights_of(&answer.body)),
            (202, expected.clone()),
        );
        let answer = vamp.put("/gateways/gw", &body).await;
        report.same(
            &format!("{rule}: {routes}, update"),
            (answer.status, weights_of(&answer.body)),
            (202, expected.clone()),
        );
        let read = vamp.get("/gateways/gw").await.body;
        report.same(&format!("{rule}: {routes}, as read"), weights_of(&read), expected);
    }
    for (rule, route, expected) in STRENGTHS {
        let answer = vamp.put("/gateways/gw", &format!("name: gw\nroutes: {{a: {route}}}")).await;
        let seen = answer.body["routes"]["a"]["condition_strength"].as_str();
        report.same(&format!("{rule}: {route}"), (answer.status, seen), (202, Some(*expected)));
    }

    // A hundred routes, and more routes than whole percents.
    let many = |n: usize| (0..n).map(|i| format!("r{i}")).collect::<Vec<_>>();
    for (n, first, last) in [(100, "1%", "1%"), (101, "0%", "100%"), (60, "1%", "41%")] {
        let answer = vamp
            .post("/gateways?validate_only=true", &json!({"name": "many", "routes": many(n)}).to_string())
            .await;
        let weights = weights_of(&answer.body);
        let seen = (weights.len(), weights.first().cloned(), weights.last().cloned());
        let expected = (n, Some(format!("r0={first}")), Some(format!("r{}={last}", n - 1)));
        report.same(&format!("7 floor(100/{n})"), seen, expected);
    }
    report.finish();
}
