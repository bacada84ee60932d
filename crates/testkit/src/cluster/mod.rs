//! A fake Kubernetes API server on loopback: some built-in kinds and whatever custom resources a test defines; lists in pages of
//! one snapshot, watches with bookmarks, creates, updates, merge patches and deletes with preconditions. What it does badly is up to
//! the test, and comes from a seed.
//!
//! ```text
//! test: apply, remove, compact, drop_watches ---> objects + log of events <--- HTTP: list, watch, write
//!       faults (seeded) --------------------------------------^
//! ```
//!
//! What a real API server promises holds here too: events of a watch come in order of versions for each object, a list and
//! the watch from its version show everything, writes with an old version are refused.

mod address;
mod objects;
mod serve;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use objects::Objects;
pub use objects::Write;

/// What goes wrong, in percent of the occasions.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// A request is answered with 500.
    pub errors: u64,
    /// A write is answered with 409 although nothing speaks against it.
    pub conflicts: u64,
    /// A watch breaks off after some events, in the middle of a line.
    pub drops: u64,
    /// Some events of a watch come twice.
    pub duplicates: u64,
    /// Events of different objects change places.
    pub swaps: u64,
    /// A watch is told that its version is too old.
    pub gone: u64,
    /// A list takes [`Faults::slowness`] longer.
    pub slow_lists: u64,
    /// How slow.
    pub slowness: Duration,
    /// A write is carried out, but its answer does not arrive.
    pub lost: u64,
    /// A write takes [`Faults::lateness`] longer, and is carried out even when nobody waits for it any more.
    pub late: u64,
    /// How late.
    pub lateness: Duration,
}

/// A running fake; it ends when dropped.
#[derive(Debug)]
pub struct Cluster {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Told with every event, and when watches are to end.
    changed: watch::Sender<u64>,
    /// True once a request came that is not answered, see [`Cluster::fall_silent`].
    silent: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    objects: Objects,
    faults: Faults,
    dice: u64,
    /// Watches that began earlier are to end.
    epoch: u64,
    /// `verb resource`, or `verb resource namespace` for one namespace only.
    forbidden: BTreeSet<String>,
    /// Custom resources, such as `records.vamp.io`.
    defined: BTreeMap<String, Definition>,
    /// Lists that somebody reads page by page.
    snapshots: BTreeMap<(String, u64), Arc<Vec<Value>>>,
    /// Requests that are still answered before there is silence, and whether the last one is carried out.
    silence: Option<(u64, bool)>,
}

/// What is special about a custom resource.
#[derive(Debug, Clone, Copy)]
struct Definition {
    /// It has a status subresource.
    status: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// True in `percent` of the cases.
    fn happens(&mut self, percent: u64) -> bool {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % 100 < percent
    }
}

impl Cluster {
    /// Starts one without objects and faults.
    pub async fn start(seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                objects: Objects::default(),
                faults: Faults::default(),
                dice: seed | 1,
                epoch: 0,
                forbidden: BTreeSet::new(),
                defined: BTreeMap::new(),
                snapshots: BTreeMap::new(),
                silence: None,
            }),
            changed: watch::Sender::new(0),
            silent: watch::Sender::new(false),
        });
        let router = serve::router(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // Ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, task })
    }

    /// A kubeconfig that leads here, with `namespace` in its context `test`.
    pub fn kubeconfig(&self, namespace: &str) -> String {
        let server = format!("http://{}", self.address);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "fake", "user": "fake", "namespace": namespace}}],
            "clusters": [{"name": "fake", "cluster": {"server": server}}],
            "users": [{"name": "fake", "user": {}}],
        })
        .to_string()
    }

    /// Serves a custom resource from now on: what a CustomResourceDefinition says of group, plural name and status subresource.
    pub fn define(&self, definition: &Value) {
        let spec = &definition["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let resource = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
        let status = spec["versions"][0]["subresources"].get("status").is_some();
        self.shared.state().defined.insert(resource, Definition { status });
    }

    /// Falls silent with the `count`-th request from now on, as a machine that lost its power: that one, carried out or not, and all
    /// later ones get no answer, and later ones have no effect.
    pub fn fall_silent(&self, count: u64, carried_out: bool) {
        self.shared.silent.send_replace(false);
        self.shared.state().silence = Some((count.max(1), carried_out));
    }

    /// Ends when the last request before the silence has come.
    pub async fn silence(&self) {
        // The sender lives as long as `self`.
        let _ = self.shared.silent.subscribe().wait_for(|silent| *silent).await;
    }

    /// Ends the silence. What was asked during it stays unanswered.
    pub fn speak(&self) {
        self.shared.state().silence = None;
        self.shared.silent.send_replace(false);
    }

    /// Creates or replaces an object, as somebody else in the cluster would.
    pub fn apply(&self, resource: &str, object: Value) {
        self.shared.state().objects.apply(resource, object);
        self.tell();
    }

    /// Removes an object, as somebody else would. False when there is none.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) -> bool {
        let removed = self.shared.state().objects.remove(resource, namespace, name).is_some();
        self.tell();
        removed
    }

    /// All objects of a kind, by namespace and name.
    pub fn objects(&self, resource: &str) -> Vec<Value> {
        self.shared.state().objects.all(resource, None)
    }

    /// One object.
    pub fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.shared.state().objects.get(resource, namespace, name).cloned()
    }

    /// What was written over HTTP so far.
    pub fn writes(&self) -> Vec<Write> {
        self.shared.state().objects.writes.clone()
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.state().faults = faults;
    }

    /// Answers `verb resource` with 403; with a third word, in that namespace only.
    pub fn forbid(&self, right: &str) {
        self.shared.state().forbidden.insert(right.to_owned());
    }

    /// Takes back [`Cluster::forbid`].
    pub fn permit(&self, right: &str) {
        self.shared.state().forbidden.remove(right);
    }

    /// Forgets all events: watches from before are told 410 when they come again.
    pub fn compact(&self) {
        let mut state = self.shared.state();
        state.objects.compact();
        state.snapshots.clear();
    }

    /// Ends all watches.
    pub fn drop_watches(&self) {
        self.shared.state().epoch += 1;
        self.tell();
    }

    fn tell(&self) {
        self.shared.changed.send_modify(|count| *count += 1);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
        self.drop_watches();
    }
}
