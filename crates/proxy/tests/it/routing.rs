//! Decisions as clients see them: splits, conditions, stickiness, chains.

use std::collections::BTreeMap;

use model::gateway::Sticky;
use routing::config::TargetKind;
use testkit::target::{Target, connect};
use testkit::wire::Wire;

use crate::support::{Bench, condition, free_port, gateway, get, kind, loopback, on_port, route, sticky};

async fn count(client: &mut Wire, request: &str, times: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        *counts.entry(client.ask(request).await.unwrap().text()).or_default() += 1;
    }
    counts
}

fn counts(list: &[(&str, usize)]) -> BTreeMap<String, usize> {
    list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[tokio::test]
async fn splits_are_exact_over_all_workers() {
    let bench = Bench::new();
    let (a, b) = (Target::named("a").await.unwrap(), Target::named("b").await.unwrap());
    let routes = vec![route("a", 80, &[a.address()]), route("b", 20, &[b.address()])];
    bench.apply(vec![gateway("shop", routes)]).await;
    let mut total = BTreeMap::new();
    for _ in 0..10 {
        let mut client = bench.connect().await;
        for (name, n) in count(&mut client, &get("shop", "/"), 5).await {
            *total.entry(name).or_insert(0) += n;
        }
    }
    assert_eq!(total, counts(&[("a", 40), ("b", 10)]));
}

#[tokio::test]
async fn conditions_come_first_and_strength_is_a_share() {
    let bench = Bench::new();
    let (a, b) = (Target::named("a").await.unwrap(), Target::named("b").await.unwrap());
    let routes =
        vec![route("a", 80, &[a.address()]), condition("< url_beg /2 >", 50, route("b", 20, &[b.address()]))];
    bench.apply(vec![gateway("shop", routes)]).await;
    let mut client = bench.connect().await;
    assert_eq!(count(&mut client, &get("shop", "/2"), 50).await, counts(&[("a", 20), ("b", 30)]));
    assert_eq!(count(&mut client, &get("shop", "/"), 50).await, counts(&[("a", 40), ("b", 10)]));
}

#[tokio::test]
async fn sticky_clients_stay_until_they_are_evicted() {
    let bench = Bench::new();
    let (a, b) = (Target::named("a").await.unwrap(), Target::named("b").await.unwrap());
    let build = |generation, weights: [u16; 2]| {
        let routes = vec![route("a", weights[0], &[a.address()]), route("b", weights[1], &[b.address()])];
        let mut shop = sticky(Sticky::Route, gateway("shop", routes));
        shop.sticky_generation = generation;
        shop
    };
    bench.apply(vec![build(0, [50, 50])]).await;
    let mut client = bench.connect().await;
    let first = client.ask(&get("shop", "/")).await.unwrap();
    let cookie = first.field("set-cookie").unwrap();
    assert!(cookie.starts_with("vamp_r_") && cookie.contains("HttpOnly"), "{cookie}");
    assert_eq!(first.field("cache-control").as_deref(), Some("private"));
    let pair = cookie.split(';').next().unwrap();
    let again = format!("GET / HTTP/1.1\r\nHost: shop.test\r\nCookie: mine=1; {pair}\r\n\r\n");
    let stayed = count(&mut client, &again, 10).await;
    assert_eq!(stayed, counts(&[(&first.text(), 10)]));
    let served = if first.text() == "a" { &a } else { &b };
    assert_eq!(served.last().unwrap().field("cookie").as_deref(), Some("mine=1"));
    // Weight 0 drains, eviction moves.
    let weights = if first.text() == "a" { [0, 100] } else { [100, 0] };
    bench.apply(vec![build(0, weights)]).await;
    assert_eq!(count(&mut client, &again, 5).await, counts(&[(&first.text(), 5)]));
    bench.apply(vec![build(1, weights)]).await;
    let other = if first.text() == "a" { "b" } else { "a" };
    let moved = client.ask(&again).await.unwrap();
    assert_eq!(moved.text(), other);
    assert!(moved.field("set-cookie").is_some());
}

#[tokio::test]
async fn chains_multiply_and_count_their_hops() {
    let bench = Bench::new();
    let (one, two, green) = (
        Target::named("b1").await.unwrap(),
        Target::named("b2").await.unwrap(),
        Target::named("g").await.unwrap(),
    );
    let (edge, blue) = (free_port(), free_port());
    bench
        .apply(vec![
            on_port(
                edge,
                gateway(
                    "edge",
                    vec![
                        kind(TargetKind::Gateway, route("blue", 90, &[loopback(blue)])),
                        route("green", 10, &[green.address()]),
                    ],
                ),
            ),
            on_port(
                blue,
                gateway("blue", vec![route("b1", 50, &[one.address()]), route("b2", 50, &[two.address()])]),
            ),
        ])
        .await;
    let mut client = testkit::target::connect(loopback(edge)).await.unwrap();
    let got = count(&mut client, &get("edge", "/"), 100).await;
    assert_eq!(got, counts(&[("b1", 45), ("b2", 45), ("g", 10)]));
    let seen = one.last().unwrap();
    assert!(seen.field("vamp-hops").is_none());
    assert_eq!(seen.field("x-forwarded-for").as_deref(), Some("127.0.0.1, 127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-port"), Some(blue.to_string()));
}

#[tokio::test]
async fn a_gateway_that_leads_to_itself_is_stopped() {
    // By its name, and by its address. A foreign target's word about errors is not passed on.
    for (target, error) in [(TargetKind::Gateway, Some("loop")), (TargetKind::External, None)] {
        let bench = Bench::new();
        let port = free_port();
        let routes = vec![kind(target, route("self", 100, &[loopback(port)]))];
        bench.apply(vec![on_port(port, gateway("self", routes))]).await;
        let response =
            testkit::target::connect(loopback(port)).await.unwrap().ask(&get("self", "/")).await.unwrap();
        assert_eq!((response.status(), response.field("vamp-proxy-error").as_deref()), (508, error));
    }
}

#[tokio::test]
async fn every_gateway_of_a_chain_gets_its_own_cookies() {
    let bench = Bench::new();
    let (a, b) = (Target::named("a").await.unwrap(), Target::named("b").await.unwrap());
    let (front, back) = (free_port(), free_port());
    let to_back = kind(TargetKind::Gateway, route("back", 100, &[loopback(back)]));
    let versions = vec![route("a", 50, &[a.address()]), route("b", 50, &[b.address()])];
    bench
        .apply(vec![
            on_port(front, sticky(Sticky::Route, gateway("front", vec![to_back]))),
            on_port(back, sticky(Sticky::Instance, gateway("back", versions))),
        ])
        .await;
    let mut client = connect(loopback(front)).await.unwrap();
    let first = client.ask(&get("front", "/")).await.unwrap();
    let set: Vec<&str> = first
        .fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, v)| v.as_str())
        .collect();
    let cookies: Vec<&str> = set.iter().map(|cookie| cookie.split(';').next().unwrap()).collect();
    assert_eq!(cookies.len(), 3, "{set:?}");
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: own=1; {}\r\n\r\n", cookies.join("; "));
    for _ in 0..6 {
        let next = client.ask(&request).await.unwrap();
        assert_eq!(next.text(), first.text());
        assert!(next.field("set-cookie").is_none());
        let seen = [&a, &b].into_iter().filter_map(Target::last).find(|seen| seen.field("cookie").is_some());
        assert_eq!(seen.unwrap().field("cookie").as_deref(), Some("own=1"));
    }
}
