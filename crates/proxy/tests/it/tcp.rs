//! TCP gateways.

use model::name::GatewayName;
use model::port::Protocol;
use testkit::eventually;
use testkit::target::{Target, connect, refused};

use crate::support::{Bench, free_port, gateway, loopback, route, short, tcp};

/// Says its name, echoes until the end, then says how much came.
async fn echo(name: &'static str) -> Target {
    Target::start(move |mut wire, _, _| {
        Box::pin(async move {
            wire.send(name.as_bytes()).await?;
            let all = wire.read_to_end().await?;
            wire.send(&all).await?;
            wire.send(format!("{}", all.len()).as_bytes()).await
        })
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn bytes_both_ways_with_half_close() {
    let bench = Bench::new();
    let target = echo("hello").await;
    let port = free_port();
    bench.apply(vec![tcp(port, gateway("db", vec![route("a", 100, &[target.address()])]))]).await;
    let mut client = connect(loopback(port)).await.unwrap();
    // The server speaks first.
    assert_eq!(client.read_exact(5).await.unwrap(), b"hello");
    let body = vec![7; 500_000];
    client.send(&body).await.unwrap();
    client.close_write().await.unwrap();
    let rest = client.read_to_end().await.unwrap();
    assert!(rest[..500_000] == body && &rest[500_000..] == b"500000");
    let series = bench.telemetry.gateway(&GatewayName::parse("db").unwrap(), Protocol::Tcp);
    assert!(eventually(|| series.totals().received == 500_000).await);
    assert_eq!(series.totals().sent, 500_011);
}

#[tokio::test]
async fn connections_are_split_exactly() {
    let bench = Bench::new();
    let (a, b) = (echo("a").await, echo("b").await);
    let port = free_port();
    let routes = vec![route("a", 75, &[a.address()]), route("b", 25, &[b.address()])];
    bench.apply(vec![tcp(port, gateway("db", routes))]).await;
    let mut seen = [0, 0];
    for _ in 0..20 {
        let mut client = connect(loopback(port)).await.unwrap();
        seen[usize::from(client.read_exact(1).await.unwrap() == b"b")] += 1;
    }
    assert_eq!(seen, [15, 5]);
}

#[tokio::test]
async fn failures() {
    let bench = Bench::with(|settings| settings.limits = short());
    let good = echo("g").await;
    let (bad, port) = (refused().await.unwrap(), free_port());
    bench.apply(vec![tcp(port, gateway("db", vec![route("a", 100, &[bad, good.address()])]))]).await;
    for _ in 0..4 {
        assert_eq!(connect(loopback(port)).await.unwrap().read_exact(1).await.unwrap(), b"g");
    }
    bench.apply(vec![tcp(port, gateway("db", vec![route("a", 100, &[bad])]))]).await;
    assert!(is_reset(port).await);
    bench.apply(vec![tcp(port, gateway("db", vec![]))]).await;
    assert!(is_reset(port).await);
    // Idle for too long.
    bench.apply(vec![tcp(port, gateway("db", vec![route("a", 100, &[good.address()])]))]).await;
    let mut client = connect(loopback(port)).await.unwrap();
    assert_eq!(client.read_exact(1).await.unwrap(), b"g");
    assert!(client.read_to_end().await.is_err());
}

#[tokio::test]
async fn a_broken_target_is_passed_on_as_broken() {
    let bench = Bench::new();
    let target = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            wire.send(b"x").await?;
            wire.has_more().await?;
            wire.reset();
            Ok(())
        })
    })
    .await
    .unwrap();
    let port = free_port();
    bench.apply(vec![tcp(port, gateway("db", vec![route("a", 100, &[target.address()])]))]).await;
    let mut client = connect(loopback(port)).await.unwrap();
    assert_eq!(client.read_exact(1).await.unwrap(), b"x");
    client.send(b"y").await.unwrap();
    assert!(client.read_to_end().await.is_err());
}

/// True when a connection is reset; so early, perhaps, that connecting already shows it.
async fn is_reset(port: u16) -> bool {
    match connect(loopback(port)).await {
        Ok(mut client) => client.read_to_end().await.is_err(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}
