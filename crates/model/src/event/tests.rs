//! Event bodies, queries and times.

use serde_json::json;

use super::*;
use crate::problem::Problems;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-03-01T12:00:00Z")
}

fn tags(tags: &[&str]) -> BTreeSet<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

#[track_caller]
fn event(text: &str) -> NewEvent {
    NewEvent::read(text, now()).unwrap_or_else(|problems| panic!("{text}\n{:#?}", problems.0))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(text: &str, outcome: Result<T, Problems>, code: &str, part: &str) {
    let problems = outcome.expect_err(text);
    assert_eq!(problems.0.len(), 1, "{text}\n{:#?}", problems.0);
    assert_eq!(problems.0[0].code, code, "{text}");
    assert!(problems.message().contains(part), "{text}: {}", problems.message());
}

#[test]
fn accepted_events() {
    let e = event(r#"{"tags": ["gateways:shop", "note:rollback"], "value": "by hand", "type": "audit"}"#);
    assert_eq!(e.tags, tags(&["gateways:shop", "note:rollback"]));
    assert_eq!(e.value, Some(json!("by hand")));
    assert_eq!((e.kind.as_str(), e.timestamp, e.version), ("audit", now(), None));
    let e = event(
        "tags: [gateways:shop/store/web, note:rollback]\ntype: audit\nvalue: {reason: error budget, by: night shift, n: 0123}\n",
    );
    assert_eq!(e.value, Some(json!({"reason": "error budget", "by": "night shift", "n": "0123"})));
    assert_eq!(event("tags: a").tags, tags(&["a"]));
    assert_eq!(event("tags: a").kind, "event");
    assert_eq!(event("tags: [a, a]").tags, tags(&["a"]));
    assert_eq!(event("tags: [1.0, NO]").tags, tags(&["1.0", "NO"]));
    assert_eq!(event("tags: a\nvalue: ~").value, None);
    assert_eq!(event("tags: a\nvalue: 12.5").value, Some(json!(12.5)));
    assert_eq!(event("tags: a\nvalue: [1, {b: null}]").value, Some(json!([1, {"b": null}])));
    assert_eq!(event("tags: a\nversion: 1.0").version.as_deref(), Some("1.0"));
    assert_eq!(event("tags: a\ntype: a_B-9").kind, "a_B-9");
    // What a read shows may be published again.
    event(
        r#"{"id":"5b1e","version":"1.0","tags":["a"],"timestamp":"2026-03-01T10:00:00.000Z","type":"audit","actor":"x","revision":3,"digest":"d"}"#,
    );
}

#[test]
fn timestamps() {
    for (text, expected) in [
        ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"),
        ("'2026-03-01T10:00:00Z'", "2026-03-01T10:00:00Z"),
        ("2026-03-01T10:00:00.123Z", "2026-03-01T10:00:00.123Z"),
        ("2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00Z"),
        ("2026-03-01T10:00:00-0530", "2026-03-01T15:30:00Z"),
        ("2026-03-01T10:00:00+01", "2026-03-01T09:00:00Z"),
        ("2026-03-01T10:00+01:00", "2026-03-01T09:00:00Z"),
        // YAML timestamps.
        ("2026-03-01 10:00:00 Z", "2026-03-01T10:00:00Z"),
        ("2026-03-01 10:00:00.5 -5", "2026-03-01T15:00:00.5Z"),
        ("2026-03-01t10:00:00z", "2026-03-01T10:00:00Z"),
        ("2026-02-28T23:59:59-00:01", "2026-03-01T00:00:59Z"),
    ] {
        assert_eq!(event(&format!("tags: a\ntimestamp: {text}")).timestamp, at(expected), "{text}");
    }
    for text in [
        "2026-03-01",
        "2026-03-01T10:00:00",
        "10:00:00Z",
        "yesterday",
        "''",
        "1772359200000",
        "now",
        "2026-13-01T10:00:00Z",
        "2026-02-30T10:00:00Z",
        "2026-03-01T25:00:00Z",
        "2026-03-01T10:00:00X",
        "2026-03-01T10:00:00+25:00",
        "2026-03-01T10:00:00+1:2",
        "2026-03-01T10:00:00Zx",
        "99999-01-01T00:00:00Z",
    ] {
        let text = format!("tags: a\ntimestamp: {text}");
        refused(&text, NewEvent::read(&text, now()), "timestamp", "Unsupported timestamp");
    }
}

#[test]
fn refused_events() {
    for (text, code, part) in [
        ("tags: []", "no-tags", "Publishing an event without tags is not allowed."),
        ("type: x", "missing-value", "Can't find any value for path: /tags"),
        ("tags: ~", "missing-value", "Can't find any value for path: /tags"),
        ("tags: {a: b}", "wrong-type", "Unexpected type for path 'tags'"),
        ("tags: [a, [b]]", "wrong-type", "Unexpected type for path 'tags'"),
        ("tags: [a, ~]", "wrong-type", "Unexpected type for path 'tags'"),
        ("tags: [a, '']", "no-tags", "tag is empty"),
        (
            "tags: a\ntype: x y",
            "event-type",
            "Unsupported event type 'x y', only alphanumerics, '-' and '_' are allowed.",
        ),
        ("tags: a\ntype: ''", "event-type", "Unsupported event type ''"),
        ("tags: a\ntype: a.b", "event-type", "Unsupported event type 'a.b'"),
        ("tags: a\ntype: é", "event-type", "Unsupported event type"),
        ("tags: a\ntype: [x]", "wrong-type", "Unexpected type for path 'type'"),
        ("tags: a\nversion: [x]", "wrong-type", "Unexpected type for path 'version'"),
        ("tags: a\ntimestamp: [x]", "wrong-type", "Unexpected type for path 'timestamp'"),
        ("tags: a\ntag: b", "unexpected-element", "Unexpected in DSL: {\"tag\":\"b\"}"),
        ("[]", "not-a-map", "Unexpected type for path '/'"),
        ("", "not-a-map", "Unexpected type for path '/'"),
        ("tags: [", "invalid-yaml", "Error: "),
    ] {
        refused(text, NewEvent::read(text, now()), code, part);
    }
}

#[track_caller]
fn request(text: &str) -> EventRequest {
    EventRequest::read(text, now()).unwrap_or_else(|problems| panic!("{text}\n{:#?}", problems.0))
}

fn bound(text: &str, inclusive: bool) -> Option<TimeBound> {
    Some(TimeBound { at: at(text), inclusive })
}

#[test]
fn queries() {
    let r = request(
        "tags: [gateways:shop/store/web, metrics:responseTime]\ntype: metrics\ntimestamp: {gte: now-10m, lt: now}\n\
         aggregator: {type: average, field: metrics}\n",
    );
    assert_eq!(r.query.tags, tags(&["gateways:shop/store/web", "metrics:responseTime"]));
    assert_eq!(r.query.kind.as_deref(), Some("metrics"));
    assert_eq!(r.query.from, bound("2026-03-01T11:50:00Z", true));
    assert_eq!(r.query.until, bound("2026-03-01T12:00:00Z", false));
    assert_eq!(r.aggregator, Some(Aggregator { kind: AggregatorKind::Average, field: "metrics".into() }));
    assert_eq!(request("tags: []"), EventRequest::default());
    assert_eq!(request("tags: a").query.tags, tags(&["a"]));
    let r = request(
        "{\"tags\": [], \"timestamp\": {\"gt\": \"2026-03-01T10:00:00Z\", \"lte\": \"2026-03-01T11:00:00+01:00\"}}",
    );
    assert_eq!(
        (r.query.from, r.query.until),
        (bound("2026-03-01T10:00:00Z", false), bound("2026-03-01T10:00:00Z", true))
    );
    for (word, kind) in [
        ("count", AggregatorKind::Count),
        ("COUNT", AggregatorKind::Count),
        ("Min", AggregatorKind::Min),
        ("max", AggregatorKind::Max),
        ("sum", AggregatorKind::Sum),
        ("average", AggregatorKind::Average),
    ] {
        let r = request(&format!("tags: []\naggregator: {{type: {word}}}"));
        assert_eq!(r.aggregator, Some(Aggregator { kind, field: "value".into() }));
    }
}

#[test]
fn relative_times() {
    for (text, expected) in [
        ("now", "2026-03-01T12:00:00Z"),
        ("now-30s", "2026-03-01T11:59:30Z"),
        ("now-10m", "2026-03-01T11:50:00Z"),
        ("now-2h", "2026-03-01T10:00:00Z"),
        ("now-1d", "2026-02-28T12:00:00Z"),
        ("now-1h-30m", "2026-03-01T10:30:00Z"),
        ("2026-03-01T10:00:00", "2026-03-01T10:00:00Z"),
        ("2026-03-01", "2026-03-01T00:00:00Z"),
        ("2026-03-01T10:00:00+02:00", "2026-03-01T08:00:00Z"),
    ] {
        assert_eq!(time::bound(text, now()), Some(at(expected)), "{text}");
    }
    for text in [
        "",
        "no",
        "now-",
        "now-m",
        "now-10",
        "now-10w",
        "now+10m",
        "now-10m x",
        "now-1.5h",
        "now--1m",
        "nowhere",
        "now-99999999999999999999s",
        "now-9223372036854775807d",
        "10m",
        "today",
        "2026-3-1x",
    ] {
        assert_eq!(time::bound(text, now()), None, "{text}");
    }
}

#[test]
fn refused_queries() {
    for (text, code, part) in [
        ("type: x", "missing-value", "Can't find any value for path: /tags"),
        ("tags: []\ntimestamp: {gt: now, gte: now}", "time-range", "'gt' or 'gte', not both"),
        ("tags: []\ntimestamp: {lt: now, lte: now}", "time-range", "'lt' or 'lte', not both"),
        ("tags: []\ntimestamp: {gt: yesterday}", "timestamp", "Unsupported time 'yesterday'"),
        ("tags: []\ntimestamp: {from: now}", "unexpected-element", "Unexpected in DSL: {\"from\":\"now\"}"),
        ("tags: []\ntimestamp: now", "wrong-type", "Unexpected type for path 'timestamp'"),
        ("tags: []\naggregator: {}", "missing-value", "Can't find any value for path: /aggregator/type"),
        (
            "tags: []\naggregator: {field: x}",
            "missing-value",
            "Can't find any value for path: /aggregator/type",
        ),
        ("tags: []\naggregator: {type: median}", "aggregator", "Unsupported aggregator 'median'"),
        ("tags: []\naggregator: count", "wrong-type", "Unexpected type for path 'aggregator'"),
        ("tags: []\naggregator: {type: count, x: 1}", "unexpected-element", "Unexpected in DSL"),
        ("tags: []\ntype: a b", "event-type", "Unsupported event type 'a b'"),
        ("tags: []\npage: 1", "unexpected-element", "Unexpected in DSL"),
        ("[]", "not-a-map", "Unexpected type for path '/'"),
    ] {
        refused(text, EventRequest::read(text, now()), code, part);
    }
}

#[test]
fn parameters() {
    let read = |timestamp: Option<&str>| {
        EventRequest::from_parameters(&["a".into(), "b:c".into()], Some("metrics"), timestamp, now()).query
    };
    let plain = read(None);
    assert_eq!((&plain.tags, plain.kind.as_deref()), (&tags(&["a", "b:c"]), Some("metrics")));
    assert_eq!((plain.from, plain.until), (None, None));
    assert_eq!(read(Some(r#"{"gte":"now-12m"}"#)).from, bound("2026-03-01T11:48:00Z", true));
    assert_eq!(read(Some(r#"{"lt":"2026-03-01T10:00:00Z"}"#)).until, bound("2026-03-01T10:00:00Z", false));
    // Unreadable ones are ignored (A22).
    for text in
        ["", "now-12m", "{", "{\"gte\":\"x\"}", "{\"gte\":\"now\",\"gt\":\"now\"}", "{\"x\":1}", "[]", "\0"]
    {
        assert_eq!(read(Some(text)), plain, "{text}");
    }
}

#[test]
fn matching() {
    let stored = Event {
        id: "1".into(),
        version: "1.0".into(),
        tags: expand(&tags(&["gateways:shop/9050", "a:b:c", "plain"])),
        value: None,
        timestamp: now(),
        kind: "event".into(),
        actor: None,
        revision: None,
    };
    assert_eq!(stored.tags, tags(&["gateways:shop/9050", "gateways", "a:b:c", "a", "plain"]));
    for (text, expected) in [
        ("tags: []", true),
        ("tags: gateways", true),
        ("tags: [gateways:shop/9050, a, plain]", true),
        ("tags: a:b", false),
        ("tags: [gateways, other]", false),
        ("tags: Gateways", false),
        ("tags: []\ntype: event", true),
        ("tags: []\ntype: Event", false),
        ("tags: []\ntimestamp: {gte: now, lte: now}", true),
        ("tags: []\ntimestamp: {gt: now}", false),
        ("tags: []\ntimestamp: {lt: now}", false),
        ("tags: []\ntimestamp: {gt: now-1s}", true),
    ] {
        assert_eq!(request(text).query.matches(&stored), expected, "{text}");
    }
}
