//! Events: everything observable (spec: automation 1, api 13).

mod read;
mod time;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::event::read::EventRequest;

/// A stored event. Tags are expanded: `gateways:shop` also counts as `gateways`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Unique, grows with time; also the id of the event stream.
    pub id: String,
    /// Version of the event format.
    pub version: String,
    /// Expanded tags.
    pub tags: BTreeSet<String>,
    /// Any JSON value, verbatim.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Value>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Type, `event` unless given.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who caused it: a user, `vamp`, or a client's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<String>,
    /// Revision of the environment that the change behind it made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
}

/// An event before it is stored: no id yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Tags as published, not expanded.
    pub tags: BTreeSet<String>,
    /// Any JSON value.
    pub value: Option<Value>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Type.
    pub kind: String,
    /// Who caused it.
    pub actor: Option<String>,
    /// Version of the event format, when the publisher gave one.
    pub version: Option<String>,
}

/// Every tag, and for tags with a colon also the part before the first one.
pub fn expand(tags: &BTreeSet<String>) -> BTreeSet<String> {
    let groups = tags.iter().filter_map(|tag| tag.split_once(':')).map(|(group, _)| group.to_owned());
    tags.iter().cloned().chain(groups).collect()
}

/// Which events are asked for: all tags present (AND), type exact, time in range.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventQuery {
    /// Tags that must all be present among the expanded tags.
    pub tags: BTreeSet<String>,
    /// Exact type.
    pub kind: Option<String>,
    /// Earliest time.
    pub from: Option<TimeBound>,
    /// Latest time.
    pub until: Option<TimeBound>,
}

/// One end of a time range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBound {
    /// The instant.
    pub at: Timestamp,
    /// True when the instant itself belongs to the range.
    pub inclusive: bool,
}

impl EventQuery {
    /// True when `event` is one of those asked for.
    pub fn matches(&self, event: &Event) -> bool {
        let after =
            self.from.is_none_or(|b| event.timestamp > b.at || (b.inclusive && event.timestamp == b.at));
        let before =
            self.until.is_none_or(|b| event.timestamp < b.at || (b.inclusive && event.timestamp == b.at));
        after
            && before
            && self.kind.as_ref().is_none_or(|k| *k == event.kind)
            && self.tags.is_subset(&event.tags)
    }
}

/// What to compute over the events of a query instead of listing them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregator {
    /// The computation.
    pub kind: AggregatorKind,
    /// Field that holds the number: `value`, or the type of the events.
    pub field: String,
}

/// A computation over events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregatorKind {
    /// Number of events.
    Count,
    /// Mean of the numeric values.
    Average,
    /// Least numeric value.
    Min,
    /// Greatest numeric value.
    Max,
    /// Sum of the numeric values.
    Sum,
}
