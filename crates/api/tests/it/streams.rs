//! Server-sent events.

use std::time::Duration;

use serde_json::{Value, json};

use crate::server::Server;

#[tokio::test]
async fn events_are_streamed_as_they_happen() {
    let server = Server::start().await;
    server.post("/api/v1/events", "tags: before").await;
    let mut stream = server
        .call("GET", "/api/v1/events/stream?tag=gateways")
        .header("accept", "image/png")
        .header("accept-encoding", "gzip")
        .open()
        .await;
    assert_eq!(stream.status, 200);
    let content_type =
        stream.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
    assert_eq!(content_type, Some("text/event-stream"));
    assert!(
        !stream.headers.iter().any(|(name, _)| name == "content-encoding"),
        "a compressor would hold events back"
    );
    server.post("/api/v1/events", "tags: other").await;
    let published = server
        .post("/api/v1/events", "tags: gateways:shop\ntype: audit\nvalue: \"two\\nlines\"")
        .await
        .json();
    let sent = stream.next().await.expect("an event");
    assert_eq!(sent.event.as_deref(), Some("audit"));
    assert_eq!(sent.id.as_deref(), published["id"].as_str());
    assert_eq!(serde_json::from_str::<Value>(&sent.data).unwrap(), published);
}

#[tokio::test]
async fn a_stream_resumes_after_the_last_event_seen() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for i in 0..5 {
        let event = server
            .post("/api/v1/events", &format!("tags: [n:{i}, {}]", if i % 2 == 0 { "even" } else { "odd" }))
            .await
            .json();
        ids.push(event["id"].as_str().unwrap().to_owned());
    }
    let mut stream =
        server.call("GET", "/api/v1/events/stream?tag=even").header("last-event-id", &ids[0]).open().await;
    for expected in [&ids[2], &ids[4]] {
        assert_eq!(stream.next().await.unwrap().id.as_ref(), Some(expected));
    }
    let live = server.post("/api/v1/events", "tags: even").await.json();
    assert_eq!(stream.next().await.unwrap().id.as_deref(), live["id"].as_str(), "then live, without repeats");
}

#[tokio::test]
async fn idle_streams_are_kept_alive_and_end_when_the_server_drains() {
    let mut settings = api::Settings::default();
    settings.limits.keep_alive = Duration::from_millis(20);
    let server = Server::with(settings).await;
    let mut stream = server.call("GET", "/api/v1/events/stream").open().await;
    assert!(stream.next().await.unwrap().comment.is_some());
    let mut figures = server.call("GET", "/api/v1/figures/stream").open().await;
    server.closing.cancel();
    while stream.next().await.is_some() {}
    while figures.next().await.is_some() {}
    assert!(server.served.await.unwrap(), "nothing was cut off");
}

#[tokio::test]
async fn the_number_of_streams_is_bounded() {
    let mut settings = api::Settings::default();
    settings.limits.streams = 1;
    let server = Server::with(settings).await;
    let first = server.call("GET", "/api/v1/events/stream").open().await;
    let second = server.get("/api/v1/figures/stream").await;
    assert_eq!(second.status, 503, "{}", second.text());
    second.message();
    drop(first);
    crate::server::eventually("the place of a closed stream is free again", || async {
        server.post("/api/v1/events", "tags: wake").await;
        server.call("GET", "/api/v1/events/stream").open().await.status == 200
    })
    .await;
}

#[tokio::test]
async fn filters_by_body_and_refuses_wrong_ones() {
    let server = Server::start().await;
    let mut stream = server.call("GET", "/api/v1/events/stream").body("tags: [a]\ntype: audit").open().await;
    server.post("/api/v1/events", "tags: a").await;
    let wanted = server.post("/api/v1/events", "tags: a\ntype: audit").await.json();
    assert_eq!(stream.next().await.unwrap().id.as_deref(), wanted["id"].as_str());
    let wrong = server.call("GET", "/api/v1/events/stream").body("tags: [a]\nnonsense: 1").send().await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn figures_once_and_every_second() {
    let server = Server::start().await.with_shop().await;
    let once = server.get("/api/v1/figures").await;
    assert_eq!(once.status, 200, "{}", once.text());
    let figures = once.json();
    assert_eq!(figures["seconds"], 10);
    let route = &figures["gateways"][0]["routes"][0];
    assert_eq!(
        (&figures["gateways"][0]["name"], &route["path"]),
        (&json!("shop"), &json!("[10.1.0.7:8080]"))
    );
    assert_eq!((&route["requests"], &route["weight"]), (&json!(0), &json!("90%")), "{figures}");
    assert_eq!(route["instances"].as_array().map(Vec::len), Some(1));
    for window in ["0", "901", "x"] {
        assert_eq!(server.get(&format!("/api/v1/figures?window={window}")).await.status, 400, "{window}");
    }
    let mut stream = server.call("GET", "/api/v1/figures/stream?window=60").open().await;
    let sent = stream.next().await.unwrap();
    assert_eq!(sent.event.as_deref(), Some("figures"));
    assert_eq!(serde_json::from_str::<Value>(&sent.data).unwrap()["seconds"], 60);
}
