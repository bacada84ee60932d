//! Folding: brings the objects of records and events to what is committed. Level-triggered: it compares what is with what should be,
//! so it may stop anywhere, and run twice.

use std::time::Instant;

use store::Key;

use super::head;
use super::layout::{self, About};
use super::limits;
use super::memory::{Memory, Placed};

/// What is to be written so that everything up to a serial is in its objects.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) upto: u64,
    pub(super) steps: Vec<Step>,
}

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// Name of the object.
    pub(super) name: String,
    pub(super) what: What,
    /// Version that it replaces; none for a new one.
    pub(super) version: Option<String>,
    pub(super) write: Write,
}

/// What an object is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Record(Key),
    /// A chunk by its first id, as of so many edits.
    Chunk(String, u64),
    /// Part of a commit.
    Part,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Write {
    Put(About, String),
    Delete,
}

impl Memory {
    /// Works out a fold.
    pub(super) fn fold(&self, now: Instant) -> Fold {
        let mut steps = Vec::new();
        for (key, revision, body) in self.contents.records() {
            let placed = self.placed.get(key);
            if placed.is_some_and(|placed| placed.revision == revision && !placed.deleted) {
                continue;
            }
            let about = About { kind: key.0.clone(), name: key.1.clone(), revision, deleted: false };
            steps.push(Step::record(key, placed, Write::Put(about, body.to_string())));
        }
        for (key, placed) in &self.placed {
            if self.contents.record(key).is_some() {
                continue;
            }
            if !placed.deleted {
                let revision = self.contents.revision();
                let about = About { kind: key.0.clone(), name: key.1.clone(), revision, deleted: true };
                steps.push(Step::record(key, Some(placed), Write::Put(about, "null".into())));
            } else if now.saturating_duration_since(placed.since) >= limits::TOMBSTONE {
                steps.push(Step::record(key, Some(placed), Write::Delete));
            }
        }
        for (chunk, events) in self.chunks.dirty(&self.contents) {
            let about = About {
                kind: layout::EVENTS.into(),
                name: chunk.first.clone(),
                revision: self.contents.revision(),
                deleted: false,
            };
            steps.push(Step {
                name: layout::chunk_name(&chunk.first),
                what: What::Chunk(chunk.first.clone(), chunk.edits),
                version: chunk.version.clone(),
                write: Write::Put(about, head::chunk_text(events.iter())),
            });
        }
        for (first, version) in self.chunks.removed() {
            steps.push(Step {
                name: layout::chunk_name(first),
                what: What::Chunk(first.clone(), 0),
                version: Some(version.clone()),
                write: Write::Delete,
            });
        }
        let part = |name: &String| Step {
            name: name.clone(),
            what: What::Part,
            version: None,
            write: Write::Delete,
        };
        steps.extend(self.garbage.iter().map(part));
        Fold { upto: self.head.serial, steps }
    }

    /// A step is done; `version`: of the object now, none when it is gone.
    pub(super) fn stepped(&mut self, step: &Step, version: Option<String>, now: Instant) {
        match (&step.what, &step.write, version) {
            (What::Record(key), Write::Put(about, _), Some(version)) => {
                let placed = Placed { version, revision: about.revision, deleted: about.deleted, since: now };
                self.placed.insert(key.clone(), placed);
            }
            (What::Record(key), _, _) => drop(self.placed.remove(key)),
            (What::Chunk(first, edits), Write::Put(..), version) => self.chunks.wrote(first, version, *edits),
            (What::Chunk(first, _), Write::Delete, _) => self.chunks.deleted(first),
            (What::Part, ..) => drop(self.garbage.remove(&step.name)),
        }
    }

    /// All steps of a fold are done.
    pub(super) fn folded(&mut self, upto: u64) {
        self.folded = self.folded.max(upto);
    }
}

impl Step {
    fn record(key: &Key, placed: Option<&Placed>, write: Write) -> Self {
        Self {
            name: layout::record_name(key),
            what: What::Record(key.clone()),
            version: placed.map(|placed| placed.version.clone()),
            write,
        }
    }
}
