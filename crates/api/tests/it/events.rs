//! Publishing and asking for events, metrics and health.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::event::NewEvent;
use serde_json::{Value, json};

use crate::server::Server;

#[tokio::test]
async fn a_published_event_comes_back_as_stored() {
    let server = Server::start().await;
    let answer = server
        .post(
            "/api/v1/events",
            r#"{"tags": ["gateways:shop", "note:rollback"], "value": {"by": "hand"}, "type": "audit"}"#,
        )
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let event = answer.json();
    assert_eq!(event["tags"], json!(["gateways", "gateways:shop", "note", "note:rollback"]));
    assert_eq!(
        (&event["value"], &event["type"], &event["version"]),
        (&json!({"by": "hand"}), &json!("audit"), &json!("1.0"))
    );
    assert_eq!(event["actor"], "anonymous@127.0.0.1");
    assert!(event["id"].as_str().is_some_and(|id| !id.is_empty()));
    assert!(event["timestamp"].as_str().unwrap().parse::<Timestamp>().is_ok());
    assert_eq!(server.events("").await, [event]);
    let short = server.post("/api/v1/events", "tags: one").await;
    assert_eq!((short.status, short.json()["type"].clone()), (201, json!("event")), "{}", short.text());
}

#[tokio::test]
async fn wrong_events_are_refused() {
    let server = Server::start().await;
    for (body, message) in [
        ("{}", "tags"),
        ("tags: []", "Publishing an event without tags is not allowed."),
        ("tags: a\ntype: x y", "Unsupported event type 'x y', only alphanumerics, '-' and '_' are allowed."),
        ("tags: a\ntimestamp: yesterday", "yesterday"),
        ("tags: a\ncolour: red", "Unexpected in DSL: {\"colour\":\"red\"}"),
        ("", ""),
    ] {
        let answer = server.post("/api/v1/events", body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert!(answer.message().contains(message), "{body}: {}", answer.message());
    }
    assert_eq!(server.events("").await, [] as [Value; 0]);
    let dry = server.post("/api/v1/events?validate_only=true", "tags: a").await;
    assert_eq!(dry.status, 201, "{}", dry.text());
    assert_eq!(server.events("").await, [] as [Value; 0]);
}

async fn some_events(server: &Server) {
    for (tags, kind, value, time) in [
        ("[gateways:a, metrics:rate]", "metrics", "1.5", "2026-03-01T10:00:00Z"),
        ("[gateways:a, metrics:rate]", "metrics", "2.5", "2026-03-01T10:00:10Z"),
        ("[gateways:b, metrics:rate]", "metrics", "8", "2026-03-01T10:00:20Z"),
        ("[gateways:a, note]", "audit", "text", "2026-03-01T10:00:30Z"),
    ] {
        let body = format!("tags: {tags}\ntype: {kind}\nvalue: {value}\ntimestamp: {time}");
        assert_eq!(server.post("/api/v1/events", &body).await.status, 201);
    }
}

#[tokio::test]
async fn queries_by_parameters_and_body() {
    let server = Server::start().await;
    some_events(&server).await;
    let encoded = "%7B%22gte%22%3A%222026-03-01T10%3A00%3A10Z%22%7D";
    for (query, count) in [
        ("", 4),
        ("?tag=gateways", 4),
        ("?tag=gateways:a", 3),
        ("?tag=gateways%3Aa&tag=metrics", 2),
        ("?tag=gateways:a&type=audit", 1),
        ("?tag=gateways:none", 0),
        ("?type=metric", 0),
        (&format!("?timestamp={encoded}"), 3),
        ("?timestamp=unreadable", 4),
        (
            "?timestamp={\"gte\":\"now-12m\"}"
                .replace('{', "%7B")
                .replace('}', "%7D")
                .replace('"', "%22")
                .as_str(),
            0,
        ),
        ("?per_page=3", 3),
        ("?per_page=3&page=2", 1),
        ("?per_page=3&page=3", 0),
    ] {
        assert_eq!(server.events(query).await.len(), count, "{query}");
    }
    let all = server.events("").await;
    assert_eq!(all[0]["value"], "text", "newest first");
    let paged = server.get("/api/v1/events?tag=gateways:a&tag=metrics&per_page=1").await;
    assert_eq!(paged.header("x-total-count"), Some("2"));
    assert!(
        paged.header("link").unwrap().contains("tag=gateways:a&tag=metrics&per_page=1&page=2>; rel=next")
    );
    for (body, expected) in [
        ("tags: []", json!(4)),
        ("tags: [gateways:a]\ntype: metrics", json!(2)),
        (
            "tags: [gateways]\ntimestamp: {gte: \"2026-03-01T10:00:10Z\", lt: \"2026-03-01T10:00:30Z\"}",
            json!(2),
        ),
        ("tags: [gateways:a]\naggregator: {type: count}", json!({"value": 3.0})),
        ("tags: [metrics]\naggregator: {type: average}", json!({"value": 4.0})),
        ("tags: [metrics]\naggregator: {type: MAX, field: metrics}", json!({"value": 8.0})),
        ("tags: [gateways:a, metrics]\naggregator: {type: sum}", json!({"value": 4.0})),
        ("tags: [note]\naggregator: {type: min}", json!({"value": null})),
    ] {
        for (method, path) in [("POST", "/api/v1/events/query"), ("GET", "/api/v1/events?tag=ignored")] {
            let answer = server.call(method, path).body(body).send().await;
            assert_eq!(answer.status, 200, "{method} {body}: {}", answer.text());
            let got = answer.json();
            match got.as_array() {
                Some(list) => assert_eq!(json!(list.len()), expected, "{method} {body}"),
                None => {
                    assert_eq!(got["value"].as_f64(), expected["value"].as_f64(), "{method} {body}");
                    assert_eq!(answer.header("x-total-count"), None);
                }
            }
        }
    }
    for body in [
        "type: metrics",
        "tags: []\naggregator: {type: median}",
        "tags: []\ntimestamp: {gt: now, gte: now}",
        "tags: []\nx: 1",
    ] {
        let answer = server.post("/api/v1/events/query", body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        answer.message();
    }
}

#[tokio::test]
async fn metrics_and_health_are_bare_numbers() {
    let server = Server::start().await;
    let publish = async |tags: &[&str], kind: &str, value: f64| {
        let event = NewEvent {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect::<BTreeSet<_>>(),
            value: Some(json!(value)),
            timestamp: Timestamp::now(),
            kind: kind.into(),
            actor: None,
            version: None,
        };
        server.control.publish_transient(vec![event]).await;
    };
    publish(&["gateways:d/c/p", "gateway", "metrics:rate"], "metrics", 12.5).await;
    publish(&["gateways:d/c/p", "gateway", "metrics:rate"], "metrics", 3.2).await;
    publish(&["gateways:d/c/p", "routes:d/c/s:1/p", "route", "metrics:rate"], "metrics", 7.0).await;
    publish(&["gateways:d/c/p", "gateway", "health"], "health", 1.0).await;
    publish(&["gateways:d/c/p", "routes:d/c/s:1/p", "route", "health"], "health", 0.5).await;
    publish(&["deployments:d", "deployment", "health"], "health", 0.25).await;
    for (path, expected) in [
        ("metrics/gateways/d%2Fc%2Fp/rate", Some(3.2)),
        ("metrics/gateways/d%2Fc%2Fp/rate?window=60", Some(3.2)),
        ("metrics/gateways/d%2Fc%2Fp/rate?window=x", Some(3.2)),
        ("metrics/gateways/d%2Fc%2Fp/routes/d%2Fc%2Fs:1%2Fp/rate", Some(7.0)),
        ("metrics/deployments/d/clusters/c/ports/p/rate", Some(3.2)),
        ("metrics/deployments/d/clusters/c/services/s:1/ports/p/rate", Some(7.0)),
        ("metrics/gateways/d%2Fc%2Fp/responseTime", None),
        ("metrics/gateways/other/rate", None),
        ("health/gateways/d%2Fc%2Fp", Some(1.0)),
        ("health/gateways/d%2Fc%2Fp/routes/d%2Fc%2Fs:1%2Fp", Some(0.5)),
        ("health/deployments/d", Some(0.25)),
        ("health/deployments/d/clusters/c", None),
        ("health/deployments/d/clusters/c/services/s", None),
    ] {
        let answer = server.get(&format!("/api/v1/{path}")).await;
        match expected {
            Some(number) => {
                assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                assert_eq!(answer.text().parse::<f64>().ok(), Some(number), "{path}: a bare number");
            }
            None => {
                assert_eq!(answer.status, 404, "{path}: {}", answer.text());
                answer.message();
            }
        }
    }
}
