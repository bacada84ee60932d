//! The event log: what may be asked of it, and how an event becomes a stored one.

use std::time::Duration;

use jiff::Timestamp;
use model::event::{AggregatorKind, Event, EventQuery, NewEvent, TimeBound, expand};
use serde_json::Value;

use crate::Revision;

/// Which part of a long list: pages count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Number of the page, at least 1.
    pub number: u32,
    /// Entries on a page, at least 1.
    pub size: u32,
}

impl Page {
    /// Largest size of a page here. The API allows less.
    pub const MAX_SIZE: u32 = 1_000;

    /// A page; what is out of range is cut to it.
    pub fn new(number: u32, size: u32) -> Self {
        Self { number: number.max(1), size: size.clamp(1, Self::MAX_SIZE) }
    }

    /// How many entries are on the pages before this one.
    pub fn offset(self) -> u64 {
        u64::from(self.number.max(1) - 1) * u64::from(self.limit())
    }

    /// How many entries this page has at most.
    pub fn limit(self) -> u32 {
        self.size.clamp(1, Self::MAX_SIZE)
    }
}

/// One page of events.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventPage {
    /// Newest first: by time, then by id.
    pub events: Vec<Event>,
    /// How many events match on all pages.
    pub total: u64,
}

/// What to compute over the events of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// Number of events, numeric or not.
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

impl Aggregation {
    /// Applies the `field` of an aggregator. A value is called `value`, and also by the type of its event (a `metrics` event
    /// has a field `metrics`): any other word narrows the query to events of that type. `None`: no event can have that
    /// field. Counting needs no field.
    pub fn narrow(self, query: EventQuery, field: &str) -> Option<EventQuery> {
        if self == Self::Count || field == "value" {
            return Some(query);
        }
        match &query.kind {
            Some(kind) if kind != field => None,
            _ => Some(EventQuery { kind: Some(field.to_owned()), ..query }),
        }
    }
}

impl From<AggregatorKind> for Aggregation {
    fn from(kind: AggregatorKind) -> Self {
        match kind {
            AggregatorKind::Count => Self::Count,
            AggregatorKind::Average => Self::Average,
            AggregatorKind::Min => Self::Min,
            AggregatorKind::Max => Self::Max,
            AggregatorKind::Sum => Self::Sum,
        }
    }
}

/// How much of the event log to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events older than this go.
    pub max_age: Duration,
    /// When there are more, the oldest go.
    pub max_events: u64,
}

impl Retention {
    /// The time before which events go.
    pub(crate) fn horizon(&self, now: Timestamp) -> Timestamp {
        jiff::SignedDuration::try_from(self.max_age)
            .ok()
            .and_then(|age| now.checked_sub(age).ok())
            .unwrap_or(Timestamp::MIN)
    }
}

/// What one call of pruning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Events that are gone now.
    pub events: u64,
    /// True when there is more to forget: call again.
    pub more: bool,
}

/// Events that one call of pruning removes at most, so that it never holds up a commit for long.
pub(crate) const PRUNE_BATCH: u64 = 200;

/// Version of the format of events that do not name one.
const VERSION: &str = "1.0";

/// The event as it is stored. Times are kept in microseconds: what was stored is what every later read shows.
pub(crate) fn stored(new: NewEvent, id: String, revision: Option<Revision>) -> Event {
    let timestamp = Timestamp::from_microsecond(micros_floor(new.timestamp)).unwrap_or(new.timestamp);
    Event {
        id,
        version: new.version.unwrap_or_else(|| VERSION.to_owned()),
        tags: expand(&new.tags),
        value: new.value,
        timestamp,
        kind: new.kind,
        actor: new.actor,
        revision,
    }
}

/// The number that aggregations see.
pub(crate) fn numeric(value: Option<&Value>) -> Option<f64> {
    value.and_then(Value::as_f64)
}

/// The time range of a query as whole microseconds, both ends included.
pub(crate) fn micros_range(query: &EventQuery) -> (i64, i64) {
    let from = |bound: TimeBound| {
        if bound.inclusive { micros_ceil(bound.at) } else { micros_floor(bound.at) + 1 }
    };
    let until = |bound: TimeBound| {
        if bound.inclusive { micros_floor(bound.at) } else { micros_ceil(bound.at) - 1 }
    };
    (query.from.map_or(i64::MIN, from), query.until.map_or(i64::MAX, until))
}

pub(crate) fn micros_floor(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond().div_euclid(1_000)).expect("a timestamp in microseconds fits 64 bits")
}

pub(crate) fn micros_ceil(at: Timestamp) -> i64 {
    micros_floor(at) + i64::from(at.as_nanosecond().rem_euclid(1_000) != 0)
}
