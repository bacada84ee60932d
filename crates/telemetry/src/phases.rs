//! How long the parts of requests took: histograms beside that of the whole, for routes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::counters::Ownership;
use crate::histogram::{Histogram, LiveHistogram};
use crate::outcome::Outcome;

/// A part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for room at a target; of those that had to.
    Wait,
    /// Connecting to the target; of those for which no connection was at hand.
    Connect,
    /// From the first byte of the request to the first of the response.
    FirstByte,
}

impl Phase {
    /// All of them, in the order of a request.
    pub const ALL: [Self; 3] = [Self::Wait, Self::Connect, Self::FirstByte];

    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Connect => "connect",
            Self::FirstByte => "first_byte",
        }
    }

    fn of(self, outcome: &Outcome) -> Option<Duration> {
        match self {
            Self::Wait => outcome.waited,
            Self::Connect => outcome.connected,
            Self::FirstByte => outcome.first_byte,
        }
    }
}

/// The recording side, of one worker.
#[derive(Debug, Default)]
pub(crate) struct LivePhases([(LiveHistogram, AtomicU64); Phase::ALL.len()]);

impl LivePhases {
    pub(crate) fn record(&self, outcome: &Outcome, ownership: Ownership) {
        for (phase, (histogram, sum)) in Phase::ALL.into_iter().zip(&self.0) {
            if let Some(time) = phase.of(outcome) {
                histogram.record(time, ownership);
                ownership.add(sum, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            }
        }
    }

    pub(crate) fn add_to(&self, phase: Phase, sums: &mut PhaseTimes) {
        let (histogram, sum) = &self.0[phase as usize];
        sums.times.merge(histogram);
        sums.nanos = sums.nanos.wrapping_add(sum.load(Ordering::Relaxed));
    }
}

/// How long a phase took in all requests so far.
#[derive(Debug, Clone, Default)]
pub struct PhaseTimes {
    /// By time.
    pub times: Histogram,
    /// Sum, nanoseconds.
    pub nanos: u64,
}
