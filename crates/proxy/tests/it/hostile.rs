//! Clients and targets that break rules.

use std::sync::Arc;

use testkit::eventually;
use testkit::target::{Target, connect};
use testkit::wire::Wire;

use crate::support::{Bench, gateway, get, route, short};

async fn serving(target: &Target) -> Bench {
    let bench = Bench::new();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    bench
}

#[tokio::test]
async fn refused_requests_are_answered_and_never_reach_a_target() {
    let target = Target::named("a").await.unwrap();
    let bench = serving(&target).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    for (fields, status) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", 400),
        ("Transfer-Encoding : chunked\r\n", 400),
        ("Content-Length: 0x5\r\n", 400),
        ("Content-Length: 5\n", 400),
        ("X: y\r\n z\r\n", 400),
        ("X: \0\r\n", 400),
        ("Host: other\r\n", 400),
        ("Expect: something\r\n", 417),
        ("Transfer-Encoding: chunked\r\n\r\n0x0\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n", 400),
        ("Vamp-Hops: 16\r\n", 508),
    ] {
        let mut client = bench.connect().await;
        let request = format!("POST / HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n{smuggled}");
        client.send(request.as_bytes()).await.unwrap();
        let response = client.read_response().await.unwrap();
        assert_eq!(response.status(), status, "{fields:?}");
        assert!(response.field("vamp-proxy-error").is_some(), "{fields:?}");
        assert_eq!(response.field("connection").as_deref(), Some("close"), "{fields:?}");
        // Whatever followed on that connection is not a request.
        assert_eq!(client.read_to_end().await.unwrap(), b"", "{fields:?}");
    }
    for (start, status) in [
        ("GET / HTTP/2.0", 505),
        ("CONNECT a:80 HTTP/1.1", 405),
        ("GET /x#y HTTP/1.1", 400),
        ("GET http://b/ HTTP/1.1", 400),
    ] {
        let mut client = bench.connect().await;
        let response = client.ask(&format!("{start}\r\nHost: shop.test\r\n\r\n")).await.unwrap();
        assert_eq!(response.status(), status, "{start}");
    }
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn a_bad_chunk_after_a_good_one_ends_both_connections() {
    let target = Target::named("a").await.unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .await
        .unwrap();
    assert!(eventually(|| target.connections() == 1).await);
    client.send(b"0x1\r\na\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(client.read_response().await.unwrap().status(), 400);
    assert_eq!(client.read_to_end().await.unwrap(), b"");
    // The target got no complete request, and its connection is not used again.
    bench.connect().await.ask(&get("shop", "/")).await.unwrap();
    assert_eq!((target.count(), target.connections()), (1, 2));
}

#[tokio::test]
async fn large_heads() {
    let target = Target::named("a").await.unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    for size in [15_000, 20_000, 32_000] {
        let request = format!("GET / HTTP/1.1\r\nHost: shop.test\r\nX: {}\r\n\r\n", "x".repeat(size));
        assert_eq!(client.ask(&request).await.unwrap().status(), 200, "{size}");
        assert_eq!(target.last().unwrap().field("x").unwrap().len(), size);
    }
    let request = format!("GET / HTTP/1.1\r\nHost: shop.test\r\nX: {}\r\n\r\n", "x".repeat(33_000));
    assert_eq!(client.ask(&request).await.unwrap().status(), 431);
    let mut client = bench.connect().await;
    let request = format!("GET /{} HTTP/1.1\r\nHost: shop.test\r\n\r\n", "x".repeat(9_000));
    assert_eq!(client.ask(&request).await.unwrap().status(), 414);
}

#[tokio::test]
async fn targets_that_talk_nonsense() {
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    for (response, status) in [
        (&b"garbage\r\n\r\n"[..], 502),
        (b"", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Len", 502),
        (b"SSH-2.0-x\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502),
        (b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 502),
        (huge.as_bytes(), 502),
    ] {
        let target = Target::scripted(response).await.unwrap();
        let bench = serving(&target).await;
        let mut client = bench.connect().await;
        // POST with a body that is not sent again: one attempt only.
        for _ in 0..2 {
            let got =
                client.ask("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\n\r\na").await.unwrap();
            let error = got.field("vamp-proxy-error");
            assert_eq!((got.status(), error.as_deref()), (status, Some("bad_response")), "{response:?}");
        }
        assert_eq!(target.count(), 2, "{response:?}");
    }
}

#[tokio::test]
async fn too_many_interim_responses() {
    let response = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17);
    let target = Target::scripted(response).await.unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    client.send(get("shop", "/").as_bytes()).await.unwrap();
    let mut last = client.read_response().await.unwrap();
    while last.status() == 103 {
        last = client.read_response().await.unwrap();
    }
    assert_eq!(last.status(), 502);
}

#[tokio::test]
async fn truncated_bodies_do_not_look_complete() {
    for response in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ] {
        let target = Target::scripted(response).await.unwrap();
        let bench = serving(&target).await;
        let mut client = bench.connect().await;
        client.send(get("shop", "/").as_bytes()).await.unwrap();
        assert!(client.read_response().await.is_err(), "{response:?}");
        // And HTTP/1.0, where only the close says that it is over: it is a reset.
        if response.windows(7).any(|part| part == b"chunked") {
            let mut old = bench.connect().await;
            old.send(b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n").await.unwrap();
            assert!(old.read_to_end().await.is_err(), "{response:?}");
        }
    }
}

#[tokio::test]
async fn bytes_beyond_a_response_reach_nobody() {
    let target = Target::start(|mut wire, number, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request);
                let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
                let both = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}{evil}");
                wire.send(both.as_bytes()).await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    // Who says more than was asked for is not asked again on that connection.
    for number in 0..5 {
        assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), number.to_string());
    }
}

#[tokio::test]
async fn continue_is_end_to_end() {
    let target = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            while let Some(mut request) = wire.read_head_only().await? {
                wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
                    .await?;
                request.body = wire.read_exact(3).await?;
                seen.record(request);
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    for _ in 0..2 {
        let head = "POST / HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        let hints = client.ask(head).await.unwrap();
        assert_eq!((hints.status(), hints.field("link").as_deref()), (103, Some("x")));
        assert_eq!(client.read_response().await.unwrap().status(), 100);
        assert_eq!(client.ask("abc").await.unwrap().text(), "ok");
        assert_eq!(target.last().unwrap().text(), "abc");
    }
    assert_eq!(target.connections(), 1);
    // A client that did not ask for it gets no 100.
    let post = "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(client.ask(post).await.unwrap().status(), 103);
    assert_eq!(client.read_response().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_early_answer_to_an_expectation_ends_both_connections() {
    let target = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            if let Some(request) = wire.read_head_only().await? {
                seen.record(request);
                wire.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await?;
                // What a confused target would take for the next request.
                if let Some(next) = wire.read_head_only().await? {
                    seen.record(next);
                }
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 60\r\n\r\n";
    let answer = client.ask(head).await.unwrap();
    assert_eq!((answer.status(), answer.field("connection").as_deref()), (401, Some("close")));
    client.send(get("shop", "/smuggled").as_bytes()).await.unwrap();
    assert_eq!(client.read_to_end().await.unwrap(), b"");
    assert_eq!(bench.connect().await.ask(&get("shop", "/after")).await.unwrap().status(), 401);
    let seen: Vec<String> = target.requests().into_iter().map(|request| request.start).collect();
    assert_eq!(seen, ["POST / HTTP/1.1", "GET /after HTTP/1.1"]);
}

#[tokio::test]
async fn an_answer_before_the_body_is_complete_is_passed_on() {
    let target = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            wire.read_head_only().await?;
            wire.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig").await?;
            wire.close_write().await?;
            wire.read_to_end().await?;
            Ok(())
        })
    })
    .await
    .unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    client.send(b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100000000\r\n\r\nabc").await.unwrap();
    let answer = client.read_response().await.unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "big"));
    assert_eq!(answer.field("connection").as_deref(), Some("close"));
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_target() {
    let target = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            wire.read_head_only().await?;
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await?;
            let block = vec![0; 65536];
            while wire.send(&block).await.is_ok() {}
            seen.record(testkit::wire::Message {
                start: "gone".into(),
                fields: vec![],
                body: vec![],
                chunks: vec![],
                trailers: vec![],
            });
            Ok(())
        })
    })
    .await
    .unwrap();
    let bench = serving(&target).await;
    let mut client = bench.connect().await;
    client.send(get("shop", "/").as_bytes()).await.unwrap();
    client.read_head_only().await.unwrap().unwrap();
    client.reset();
    assert!(eventually(|| target.count() == 1).await);
    assert!(eventually(|| bench.proxy.targets()[0].in_flight == 0).await);
}

#[tokio::test]
async fn many_broken_clients_leave_nothing_behind() {
    let target = Target::named("a").await.unwrap();
    let bench = Bench::with(|settings| settings.limits = short());
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let address = bench.proxy.virtual_host_address().unwrap();
    let mut clients: Vec<Wire> = Vec::new();
    for number in 0..60 {
        let mut client = connect(address).await.unwrap();
        let start = [
            "",
            "GET",
            "GET / HTTP/1.1\r\nHo",
            "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 9\r\n\r\nab",
        ];
        client.send(start[number % start.len()].as_bytes()).await.unwrap();
        if number % 3 == 0 {
            client.reset();
        } else {
            clients.push(client);
        }
    }
    for mut client in clients {
        // Each is closed or answered with 408 within its time-out.
        let rest = client.read_to_end().await.unwrap_or_default();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&rest));
    }
    assert_eq!(bench.connect().await.ask(&get("shop", "/")).await.unwrap().text(), "a");
    let bench = Arc::new(bench);
    assert!(eventually(|| bench.proxy.targets()[0].in_flight == 0).await);
}
