//! Bodies over HTTP/2: large ones both ways, slow readers, events, trailers, interim answers, and clients or targets that give up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use testkit::target::Target;
use tokio::sync::Semaphore;

use super::peers::{Client, Server, framed, get, read_body, request, soon, write};
use crate::support::{Bench, SHORT, gateway, route, short};

const LARGE: usize = 10 * 1024 * 1024;

async fn serving(plain: Option<&Target>, server: Option<&Server>) -> (Bench, Client) {
    serving_with(plain, server, proxy::Limits::default()).await
}

async fn serving_with(
    plain: Option<&Target>,
    server: Option<&Server>,
    limits: proxy::Limits,
) -> (Bench, Client) {
    let bench = Bench::with(|settings| settings.limits = limits);
    let mut gateways = Vec::new();
    if let Some(plain) = plain {
        gateways.push(gateway("shop", vec![route("a", 100, &[plain.address()])]));
    }
    if let Some(server) = server {
        gateways.push(gateway("core", vec![framed("b", 100, &[server.address])]));
    }
    bench.apply(gateways).await;
    let client = Client::connect(bench.proxy.virtual_host_address().unwrap()).await;
    (bench, client)
}

/// A pattern in which a lost, doubled or moved piece shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 251 + index) as u8).collect()
}

#[tokio::test]
async fn ten_mebibytes_both_ways() {
    let plain = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                let chunked = request.start.contains("/chunked");
                let head = match chunked {
                    true => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
                    false => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()),
                };
                wire.send(head.as_bytes()).await?;
                for piece in request.body.chunks(100_000) {
                    if chunked {
                        wire.send(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
                    }
                    wire.send(piece).await?;
                    if chunked {
                        wire.send(b"\r\n").await?;
                    }
                }
                if chunked {
                    wire.send(b"0\r\n\r\n").await?;
                }
                seen.record(request);
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let server = Server::start(|request, mut respond| {
        Box::pin(async move {
            let all = read_body(&mut request.into_body()).await?;
            let mut send = respond.send_response(Response::new(()), false)?;
            write(&mut send, all, true).await
        })
    })
    .await;
    let (bench, mut client) = serving(Some(&plain), Some(&server)).await;
    let body = pattern(LARGE);
    for (host, path) in [("shop", "/length"), ("shop", "/chunked"), ("core", "/")] {
        let answer = client.ask(request(Method::POST, host, path), &body).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.body == body, "{host}{path}: {}", answer.body.len());
    }
    // And from HTTP/1.1.
    let mut wire = bench.connect().await;
    let head = format!("POST / HTTP/1.1\r\nHost: core.test\r\nContent-Length: {LARGE}\r\n\r\n");
    wire.send(head.as_bytes()).await.unwrap();
    wire.send(&body).await.unwrap();
    assert!(wire.read_response().await.unwrap().body == body);
}

/// A reader that takes nothing for a while: the target must not be able to send everything meanwhile.
#[tokio::test]
async fn slow_readers_hold_back_targets() {
    let sent = Arc::new(AtomicUsize::new(0));
    let (counted, also) = (Arc::clone(&sent), Arc::clone(&sent));
    let plain = Target::start(move |mut wire, _, _| {
        let counted = Arc::clone(&counted);
        Box::pin(async move {
            wire.read_request().await?;
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 40 * LARGE).as_bytes())
                .await?;
            for _ in 0..40 {
                wire.send(&vec![b'x'; LARGE]).await?;
                counted.fetch_add(LARGE, SeqCst);
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let server = Server::start(move |_, mut respond| {
        let counted = Arc::clone(&also);
        Box::pin(async move {
            let mut send = respond.send_response(Response::new(()), false)?;
            for _ in 0..400 {
                write(&mut send, vec![b'x'; LARGE / 10].into(), false).await?;
                counted.fetch_add(LARGE / 10, SeqCst);
            }
            send.send_data(Bytes::new(), true)
        })
    })
    .await;
    let (_bench, mut client) = serving(Some(&plain), Some(&server)).await;
    for host in ["shop", "core"] {
        sent.store(0, SeqCst);
        let (response, _send) = client.open(get(host, "/"), true).await;
        let mut body = soon("the head", response).await.unwrap().into_body();
        let first = soon("the first bytes", body.data()).await.unwrap().unwrap();
        assert!(!first.is_empty());
        // Until nothing moves any more. The system's own buffers hold a few MiB of an HTTP/1.1 connection.
        let mut before = usize::MAX;
        while before != sent.load(SeqCst) {
            before = sent.load(SeqCst);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(before <= 2 * LARGE, "{host}: {before}");
        // Others on the same connection are served meanwhile.
        let (other, _send) = client.open(get(host, "/other"), true).await;
        assert_eq!(soon("another head", other).await.unwrap().status(), 200);
        // It goes on when it is read.
        let mut read = first.len();
        body.flow_control().release_capacity(first.len()).unwrap();
        while read < 3 * LARGE / 10 {
            let data = soon("more", body.data()).await.unwrap().unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            read += data.len();
        }
    }
}

/// A target that takes nothing of a body: the client must not be able to send everything.
#[tokio::test]
async fn slow_targets_hold_back_clients() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let server = Server::start(move |request, mut respond| {
        let go_on = Arc::clone(&opened);
        Box::pin(async move {
            let mut body = request.into_body();
            let mut send = respond.send_response(Response::new(()), false)?;
            go_on.acquire().await.unwrap().forget();
            let all = read_body(&mut body).await?;
            write(&mut send, all.len().to_string().into(), true).await
        })
    })
    .await;
    let (_bench, mut client) = serving(None, Some(&server)).await;
    let (response, mut send) = client.open(request(Method::POST, "core", "/"), false).await;
    let mut answer = soon("the head", response).await.unwrap().into_body();
    let mut sent = 0;
    while let Ok(result) =
        tokio::time::timeout(Duration::from_millis(300), write(&mut send, vec![1; 10_000].into(), false))
            .await
    {
        result.unwrap();
        sent += 10_000;
        assert!(sent < LARGE);
    }
    assert!(sent < 1_000_000, "{sent}");
    gate.add_permits(1);
    drop(soon("the rest", write(&mut send, Bytes::from_static(b"!"), true)).await);
    let text = soon("the answer", read_body(&mut answer)).await.unwrap();
    let total: usize = std::str::from_utf8(&text).unwrap().parse().unwrap();
    assert!(total > sent && total <= sent + 10_001, "{total} {sent}");
}

#[tokio::test]
async fn events_arrive_as_they_happen() {
    let plain = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            wire.read_request().await?;
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await?;
            for index in 0..5 {
                wire.send(format!("data: {index}\n\n").as_bytes()).await?;
                // Longer than the limits allow between two pieces of other bodies.
                tokio::time::sleep(if index == 2 { 3 * SHORT } else { Duration::from_millis(20) }).await;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let limits = proxy::Limits { tunnel_timeout: Duration::from_secs(10), ..short() };
    let (_bench, mut client) = serving_with(Some(&plain), None, limits).await;
    let (response, _send) = client.open(get("shop", "/"), true).await;
    let mut body = soon("the head", response).await.unwrap().into_body();
    for index in 0..5 {
        let data = soon("an event", body.data()).await.unwrap().unwrap();
        assert_eq!(data, format!("data: {index}\n\n"));
    }
    assert!(soon("the end", read_body(&mut body)).await.unwrap().is_empty());
}

/// A stream that waits for its target holds nothing of the window that all streams of a connection share.
#[tokio::test]
async fn streams_that_wait_leave_room_for_others() {
    let server = Server::start(|request, mut respond| {
        Box::pin(async move {
            let mut send = respond.send_response(Response::new(()), false)?;
            send.send_data("begun".into(), false)?;
            if request.uri().path() == "/wait" {
                std::future::poll_fn(|context| send.poll_reset(context)).await?;
                return Ok(());
            }
            write(&mut send, vec![b'x'; 1_000_000].into(), true).await
        })
    })
    .await;
    let (_bench, mut client) = serving(None, Some(&server)).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let (response, send) = client.open(get("core", "/wait"), true).await;
        let mut body = soon("the head", response).await.unwrap().into_body();
        let data = soon("the first bytes", body.data()).await.unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        waiting.push((body, send));
    }
    let answer = client.ask(get("core", "/go"), b"").await;
    assert_eq!(answer.body.len(), 1_000_005);
}

#[tokio::test]
async fn trailers_between_versions() {
    let plain = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request);
                let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                              3\r\nabc\r\n0\r\nX-Sum: 6\r\nHost: evil\r\n\r\n";
                wire.send(answer.as_bytes()).await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let server = Server::start(|request, mut respond| {
        Box::pin(async move {
            let te = request.headers().get("te").cloned();
            let mut body = request.into_body();
            read_body(&mut body).await?;
            let got = body.trailers().await?;
            let mut send = respond.send_response(Response::new(()), false)?;
            send.send_data("abc".into(), false)?;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("6"));
            trailers.insert("x-te", te.unwrap_or(HeaderValue::from_static("none")));
            if let Some(sum) = got.as_ref().and_then(|got| got.get("x-up")) {
                trailers.insert("x-up", sum.clone());
            }
            send.send_trailers(trailers)
        })
    })
    .await;
    let (bench, mut client) = serving(Some(&plain), Some(&server)).await;
    for host in ["shop", "core"] {
        let mut asked = request(Method::POST, host, "/");
        asked.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let (response, mut send) = client.open(asked, false).await;
        send.send_data("body".into(), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-up", HeaderValue::from_static("42"));
        send.send_trailers(trailers).unwrap();
        let answer = soon("an answer", async { super::peers::read(response.await?).await }).await.unwrap();
        assert_eq!(answer.text(), "abc");
        let trailers = answer.trailers.unwrap();
        assert!(trailers["x-sum"] == "6" && trailers.get("host").is_none(), "{host}");
        if host == "core" {
            assert_eq!(
                (trailers["x-te"].to_str().unwrap(), trailers["x-up"].to_str().unwrap()),
                ("trailers", "42")
            );
        }
    }
    let seen = plain.last().unwrap();
    assert_eq!((seen.text(), &seen.trailers), ("body".to_owned(), &vec!["x-up: 42".to_owned()]));
    assert_eq!(
        (seen.field("te").as_deref(), seen.field("connection").as_deref()),
        (Some("trailers"), Some("TE"))
    );
    // To a client of HTTP/1.1, if it asked for them.
    let mut wire = bench.connect().await;
    let asked = "GET / HTTP/1.1\r\nHost: core.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
    let answer = wire.ask(asked).await.unwrap();
    assert_eq!((answer.text(), answer.trailers.contains(&"x-sum: 6".to_owned())), ("abc".to_owned(), true));
    assert!(answer.trailers.contains(&"x-te: trailers".to_owned()));
    let answer = wire.ask("GET / HTTP/1.1\r\nHost: core.test\r\n\r\n").await.unwrap();
    assert_eq!((answer.text(), answer.trailers.len()), ("abc".to_owned(), 0));
}

/// A target over HTTP/2 that answers as the path says: `/302` with that status and nothing else, `/101` with an interim answer,
/// `/break` with a head that promises more than comes.
async fn curt() -> Server {
    Server::start(|request, mut respond| {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let head = |status: u16| Response::builder().status(status).body(()).unwrap();
            match path.trim_start_matches('/') {
                "break" => {
                    let mut head = head(200);
                    head.headers_mut().insert("content-length", HeaderValue::from(10));
                    respond.send_response(head, false)?.send_reset(h2::Reason::INTERNAL_ERROR);
                }
                "101" => {
                    respond.send_informational(head(101))?;
                    respond.send_response(head(200), true)?;
                }
                status => drop(respond.send_response(head(status.parse().unwrap()), true)?),
            }
            Ok(())
        })
    })
    .await
}

/// An answer that is over with its head says so to clients of HTTP/1.1, which go on with the next on the same connection.
#[tokio::test]
async fn empty_answers_to_clients_of_http1() {
    let server = curt().await;
    let (bench, _client) = serving(None, Some(&server)).await;
    let mut client = bench.connect().await;
    for (status, length) in [(200, Some("0")), (302, Some("0")), (404, Some("0")), (204, None), (304, None)] {
        let answer = client.ask(&format!("GET /{status} HTTP/1.1\r\nHost: core.test\r\n\r\n")).await.unwrap();
        assert_eq!((answer.status(), answer.field("content-length").as_deref()), (status, length));
        assert_eq!((answer.text().as_str(), answer.field("transfer-encoding")), ("", None), "{status}");
    }
    client.send(b"HEAD /200 HTTP/1.1\r\nHost: core.test\r\n\r\n").await.unwrap();
    assert_eq!(client.read_head_only().await.unwrap().unwrap().field("content-length"), None);
    let old =
        client.ask("GET /200 HTTP/1.0\r\nHost: core.test\r\nConnection: keep-alive\r\n\r\n").await.unwrap();
    assert_eq!(old.field("content-length").as_deref(), Some("0"));
    assert_eq!(server.count(), 7);
}

#[tokio::test]
async fn answers_that_are_none() {
    let server = curt().await;
    let (bench, mut client) = serving(None, Some(&server)).await;
    for path in ["/101", "/999", "/break"] {
        let mut plain = bench.connect().await;
        let answer = plain.ask(&format!("GET {path} HTTP/1.1\r\nHost: core.test\r\n\r\n")).await.unwrap();
        let said = (answer.status(), answer.field("vamp-proxy-error"));
        assert_eq!(said, (502, Some("bad_response".into())), "{path}");
    }
    for path in ["/101", "/999"] {
        assert_eq!(client.ask(get("core", path), b"").await.status(), 502, "{path}");
    }
}

#[tokio::test]
async fn interim_answers() {
    let plain = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            while let Some(head) = wire.read_head_only().await? {
                if head.field("expect").is_some() {
                    wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                }
                wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await?;
                wire.read_exact(4).await?;
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let (_bench, mut client) = serving(Some(&plain), None).await;
    let mut asked = request(Method::POST, "shop", "/");
    asked.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
    asked.headers_mut().insert("content-length", HeaderValue::from_static("4"));
    let (mut response, mut send) = client.open(asked, false).await;
    let mut interim = Vec::new();
    while interim.len() < 2 {
        let next = std::future::poll_fn(|context| response.poll_informational(context));
        interim.push(soon("an interim answer", next).await.unwrap().unwrap().status().as_u16());
    }
    assert_eq!(interim, [100, 103]);
    send.send_data("body".into(), true).unwrap();
    assert_eq!(soon("the answer", response).await.unwrap().status(), 200);
}

#[tokio::test]
async fn answers_that_break_do_not_look_complete() {
    for (name, answer) in [
        ("short", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        ("malformed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n"),
    ] {
        let plain = Target::scripted(answer).await.unwrap();
        let (_bench, mut client) = serving(Some(&plain), None).await;
        match client.try_ask(get("shop", "/"), b"").await {
            Err(error) => assert!(error.is_reset(), "{name}: {error}"),
            // Seen before anything was passed on.
            Ok(answer) => assert_eq!((name, answer.status()), ("malformed", 502)),
        }
    }
    // A target over HTTP/2 that gives up: before it answers, after.
    let server = Server::start(|request, mut respond| {
        Box::pin(async move {
            if request.uri().path() == "/before" {
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
                return Ok(());
            }
            let mut send = respond.send_response(Response::new(()), false)?;
            send.send_data("abc".into(), false)?;
            tokio::time::sleep(SHORT / 2).await;
            send.send_reset(h2::Reason::CANCEL);
            Ok(())
        })
    })
    .await;
    let (bench, mut client) = serving(None, Some(&server)).await;
    let answer = client.ask(request(Method::POST, "core", "/before"), b"x").await;
    assert_eq!((answer.status(), answer.field("vamp-proxy-error")), (502, Some("bad_response")));
    let error = client.try_ask(get("core", "/after"), b"").await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    let mut wire = bench.connect().await;
    wire.send(b"GET /after HTTP/1.1\r\nHost: core.test\r\n\r\n").await.unwrap();
    assert!(wire.read_response().await.is_err());
}

#[tokio::test]
async fn refused_streams_are_sent_again_and_others_are_not() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refusals);
    let server = Server::start(move |request, mut respond| {
        let counted = Arc::clone(&counted);
        Box::pin(async move {
            if counted.fetch_add(1, SeqCst) == 0 {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                return Ok(());
            }
            super::peers::echo(request, respond).await
        })
    })
    .await;
    let (_bench, mut client) = serving(None, Some(&server)).await;
    // Not even idempotent: it was not begun. (With a body it could be sent again only if all of that came with the head.)
    let answer = client.ask(request(Method::POST, "core", "/"), b"").await;
    assert_eq!((answer.status(), answer.field("x-version")), (200, Some("h2")));
    assert_eq!(refusals.load(SeqCst), 2);
}

#[tokio::test]
async fn targets_that_say_good_bye_lose_nothing() {
    let server = Server::start(|request, respond| Box::pin(super::peers::echo(request, respond))).await;
    // A target whose connections end after 20 requests each.
    let leaving = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    let mut count = 0;
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        count += 1;
                        if count == 20 {
                            connection.graceful_shutdown();
                        }
                        tokio::spawn(super::peers::echo(request, respond));
                    }
                });
            }
        });
        address
    };
    let bench = Bench::new();
    bench.apply(vec![gateway("core", vec![framed("b", 100, &[leaving])])]).await;
    drop(server);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let address = bench.proxy.virtual_host_address().unwrap();
        tasks.push(tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..50 {
                // Without a body: one that comes after its head cannot be sent again when the stream is refused.
                let answer = client.ask(request(Method::POST, "core", "/"), b"").await;
                assert_eq!(answer.status(), 200, "{answer:?}");
            }
        }));
    }
    for task in tasks {
        soon("all requests", task).await.unwrap();
    }
}
