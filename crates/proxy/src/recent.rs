//! The last requests of gateways that somebody is looking at, to try a condition on.
//!
//! Nothing is kept while nobody looks: a request then reads one number. Heads stay in memory, a few for each gateway, and are
//! forgotten soon after the last look.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::name::GatewayName;

/// Requests kept for each gateway: enough to see a share, few enough to look at.
const REQUESTS: usize = 50;
/// Gateways looked at at once; a further one takes the place of the one looked at longest ago.
const GATEWAYS: usize = 16;
/// Pause between two that are kept: at high rates a few of each second say as much, and cost next to nothing.
const PAUSE: Duration = Duration::from_millis(50);
/// How long requests are kept after somebody looked.
const LINGER: Duration = Duration::from_secs(60);

/// The head of a request, as a decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentRequest {
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Host, possibly with a port.
    pub host: String,
    /// Header fields in order.
    pub fields: Vec<(String, String)>,
    /// Address of the client.
    pub source: IpAddr,
}

/// Shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// True while some gateway is looked at.
    looking: AtomicBool,
    gateways: Mutex<HashMap<GatewayName, Kept>>,
}

#[derive(Debug)]
struct Kept {
    looked: Instant,
    last: Option<Instant>,
    requests: VecDeque<Arc<RecentRequest>>,
}

impl Recent {
    /// The last requests of a gateway, oldest first; from now on they are kept.
    pub(crate) fn look(&self, gateway: &GatewayName, now: Instant) -> Vec<Arc<RecentRequest>> {
        let mut gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        gateways.retain(|_, kept| now.duration_since(kept.looked) < LINGER);
        if gateways.len() >= GATEWAYS
            && !gateways.contains_key(gateway)
            && let Some(oldest) =
                gateways.iter().min_by_key(|(_, kept)| kept.looked).map(|(name, _)| name.clone())
        {
            gateways.remove(&oldest);
        }
        let fresh = || Kept { looked: now, last: None, requests: VecDeque::with_capacity(REQUESTS) };
        let kept = gateways.entry(gateway.clone()).or_insert_with(fresh);
        kept.looked = now;
        self.looking.store(true, Ordering::Relaxed);
        kept.requests.iter().cloned().collect()
    }

    /// Offers a request; `head` is only asked for when it is kept.
    pub(crate) fn offer(&self, gateway: &GatewayName, head: impl FnOnce() -> RecentRequest) {
        if self.looking.load(Ordering::Relaxed) {
            self.keep(gateway, Instant::now(), head);
        }
    }

    #[cold]
    fn keep(&self, gateway: &GatewayName, now: Instant, head: impl FnOnce() -> RecentRequest) {
        // Another worker is at it: the next request does as well.
        let Ok(mut gateways) = self.gateways.try_lock() else { return };
        gateways.retain(|_, kept| now.duration_since(kept.looked) < LINGER);
        if gateways.is_empty() {
            self.looking.store(false, Ordering::Relaxed);
            return;
        }
        let Some(kept) = gateways.get_mut(gateway) else { return };
        if kept.last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            return;
        }
        kept.last = Some(now);
        if kept.requests.len() == REQUESTS {
            kept.requests.pop_front();
        }
        kept.requests.push_back(Arc::new(head()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> RecentRequest {
        RecentRequest {
            method: "GET".into(),
            target: target.into(),
            host: "a".into(),
            fields: Vec::new(),
            source: IpAddr::from([127, 0, 0, 1]),
        }
    }

    #[test]
    fn requests_are_kept_while_somebody_looks_and_forgotten_after() {
        let (recent, start) = (Recent::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let (shop, other) = (GatewayName::parse("shop").unwrap(), GatewayName::parse("other").unwrap());
        recent.offer(&shop, || panic!("nobody looks"));
        assert!(recent.look(&shop, at(0)).is_empty());
        recent.keep(&shop, at(1), || request("/1"));
        recent.keep(&shop, at(2), || panic!("too soon after the last"));
        recent.keep(&other, at(60), || panic!("nobody looks at this one"));
        recent.keep(&shop, at(60), || request("/2"));
        let targets: Vec<String> = recent.look(&shop, at(100)).iter().map(|r| r.target.clone()).collect();
        assert_eq!(targets, ["/1", "/2"]);
        recent.keep(&shop, at(100) + LINGER, || panic!("nobody looked for long"));
        assert!(!recent.looking.load(Ordering::Relaxed));
        assert!(recent.look(&shop, at(200) + LINGER).is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (recent, start) = (Recent::default(), Instant::now());
        for i in 0..100_u64 {
            let gateway = GatewayName::parse(&format!("g-{i}")).unwrap();
            let now = start + Duration::from_millis(i);
            recent.look(&gateway, now);
        }
        assert_eq!(recent.gateways.lock().unwrap().len(), GATEWAYS);
        let last = GatewayName::parse("g-99").unwrap();
        for i in 0..200_u64 {
            recent.keep(&last, start + Duration::from_millis(100 + i * 60), || request(&format!("/{i}")));
        }
        let kept = recent.look(&last, start + Duration::from_millis(12_200));
        assert_eq!((kept.len(), kept[0].target.as_str()), (REQUESTS, "/150"));
    }
}
