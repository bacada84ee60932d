//! What a store knows: contents, head, and which objects hold what. Pure: what is to be sent is worked out here, and what came of it
//! is told here; [`super::store`] sends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jiff::Timestamp;
use model::event::Event;
use serde_json::Value;
use store::{
    Change, Commit, Committed, Contents, Key, Loaded, Pruned, Record, Retention, Revision, StoreError,
};

use super::chunks::Chunks;
use super::head::{self, Head, Line, Unreadable};
use super::layout::{self, About, Object, escaped, pieces};
use super::limits;

/// Everything about one environment's records.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) contents: Contents,
    pub(super) head: Head,
    /// Version of the head's object; none before the first commit.
    pub(super) version: Option<String>,
    /// We wrote the head since everything was read.
    pub(super) leads: bool,
    journal: Vec<Line>,
    /// Every commit up to this serial is in the objects of its records and events.
    pub(super) folded: u64,
    pub(super) placed: BTreeMap<Key, Placed>,
    pub(super) chunks: Chunks,
    /// Objects with parts of commits that nobody needs any more.
    pub(super) garbage: BTreeSet<String>,
    /// The same, once we wrote the head: until then somebody may be about to commit with them.
    orphans: BTreeSet<String>,
}

/// The object of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    /// Version of the object.
    pub(super) version: String,
    /// Revision of the record in it.
    pub(super) revision: Revision,
    /// It says that the record is deleted.
    pub(super) deleted: bool,
    /// Since when we know it like this.
    pub(super) since: Instant,
}

/// A write of the head that is to be sent.
#[derive(Debug)]
pub(super) struct HeadWrite {
    head: Head,
    /// What the object is to be.
    pub(super) about: About,
    /// Its body.
    pub(super) body: String,
    /// The version that it replaces; none: it is new.
    pub(super) base: Option<String>,
    /// Lines up to this serial are not in it any more.
    trimmed: u64,
    line: Option<Line>,
}

/// A commit that is to be sent.
#[derive(Debug)]
pub(super) struct Prepared {
    change: Change,
    /// Objects that must be there first, with their bodies.
    pub(super) parts: Vec<(String, String)>,
    pub(super) write: HeadWrite,
}

/// What a commit leads to.
#[derive(Debug)]
pub(super) enum Next {
    /// There is nothing to write.
    Nothing(Committed),
    /// This is to be sent.
    Send(Box<Prepared>),
    /// There is no room before a fold.
    Fold,
}

fn corrupt(name: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!(
        "the object '{name}' of kind Record (records.vamp.io) is damaged and was left alone: {why}. Restore the objects of \
         that kind from a backup of the cluster, all of one moment"
    ))
}

impl Memory {
    /// From all objects of one moment.
    pub(super) fn load(objects: Vec<Object>, now: Instant) -> Result<Self, StoreError> {
        let (mut head, mut parts, mut chunks, mut records) = (None, BTreeMap::new(), Vec::new(), Vec::new());
        for object in objects {
            let name = object.metadata.name.clone();
            match &*object.record.kind {
                layout::HEAD if name == layout::HEAD => head = Some(object),
                layout::COMMIT if !name.contains('.') => drop(parts.insert(name, object.body)),
                layout::EVENTS if !name.contains('.') => chunks.push(object),
                _ => records.push(object),
            }
        }
        let Some(head) = head else {
            if let Some(other) = chunks.first().or(records.first()) {
                return Err(corrupt(
                    &other.metadata.name,
                    "the head, which says what of it counts, is missing",
                ));
            }
            let garbage = parts.into_keys().collect();
            return Ok(Self { orphans: garbage, ..Self::default() });
        };
        let version = Some(head.metadata.resource_version);
        let (head, journal) = head::read(&head.body).map_err(|error| match error {
            Unreadable::Newer(_) => {
                StoreError::Foreign(format!("the records of this namespace cannot be used: {error}"))
            }
            Unreadable::Damaged(error) => corrupt(layout::HEAD, error),
        })?;

        let (mut placed, mut current) = (BTreeMap::new(), BTreeMap::new());
        for object in records {
            let (name, about) = (object.metadata.name, object.record);
            let key = (about.kind, about.name);
            if name != layout::record_name(&key) {
                tracing::warn!(object = name, "a Record that Vamp did not write was left alone");
                continue;
            }
            if about.revision > head.revision {
                let why = format!("it is of revision {}, the head only of {}", about.revision, head.revision);
                return Err(corrupt(&name, why));
            }
            if !about.deleted {
                let body: Value =
                    serde_json::from_str(&object.body).map_err(|error| corrupt(&name, error))?;
                current.insert(key.clone(), (about.revision, body));
            }
            let (version, revision, deleted) =
                (object.metadata.resource_version, about.revision, about.deleted);
            placed.insert(key, Placed { version, revision, deleted, since: now });
        }
        let mut found = Vec::new();
        for chunk in chunks {
            let events =
                head::read_chunk(&chunk.body).map_err(|error| corrupt(&chunk.metadata.name, error))?;
            found.push((chunk.record.name, chunk.metadata.resource_version, events));
        }
        let mut events: Vec<Event> = found.iter().flat_map(|(_, _, events)| events.iter().cloned()).collect();

        let mut needed = BTreeSet::new();
        let mut folded = head.serial;
        for line in &journal {
            folded = folded.min(line.serial.saturating_sub(1));
            let mut text = String::new();
            for part in &line.parts {
                let body =
                    parts.get(part).ok_or_else(|| corrupt(part, "the head needs it, and it is missing"))?;
                text.push_str(body);
            }
            needed.extend(line.parts.iter().cloned());
            let text = if line.parts.is_empty() { &line.text } else { &text };
            let (serial, change) = head::read_entry(text).map_err(|error| corrupt(layout::HEAD, error))?;
            if serial != line.serial || serial > head.serial || change.revision > head.revision {
                return Err(corrupt(layout::HEAD, format!("its journal does not fit it at serial {serial}")));
            }
            replay(&mut current, &mut events, change);
        }
        let orphans = parts.into_keys().filter(|part| !needed.contains(part)).collect();
        let records =
            current.into_iter().map(|((kind, name), (version, body))| Record { kind, name, version, body });
        let loaded = Loaded { revision: head.revision, records: records.collect() };
        let contents = Contents::restore(loaded, events, head.last_event.as_deref());
        let chunks = Chunks::load(found, &contents);
        let mut memory = Self {
            contents,
            head,
            version,
            leads: false,
            journal,
            folded,
            placed,
            chunks,
            garbage: BTreeSet::new(),
            orphans,
        };
        memory.chunks.enforce_limits(&mut memory.contents);
        Ok(memory)
    }

    /// Works out what a commit comes to. `count`: how many writes of the head `writer` began before, this one included.
    pub(super) fn prepare(
        &mut self,
        commit: Commit,
        writer: &str,
        count: u64,
        now: Timestamp,
    ) -> Result<Next, StoreError> {
        if commit.is_empty() {
            let revision = self.contents.revision();
            return Ok(Next::Nothing(Committed { revision, events: Vec::new() }));
        }
        let change = self.contents.prepare(commit, now)?;
        check_sizes(&change)?;
        let serial = self.head.serial + 1;
        let text = head::entry_text(serial, &change);
        let mut parts = Vec::new();
        let line = if self.waiting() + escaped(&text) <= limits::JOURNAL {
            Line { serial, text, parts: Vec::new() }
        } else {
            let pieces = pieces(&text, limits::OBJECT);
            if pieces.len() > limits::PARTS {
                let (size, most) = (escaped(&text) >> 20, (limits::PARTS * limits::OBJECT) >> 20);
                let message = format!(
                    "the change takes {size} MiB, and the records of a cluster take {most} MiB at once: make it in several steps"
                );
                return Err(StoreError::TooLarge(message));
            }
            if self.parts_waiting() + pieces.len() > limits::PARTS_WAITING {
                return Ok(Next::Fold);
            }
            for (number, piece) in pieces.into_iter().enumerate() {
                parts.push((layout::part_name(writer, count, number), piece.to_owned()));
            }
            let names: Vec<String> = parts.iter().map(|(name, _)| name.clone()).collect();
            Line { serial, text: head::reference_text(serial, change.revision, &names), parts: names }
        };
        let mut head = self.head.written_by(writer, count);
        (head.serial, head.revision) = (serial, change.revision);
        if let Some(event) = change.events.last() {
            head.last_event = Some(event.id.clone());
        }
        let write = self.write(head, Some(line));
        Ok(Next::Send(Box::new(Prepared { change, parts, write })))
    }

    /// A write of the head that only drops what is folded.
    pub(super) fn trim(&self, writer: &str, count: u64) -> HeadWrite {
        self.write(self.head.written_by(writer, count), None)
    }

    fn write(&self, head: Head, line: Option<Line>) -> HeadWrite {
        let kept = self.journal.iter().filter(|line| line.serial > self.folded);
        let body = head::body(&head, kept.chain(&line));
        let about = About {
            kind: layout::HEAD.into(),
            name: layout::HEAD.into(),
            revision: head.revision,
            deleted: false,
        };
        HeadWrite { head, about, body, base: self.version.clone(), trimmed: self.folded, line }
    }

    /// The head is written: `version` is what it is now.
    pub(super) fn wrote_head(&mut self, write: HeadWrite, version: String) {
        self.head = write.head;
        self.version = Some(version);
        self.leads = true;
        let (kept, trimmed) =
            self.journal.drain(..).partition::<Vec<_>, _>(|line| line.serial > write.trimmed);
        self.garbage.extend(trimmed.into_iter().flat_map(|line| line.parts));
        self.garbage.append(&mut self.orphans);
        self.journal = kept;
        self.journal.extend(write.line);
    }

    /// The commit is kept.
    pub(super) fn committed(&mut self, prepared: Prepared, version: String) -> Committed {
        self.wrote_head(prepared.write, version);
        for event in &prepared.change.events {
            self.chunks.add(event);
        }
        let committed = self.contents.apply(prepared.change);
        self.chunks.enforce_limits(&mut self.contents);
        committed
    }

    /// The commit was not kept: its parts are of no use.
    pub(super) fn abandoned(&mut self, prepared: &Prepared) {
        // Not before the next write of the head: should this one arrive late after all, it still needs them.
        self.orphans.extend(prepared.parts.iter().map(|(name, _)| name.clone()));
    }

    /// Room that commits take in the head that are not folded.
    pub(super) fn waiting(&self) -> usize {
        let waiting = self.journal.iter().filter(|line| line.serial > self.folded);
        waiting.map(|line| escaped(&line.text) + 2).sum()
    }

    fn parts_waiting(&self) -> usize {
        self.journal.iter().filter(|line| line.serial > self.folded).map(|line| line.parts.len()).sum()
    }

    /// True when the head refers to parts that it does not need any more.
    pub(super) fn wants_trim(&self) -> bool {
        self.journal.iter().any(|line| line.serial <= self.folded && !line.parts.is_empty())
    }

    /// True when there is so much to fold that it should not wait for more.
    pub(super) fn is_pressing(&self) -> bool {
        self.waiting() > limits::EAGER || self.parts_waiting() > 0
    }

    /// See [`store::Store::prune`].
    pub(super) fn prune(&mut self, keep: Retention, now: Timestamp) -> Pruned {
        let (pruned, ids) = self.contents.prune(keep, now);
        self.chunks.pruned(&ids, &self.contents);
        pruned
    }
}

fn check_sizes(change: &Change) -> Result<(), StoreError> {
    for record in &change.puts {
        let size = escaped(&record.body.to_string());
        if size > limits::OBJECT {
            return Err(StoreError::TooLarge(format!(
                "'{}/{}' takes {} KiB, and an object in a cluster takes {} KiB",
                record.kind,
                record.name,
                size >> 10,
                limits::OBJECT >> 10
            )));
        }
    }
    for event in &change.events {
        let size = escaped(&head::row_text(event));
        if size > limits::EVENT {
            return Err(StoreError::TooLarge(format!(
                "an event of type '{}' takes {} KiB, and at most {} KiB are kept in a cluster",
                event.kind,
                size >> 10,
                limits::EVENT >> 10
            )));
        }
    }
    Ok(())
}

fn replay(records: &mut BTreeMap<Key, (Revision, Value)>, events: &mut Vec<Event>, change: Change) {
    for record in change.puts {
        records.insert((record.kind, record.name), (record.version, record.body));
    }
    for key in &change.deletes {
        records.remove(key);
    }
    events.extend(change.events);
}
