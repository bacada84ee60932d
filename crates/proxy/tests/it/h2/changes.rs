//! Changes of the table and the end of the proxy, while HTTP/2 connections are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::{Method, Response};
use testkit::target::Target;

use super::peers::{Client, Server, framed, get, read_body, request, soon, write};
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
