//! Bodies in every framing, both directions, at sizes that do not fit a buffer.

use std::sync::Arc;

use testkit::target::{Target, connect};
use testkit::wire::Wire;

use crate::support::{Bench, gateway, get, route};

async fn serving(target: &Target) -> Bench {
    let bench = Bench::new();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    bench
}

/// A target that answers each request with these bytes and keeps the connection.
async fn raw(response: &'static [u8]) -> Target {
    Target::start(move |mut wire, _, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request);
                wire.send(response).await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn large_bodies_both_ways() {
    let target = Target::named("").await.unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    for length in [1, 100, 16_000, 16_384, 65_535, 65_536, 200_000, 3_000_000] {
        let body = pattern(length);
        let head = format!("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {length}\r\n\r\n");
        client.send(&[head.as_bytes(), &body].concat()).await.unwrap();
        let response = client.read_response().await.unwrap();
        assert_eq!((response.status(), response.body.len()), (200, length));
        assert!(response.body == body, "{length}");
    }
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn chunked_requests_are_chunked_anew() {
    let target = Target::named("").await.unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n";
    // With the next request right behind it.
    client.send(format!("{head}{body}{}", get("shop", "/2")).as_bytes()).await.unwrap();
    assert_eq!(client.read_response().await.unwrap().text(), "abcde");
    assert_eq!(client.read_response().await.unwrap().text(), "");
    let seen = &target.requests()[0];
    assert_eq!((seen.chunks.as_slice(), seen.trailers.as_slice()), (&[5][..], &["X-Sum: 1".to_owned()][..]));

    // In pieces, longer than any buffer, and the next request in the last piece.
    client.send(head.as_bytes()).await.unwrap();
    let mut expected = Vec::new();
    for _ in 0..40 {
        let chunk = pattern(9_999);
        expected.extend_from_slice(&chunk);
        client.send(format!("{:x}\r\n", chunk.len()).as_bytes()).await.unwrap();
        client.send(&chunk).await.unwrap();
        client.send(b"\r\n").await.unwrap();
    }
    client.send(format!("0\r\n\r\n{}", get("shop", "/3")).as_bytes()).await.unwrap();
    assert!(client.read_response().await.unwrap().body == expected);
    assert_eq!(client.read_response().await.unwrap().status(), 200);
    assert_eq!(target.last().unwrap().start, "GET /3 HTTP/1.1");
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn chunked_responses() {
    let target = raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\nHost: x\r\n\r\n",
    )
    .await;
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    for _ in 0..2 {
        let response = client.ask(&get("shop", "/")).await.unwrap();
        assert_eq!(
            (response.text().as_str(), response.trailers.as_slice()),
            ("abcde", &["X-T: 1".to_owned()][..])
        );
    }
    assert_eq!(target.connections(), 1);
    // HTTP/1.0 knows no chunks: the close delimits.
    let mut old = bench.connect().await;
    old.send(b"GET / HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive\r\n\r\n").await.unwrap();
    let text = String::from_utf8(old.read_to_end().await.unwrap()).unwrap();
    assert!(text.ends_with("\r\n\r\nabcde") && !text.to_lowercase().contains("transfer-encoding"), "{text}");
}

#[tokio::test]
async fn responses_that_end_with_the_connection() {
    let target = Target::scripted(b"HTTP/1.1 200 OK\r\n\r\nall there is".to_vec()).await.unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    for _ in 0..2 {
        let response = client.ask(&get("shop", "/")).await.unwrap();
        assert_eq!(response.field("transfer-encoding").as_deref(), Some("chunked"));
        assert_eq!(response.text(), "all there is");
    }
    let mut old = bench.connect().await;
    old.send(b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n").await.unwrap();
    assert!(old.read_to_end().await.unwrap().ends_with(b"\r\n\r\nall there is"));
}

#[tokio::test]
async fn responses_without_body() {
    let target = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    for _ in 0..2 {
        client.send(b"HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await.unwrap();
        let head = client.read_head_only().await.unwrap().unwrap();
        assert_eq!(head.field("content-length").as_deref(), Some("5"));
    }
    assert_eq!(target.connections(), 1);
    for response in [
        &b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"[..],
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    ] {
        let target = raw(response).await;
        let bench = serving(&target).await;
        let mut client = bench.connect().await;
        for _ in 0..2 {
            let got = client.ask(&get("shop", "/")).await.unwrap();
            assert!(matches!(got.status(), 204 | 304) && got.body.is_empty());
        }
        assert_eq!(target.connections(), 1);
    }
}

#[tokio::test]
async fn a_stream_of_events_is_not_held_back() {
    let target = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            wire.read_request().await?;
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            wire.send(head.as_bytes()).await?;
            // The next event is sent only when the client has confirmed the one before.
            for number in 0..3 {
                wire.send(format!("9\r\ndata: {number}\n\n\r\n").as_bytes()).await?;
                let mut ack = confirmations().await?;
                ack.send(b"next").await?;
                ack.read_exact(2).await?;
            }
            wire.send(b"0\r\n\r\n").await
        })
    })
    .await
    .unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    client.send(get("shop", "/events").as_bytes()).await.unwrap();
    assert_eq!(client.read_head_only().await.unwrap().unwrap().status(), 200);
    let waiting = CONFIRM.get_or_init(|| async { bind().await }).await;
    for number in 0..3 {
        let chunk = client.read_exact(14).await.unwrap();
        assert_eq!(String::from_utf8(chunk).unwrap(), format!("9\r\ndata: {number}\n\n\r\n"));
        let (stream, _) = waiting.accept().await.unwrap();
        Wire::new(stream).send(b"ok").await.unwrap();
    }
    assert_eq!(client.read_exact(5).await.unwrap(), b"0\r\n\r\n");
}

static CONFIRM: tokio::sync::OnceCell<tokio::net::TcpListener> = tokio::sync::OnceCell::const_new();

async fn bind() -> tokio::net::TcpListener {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn confirmations() -> std::io::Result<Wire> {
    connect(CONFIRM.get_or_init(|| async { bind().await }).await.local_addr()?).await
}

#[tokio::test]
async fn both_directions_run_at_once() {
    // Answers the head at once and echoes each byte; the client waits for the echo before it sends on.
    let target = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            wire.read_head_only().await?;
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").await?;
            for _ in 0..3 {
                let byte = wire.read_exact(1).await?;
                wire.send(&byte).await?;
            }
            wire.has_more().await?;
            Ok(())
        })
    })
    .await
    .unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    client.send(b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\n").await.unwrap();
    let head = client.read_head_only().await.unwrap().unwrap();
    assert_eq!(head.status(), 200);
    for byte in *b"abc" {
        client.send(&[byte]).await.unwrap();
        assert_eq!(client.read_exact(1).await.unwrap(), [byte]);
    }
}

#[tokio::test]
async fn a_slow_reader_holds_back_the_target_not_the_proxy() {
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    const TOTAL: usize = 64 * 1024 * 1024;
    let target = Target::start(move |mut wire, _, _| {
        let counter = Arc::clone(&counter);
        Box::pin(async move {
            wire.read_request().await?;
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {TOTAL}\r\n\r\n").as_bytes()).await?;
            let block = vec![b'x'; 64 * 1024];
            for _ in 0..TOTAL / block.len() {
                wire.send(&block).await?;
                counter.fetch_add(block.len(), std::sync::atomic::Ordering::Relaxed);
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    client.send(get("shop", "/").as_bytes()).await.unwrap();
    client.read_head_only().await.unwrap().unwrap();
    // The target comes to a halt long before the end: only socket buffers and one relay buffer lie between.
    let mut before = usize::MAX;
    let stalled = testkit::eventually(|| {
        let now = sent.load(std::sync::atomic::Ordering::Relaxed);
        std::mem::replace(&mut before, now) == now && now > 0
    })
    .await;
    assert!(stalled && before < TOTAL);
    // Others are served meanwhile.
    let other = Target::named("b").await.unwrap();
    let shop = gateway("shop", vec![route("a", 100, &[target.address()])]);
    bench.apply(vec![shop, gateway("other", vec![route("b", 100, &[other.address()])])]).await;
    assert_eq!(bench.connect().await.ask(&get("other", "/")).await.unwrap().text(), "b");
    assert_eq!(client.read_exact(TOTAL).await.unwrap().len(), TOTAL);
}
