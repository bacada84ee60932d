//! Positions: how a deterministic split is shared by any number of threads.
//!
//! Every split (weights of a gateway, strength of a condition, targets of a route) is a fixed sequence and one counter.
//! A request takes the next number with a single relaxed `fetch_add` and looks up whose turn that is. Each number is given
//! out exactly once, so the split is exact over the whole process, whichever thread serves a request.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that survives tables. Aligned to a cache line: gateways on different cores must not slow each other down.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Position(AtomicU64);

/// Whether looking at a position uses it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// A request takes its turn.
    Take,
    /// A question ("which route would serve this?") leaves everything as it is.
    Peek,
}

impl Position {
    /// A random place to start (R28): a restarted or added proxy must not begin every cycle with the same route. Only 32 bits
    /// are used, so that the counter never wraps in practice: at the wrap a cycle would be cut short.
    pub(crate) fn starting_at(seed: u64) -> Self {
        Self(AtomicU64::new(seed >> 32))
    }

    /// The next number.
    pub(crate) fn next(&self, pace: Pace) -> u64 {
        match pace {
            Pace::Take => self.0.fetch_add(1, Ordering::Relaxed),
            Pace::Peek => self.0.load(Ordering::Relaxed),
        }
    }
}

/// Hundredths of a percent in the whole.
pub(crate) const WHOLE: u64 = 10_000;

/// The strength draw: of any 10,000 successive positions exactly `strength` win, evenly spread (Bresenham's line).
pub(crate) fn drawn(position: u64, strength: u16) -> bool {
    let (k, p) = (position % WHOLE, u64::from(strength).min(WHOLE));
    (k + 1) * p / WHOLE > k * p / WHOLE
}

/// A number below `total` for each position: over `total` successive positions every number comes exactly once, and any
/// stretch of them is spread out. Steps by about the golden ratio, the step that leaves the most even gaps.
///
/// This is the weighted pick for sets that change with every failing target: exact over a cycle like a schedule, without
/// computing one. `total` must not be 0.
pub(crate) fn spread(position: u64, total: u64) -> u64 {
    let mut step = (total * 618 / 1000).max(1);
    while gcd(step, total) != 1 {
        step += 1;
    }
    (position % total) * step % total
}

/// Greatest common divisor; `gcd(0, n) == n`.
pub(crate) fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;
