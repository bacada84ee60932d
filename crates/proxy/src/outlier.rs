//! Who of a route's targets is left out for a while, and for how long: functions over plain data, with time passed in.
//!
//! ```text
//!                failures in a row, or a success rate far below the others'
//!   serving  ------------------------------------------------------------->  ejected
//!      ^  (if the bound allows it and the others do better)                     |
//!      |                                                                        |  base time, doubled for each ejection
//!      +--- slow start <--------------------------------------------------------+  that is not yet forgotten, up to a cap
//!      |
//!      +--- two checks <--- down <--- three connections refused (R32)
//! ```
//!
//! Ejection is an opinion, and it may be wrong: so never more than a share of a route's targets is held, never the last one that
//! serves, and never one while the others are no better. A target that accepts no connection is down, which is a fact.

use std::time::Duration;

use routing::table::TargetState;

/// Failed connects in a row that take a target down (R32).
const DOWN_AFTER: u32 = 3;
/// Connects in a row that bring it back.
const UP_AFTER: u32 = 2;
/// The portion with which slow start begins, in hundredths of a percent.
const SLOW_START: u64 = 1_000;

/// When targets are ejected and how they come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlierRules {
    /// Failed requests in a row that eject a target; 0 turns ejection off.
    pub failures: u32,
    /// How long the first ejection lasts; the next ones twice as long each.
    pub ejection_time: Duration,
    /// How long an ejection lasts at most.
    pub longest_ejection: Duration,
    /// Share of a route's targets that may be held at a time, in hundredths of a percent; rounded down.
    pub most_ejected: u16,
    /// Time over which the success rates of targets are compared.
    pub window: Duration,
    /// Time in which a fresh target, or one that is back, comes to its full part of the traffic; zero for at once.
    pub slow_start: Duration,
}

impl Default for OutlierRules {
    fn default() -> Self {
        Self {
            failures: 5,
            ejection_time: Duration::from_secs(30),
            longest_ejection: Duration::from_secs(300),
            most_ejected: 5_000,
            window: Duration::from_secs(10),
            slow_start: Duration::ZERO,
        }
    }
}

/// What became of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Ejected, after a time without.
    Ejected,
    /// Ejected once more before the last time was forgotten.
    EjectedAgain,
    /// Serves again.
    Back,
    /// Served for as long as its last ejection would last; that is forgotten.
    Calm,
}

/// How a target stands. Times are durations since some moment, the same for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// It accepts no connections.
    down: bool,
    /// Connects that failed in a row.
    refused: u32,
    /// Checks that worked in a row.
    passed: u32,
    ejected_until: Option<Duration>,
    /// Ejections that are not forgotten.
    level: u32,
    /// When the last ejection ended.
    back_at: Duration,
    /// Ejections ever.
    ejections: u64,
    /// Since when it starts slowly.
    warming: Option<Duration>,
}

impl Standing {
    /// A target that comes to others: it starts slowly.
    pub(crate) fn fresh(now: Duration) -> Self {
        Self { warming: Some(now), ..Self::default() }
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected_until.is_some()
    }

    /// Serves nothing.
    pub(crate) fn is_held(&self) -> bool {
        self.is_down() || self.is_ejected()
    }

    pub(crate) fn ejections(&self) -> u64 {
        self.ejections
    }

    /// A connection for a request could not be made. True when that is enough to take the target down, which the caller does
    /// ([`Standing::take_down`]) if others are left.
    pub(crate) fn refused(&mut self) -> bool {
        self.passed = 0;
        self.refused = self.refused.saturating_add(1);
        self.refused >= DOWN_AFTER && !self.down
    }

    /// A connection for a request could be made.
    pub(crate) fn connected(&mut self) {
        self.refused = 0;
    }

    pub(crate) fn take_down(&mut self) {
        self.down = true;
    }

    /// The result of a connect check: three failures take a target down, two successes bring it back.
    pub(crate) fn checked(&mut self, works: bool, now: Duration) {
        if works {
            self.refused = 0;
            self.passed = self.passed.saturating_add(1);
            if self.passed >= UP_AFTER && self.down {
                self.down = false;
                self.warming = Some(now);
            }
        } else {
            self.passed = 0;
            self.refused = self.refused.saturating_add(1);
            self.down |= self.refused >= DOWN_AFTER;
        }
    }

    /// Leaves the target out for a while.
    pub(crate) fn eject(&mut self, now: Duration, rules: &OutlierRules) -> Turn {
        let turn = if self.level == 0 { Turn::Ejected } else { Turn::EjectedAgain };
        self.ejected_until = Some(now + self.next_ejection(rules));
        self.level = self.level.saturating_add(1);
        self.ejections += 1;
        turn
    }

    /// How long an ejection would last now.
    fn next_ejection(&self, rules: &OutlierRules) -> Duration {
        let longest = rules.longest_ejection.max(rules.ejection_time);
        let times = 1_u32.checked_shl(self.level).unwrap_or(u32::MAX);
        rules.ejection_time.saturating_mul(times).min(longest)
    }

    /// Ends an ejection.
    pub(crate) fn release(&mut self, now: Duration) -> Option<Turn> {
        self.ejected_until.take()?;
        self.back_at = now;
        self.warming = Some(now);
        Some(Turn::Back)
    }

    /// Time passes: ejections end, and one that ended long enough ago is forgotten.
    pub(crate) fn pass(&mut self, now: Duration, rules: &OutlierRules) -> Option<Turn> {
        if self.warming.is_some_and(|since| now >= since + rules.slow_start) {
            self.warming = None;
        }
        match self.ejected_until {
            Some(until) if now >= until => self.release(now),
            Some(_) => None,
            None if self.level > 0 && !self.down => {
                // As long as the last one lasted.
                self.level -= 1;
                let last = self.next_ejection(rules);
                if now < self.back_at + last {
                    self.level += 1;
                    return None;
                }
                self.back_at = now;
                (self.level == 0).then_some(Turn::Calm)
            }
            None => None,
        }
    }

    /// How much it takes of what would fall to it ([`TargetState::portion`]).
    pub(crate) fn portion(&self, now: Duration, rules: &OutlierRules) -> u16 {
        if self.is_held() {
            return 0;
        }
        let Some(since) = self.warming else { return TargetState::FULL };
        let (passed, all) = (now.saturating_sub(since).as_millis(), rules.slow_start.as_millis());
        if passed >= all {
            return TargetState::FULL;
        }
        let left = u64::from(TargetState::FULL) - SLOW_START;
        // `passed < all`: below the whole.
        let gained = (u128::from(left) * passed / all) as u64;
        u16::try_from(SLOW_START + gained).unwrap_or(TargetState::FULL)
    }
}

/// A target of a route, for a decision about another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Ejected or down.
    pub(crate) held: bool,
    /// Its last requests failed ([`is_failing`]).
    pub(crate) failing: bool,
}

/// Whether a target that failed so often in a row is no better than one that is to be ejected: a third of the failures that eject.
/// Where all fail, one of them is always the first to have all of them.
pub(crate) fn is_failing(in_a_row: u32, rules: &OutlierRules) -> bool {
    in_a_row >= rules.failures.div_ceil(3).max(1)
}

/// How many of so many targets may be held at a time; never all.
pub(crate) fn allowed(targets: usize, rules: &OutlierRules) -> usize {
    let share = usize::from(rules.most_ejected.min(10_000));
    (targets.saturating_mul(share) / 10_000).min(targets.saturating_sub(1))
}

/// Whether a target may be ejected: it is not held, there is room, and most of the others that serve do better. When all of them
/// fail, the fault lies elsewhere, and leaving one out would only add to it.
pub(crate) fn may_eject(peers: &[Peer], index: usize, rules: &OutlierRules) -> bool {
    let held = peers.iter().filter(|peer| peer.held).count();
    let others =
        peers.iter().enumerate().filter(|(other, peer)| *other != index && !peer.held).map(|(_, peer)| peer);
    let (others, failing) =
        others.fold((0_usize, 0_usize), |(all, bad), peer| (all + 1, bad + usize::from(peer.failing)));
    rules.failures > 0
        && peers.get(index).is_some_and(|peer| !peer.held)
        && held < allowed(peers.len(), rules)
        && others > 2 * failing
}

/// Which ejections must end before their time: more are held than the bound allows now (targets went, or went down), or nothing is
/// left that serves. Those that would end first, first.
pub(crate) fn to_release(standings: &[Standing], rules: &OutlierRules) -> Vec<usize> {
    let mut ejected: Vec<(Duration, usize)> = standings
        .iter()
        .enumerate()
        .filter(|(_, standing)| !standing.is_down())
        .filter_map(|(index, standing)| Some((standing.ejected_until?, index)))
        .collect();
    ejected.sort_unstable();
    let down = standings.iter().filter(|standing| standing.is_down()).count();
    let room = allowed(standings.len(), rules).saturating_sub(down);
    let release = ejected.len().saturating_sub(room);
    ejected.into_iter().take(release).map(|(_, index)| index).collect()
}

/// Requests of a target within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sample {
    pub(crate) requests: u32,
    pub(crate) failures: u32,
}

/// Requests without which a rate says nothing.
const ENOUGH: u32 = 50;
/// How much more often than the others a target must fail.
const WORSE_BY: f64 = 0.2;
/// Standard errors between its rate and theirs: about one in three million by chance, and there are thousands of windows in a day.
const SIGMAS: f64 = 5.0;

/// The target whose requests fail far more often than those of the others together, if there is one; the worst of several.
///
/// A test of two proportions. It needs no third target to learn from what is usual, as rules do that compare with the spread between
/// targets; and both conditions must hold: one that is certain but small does no harm, one that is large may be chance.
pub(crate) fn outlier(samples: &[Sample]) -> Option<usize> {
    let (requests, failures) = samples.iter().fold((0_u64, 0_u64), |(requests, failures), sample| {
        (requests + u64::from(sample.requests), failures + u64::from(sample.failures.min(sample.requests)))
    });
    let stands_out = |sample: &Sample| {
        let failed = sample.failures.min(sample.requests);
        let others = requests - u64::from(sample.requests);
        if sample.requests < ENOUGH || others < u64::from(ENOUGH) {
            return None;
        }
        let (own_count, other_count) = (f64::from(sample.requests), others as f64);
        let own = f64::from(failed) / own_count;
        let difference = own - (failures - u64::from(failed)) as f64 / other_count;
        let pooled = failures as f64 / requests as f64;
        let error = (pooled * (1.0 - pooled) * (1.0 / own_count + 1.0 / other_count)).sqrt();
        (difference >= WORSE_BY && difference >= SIGMAS * error).then_some(difference)
    };
    let all = samples.iter().enumerate().filter_map(|(index, sample)| Some((index, stands_out(sample)?)));
    all.max_by(|(_, left), (_, right)| left.total_cmp(right)).map(|(index, _)| index)
}

#[cfg(test)]
mod tests;
