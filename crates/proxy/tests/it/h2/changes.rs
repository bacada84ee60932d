//! Changes of the table and the end of the proxy, while HTTP/2 connections are in use.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::{Method, Response};
use testkit::target::Target;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::peers::{
    Client, GO_AWAY, HEADERS, PING, Raw, SETTINGS, Server, block, frame, framed, get, read_body, request,
    soon, write,
};
use crate::support::{Bench, free_port, gateway, loopback, on_port, route};

#[tokio::test]
async fn fifty_changes_a_second_lose_nothing() {
    let (one, two) = (Server::echo().await, Target::named("two ").await.unwrap());
    let bench = Bench::new();
    let table = |left: u16| {
        vec![gateway(
            "shop",
            vec![framed("one", left, &[one.address]), route("two", 100 - left, &[two.address()])],
        )]
    };
    bench.apply(table(50)).await;
    let address = bench.proxy.virtual_host_address().unwrap();
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (mut tasks, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let client = Client::connect(address).await;
        for _ in 0..5 {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            let requests = client.requests.clone();
            tasks.push(tokio::spawn(async move {
                let mut client = Client { requests, connection: tokio::spawn(async { Ok(()) }) };
                while !stop.load(SeqCst) {
                    let answer = client.ask(request(Method::POST, "shop", "/"), b"data").await;
                    assert!(answer.status() == 200 && answer.text().ends_with("data"), "{answer:?}");
                    served.fetch_add(1, SeqCst);
                }
            }));
        }
        clients.push(client);
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for round in 0..150_u16 {
        ticks.tick().await;
        bench.apply(table(round * 7 % 101)).await;
    }
    stop.store(true, SeqCst);
    for task in tasks {
        soon("a client", task).await.unwrap();
    }
    // No connection was closed.
    for mut client in clients {
        assert_eq!(client.ask(get("shop", "/"), b"").await.status(), 200);
    }
    assert!(served.load(SeqCst) > 100, "{}", served.load(SeqCst));
}

/// A target that takes so many streams on each connection, says good-bye then, answers what it took and ignores the rest. The
/// connection stays open, as that of a server does that waits for its client to go.
async fn limited(streams: u32) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        let mut all = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            all.spawn(async move {
                let mut raw = Raw { stream };
                let mut preface = [0; 24];
                raw.stream.read_exact(&mut preface).await.unwrap();
                raw.send(&frame(SETTINGS, 0, 0, &[])).await;
                let mut taken = 0;
                while let Some(next) = raw.next().await {
                    match next.kind {
                        SETTINGS if next.flags == 0 => drop(raw.send(&frame(SETTINGS, 1, 0, &[])).await),
                        PING if next.flags == 0 => drop(raw.send(&frame(PING, 1, 0, &next.payload)).await),
                        HEADERS if taken < streams => {
                            taken += 1;
                            if taken == streams {
                                let last = [next.stream.to_be_bytes(), [0; 4]].concat();
                                raw.send(&frame(GO_AWAY, 0, 0, &last)).await;
                            }
                            raw.send(&frame(HEADERS, 5, next.stream, &block(&[(":status", b"200")]))).await;
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    (address, accepting)
}

/// Streams that a target says it has not looked at go to another connection, whatever the method, and are no failure of anybody.
#[tokio::test]
async fn targets_that_say_good_bye_lose_nothing() {
    let (address, accepting) = limited(20).await;
    let bench = Bench::new();
    bench.apply(vec![gateway("shop", vec![framed("a", 100, &[address])])]).await;
    let mut clients = JoinSet::new();
    for number in 0..40 {
        let mut client = bench.connect().await;
        let method = if number % 2 == 0 { "GET" } else { "POST" };
        clients.spawn(async move {
            for _ in 0..25 {
                let asked = format!("{method} / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n");
                let answer = client.ask(&asked).await.unwrap();
                assert_eq!(answer.status(), 200, "{answer:?}");
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert_eq!(bench.proxy.gateways()[0].retries_refused, 0);
    assert_eq!(bench.proxy.targets()[0].ejections, 0);
    accepting.abort();
}

/// What an acknowledged change took away gets no request any more, whatever connection it would have come over.
#[tokio::test]
async fn an_acknowledged_change_holds_for_every_later_request() {
    let (one, two) = (Server::echo().await, Server::echo().await);
    let bench = Bench::new();
    let table = |to: &Server| vec![gateway("shop", vec![framed("a", 100, &[to.address])])];
    bench.apply(table(&one)).await;
    let mut client = Client::connect(bench.proxy.virtual_host_address().unwrap()).await;
    for round in 0..50 {
        let (now, before) = if round % 2 == 0 { (&two, &one) } else { (&one, &two) };
        let (asked, _send) = client.open(get("shop", "/"), true).await;
        bench.apply(table(now)).await;
        let (count, expected) = (before.count(), now.count());
        assert_eq!(client.ask(get("shop", "/"), b"").await.status(), 200);
        let _ = asked.await;
        // The one that was under way may have gone to either.
        assert!(before.count() <= count + 1 && now.count() > expected, "{round}");
    }
}

#[tokio::test]
async fn draining_finishes_what_is_under_way() {
    let server = Server::start(|request, mut respond| {
        Box::pin(async move {
            let all = read_body(&mut request.into_body()).await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let mut send = respond.send_response(Response::new(()), false)?;
            write(&mut send, all, true).await
        })
    })
    .await;
    let bench = Bench::new();
    bench.apply(vec![gateway("core", vec![framed("b", 100, &[server.address])])]).await;
    let address = bench.proxy.virtual_host_address().unwrap();
    let idle = Client::connect(address).await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(address).await;
        for _ in 0..5 {
            let (response, mut send) = client.open(request(Method::POST, "core", "/"), false).await;
            send.send_data("data".into(), true).unwrap();
            tasks.push(tokio::spawn(async move { super::peers::read(response.await?).await }));
        }
        tasks.push(tokio::spawn(async move {
            // Told to go, without an error.
            let mut client = client;
            (&mut client.connection).await.unwrap()?;
            Err(h2::Reason::NO_ERROR.into())
        }));
    }
    soon("all requests", async {
        while server.count() < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let drained = soon("the drain", bench.proxy.drain(Duration::from_secs(20))).await;
    assert_eq!(drained.cut, 0);
    for task in tasks {
        match soon("an answer", task).await.unwrap() {
            Ok(answer) => assert_eq!((answer.status(), answer.text()), (200, "data")),
            Err(error) => assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR), "{error}"),
        }
    }
    let mut idle = idle;
    soon("the good-bye", &mut idle.connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn removed_gateways_drain() {
    let server = Server::start(|_, mut respond| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            respond.send_response(Response::new(()), true)?;
            Ok(())
        })
    })
    .await;
    let (bench, port) = (Bench::new(), free_port());
    bench.apply(vec![on_port(port, gateway("core", vec![framed("b", 100, &[server.address])]))]).await;
    let mut client = Client::connect(loopback(port)).await;
    let (response, _send) = client.open(get("core", "/"), true).await;
    soon("the request", async {
        while server.count() < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    bench.apply(Vec::new()).await;
    assert_eq!(soon("the answer", response).await.unwrap().status(), 200);
    soon("the good-bye", &mut client.connection).await.unwrap().unwrap();
}
