//! The handle that everybody else holds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use model::event::{Event, EventQuery, NewEvent};
use model::instance::Observation;
use model::name::GatewayName;
use routing::config::RoutingConfig;
use store::{Aggregation, EventPage, Page, Store, StoreError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::acks::{Acks, NotApplied, Receipt};
use super::clock::Clock;
use super::core::Core;
use super::records;
use super::ring::{self, Ring};
use super::task::{Message, Task};
use crate::request::{Accepted, Refusal, RefusalKind, Request};
use crate::settings::Settings;
use crate::view::View;

/// Events that a slow subscriber may lag behind before it loses some.
const EVENT_BACKLOG: usize = 4096;

/// Requests that may wait; more of them wait outside.
const QUEUE: usize = 256;

/// The control plane of one environment. Clones are handles to the same one; it ends with the last of them.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Message>,
}

/// What the engine and its readers share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) view: ArcSwap<View>,
    pub(crate) published: watch::Sender<Arc<RoutingConfig>>,
    pub(crate) events: broadcast::Sender<Arc<Event>>,
    pub(crate) acks: Acks,
    pub(crate) ring: Mutex<Ring>,
    /// Whether the task that makes all changes has failed; none while it runs.
    failed: watch::Sender<Option<bool>>,
    /// True once nothing more is to be changed.
    pub(crate) stopping: watch::Sender<bool>,
    /// Changes after every change of the proxies in the view.
    pub(crate) proxies: watch::Sender<()>,
}

/// Why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// A record makes no sense. It was not touched.
    #[error("the stored record '{kind}/{name}' cannot be read: {reason}")]
    Record {
        /// Kind of the record.
        kind: String,
        /// Name of the record.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Control {
    /// Loads everything, publishes the configuration that was last in force, and starts to follow the platform.
    ///
    /// # Errors
    /// The store cannot be read, or holds something that this version does not understand.
    pub async fn start(
        settings: Settings,
        store: Arc<dyn Store>,
        observation: watch::Receiver<Arc<Observation>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Control, StartError> {
        let state = records::load(&store.load().await?)?;
        let core = Core::new(settings.rules(), state);
        let shared = Arc::new(Shared {
            store,
            clock,
            view: ArcSwap::default(),
            published: watch::Sender::default(),
            events: broadcast::Sender::new(EVENT_BACKLOG),
            acks: Acks::new(),
            ring: Mutex::new(Ring::new()),
            failed: watch::Sender::default(),
            stopping: watch::Sender::default(),
            proxies: watch::Sender::new(()),
        });
        let (requests, queue) = mpsc::channel(QUEUE);
        // Publishes what was last in force before it returns.
        let task = Task::new(shared.clone(), settings, core, queue, observation);
        let running = tokio::spawn(task.run());
        let ended = Arc::clone(&shared);
        tokio::spawn(async move {
            let failed = running.await.is_err_and(|error| error.is_panic());
            ended.failed.send_replace(Some(failed));
        });
        Ok(Self { shared, requests })
    }

    /// Everything that can be read, at one moment. Cheap.
    pub fn view(&self) -> Arc<View> {
        self.shared.view.load_full()
    }

    /// Makes a change: all of it, kept for good, or nothing. It is in [`Control::view`] and on its way to the proxies when this
    /// returns. A request whose future is dropped may still be carried out.
    ///
    /// # Errors
    /// Why it was not made.
    pub async fn submit(&self, request: Request) -> Result<Accepted, Refusal> {
        let (answer, result) = oneshot::channel();
        let message = "The control plane of this process has stopped; try again in a moment.";
        let stopped = || Refusal::new(RefusalKind::Unavailable, "stopped", message);
        self.requests.send((request, answer)).await.map_err(|_| stopped())?;
        result.await.map_err(|_| stopped())?
    }

    /// Changes nothing from now on, whoever asks, and follows nothing. Ends when what was under way is done. What was last in
    /// force stays readable.
    pub async fn stop(&self) {
        self.shared.stopping.send_replace(true);
        self.requests.closed().await;
    }

    /// Ends when the control plane does: true when it has failed, so that it can neither go on nor stop in order.
    pub async fn failed(&self) -> bool {
        let mut failed = self.shared.failed.subscribe();
        // The sender is in `self`.
        failed.wait_for(Option::is_some).await.is_ok_and(|failed| *failed == Some(true))
    }

    /// The configuration for proxies: always the newest.
    pub fn published(&self) -> watch::Receiver<Arc<RoutingConfig>> {
        self.shared.published.subscribe()
    }

    /// Says whether all proxies that there are have joined, as far as anybody can tell; so it is at the start. While it is not,
    /// nothing counts as applied: a control plane that takes over from another one does not speak for proxies that have yet to come
    /// over.
    pub fn proxies_known(&self, known: bool) {
        self.shared.acks.known(known);
    }

    /// A proxy takes part from now on, for the first time or again; it has yet to say what it serves.
    pub fn proxy_joined(&self, proxy: &str) {
        self.shared.acks.joined(proxy);
        self.shared.show_proxies();
    }

    /// A proxy has not been heard of for too long: nobody waits for it any more, but as it may go on serving what it has, it stays
    /// in the [`View`] until it joins again or has left.
    pub fn proxy_lost(&self, proxy: &str) {
        self.shared.acks.lost(proxy);
        self.shared.show_proxies();
    }

    /// A proxy is gone; nobody waits for it any more.
    pub fn proxy_left(&self, proxy: &str) {
        self.shared.acks.left(proxy);
        self.shared.show_proxies();
    }

    /// A proxy serves `revision`, except for what `problems` say, for example that the port of a gateway is taken.
    pub fn acknowledge(&self, proxy: &str, revision: u64, problems: Vec<(GatewayName, String)>) {
        self.shared.acks.acknowledge(proxy, revision, problems);
        self.shared.show_proxies();
    }

    /// Ends when every proxy serves `revision` or a later one, and all are known.
    ///
    /// # Errors
    /// After `timeout`: the proxies that do not.
    pub async fn applied(&self, revision: u64, timeout: Duration) -> Result<Receipt, NotApplied> {
        self.shared.acks.applied(revision, timeout).await
    }

    /// Changes with every proxy that comes, goes, or serves another revision: [`View::proxies`] is different then.
    pub fn acknowledged(&self) -> watch::Receiver<()> {
        self.shared.proxies.subscribe()
    }

    /// How the proxies took a revision; `None` when it is not among the last 1000 published ones.
    pub fn receipt(&self, revision: u64) -> Option<Receipt> {
        self.shared.acks.receipt(revision)
    }

    /// Events from now on, after they are stored. A reader that is too slow loses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.shared.events.subscribe()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// Publishes events that are not stored: metrics and health. They live for an hour.
    pub async fn publish_transient(&self, events: Vec<NewEvent>) {
        let now = self.shared.clock.now();
        let published = self.shared.ring().publish(events, now);
        for event in published {
            // Without subscribers there is nobody to tell.
            let _ = self.shared.events.send(event);
        }
    }

    /// One page of the events that match, stored and transient ones together, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn query_events(&self, query: EventQuery, page: Page) -> Result<EventPage, StoreError> {
        let ours = self.shared.ring().matching(&query);
        ring::merged_page(self.shared.store.as_ref(), query, page, ours).await
    }

    /// One number over all events that match, stored and transient ones together.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn aggregate(
        &self,
        query: EventQuery,
        aggregation: Aggregation,
    ) -> Result<Option<f64>, StoreError> {
        let ours = self.shared.ring().numbers(&query);
        let store = &self.shared.store;
        let sum = match aggregation {
            Aggregation::Average if !ours.0.is_empty() => {
                store.aggregate(query.clone(), Aggregation::Sum).await?
            }
            _ => None,
        };
        let stored = store.aggregate(query, aggregation).await?;
        Ok(ring::join(aggregation, stored, sum, ours))
    }

    /// The events after the one with this id, stored and transient ones together, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn events_after(&self, id: &str, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        let ours = self.shared.ring().after(id, limit);
        let stored = self.shared.store.events_after(id, limit).await?;
        let mut events: Vec<_> = stored.into_iter().map(Arc::new).chain(ours).collect();
        events.sort_by(|a, b| a.id.cmp(&b.id));
        events.truncate(limit);
        Ok(events)
    }
}

impl Shared {
    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        // Nothing panics half-way through a change of the ring.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show_proxies(&self) {
        self.view.rcu(|view| {
            let proxies = Arc::new(self.acks.statuses());
            View { proxies, ..View::clone(view) }
        });
        self.proxies.send_replace(());
    }
}
