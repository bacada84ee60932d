//! When to try the next controller. Pure: chance is passed in.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// Short enough for a controller that has just begun to lead, and has yet to open its environments.
const LONGEST: Duration = Duration::from_secs(5);
/// A controller that does not lead tells that another one does, or is about to: that is worth a quick look.
const NOT_LEADER: Duration = Duration::from_millis(500);

/// Pauses that grow with every failure in a row, and are spread so that agents do not come all at once.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A stream stood: the next failure is a first one.
    pub(crate) fn success(&mut self) {
        self.failures = 0;
    }

    /// The pause before the next attempt, between half of it and all of it by `chance`.
    pub(crate) fn pause(&mut self, not_leader: bool, chance: u64) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        let full = if not_leader { full.min(NOT_LEADER) } else { full };
        self.failures = self.failures.saturating_add(1);
        let half = full / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos(chance % nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_are_spread() {
        let mut backoff = Backoff::default();
        let mut last = Duration::ZERO;
        for round in 0..40_u64 {
            let pause = backoff.pause(false, round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            assert!(pause >= FIRST / 2 && pause <= LONGEST, "{pause:?}");
            assert!(round > 6 || pause * 4 > last, "{pause:?} after {last:?}");
            last = pause;
        }
        assert!(last >= LONGEST / 2);
        assert!(backoff.pause(true, u64::MAX) <= NOT_LEADER);
        backoff.success();
        assert!(backoff.pause(false, 0) <= FIRST);
    }
}
