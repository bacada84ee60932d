//! Follows one kind of object: a list, then a watch from there on, for ever.
//!
//! ```text
//!        +-----> list, page by page ----> Complete(all)
//!        |             |
//!   gone, resync       v            closed: the server ends every watch after a while
//!        |       +--> watch --------------+
//!        |       |     | events           |
//!        +-------|-----+--> Set, Remove   |
//!                +------------------------+
//! ```
//!
//! What cannot be done is reported as a problem and tried again with growing pauses. Nothing that is known is forgotten
//! meanwhile: only a complete list and events of a watch change what is known.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use kube::Client;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::explain::{Attempt, explain, status};
use crate::object::Object;

/// Objects in one page of a list.
const PAGE: u32 = 500;
/// How long the API server may take for a page, or until a watch begins.
const PATIENCE: Duration = Duration::from_secs(60);
/// The API server is asked to end a watch after this time, so that a connection that died silently is noticed.
const WATCH: Duration = Duration::from_secs(120);
/// How much longer than [`WATCH`] a watch may say nothing.
const WATCH_GRACE: Duration = Duration::from_secs(10);
/// First pause after a failure, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Failures that a pause is counted by when nothing is seen: some 3 s. Until then pods come and go unseen, and those that are gone
/// are still asked.
const BLIND: u32 = 4;
/// A watch that ends sooner counts as a failure when it comes to pauses.
const SHORT: Duration = Duration::from_secs(1);

/// After so many failures in a row a watch begins anew with a list.
const RELIST: u32 = 3;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// News about one kind.
#[derive(Debug)]
pub(crate) enum Update<R> {
    /// Everything that there is.
    Complete(BTreeMap<Key, R>),
    /// An object is new or different.
    Set(Key, R),
    /// An object is gone.
    Remove(Key),
    /// It cannot be followed at the moment.
    Problem(String),
    /// A watch stands: it can again.
    Fine,
}

/// Follows objects of kind `O`, each kept as what `row` makes of it.
pub(crate) struct Follower<O, R> {
    pub(crate) client: Client,
    /// `None`: all namespaces, while that is allowed.
    pub(crate) namespace: Option<String>,
    /// Where to look when not all namespaces may be read.
    pub(crate) fallback: String,
    /// How often everything is read anew, whatever the watch says.
    pub(crate) resync: Duration,
    pub(crate) row: fn(O) -> R,
    pub(crate) updates: mpsc::Sender<Update<R>>,
    pub(crate) failures: u32,
    pub(crate) problem: Option<String>,
}

/// How a watch ended.
enum End {
    /// In good order; it goes on where it ended.
    Closed,
    /// The API server no longer knows that place: everything is to be read anew.
    Gone,
    /// It is time to read everything anew.
    Resync,
    Failed(kube::Error),
    /// Nobody wants to know any more.
    Unwanted,
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(bound(deserialize = "O: Deserialize<'de>"))]
struct List<O> {
    metadata: ListMetadata,
    #[serde(default = "Option::default")]
    items: Option<Vec<O>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    next: Option<String>,
}

impl<O: Object, R: Send + 'static> Follower<O, R> {
    /// Runs until nobody receives the updates.
    pub(crate) async fn run(mut self) {
        while !self.updates.is_closed() {
            match self.list().await {
                Ok((objects, version)) => {
                    debug!(resource = O::RESOURCE, objects = objects.len(), version, "listed");
                    if self.updates.send(Update::Complete(objects)).await.is_err() {
                        return;
                    }
                    self.watch_from(version).await;
                }
                Err(error) if status(&error) == Some(403) && self.namespace.is_none() && O::NAMESPACED => {
                    info!(
                        "{}; only namespace '{}' is looked at",
                        explain(&error, self.attempt("list")),
                        self.fallback
                    );
                    self.namespace = Some(self.fallback.clone());
                }
                Err(error) => self.failed(&error, "list").await,
            }
        }
    }

    /// Watches until everything is to be read anew.
    async fn watch_from(&mut self, mut version: String) {
        let resync = Instant::now() + self.resync;
        loop {
            let begin = Instant::now();
            match self.watch(&mut version, resync).await {
                End::Closed if begin.elapsed() >= SHORT => self.failures = 0,
                End::Closed => self.pause().await,
                End::Failed(error) => {
                    self.failed(&error, "watch").await;
                    // The place to go on from may be what is wrong, for example after a restore of the cluster.
                    if self.failures >= RELIST || Instant::now() >= resync {
                        return;
                    }
                }
                End::Gone => {
                    debug!(resource = O::RESOURCE, version, "the watch is too old");
                    return self.pause().await;
                }
                End::Resync | End::Unwanted => return,
            }
        }
    }

    async fn list(&self) -> Result<(BTreeMap<Key, R>, String), kube::Error> {
        let mut objects = BTreeMap::new();
        let mut next = None;
        loop {
            let parameters = ListParams {
                limit: Some(PAGE),
                continue_token: next,
                field_selector: O::FIELD_SELECTOR.map(str::to_owned),
                label_selector: O::LABEL_SELECTOR.map(str::to_owned),
                ..ListParams::default()
            };
            let request = self.path().list(&parameters).map_err(kube::Error::BuildRequest)?;
            let page: List<O> = in_time(self.client.request(request)).await?;
            for object in page.items.into_iter().flatten() {
                objects.insert(key(&object), (self.row)(object));
            }
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(token) => next = Some(token),
                None => return Ok((objects, page.metadata.resource_version)),
            }
        }
    }

    async fn watch(&mut self, version: &mut String, resync: Instant) -> End {
        let parameters = WatchParams {
            timeout: u32::try_from(WATCH.as_secs()).ok(),
            bookmarks: true,
            field_selector: O::FIELD_SELECTOR.map(str::to_owned),
            label_selector: O::LABEL_SELECTOR.map(str::to_owned),
            ..WatchParams::default()
        };
        let request = match self.path().watch(&parameters, version) {
            Ok(request) => request,
            Err(error) => return End::Failed(kube::Error::BuildRequest(error)),
        };
        let events = match in_time(self.client.request_events::<O>(request)).await {
            Ok(events) => events,
            Err(error) => return ended(error),
        };
        if self.problem.take().is_some() {
            info!(resource = O::RESOURCE, "the API server can be followed again");
            if self.updates.send(Update::Fine).await.is_err() {
                return End::Unwanted;
            }
        }
        let mut events = std::pin::pin!(events);
        let silent = Instant::now() + WATCH + WATCH_GRACE;
        loop {
            let event = match timeout_at(resync.min(silent), events.try_next()).await {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return End::Closed,
                Ok(Err(error)) => return ended(error),
                Err(_) if Instant::now() >= resync => return End::Resync,
                Err(_) => return End::Closed,
            };
            let update = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    version.clone_from(&object.metadata().resource_version);
                    Update::Set(key(&object), (self.row)(object))
                }
                WatchEvent::Deleted(object) => {
                    version.clone_from(&object.metadata().resource_version);
                    Update::Remove(key(&object))
                }
                WatchEvent::Bookmark(bookmark) => {
                    *version = bookmark.metadata.resource_version;
                    self.failures = 0;
                    continue;
                }
                WatchEvent::Error(status) => return ended(kube::Error::Api(status)),
            };
            self.failures = 0;
            if self.updates.send(update).await.is_err() {
                return End::Unwanted;
            }
        }
    }

    fn path(&self) -> Request {
        Request::new(match &self.namespace {
            Some(namespace) => format!("{}/namespaces/{namespace}/{}", O::API, O::RESOURCE),
            None => format!("{}/{}", O::API, O::RESOURCE),
        })
    }

    fn attempt<'a>(&'a self, verb: &'a str) -> Attempt<'a> {
        Attempt { verb, resource: O::RESOURCE, namespace: self.namespace.as_deref() }
    }

    /// Reports a failure and waits. It is logged once for each message; an API server that does not answer fails in many ways, and is
    /// logged once.
    async fn failed(&mut self, error: &kube::Error, verb: &str) {
        let unknown = O::UNKNOWN.filter(|_| status(error) == Some(404));
        let message = unknown.map_or_else(|| explain(error, self.attempt(verb)), str::to_owned);
        let silent = status(error).is_none() && self.problem.is_some();
        if self.problem.as_ref() != Some(&message) {
            if silent {
                debug!("{message}");
            } else {
                warn!("{message}");
            }
            self.problem = Some(message.clone());
        }
        // Told each time: a problem of the list may have taken the place of one of the watch.
        if self.updates.send(Update::Problem(message)).await.is_ok() {
            self.pause().await;
        }
    }

    async fn pause(&mut self) {
        let pause = pause(self.failures.min(BLIND));
        self.failures = self.failures.saturating_add(1);
        tokio::select! {
            () = sleep(pause) => {}
            () = self.updates.closed() => {}
        }
    }
}

/// Doubled with each failure and spread, so that many who lost the same server do not come back all at once.
pub(crate) fn pause(failures: u32) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let longest = (FIRST_PAUSE * 2_u32.pow(failures.min(10))).min(LONGEST_PAUSE);
    let spread = u32::try_from(RandomState::new().hash_one(failures) % 256).unwrap_or_default();
    longest / 2 + longest * spread / 512
}

async fn in_time<T>(answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match timeout(PATIENCE, answer).await {
        Ok(result) => result,
        Err(_) => Err(kube::Error::Service("the API server takes longer than a minute".into())),
    }
}

fn ended(error: kube::Error) -> End {
    if status(&error) == Some(410) { End::Gone } else { End::Failed(error) }
}

fn key<O: Object>(object: &O) -> Key {
    let metadata = object.metadata();
    (metadata.namespace.clone(), metadata.name.clone())
}
