//! The shell: sends what memory works out, and finds out what became of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::store::{
    Aggregation, Commit, Committed, EventPage, Loaded, Page, Pruned, Retention, Store, StoreError,
};
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use jiff::Timestamp;
use model::event::{Event, EventQuery};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::fold::{Step, Write};
use super::head;
use super::layout::{About, COMMIT, HEAD, Object};
use super::limits;
use super::memory::{HeadWrite, Memory, Next, Prepared};
use super::requests::{Failure, Requests};
use crate::Cluster;
use crate::follow::pause;

/// Times that an object is read and written anew while others write it too.
const ATTEMPTS: usize = 4;

/// Where and how patiently.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespace of the environment.
    pub namespace: String,
    /// How long the API server may take for one write. It promises a second, and ends requests itself after a minute.
    pub request_timeout: Duration,
    /// How long a commit may take in all, and how long reading everything is tried. Changes of traffic wait for it, and whoever asked
    /// for one is to hear what became of it: less than the API's own patience with the control plane.
    pub patience: Duration,
    /// How long folding waits for more to fold. While it waits, commits are a little larger.
    pub fold_pause: Duration,
}

impl Settings {
    /// The usual patience.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            request_timeout: Duration::from_secs(4),
            patience: Duration::from_secs(6),
            fold_pause: Duration::from_secs(1),
        }
    }
}

/// A store in a cluster. Opening and loading write nothing. Clones are the same store; it ends with the last of them.
#[derive(Clone)]
pub struct ClusterStore {
    inner: Arc<Inner>,
    _folder: Arc<Folder>,
}

impl std::fmt::Debug for ClusterStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterStore")
            .field("namespace", &self.inner.requests.namespace())
            .finish_non_exhaustive()
    }
}

struct Folder(JoinHandle<()>);

impl Drop for Folder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Inner {
    settings: Settings,
    requests: Requests,
    /// Who we are in the head: different for each opening.
    name: String,
    /// Held while the head is written or everything is read, before `folding`.
    writer: tokio::sync::Mutex<Writer>,
    /// Held while objects are written.
    folding: tokio::sync::Mutex<()>,
    /// Never held while waiting.
    memory: Mutex<Memory>,
    /// Somebody else wrote the head: nothing is written before everything is read again.
    stale: AtomicBool,
    /// There is something to fold.
    work: Notify,
    /// There is much to fold.
    pressing: Notify,
}

struct Writer {
    /// Writes of the head that were begun.
    count: u64,
    /// What was read on opening is as good as read now.
    fresh: bool,
}

/// Why the head was not written.
enum HeadFailure {
    /// Somebody else did it first.
    Moved,
    Failed(StoreError),
}

/// Why folding stopped.
enum FoldFailure {
    /// Somebody else writes now.
    Deposed,
    Failed(StoreError),
}

impl ClusterStore {
    /// Reads what there is. The namespace and the custom resource must be there; the first commit makes the rest.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with what to do, for example when the custom resource is not installed or a right is missing;
    /// [`StoreError::Corrupt`] and [`StoreError::Foreign`] when what is there cannot be used.
    pub async fn open(cluster: &Cluster, settings: Settings) -> Result<Self, StoreError> {
        use std::hash::{BuildHasher as _, RandomState};
        let requests =
            Requests::new(cluster.client.clone(), settings.namespace.clone(), settings.request_timeout);
        let inner = Arc::new(Inner {
            settings,
            requests,
            name: format!("{:016x}", RandomState::new().hash_one(0)),
            writer: tokio::sync::Mutex::new(Writer { count: 0, fresh: true }),
            folding: tokio::sync::Mutex::new(()),
            memory: Mutex::new(Memory::default()),
            stale: AtomicBool::new(false),
            work: Notify::new(),
            pressing: Notify::new(),
        });
        inner.read().await?;
        let folder = Folder(tokio::spawn(fold_behind(Arc::clone(&inner))));
        Ok(Self { inner, _folder: Arc::new(folder) })
    }

    fn finish<T: Send + 'static>(
        &self,
        task: JoinHandle<Result<T, StoreError>>,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        task.map(|result| {
            result.unwrap_or_else(|error| Err(StoreError::Io(format!("a write did not end: {error}"))))
        })
        .boxed()
    }
}

impl Store for ClusterStore {
    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        self.inner.load().boxed()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, StoreError>> {
        let inner = Arc::clone(&self.inner);
        // In a task of its own: a caller that goes away half-way (a client hung up) does not leave memory behind the cluster.
        self.finish(tokio::spawn(async move { inner.commit(commit).await }))
    }

    fn events(&self, query: EventQuery, page: Page) -> BoxFuture<'_, Result<EventPage, StoreError>> {
        ready(Ok(self.inner.memory().contents.events(&query, page))).boxed()
    }

    fn aggregate(
        &self,
        query: EventQuery,
        aggregation: Aggregation,
    ) -> BoxFuture<'_, Result<Option<f64>, StoreError>> {
        ready(Ok(self.inner.memory().contents.aggregate(&query, aggregation))).boxed()
    }

    fn events_after<'a>(
        &'a self,
        id: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, StoreError>> {
        ready(Ok(self.inner.memory().contents.events_after(id, limit))).boxed()
    }

    /// Events go from memory at once and from the cluster with the next fold. After a crash in between they are there again, and
    /// go with the next pruning.
    fn prune(&self, keep: Retention, now: Timestamp) -> BoxFuture<'_, Result<Pruned, StoreError>> {
        let pruned = self.inner.memory().prune(keep, now);
        if pruned.events > 0 {
            self.inner.work.notify_one();
        }
        ready(Ok(pruned)).boxed()
    }
}

impl Inner {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing panics half-way through a change of it.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stale(&self) -> bool {
        self.stale.load(Ordering::SeqCst)
    }

    fn set_stale(&self) {
        if !self.stale.swap(true, Ordering::SeqCst) {
            info!(
                namespace = self.requests.namespace(),
                "somebody else writes the records of this namespace; nothing is written before they are read again"
            );
        }
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        let mut writer = self.writer.lock().await;
        if !std::mem::take(&mut writer.fresh) {
            self.read().await?;
        }
        Ok(self.memory().contents.loaded())
    }

    /// Reads everything. The caller holds `writer`, or nobody else knows this store yet.
    async fn read(&self) -> Result<(), StoreError> {
        let _folding = self.folding.lock().await;
        let end = Instant::now() + self.settings.patience;
        let mut failures = 0;
        let objects = loop {
            let message = match self.requests.list().await {
                Ok(objects) => break objects,
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::NotDone(message) | Failure::Unknown(message)) => message,
                Err(failure) => format!("the list of records ended with {failure:?}"),
            };
            let pause = pause(failures);
            if Instant::now() + pause >= end {
                return Err(StoreError::Unavailable(message));
            }
            failures += 1;
            sleep(pause).await;
        };
        let count = objects.len();
        let memory = Memory::load(objects, std::time::Instant::now())?;
        debug!(objects = count, revision = memory.contents.revision(), "records read");
        *self.memory() = memory;
        self.stale.store(false, Ordering::SeqCst);
        Ok(())
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let end = self.end();
        let Ok(mut writer) = timeout_at(end, self.writer.lock()).await else {
            return Err(StoreError::Unavailable("an earlier write of the records has not ended".into()));
        };
        let conflict = || moved(&commit);
        loop {
            if self.is_stale() {
                return Err(conflict());
            }
            writer.count += 1;
            let next = self.memory().prepare(commit.clone(), &self.name, writer.count, Timestamp::now())?;
            match next {
                Next::Nothing(committed) => return Ok(committed),
                Next::Fold => match self.make_room(&mut writer, end).await {
                    Ok(()) => {}
                    Err(FoldFailure::Deposed) => return Err(conflict()),
                    Err(FoldFailure::Failed(error)) => {
                        return Err(StoreError::Unavailable(format!(
                            "there is no room for more changes until earlier ones are in their objects: {error}"
                        )));
                    }
                },
                Next::Send(prepared) => {
                    writer.fresh = false;
                    let result = self.send(*prepared, writer.count, end).await;
                    self.work.notify_one();
                    if self.memory().is_pressing() {
                        self.pressing.notify_one();
                    }
                    return result.map_err(|failure| match failure {
                        HeadFailure::Moved => conflict(),
                        HeadFailure::Failed(error) => error,
                    });
                }
            }
        }
    }

    /// Sends a commit: its parts, if it has some, then the head.
    async fn send(&self, prepared: Prepared, count: u64, end: Instant) -> Result<Committed, HeadFailure> {
        for (name, body) in &prepared.parts {
            let revision = prepared.write.about.revision;
            let about = About { kind: COMMIT.into(), name: name.clone(), revision, deleted: false };
            if let Err(error) = self.put_part(name, &about, body, end).await {
                self.memory().abandoned(&prepared);
                return Err(HeadFailure::Failed(error));
            }
        }
        match self.write_head(&prepared.write, count, end).await {
            Ok(version) => Ok(self.memory().committed(prepared, version)),
            Err(failure) => {
                self.memory().abandoned(&prepared);
                Err(failure)
            }
        }
    }

    /// Nobody else uses the name, so an object that is there already is ours: an earlier answer was lost. Only that it is there is
    /// proof: an API server answers with a conflict for other reasons too, such as a quota that others change at the same time.
    async fn put_part(&self, name: &str, about: &About, body: &str, end: Instant) -> Result<(), StoreError> {
        let mut failures = 0;
        loop {
            let requests = self.requests.until(end);
            let result = match requests.put(name, None, about, body).await {
                Err(Failure::Conflict) => match requests.get(name).await {
                    Ok(Some(_)) => return Ok(()),
                    Ok(None) => {
                        Err(Failure::NotDone(format!("the object '{name}' was refused with a conflict")))
                    }
                    Err(failure) => Err(failure),
                },
                result => result,
            };
            let message = match result {
                Ok(_) => return Ok(()),
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::NotDone(message) | Failure::Unknown(message)) => message,
                Err(failure) => format!("the API server answers {failure:?}"),
            };
            let pause = pause(failures);
            if Instant::now() + pause >= end {
                return Err(StoreError::Unavailable(message));
            }
            failures += 1;
            sleep(pause).await;
        }
    }

    /// Writes the head. When an answer gets lost, the same write is sent again: with its precondition it is done once at most, and
    /// what is there afterwards tells whose write it was.
    async fn write_head(&self, write: &HeadWrite, count: u64, end: Instant) -> Result<String, HeadFailure> {
        let (mut failures, mut unsure) = (0, false);
        loop {
            let base = write.base.as_deref();
            let message = match self.requests.until(end).put(HEAD, base, &write.about, &write.body).await {
                Ok(version) => return Ok(version),
                Err(Failure::Conflict | Failure::Missing) if unsure => {
                    match self.whose(write, count, end).await {
                        Ok(Some(version)) => return Ok(version),
                        Ok(None) => {
                            self.set_stale();
                            return Err(HeadFailure::Moved);
                        }
                        Err(message) => message,
                    }
                }
                Err(Failure::Conflict | Failure::Missing) => {
                    self.set_stale();
                    return Err(HeadFailure::Moved);
                }
                Err(Failure::Refused(error)) if unsure => return Err(HeadFailure::Failed(doubt(&error))),
                Err(Failure::Refused(error)) => return Err(HeadFailure::Failed(error)),
                Err(Failure::NotDone(message)) => message,
                Err(Failure::Unknown(message)) => {
                    unsure = true;
                    message
                }
                Err(Failure::Expired) => "the API server answers that this is no longer to be had".into(),
            };
            let pause = pause(failures);
            if Instant::now() + pause >= end {
                let error = if unsure { doubt(&message) } else { StoreError::Unavailable(message) };
                return Err(HeadFailure::Failed(error));
            }
            debug!(message, "the head is written again");
            failures += 1;
            sleep(pause).await;
        }
    }

    /// The version of the head if our `count`-th write is in it; none if it is not and never will be.
    async fn whose(&self, write: &HeadWrite, count: u64, end: Instant) -> Result<Option<String>, String> {
        let object = match self.requests.until(end).get(HEAD).await {
            Ok(Some(object)) => object,
            Ok(None) => return Ok(None),
            Err(Failure::NotDone(message) | Failure::Unknown(message)) => return Err(message),
            Err(failure) => return Err(format!("the head cannot be read: {failure:?}")),
        };
        if write.base.as_ref() == Some(&object.metadata.resource_version) {
            return Err("the head is as it was, yet it cannot be written".into());
        }
        let Ok((head, _)) = head::read(&object.body) else { return Ok(None) };
        if !head.has(&self.name, count) {
            return Ok(None);
        }
        if head.last_writer() != Some(&self.name) {
            // Ours was kept, and somebody went on from there.
            self.set_stale();
        }
        Ok(Some(object.metadata.resource_version))
    }

    /// Brings all objects up to date.
    async fn fold(&self) -> Result<(), FoldFailure> {
        let _folding = self.folding.lock().await;
        if self.is_stale() {
            return Err(FoldFailure::Deposed);
        }
        let fold = self.memory().fold(std::time::Instant::now());
        let count = fold.steps.len();
        let work = fold.steps.into_iter().map(|step| async move {
            let result = self.step(&step).await;
            (step, result)
        });
        let mut results = futures_util::stream::iter(work).buffer_unordered(limits::PARALLEL);
        while let Some((step, result)) = results.next().await {
            let version = result?;
            self.memory().stepped(&step, version, std::time::Instant::now());
        }
        self.memory().folded(fold.upto);
        debug!(objects = count, serial = fold.upto, "folded");
        Ok(())
    }

    /// Writes one object. Returns its version; none when it is gone.
    async fn step(&self, step: &Step) -> Result<Option<String>, FoldFailure> {
        let failed = |failure| match failure {
            Failure::Refused(error) => FoldFailure::Failed(error),
            Failure::NotDone(message) | Failure::Unknown(message) => {
                FoldFailure::Failed(StoreError::Unavailable(message))
            }
            failure => {
                FoldFailure::Failed(StoreError::Unavailable(format!("object '{}': {failure:?}", step.name)))
            }
        };
        let mut version = step.version.clone();
        for _ in 0..ATTEMPTS {
            let result = match &step.write {
                Write::Put(about, body) => {
                    self.requests.put(&step.name, version.as_deref(), about, body).await.map(Some)
                }
                Write::Delete => self.requests.delete(&step.name, version.as_deref()).await.map(|()| None),
            };
            match result {
                Ok(version) => return Ok(version),
                Err(Failure::Conflict | Failure::Missing) => {}
                Err(failure) => return Err(failed(failure)),
            }
            let found = self.requests.get(&step.name).await.map_err(failed)?;
            if let (Some(object), Write::Put(about, body)) = (&found, &step.write)
                && is(object, about, body)
            {
                // An earlier write arrived, and its answer did not.
                return Ok(Some(object.metadata.resource_version.clone()));
            }
            // Only after reading the object: whoever took our place since then also changed its version.
            if !self.is_ours().await.map_err(failed)? {
                self.set_stale();
                return Err(FoldFailure::Deposed);
            }
            version = found.map(|object| object.metadata.resource_version);
            if version.is_none() && step.write == Write::Delete {
                return Ok(None);
            }
        }
        Err(failed(Failure::NotDone(format!("others keep writing the object '{}'", step.name))))
    }

    /// True when the head is the one that we know; false when somebody else wrote it since. A write of ours that we do not know of
    /// (yet, or because its answer was lost) is a failure: what we would fold may be older than what others read there.
    async fn is_ours(&self) -> Result<bool, Failure> {
        let object = self.requests.get(HEAD).await?;
        let known = self.memory().version.clone();
        // Asked after reading what we know: a commit that learns that somebody went on from its write knows their version then.
        if self.is_stale() {
            return Ok(false);
        }
        let Some(object) = object else { return Ok(known.is_none()) };
        if known.as_ref() == Some(&object.metadata.resource_version) {
            return Ok(true);
        }
        match head::read(&object.body) {
            Ok((head, _)) if head.last_writer() == Some(&self.name) => {
                Err(Failure::NotDone("a write of the head is under way".into()))
            }
            _ => Ok(false),
        }
    }

    /// Writes the head without what is folded.
    async fn trim(&self, writer: &mut Writer, end: Instant) -> Result<(), FoldFailure> {
        if self.is_stale() {
            return Err(FoldFailure::Deposed);
        }
        writer.count += 1;
        let write = self.memory().trim(&self.name, writer.count);
        match self.write_head(&write, writer.count, end).await {
            Ok(version) => {
                self.memory().wrote_head(write, version);
                Ok(())
            }
            Err(HeadFailure::Moved) => Err(FoldFailure::Deposed),
            Err(HeadFailure::Failed(error)) => Err(FoldFailure::Failed(error)),
        }
    }

    /// Makes sure that we wrote the head since we read everything: until then another store may be folding, and each of the two would
    /// write its own over what the other takes for done.
    async fn take_over(&self, writer: &mut Writer, end: Instant) -> Result<(), FoldFailure> {
        let leads = self.memory().leads;
        if leads { Ok(()) } else { self.trim(writer, end).await }
    }

    /// Folds for a commit that waits for it.
    async fn make_room(&self, writer: &mut Writer, end: Instant) -> Result<(), FoldFailure> {
        self.take_over(writer, end).await?;
        // What was written of it by then the next fold finds so.
        timeout_at(end, self.fold()).await.unwrap_or_else(|_| {
            let message = "that takes longer than a change may wait";
            Err(FoldFailure::Failed(StoreError::Unavailable(message.into())))
        })
    }

    /// When a write that begins now has to have ended.
    fn end(&self) -> Instant {
        Instant::now() + self.settings.patience
    }

    /// A whole round of folding: objects, then what the head no longer needs.
    async fn tidy(&self) -> Result<(), FoldFailure> {
        let mut writer = self.writer.lock().await;
        self.take_over(&mut writer, self.end()).await?;
        drop(writer);
        self.fold().await?;
        let wants_trim = self.memory().wants_trim();
        if wants_trim {
            let mut writer = self.writer.lock().await;
            self.trim(&mut writer, self.end()).await?;
            drop(writer);
            self.fold().await?;
        }
        Ok(())
    }
}

/// Folds whenever there is something to fold, until the last handle of the store ends it.
async fn fold_behind(inner: Arc<Inner>) {
    let mut failures = 0;
    let mut told = None;
    loop {
        inner.work.notified().await;
        if !inner.memory().is_pressing() {
            // Either way it is time.
            let _ = timeout(inner.settings.fold_pause, inner.pressing.notified()).await;
        }
        let result = inner.tidy().await;
        match result {
            Ok(()) => {
                failures = 0;
                if told.take().is_some() {
                    info!("records are in their objects again");
                }
            }
            // Until everything is read again there is nothing to do.
            Err(FoldFailure::Deposed) => {}
            Err(FoldFailure::Failed(error)) => {
                let message = error.to_string();
                if told.as_ref() != Some(&message) {
                    warn!(
                        "records cannot be brought to their objects, changes are kept in the journal: {message}"
                    );
                    told = Some(message);
                }
                sleep(pause(failures)).await;
                failures = failures.saturating_add(1);
                inner.work.notify_one();
            }
        }
    }
}

fn is(object: &Object, about: &About, body: &str) -> bool {
    object.record == *about && object.body == body
}

/// Names the first record of a commit that came too late.
fn moved(commit: &Commit) -> StoreError {
    let put = commit.puts.first().map(|put| (&put.kind, &put.name));
    let delete = || commit.deletes.first().map(|delete| (&delete.kind, &delete.name));
    let (kind, name) = match put.or_else(delete) {
        Some((kind, name)) => (kind.clone(), name.clone()),
        None => ("records".to_owned(), HEAD.to_owned()),
    };
    StoreError::Conflict { kind, name }
}

fn doubt(why: &dyn std::fmt::Display) -> StoreError {
    StoreError::InDoubt(format!("it is not known whether the change was kept: {why}"))
}
