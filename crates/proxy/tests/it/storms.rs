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

/// Thousands of gateways, hundreds of ports: each is served, and a change of one costs next to nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_gateways_and_hundreds_of_ports() {
    const HOSTS: usize = 3000;
    const PORTS: usize = 150;
    let bench = Bench::new();
    let targets = [Target::named("a").await.unwrap(), Target::named("b").await.unwrap()];
    let ports: Vec<u16> = (0..PORTS).map(|_| free_port()).collect();
    let routes = |target: usize| vec![route("x", 100, &[targets[target].address()])];
    let mut all: Vec<Arc<GatewayConfig>> = (0..HOSTS)
        .map(|number| {
            let gateway = gateway(&format!("g{number}"), routes(0));
            Arc::new(match ports.get(number) {
                Some(port) => on_port(*port, gateway),
                None => gateway,
            })
        })
        .collect();
    assert_eq!(bench.apply_shared(all.clone()).await.problems, []);
    let mut shared = bench.connect().await;
    let mut took = Vec::new();
    for round in 0..20 {
        let number = round * 149;
        all[number] = Arc::new(match ports.get(number) {
            Some(port) => on_port(*port, gateway(&format!("g{number}"), routes(1))),
            None => gateway(&format!("g{number}"), routes(1)),
        });
        let begun = std::time::Instant::now();
        assert_eq!(bench.apply_shared(all.clone()).await.problems, []);
        took.push(begun.elapsed());
        assert_eq!(shared.ask(&get(&format!("g{number}"), "/")).await.unwrap().text(), "b");
        let other = (number + 1) % HOSTS;
        assert_eq!(shared.ask(&get(&format!("g{other}"), "/")).await.unwrap().text(), "a");
    }
    // On a busy machine the better half counts.
    took.sort();
    assert!(took[10] < Duration::from_secs(2), "{took:?}");
    for (number, port) in ports.iter().enumerate().step_by(10) {
        let expected = if number == 0 { "b" } else { "a" };
        let mut client = connect(loopback(*port)).await.unwrap();
        assert_eq!(client.ask(&get("x", "/")).await.unwrap().text(), expected, "{number}");
    }
    // And all of them go at once.
    assert_eq!(bench.apply(vec![]).await.problems, []);
    for port in ports.iter().step_by(10) {
        assert!(connect(loopback(*port)).await.is_err());
    }
}

/// A port that is given up and taken again as fast as can be, with clients that come all the time: whoever had an answer once is
/// never cut in the middle of another, and each time the gateway is back it is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_comes_and_goes() {
    let bench = Bench::new();
    let target = Target::named("a").await.unwrap();
    let port = free_port();
    let shop = || vec![on_port(port, gateway("shop", vec![route("a", 100, &[target.address()])]))];
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut served = 0;
                while !stop.load(SeqCst) {
                    tokio::task::yield_now().await;
                    let Ok(mut client) = connect(loopback(port)).await else { continue };
                    // Accepted or not, nobody knows; an answer is one of these, or none at all.
                    if let Ok(answer) =
                        client.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n!").await
                    {
                        assert!(matches!(answer.status(), 200 | 503), "{answer:?}");
                        served += usize::from(answer.status() == 200);
                    }
                }
                served
            })
        })
        .collect();
    let mut finished = 0;
    for round in 0..60 {
        assert_eq!(bench.apply(shop()).await.problems, [], "round {round}");
        let answer = connect(loopback(port)).await.unwrap().ask(&get("x", "/")).await.unwrap();
        assert_eq!(answer.text(), "a", "round {round}");
        // Under way while the port goes: finished all the same.
        let mut busy = connect(loopback(port)).await.unwrap();
        busy.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab").await.unwrap();
        let series = bench.telemetry.gateway(&GatewayName::parse("shop").unwrap(), Protocol::Http);
        assert!(eventually(|| series.totals().in_flight > 0).await);
        assert_eq!(bench.apply(vec![]).await.problems, [], "round {round}");
        busy.send(b"c").await.unwrap();
        let answer = busy.read_response().await.unwrap();
        match (answer.status(), answer.text().as_str()) {
            (200, "aabc") => finished += 1,
            // It was not read before the gateway was gone.
            (503, _) => {}
            _ => panic!("round {round}: {answer:?}"),
        }
    }
    stop.store(true, SeqCst);
    let mut served = 0;
    for client in load {
        served += client.await.unwrap();
    }
    assert!(served > 0 && finished > 0, "{served} {finished}");
}
