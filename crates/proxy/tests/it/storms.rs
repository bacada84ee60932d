//! Many changes at once, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use model::name::GatewayName;
use model::port::Protocol;
use routing::config::GatewayConfig;
use testkit::eventually;
use testkit::target::{Target, connect};

use crate::support::{Bench, free_port, gateway, get, loopback, on_port, route};

/// 1,000 tables, each with other weights and, now and then, other targets and other gateways beside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_changes_close_no_connection_and_leave_nothing_behind() {
    const CLIENTS: usize = 64;
    let bench = Arc::new(Bench::new());
    let targets = [Target::named("a").await.unwrap(), Target::named("b").await.unwrap()];
    let (port, side) = (free_port(), free_port());
    let build = |round: usize| -> Vec<GatewayConfig> {
        let weight = (round % 101) as u16;
        let [a, b] = [targets[0].address(), targets[1].address()];
        let first = if round.is_multiple_of(3) { vec![a, b] } else { vec![a] };
        let routes = vec![route("a", weight, &first), route("b", 100 - weight, &[b])];
        let mut all = vec![on_port(port, gateway("shop", routes))];
        if round.is_multiple_of(2) {
            all.push(on_port(side, gateway("side", vec![route("b", 100, &[b])])));
        }
        all
    };
    assert_eq!(bench.apply(build(0)).await.problems, []);
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                // One connection, never closed.
                let mut client = connect(loopback(port)).await.unwrap();
                let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n!";
                while !stop.load(SeqCst) {
                    for request in [&get("x", "/"), post] {
                        let response = client.ask(request).await.unwrap();
                        assert_eq!(response.status(), 200, "{response:?}");
                        served.fetch_add(1, SeqCst);
                    }
                }
            })
        })
        .collect();
    for round in 1..=1000 {
        let applied = bench.apply(build(round)).await;
        assert_eq!(applied.problems, [], "round {round}");
        if round.is_multiple_of(2) {
            assert_eq!(connect(loopback(side)).await.unwrap().ask(&get("x", "/")).await.unwrap().text(), "b");
        }
    }
    stop.store(true, SeqCst);
    for task in load {
        task.await.unwrap();
    }
    let series = bench.telemetry.gateway(&GatewayName::parse("shop").unwrap(), Protocol::Http);
    assert!(eventually(|| series.totals().requests() == served.load(SeqCst) as u64).await);
    assert!(eventually(|| series.totals().in_flight == 0 && series.totals().connections() == 0).await);
    assert!(bench.proxy.targets().iter().all(|target| target.in_flight == 0));
    assert_eq!(series.totals().errors, []);
}

/// Requests are answered until the very end, and whatever was begun is finished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_in_the_middle_of_answers_finishes_them() {
    const LENGTH: usize = 8 * 1024 * 1024;
    let bench = Bench::new();
    let target = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes()).await?;
                seen.record(request);
                for _ in 0..64 {
                    wire.send(&vec![b'x'; LENGTH / 64]).await?;
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = bench.connect().await;
        client.send(get("shop", "/").as_bytes()).await.unwrap();
        clients.push(client);
    }
    assert!(eventually(|| target.count() == 8).await);
    let proxy = bench.proxy.clone();
    let drain = tokio::spawn(async move { proxy.drain(Duration::from_secs(20)).await });
    for mut client in clients {
        assert_eq!(client.read_response().await.unwrap().body.len(), LENGTH);
        assert_eq!(client.read_to_end().await.unwrap(), b"");
    }
    assert_eq!(drain.await.unwrap().cut, 0);
}
