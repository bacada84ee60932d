//! Sums of what processes elsewhere count: their [`Delta`]s become part of the series here.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::delta::{Delta, Open};
use crate::registry::{Key, Telemetry};
use crate::series::Series;

/// Series that other processes may bring into being: far more than any installation has, and each takes a kilobyte or two.
const MOST_SERIES: usize = 100_000;

/// One process elsewhere: what is open there, as far as it is part of the figures here.
#[derive(Debug, Default)]
pub struct Remote {
    /// Holds the series, so that what was added to it can be taken back from it.
    open: BTreeMap<Key, (Arc<Series>, Open)>,
}

impl Telemetry {
    /// Adds what a process elsewhere counted, as if it had been counted here. False when there are too many series to begin another.
    pub fn absorb(&self, remote: &mut Remote, delta: &Delta) -> bool {
        let known = match self.series(&delta.key) {
            None if self.size() >= MOST_SERIES => return false,
            known => known,
        };
        let series = match (&delta.key, known) {
            // These keep the name or protocol of the newest word.
            (Key::Gateway(gateway), _) => self.gateway(gateway, delta.protocol),
            (Key::Instance(gateway, route, id), _) => self.instance(gateway, route, id, &delta.name),
            (Key::Route(..), Some(series)) => series,
            (Key::Route(gateway, route), None) => self.route(gateway, route),
        };
        let before = remote.open.get(&delta.key).map_or_else(Open::default, |(_, open)| *open);
        series.absorb(&delta.counted, &delta.latencies, before, delta.open);
        series.absorb_phases(&delta.phases);
        if delta.open == Open::default() {
            remote.open.remove(&delta.key);
        } else {
            remote.open.insert(delta.key.clone(), (series, delta.open));
        }
        true
    }
}

impl Remote {
    /// The process is gone, and what was open there with it. What it counted stays.
    pub fn release(&mut self) {
        for (series, open) in std::mem::take(&mut self.open).into_values() {
            series.absorb(&crate::Totals::default(), &[], open, Open::default());
        }
    }
}
