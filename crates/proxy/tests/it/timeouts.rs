//! Whoever is too slow.

use std::time::{Duration, Instant};

use testkit::target::{Target, connect};

use crate::support::{Bench, free_port, gateway, get, loopback, on_port, route, short};

async fn serving(target: &Target) -> Bench {
    let bench = Bench::with(|settings| settings.limits = short());
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    bench
}

/// Reads requests and says nothing.
async fn silent() -> Target {
    Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request);
            }
            Ok(())
        })
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn slow_clients() {
    let target = Target::named("a").await.unwrap();
    let bench = serving(&target).await;
    for (sent, expected) in [
        ("", ""),
        ("GET / HT", "408"),
        ("GET / HTTP/1.1\r\nHost: shop.test\r\n", "408"),
        ("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nab", "408"),
        ("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n", "408"),
    ] {
        let mut client = bench.connect().await;
        client.send(sent.as_bytes()).await.unwrap();
        let text = String::from_utf8(client.read_to_end().await.unwrap()).unwrap();
        assert_eq!(text.get(9..12).unwrap_or_default(), expected, "{sent:?}: {text:?}");
        if !expected.is_empty() {
            assert!(text.contains("Vamp-Proxy-Error: timeout\r\n"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_trickle_does_not_extend_the_time_for_a_head() {
    let target = Target::named("a").await.unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    let started = Instant::now();
    let mut sent = client.send(b"GET / HTTP/1.1\r\n").await;
    // A line now and then, until the proxy has enough.
    while sent.is_ok() {
        assert!(started.elapsed() < testkit::wire::PATIENCE, "it goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
        sent = client.send(b"X: y\r\n").await;
    }
    let rest = client.read_to_end().await.unwrap_or_default();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408 "));
}

#[tokio::test]
async fn idle_connections_are_closed_quietly() {
    let target = Target::named("a").await.unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    client.ask(&get("shop", "/")).await.unwrap();
    assert_eq!(client.read_to_end().await.unwrap(), b"");
}

#[tokio::test]
async fn silent_targets() {
    let target = silent().await;
    let bench = serving(&target).await;
    for _ in 0..2 {
        let response = bench.connect().await.ask(&get("shop", "/")).await.unwrap();
        assert_eq!(
            (response.status(), response.field("vamp-proxy-error").as_deref()),
            (504, Some("timeout"))
        );
    }
    // Sent once each: who is slow may still be working on it.
    assert_eq!(target.count(), 2);
    let expecting = "POST / HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(bench.connect().await.ask(expecting).await.unwrap().status(), 504);
}

#[tokio::test]
async fn a_response_that_stops_is_cut() {
    let target = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            wire.read_request().await?;
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await?;
            wire.has_more().await?;
            Ok(())
        })
    })
    .await
    .unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    client.send(get("shop", "/").as_bytes()).await.unwrap();
    assert!(client.read_response().await.is_err());
}

#[tokio::test]
async fn targets_that_do_not_accept() {
    // A full backlog: connections to it hang.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&loopback(0).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut fill = Vec::new();
    while let Ok(Ok(wire)) = tokio::time::timeout(Duration::from_millis(200), connect(address)).await {
        fill.push(wire);
        assert!(fill.len() < 100);
    }
    let good = Target::named("good").await.unwrap();
    let port = free_port();
    let bench = Bench::with(|settings| settings.limits = short());
    bench.apply(vec![on_port(port, gateway("shop", vec![route("a", 100, &[address])]))]).await;
    let response = connect(loopback(port)).await.unwrap().ask(&get("shop", "/")).await.unwrap();
    assert_eq!((response.status(), response.field("vamp-proxy-error").as_deref()), (504, Some("timeout")));
    let both = route("a", 100, &[address, good.address()]);
    bench.apply(vec![on_port(port, gateway("shop", vec![both]))]).await;
    for _ in 0..2 {
        let response = connect(loopback(port)).await.unwrap().ask(&get("shop", "/")).await.unwrap();
        assert_eq!(response.text(), "good");
    }
}
