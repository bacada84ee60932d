//! The store that forgets on exit: for tests, for trying things out, and as the plain reference of what a store means.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt, ready};
use jiff::Timestamp;
use model::event::{Event, EventQuery};
use serde_json::Value;

use crate::event::{self, PRUNE_BATCH};
use crate::id::{self, EventIds};
use crate::{
    Aggregation, Commit, Committed, EventPage, Expect, Loaded, Page, Pruned, Record, Retention, Revision,
    Store, StoreError,
};

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    revision: Revision,
    records: BTreeMap<(String, String), (Revision, Value)>,
    /// In the order of storing, which is the order of ids.
    events: Vec<Event>,
    ids: EventIds,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                revision: 0,
                records: BTreeMap::new(),
                events: Vec::new(),
                ids: EventIds::stored(0),
            }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing below panics half-way through a change, so the state behind a poisoned lock is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        let inner = self.inner();
        let records = inner.records.iter().map(|((kind, name), (version, body))| Record {
            kind: kind.clone(),
            name: name.clone(),
            version: *version,
            body: body.clone(),
        });
        ready(Ok(Loaded { revision: inner.revision, records: records.collect() })).boxed()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, StoreError>> {
        ready(self.inner().commit(commit)).boxed()
    }

    fn events(&self, query: EventQuery, page: Page) -> BoxFuture<'_, Result<EventPage, StoreError>> {
        let inner = self.inner();
        let mut found: Vec<&Event> = inner.events.iter().filter(|event| query.matches(event)).collect();
        found.sort_by_key(|event| std::cmp::Reverse((event.timestamp, &event.id)));
        let total = found.len() as u64;
        let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
        let events = found.into_iter().skip(offset).take(page.limit() as usize).cloned().collect();
        ready(Ok(EventPage { events, total })).boxed()
    }

    fn aggregate(
        &self,
        query: EventQuery,
        aggregation: Aggregation,
    ) -> BoxFuture<'_, Result<Option<f64>, StoreError>> {
        let inner = self.inner();
        let found = inner.events.iter().filter(|event| query.matches(event));
        let numbers = |events: &mut dyn Iterator<Item = &Event>| -> Vec<f64> {
            events.filter_map(|event| event::numeric(event.value.as_ref())).collect()
        };
        let mut found = found;
        let result = match aggregation {
            Aggregation::Count => Some(found.count() as f64),
            Aggregation::Average => {
                let numbers = numbers(&mut found);
                (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
            }
            Aggregation::Min => numbers(&mut found).into_iter().reduce(f64::min),
            Aggregation::Max => numbers(&mut found).into_iter().reduce(f64::max),
            Aggregation::Sum => numbers(&mut found).into_iter().reduce(|a, b| a + b),
        };
        ready(Ok(result)).boxed()
    }

    fn events_after<'a>(
        &'a self,
        id: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, StoreError>> {
        let inner = self.inner();
        let events = match id::parse(id) {
            None => Vec::new(),
            Some(_) => {
                let start = inner.events.partition_point(|event| event.id.as_str() <= id);
                inner.events.iter().skip(start).take(limit).cloned().collect()
            }
        };
        ready(Ok(events)).boxed()
    }

    fn prune(&self, keep: Retention, now: Timestamp) -> BoxFuture<'_, Result<Pruned, StoreError>> {
        ready(Ok(self.inner().prune(keep, now))).boxed()
    }
}

impl Inner {
    fn commit(&mut self, commit: Commit) -> Result<Committed, StoreError> {
        let changes = commit.changes_records();
        let revision = self.revision + u64::from(changes);
        // Changes are made on the side and taken over at the end: a conflict leaves no trace.
        let mut changed: BTreeMap<(String, String), Option<(Revision, Value)>> = BTreeMap::new();
        for put in commit.puts {
            let key = (put.kind, put.name);
            self.check(&changed, &key, put.expect)?;
            changed.insert(key, Some((revision, put.body)));
        }
        for delete in commit.deletes {
            let key = (delete.kind, delete.name);
            self.check(&changed, &key, delete.expect)?;
            changed.insert(key, None);
        }
        for (key, record) in changed {
            match record {
                Some(record) => self.records.insert(key, record),
                None => self.records.remove(&key),
            };
        }
        self.revision = revision;
        let now = Timestamp::now();
        let events: Vec<Event> = commit
            .events
            .into_iter()
            .map(|new| event::stored(new, self.ids.next(now), changes.then_some(revision)))
            .collect();
        self.events.extend(events.iter().cloned());
        Ok(Committed { revision, events })
    }

    fn check(
        &self,
        changed: &BTreeMap<(String, String), Option<(Revision, Value)>>,
        key: &(String, String),
        expect: Expect,
    ) -> Result<(), StoreError> {
        let current = match changed.get(key) {
            Some(record) => record.as_ref(),
            None => self.records.get(key),
        };
        if expect.met_by(current.map(|(version, _)| *version)) {
            Ok(())
        } else {
            Err(StoreError::Conflict { kind: key.0.clone(), name: key.1.clone() })
        }
    }

    fn prune(&mut self, keep: Retention, now: Timestamp) -> Pruned {
        let horizon = keep.horizon(now);
        let mut by_age: Vec<(Timestamp, &str)> =
            self.events.iter().map(|event| (event.timestamp, event.id.as_str())).collect();
        by_age.sort_unstable();
        let too_old = by_age.partition_point(|(timestamp, _)| *timestamp < horizon) as u64;
        let surplus = (by_age.len() as u64).saturating_sub(keep.max_events);
        let excess = too_old.max(surplus);
        let gone = excess.min(PRUNE_BATCH);
        let ids: std::collections::BTreeSet<String> =
            by_age.iter().take(gone as usize).map(|(_, id)| (*id).to_owned()).collect();
        self.events.retain(|event| !ids.contains(&event.id));
        Pruned { events: gone, more: excess > gone }
    }
}
