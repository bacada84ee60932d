//! The last requests of gateways that somebody is looking at, to try a condition on.
//!
//! What leaves this module is of each request its method, its path and whether the condition holds: heads hold what is private.
//!
//! Nothing is kept while nobody looks: a request then reads one number. Heads stay in memory, a few for each gateway, and are
//! forgotten soon after the last look.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::condition::Condition;
use model::name::GatewayName;
use routing::config::GatewayConfig;
use routing::request::RequestHead;
use routing::trial::Trial;

/// Requests kept for each gateway: enough to see a share, few enough to look at.
const REQUESTS: usize = 50;
/// Gateways looked at at once; a further one takes the place of the one looked at longest ago.
const GATEWAYS: usize = 16;
/// Pause between two that are kept: at high rates a few of each second say as much, and cost next to nothing.
const PAUSE: Duration = Duration::from_millis(50);
/// How long requests are kept after somebody looked.
const LINGER: Duration = Duration::from_secs(60);
/// Bytes of a path that are told.
const PATH_BYTES: usize = 256;

/// One of the last requests, with a condition tried on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriedRequest {
    /// Method.
    pub method: String,
    /// Path without the query, its first 256 bytes.
    pub path: String,
    /// True when the condition holds.
    pub matches: bool,
    /// How long ago it came.
    pub age: Duration,
}

/// The head of a request, as a decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecentRequest {
    /// Method.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Host, possibly with a port.
    pub(crate) host: String,
    /// Header fields in order.
    pub(crate) fields: Vec<(String, String)>,
    /// Address of the client.
    pub(crate) source: IpAddr,
    /// True on TLS.
    pub(crate) tls: bool,
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
    requests: VecDeque<(Instant, Arc<RecentRequest>)>,
}

impl Recent {
    /// Tries a condition on the last requests of a gateway, at most `most` of them, newest first.
    pub(crate) fn try_condition(
        &self,
        gateway: &GatewayConfig,
        condition: &Condition,
        most: usize,
        now: Instant,
    ) -> Option<Vec<TriedRequest>> {
        let trial = Trial::of(gateway, condition.clone())?;
        let port = gateway.port.unwrap_or_default();
        let recent = self.look(&gateway.name, now);
        let tried = recent.iter().rev().take(most).map(|(came, request)| TriedRequest {
            method: request.method.clone(),
            path: request.path().to_owned(),
            matches: trial.holds(&request.head(port)),
            age: now.saturating_duration_since(*came),
        });
        Some(tried.collect())
    }

    /// The last requests of a gateway and when they came, oldest first; from now on they are kept.
    fn look(&self, gateway: &GatewayName, now: Instant) -> Vec<(Instant, Arc<RecentRequest>)> {
        let mut gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        gateways.retain(|_, kept| now.duration_since(kept.looked) < LINGER);
        if gateways.len() >= GATEWAYS
            && !gateways.contains_key(gateway)
            && let Some(oldest) =
                gateways.iter().min_by_key(|(_, kept)| kept.looked).map(|(name, _)| name.clone())
        {
            gateways.remove(&oldest);
        }
        let fresh = || Kept { looked: now, requests: VecDeque::with_capacity(REQUESTS) };
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
        if kept.requests.back().is_some_and(|(last, _)| now.duration_since(*last) < PAUSE) {
            return;
        }
        if kept.requests.len() == REQUESTS {
            kept.requests.pop_front();
        }
        kept.requests.push_back((now, Arc::new(head())));
    }
}

impl RecentRequest {
    fn path(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default();
        &path[..path.floor_char_boundary(PATH_BYTES)]
    }

    fn head(&self, port: u16) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            target: &self.target,
            host: &self.host,
            fields: &self.fields,
            source: self.source,
            port,
            tls: self.tls,
        }
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
            tls: false,
        }
    }

    fn config() -> GatewayConfig {
        GatewayConfig {
            name: GatewayName::parse("shop").unwrap(),
            lookup: String::new(),
            port: None,
            protocol: model::port::Protocol::Http,
            hosts: Vec::new(),
            sticky: None,
            sticky_generation: 0,
            tls: None,
            target_tls: None,
            target_care: None,
            proxy_protocol: false,
            routes: Vec::new(),
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
        let targets: Vec<String> =
            recent.look(&shop, at(100)).iter().map(|(_, r)| r.target.clone()).collect();
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
        assert_eq!((kept.len(), kept[0].1.target.as_str()), (REQUESTS, "/150"));
    }

    #[test]
    fn a_condition_is_tried_on_heads_that_stay_here() {
        let (recent, start) = (Recent::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let shop = config();
        let ask = |condition: &str, most: usize| {
            recent.try_condition(&shop, &Condition::parse(condition).unwrap(), most, at(1000)).unwrap()
        };
        assert_eq!(ask("has header x", 50), []);
        for (ms, target, agent) in [(100, "/1?token=secret", "Firefox/1"), (400, "/2", "curl")] {
            let fields = vec![("user-agent".to_owned(), agent.to_owned())];
            recent.keep(&shop.name, at(ms), || RecentRequest { fields, ..request(target) });
        }
        let tried = |path: &str, matches: bool, ms: u64| TriedRequest {
            method: "GET".into(),
            path: path.into(),
            matches,
            age: Duration::from_millis(ms),
        };
        assert_eq!(ask("User-Agent == Firefox", 50), [tried("/2", false, 600), tried("/1", true, 900)]);
        assert_eq!(ask("< path_beg / >", 1), [tried("/2", true, 600)]);
        let long = format!("/{}ä?x", "a".repeat(254));
        recent.keep(&shop.name, at(500), || request(&long));
        assert_eq!(ask("has header x", 1)[0].path, long[..255], "not in the middle of a character");
    }
}
