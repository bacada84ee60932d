//! Stickiness (gateways 12, R30, R31, E10, E14): the cookies, what they decide, and what beats them.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Echo, Reply, Report, counts, port_of, send, tally};
use crate::harness::{Pod, Vamp, eventually};

struct Shop {
    vamp: Vamp,
    a: Echo,
    b: Echo,
    /// Where route c leads; `None` once it is gone.
    report: Report,
}

impl Shop {
    async fn start(table: &'static str) -> Self {
        let vamp = Vamp::start_with(&["--route-retention", "60s"]).await;
        Self { vamp, a: Echo::start("a").await, b: Echo::start("b").await, report: Report::new(table) }
    }

    /// Routes to a and b with more fields each.
    fn routes(&self, a: &str, b: &str) -> String {
        format!("routes: {{\"{}\": {{{a}}}, \"{}\": {{{b}}}}}", self.a.path(), self.b.path())
    }

    async fn gateway(&self, name: &str, sticky: &str, a: &str, b: &str) -> u16 {
        port_of(&self.vamp.gateway(&format!("name: {name}\nsticky: {sticky}\n{}", self.routes(a, b))).await)
    }

    async fn change(&self, name: &str, sticky: &str, a: &str, b: &str) {
        let document = format!("name: {name}\nsticky: {sticky}\n{}", self.routes(a, b));
        let answer = self.vamp.put(&format!("/gateways/{name}?wait=applied"), &document).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
}

async fn ask(port: u16, cookies: &str, more: &str) -> Reply {
    let cookies = if cookies.is_empty() { String::new() } else { format!(" | Cookie: {cookies}") };
    send(("127.0.0.1", port), &format!("GET /{cookies}{more}")).await
}

/// Asks until target `who` answers and gives the cookies that came with it.
async fn client_of(port: u16, who: &str, more: &str) -> String {
    for _ in 0..50 {
        let reply = ask(port, "", more).await;
        if reply.from() == who {
            return reply.cookies().join("; ");
        }
    }
    panic!("{who} never answered");
}

async fn five(port: u16, cookies: &str, more: &str) -> std::collections::BTreeMap<String, usize> {
    tally(("127.0.0.1", port), &format!("GET / | Cookie: {cookies}{more}"), 5).await
}

#[tokio::test(flavor = "multi_thread")]
async fn route_mode() {
    let mut shop = Shop::start("sticky: route").await;
    let half = "weight: 50%";
    let port = shop.gateway("half", "route", half, half).await;

    let reply = ask(port, "", "").await;
    let set = reply.all("set-cookie").join(" && ");
    let attributes: BTreeSet<String> =
        set.split(';').skip(1).map(|part| part.trim().to_lowercase()).collect();
    let expected: BTreeSet<String> = ["path=/", "httponly", "samesite=lax"].map(str::to_owned).into();
    shop.report.same("R30 one cookie", reply.all("set-cookie").len(), 1);
    shop.report.holds("R30 readable name", set.starts_with("vamp_r_"), &set);
    shop.report.same("R30 attributes; a session cookie; Secure only on TLS", attributes, expected);
    let cache = reply.all("cache-control").join(",").to_lowercase();
    shop.report.holds(
        "12 not cacheable by shared caches",
        ["private", "no-store", "no-cache"].iter().any(|w| cache.contains(w)),
        cache,
    );
    shop.report.holds(
        "R30 no addresses in the value",
        !set.contains("127.0.0.1") && !set.contains(&shop.a.address.port().to_string()),
        &set,
    );

    for (who, target) in [("a", "a"), ("b", "b")] {
        let cookie = client_of(port, who, "").await;
        shop.report.same(
            &format!("E10 with the cookie always {who}"),
            five(port, &cookie, "").await,
            counts(&[(target, 5)]),
        );
        let reply = ask(port, &cookie, "").await;
        shop.report.same("12 set only when there was no valid value", reply.all("set-cookie"), vec![]);
        shop.report.same(
            "12 removed before it reaches the target",
            reply.received("cookie").join("; "),
            String::new(),
        );
        let reply = ask(port, &format!("x=1; {cookie}; y=2"), "").await;
        shop.report.same(
            "12 other cookies untouched",
            reply.received("cookie").join("; "),
            "x=1; y=2".to_owned(),
        );
        shop.report.same("12 among others", reply.from(), who.to_owned());
        let name = cookie.split('=').next().unwrap();
        for value in ["nonsense", "", "0"] {
            let reply = ask(port, &format!("{name}={value}"), "").await;
            shop.report.holds(
                "12 an unknown value is replaced",
                reply.cookie(name).is_some() && reply.status == 200,
                &reply,
            );
        }
    }
    let seen = tally(("127.0.0.1", port), "GET /", 10).await;
    shop.report.same("E10 without, alternating", seen, counts(&[("a", 5), ("b", 5)]));

    // Draining, not eviction (E14, R31).
    let cookie = client_of(port, "a", "").await;
    shop.change("half", "route", "weight: 0%", "weight: 100%").await;
    shop.report.same(
        "E14 a route at 0% keeps its clients",
        five(port, &cookie, "").await,
        counts(&[("a", 5)]),
    );
    shop.report.same("E14 nobody new", tally(("127.0.0.1", port), "GET /", 5).await, counts(&[("b", 5)]));
    let answer = shop.vamp.post("/evictions?wait=applied", "gateway: half").await;
    shop.report.same("R31 evict", answer.status, 202);
    let reply = ask(port, &cookie, "").await;
    shop.report.same("R31 older cookies are invalid", reply.from(), "b".to_owned());
    shop.report.holds("R31 and replaced", reply.cookie("vamp_r_").is_some_and(|new| new != cookie), &reply);
    let fresh = reply.cookies().join("; ");
    shop.change("half", "route", "weight: 100%", "weight: 0%").await;
    shop.report.same("R31 younger ones are valid", five(port, &fresh, "").await, counts(&[("b", 5)]));

    // Two gateways do not share cookies.
    let other = shop.gateway("other", "route", half, half).await;
    let reply = ask(other, &fresh, "").await;
    shop.report.holds("R30 one per gateway", reply.cookie("vamp_r_").is_some(), &reply);
    let names = |cookies: &str| cookies.split('=').next().unwrap_or_default().to_owned();
    shop.report.holds(
        "R30 name of the gateway's id",
        names(&fresh) != names(&reply.cookies().join("; ")),
        (&fresh, reply.cookies()),
    );

    // Not sticky.
    let plain = shop.gateway("plain", "none", half, half).await;
    shop.report.same("1.1 not sticky: no cookie", ask(plain, "", "").await.cookies(), Vec::<String>::new());
    shop.report.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_draws() {
    let mut shop = Shop::start("stickiness and conditions").await;
    let beta = " | X-Beta: 1";
    let condition = "weight: 0%, condition: has header X-Beta";

    let port = shop.gateway("beats", "route", "weight: 100%", condition).await;
    let cookie = client_of(port, "a", "").await;
    shop.report.same("12 conditions beat stickiness", five(port, &cookie, beta).await, counts(&[("b", 5)]));
    shop.report.same(
        "12 and without it the route is as before",
        five(port, &cookie, "").await,
        counts(&[("a", 5)]),
    );

    // The draw itself is sticky.
    let half = format!("{condition}, condition_strength: 50%");
    let port = shop.gateway("draws", "route", "weight: 100%", &half).await;
    let reply = ask(port, "", beta).await;
    shop.report.holds("R30 cookie of the draw", reply.cookie("vamp_c_").is_some(), &reply);
    let (mut inside, mut outside) = (0, 0);
    for client in 0..10 {
        let reply = ask(port, "", beta).await;
        let (who, cookies) = (reply.from(), reply.cookies().join("; "));
        if who == "b" {
            inside += 1;
        } else {
            outside += 1;
        }
        let seen = five(port, &cookies, beta).await;
        shop.report.same(&format!("12 client {client} stays in or out"), seen, counts(&[(who.as_str(), 5)]));
        let again = ask(port, &cookies, beta).await;
        shop.report.same("12 set only once", again.cookies(), Vec::<String>::new());
        shop.report.same("12 removed before the target", again.received("cookie").join(""), String::new());
    }
    shop.report.same("12 the draw is exact over clients", (inside, outside), (5, 5));
    let reply = ask(port, "", "").await;
    shop.report.same("12 the draw's cookie only when the condition held", reply.cookie("vamp_c_"), None);
    shop.report.holds(
        "12 the route's cookie when chosen by weight",
        reply.cookie("vamp_r_").is_some(),
        &reply,
    );

    let none = format!("{condition}, condition_strength: 0%");
    let port = shop.gateway("never", "route", "weight: 100%", &none).await;
    let cookies = client_of(port, "a", beta).await;
    shop.report.same("12 strength 0%", five(port, &cookies, beta).await, counts(&[("a", 5)]));

    // Without stickiness there is no cookie of a draw.
    let port = shop.gateway("loose", "none", "weight: 100%", &half).await;
    let reply = ask(port, "", beta).await;
    shop.report.same("12 not sticky: no cookie of a draw", reply.cookies(), Vec::<String>::new());
    shop.report.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn instance_mode_and_targets_that_go() {
    let mut shop = Shop::start("sticky: instance").await;
    let mut targets = Vec::new();
    for (name, version) in [("a1", "1"), ("a2", "1"), ("a3", "1"), ("b1", "2")] {
        let target = Echo::start(name).await;
        shop.vamp.pod(&Pod {
            name,
            labels: &[("app", "shop"), ("version", version)],
            address: target.address,
            ready: true,
        });
        targets.push(target);
    }
    let selector = "selector: label(app)(shop) && label(version)((.*))\n";
    let document = |name: &str, sticky: &str, one: u8, two: u8| {
        format!(
            "name: {name}\nsticky: {sticky}\n{selector}routes: {{\"(1)\": {{weight: {one}%}}, \"(2)\": {{weight: {two}%}}}}"
        )
    };
    let port = port_of(&shop.vamp.gateway(&document("inst", "instance", 50, 50)).await);
    let by_route = port_of(&shop.vamp.gateway(&document("route", "route", 50, 50)).await);
    for port in [port, by_route] {
        eventually("all pods to serve", || async {
            (tally(("127.0.0.1", port), "GET /", 6).await.len() == 4).then_some(())
        })
        .await;
    }

    for who in ["a1", "a2", "a3", "b1"] {
        let cookies = client_of(port, who, "").await;
        shop.report.holds(
            "R30 two cookies",
            cookies.contains("vamp_r_") && cookies.contains("vamp_i_"),
            &cookies,
        );
        shop.report.same(&format!("12 always {who}"), five(port, &cookies, "").await, counts(&[(who, 5)]));
        let reply = ask(port, &cookies, "").await;
        shop.report.same("12 set only once", reply.cookies(), Vec::<String>::new());
        shop.report.same("12 removed before the target", reply.received("cookie").join(""), String::new());
        shop.report.holds(
            "R30 no addresses in the values",
            !cookies.contains("127.0.0.1") && !cookies.contains("127.0.0"),
            &cookies,
        );
    }
    let cookies = client_of(by_route, "a1", "").await;
    shop.report.holds("12 route mode has no cookie of a target", !cookies.contains("vamp_i_"), &cookies);
    let seen = tally(("127.0.0.1", by_route), &format!("GET / | Cookie: {cookies}"), 9).await;
    shop.report.same(
        "12 route mode: balanced inside the route",
        seen,
        counts(&[("a1", 3), ("a2", 3), ("a3", 3)]),
    );

    // A target that goes: the route stays, the target is replaced (12, R30).
    let cookies = client_of(port, "a2", "").await;
    shop.vamp.remove_pod("a2");
    eventually("a2 to be gone", || async {
        (!tally(("127.0.0.1", port), "GET /", 12).await.contains_key("a2")).then_some(())
    })
    .await;
    let reply = ask(port, &cookies, "").await;
    shop.report.holds(
        "12 a target that is gone is replaced, the route stays",
        reply.from().starts_with('a'),
        &reply,
    );
    shop.report.holds("R30 with a new cookie", reply.cookie("vamp_i_").is_some(), &reply);
    shop.report.same("R30 the cookie of the route stays valid", reply.cookie("vamp_r_"), None);

    // A route without ready targets: ignored and replaced (R30).
    let cookies = client_of(port, "b1", "").await;
    let b1 = targets.pop().unwrap();
    shop.vamp.pod(&Pod {
        name: "b1",
        labels: &[("app", "shop"), ("version", "2")],
        address: b1.address,
        ready: false,
    });
    eventually("b1 to be unready", || async {
        (!tally(("127.0.0.1", port), "GET /", 12).await.contains_key("b1")).then_some(())
    })
    .await;
    let reply = ask(port, &cookies, "").await;
    shop.report.holds("R30 a route without ready targets is ignored", reply.from().starts_with('a'), &reply);
    shop.report.holds("R30 and replaced", reply.cookie("vamp_r_").is_some(), &reply);
    let weights = shop.vamp.get("/gateways/inst").await.body;
    shop.report.same("R22.8 unready is not absent", weights["routes"]["(2)"]["weight"].clone(), json!("50%"));
    shop.report.finish();
}

/// Cookies survive a restart (R30).
#[tokio::test(flavor = "multi_thread")]
async fn cookies_survive_a_restart() {
    let mut shop = Shop::start("stickiness over a restart").await;
    let half = "weight: 50%";
    let port = shop.gateway("half", "instance", half, half).await;
    let a = client_of(port, "a", "").await;
    let b = client_of(port, "b", "").await;
    shop.vamp.crash_and_restart().await;
    shop.report.same("R30 a after a restart", five(port, &a, "").await, counts(&[("a", 5)]));
    shop.report.same("R30 b after a restart", five(port, &b, "").await, counts(&[("b", 5)]));
    let answer = shop.vamp.post("/evictions?wait=applied", "gateway: half").await;
    shop.report.same("R31 evict", answer.status, 202);
    shop.vamp.crash_and_restart().await;
    let reply = ask(port, &a, "").await;
    shop.report.holds("R31 an eviction survives a restart", reply.cookie("vamp_r_").is_some(), &reply);
    shop.report.finish();
}
