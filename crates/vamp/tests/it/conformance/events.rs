//! Events (gateways 19, R43; api 7, 13, 14): which are published, with which tags, exactly once; and how they are read.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Report, pause, send_with};
use crate::harness::{PATIENCE, Pod, Vamp, eventually};

/// Events as `type tag tag ...` with the tags in order, and how often.
type Told = BTreeMap<String, usize>;

/// The tag of a group goes with every tag of the form `group:item` (api 13).
fn expanded(tags: &[String]) -> Vec<String> {
    let mut all: Vec<String> = tags.to_vec();
    all.extend(tags.iter().filter_map(|tag| tag.split_once(':')).map(|(group, _)| group.to_owned()));
    all.sort();
    all.dedup();
    all
}

/// Reads `archive:create` (an archive event), `deployed`, or `a route:added` (of a route path).
fn expected(gateway: &str, lines: &[&str]) -> Told {
    let mut told = Told::new();
    for line in lines {
        let own = format!("gateways:{gateway}");
        let (kind, tags) = match line.rsplit_once(' ') {
            Some((path, what)) => ("event", vec![own, format!("routes:{path}"), what.to_owned()]),
            None if line.starts_with("archive:") => ("archive", vec![own, (*line).to_owned()]),
            None => ("event", vec![own, (*line).to_owned()]),
        };
        *told.entry(format!("{kind} {}", expanded(&tags).join(" "))).or_insert(0) += 1;
    }
    told
}

/// All events of a gateway but those of metrics and health, oldest first.
async fn all(vamp: &Vamp, gateway: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for page in 1.. {
        let answer = vamp.get(&format!("/events?tag=gateways:{gateway}&page={page}")).await;
        let list = answer.body.as_array().cloned().unwrap_or_default();
        if list.is_empty() {
            break;
        }
        events.extend(list);
    }
    events.retain(|event| event["type"] == "event" || event["type"] == "archive");
    events.reverse();
    events
}

fn told(events: &[Value]) -> Told {
    let mut told = Told::new();
    for event in events {
        let mut tags: Vec<&str> =
            event["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        tags.sort_unstable();
        *told.entry(format!("{} {}", event["type"].as_str().unwrap_or("?"), tags.join(" "))).or_insert(0) +=
            1;
    }
    told
}

/// What a new route's fields are told as, next to `route:added`, is open, and so for a route that goes: both are left out.
/// The same goes for the strength of a condition that is new or goes.
fn plain(mut told: Told) -> Told {
    let keys: Vec<String> = told.keys().cloned().collect();
    for key in &keys {
        let of_route = |what: &str| {
            let path = key.split(' ').find(|tag| tag.starts_with("routes:")).unwrap_or("-");
            keys.iter().any(|other| other.contains(&format!(" {path}")) && other.contains(what))
        };
        let field = key.contains("route:weight") || key.contains("route:condition");
        let strength = key.contains("route:conditionstrength");
        let told_by_another = [
            ("added", "route:added", "route:conditionadded "),
            ("removed", "route:removed", "route:conditionremoved "),
        ]
        .iter()
        .any(|(what, route, condition)| {
            key.contains(what) && (field && of_route(route) || strength && of_route(condition))
        });
        if told_by_another {
            told.remove(key);
        }
    }
    told
}

/// A gateway whose events are compared step by step.
struct Watch<'a> {
    vamp: &'a Vamp,
    gateway: &'static str,
    known: usize,
    report: &'a mut Report,
}

impl Watch<'_> {
    /// Compares the events since the last step. Those that may come a moment later are waited for.
    async fn step(&mut self, rule: &str, lines: &[&str]) {
        let expected = expected(self.gateway, lines);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = all(self.vamp, self.gateway).await;
            let fresh = plain(told(&events[self.known.min(events.len())..]));
            if fresh == expected || Instant::now() > deadline {
                self.known = events.len();
                self.report.same(rule, fresh, expected);
                return;
            }
            pause().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_written_gateways() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("events of written gateways");
    let mut watch = Watch { vamp: &vamp, gateway: "g", known: 0, report: &mut report };
    let (a, b, c) = ("[127.0.0.1:9]", "[127.0.0.1:10]", "[127.0.0.1:11]");
    let put = async |routes: &str| {
        let document = format!(
            "name: g\nroutes: {}",
            routes
                .replace('A', &format!("\"{a}\""))
                .replace('B', &format!("\"{b}\""))
                .replace('C', &format!("\"{c}\""))
        );
        vamp.put("/gateways/g?wait=applied", &document).await
    };
    let of = |path: &str, what: &str| format!("{path} {what}");

    vamp.gateway(&format!("name: g\nroutes: {{\"{a}\": {{weight: 100%}}, \"{b}\": {{weight: 0%}}}}")).await;
    watch
        .step("19 created", &["archive:create", "deployed", &of(a, "route:added"), &of(b, "route:added")])
        .await;
    put("{A: {weight: 100%}, B: {weight: 0%}}").await;
    watch.step("api 7 an unchanged document is archived, nothing else", &["archive:update"]).await;
    put("{A: {weight: 60%}, B: {weight: 40%}}").await;
    watch
        .step("19 weights", &["archive:update", &of(a, "route:weightupdated"), &of(b, "route:weightupdated")])
        .await;
    put("{A: {weight: 60%}, B: {weight: 40%, condition: has header X, condition_strength: 0%}}").await;
    watch.step("19 a condition", &["archive:update", &of(b, "route:conditionadded")]).await;
    put("{A: {weight: 60%}, B: {weight: 40%, condition: has header Y, condition_strength: 0%}}").await;
    watch.step("19 another condition", &["archive:update", &of(b, "route:conditionupdated")]).await;
    put("{A: {weight: 60%}, B: {weight: 40%, condition: has header Y, condition_strength: 40%}}").await;
    // Whether 0% counts as no strength is open.
    let after_strength = all(&vamp, "g").await;
    let strength =
        told(&after_strength[watch.known..]).keys().any(|key| key.contains("route:conditionstrengthadded"));
    let what = if strength { "route:conditionstrengthadded" } else { "route:conditionstrengthupdated" };
    watch.step("19 a strength", &["archive:update", &of(b, what)]).await;
    put("{A: {weight: 60%}, B: {weight: 40%, condition: has header Y, condition_strength: 70%}}").await;
    watch.step("19 another strength", &["archive:update", &of(b, "route:conditionstrengthupdated")]).await;
    put("{A: {weight: 50%}, B: {weight: 50%, condition: has header Y, condition_strength: 70%}}").await;
    watch
        .step(
            "19 weights again",
            &["archive:update", &of(a, "route:weightupdated"), &of(b, "route:weightupdated")],
        )
        .await;
    put("{A: {weight: 50%}, B: {weight: 50%, condition: has header Z, condition_strength: 10%}}").await;
    watch
        .step(
            "19 both",
            &["archive:update", &of(b, "route:conditionupdated"), &of(b, "route:conditionstrengthupdated")],
        )
        .await;
    put("{A: {weight: 50%}, B: {weight: 50%, condition_strength: 10%}}").await;
    watch.step("19 no condition", &["archive:update", &of(b, "route:conditionremoved")]).await;
    put("{A: {weight: 50%}, C: {weight: 50%}}").await;
    watch
        .step("19 a route for another", &["archive:update", &of(b, "route:removed"), &of(c, "route:added")])
        .await;
    put("{C: {weight: 50%}, A: {weight: 50%}}").await;
    watch.step("19 another order", &["archive:update"]).await;
    let answer = vamp
        .put(
            "/gateways/g?wait=applied",
            &format!("name: g\nsticky: route\nmetadata: {{a: 1}}\nroutes: [\"{c}\", \"{a}\"]"),
        )
        .await;
    watch.report.same("sticky", answer.status, 202);
    watch.step("19 other fields", &["archive:update"]).await;
    // Nothing is told of what is refused or only tried.
    put("{A: {weight: 50%}, C: {weight: 40%}}").await;
    vamp.put("/gateways/g?validate_only=true", "name: g").await;
    vamp.post("/gateways", "name: g").await;
    watch.step("R43 refused and tried", &[]).await;

    let events = all(&vamp, "g").await;
    let ids: std::collections::BTreeSet<&str> =
        events.iter().filter_map(|event| event["id"].as_str()).collect();
    watch.report.same("api 13 every event has an id of its own", ids.len(), events.len());
    for event in &events {
        let text = event["timestamp"].as_str().unwrap_or_default();
        watch.report.holds(
            "automation 1.1 timestamp with zone",
            text.contains('T') && (text.ends_with('Z') || text.contains('+')),
            event,
        );
        if event["type"] == "event" {
            watch.report.same("19 the gateway is the value", event["value"]["name"].clone(), json!("g"));
        } else {
            watch.report.holds(
                "api 7 the value is the body as text",
                event["value"].as_str().is_some_and(|v| v.starts_with("name: g")),
                event,
            );
        }
    }
    vamp.delete("/gateways/g?wait=applied").await;
    let after = all(&vamp, "g").await;
    let fresh = told(&after[watch.known..]);
    for line in ["archive:delete", "undeployed"] {
        let key = expected("g", &[line]).into_keys().next().unwrap();
        watch.report.same(&format!("19 deleted: {line}"), fresh.get(&key).copied(), Some(1));
    }
    let last = after.iter().rfind(|event| event["type"] == "archive").unwrap();
    watch.report.same(
        "api 7 no value of a deletion",
        last.get("value").cloned().unwrap_or(Value::Null),
        Value::Null,
    );
    watch.known = after.len();
    vamp.delete("/gateways/g?wait=applied").await;
    watch.step("api 7 only if something was deleted", &[]).await;
    put("[A]").await;
    watch
        .step("api 7 PUT that creates is an update", &["archive:update", "deployed", &of(a, "route:added")])
        .await;
    report.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_discovered_routes() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("events of discovered routes");
    let mut watch = Watch { vamp: &vamp, gateway: "shop", known: 0, report: &mut report };
    let pod = |name: &str, version: &str, ready: bool| {
        let host: u8 = name.bytes().fold(1, |sum, byte| sum % 100 + byte % 100);
        let address = ([127, 83, 0, host], 8080).into();
        vamp.pod(&Pod { name, labels: &[("app", "shop"), ("version", version)], address, ready });
    };
    vamp.gateway("name: shop\nselector: label(app)(shop) && label(version)((.*))").await;
    watch.step("19 created", &["archive:create", "deployed"]).await;
    pod("a", "1", true);
    watch.step("19 a route appears", &["(1) route:added"]).await;
    pod("b", "2", true);
    watch.step("19 another route appears", &["(2) route:added"]).await;
    pod("c", "2", true);
    watch.step("R43 targets of a discovered route", &["(2) route:targetschanged"]).await;
    pod("c", "2", false);
    watch.step("R43 one turns unready", &["(2) route:targetschanged"]).await;
    vamp.remove_pod("b");
    watch.step("R43 one goes", &["(2) route:targetschanged"]).await;
    pod("c", "2", true);
    watch.step("R43 one turns ready", &["(2) route:targetschanged"]).await;
    vamp.put("/gateways/shop?wait=applied", "name: shop\nselector: label(app)(shop) && label(version)((.*))\nroutes: {(1): {weight: 40%}, (2): {weight: 60%}}").await;
    watch.step("19 weights", &["archive:update", "(1) route:weightupdated", "(2) route:weightupdated"]).await;
    vamp.remove_pod("a");
    watch
        .step(
            "R22.5 after the retention",
            &["(1) route:targetschanged", "(1) route:removed", "(2) route:weightupdated"],
        )
        .await;
    pod("d", "3", false);
    pod("e", "2", true);
    watch.step("R22.1 nothing of an unready version", &["(2) route:targetschanged"]).await;
    pod("d", "3", true);
    watch.step("R22.1 route:added means deployed", &["(3) route:added"]).await;
    report.finish();
}

/// Publishing and asking (api 13, automation 1.1 to 1.3).
#[tokio::test(flavor = "multi_thread")]
async fn published_and_asked_for() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("events over the API");

    let answer = vamp
        .post(
            "/events",
            "{\"tags\": [\"gateways:shop\", \"note:rollback\"], \"value\": \"by hand\", \"type\": \"audit\"}",
        )
        .await;
    let mut tags: Vec<&str> =
        answer.body["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    tags.sort_unstable();
    report.same(
        "api 13 status and expanded tags",
        (answer.status, tags),
        (201, vec!["gateways", "gateways:shop", "note", "note:rollback"]),
    );
    let fields = (answer.body["value"].clone(), answer.body["type"].clone());
    report.same("api 13 value and type", fields, (json!("by hand"), json!("audit")));
    report.holds(
        "api 13 id and timestamp",
        answer.body["id"].is_string() && answer.body["timestamp"].is_string(),
        &answer.body,
    );

    // Rule, body, status, field, value.
    let accepted = [
        ("automation 1.1 one tag as text", "tags: note:x", "/type", json!("event")),
        ("automation 1.1 default type", "tags: [x]", "/type", json!("event")),
        ("automation 1.2 before the first colon", "tags: ['a:b:c']", "/tags", json!(["a", "a:b:c"])),
        ("automation 1.2 no colon", "tags: [plain]", "/tags", json!(["plain"])),
        ("automation 1.1 a set", "tags: [s, s]", "/tags", json!(["s"])),
        ("A24 a number", "tags: [v]\nvalue: 12.5", "/value", json!(12.5)),
        (
            "A24 a map",
            "tags: [v]\nvalue: {cpu: 1, list: [a, ~]}",
            "/value",
            json!({"cpu": 1, "list": ["a", null]}),
        ),
        ("A24 a boolean", "tags: [v]\nvalue: true", "/value", json!(true)),
        (
            "automation 1.1 given time",
            "tags: [t]\ntimestamp: \"2026-03-01T10:00:00.000Z\"",
            "/type",
            json!("event"),
        ),
        ("D30 unquoted time", "tags: [t]\ntimestamp: 2026-03-01T10:00:00Z", "/type", json!("event")),
        (
            "automation 1.1 time with an offset",
            "tags: [t]\ntimestamp: 2026-03-01T10:00:00+02:00",
            "/type",
            json!("event"),
        ),
        ("automation 1.1 characters of a type", "tags: [t]\ntype: a-B_9", "/type", json!("a-B_9")),
    ];
    for (rule, body, pointer, expected) in accepted {
        let answer = vamp.post("/events", body).await;
        let mut seen = answer.body.pointer(pointer).cloned().unwrap_or(Value::Null);
        if let (Some(list), "/tags") = (seen.as_array_mut(), pointer) {
            list.sort_by_key(Value::to_string);
        }
        report.same(&format!("{rule}: {body}"), (answer.status, seen), (201, expected));
    }
    let refused = [
        ("automation 1.1 no tags", "value: x", ""),
        ("api 13 empty tags", "tags: []", "Publishing an event without tags is not allowed."),
        (
            "api 13 bad type",
            "tags: [t]\ntype: x y",
            "Unsupported event type 'x y', only alphanumerics, '-' and '_' are allowed.",
        ),
        ("api 13 bad type, slash", "tags: [t]\ntype: a/b", "Unsupported event type 'a/b'"),
        ("api 13 bad time", "tags: [t]\ntimestamp: yesterday", ""),
        ("automation 1.1 time without a zone", "tags: [t]\ntimestamp: \"2026-03-01T10:00:00\"", ""),
        ("automation 1.1 unknown field", "tags: [t]\nfoo: 1", "Unexpected in DSL: {"),
        ("automation 1.1 tags of another form", "tags: {a: b}", ""),
    ];
    for (rule, body, message) in refused {
        let answer = vamp.post("/events", body).await;
        let fine =
            answer.status == 400 && !answer.message().is_empty() && answer.message().starts_with(message);
        report.holds(&format!("{rule}: {body}"), fine, (answer.status, answer.body));
    }

    // Queries: all tags, exact type, newest first.
    for (value, tags, kind) in [
        ("1", "[q:a, q:b]", "one"),
        ("2", "[q:a]", "two"),
        ("3", "[q:a, q:b]", "two"),
        ("4", "['q:A']", "one"),
    ] {
        let answer = vamp.post("/events", &format!("tags: {tags}\ntype: {kind}\nvalue: {value}")).await;
        report.same("api 5 POST of an event", answer.status, 201);
    }
    let values = |body: &Value| -> Vec<String> {
        body.as_array().into_iter().flatten().map(|event| event["value"].to_string()).collect()
    };
    let queries = [
        ("api 13 one tag, newest first", "tag=q:a", vec!["3", "2", "1"]),
        ("api 13 all tags", "tag=q:a&tag=q:b", vec!["3", "1"]),
        ("api 13 type", "tag=q:a&type=two", vec!["3", "2"]),
        ("api 13 tags and type", "tag=q:a&tag=q:b&type=one", vec!["1"]),
        ("automation 1.2 the group", "tag=q", vec!["4", "3", "2", "1"]),
        ("automation 1.3 case-sensitive", "tag=q:A", vec!["4"]),
        ("automation 1.3 whole strings", "tag=q:", vec![]),
        ("api 13 nothing", "tag=q:none", vec![]),
        ("api 3 unknown parameters", "tag=q:A&foo=bar", vec!["4"]),
        ("A22 unreadable timestamp is ignored", "tag=q:A&timestamp=whatever", vec!["4"]),
        ("A22 since", "tag=q:A&timestamp=%7B%22gte%22%3A%22now-12m%22%7D", vec!["4"]),
        ("A22 until", "tag=q:A&timestamp=%7B%22lt%22%3A%22now-12m%22%7D", vec![]),
        ("api 4 paging", "tag=q&per_page=2&page=2", vec!["2", "1"]),
        ("api 4 a page past the end", "tag=q&per_page=2&page=3", vec![]),
    ];
    for (rule, query, expected) in queries {
        let answer = vamp.get(&format!("/events?{query}")).await;
        report.same(
            &format!("{rule}: {query}"),
            (answer.status, values(&answer.body)),
            (200, expected.into_iter().map(str::to_owned).collect()),
        );
    }
    let bodies = [
        ("A23 tags and type", "{\"tags\": [\"q:a\"], \"type\": \"two\"}", json!(["3", "2"])),
        ("A23 empty tags are allowed", "{\"tags\": [], \"type\": \"one\"}", json!(["4", "1"])),
        (
            "A23 time",
            "{\"tags\": [\"q:a\"], \"timestamp\": {\"gte\": \"now-1h\", \"lte\": \"now\"}}",
            json!(["3", "2", "1"]),
        ),
        (
            "A23 an old time",
            "{\"tags\": [\"q:a\"], \"timestamp\": {\"lt\": \"2020-01-01T00:00:00Z\"}}",
            json!([]),
        ),
    ];
    for (rule, body, expected) in bodies {
        let answer = vamp.post("/events/query", body).await;
        report.same(
            &format!("{rule}: {body}"),
            (answer.status, json!(values(&answer.body))),
            (200, expected.clone()),
        );
        // The same body on GET takes over (api 13).
        let api = vamp.api.trim_start_matches("http://").to_owned();
        let reply =
            send_with(&*api, "GET /api/v1/events?tag=ignored | Content-Type: application/json", Some(body))
                .await;
        let seen = serde_json::from_str(&reply.body).unwrap_or(Value::Null);
        report.same(
            &format!("api 13 GET with a body: {body}"),
            (reply.status, json!(values(&seen))),
            (200, expected),
        );
    }
    let numbers = [("count", 3.0), ("sum", 6.0), ("average", 2.0), ("min", 1.0), ("max", 3.0), ("MAX", 3.0)];
    for (aggregator, expected) in numbers {
        let body = json!({"tags": ["q:a"], "aggregator": {"type": aggregator}}).to_string();
        let answer = vamp.post("/events/query", &body).await;
        report.same(
            &format!("automation 1.3 {aggregator}"),
            (answer.status, answer.body["value"].as_f64()),
            (200, Some(expected)),
        );
        report.same(&format!("api 13 {aggregator}: no paging headers"), answer.header("x-total-count"), None);
    }
    for (rule, body) in [
        (
            "automation 1.3 both of a pair",
            "{\"tags\": [], \"timestamp\": {\"lt\": \"now\", \"lte\": \"now\"}}",
        ),
        ("automation 1.3 unknown aggregator", "{\"tags\": [], \"aggregator\": {\"type\": \"median\"}}"),
        ("automation 1.3 tags are required in a body", "{\"type\": \"one\"}"),
        ("api 13 bad time", "{\"tags\": [], \"timestamp\": {\"lt\": \"soon\"}}"),
    ] {
        let answer = vamp.post("/events/query", body).await;
        report.holds(
            &format!("{rule}: {body}"),
            answer.status == 400 && !answer.message().is_empty(),
            (answer.status, answer.body),
        );
    }
    report.finish();
}

/// `GET /events/stream` (api 14).
#[tokio::test(flavor = "multi_thread")]
async fn streamed() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("event stream");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let open = async |query: &str| {
        let response = http.get(format!("{}/api/v1/events/stream{query}", vamp.api)).send();
        tokio::time::timeout(PATIENCE, response).await.expect("headers at once").expect("a stream")
    };
    vamp.post("/events", "tags: [s:before]").await;
    let mut stream = open("?tag=s").await;
    report.same("api 14 status", stream.status().as_u16(), 200);
    let kind = stream.headers()["content-type"].to_str().unwrap().to_owned();
    report.holds("api 14 content type", kind.starts_with("text/event-stream"), &kind);
    let mut typed = open("?tag=s&type=audit").await;

    vamp.post("/events", "tags: [other]").await;
    vamp.post("/events", "tags: ['s:1']\nvalue: one").await;
    vamp.post("/events", "tags: ['s:2']\ntype: audit\nvalue: {a: 1}").await;
    let mut text = String::new();
    let mut read = async |response: &mut reqwest::Response, until: &str| {
        text.clear();
        let reading = async {
            while !text.contains(until) {
                match response.chunk().await {
                    Ok(Some(chunk)) => text.push_str(&String::from_utf8_lossy(&chunk)),
                    _ => break,
                }
            }
        };
        let _ = tokio::time::timeout(PATIENCE, reading).await;
        text.replace("event: ", "event:").replace("data: ", "data:").replace("id: ", "id:")
    };
    let seen = read(&mut stream, "s:2").await;
    let names: Vec<&str> = seen.lines().filter_map(|line| line.strip_prefix("event:")).collect();
    report.same(
        "api 14 event name is the type; nothing is replayed; filtered",
        names,
        vec!["event", "audit"],
    );
    let data: Vec<Value> = seen
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    report.same("api 14 data on one line", data.len(), 2);
    report.same(
        "A24 value as published",
        data.last().map(|event| event["value"].clone()),
        Some(json!({"a": 1})),
    );
    let ids: Vec<&str> = seen.lines().filter_map(|line| line.strip_prefix("id:")).collect();
    report.same("A25 an id", ids.len(), 2);
    let seen_typed = read(&mut typed, "s:2").await;
    report.same("api 14 by type", seen_typed.matches("event:").count(), 1);

    // Resumed after the first of the two (A25).
    let resumed = http
        .get(format!("{}/api/v1/events/stream?tag=s", vamp.api))
        .header("last-event-id", ids[0])
        .send()
        .await;
    let mut resumed = resumed.unwrap();
    let seen_again = read(&mut resumed, "s:2").await;
    report.same("A25 Last-Event-ID", (seen_again.contains("s:1"), seen_again.contains("s:2")), (false, true));

    // Subscribers see an event after it has been stored.
    let mut stream = open("?tag=gateways:live").await;
    vamp.gateway("name: live").await;
    let seen = read(&mut stream, "archive:create").await;
    report.holds("api 14 events of gateways", seen.contains("archive:create"), &seen);
    let stored = vamp.get("/events?tag=gateways:live&tag=archive:create").await.body;
    report.same("api 14 stored", stored.as_array().map(Vec::len), Some(1));
    eventually("the gateway's deployed event", || async {
        let events = vamp.get("/events?tag=gateways:live&tag=deployed").await.body;
        (events.as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    report.finish();
}
