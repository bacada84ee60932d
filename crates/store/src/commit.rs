//! What is written, and what is read back at the start.

use model::event::{Event, NewEvent};
use serde_json::Value;

/// Number of a state of one environment: grows by one with every commit that writes or deletes a record.
pub type Revision = u64;

/// A stored document.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Which sort of document, such as `gateways`.
    pub kind: String,
    /// Unique within its kind.
    pub name: String,
    /// Revision that wrote it.
    pub version: Revision,
    /// The document.
    pub body: Value,
}

/// What must be true of a record for a commit to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    /// Nothing.
    #[default]
    Any,
    /// There is no such record.
    Absent,
    /// The record was last written by this revision.
    Version(Revision),
}

impl Expect {
    /// True when a record that was last written by `current` (`None`: there is none) is as expected.
    pub(crate) fn met_by(self, current: Option<Revision>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => current.is_none(),
            Self::Version(version) => current == Some(version),
        }
    }
}

/// Writes a record, new or in place of the old one.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// Which sort of document.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The document.
    pub body: Value,
    /// Guard against lost updates.
    pub expect: Expect,
}

/// Removes a record. Without one there is nothing to do, unless [`Expect::Version`] says that there must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// Which sort of document.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Guard against lost updates.
    pub expect: Expect,
}

/// One change: all of it happens or nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commit {
    /// Records to write, in order.
    pub puts: Vec<Put>,
    /// Records to remove, after the puts.
    pub deletes: Vec<Delete>,
    /// Events to append, in order.
    pub events: Vec<NewEvent>,
}

impl Commit {
    /// True when the commit makes a new revision.
    pub fn changes_records(&self) -> bool {
        !self.puts.is_empty() || !self.deletes.is_empty()
    }

    /// True when there is nothing to write.
    pub fn is_empty(&self) -> bool {
        !self.changes_records() && self.events.is_empty()
    }
}

/// What a commit came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// Revision after the commit; the version of every record that it wrote.
    pub revision: Revision,
    /// The events as stored: with id, expanded tags and, when the commit changed records, the revision.
    pub events: Vec<Event>,
}

/// Everything a store holds besides events.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loaded {
    /// Latest revision; 0 for a store that was never written.
    pub revision: Revision,
    /// All records, by kind and name.
    pub records: Vec<Record>,
}
