//! One peer that never rests does not keep others from their turn, and nothing is kept for longer than it is needed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use model::name::GatewayName;
use model::port::Protocol;
use testkit::eventually;
use testkit::target::{Target, connect};

use crate::support::{Bench, free_port, gateway, get, loopback, on_port, route, tcp};

/// Sends the same bytes over and over, and reads whatever comes, until told to stop.
fn flood(address: SocketAddr, bytes: Vec<u8>, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let mut stream = TcpStream::connect(address).unwrap();
    let (mut reading, stop) = (stream.try_clone().unwrap(), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        while reading.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    std::thread::spawn(move || {
        while !stop.load(SeqCst) && stream.write_all(&bytes).is_ok() {}
        // The reader ends with it.
        let _ = stream.shutdown(std::net::Shutdown::Both);
    })
}

#[tokio::test]
async fn a_client_that_pipelines_without_end_leaves_others_their_turn() {
    let bench = Bench::with(|settings| settings.workers = 1);
    let target = Target::named("a").await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let many = get("nobody", "/").repeat(2000).into_bytes();
    let flood = flood(bench.proxy.virtual_host_address().unwrap(), many, &stop);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        let asked = Instant::now();
        assert_eq!(bench.connect().await.ask(&get("shop", "/")).await.unwrap().text(), "a");
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    }
    stop.store(true, SeqCst);
    flood.join().unwrap();
}

#[tokio::test]
async fn connections_to_targets_are_closed_when_nobody_needs_them() {
    let bench = Bench::with(|settings| settings.limits.pool_idle_timeout = Duration::from_millis(700));
    let target = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
                if !wire.has_more().await? {
                    seen.record(request);
                }
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut client = bench.connect().await;
    client.ask(&get("shop", "/")).await.unwrap();
    // No client is left, so nothing else happens in the proxy.
    drop(client);
    assert!(eventually(|| target.count() == 1).await);
}

#[tokio::test]
async fn clients_of_a_port_are_counted_and_bounded() {
    let bench = Bench::with(|settings| {
        settings.workers = 1;
        settings.limits.connections = 2;
    });
    let target = Target::named("a").await.unwrap();
    let (http, raw) = (free_port(), free_port());
    let routes = || vec![route("a", 100, &[target.address()])];
    bench.apply(vec![on_port(http, gateway("shop", routes())), tcp(raw, gateway("db", routes()))]).await;
    for (name, port, protocol) in [("shop", http, Protocol::Http), ("db", raw, Protocol::Tcp)] {
        let series = bench.telemetry.gateway(&GatewayName::parse(name).unwrap(), protocol);
        let mut clients = Vec::new();
        for number in 1..=2 {
            let mut client = connect(loopback(port)).await.unwrap();
            assert_eq!(client.ask(&get(name, "/")).await.unwrap().text(), "a");
            clients.push(client);
            assert_eq!(series.totals().connections(), number);
        }
        // One too many: told so where the language is known, reset where it is not.
        let extra = connect(loopback(port)).await;
        match protocol {
            Protocol::Http => assert_eq!(extra.unwrap().read_response().await.unwrap().status(), 503),
            // So early, perhaps, that connecting already shows it.
            Protocol::Tcp => assert!(extra.is_err() || extra.unwrap().read_to_end().await.is_err()),
        }
        clients.clear();
        assert!(eventually(|| series.totals().connections() == 0).await);
        assert_eq!(series.totals().connections_opened, 2);
    }
}
