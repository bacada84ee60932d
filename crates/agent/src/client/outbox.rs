//! What was counted and is not acknowledged yet. Pure.
//!
//! ```text
//! differences --add--> waiting (merged by series) --next--> under way (one report, with a number) --acked--> gone
//!                                                              ^ sent again as it was, until it is acknowledged
//! ```
//!
//! However long a controller is away, this holds two differences for each series at most, and a bounded number of incidents.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use telemetry::{Delta, Key};

use crate::{Incident, convert, proto};

/// Series in one report.
const MOST_SERIES: usize = 4_096;
/// Incidents that wait, and so those of one report; of more the oldest are forgotten.
const MOST_INCIDENTS: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: BTreeMap<Key, Delta>,
    incidents: VecDeque<Incident>,
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

    pub(crate) fn note(&mut self, incidents: Vec<Incident>) {
        self.incidents.extend(incidents);
        let too_many = self.incidents.len().saturating_sub(MOST_INCIDENTS);
        self.incidents.drain(..too_many);
    }

    /// The next report to send; `None` while one is under way, or when there is nothing to tell.
    pub(crate) fn next(&mut self) -> Option<proto::Report> {
        if self.under_way.is_some() || (self.waiting.is_empty() && self.incidents.is_empty()) {
            return None;
        }
        let rest = match self.waiting.keys().nth(MOST_SERIES).cloned() {
            Some(key) => self.waiting.split_off(&key),
            None => BTreeMap::new(),
        };
        let now = std::mem::replace(&mut self.waiting, rest);
        self.sequence += 1;
        let report = proto::Report {
            sequence: self.sequence,
            series: now.values().map(convert::series).collect(),
            incidents: self.incidents.drain(..).map(convert::incident).collect(),
        };
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
        self.under_way.is_none() && self.waiting.is_empty() && self.incidents.is_empty()
    }
}

#[cfg(test)]
mod tests;
