//! Rewrites (gateways 14, R34, E15): the path that reaches the target.

use serde_json::json;

use super::{Echo, Report, port_of, send};
use crate::harness::Vamp;

/// Requests with the target (path and query) that is received.
type Requests = &'static [(&'static str, &'static str)];

/// Rule, rewrites, requests.
const ROWS: &[(&str, &[&str], Requests)] = &[
    (
        "E15",
        &["/v2%[path] if path_beg /api"],
        &[
            ("GET /api/x?q=1", "/v2/api/x?q=1"),
            ("GET /api", "/v2/api"),
            ("GET /other", "/other"),
            ("GET /other?path=/api", "/other?path=/api"),
        ],
    ),
    (
        "14 literal",
        &["/new if path /old"],
        &[("GET /old", "/new"), ("GET /old?a=b", "/new?a=b"), ("GET /older", "/older")],
    ),
    (
        "R34 collapsed slash",
        &["/images/%[path] if path_end .jpg"],
        &[("GET /x.jpg", "/images/x.jpg"), ("GET /a/x.jpg?y", "/images/a/x.jpg?y")],
    ),
    ("R34 no slash to collapse", &["/images%[path] if path_end .jpg"], &[("GET /x.jpg", "/images/x.jpg")]),
    ("R34 only at the boundary", &["/a//b if path /x"], &[("GET /x", "/a//b")]),
    ("R34 slash in front", &["new if path /old"], &[("GET /old", "/new")]),
    ("R34 slash in front of a path", &["new/%[path] if path /old"], &[("GET /old", "/new/old")]),
    ("R34 text after the path", &["%[path].html if path_beg /page"], &[("GET /page/1?x", "/page/1.html?x")]),
    ("14 IF in capitals", &["/new IF path /old"], &[("GET /old", "/new"), ("GET /x", "/x")]),
    ("14 If", &["/new If path /old"], &[("GET /old", "/new")]),
    (
        "14 in order, each on the result of the previous",
        &["/b%[path] if path_beg /a", "/c%[path] if path_beg /b"],
        &[("GET /a/x", "/c/b/a/x"), ("GET /b", "/c/b"), ("GET /x", "/x")],
    ),
    (
        "14 a condition sees the result of the previous",
        &["/b if path /a", "/c if path /a"],
        &[("GET /a", "/b")],
    ),
    (
        "14 several, one holds",
        &["/1 if path /a", "/2 if path /b", "/3 if path /c"],
        &[("GET /a", "/1"), ("GET /b", "/2"), ("GET /c?x", "/3?x"), ("GET /d", "/d")],
    ),
    (
        "R34 a condition",
        &["/beta%[path] if has header X-Beta"],
        &[("GET /x | X-Beta: 1", "/beta/x"), ("GET /x", "/x")],
    ),
    (
        "R34 an expression",
        &["/beta%[path] if has header X-Beta and not host == a.example"],
        &[
            ("GET /x | X-Beta: 1", "/beta/x"),
            ("GET /x | X-Beta: 1 | Host: a.example", "/x"),
            ("GET /x", "/x"),
        ],
    ),
    ("R34 raw in brackets", &["/n%[path] if < path_beg /a >"], &[("GET /a", "/n/a"), ("GET /b", "/b")]),
    ("R34 one in braces", &["/n%[path] if { path_beg /a }"], &[("GET /a", "/n/a"), ("GET /b", "/b")]),
    (
        "R34 two in braces mean and",
        &["/n%[path] if { path_beg /a } { method POST }"],
        &[("POST /a", "/n/a"), ("GET /a", "/a"), ("POST /b", "/b")],
    ),
    (
        "R34 negated in braces",
        &["/n%[path] if { path_beg /a } !{ path_end .png }"],
        &[("GET /a/x", "/n/a/x"), ("GET /a/x.png", "/a/x.png")],
    ),
    ("R34 negated first", &["/n%[path] if !{ path_beg /a }"], &[("GET /b", "/n/b"), ("GET /a", "/a")]),
    ("R34 %[query]", &["/q/%[query] if path /x"], &[("GET /x?a=1", "/q/a=1?a=1")]),
    (
        "R34 %[method]",
        &["/%[method]%[path] if path_beg /m"],
        &[("GET /m/x", "/GET/m/x"), ("POST /m", "/POST/m")],
    ),
    (
        "R34 %[req.hdr()]",
        &["/%[req.hdr(X-Tenant)]%[path] if has header X-Tenant"],
        &[
            ("GET /x?y | X-Tenant: acme", "/acme/x?y"),
            ("GET /x | x-tenant: acme", "/acme/x"),
            ("GET /x", "/x"),
        ],
    ),
    (
        "R34 %[url_param()]",
        &["/v%[url_param(v)]%[path] if path_beg /p"],
        &[("GET /p?v=2", "/v2/p?v=2"), ("GET /p?a=1&v=3", "/v3/p?a=1&v=3")],
    ),
    ("R34 %%", &["/100%% if path /x"], &[("GET /x", "/100%")]),
    (
        "14 the query stays",
        &["/new if path /old"],
        &[("GET /old?", "/new?"), ("GET /old?a=1?b", "/new?a=1?b")],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn rewritten_paths() {
    let vamp = Vamp::start().await;
    let target = Echo::start("a").await;
    let mut report = Report::new("rewrites");
    for (index, (rule, rewrites, requests)) in ROWS.iter().enumerate() {
        let rewrites: Vec<_> = rewrites.iter().map(|path| json!({"path": path})).collect();
        let document =
            json!({"name": format!("w{index}"), "routes": {target.path(): {"rewrites": rewrites}}});
        let answer = vamp.post("/gateways?wait=applied", &document.to_string()).await;
        report.holds(&format!("{rule}: accepted"), answer.status == 202, &answer.body);
        let shown = answer.body["routes"][target.path()]["rewrites"].clone();
        report.same(&format!("4 {rule}: shown"), shown, json!(rewrites));
        for (request, expected) in *requests {
            let echoed = send(("127.0.0.1", port_of(&answer.body)), request).await.echoed();
            report.same(
                &format!("{rule}: {rewrites:?}: {request}"),
                echoed["target"].as_str(),
                Some(*expected),
            );
        }
    }
    report.finish();
}

/// Rewrites belong to their route, and conditions of routes see the request as received (10.2, 14).
#[tokio::test(flavor = "multi_thread")]
async fn inside_the_chosen_route() {
    let vamp = Vamp::start().await;
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let mut report = Report::new("rewrites of routes");
    let document = json!({"name": "two", "routes": {
        a.path(): {"weight": "100%", "rewrites": [{"path": "/beta if path /x"}]},
        b.path(): {"weight": "0%", "condition": "< path_beg /beta >", "rewrites": [{"path": "/b%[path] if path_beg /"}]},
    }});
    let port = port_of(&vamp.gateway(&document.to_string()).await);
    for (request, who, target) in
        [("GET /x", "a", "/beta"), ("GET /y", "a", "/y"), ("GET /beta", "b", "/b/beta")]
    {
        let reply = send(("127.0.0.1", port), request).await;
        let seen = (reply.from(), reply.echoed()["target"].as_str().map(str::to_owned));
        report.same(&format!("14 {request}"), seen, (who.to_owned(), Some(target.to_owned())));
    }
    // The next gateway of a chain sees the rewritten path.
    let inner = json!({"name": "inner", "routes": {
        a.path(): {"weight": "100%"}, b.path(): {"weight": "0%", "condition": "< path_beg /v2 >"},
    }});
    vamp.gateway(&inner.to_string()).await;
    let outer = json!({"name": "outer", "routes": {"inner": {"rewrites": [{"path": "/v2%[path] if path_beg /api"}]}}});
    let port = port_of(&vamp.gateway(&outer.to_string()).await);
    for (request, who, target) in [("GET /api/x?q", "b", "/v2/api/x?q"), ("GET /x", "a", "/x")] {
        let reply = send(("127.0.0.1", port), request).await;
        let seen = (reply.from(), reply.echoed()["target"].as_str().map(str::to_owned));
        report.same(&format!("17, 14 {request}"), seen, (who.to_owned(), Some(target.to_owned())));
    }
    report.finish();
}
