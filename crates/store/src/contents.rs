//! What a store holds and what its operations mean, without any durability: plain data. Stores that keep everything in memory as
//! well as somewhere safe are made of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::event::{Event, EventQuery};
use serde_json::Value;

use crate::event::{self, PRUNE_BATCH};
use crate::id::{self, EventIds};
use crate::{
    Aggregation, Commit, Committed, EventPage, Expect, Loaded, Page, Pruned, Record, Retention, Revision,
    StoreError,
};

/// Kind and name of a record.
pub type Key = (String, String);

/// The records and events of one environment, in memory.
#[derive(Debug)]
pub struct Contents {
    revision: Revision,
    records: BTreeMap<Key, (Revision, Value)>,
    /// In the order of storing, which is the order of ids.
    events: Vec<Event>,
    ids: EventIds,
}

/// What a commit comes to, before it is kept: records as they are afterwards, events with ids.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// Revision after it.
    pub revision: Revision,
    /// Records that it leaves behind, all of this revision; none of them is among `deletes`.
    pub puts: Vec<Record>,
    /// Records that are gone after it, whether or not they were there before.
    pub deletes: Vec<Key>,
    /// Events, in order.
    pub events: Vec<Event>,
}

impl Default for Contents {
    fn default() -> Self {
        Self::new()
    }
}

impl Contents {
    /// Nothing, at revision 0.
    pub fn new() -> Self {
        Self { revision: 0, records: BTreeMap::new(), events: Vec::new(), ids: EventIds::stored(0) }
    }

    /// What was kept elsewhere. `last_event` is the greatest id that was ever given out, also to events that are gone by now;
    /// `None` when there was none.
    pub fn restore(loaded: Loaded, mut events: Vec<Event>, last_event: Option<&str>) -> Self {
        events.sort_by(|a, b| a.id.cmp(&b.id));
        events.dedup_by(|a, b| a.id == b.id);
        let newest = events.last().map(|event| event.id.as_str());
        let last = last_event.max(newest).and_then(id::parse).unwrap_or(0);
        let records = loaded.records.into_iter().map(|r| ((r.kind, r.name), (r.version, r.body)));
        Self { revision: loaded.revision, records: records.collect(), events, ids: EventIds::stored(last) }
    }

    /// Latest revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = (&Key, Revision, &Value)> {
        self.records.iter().map(|(key, (version, body))| (key, *version, body))
    }

    /// One record.
    pub fn record(&self, key: &Key) -> Option<(Revision, &Value)> {
        self.records.get(key).map(|(version, body)| (*version, body))
    }

    /// All events, by id.
    pub fn all_events(&self) -> &[Event] {
        &self.events
    }

    /// See [`crate::Store::load`].
    pub fn loaded(&self) -> Loaded {
        let records = self.records().map(|((kind, name), version, body)| Record {
            kind: kind.clone(),
            name: name.clone(),
            version,
            body: body.clone(),
        });
        Loaded { revision: self.revision, records: records.collect() }
    }

    /// Checks what `commit` expects and works out what it comes to. Nothing is changed, except that event ids are used up.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: a record is not as expected.
    pub fn prepare(&mut self, commit: Commit, now: Timestamp) -> Result<Change, StoreError> {
        let changes = commit.changes_records();
        let revision = self.revision + u64::from(changes);
        let mut changed: BTreeMap<Key, Option<Value>> = BTreeMap::new();
        for put in commit.puts {
            let key = (put.kind, put.name);
            self.check(&changed, &key, put.expect, revision)?;
            changed.insert(key, Some(put.body));
        }
        for delete in commit.deletes {
            let key = (delete.kind, delete.name);
            self.check(&changed, &key, delete.expect, revision)?;
            changed.insert(key, None);
        }
        let mut change = Change { revision, ..Change::default() };
        for ((kind, name), body) in changed {
            match body {
                Some(body) => change.puts.push(Record { kind, name, version: revision, body }),
                None => change.deletes.push((kind, name)),
            }
        }
        let stored = |new| event::stored(new, self.ids.next(now), changes.then_some(revision));
        change.events = commit.events.into_iter().map(stored).collect();
        Ok(change)
    }

    fn check(
        &self,
        changed: &BTreeMap<Key, Option<Value>>,
        key: &Key,
        expect: Expect,
        revision: Revision,
    ) -> Result<(), StoreError> {
        let current = match changed.get(key) {
            Some(body) => body.as_ref().map(|_| revision),
            None => self.records.get(key).map(|(version, _)| *version),
        };
        if expect.met_by(current) {
            Ok(())
        } else {
            Err(StoreError::Conflict { kind: key.0.clone(), name: key.1.clone() })
        }
    }

    /// Makes a change that [`Contents::prepare`] worked out. The same events a second time are taken in once.
    pub fn apply(&mut self, change: Change) -> Committed {
        self.revision = change.revision;
        for record in change.puts {
            self.records.insert((record.kind, record.name), (record.version, record.body));
        }
        for key in &change.deletes {
            self.records.remove(key);
        }
        let last = self.events.last().map(|event| event.id.clone());
        let new = change.events.iter().filter(|event| last.as_ref().is_none_or(|last| event.id > *last));
        self.events.extend(new.cloned());
        Committed { revision: change.revision, events: change.events }
    }

    /// See [`crate::Store::events`].
    pub fn events(&self, query: &EventQuery, page: Page) -> EventPage {
        let mut found: Vec<&Event> = self.events.iter().filter(|event| query.matches(event)).collect();
        found.sort_by_key(|event| std::cmp::Reverse((event.timestamp, &event.id)));
        let total = found.len() as u64;
        let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
        let events = found.into_iter().skip(offset).take(page.limit() as usize).cloned().collect();
        EventPage { events, total }
    }

    /// See [`crate::Store::aggregate`].
    pub fn aggregate(&self, query: &EventQuery, aggregation: Aggregation) -> Option<f64> {
        let mut found = self.events.iter().filter(|event| query.matches(event));
        let numbers = |events: &mut dyn Iterator<Item = &Event>| -> Vec<f64> {
            events.filter_map(|event| event::numeric(event.value.as_ref())).collect()
        };
        match aggregation {
            Aggregation::Count => Some(found.count() as f64),
            Aggregation::Average => {
                let numbers = numbers(&mut found);
                (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
            }
            Aggregation::Min => numbers(&mut found).into_iter().reduce(f64::min),
            Aggregation::Max => numbers(&mut found).into_iter().reduce(f64::max),
            Aggregation::Sum => numbers(&mut found).into_iter().reduce(|a, b| a + b),
        }
    }

    /// See [`crate::Store::events_after`].
    pub fn events_after(&self, id: &str, limit: usize) -> Vec<Event> {
        if id::parse(id).is_none() {
            return Vec::new();
        }
        let start = self.events.partition_point(|event| event.id.as_str() <= id);
        self.events.iter().skip(start).take(limit).cloned().collect()
    }

    /// See [`crate::Store::prune`]. Also the ids of the events that are gone.
    pub fn prune(&mut self, keep: Retention, now: Timestamp) -> (Pruned, Vec<String>) {
        let horizon = keep.horizon(now);
        let mut by_age: Vec<(Timestamp, &str)> =
            self.events.iter().map(|event| (event.timestamp, event.id.as_str())).collect();
        by_age.sort_unstable();
        let too_old = by_age.partition_point(|(timestamp, _)| *timestamp < horizon) as u64;
        let surplus = (by_age.len() as u64).saturating_sub(keep.max_events);
        let excess = too_old.max(surplus);
        let gone = excess.min(PRUNE_BATCH);
        let mut ids: Vec<String> =
            by_age.iter().take(gone as usize).map(|(_, id)| (*id).to_owned()).collect();
        ids.sort_unstable();
        self.events.retain(|event| ids.binary_search(&event.id).is_err());
        (Pruned { events: gone, more: excess > gone }, ids)
    }

    /// Forgets the `count` events that were stored first.
    pub fn forget_first(&mut self, count: usize) {
        self.events.drain(..count.min(self.events.len()));
    }
}
