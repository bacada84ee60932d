//! Routing a request (gateways 11, 13, 16, 17, R28, R29, R33, R36, R37; E3 to E5, E10, E12): order, exact counts, rerouting.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Echo, Report, counts, port_of, send, tally};
use crate::harness::Vamp;

/// Requests of one kind, how many, and how often each target answers.
type Steps = &'static [(&'static str, usize, Counts)];

/// How often each target answers.
type Counts = &'static [(&'static str, usize)];

/// Rule, routes, steps. In the routes `A` to `D` are the paths of targets a to d; `nowhere` is a gateway that does not exist.
const COUNTED: &[(&str, &str, Steps)] = &[
    // Weights (11.2): exact over whole cycles, whatever the start (R28).
    ("11.2 80/20", "{A: {weight: 80%}, B: {weight: 20%}}", &[("GET /", 50, &[("a", 40), ("b", 10)])]),
    (
        "11.2 80/20, any five",
        "{A: {weight: 80%}, B: {weight: 20%}}",
        &[
            ("GET /", 5, &[("a", 4), ("b", 1)]),
            ("GET /", 5, &[("a", 4), ("b", 1)]),
            ("GET /", 5, &[("a", 4), ("b", 1)]),
        ],
    ),
    (
        "11.2 50/50 alternates",
        "{A: {weight: 50%}, B: {weight: 50%}}",
        &[
            ("GET /", 2, &[("a", 1), ("b", 1)]),
            ("GET /", 2, &[("a", 1), ("b", 1)]),
            ("GET /", 2, &[("a", 1), ("b", 1)]),
            ("GET /", 2, &[("a", 1), ("b", 1)]),
        ],
    ),
    (
        "11.2 90/10",
        "{A: {weight: 90%}, B: {weight: 10%}}",
        &[("GET /", 10, &[("a", 9), ("b", 1)]), ("GET /", 100, &[("a", 90), ("b", 10)])],
    ),
    (
        "11.2 70/20/10",
        "{A: {weight: 70%}, B: {weight: 20%}, C: {weight: 10%}}",
        &[("GET /", 10, &[("a", 7), ("b", 2), ("c", 1)]), ("GET /", 10, &[("a", 7), ("b", 2), ("c", 1)])],
    ),
    ("11.2 33/33/34", "[A, B, C]", &[("GET /", 100, &[("a", 33), ("b", 33), ("c", 34)])]),
    (
        "11.2 25 each",
        "[A, B, C, D]",
        &[
            ("GET /", 4, &[("a", 1), ("b", 1), ("c", 1), ("d", 1)]),
            ("GET /", 40, &[("a", 10), ("b", 10), ("c", 10), ("d", 10)]),
        ],
    ),
    (
        "11.2 99/1",
        "{A: {weight: 99%}, B: {weight: 1%}}",
        &[("GET /", 100, &[("a", 99), ("b", 1)]), ("GET /", 100, &[("a", 99), ("b", 1)])],
    ),
    ("11.2 100/0", "{A: {weight: 100%}, B: {weight: 0%}}", &[("GET /", 50, &[("a", 50)])]),
    ("11.2 0/100", "{A: {weight: 0%}, B: {weight: 100%}}", &[("GET /", 50, &[("b", 50)])]),
    ("R46 99.5/0.5", "{A: {weight: 99.5%}, B: {weight: 0.5%}}", &[("GET /", 200, &[("a", 199), ("b", 1)])]),
    (
        "R46 62.5/37.5",
        "{A: {weight: 62.5%}, B: {weight: 37.5%}}",
        &[("GET /", 8, &[("a", 5), ("b", 3)]), ("GET /", 80, &[("a", 50), ("b", 30)])],
    ),
    (
        "11.2 methods share a cycle",
        "{A: {weight: 50%}, B: {weight: 50%}}",
        &[
            ("GET /", 10, &[("a", 5), ("b", 5)]),
            ("POST /x", 10, &[("a", 5), ("b", 5)]),
            ("DELETE /x?y", 10, &[("a", 5), ("b", 5)]),
        ],
    ),
    // Conditions (11.1).
    (
        "E3 versions by header",
        "{A: {weight: 0%, condition: Header Accept Contains v1}, B: {weight: 100%, condition: Header Accept Contains v2}}",
        &[
            ("GET / | Accept: application/vnd.sava.v1+json", 10, &[("a", 10)]),
            ("GET / | Accept: application/vnd.sava.v2+json", 10, &[("b", 10)]),
            ("GET /", 10, &[("b", 10)]),
            ("GET / | Accept: application/vnd.sava.v2+json, application/vnd.sava.v1+json", 10, &[("a", 10)]),
        ],
    ),
    (
        "E4 strength",
        "{A: {weight: 80%}, B: {weight: 20%, condition: '< url_beg /2 >', condition_strength: 50%}}",
        &[
            ("GET /2", 50, &[("a", 20), ("b", 30)]),
            ("GET /", 50, &[("a", 40), ("b", 10)]),
            ("GET /2", 50, &[("a", 20), ("b", 30)]),
        ],
    ),
    (
        "E5 only Firefox",
        "{A: {weight: 100%}, B: {weight: 0%, condition: user-agent == Firefox}}",
        &[
            ("GET / | User-Agent: Firefox", 20, &[("b", 20)]),
            ("GET / | User-Agent: Chrome", 20, &[("a", 20)]),
            ("GET /", 20, &[("a", 20)]),
        ],
    ),
    (
        "E5 half of Firefox",
        "{A: {weight: 100%}, B: {weight: 0%, condition: user-agent == Firefox, condition_strength: 50%}}",
        &[
            ("GET / | User-Agent: Firefox", 2, &[("a", 1), ("b", 1)]),
            ("GET / | User-Agent: Firefox", 2, &[("a", 1), ("b", 1)]),
            ("GET / | User-Agent: Firefox", 20, &[("a", 10), ("b", 10)]),
            ("GET /", 20, &[("a", 20)]),
        ],
    ),
    (
        "11.1 one in ten",
        "{A: {weight: 100%}, B: {weight: 0%, condition: has header X, condition_strength: 10%}}",
        &[
            ("GET / | X: 1", 10, &[("a", 9), ("b", 1)]),
            ("GET / | X: 1", 50, &[("a", 45), ("b", 5)]),
            ("GET /", 10, &[("a", 10)]),
        ],
    ),
    (
        "11.1 the first condition decides, even when its draw fails",
        "{A: {weight: 0%, condition: has header X, condition_strength: 0%}, B: {weight: 0%, condition: has header X}, C: {weight: 100%}}",
        &[("GET / | X: 1", 20, &[("c", 20)])],
    ),
    (
        "11.1 a failed draw looks at no further condition",
        "{A: {weight: 0%, condition: has header X, condition_strength: 50%}, B: {weight: 0%, condition: has header X}, C: {weight: 100%}}",
        &[("GET / | X: 1", 20, &[("a", 10), ("c", 10)])],
    ),
    (
        "11.1 the first in order, not the first in weight",
        "{A: {weight: 100%}, B: {weight: 0%, condition: has header X}, C: {weight: 0%, condition: has header X or has header Y}}",
        &[
            ("GET / | X: 1", 10, &[("b", 10)]),
            ("GET / | Y: 1", 10, &[("c", 10)]),
            ("GET / | X: 1 | Y: 1", 10, &[("b", 10)]),
        ],
    ),
    (
        "11.1 by weight over all routes, the conditional one included",
        "{A: {weight: 60%, condition: has header X, condition_strength: 50%}, B: {weight: 40%}}",
        &[("GET / | X: 1", 20, &[("a", 16), ("b", 4)]), ("GET /", 20, &[("a", 12), ("b", 8)])],
    ),
    (
        "11.1 strength 0%",
        "{A: {weight: 50%}, B: {weight: 50%, condition: has header X, condition_strength: 0%}}",
        &[("GET / | X: 1", 20, &[("a", 10), ("b", 10)])],
    ),
    (
        "11.1 a condition that never holds",
        "{A: {weight: 0%, condition: has header X and !has header X}, B: {weight: 100%}}",
        &[("GET / | X: 1", 5, &[("b", 5)]), ("GET /", 5, &[("b", 5)])],
    ),
    (
        "11.1 a condition that always holds",
        "{A: {weight: 0%, condition: < always_true >}, B: {weight: 100%}}",
        &[("GET /", 5, &[("a", 5)])],
    ),
    (
        "11.1 all at 0%, condition taken",
        "{A: {weight: 0%, condition: has header X}, B: {weight: 0%}}",
        &[("GET / | X: 1", 5, &[("a", 5)])],
    ),
    // Nothing to serve (11.1, 11.3, 17).
    ("11.1 all at 0%", "{A: {weight: 0%}, B: {weight: 0%}}", &[("GET /", 3, &[("503 no_target", 3)])]),
    (
        "11.1 all at 0%, draw failed",
        "{A: {weight: 0%, condition: has header X, condition_strength: 50%}, B: {weight: 0%}}",
        &[("GET / | X: 1", 10, &[("a", 5), ("503 no_target", 5)])],
    ),
    ("11.1 no routes", "{}", &[("GET /", 3, &[("503 no_target", 3)])]),
    ("17 no such gateway", "[nowhere]", &[("GET /", 3, &[("503 no_target", 3)])]),
    (
        "R29 the share of a dead route",
        "{nowhere: {weight: 50%}, B: {weight: 50%}}",
        &[("GET /", 50, &[("b", 50)])],
    ),
    (
        "R29 proportionally",
        "{nowhere: {weight: 60%}, B: {weight: 30%}, C: {weight: 10%}}",
        &[("GET /", 40, &[("b", 30), ("c", 10)])],
    ),
    (
        "R29 a 0% route gets nothing",
        "{nowhere: {weight: 100%}, B: {weight: 0%}}",
        &[("GET /", 5, &[("503 no_target", 5)])],
    ),
    (
        "R29 a 0% route among others",
        "{nowhere: {weight: 50%}, B: {weight: 0%}, C: {weight: 50%}}",
        &[("GET /", 20, &[("c", 20)])],
    ),
    (
        "R29 two dead routes",
        "{nowhere: {weight: 50%}, elsewhere: {weight: 30%}, C: {weight: 20%}}",
        &[("GET /", 20, &[("c", 20)])],
    ),
    (
        "R29 a dead conditional route",
        "{nowhere: {weight: 0%, condition: has header X}, B: {weight: 100%}}",
        &[("GET / | X: 1", 10, &[("b", 10)])],
    ),
    (
        "R29 a dead conditional route is a failed draw",
        "{nowhere: {weight: 0%, condition: has header X}, B: {weight: 0%, condition: has header X}, C: {weight: 100%}}",
        &[("GET / | X: 1", 10, &[("c", 10)])],
    ),
];

/// Puts the paths of targets into routes.
fn place(routes: &str, targets: &[Echo]) -> String {
    let mut text = String::new();
    for word in routes.split_inclusive([' ', '{', '[', ',', ':', ']', '}']) {
        let (name, rest) =
            word.split_at(word.len() - usize::from(word.ends_with([' ', '{', '[', ',', ':', ']', '}'])));
        match name {
            "A" | "B" | "C" | "D" => {
                let index = usize::from(name.as_bytes()[0] - b'A');
                text.push_str(&format!("\"{}\"", targets[index].path()));
            }
            other => text.push_str(other),
        }
        text.push_str(rest);
    }
    text
}

async fn four() -> Vec<Echo> {
    let mut targets = Vec::new();
    for name in ["a", "b", "c", "d"] {
        targets.push(Echo::start(name).await);
    }
    targets
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_counts() {
    let vamp = Vamp::start().await;
    let targets = four().await;
    let mut report = Report::new("routing");
    let mut ports = Vec::new();
    for (index, (rule, routes, _)) in COUNTED.iter().enumerate() {
        let document = format!("name: r{index}\nroutes: {}", place(routes, &targets));
        let answer = vamp.post("/gateways?wait=applied", &document).await;
        report.same(&format!("{rule}: accepted {}", answer.body), answer.status, 202);
        ports.push(port_of(&answer.body));
    }
    for ((rule, routes, steps), port) in COUNTED.iter().zip(ports) {
        for (step, (request, times, expected)) in steps.iter().enumerate() {
            let seen = tally(("127.0.0.1", port), request, *times).await;
            report.same(&format!("{rule}: {routes}, step {step}: {request}"), seen, counts(expected));
        }
    }
    report.finish();
}

/// The order within a cycle and across changes (11.2, R28, E10).
#[tokio::test(flavor = "multi_thread")]
async fn cycles() {
    let vamp = Vamp::start().await;
    let targets = four().await;
    let mut report = Report::new("cycles");
    let gateway = async |name: &str, routes: &str| {
        port_of(&vamp.gateway(&format!("name: {name}\nroutes: {}", place(routes, &targets))).await)
    };
    let sequence = async |port: u16, times: usize| {
        let mut names = String::new();
        for _ in 0..times {
            names.push_str(&send(("127.0.0.1", port), "GET /").await.from());
        }
        names
    };

    let port = gateway("alternating", "{A: {weight: 50%}, B: {weight: 50%}}").await;
    let seen = sequence(port, 20).await;
    report.holds("E10 alternating", seen == "ab".repeat(10) || seen == "ba".repeat(10), &seen);

    // Smooth: the lesser route is spread, not bunched.
    let port = gateway("smooth", "{A: {weight: 80%}, B: {weight: 20%}}").await;
    let seen = sequence(port, 50).await;
    let at: Vec<usize> = seen.match_indices('b').map(|(index, _)| index).collect();
    report.holds("11.2 smooth", at.len() == 10 && at.windows(2).all(|pair| pair[1] - pair[0] == 5), &seen);

    // A change of other gateways, or a write that changes nothing, does not restart the cycle: counts over the change are exact.
    let port = gateway("kept", "{A: {weight: 90%}, B: {weight: 10%}}").await;
    let mut seen = BTreeMap::new();
    for round in 0..10 {
        vamp.gateway(&format!("name: noise{round}")).await;
        for _ in 0..10 {
            *seen.entry(send(("127.0.0.1", port), "GET /").await.from()).or_insert(0) += 1;
        }
    }
    report.same("R28 other changes do not bias a small route", seen, counts(&[("a", 90), ("b", 10)]));

    // Weights changed and changed back ever again: the small route still gets its share, within one request a change.
    let port = gateway("changed", "{A: {weight: 90%}, B: {weight: 10%}}").await;
    let mut small = 0;
    for round in 0..20 {
        let metadata = format!(
            "name: changed\nmetadata: {{round: {round}}}\nroutes: {}",
            place("{A: {weight: 90%}, B: {weight: 10%}}", &targets)
        );
        let answer = vamp.put("/gateways/changed?wait=applied", &metadata).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        for _ in 0..5 {
            small += usize::from(send(("127.0.0.1", port), "GET /").await.from() == "b");
        }
    }
    report.holds("R28 rewriting the gateway does not bias a small route", (7..=13).contains(&small), small);
    report.finish();
}

/// Chains (17, E12, R37).
#[tokio::test(flavor = "multi_thread")]
async fn chains() {
    let vamp = Vamp::start().await;
    let targets = four().await;
    let mut report = Report::new("chains");
    let gateway = async |name: &str, more: &str, routes: &str| {
        let document = format!("name: {name}\n{more}routes: {}", place(routes, &targets));
        port_of(&vamp.gateway(&document).await)
    };
    let ask = async |port: u16, request: &str, times: usize| tally(("127.0.0.1", port), request, times).await;

    gateway("blue", "", "{A: {weight: 50%}, B: {weight: 50%}}").await;
    gateway("green", "", "[C]").await;
    let edge = gateway("edge", "", "{blue: {weight: 90%}, green: {weight: 10%}}").await;
    report.same(
        "E12 shares multiply",
        ask(edge, "GET /", 100).await,
        counts(&[("a", 45), ("b", 45), ("c", 10)]),
    );
    let body = vamp.get("/gateways/edge").await.body;
    let targets_of = |path: &str| body["routes"][path]["targets"].as_array().map(Vec::len);
    report.same("17 a gateway is one target", (targets_of("blue"), targets_of("green")), (Some(1), Some(1)));
    let target = &body["routes"]["blue"]["targets"][0];
    report.holds(
        "1.2 form of such a target",
        target["name"].is_string() && target["host"].is_string() && target["port"].is_number(),
        target,
    );

    // Each hop applies its own conditions.
    gateway("inner", "", "{A: {weight: 100%}, B: {weight: 0%, condition: has header X}}").await;
    let outer =
        gateway("outer", "", "{inner: {weight: 100%}, D: {weight: 0%, condition: has header Y}}").await;
    for (request, who) in
        [("GET /", "a"), ("GET / | X: 1", "b"), ("GET / | Y: 1", "d"), ("GET / | X: 1 | Y: 1", "d")]
    {
        report.same(
            &format!("17 conditions of each hop: {request}"),
            ask(outer, request, 4).await,
            counts(&[(who, 4)]),
        );
    }

    // It appears when the gateway does, and goes with it.
    let early = gateway("early", "", "[late]").await;
    report.same("17 no such gateway yet", ask(early, "GET /", 2).await, counts(&[("503 no_target", 2)]));
    gateway("late", "", "[D]").await;
    report.same("17 it appears when the gateway does", ask(early, "GET /", 2).await, counts(&[("d", 2)]));
    let answer = vamp.delete("/gateways/late?wait=applied").await;
    report.same("17 deleting is not refused", answer.status, 202);
    report.same("17 and goes with it", ask(early, "GET /", 2).await, counts(&[("503 no_target", 2)]));
    let answer = vamp.get("/gateways/early").await;
    report.same("17 no target then", answer.body["routes"]["late"]["targets"].clone(), json!([]));

    // Names of two and four segments, three hops.
    gateway("shop/web", "", "[blue]").await;
    let three = gateway("three", "", "{shop/web: {weight: 50%}, green: {weight: 50%}}").await;
    report.same("17 three hops", ask(three, "GET /", 20).await, counts(&[("a", 5), ("b", 5), ("c", 10)]));

    // The client is appended to X-Forwarded-For once per gateway (R33).
    let received = send(("127.0.0.1", edge), "GET /").await.received("x-forwarded-for").join(", ");
    report.same("R33 once per gateway", received, "127.0.0.1, 127.0.0.1".to_owned());

    // A chain with rewrites and its own stickiness is covered by the gateways' own rules; tcp may point to http (R37).
    let bytes = vamp.first_port + 55;
    gateway("bytes", &format!("port: {bytes}/tcp\n"), "[blue]").await;
    report.same("R37 tcp to http", ask(bytes, "GET /", 10).await, counts(&[("a", 5), ("b", 5)]));
    gateway("more", &format!("port: {}/tcp\n", bytes + 1), "[bytes]").await;
    report.same("R37 tcp to tcp", ask(bytes + 1, "GET /", 10).await, counts(&[("a", 5), ("b", 5)]));
    report.finish();
}

/// Weights of tcp gateways count connections (16, R36).
#[tokio::test(flavor = "multi_thread")]
async fn connections() {
    let vamp = Vamp::start().await;
    let targets = four().await;
    let mut report = Report::new("tcp");
    let rows: &[(&str, &str, Counts)] = &[
        ("R36 80/20", "{A: {weight: 80%}, B: {weight: 20%}}", &[("a", 40), ("b", 10)]),
        ("R36 50/50", "{A: {weight: 50%}, B: {weight: 50%}}", &[("a", 25), ("b", 25)]),
        ("R36 100/0", "{A: {weight: 100%}, B: {weight: 0%}}", &[("a", 50)]),
        (
            "R36 70/20/10",
            "{A: {weight: 70%}, B: {weight: 20%}, C: {weight: 10%}}",
            &[("a", 35), ("b", 10), ("c", 5)],
        ),
        ("R29 tcp", "{nowhere: {weight: 50%}, B: {weight: 50%}}", &[("b", 50)]),
    ];
    for (index, (rule, routes, expected)) in rows.iter().enumerate() {
        let port = vamp.first_port + 20 + u16::try_from(index).unwrap();
        vamp.gateway(&format!("name: t{index}\nport: {port}/tcp\nroutes: {}", place(routes, &targets))).await;
        report.same(
            &format!("{rule}: {routes}"),
            tally(("127.0.0.1", port), "GET /", 50).await,
            counts(expected),
        );
    }
    let reply = send(("127.0.0.1", vamp.first_port + 20), "GET /a?b | X-Forwarded-For: 1.2.3.4").await;
    report.same(
        "16 byte streams: nothing is added",
        reply.received("x-forwarded-for"),
        vec!["1.2.3.4".to_owned()],
    );
    report.finish();
}

/// What reaches the target (13, R33).
#[tokio::test(flavor = "multi_thread")]
async fn forwarding() {
    let vamp = Vamp::start().await;
    let target = Echo::start("a").await;
    let mut report = Report::new("forwarding");
    let document = format!("name: front\nvirtual_hosts: [front.example]\nroutes: [\"{}\"]", target.path());
    let port = port_of(&vamp.gateway(&document).await);
    let at = ("127.0.0.1", port);

    for path in [
        "/",
        "/products/ie?page=2&x=y",
        "/a//b",
        "/a/../b",
        "/a/./b",
        "/a%2Fb",
        "/%41",
        "/a%20b?c=%20d+e",
        "/?",
        "/x?a=1?2&&b",
        "/~a;b=c,d!$'()*@:",
    ] {
        let echoed = send(at, &format!("GET {path}")).await.echoed();
        report.same(&format!("25.3 path and query unchanged: {path}"), echoed["target"].as_str(), Some(path));
    }
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"] {
        let echoed = send(at, &format!("{method} /")).await.echoed();
        report.same(&format!("13 method {method}"), echoed["method"].as_str(), Some(method));
    }
    let one = |text: &str| vec![text.to_owned()];
    let reply = send(at, "GET / | Host: Some.Host:1234 | X-Custom: A b  c").await;
    report.same("13 Host unchanged", reply.received("host"), one("Some.Host:1234"));
    report.same("13 other headers unchanged", reply.received("x-custom"), one("A b  c"));
    report.same("13 X-Forwarded-For", reply.received("x-forwarded-for").join(", "), "127.0.0.1".to_owned());
    report.same("R33 X-Forwarded-Proto", reply.received("x-forwarded-proto"), one("http"));
    report.same("R33 X-Forwarded-Port", reply.received("x-forwarded-port"), vec![port.to_string()]);
    let reply = send(at, "GET / | X-Forwarded-For: 1.2.3.4").await;
    report.same(
        "13 X-Forwarded-For is appended",
        reply.received("x-forwarded-for").join(", "),
        "1.2.3.4, 127.0.0.1".to_owned(),
    );
    let reply = send(at, "GET / | X-Forwarded-For: 1.2.3.4, 5.6.7.8").await;
    report.same(
        "13 X-Forwarded-For, list",
        reply.received("x-forwarded-for").join(", "),
        "1.2.3.4, 5.6.7.8, 127.0.0.1".to_owned(),
    );
    let reply = send(at, "GET / | Connection: x-hop | X-Hop: 1 | Keep-Alive: timeout=5 | Proxy-Connection: keep-alive | X-Stay: 1").await;
    for name in ["x-hop", "keep-alive", "proxy-connection"] {
        report.same(&format!("13 hop-by-hop {name}"), reply.received(name), vec![]);
    }
    report.same("13 the rest stays", reply.received("x-stay"), one("1"));
    let reply = send(&*vamp.hosts, "GET /v?h | Host: front.example").await;
    report.same("13 Host unchanged on the shared listener", reply.received("host"), one("front.example"));
    report.same(
        "R33 once per gateway on the shared listener",
        reply.received("x-forwarded-for").join(", "),
        "127.0.0.1".to_owned(),
    );
    report.holds(
        "R33 port on the shared listener",
        reply.received("x-forwarded-port").len() == 1,
        reply.echoed(),
    );
    let reply = send(at, "GET / | Cookie: a=1; b=2").await;
    report.same("12 cookies of others untouched", reply.received("cookie"), one("a=1; b=2"));
    report.finish();
}

/// Targets of a route (13, R10), and that they do not touch the shares of routes.
#[tokio::test(flavor = "multi_thread")]
async fn balance() {
    let vamp = Vamp::start().await;
    let mut targets = Vec::new();
    let mut items = Vec::new();
    for (index, app) in ["p", "p", "p", "q"].iter().enumerate() {
        let name = format!("{app}{index}");
        let target = Echo::start_on(
            &name,
            (std::net::Ipv4Addr::new(127, 81, 0, 1 + u8::try_from(index).unwrap()), 0).into(),
        )
        .await;
        items.push(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
            "spec": {"containers": [{"name": "main", "image": "example/main:1", "ports": [{"containerPort": target.address.port()}]}]},
            "status": {"phase": "Running", "podIP": target.address.ip(), "conditions": [{"type": "Ready", "status": "True"}]},
        }));
        targets.push(target);
    }
    vamp.inventory("pods.json", &json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
    let mut report = Report::new("balance");
    let gateway = async |name: &str, balance: &str| {
        let document =
            format!("name: {name}\nroutes: {{all: {{selector: label(app)(p), balance: {balance}}}}}");
        port_of(&vamp.gateway(&document).await)
    };
    let first = gateway("probe", "default").await;
    crate::harness::eventually("the pods to be targets", || async {
        let body = vamp.get("/gateways/probe").await.body;
        (body["routes"]["all"]["targets"].as_array().map(Vec::len) == Some(3)).then_some(())
    })
    .await;
    crate::harness::eventually("the pods to serve", || async {
        (tally(("127.0.0.1", first), "GET /", 3).await.len() == 3).then_some(())
    })
    .await;
    let all = |n: usize| counts(&[("p0", n), ("p1", n), ("p2", n)]);
    let ask = async |port: u16, request: &str, times: usize| tally(("127.0.0.1", port), request, times).await;

    report.same("13 default is round robin", ask(first, "GET /", 30).await, all(10));
    for balance in ["roundrobin", "static-rr"] {
        let port = gateway(balance, balance).await;
        report.same(&format!("R10 {balance}"), ask(port, "GET /", 30).await, all(10));
    }
    for balance in ["first", "source"] {
        let port = gateway(balance, balance).await;
        report.same(
            &format!("R10 {balance}: one target for one client"),
            ask(port, "GET /", 12).await.len(),
            1,
        );
    }
    let port = gateway("random", "random").await;
    let seen = ask(port, "GET /", 90).await;
    report.holds(
        "R10 random reaches all",
        seen.len() == 3 && seen.keys().all(|who| who.starts_with('p')),
        &seen,
    );
    let port = gateway("leastconn", "leastconn").await;
    let seen = ask(port, "GET /", 12).await;
    report.holds("R10 leastconn serves", seen.keys().all(|who| who.starts_with('p')), &seen);

    // Hashes: the same value finds the same target, different values find different ones.
    let by_value = async |port: u16, request: &dyn Fn(usize) -> String| {
        let mut steady = true;
        let mut used = std::collections::BTreeSet::new();
        for value in 0..24 {
            let request = request(value);
            let seen: Vec<String> = [
                send(("127.0.0.1", port), &request).await.from(),
                send(("127.0.0.1", port), &request).await.from(),
                send(("127.0.0.1", port), &request).await.from(),
            ]
            .into();
            steady &= seen.iter().all(|who| *who == seen[0]);
            used.extend(seen);
        }
        (steady, used.len())
    };
    let port = gateway("uri", "uri").await;
    report.same("R10 uri", by_value(port, &|value| format!("GET /page/{value}")).await, (true, 3));
    let port = gateway("param", "url_param user").await;
    report.same(
        "R10 url_param",
        by_value(port, &|value| format!("GET /?user=u{value}&x=1")).await,
        (true, 3),
    );
    let port = gateway("hdr", "hdr(X-User)").await;
    report.same("R10 hdr", by_value(port, &|value| format!("GET / | X-User: u{value}")).await, (true, 3));

    // A route of three targets and one of one target: the shares are those of the routes (13).
    let document = "name: two\nroutes: {p: {selector: label(app)(p), weight: 50%}, q: {selector: label(app)(q), weight: 50%, balance: first}}";
    let port = port_of(&vamp.gateway(document).await);
    crate::harness::eventually("both routes to serve", || async {
        (tally(("127.0.0.1", port), "GET /", 6).await.len() == 4).then_some(())
    })
    .await;
    let seen = ask(port, "GET /", 60).await;
    report.same(
        "13 balance never affects weights",
        seen,
        counts(&[("p0", 10), ("p1", 10), ("p2", 10), ("q3", 30)]),
    );
    report.finish();
}
