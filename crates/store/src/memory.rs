//! The store that forgets on exit: for tests, for trying things out, and as the plain reference of what a store means.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt, ready};
use jiff::Timestamp;
use model::event::{Event, EventQuery};

use crate::{
    Aggregation, Commit, Committed, Contents, EventPage, Loaded, Page, Pruned, Retention, Store, StoreError,
};

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // Nothing below panics half-way through a change, so the state behind a poisoned lock is whole.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        ready(Ok(self.contents().loaded())).boxed()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, StoreError>> {
        let mut contents = self.contents();
        let change = contents.prepare(commit, Timestamp::now());
        ready(change.map(|change| contents.apply(change))).boxed()
    }

    fn events(&self, query: EventQuery, page: Page) -> BoxFuture<'_, Result<EventPage, StoreError>> {
        ready(Ok(self.contents().events(&query, page))).boxed()
    }

    fn aggregate(
        &self,
        query: EventQuery,
        aggregation: Aggregation,
    ) -> BoxFuture<'_, Result<Option<f64>, StoreError>> {
        ready(Ok(self.contents().aggregate(&query, aggregation))).boxed()
    }

    fn events_after<'a>(
        &'a self,
        id: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, StoreError>> {
        ready(Ok(self.contents().events_after(id, limit))).boxed()
    }

    fn prune(&self, keep: Retention, now: Timestamp) -> BoxFuture<'_, Result<Pruned, StoreError>> {
        ready(Ok(self.contents().prune(keep, now).0)).boxed()
    }
}
