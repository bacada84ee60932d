//! Latency histograms with a fixed layout: exact below 64 us, and 32 steps for each doubling above.
//!
//! ```text
//! group   0        1         2           3            ...   31
//! us      0..32    32..64    64..128     128..256           2^35..2^36 (19 h; longer counts as that)
//! step    1        1         2           4                  2^30
//! ```
//!
//! A value is known to 1/32 of itself; reading takes the middle of a step, so an answer is off by at most 1.6 %. All
//! histograms have the same steps: they add up exactly. Groups come into being with their first value, which keeps one
//! histogram at one to two KiB in practice.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::counters::Ownership;

const STEPS: usize = 32;
const GROUPS: usize = 32;

/// Which step of which group a duration falls into, as one number.
pub(crate) fn index(duration: Duration) -> usize {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if micros < STEPS as u64 {
        return micros as usize;
    }
    let group = 59 - micros.leading_zeros() as usize;
    if group >= GROUPS {
        return GROUPS * STEPS - 1;
    }
    group * STEPS + ((micros >> (group - 1)) as usize - STEPS)
}

/// The values of a step: first, and first of the next, in microseconds.
fn bounds(index: usize) -> (u64, u64) {
    let (group, step) = (index / STEPS, (index % STEPS) as u64);
    if group == 0 {
        (step, step + 1)
    } else {
        let width = 1_u64 << (group - 1);
        ((STEPS as u64 + step) * width, (STEPS as u64 + step + 1) * width)
    }
}

/// The recording side: one writer (or several with [`Ownership::Shared`]), any number of readers.
#[derive(Debug, Default)]
pub(crate) struct LiveHistogram {
    groups: [OnceLock<Box<[AtomicU64; STEPS]>>; GROUPS],
}

impl LiveHistogram {
    pub(crate) fn record(&self, duration: Duration, ownership: Ownership) {
        let index = index(duration);
        let group = self.groups[index / STEPS].get_or_init(Box::default);
        ownership.add(&group[index % STEPS], 1);
    }

    /// Adds values of a step; no such step: they count as the longest.
    pub(crate) fn add(&self, index: usize, count: u64, ownership: Ownership) {
        let index = index.min(GROUPS * STEPS - 1);
        let group = self.groups[index / STEPS].get_or_init(Box::default);
        ownership.add(&group[index % STEPS], count);
    }

    /// Adds what is recorded here to `sums`; false when there is nothing in that group.
    pub(crate) fn add_group(&self, group: usize, sums: &mut [u64; STEPS]) -> bool {
        let Some(cells) = self.groups[group].get() else { return false };
        for (sum, cell) in sums.iter_mut().zip(cells.iter()) {
            *sum += cell.load(Ordering::Relaxed);
        }
        true
    }
}

/// Counts of latencies, merged from any number of recordings.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    groups: [Option<Box<[u64; STEPS]>>; GROUPS],
    count: u64,
}

impl Histogram {
    /// Adds one value.
    pub fn record(&mut self, duration: Duration) {
        self.add(index(duration), 1);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value below or at which the share `quantile` (0 to 1) of all values lies; `None` without values.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = ((quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts() {
            seen += count;
            if seen >= rank {
                let (from, until) = bounds(index);
                // Values in one step are whole microseconds: the middle of `64..66` is 64.5.
                return Some(Duration::from_nanos((from + until - 1) * 500));
            }
        }
        None
    }

    /// For each of the rising `limits`: how many values lie at or below it, to the precision of the steps.
    pub fn cumulative(&self, limits: &[Duration]) -> Vec<u64> {
        let mut cells = self.counts().peekable();
        let mut seen = 0;
        let up_to = |limit: &Duration| {
            let limit = limit.as_micros();
            while let Some((_, count)) = cells.next_if(|(index, _)| u128::from(bounds(*index).1 - 1) <= limit)
            {
                seen += count;
            }
            seen
        };
        limits.iter().map(up_to).collect()
    }

    pub(crate) fn add(&mut self, index: usize, count: u64) {
        let group = self.groups[index / STEPS].get_or_insert_default();
        group[index % STEPS] += count;
        self.count += count;
    }

    pub(crate) fn merge(&mut self, live: &LiveHistogram) {
        for group in 0..GROUPS {
            let mut sums = [0; STEPS];
            if live.add_group(group, &mut sums) {
                self.count += sums.iter().sum::<u64>();
                let mine = self.groups[group].get_or_insert_default();
                mine.iter_mut().zip(sums).for_each(|(mine, sum)| *mine += sum);
            }
        }
    }

    /// Takes over what the recordings in `lives` add up to, and reports what grew as pairs of step and count.
    pub(crate) fn advance<'a>(
        &mut self,
        lives: impl Iterator<Item = &'a LiveHistogram> + Clone,
        grew: &mut Vec<(u16, u64)>,
    ) {
        for group in 0..GROUPS {
            let mut sums = [0; STEPS];
            // `filter` and `count`, not `any`: all of them are to be added.
            if lives.clone().filter(|live| live.add_group(group, &mut sums)).count() == 0 {
                continue;
            }
            let mine = self.groups[group].get_or_insert_default();
            for (step, (mine, sum)) in mine.iter_mut().zip(sums).enumerate() {
                if sum > *mine {
                    grew.push(((group * STEPS + step) as u16, sum - *mine));
                    self.count += sum - *mine;
                    *mine = sum;
                }
            }
        }
    }

    /// Steps with values, in rising order.
    fn counts(&self) -> impl Iterator<Item = (usize, u64)> {
        self.groups.iter().enumerate().filter_map(|(group, cells)| Some((group, cells.as_ref()?))).flat_map(
            |(group, cells)| {
                let counts = cells.iter().enumerate().filter(|(_, count)| **count > 0);
                counts.map(move |(step, count)| (group * STEPS + step, *count))
            },
        )
    }
}

#[cfg(test)]
mod tests;
