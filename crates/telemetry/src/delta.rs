//! What was counted since an earlier moment, for a process elsewhere that keeps the sums ([`Remote`](crate::Remote)).
//!
//! Reading takes differences of totals that only grow, so nothing is lost and nothing is there twice, however far apart
//! two reads are. A series that is forgotten in between is read once more as it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use model::port::Protocol;

use crate::counters::Totals;
use crate::histogram::Histogram;
use crate::phases::{PhaseGrowth, SeenPhases, merge_steps};
use crate::registry::{Key, Telemetry, Tracked};
use crate::series::Series;

/// What was counted in one series between two moments, and what is open at the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Which series.
    pub key: Key,
    /// Name for people: of an instance its own, else the path or name.
    pub name: String,
    /// What the gateway speaks.
    pub protocol: Protocol,
    /// How much every counter grew. `in_flight` and `connections_closed` are 0: see `open`.
    pub counted: Totals,
    /// Steps of the latency histogram that grew, rising, and by how much.
    pub latencies: Vec<(u16, u64)>,
    /// Phases that grew, in the order of a request; of routes.
    pub phases: Vec<PhaseGrowth>,
    /// What is open at the second moment.
    pub open: Open,
}

/// What is open at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Open {
    /// Requests under way.
    pub in_flight: u64,
    /// Connections.
    pub connections: u64,
}

impl Delta {
    /// Adds what was counted after this one.
    pub fn merge(&mut self, later: Delta) {
        self.counted.add(&later.counted);
        merge_steps(&mut self.latencies, later.latencies);
        for growth in later.phases {
            match self.phases.iter_mut().find(|known| known.phase == growth.phase) {
                Some(known) => known.merge(growth),
                None => self.phases.push(growth),
            }
        }
        self.open = later.open;
        self.name = later.name;
        self.protocol = later.protocol;
    }

    /// True when it says nothing but what is open.
    fn is_empty(&self) -> bool {
        self.latencies.is_empty() && self.phases.is_empty() && self.counted == Totals::default()
    }
}

/// Reads differences. One reader follows one [`Telemetry`].
#[derive(Debug, Default)]
pub struct Reader {
    seen: BTreeMap<Key, Seen>,
    /// The last words of series that are forgotten.
    gone: Vec<Delta>,
}

/// Up to where a series is read.
#[derive(Debug, Default)]
struct Seen {
    /// A series of the same name that came later begins at 0.
    series: Weak<Series>,
    totals: Totals,
    latencies: Histogram,
    phases: Option<Box<SeenPhases>>,
    open: Open,
}

impl Reader {
    /// What was counted since the last read: one for each series where something changed. With `all_open` also one for each with
    /// something open, for a reader of reports that knows nothing yet.
    pub fn read(&mut self, telemetry: &Telemetry, all_open: bool) -> Vec<Delta> {
        let mut all = std::mem::take(&mut self.gone);
        for tracked in telemetry.busy() {
            let before = self.seen.get(&tracked.key).map_or_else(Open::default, |seen| seen.open);
            let delta = self.advance(&tracked);
            let opened = delta.open != before || (all_open && delta.open != Open::default());
            if opened || !delta.is_empty() {
                all.push(delta);
            }
        }
        all
    }

    /// As [`Telemetry::retain`], without losing what was counted in the forgotten series since the last read.
    pub fn retain(&mut self, telemetry: &Telemetry, live: &BTreeSet<Key>, now: Timestamp) {
        for tracked in telemetry.forget(live, now) {
            // Nobody else holds it, so this is its last word.
            let delta = self.advance(&tracked);
            self.seen.remove(&tracked.key);
            if !delta.is_empty() {
                self.gone.push(delta);
            }
        }
    }

    fn advance(&mut self, tracked: &Tracked) -> Delta {
        let Tracked { key, name, protocol, series } = tracked;
        let seen = self.seen.entry(key.clone()).or_default();
        if !std::ptr::eq(seen.series.as_ptr(), Arc::as_ptr(series)) {
            *seen = Seen { series: Arc::downgrade(series), ..Seen::default() };
        }
        let totals = series.totals();
        let mut latencies = Vec::new();
        series.advance(&mut seen.latencies, &mut latencies);
        let phases = series.advance_phases(&mut seen.phases);
        let open = Open { in_flight: totals.in_flight, connections: totals.connections() };
        let counted = totals.since(&seen.totals);
        seen.totals = totals;
        seen.open = open;
        Delta { key: key.clone(), name: name.clone(), protocol: *protocol, counted, latencies, phases, open }
    }
}

#[cfg(test)]
mod tests;
