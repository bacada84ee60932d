//! The same on a real API server, when there is one for tests.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use kubernetes::records::{ClusterStore, Settings};
use kubernetes::{Credentials, crd};
use serde_json::{Value, json};
use store::{Commit, Expect, Put, Store, StoreError};
use testkit::conformance::{event, put};
use testkit::kube::Namespace;

use super::model::{State, random};
use crate::chaos::Dice;

const RECORDS: &str = "vamp.io/v1/records";

struct Real {
    namespace: Namespace,
    cluster: kubernetes::Cluster,
}

impl Real {
    async fn new(name: &str) -> Option<Self> {
        let namespace = Namespace::new(name).await?;
        namespace.install(&crd::records().to_string()).await;
        let credentials = Credentials::Kubeconfig { file: namespace.kubeconfig(), context: None };
        let cluster = kubernetes::Cluster::connect(&credentials).await.unwrap();
        Some(Self { namespace, cluster })
    }

    async fn open(&self) -> ClusterStore {
        let settings =
            Settings { fold_pause: Duration::from_millis(20), ..Settings::new(self.namespace.name()) };
        ClusterStore::open(&self.cluster, settings).await.unwrap()
    }

    async fn clear(&self) {
        let (status, answer) = self.namespace.call("DELETE", &self.namespace.path(RECORDS, ""), None).await;
        assert_eq!(status, 200, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_what_every_store_does() {
    let Some(real) = Real::new("records-suite").await else { return };
    testkit::conformance::every_check(async |_| {
        real.clear().await;
        real.open().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_records_to_kubectl() {
    let Some(real) = Real::new("records-kubectl").await else { return };
    let store = real.open().await;
    store.commit(put("shop", json!({"port": 9050}), Expect::Absent)).await.unwrap();
    real.namespace.until(RECORDS, "gateways.shop", "to be there", |_| true).await;
    let table = real.namespace.kubectl(&["get", "records"]).await;
    let head = table.lines().next().unwrap_or_default();
    assert_eq!(
        head.split_whitespace().collect::<Vec<_>>(),
        ["NAME", "KIND", "RECORD", "REVISION"],
        "{table}"
    );
    let row = table.lines().find(|line| line.starts_with("gateways.shop")).unwrap_or_default();
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["gateways.shop", "gateways", "shop", "1"],
        "{table}"
    );
}

/// Two controllers that both believe to be the leader, and stores that are dropped in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_make_one_history() {
    let Some(real) = Real::new("records-two").await else { return };
    let seed = 0x9e37_79b9_7f4a_7c15_u64;
    let writer = async |number: u64| {
        let mut acknowledged = Vec::new();
        let mut store = real.open().await;
        for round in 0..40 {
            let token = number * 1_000 + round;
            let commit = random(&mut Dice(seed ^ token), token).commit;
            match store.commit(commit).await {
                Ok(committed) => acknowledged.push((token, committed.revision)),
                Err(StoreError::Conflict { .. }) => drop(store.load().await.unwrap()),
                Err(error) => panic!("{error}"),
            }
            if round % 10 == 9 {
                store = real.open().await;
            }
        }
        acknowledged
    };
    let (mut acknowledged, others) = tokio::join!(writer(1), writer(2));
    acknowledged.extend(others);
    acknowledged.sort_by_key(|(_, revision)| *revision);
    let state = State::of(&real.open().await).await;
    assert_eq!(state.events, acknowledged);
    let mut expected = State::default();
    for (token, _) in &acknowledged {
        expected.apply(&random(&mut Dice(seed ^ token), *token));
    }
    assert!(expected == state, "expected {}\nfound {}", expected.short(), state.short());
    assert!(acknowledged.len() > 40, "{}", acknowledged.len());
}

/// What a change of weights writes: the live half of one gateway and an event with both states.
fn weights(number: u64) -> Commit {
    let routes: Vec<Value> = (0..4)
        .map(|n| json!({"path": format!("(1.0.{n})"), "weight": (number + n) % 100, "condition": null, "sticky": null}))
        .collect();
    let body =
        json!({"routes": routes, "port": 40_000, "hosts": ["shop.example.com"], "text": "x".repeat(1_000)});
    let mut commit = Commit {
        puts: vec![Put {
            kind: "gateway-states".into(),
            name: format!("gateway-{}", number % 50),
            body: body.clone(),
            expect: Expect::Any,
        }],
        ..Commit::default()
    };
    let value = json!({"before": body, "after": body});
    commit.events.push(event(number as i64, "event", &["gateways:shop", "weight:changed"], Some(value)));
    commit
}

/// The figures are printed; the bounds are those of a busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_fast_enough() {
    let Some(real) = Real::new("records-speed").await else { return };
    let mut report = String::new();
    let settings = Settings::new(real.namespace.name());
    let store = ClusterStore::open(&real.cluster, settings.clone()).await.unwrap();

    // The first look at a thousand gateways, as the control plane does it: 64 at once.
    let body = json!({"selector": "label(app)(shop) && label(version)((.*))", "text": "x".repeat(900)});
    let begin = Instant::now();
    for batch in 0..16 {
        let mut commit = Commit::default();
        for number in batch * 64..(batch * 64 + 64).min(1_000) {
            for kind in ["gateways", "gateway-states", "gateway-sightings"] {
                let name = format!("gateway-{number}");
                commit.puts.push(Put {
                    kind: kind.into(),
                    name: name.clone(),
                    body: body.clone(),
                    expect: Expect::Any,
                });
                commit.events.push(event(number, "archive", &["gateways:x"], Some(body.clone())));
            }
        }
        store.commit(commit).await.unwrap();
    }
    let first = begin.elapsed();
    let _ = writeln!(report, "1,000 gateways (3,000 records, 3,000 events) in 16 commits: {first:?}");
    let begin = Instant::now();
    // The last of them in the order of names.
    real.namespace.until(RECORDS, "gateways.gateway-999", "to be folded", |_| true).await;
    real.namespace.until(RECORDS, "gateway-states.gateway-999", "to be folded", |_| true).await;
    let _ = writeln!(report, "folded after another {:?}", begin.elapsed());

    let mut times = Vec::new();
    for number in 0..300 {
        let begin = Instant::now();
        store.commit(weights(number)).await.unwrap();
        times.push(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    times.sort_unstable();
    let (best, median, p95, most) = (times[30], times[150], times[285], times[299]);
    let _ = writeln!(
        report,
        "a change of weights: 10 % {best:?}, median {median:?}, 95 % {p95:?}, most {most:?}"
    );

    let begin = Instant::now();
    let fresh = ClusterStore::open(&real.cluster, settings).await.unwrap();
    let load = begin.elapsed();
    let loaded = fresh.load().await.unwrap();
    assert_eq!((loaded.records.len(), loaded.revision), (3_000, 316));
    let _ = writeln!(report, "3,000 records and 3,300 events read in {load:?}");
    let _ = write!(std::io::stderr(), "{report}");
    // On a busy machine, with a slow disk, the best tenth counts.
    assert!(best < Duration::from_millis(200) && load < Duration::from_secs(40), "{report}");
    assert!(first < Duration::from_secs(60), "{report}");
}
