//! Shares of traffic when routes are missing (spec: gateways 9.3, R22 rules 4 and 5).

use model::percent::Percent;

/// What the data plane uses: the weights of absent routes go to the present ones, in proportion to their configured
/// weights. If those are all 0 %, the first present route gets everything, so that an in-place upgrade of a lone version does
/// not end in 503. Without a present route nothing can serve and everything is 0 %.
pub fn effective(configured: &[Percent], absent: &[bool]) -> Vec<Percent> {
    if !absent.contains(&true) {
        return configured.to_vec();
    }
    redistribute(configured, |route| absent[route], |route| !absent[route])
}

/// What is configured once some routes are gone for good; their places stay, at 0 %.
///
/// Absent routes that are still waited for keep their part: when they return, it is as if they had never been away. What
/// is left of the effective weights are therefore the same proportions as before.
pub fn after_removal(configured: &[Percent], removed: &[bool], absent: &[bool]) -> Vec<Percent> {
    redistribute(configured, |route| removed[route], |route| !removed[route] && !absent[route])
}

/// Gives the weights of the routes that are `gone` to the others in proportion, or to the first `heir` if those are all 0 %.
fn redistribute(
    configured: &[Percent],
    gone: impl Fn(usize) -> bool,
    heir: impl Fn(usize) -> bool,
) -> Vec<Percent> {
    let kept: Vec<u32> = configured
        .iter()
        .enumerate()
        .map(|(route, weight)| if gone(route) { 0 } else { u32::from(weight.hundredths()) })
        .collect();
    let total: u32 = configured.iter().map(|weight| u32::from(weight.hundredths())).sum();
    // Whoever thinks in whole per cents gets whole per cents back.
    let unit = if configured.iter().all(|weight| weight.hundredths() % 100 == 0) { 100 } else { 1 };
    let heir = (0..configured.len()).find(|route| heir(*route));
    let shares = match (kept.iter().sum::<u32>(), heir) {
        (0, Some(heir)) => (0..kept.len()).map(|route| if route == heir { total } else { 0 }).collect(),
        (0, None) => kept,
        (sum, _) => spread(&kept, sum, total, unit),
    };
    let percent = |share: u32| u16::try_from(share).ok().and_then(Percent::from_hundredths);
    shares.into_iter().map(|share| percent(share).unwrap_or(Percent::FULL)).collect()
}

/// Splits `total` in proportion to `weights` (which add up to `sum`, not 0) by largest remainder, ties to the earlier one.
fn spread(weights: &[u32], sum: u32, total: u32, unit: u32) -> Vec<u32> {
    let units = u64::from(total / unit);
    let exact = |weight: u32| u64::from(weight) * units;
    let mut shares: Vec<u64> = weights.iter().map(|weight| exact(*weight) / u64::from(sum)).collect();
    let left = units - shares.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    // A stable sort: ties stay in route order.
    order.sort_by_key(|route| std::cmp::Reverse(exact(weights[*route]) % u64::from(sum)));
    for route in order.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        shares[route] += 1;
    }
    shares.into_iter().map(|share| u32::try_from(share * u64::from(unit)).unwrap_or(total)).collect()
}

#[cfg(test)]
#[path = "weights_tests.rs"]
mod tests;
