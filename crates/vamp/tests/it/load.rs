//! A steady load that looks at every response.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::harness::eventually;

/// Clients that send one request after the other at a given pace.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<BTreeMap<String, usize>>>,
}

impl Load {
    /// Begins with `rate` requests a second.
    pub(crate) fn start(url: &str, rate: u32) -> Self {
        const CLIENTS: u32 = 10;
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..CLIENTS).map(|_| {
            let (url, stop, answered) = (url.to_owned(), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let http = reqwest::Client::builder().no_proxy().build().expect("a client");
                let mut pace = interval(Duration::from_secs(1) * CLIENTS / rate);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut outcomes = BTreeMap::new();
                while !stop.load(Ordering::Acquire) {
                    pace.tick().await;
                    *outcomes.entry(outcome(&http, &url).await).or_default() += 1;
                    answered.fetch_add(1, Ordering::AcqRel);
                }
                outcomes
            })
        });
        Self { clients: clients.collect(), stop, answered }
    }

    /// Ends after so many requests, and tells how often each outcome came: `200` for a good response of a target, else all that
    /// is known.
    pub(crate) async fn finish(self, at_least: usize) -> BTreeMap<String, usize> {
        eventually("enough requests", || async {
            (self.answered.load(Ordering::Acquire) >= at_least).then_some(())
        })
        .await;
        self.stop.store(true, Ordering::Release);
        let mut all = BTreeMap::new();
        for client in self.clients {
            for (outcome, count) in client.await.expect("a client that ends") {
                *all.entry(outcome).or_default() += count;
            }
        }
        all
    }
}

async fn outcome(http: &reqwest::Client, url: &str) -> String {
    let response = match http.get(url).send().await {
        Ok(response) => response,
        Err(error) => return format!("no response: {error:?}"),
    };
    let status = response.status().as_u16();
    let made_by_the_proxy = response.headers().get("vamp-proxy-error").cloned();
    match (response.bytes().await, made_by_the_proxy) {
        (Err(error), _) => format!("{status}, cut: {error:?}"),
        (Ok(_), Some(reason)) => format!("{status}, made by the proxy: {reason:?}"),
        (Ok(_), None) => status.to_string(),
    }
}
