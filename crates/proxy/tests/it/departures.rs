//! Clients that go away, or only stop talking, while they wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::name::GatewayName;
use model::port::Protocol;
use testkit::eventually;
use testkit::target::Target;
use testkit::wire::Wire;
use tokio::sync::Semaphore;

use crate::support::{Bench, SHORT, gateway, get, route, short};

/// Answers when it is let, and records a message `gone` when its client goes away before that.
async fn thinking(head: &'static str) -> (Target, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = Arc::clone(&gate);
    let target = Target::start(move |mut wire, _, seen| {
        let gate = Arc::clone(&waiting);
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request.clone());
                wire.send(head.as_bytes()).await?;
                tokio::select! {
                    permit = gate.acquire() => permit.map_err(std::io::Error::other)?.forget(),
                    more = wire.has_more() => {
                        assert!(!more.unwrap_or(false));
                        seen.record(testkit::wire::Message { start: "gone".into(), ..request });
                        return Ok(());
                    }
                }
                let body: &[u8] =
                    if head.is_empty() { b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" } else { b"ok" };
                wire.send(body).await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    (target, gate)
}

async fn serving(target: &Target) -> Bench {
    let bench = Bench::with(|settings| settings.workers = 1);
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    bench
}

const LAST: &str = "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";

/// Sends a request and waits until the target has it.
async fn ask(bench: &Bench, target: &Target, request: &str) -> Wire {
    let before = target.count();
    let mut client = bench.connect().await;
    client.send(request.as_bytes()).await.unwrap();
    assert!(eventually(|| target.count() > before).await);
    client
}

async fn freed(bench: &Bench, target: &Target) -> bool {
    eventually(|| target.last().is_some_and(|last| last.start == "gone")).await
        && eventually(|| bench.proxy.targets()[0].in_flight == 0).await
}

#[tokio::test]
async fn a_client_that_closes_frees_a_target_that_thinks() {
    let (target, gate) = thinking("").await;
    let bench = serving(&target).await;
    let started = Instant::now();
    // The first request of a connection, a later one, and a reset.
    drop(ask(&bench, &target, &get("shop", "/")).await);
    assert!(freed(&bench, &target).await);
    gate.add_permits(1);
    let mut client = bench.connect().await;
    assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), "ok");
    let before = target.count();
    client.send(get("shop", "/").as_bytes()).await.unwrap();
    assert!(eventually(|| target.count() > before).await);
    drop(client);
    assert!(freed(&bench, &target).await);
    ask(&bench, &target, LAST).await.reset();
    assert!(freed(&bench, &target).await);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    // Each is counted once.
    let series = bench.telemetry.gateway(&GatewayName::parse("shop").unwrap(), Protocol::Http);
    assert!(eventually(|| series.totals().requests() == 4).await);
    assert_eq!(series.totals().errors, [("client", 3)]);
    assert_eq!((series.totals().in_flight, target.connections()), (0, 3));
}

#[tokio::test]
async fn a_client_that_only_stops_talking_gets_its_answer() {
    let (target, gate) = thinking("").await;
    let bench = serving(&target).await;
    // It said so: it may wait for as long as any other.
    let mut client = ask(&bench, &target, LAST).await;
    client.close_write().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1600)).await;
    gate.add_permits(1);
    assert_eq!(client.read_response().await.unwrap().text(), "ok");
    // It did not: answers that come soon reach it.
    let mut client = ask(&bench, &target, &get("shop", "/")).await;
    client.close_write().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.add_permits(1);
    assert_eq!(client.read_response().await.unwrap().text(), "ok");
    assert_eq!(client.read_to_end().await.unwrap(), b"");
}

#[tokio::test]
async fn a_client_with_further_requests_under_way_is_waited_for() {
    let (target, gate) = thinking("").await;
    let bench = serving(&target).await;
    let mut client = ask(&bench, &target, &format!("{}{}", get("shop", "/1"), get("shop", "/2"))).await;
    client.close_write().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1600)).await;
    gate.add_permits(2);
    for _ in 0..2 {
        assert_eq!(client.read_response().await.unwrap().text(), "ok");
    }
    assert_eq!(client.read_to_end().await.unwrap(), b"");
}

#[tokio::test]
async fn a_client_that_closes_frees_a_target_that_is_silent_in_its_answer() {
    let (target, _gate) = thinking("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
    let bench = serving(&target).await;
    let mut client = ask(&bench, &target, &get("shop", "/")).await;
    assert_eq!(client.read_head_only().await.unwrap().unwrap().status(), 200);
    drop(client);
    assert!(freed(&bench, &target).await);
}

#[tokio::test]
async fn a_stream_of_events_may_be_silent_for_long() {
    let events =
        "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nContent-Length: 2\r\n\r\n";
    for (head, patient) in [(events, true), ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false)] {
        let (target, gate) = thinking(head).await;
        let bench = Bench::with(|settings| {
            settings.limits = short();
            settings.limits.tunnel_timeout = Duration::from_secs(3600);
        });
        bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
        let mut client = ask(&bench, &target, &get("shop", "/")).await;
        assert_eq!(client.read_head_only().await.unwrap().unwrap().status(), 200);
        tokio::time::sleep(3 * SHORT).await;
        gate.add_permits(1);
        assert_eq!(client.read_exact(2).await.ok(), patient.then(|| b"ok".to_vec()), "{head}");
    }
}
