//! The task and its handle: what is waited for, what survives failures of the store, and who is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use model::event::{Event, EventQuery, NewEvent};
use model::instance::{Instance, Observation};
use store::{
    Aggregation, Commit, Committed, EventPage, Expect, Loaded, MemoryStore, Page, Pruned, Put, Retention,
    Store, StoreError,
};
use tokio::sync::watch;

use super::world::{SHOP, document, name, pod};
use crate::{Change, Control, ManualClock, Mode, Outcome, Refusal, RefusalKind, Request, Settings};

/// A store that fails when told to, and counts.
#[derive(Default)]
struct Moody {
    inner: MemoryStore,
    fails: AtomicBool,
    /// Commits are kept, and nobody is told.
    mumbles: AtomicBool,
    commits: AtomicUsize,
    attempts: AtomicUsize,
}

impl Store for Moody {
    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        self.inner.load()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, StoreError>> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StoreError::Full("no space left on device".into())) });
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        let kept = self.inner.commit(commit);
        if self.mumbles.load(Ordering::SeqCst) {
            return Box::pin(async move {
                kept.await?;
                Err(StoreError::InDoubt("it is not known whether the change was kept".into()))
            });
        }
        kept
    }

    fn events(&self, query: EventQuery, page: Page) -> BoxFuture<'_, Result<EventPage, StoreError>> {
        self.inner.events(query, page)
    }

    fn aggregate(
        &self,
        query: EventQuery,
        aggregation: Aggregation,
    ) -> BoxFuture<'_, Result<Option<f64>, StoreError>> {
        self.inner.aggregate(query, aggregation)
    }

    fn events_after<'a>(
        &'a self,
        id: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, StoreError>> {
        self.inner.events_after(id, limit)
    }

    fn prune(&self, keep: Retention, now: Timestamp) -> BoxFuture<'_, Result<Pruned, StoreError>> {
        self.inner.prune(keep, now)
    }
}

struct Running {
    control: Control,
    store: Arc<Moody>,
    clock: ManualClock,
    platform: watch::Sender<Arc<Observation>>,
}

fn seen(instances: Vec<Instance>) -> Arc<Observation> {
    Arc::new(Observation {
        instances: Arc::new(instances.into_iter().map(Arc::new).collect()),
        problem: None,
        complete: true,
    })
}

fn version(version: &str, number: u8) -> Instance {
    pod(&format!("shop-{version}"), &format!("app=shop,version={version}"), [10, 0, 0, number], &[8080])
}

async fn start(store: Arc<Moody>, instances: Vec<Instance>) -> Running {
    let clock = ManualClock::new("2026-03-01T10:00:00Z".parse().unwrap());
    let platform = watch::Sender::new(seen(instances));
    let observation = platform.subscribe();
    let settings = Settings::new("default");
    let control =
        Control::start(settings, store.clone(), observation, Arc::new(clock.clone())).await.unwrap();
    Running { control, store, clock, platform }
}

impl Running {
    async fn put(&self, yaml: &str) -> Result<u64, Refusal> {
        let change = Change::Gateway { document: document(yaml), mode: Mode::Put };
        self.control.submit(Request::new(change, "ann")).await.map(|accepted| accepted.revision)
    }

    fn routes(&self) -> String {
        let view = self.control.view();
        let Some(entry) = view.gateways.get(&name("shop")) else { return "none".into() };
        let routes = entry.view.routes.iter().map(|(path, route)| format!("{path} {}", route.weight));
        routes.collect::<Vec<_>>().join(" | ")
    }

    /// Waits until what is published satisfies the condition; every change of the view is published in these tests.
    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let mut published = self.control.published();
        let wait = async {
            while !condition(self) {
                tokio::select! {
                    changed = published.changed() => changed.unwrap(),
                    // Not everything that readers see is sent to proxies.
                    () = tokio::time::sleep(Duration::from_millis(2)) => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .unwrap_or_else(|_| panic!("{what}: {}", self.routes()));
    }
}

#[tokio::test]
async fn an_answered_change_is_in_the_view_and_on_its_way_to_the_proxies() {
    let running = start(Arc::default(), vec![version("1", 1)]).await;
    assert!(running.control.view().started);
    let mut events = running.control.subscribe();
    let revision = running.put(SHOP).await.unwrap();
    assert_eq!(running.control.view().revision, revision);
    let published = running.control.published().borrow().clone();
    assert_eq!(published.revision, revision);
    assert_eq!(published.gateways[&name("shop")].routes[0].targets.len(), 1);
    let tags: Vec<_> = (0..4)
        .map(|_| {
            events
                .try_recv()
                .unwrap()
                .tags
                .iter()
                .find(|t| t.contains(':') && !t.starts_with("gateways"))
                .cloned()
        })
        .collect();
    assert_eq!(tags[0].as_deref(), Some("archive:update"));
    let stored = running.control.query_events(EventQuery::default(), Page::new(1, 30)).await.unwrap();
    assert_eq!(stored.total, 4);
    assert!(stored.events.iter().all(|event| event.revision == Some(revision)));
}

#[tokio::test]
async fn the_last_configuration_is_published_before_the_platform_is_read() {
    let store = Arc::<Moody>::default();
    {
        let running = start(store.clone(), vec![version("1", 1)]).await;
        running.put(SHOP).await.unwrap();
    }
    let settings = Settings::new("default");
    let silent = watch::Sender::new(Arc::new(Observation {
        problem: Some("connection refused".into()),
        ..Observation::default()
    }));
    let clock = ManualClock::new("2026-03-01T11:00:00Z".parse().unwrap());
    let control = Control::start(settings, store, silent.subscribe(), Arc::new(clock.clone())).await.unwrap();
    let published = control.published().borrow().clone();
    assert_eq!(published.gateways[&name("shop")].routes[0].targets.len(), 1, "the last good table");
    // Edits are possible, and take nothing away.
    let change = Change::Gateway { document: document(&format!("{SHOP}sticky: route")), mode: Mode::Put };
    let accepted = control.submit(Request::new(change, "ann")).await.unwrap();
    let Outcome::Gateway(view, _) = &accepted.results[0] else { panic!("a gateway") };
    assert_eq!(view.routes[0].1.targets.len(), 1);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(control.published().borrow().gateways[&name("shop")].routes[0].targets.len(), 1);
}

#[tokio::test]
async fn observations_and_timers_become_changes() {
    let running = start(Arc::default(), vec![version("1", 1)]).await;
    running.put(SHOP).await.unwrap();
    running.platform.send_replace(seen(vec![version("1", 1), version("2", 2)]));
    running.until("a second version", |running| running.routes() == "(1) 100% | (2) 0%").await;
    running.platform.send_replace(seen(vec![version("2", 2)]));
    running
        .until("an absent route", |running| running.control.view().gateways[&name("shop")].absent[0])
        .await;
    running.clock.advance(Duration::from_secs(30));
    running.until("the end of the retention", |running| running.routes() == "(2) 100%").await;
}

#[tokio::test]
async fn a_burst_of_observations_is_one_change() {
    let running = start(Arc::default(), Vec::new()).await;
    running.put(SHOP).await.unwrap();
    let commits = running.store.commits.load(Ordering::SeqCst);
    // Nothing is awaited in between: the task sees the last of them only.
    for number in 1..=100 {
        running.platform.send_replace(seen((1..=number).map(|n| version(&format!("1.{n}"), n)).collect()));
    }
    running.until("all versions", |running| running.routes().split('|').count() == 100).await;
    assert_eq!(running.store.commits.load(Ordering::SeqCst), commits + 1);
}

#[tokio::test]
async fn a_failing_store_refuses_users_and_automatic_changes_wait() {
    let running = start(Arc::default(), vec![version("1", 1)]).await;
    let revision = running.put(SHOP).await.unwrap();
    running.store.fails.store(true, Ordering::SeqCst);
    let refusal = running.put(&format!("{SHOP}sticky: route")).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.code.as_str()), (RefusalKind::Unavailable, "store"));
    assert!(refusal.message().contains("no space left on device"), "{refusal}");
    // Also when nothing but the user's change waits for the store, it is told, and not for ever.
    let problem = running.control.view().store_problem.clone();
    assert!(problem.is_some_and(|problem| problem.contains("no space left on device")));
    running.clock.advance(Duration::from_secs(61));
    running.until("the refusal to be old", |running| running.control.view().store_problem.is_none()).await;

    running.platform.send_replace(seen(vec![version("1", 1), version("2", 2)]));
    running.until("a problem that is shown", |running| running.control.view().store_problem.is_some()).await;
    assert_eq!((running.routes(), running.control.view().revision), ("(1) 100% | (2) 0%".into(), revision));
    // Traffic follows the platform all the same: the only pod of version 1 is gone, so version 2 gets everything.
    running.platform.send_replace(seen(vec![version("2", 2)]));
    let weights = |running: &Running| {
        let config = running.control.published().borrow().clone();
        config.gateways[&name("shop")].routes.iter().map(|route| route.weight).collect::<Vec<_>>()
    };
    running.until("traffic to who is there", |running| weights(running) == [0, 10_000]).await;

    let attempts = running.store.attempts.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(running.store.attempts.load(Ordering::SeqCst), attempts, "no attempt before its time");
    running.store.fails.store(false, Ordering::SeqCst);
    running.clock.advance(Duration::from_secs(11));
    running.until("the change that waited", |running| running.control.view().revision == revision + 1).await;
    assert_eq!(running.control.view().store_problem, None);
    assert_eq!(running.routes(), "(1) 100% | (2) 0%");
    running.put(&format!("{SHOP}sticky: route")).await.unwrap();
}

/// A store behind a network can lose its answer. What it kept comes to be in force without anybody asking again.
#[tokio::test]
async fn a_change_in_doubt_is_found_out() {
    let running = start(Arc::default(), vec![version("1", 1)]).await;
    running.store.mumbles.store(true, Ordering::SeqCst);
    let refusal = running.put(SHOP).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    assert!(refusal.message().contains("Read it again"), "{}", refusal.message());
    assert_eq!(running.routes(), "none");
    assert!(running.control.view().store_problem.is_some());
    running.store.mumbles.store(false, Ordering::SeqCst);
    running.clock.advance(Duration::from_millis(150));
    running.until("in force", |running| running.routes() == "(1) 100%").await;

    // The same for what nobody asked for: it is not made twice.
    let made = running.store.commits.load(Ordering::SeqCst);
    running.store.mumbles.store(true, Ordering::SeqCst);
    running.platform.send_replace(seen(vec![version("1", 1), version("2", 2)]));
    running.until("tried", |running| running.store.commits.load(Ordering::SeqCst) == made + 1).await;
    running.store.mumbles.store(false, Ordering::SeqCst);
    running.clock.advance(Duration::from_millis(150));
    running.until("in force", |running| running.routes() == "(1) 100% | (2) 0%").await;
    running.clock.advance(Duration::from_secs(61));
    running.until("all is well", |running| running.control.view().store_problem.is_none()).await;
    assert_eq!(running.store.commits.load(Ordering::SeqCst), made + 1);
}

#[tokio::test]
async fn a_change_that_is_no_longer_needed_is_not_tried_again() {
    let running = start(Arc::default(), vec![version("1", 1)]).await;
    running.put(SHOP).await.unwrap();
    running.store.fails.store(true, Ordering::SeqCst);
    running.platform.send_replace(seen(Vec::new()));
    running.until("a problem", |running| running.control.view().store_problem.is_some()).await;
    running.platform.send_replace(seen(vec![version("1", 1)]));
    running
        .until("the target again", |running| {
            running.control.view().gateways[&name("shop")].instances[0].ready == 1
        })
        .await;
    let attempts = running.store.attempts.load(Ordering::SeqCst);
    running.clock.advance(Duration::from_secs(11));
    running.until("no problem", |running| running.control.view().store_problem.is_none()).await;
    assert_eq!(running.store.attempts.load(Ordering::SeqCst), attempts);
}

#[tokio::test]
async fn a_second_writer_is_noticed_and_not_overwritten() {
    let running = start(Arc::default(), vec![version("1", 1)]).await;
    running.put(SHOP).await.unwrap();
    // Another process evicts.
    let loaded = running.store.load().await.unwrap();
    let record = loaded.records.iter().find(|record| record.kind == "gateway-states").unwrap();
    let mut body = record.body.clone();
    body["sticky_generation"] = 7.into();
    let put = Put {
        kind: record.kind.clone(),
        name: record.name.clone(),
        body,
        expect: Expect::Version(record.version),
    };
    running.store.commit(Commit { puts: vec![put], ..Commit::default() }).await.unwrap();
    // Our change is planned anew on top of it.
    let change = Change::Evict { gateway: name("shop") };
    running.control.submit(Request::new(change, "ann")).await.unwrap();
    assert_eq!(running.control.view().gateways[&name("shop")].sticky_generation, 8);
    assert_eq!(running.routes(), "(1) 100%");
    running
        .until("targets", |running| running.control.view().gateways[&name("shop")].instances[0].ready == 1)
        .await;
}

#[tokio::test]
async fn concurrent_creates_get_different_ports() {
    let running = start(Arc::default(), Vec::new()).await;
    let submit = |number: usize| {
        let control = running.control.clone();
        let change = Change::Gateway { document: document(&format!("name: g{number}")), mode: Mode::Create };
        tokio::spawn(async move { control.submit(Request::new(change, "ann")).await.unwrap() })
    };
    let tasks: Vec<_> = (0..50).map(submit).collect();
    let mut ports = Vec::new();
    for task in tasks {
        let accepted = task.await.unwrap();
        let Outcome::Gateway(view, _) = &accepted.results[0] else { panic!("a gateway") };
        ports.push(view.port.number());
    }
    ports.sort_unstable();
    assert_eq!(ports, (40_000..40_050).collect::<Vec<_>>());
}

#[tokio::test]
async fn waiting_for_the_proxies() {
    let running = start(Arc::default(), Vec::new()).await;
    let control = &running.control;
    control.proxy_joined("a");
    control.proxy_joined("b");
    let revision = running.put(SHOP).await.unwrap();
    control.acknowledge("a", revision, vec![(name("shop"), "port 9070 is in use".into())]);
    let late = control.applied(revision, Duration::from_millis(10)).await.unwrap_err();
    assert_eq!(late.missing, ["b"]);
    assert_eq!(control.view().proxies[0].problems[0].1, "port 9070 is in use");
    control.proxy_left("b");
    let receipt = control.applied(revision, Duration::from_secs(5)).await.unwrap();
    assert_eq!((receipt.applied, receipt.total), (1, 1));
    assert!(receipt.ms.is_some());
    assert_eq!(control.receipt(revision).unwrap().applied, 1);
    assert_eq!(control.view().proxies.len(), 1);
}

#[tokio::test]
async fn transient_events_are_found_and_streamed_but_not_stored() {
    let running = start(Arc::default(), Vec::new()).await;
    let mut events = running.control.subscribe();
    let metric = NewEvent {
        tags: ["gateways:shop".to_owned(), "metrics:rate".to_owned()].into(),
        value: Some(12.5.into()),
        timestamp: "2026-03-01T10:00:00Z".parse().unwrap(),
        kind: "metrics".into(),
        actor: None,
        version: None,
    };
    running.control.publish_transient(vec![metric]).await;
    assert_eq!(events.recv().await.unwrap().kind, "metrics");
    running.put(SHOP).await.unwrap();
    let query = EventQuery { tags: ["gateways".to_owned()].into(), ..EventQuery::default() };
    let found = running.control.query_events(query.clone(), Page::new(1, 30)).await.unwrap();
    assert_eq!(found.total, 3);
    assert_eq!(running.store.inner.events(query.clone(), Page::new(1, 30)).await.unwrap().total, 2);
    let query = EventQuery { kind: Some("metrics".into()), ..query };
    assert_eq!(running.control.aggregate(query, Aggregation::Average).await.unwrap(), Some(12.5));
    let after = running.control.events_after("0000000000000000", 10).await.unwrap();
    assert_eq!(after.len(), 3);
}

#[tokio::test]
async fn old_events_are_forgotten() {
    let running = start(Arc::default(), vec![version("1", 1)]).await;
    running.put(SHOP).await.unwrap();
    running.put(&format!("{SHOP}sticky: route")).await.unwrap();
    running.clock.advance(Duration::from_secs(91 * 24 * 3600));
    let forgotten = async {
        while running.store.inner.events(EventQuery::default(), Page::new(1, 1)).await.unwrap().total > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), forgotten).await.unwrap();
    assert_eq!(running.routes(), "(1) 100%");
}

#[tokio::test]
async fn the_task_ends_with_the_last_handle() {
    let running = start(Arc::default(), Vec::new()).await;
    let store = Arc::downgrade(&running.store);
    let other = running.control.clone();
    drop(running);
    assert_eq!(other.view().revision, 0);
    assert!(store.upgrade().is_some());
    drop(other);
    let gone = async {
        while store.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
}

#[tokio::test]
async fn damage_is_refused_at_the_start() {
    let store = Arc::<Moody>::default();
    let put = Put { kind: "gateways".into(), name: "shop".into(), body: 1.into(), expect: Expect::Any };
    store.commit(Commit { puts: vec![put], ..Commit::default() }).await.unwrap();
    let platform = watch::Sender::new(Arc::<Observation>::default());
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let error =
        Control::start(Settings::new("default"), store, platform.subscribe(), clock).await.err().unwrap();
    assert!(error.to_string().contains("'gateways/shop'"), "{error}");
}

#[tokio::test]
async fn after_a_stop_nothing_is_changed_and_everything_can_be_read() {
    let running = start(Arc::default(), vec![version("1", 1)]).await;
    let revision = running.put(SHOP).await.unwrap();
    running.control.stop().await;
    // Neither by somebody, nor by the platform, nor by time.
    let refusal = running.put(SHOP).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.code.as_str()), (RefusalKind::Unavailable, "stopped"));
    running.platform.send_replace(seen(vec![version("1", 1), version("2", 2)]));
    running.clock.advance(Duration::from_secs(3600));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let view = running.control.view();
    assert_eq!((view.revision, view.gateways.len()), (revision, 1));
    assert_eq!(running.store.inner.load().await.unwrap().revision, revision);
    // Again: no harm.
    running.control.stop().await;
}
