//! Where artifacts, live state and events are kept.
//!
//! ```text
//!             Commit { puts, deletes, events }         all of it or nothing, durable before it is answered
//!  control  ---------------------------------->  Store
//!           <----------------------------------         Committed { revision, events with ids }
//!
//!  start: load() -> every record        readers: events(), aggregate(), events_after()
//! ```
//!
//! A store keeps *records* (JSON documents by kind and name, each with the revision that wrote it) and *events* (an
//! append-only log with tags). It knows nothing of what is in a record. Decisions are made before a commit, on the state in
//! memory; [`Expect`] turns a lost race into [`StoreError::Conflict`] instead of a lost update.
//!
//! [`MemoryStore`] forgets on exit and is the plain reference; [`SqliteStore`] is what `vamp serve` uses. Both this crate and
//! `kubernetes`, which keeps records in a cluster, run the conformance suite in `testkit::conformance`. [`Contents`] is the meaning
//! of it all as plain data.

mod commit;
mod contents;
mod error;
mod event;
mod id;
mod memory;
mod sqlite;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use model::event::{Event, EventQuery};

pub use crate::commit::{Commit, Committed, Delete, Expect, Loaded, Put, Record, Revision};
pub use crate::contents::{Change, Contents, Key};
pub use crate::error::StoreError;
pub use crate::event::{Aggregation, EventPage, Page, Pruned, Retention};
pub use crate::id::EventIds;
pub use crate::memory::MemoryStore;
pub use crate::sqlite::SqliteStore;

/// What every store can do. Object safe: the rest of the program holds an `Arc<dyn Store>`.
pub trait Store: Send + Sync + 'static {
    /// Everything that is kept, for the start: all records and the revision that they add up to.
    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>>;

    /// Writes all of `commit` or nothing of it. When this returns `Ok`, the write survives a crash (as far as the store is
    /// durable at all). Puts are applied first, then deletes; a commit without either keeps the revision.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, StoreError>>;

    /// One page of the events that match, newest first, and how many match in all. A page past the end is empty.
    fn events(&self, query: EventQuery, page: Page) -> BoxFuture<'_, Result<EventPage, StoreError>>;

    /// One number over all events that match; `None` when there is no numeric value among them. See
    /// [`Aggregation::narrow`] for the `field` of a query.
    fn aggregate(
        &self,
        query: EventQuery,
        aggregation: Aggregation,
    ) -> BoxFuture<'_, Result<Option<f64>, StoreError>>;

    /// The events stored after the one with this id, oldest first, at most `limit`. For `Last-Event-ID`: an id that no store
    /// ever gave out has no successors.
    fn events_after<'a>(&'a self, id: &'a str, limit: usize)
    -> BoxFuture<'a, Result<Vec<Event>, StoreError>>;

    /// Forgets the oldest events that exceed `keep`, a bounded number for each call; call again while [`Pruned::more`].
    fn prune(&self, keep: Retention, now: Timestamp) -> BoxFuture<'_, Result<Pruned, StoreError>>;
}
