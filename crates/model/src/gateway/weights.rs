//! Weights at write time (spec: gateways 5, 7).

use crate::percent::Percent;

/// Section 7: fills in missing weights so that they add up to 100 % (or stay all zero).
///
/// What the given weights leave of 100 % is split over the routes without one: each gets an equal share in whole per cents
/// (in hundredths when the remainder is not whole), the last takes the rest. Input and output in route order; inputs sum to
/// at most 100 %.
pub fn complete_weights(given: &[Option<Percent>]) -> Vec<Percent> {
    let full = u32::from(Percent::FULL.hundredths());
    let remaining = full.saturating_sub(sum(given));
    let missing = u32::try_from(given.iter().filter(|weight| weight.is_none()).count()).unwrap_or(u32::MAX);
    let Some(last) = missing.checked_sub(1) else {
        return given.iter().map(|weight| weight.unwrap_or_default()).collect();
    };
    let share = if remaining % 100 == 0 { remaining / 100 / missing * 100 } else { remaining / missing };
    let mut filled = 0;
    let mut fill = || {
        let hundredths = if filled == last { remaining - share * last } else { share };
        filled += 1;
        u16::try_from(hundredths).ok().and_then(Percent::from_hundredths).unwrap_or_default()
    };
    given.iter().map(|weight| weight.unwrap_or_else(&mut fill)).collect()
}

/// Hundredths of a per cent that are given.
fn sum(given: &[Option<Percent>]) -> u32 {
    given.iter().flatten().map(|weight| u32::from(weight.hundredths())).sum()
}

/// The rule of section 5: given weights add up to nothing or to everything.
pub fn weights_add_up(given: &[Option<Percent>]) -> bool {
    matches!(sum(given), 0 | 10_000)
}
