//! New tables, ports that come and go, and the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use testkit::eventually;
use testkit::target::{Target, connect};

use crate::support::{Bench, SHORT, brisk, free_port, gateway, get, loopback, on_port, route, tcp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_change_holds_for_every_later_request() {
    let bench = Arc::new(Bench::new());
    let targets = [Target::named("a").await.unwrap(), Target::named("b").await.unwrap()];
    let build = |live: usize| {
        let weight = |index| if index == live { 100 } else { 0 };
        gateway(
            "shop",
            vec![
                route("a", weight(0), &[targets[0].address()]),
                route("b", weight(1), &[targets[1].address()]),
            ],
        )
    };
    bench.apply(vec![build(0)]).await;
    // The load never sees an error; what each target has seen stands still from the moment of the acknowledgement.
    let stop = Arc::new(AtomicBool::new(false));
    let served: Arc<[AtomicUsize; 8]> = Arc::default();
    let load: Vec<_> = (0..8)
        .map(|number: usize| {
            let (bench, stop, served) = (Arc::clone(&bench), Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                let mut client = bench.connect().await;
                while !stop.load(SeqCst) {
                    let response = client.ask(&get("shop", "/")).await.unwrap();
                    assert_eq!(response.status(), 200);
                    served[number].fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    for round in 1..=40 {
        let live = round % 2;
        bench.apply(vec![build(live)]).await;
        let mut check = bench.connect().await;
        // What was sent before the acknowledgement may still be on its way into the target's list: each client sends one
        // request after the other, so its next but one was sent later.
        let now = || served.each_ref().map(|count| count.load(SeqCst));
        let all_beyond =
            |mark: [usize; 8]| move || now().iter().zip(mark).all(|(now, mark)| *now >= mark + 2);
        assert!(eventually(all_beyond(now())).await);
        let old = targets[1 - live].count();
        let mark = now();
        for _ in 0..3 {
            assert_eq!(check.ask(&get("shop", "/")).await.unwrap().text(), ["a", "b"][live]);
        }
        assert!(eventually(all_beyond(mark)).await);
        assert_eq!(targets[1 - live].count(), old, "round {round}");
    }
    stop.store(true, SeqCst);
    for task in load {
        task.await.unwrap();
    }
    // Changes closed no connection to any target: each worker needs at most one for each client.
    assert!(targets.iter().all(|target| target.connections() <= 20));
}

#[tokio::test]
async fn a_request_that_waits_for_a_connection_is_decided_again() {
    // The old target does not accept; while a request waits for it, the route loses its weight.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&loopback(0).into()).unwrap();
    full.listen(0).unwrap();
    let old = full.local_addr().unwrap().as_socket().unwrap();
    let mut fill = Vec::new();
    while let Ok(Ok(wire)) = tokio::time::timeout(Duration::from_millis(200), connect(old)).await {
        fill.push(wire);
        assert!(fill.len() < 100);
    }
    let new = Target::named("new").await.unwrap();
    let bench = Bench::with(|settings| settings.limits.connect_timeout = 2 * SHORT);
    let build = |weights: [u16; 2]| {
        gateway("shop", vec![route("old", weights[0], &[old]), route("new", weights[1], &[new.address()])])
    };
    bench.apply(vec![build([100, 0])]).await;
    let mut client = bench.connect().await;
    client.send(get("shop", "/").as_bytes()).await.unwrap();
    assert!(eventually(|| bench.proxy.targets().iter().any(|target| target.in_flight == 1)).await);
    bench.apply(vec![build([0, 100])]).await;
    assert_eq!(client.read_response().await.unwrap().text(), "new");
}

/// A listener whose queue is full, so that connections to it hang until it accepts, and what fills the queue.
async fn hanging() -> (socket2::Socket, Vec<testkit::wire::Wire>, std::net::SocketAddr) {
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&loopback(0).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut fill = Vec::new();
    while let Ok(Ok(wire)) = tokio::time::timeout(Duration::from_millis(200), connect(address)).await {
        fill.push(wire);
        assert!(fill.len() < 100);
    }
    (full, fill, address)
}

#[tokio::test]
async fn a_route_that_moved_while_a_request_connects_is_described_and_counted_as_itself() {
    // The routes before it are gone when the connection fails.
    let (_full, _fill, address) = hanging().await;
    let bench = Bench::with(|settings| {
        settings.limits.connect_timeout = 2 * SHORT;
        settings.limits.retries = 0;
    });
    let moved = || route("moved", 100, &[address]);
    bench.apply(vec![gateway("shop", vec![route("x", 0, &[]), route("y", 0, &[]), moved()])]).await;
    let mut client = bench.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: shop.test\r\nVamp-Debug: 1\r\n\r\n").await.unwrap();
    assert!(eventually(|| bench.proxy.targets().iter().any(|target| target.in_flight == 1)).await);
    bench.apply(vec![gateway("shop", vec![moved()])]).await;
    let response = client.read_response().await.unwrap();
    assert_eq!((response.status(), response.field("vamp-route").as_deref()), (504, Some("moved")));

    // Others came before it when the target fails after it took the connection.
    let (full, fill, address) = hanging().await;
    let bench = Bench::new();
    let moved = || route("moved", 100, &[address]);
    bench.apply(vec![gateway("shop", vec![moved()])]).await;
    let mut client = bench.connect().await;
    client.send(b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\n\r\na").await.unwrap();
    assert!(eventually(|| bench.proxy.targets().iter().any(|target| target.in_flight == 1)).await);
    bench.apply(vec![gateway("shop", vec![route("x", 0, &[]), route("y", 0, &[]), moved()])]).await;
    // Takes every connection and closes it at once.
    drop(fill);
    let closing = std::thread::spawn(move || while full.accept().is_ok() {});
    let response = client.read_response().await.unwrap();
    assert_eq!(
        (response.status(), response.field("vamp-proxy-error").as_deref()),
        (502, Some("bad_response"))
    );
    let name = model::name::GatewayName::parse("shop").unwrap();
    let series = bench.telemetry.route(&name, &model::name::RoutePath::parse("moved").unwrap());
    assert!(eventually(|| series.totals().requests() == 1 && series.totals().in_flight == 0).await);
    drop(closing);
}

#[tokio::test]
async fn a_port_that_becomes_one_of_a_tcp_gateway_serves_no_http_any_more() {
    let bench = Bench::new();
    let target = Target::named("a").await.unwrap();
    let port = free_port();
    let shop = || gateway("shop", vec![route("a", 100, &[target.address()])]);
    bench.apply(vec![on_port(port, shop())]).await;
    let mut client = connect(loopback(port)).await.unwrap();
    assert_eq!(client.ask(&get("shop", "/")).await.unwrap().text(), "a");
    bench.apply(vec![tcp(port, shop())]).await;
    let response = client.ask(&get("shop", "/")).await.unwrap();
    assert_eq!((response.status(), response.field("vamp-proxy-error").as_deref()), (503, Some("no_gateway")));
    // A new connection is one of the tcp gateway.
    assert_eq!(connect(loopback(port)).await.unwrap().ask(&get("shop", "/")).await.unwrap().text(), "a");
    assert_eq!(target.count(), 2);
}

#[tokio::test]
async fn connections_outlive_changes_and_removed_gateways_drain() {
    let bench = Bench::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let waiting = Arc::clone(&gate);
    let target = Target::start(move |mut wire, _, seen| {
        let gate = Arc::clone(&waiting);
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request);
                gate.acquire().await.map_err(std::io::Error::other)?.forget();
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let port = free_port();
    let shop = || on_port(port, gateway("shop", vec![route("a", 100, &[target.address()])]));
    bench.apply(vec![shop()]).await;
    let mut busy = connect(loopback(port)).await.unwrap();
    let mut idle = connect(loopback(port)).await.unwrap();
    gate.add_permits(2);
    busy.ask(&get("shop", "/")).await.unwrap();
    idle.ask(&get("shop", "/")).await.unwrap();
    // Another gateway comes and goes: nothing happens to these.
    bench.apply(vec![shop(), gateway("other", vec![])]).await;
    bench.apply(vec![shop()]).await;
    busy.send(get("shop", "/").as_bytes()).await.unwrap();
    assert!(eventually(|| target.count() == 3).await);
    bench.apply(vec![]).await;
    assert_eq!(idle.read_to_end().await.unwrap(), b"");
    gate.add_permits(1);
    let last = busy.read_response().await.unwrap();
    assert_eq!((last.status(), last.field("connection").as_deref()), (200, Some("close")));
    assert_eq!(busy.read_to_end().await.unwrap(), b"");
    assert!(is_closed(loopback(port)).await);
    // The port can be had again at once.
    gate.add_permits(1);
    assert_eq!(bench.apply(vec![shop()]).await.problems, []);
    assert_eq!(connect(loopback(port)).await.unwrap().ask(&get("shop", "/")).await.unwrap().status(), 200);
}

/// A connection that waits at the port of a gateway that goes is closed with it, and never speaks for the next one that has the port.
#[tokio::test]
async fn a_port_that_is_given_up_and_had_again_is_a_new_one() {
    let bench = Bench::new();
    let (a, b) = (Target::named("a").await.unwrap(), Target::named("b").await.unwrap());
    let port = free_port();
    for target in [&a, &b, &a, &b] {
        bench.apply(vec![on_port(port, gateway("one", vec![route("a", 100, &[target.address()])]))]).await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            let mut client = connect(loopback(port)).await.unwrap();
            assert_eq!(client.ask(&get("x", "/")).await.unwrap().status(), 200);
            clients.push(client);
        }
        bench.apply(vec![]).await;
        bench.apply(vec![on_port(port, gateway("two", vec![route("a", 100, &[b.address()])]))]).await;
        for mut client in clients {
            assert!(client.ask(&get("x", "/")).await.is_err(), "answered by a gateway that is gone");
        }
        bench.apply(vec![]).await;
    }
}

#[tokio::test]
async fn a_port_moves_from_one_gateway_to_another_without_being_closed() {
    let bench = Bench::new();
    let (a, b) = (Target::named("a").await.unwrap(), Target::named("b").await.unwrap());
    let port = free_port();
    bench.apply(vec![on_port(port, gateway("one", vec![route("a", 100, &[a.address()])]))]).await;
    let mut client = connect(loopback(port)).await.unwrap();
    assert_eq!(client.ask(&get("x", "/")).await.unwrap().text(), "a");
    bench.apply(vec![on_port(port, gateway("two", vec![route("b", 100, &[b.address()])]))]).await;
    assert_eq!(client.ask(&get("x", "/")).await.unwrap().text(), "b");
}

#[tokio::test]
async fn a_port_in_use_is_reported_and_tried_again() {
    let bench = Bench::with(|settings| settings.limits = brisk());
    let target = Target::named("a").await.unwrap();
    let (taken, free) = (free_port(), free_port());
    let other = std::net::TcpListener::bind(loopback(taken)).unwrap();
    let routes = || vec![route("a", 100, &[target.address()])];
    let applied = bench
        .apply(vec![on_port(taken, gateway("bad", routes())), on_port(free, gateway("good", routes()))])
        .await;
    assert_eq!(applied.problems.len(), 1);
    assert_eq!(applied.problems[0].0.as_str(), "bad");
    assert!(applied.problems[0].1.contains(&taken.to_string()), "{}", applied.problems[0].1);
    assert_eq!(connect(loopback(free)).await.unwrap().ask(&get("x", "/")).await.unwrap().text(), "a");
    drop(other);
    assert!(eventually(|| bench.proxy.reported().borrow().problems.is_empty()).await);
    assert_eq!(connect(loopback(taken)).await.unwrap().ask(&get("x", "/")).await.unwrap().text(), "a");
    // Another proxy is told, instead of silently sharing the port.
    let second = Bench::new();
    let applied = second.apply(vec![on_port(free, gateway("good", routes()))]).await;
    assert_eq!(applied.problems.len(), 1);
}

#[tokio::test]
async fn draining_finishes_what_is_under_way() {
    let bench = Bench::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let waiting = Arc::clone(&gate);
    let target = Target::start(move |mut wire, _, seen| {
        let gate = Arc::clone(&waiting);
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request);
                gate.acquire().await.map_err(std::io::Error::other)?.forget();
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut idle = bench.connect().await;
    gate.add_permits(1);
    idle.ask(&get("shop", "/")).await.unwrap();
    let mut late = bench.connect().await;
    gate.add_permits(1);
    late.ask(&get("shop", "/")).await.unwrap();
    let mut busy = bench.connect().await;
    busy.send(get("shop", "/").as_bytes()).await.unwrap();
    assert!(eventually(|| target.count() == 3).await);
    let address = bench.proxy.virtual_host_address().unwrap();
    let proxy = bench.proxy.clone();
    let drain = tokio::spawn(async move { proxy.drain(Duration::from_secs(20)).await });
    // A request that was on its way to a connection that had nothing to do is answered, and the last one there.
    assert!(is_closed(address).await);
    // The busy one waits in front of it.
    gate.add_permits(2);
    let answer = late.ask(&get("shop", "/")).await.unwrap();
    assert_eq!((answer.status(), answer.field("connection").as_deref()), (200, Some("close")));
    assert_eq!(idle.read_to_end().await.unwrap(), b"");
    let last = busy.read_response().await.unwrap();
    assert_eq!((last.status(), last.field("connection").as_deref()), (200, Some("close")));
    assert_eq!(drain.await.unwrap().cut, 0);
    // Afterwards the handle is harmless.
    assert_eq!(bench.apply(vec![]).await.problems, []);
    assert_eq!(bench.proxy.drain(Duration::ZERO).await.cut, 0);
}

#[tokio::test]
async fn clients_are_sent_away_before_a_drain() {
    let bench = Bench::new();
    let target = Target::named("a").await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let (mut quiet, mut busy) = (bench.connect().await, bench.connect().await);
    for wire in [&mut quiet, &mut busy] {
        assert_eq!(wire.ask(&get("shop", "/")).await.unwrap().field("connection"), None);
    }
    bench.proxy.send_away();
    let last = busy.ask(&get("shop", "/")).await.unwrap();
    assert_eq!((last.status(), last.field("connection").as_deref()), (200, Some("close")));
    assert_eq!(busy.read_to_end().await.unwrap(), b"");
    // New ones are served and counted, and one that has not been told yet is still open.
    assert_eq!(bench.proxy.newcomers(), 0);
    let mut new = bench.connect().await;
    for wire in [&mut new, &mut quiet] {
        let last = wire.ask(&get("shop", "/")).await.unwrap();
        assert_eq!((last.status(), last.field("connection").as_deref()), (200, Some("close")));
    }
    assert_eq!(bench.proxy.newcomers(), 1);
    drop((quiet, busy, new));
    assert_eq!(bench.proxy.drain(Duration::from_secs(20)).await.cut, 0);
}

#[tokio::test]
async fn the_deadline_of_a_drain_cuts_what_is_left() {
    let bench = Bench::new();
    let target = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request);
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut busy = bench.connect().await;
    busy.send(get("shop", "/").as_bytes()).await.unwrap();
    assert!(eventually(|| target.count() == 1).await);
    assert_eq!(bench.proxy.drain(Duration::from_millis(100)).await.cut, 1);
    assert!(busy.read_response().await.is_err());
}

/// Waits until nobody listens any more; each worker closes its own socket.
async fn is_closed(address: std::net::SocketAddr) -> bool {
    for _ in 0..1000 {
        if connect(address).await.is_err() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}
