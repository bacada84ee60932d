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

    /// Takes over what was counted elsewhere.
    pub(crate) fn absorb(&self, growth: &PhaseGrowth) {
        let (histogram, sum) = &self.0[growth.phase as usize];
        for (step, count) in &growth.steps {
            histogram.add(usize::from(*step), *count, Ownership::Shared);
        }
        Ownership::Shared.add(sum, growth.nanos);
    }

    pub(crate) fn add_to(&self, phase: Phase, sums: &mut PhaseTimes) {
        let (histogram, sum) = &self.0[phase as usize];
        sums.times.merge(histogram);
        sums.nanos = sums.nanos.wrapping_add(sum.load(Ordering::Relaxed));
    }
}

/// By how much a phase grew between two moments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseGrowth {
    /// Which one.
    pub phase: Phase,
    /// Steps of its histogram that grew, rising, and by how much.
    pub steps: Vec<(u16, u64)>,
    /// Sum, nanoseconds.
    pub nanos: u64,
}

impl PhaseGrowth {
    /// Adds what was counted after this one.
    pub(crate) fn merge(&mut self, later: Self) {
        merge_steps(&mut self.steps, later.steps);
        self.nanos = self.nanos.wrapping_add(later.nanos);
    }
}

/// Adds counts of steps to others; both rise.
pub(crate) fn merge_steps(steps: &mut Vec<(u16, u64)>, later: Vec<(u16, u64)>) {
    for (step, count) in later {
        match steps.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(place) => steps[place].1 += count,
            Err(place) => steps.insert(place, (step, count)),
        }
    }
}

/// Up to where the phases of a series are read.
#[derive(Debug, Default)]
pub(crate) struct SeenPhases([PhaseTimes; Phase::ALL.len()]);

impl SeenPhases {
    /// Brings this up to date with what the workers recorded, and says what grew.
    pub(crate) fn advance<'a>(
        &mut self,
        lives: impl Iterator<Item = &'a LivePhases> + Clone,
    ) -> Vec<PhaseGrowth> {
        let mut grew = Vec::new();
        for (phase, seen) in Phase::ALL.into_iter().zip(&mut self.0) {
            let of_phase = lives.clone().map(|live| &live.0[phase as usize]);
            let sum = of_phase
                .clone()
                .fold(0_u64, |sum, (_, nanos)| sum.wrapping_add(nanos.load(Ordering::Relaxed)));
            let nanos = sum.wrapping_sub(std::mem::replace(&mut seen.nanos, sum));
            let mut steps = Vec::new();
            seen.times.advance(of_phase.map(|(histogram, _)| histogram), &mut steps);
            if nanos != 0 || !steps.is_empty() {
                grew.push(PhaseGrowth { phase, steps, nanos });
            }
        }
        grew
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
