//! Changes under load: nothing is lost, nobody is sent where he should not go, and the counts agree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, Pod, Vamp, eventually};
use crate::release::count;
use crate::target::Target;

/// A small seeded generator (SplitMix64), so that a failure can be repeated.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Weights in whole percents that add up to 100; several of them are often 0.
    fn weights(&mut self, routes: usize) -> Vec<u64> {
        let mut weights = vec![0; routes];
        let mut rest = 100;
        while rest > 0 {
            let part = 1 + self.below(rest);
            weights[usize::try_from(self.below(routes as u64)).unwrap()] += part;
            rest -= part;
        }
        weights
    }
}

fn document(versions: &[&str], weights: &[u64]) -> String {
    let routes: Vec<String> = versions
        .iter()
        .zip(weights)
        .map(|(version, weight)| format!("\"({version})\": {{weight: {weight}%}}"))
        .collect();
    format!(
        "name: shop\nselector: label(app)(shop) && label(version)((.*))\nroutes: {{{}}}",
        routes.join(", ")
    )
}

struct Shop {
    vamp: Vamp,
    versions: [&'static str; 4],
    targets: Vec<Target>,
    port: u16,
}

impl Shop {
    async fn start() -> Self {
        let vamp = Vamp::start_with(&["--route-retention", "60s"]).await;
        let versions = ["1", "2", "3", "4"];
        let mut targets = Vec::new();
        for version in versions {
            targets.push(Target::start(version).await);
        }
        let shop = Self { vamp, versions, targets, port: 0 };
        for index in 0..versions.len() {
            shop.arrive(index);
        }
        shop.vamp.gateway("name: shop\nselector: label(app)(shop) && label(version)((.*))").await;
        shop.vamp.routes("shop", &[("(1)", "100%"), ("(2)", "0%"), ("(3)", "0%"), ("(4)", "0%")]).await;
        let port = shop.vamp.port("shop").await;
        Self { port, ..shop }
    }

    fn arrive(&self, index: usize) {
        let version = self.versions[index];
        let labels = [("app", "shop"), ("version", version)];
        let address = self.targets[index].address;
        self.vamp.pod(&Pod { name: &format!("shop-{version}"), labels: &labels, address, ready: true });
    }

    async fn set(&self, weights: &[u64]) {
        let answer = self.vamp.put("/gateways/shop?wait=applied", &document(&self.versions, weights)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert_eq!(answer.header("vamp-applied"), Some("1/1"));
    }

    fn arrived(&self) -> BTreeMap<String, u64> {
        self.targets.iter().map(|target| (target.name.clone(), target.requests())).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_exact_after_every_change() {
    let shop = Shop::start().await;
    let url = format!("http://127.0.0.1:{}/", shop.port);
    let mut seeded = Seeded(7);
    for _ in 0..40 {
        let weights = seeded.weights(4);
        shop.set(&weights).await;
        let seen = count(&url, 100, &[]).await;
        for (version, weight) in shop.versions.iter().zip(&weights) {
            assert_eq!(seen.get(*version).copied().unwrap_or(0) as u64, *weight, "{weights:?} {seen:?}");
        }
    }
}

/// What the load saw.
#[derive(Default)]
struct Seen {
    /// Even: settled, the low bits of `zero` say which versions are at 0 %. Odd: a change is under way.
    epoch: AtomicU64,
    zero: AtomicU64,
    requests: AtomicU64,
    wrong: AtomicU64,
    own: AtomicU64,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_changes_under_load() {
    let mut shop = Shop::start().await;
    let seen = Arc::new(Seen::default());
    seen.zero.store(0b1110, Ordering::SeqCst);
    let stop = Arc::new(AtomicBool::new(false));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let (http, seen, stop) = (http.clone(), Arc::clone(&seen), Arc::clone(&stop));
            let url = format!("http://127.0.0.1:{}/", shop.port);
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let (before, zero) =
                        (seen.epoch.load(Ordering::SeqCst), seen.zero.load(Ordering::SeqCst));
                    let response = http.get(&url).send().await.expect("an answer");
                    seen.requests.fetch_add(1, Ordering::SeqCst);
                    if response.headers().contains_key("vamp-proxy-error") {
                        seen.own.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    let version: u32 = response.headers()["x-target"].to_str().unwrap().parse().unwrap();
                    response.bytes().await.expect("a whole answer");
                    let settled = before % 2 == 0 && seen.epoch.load(Ordering::SeqCst) == before;
                    if settled && zero & (1 << (version - 1)) != 0 {
                        seen.wrong.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();

    let mut seeded = Seeded(42);
    let mut away: Option<usize> = None;
    for step in 0..1000 {
        seen.epoch.fetch_add(1, Ordering::SeqCst);
        if step % 50 == 25 {
            // A version without traffic goes, or the one that went comes back.
            match away.take() {
                Some(index) => {
                    shop.arrive(index);
                    let path = format!("({})", shop.versions[index]);
                    eventually("the version to be back", || async {
                        let body = shop.vamp.get("/gateways/shop").await.body;
                        body["routes"][&path]["targets"]
                            .as_array()
                            .is_some_and(|t| !t.is_empty())
                            .then_some(())
                    })
                    .await;
                }
                None => {
                    shop.set(&[25, 25, 50, 0]).await;
                    shop.vamp.remove_pod("shop-4");
                    away = Some(3);
                    eventually("the version to be gone", || async {
                        let body = shop.vamp.get("/gateways/shop").await.body;
                        body["routes"]["(4)"]["targets"].as_array().is_some_and(Vec::is_empty).then_some(())
                    })
                    .await;
                    seen.zero.store(0b1000, Ordering::SeqCst);
                }
            }
        } else {
            let present = if away.is_some() { 3 } else { 4 };
            let mut weights = seeded.weights(present);
            weights.resize(4, 0);
            shop.set(&weights).await;
            let zero = weights.iter().enumerate().filter(|(_, w)| **w == 0).map(|(i, _)| 1 << i).sum();
            seen.zero.store(zero, Ordering::SeqCst);
        }
        seen.epoch.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let requests = seen.requests.load(Ordering::SeqCst);
    assert!(requests > 1000, "only {requests} requests");
    assert_eq!(seen.own.load(Ordering::SeqCst), 0, "responses made by the proxy");
    assert_eq!(seen.wrong.load(Ordering::SeqCst), 0, "requests to a version at 0% after the acknowledgement");

    // Telemetry counts exactly what arrived.
    let arrived = shop.arrived();
    assert_eq!(arrived.values().sum::<u64>(), requests);
    let counted = async || {
        let page = shop.vamp.call("GET", "/metrics", None, &[]).await;
        let page = page.body.as_str().expect("a text page");
        let of = |version: &str| -> u64 {
            let route = format!("route=\"({version})\"");
            page.lines()
                .filter(|line| line.starts_with("vamp_requests_total{") && line.contains(&route))
                .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
                .sum()
        };
        arrived.keys().map(|version| (version.clone(), of(version))).collect::<BTreeMap<_, _>>()
    };
    // A client may have its answer a moment before it is counted.
    let deadline = Instant::now() + PATIENCE;
    while counted().await != arrived && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(counted().await, arrived);
    assert_eq!(shop.vamp.terminate(), Some(0));
}
