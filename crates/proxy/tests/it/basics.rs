//! Requests that should simply work.

use model::name::GatewayName;
use model::port::Protocol;
use proxy::AccessLog;
use testkit::eventually;
use testkit::target::{Target, connect};

use crate::support::{Bench, free_port, gateway, get, loopback, on_port, rewrites, route};

#[tokio::test]
async fn keep_alive_and_pipelining() {
    let bench = Bench::new();
    let target = Target::named("a").await.unwrap();
    assert_eq!(
        bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await.problems,
        []
    );
    let mut client = bench.connect().await;
    for _ in 0..3 {
        let response = client.ask(&get("shop", "/x?y=1")).await.unwrap();
        assert_eq!((response.status(), response.text().as_str()), (200, "a"));
    }
    let post = "POST /p HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\nabc";
    client.send(format!("{}{post}{}", get("shop", "/1"), get("shop", "/2")).as_bytes()).await.unwrap();
    let bodies = [
        client.read_response().await.unwrap().text(),
        client.read_response().await.unwrap().text(),
        client.read_response().await.unwrap().text(),
    ];
    assert_eq!(bodies, ["a", "aabc", "a"]);
    assert_eq!(target.connections(), 1);
    let first = &target.requests()[0];
    assert_eq!(first.start, "GET /x?y=1 HTTP/1.1");
    assert_eq!(first.field("host").as_deref(), Some("shop.test"));
    assert_eq!(first.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(first.field("x-forwarded-proto").as_deref(), Some("http"));
}

#[tokio::test]
async fn old_clients_are_spoken_to_in_their_way() {
    let bench = Bench::new();
    let target = Target::named("a").await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;

    let mut client = bench.connect().await;
    client.send(b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n").await.unwrap();
    let text = String::from_utf8(client.read_to_end().await.unwrap()).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("Connection: close\r\n"), "{text}");
    assert!(target.last().unwrap().start.ends_with(" HTTP/1.1"));

    let mut client = bench.connect().await;
    for _ in 0..2 {
        let asked =
            client.ask("GET / HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive\r\n\r\n").await.unwrap();
        assert_eq!(asked.field("connection").as_deref(), Some("keep-alive"));
    }
}

#[tokio::test]
async fn close_is_honoured() {
    let bench = Bench::new();
    let target = Target::named("a").await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut client = bench.connect().await;
    let response =
        client.ask("GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(response.field("connection").as_deref(), Some("close"));
    assert_eq!(client.read_to_end().await.unwrap(), b"");
    // The connection to the target is not the client's to close.
    bench.connect().await.ask(&get("shop", "/")).await.unwrap();
    assert!(target.last().unwrap().field("connection").is_none());
}

#[tokio::test]
async fn requests_without_a_gateway_or_target() {
    let bench = Bench::new();
    let port = free_port();
    bench.apply(vec![on_port(port, gateway("shop", vec![route("a", 0, &[])]))]).await;
    let mut client = bench.connect().await;
    for (request, status, code) in [
        (get("other", "/"), 404, "no_gateway"),
        (get("shop", "/"), 503, "no_target"),
        (get("shop", "/"), 503, "no_target"),
        ("POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 3\r\n\r\nabc".into(), 404, "no_gateway"),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n".into(),
            404,
            "no_gateway",
        ),
    ] {
        let response = client.ask(&request).await.unwrap();
        assert_eq!((response.status(), response.field("vamp-proxy-error").as_deref()), (status, Some(code)));
    }
    client.send(b"HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await.unwrap();
    let head = client.read_head_only().await.unwrap().unwrap();
    assert_eq!(head.status(), 503);
    assert_eq!(client.ask(&get("other", "/")).await.unwrap().text(), "no gateway serves this host\n");
    // The own port serves any Host.
    let mut client = connect(loopback(port)).await.unwrap();
    assert_eq!(client.ask(&get("whatever", "/")).await.unwrap().status(), 503);
}

#[tokio::test]
async fn hosts_are_compared_without_case_port_and_dot() {
    let bench = Bench::new();
    let target = Target::named("a").await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut client = bench.connect().await;
    for host in ["shop.test", "SHOP.Test", "shop.test:8000", "shop.test.", "shop.test.:80"] {
        let response = client.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.unwrap();
        assert_eq!(response.status(), 200, "{host}");
        assert_eq!(target.last().unwrap().field("host").as_deref(), Some(host));
    }
    let absolute = client.ask("GET http://shop.test/p?q HTTP/1.1\r\nHost: shop.test\r\n\r\n").await.unwrap();
    assert_eq!((absolute.status(), target.last().unwrap().start.as_str()), (200, "GET /p?q HTTP/1.1"));
}

#[tokio::test]
async fn debug_headers_say_who_served() {
    let bench = Bench::new();
    let target = Target::named("a").await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("(1.0.0)", 100, &[target.address()])])]).await;
    let mut client = bench.connect().await;
    let response = client.ask("GET / HTTP/1.1\r\nHost: shop.test\r\nVamp-Debug: 1\r\n\r\n").await.unwrap();
    let pod = format!("pod-{}", target.address().port());
    for (name, value) in [
        ("vamp-gateway", "shop"),
        ("vamp-route", "(1.0.0)"),
        ("vamp-instance", pod.as_str()),
        ("vamp-revision", "1"),
        ("vamp-reason", "weight"),
    ] {
        assert_eq!(response.field(name).as_deref(), Some(value), "{name}");
    }
    assert!(target.last().unwrap().field("vamp-debug").is_none());
    assert!(client.ask(&get("shop", "/")).await.unwrap().field("vamp-gateway").is_none());

    let deaf = Bench::with(|settings| settings.debug_sources.clear());
    deaf.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let response =
        deaf.connect().await.ask("GET / HTTP/1.1\r\nHost: shop.test\r\nVamp-Debug: 1\r\n\r\n").await.unwrap();
    assert!(response.field("vamp-gateway").is_none());
}

#[tokio::test]
async fn every_exchange_is_counted_and_logged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let bench = Bench::with(|settings| settings.access_log = Some(AccessLog::File(path.clone())));
    let target = Target::named("a").await.unwrap();
    let name = GatewayName::parse("shop").unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut client = bench.connect().await;
    client.ask(&get("shop", "/one?x=1")).await.unwrap();
    client.ask(&get("other", "/two")).await.unwrap();
    drop(client);
    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    assert!(eventually(|| lines().lines().count() == 2).await, "{}", lines());
    let first: serde_json::Value = serde_json::from_str(lines().lines().next().unwrap()).unwrap();
    for (key, value) in [
        ("gateway", "shop"),
        ("gateway_lookup", "lookup-shop"),
        ("route", "a"),
        ("route_lookup", "lookup-a"),
        ("method", "GET"),
        ("host", "shop.test"),
        ("path", "/one?x=1"),
        ("reason", "weight"),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    assert_eq!((first["status"].as_u64(), first["retries"].as_u64()), (Some(200), Some(0)));
    let series = bench.telemetry.gateway(&name, Protocol::Http);
    assert_eq!(series.totals().requests(), 1);
}

#[tokio::test]
async fn the_access_log_can_be_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let bench = Bench::with(|settings| settings.access_log = Some(AccessLog::File(path.clone())));
    let target = Target::named("a").await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    let mut client = bench.connect().await;
    client.ask(&get("shop", "/one")).await.unwrap();
    assert!(eventually(|| lines(&path) == 1).await);
    std::fs::rename(&path, &moved).unwrap();
    client.ask(&get("shop", "/two")).await.unwrap();
    assert!(eventually(|| lines(&moved) == 2).await);
    bench.proxy.reopen_access_log();
    client.ask(&get("shop", "/three")).await.unwrap();
    assert!(eventually(|| lines(&path) == 1).await);
    assert_eq!(lines(&moved), 2);
}

#[tokio::test]
async fn rewrites_change_what_the_target_sees() {
    let bench = Bench::new();
    let target = Target::named("a").await.unwrap();
    let rewritten = rewrites(&["/v2%[path] if path_beg /api"], route("a", 100, &[target.address()]));
    bench.apply(vec![gateway("shop", vec![rewritten])]).await;
    let mut client = bench.connect().await;
    for (path, seen) in [("/api/x?q=1", "/v2/api/x?q=1"), ("/other", "/other")] {
        client.ask(&get("shop", path)).await.unwrap();
        assert_eq!(target.last().unwrap().start, format!("GET {seen} HTTP/1.1"));
    }
}

#[tokio::test]
async fn connections_of_a_listener_are_bounded() {
    let bench = Bench::with(|settings| {
        settings.workers = 1;
        settings.limits.connections = 2;
    });
    bench.apply(vec![]).await;
    let mut first = bench.connect().await;
    let mut second = bench.connect().await;
    assert_eq!(first.ask(&get("x", "/")).await.unwrap().status(), 404);
    assert_eq!(second.ask(&get("x", "/")).await.unwrap().status(), 404);
    let refused = bench.connect().await.read_response().await.unwrap();
    assert_eq!((refused.status(), refused.field("vamp-proxy-error").as_deref()), (503, Some("overload")));
    drop(first);
    // The place is free once the proxy has seen the close.
    let mut served = false;
    for _ in 0..200 {
        let mut next = bench.connect().await;
        if let Ok(response) = next.ask(&get("x", "/")).await
            && response.status() == 404
        {
            served = true;
            break;
        }
    }
    assert!(served);
}
