//! What was counted and is not acknowledged yet. Pure.
//!
//! ```text
//! differences --add--> waiting (merged by series) --next--> under way (one report, with a number) --acked--> gone
//!                                                              ^ sent again as it was, until it is acknowledged
//! ```
//!
//! However long a controller is away, this holds two differences for each series at most.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use telemetry::{Delta, Key};

use crate::{convert, proto};

/// Series in one report.
const MOST_SERIES: usize = 4_096;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: BTreeMap<Key, Delta>,
    under_way: Option<proto::Report>,
    /// Number of the last report.
    sequence: u64,
}

impl Outbox {
    pub(crate) fn add(&mut self, deltas: Vec<Delta>) {
        for delta in deltas {
            match self.waiting.entry(delta.key.clone()) {
                Entry::Occupied(mut known) => known.get_mut().merge(delta),
                Entry::Vacant(place) => {
                    place.insert(delta);
                }
            }
        }
    }

    /// The next report to send; `None` while one is under way, or when there is nothing to tell.
    pub(crate) fn next(&mut self) -> Option<proto::Report> {
        if self.under_way.is_some() || self.waiting.is_empty() {
            return None;
        }
        let rest = match self.waiting.keys().nth(MOST_SERIES).cloned() {
            Some(key) => self.waiting.split_off(&key),
            None => BTreeMap::new(),
        };
        let now = std::mem::replace(&mut self.waiting, rest);
        self.sequence += 1;
        let report =
            proto::Report { sequence: self.sequence, series: now.values().map(convert::series).collect() };
        self.under_way = Some(report.clone());
        Some(report)
    }

    /// The report that a stream left behind when it broke.
    pub(crate) fn again(&self) -> Option<proto::Report> {
        self.under_way.clone()
    }

    pub(crate) fn acked(&mut self, sequence: u64) {
        self.under_way.take_if(|report| report.sequence <= sequence);
    }

    /// True when everything is acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_none() && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests;
