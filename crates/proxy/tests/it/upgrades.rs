//! WebSocket and other protocol switches.

use testkit::target::Target;

use crate::support::{Bench, gateway, get, route};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";

/// Switches and echoes; or, on paths that end with `no`, answers.
async fn switching() -> Target {
    Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                let asked = request.field("upgrade").is_some() && !request.start.contains("/no");
                seen.record(request);
                if !asked {
                    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain").await?;
                    continue;
                }
                wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\nhi").await?;
                while wire.has_more().await? {
                    let byte = wire.read_exact(1).await?;
                    wire.send(&byte).await?;
                }
            }
            Ok(())
        })
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_switch_turns_the_connection_into_a_tunnel() {
    let bench = Bench::new();
    let target = switching().await;
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut client = bench.connect().await;
    // The first bytes of the other protocol come with the request.
    client.send(format!("{UPGRADE}early").as_bytes()).await.unwrap();
    let head = client.read_head_only().await.unwrap().unwrap();
    assert_eq!(head.status(), 101);
    for (name, value) in [("upgrade", "websocket"), ("connection", "upgrade"), ("x", "y")] {
        assert_eq!(head.field(name).as_deref(), Some(value));
    }
    assert_eq!(client.read_exact(7).await.unwrap(), b"hiearly");
    client.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(client.read_exact(18).await.unwrap(), b"GET / HTTP/1.1\r\n\r\n");
    let seen = target.last().unwrap();
    assert_eq!(seen.field("connection").as_deref(), Some("upgrade"));
    assert_eq!(seen.field("sec-websocket-key").as_deref(), Some("x"));
    client.close_write().await.unwrap();
    assert_eq!(client.read_to_end().await.unwrap(), b"");
}

#[tokio::test]
async fn a_switch_that_is_declined_is_an_ordinary_answer() {
    let bench = Bench::new();
    let target = switching().await;
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut client = bench.connect().await;
    let declined = UPGRADE.replace("/ws", "/no");
    // What follows is a request to the proxy, never bytes for the target.
    client.send(format!("{declined}{}", get("other", "/smuggled")).as_bytes()).await.unwrap();
    assert_eq!(client.read_response().await.unwrap().text(), "plain");
    assert_eq!(client.read_response().await.unwrap().status(), 404);
    assert_eq!(target.count(), 1);
}

#[tokio::test]
async fn switches_that_are_not_passed_on() {
    let bench = Bench::new();
    let target = switching().await;
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    for request in [
        UPGRADE.replace("Upgrade: websocket", "Upgrade: h2c"),
        UPGRADE.replace("keep-alive, Upgrade", "keep-alive"),
        UPGRADE.replace("HTTP/1.1", "HTTP/1.0"),
        UPGRADE.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx"),
    ] {
        let mut client = bench.connect().await;
        assert_eq!(client.ask(&request).await.unwrap().text(), "plain", "{request}");
        assert!(target.last().unwrap().field("upgrade").is_none());
    }
}
