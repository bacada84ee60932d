use proptest::prelude::*;

use super::*;

fn percents(text: &str) -> Vec<Percent> {
    text.split_whitespace().map(|p| Percent::parse(&format!("{p}%")).unwrap()).collect()
}

/// Routes marked with `!` are absent, with `x` removed.
fn read(text: &str) -> (Vec<Percent>, Vec<bool>, Vec<bool>) {
    let weights = percents(&text.replace(['!', 'x'], ""));
    let marked = |mark| text.split_whitespace().map(|p| p.starts_with(mark)).collect();
    (weights, marked('!'), marked('x'))
}

#[test]
fn effective_weights() {
    let check = |input: &str, expected: &str| {
        let (weights, absent, _) = read(input);
        assert_eq!(effective(&weights, &absent), percents(expected), "{input}");
    };
    check("", "");
    check("100", "100");
    check("90 10", "90 10");
    check("!90 10", "0 100");
    check("10 20 !70", "33 67 0");
    check("!100 0", "0 100");
    check("!100 0 0", "0 100 0");
    check("0 !100 0", "100 0 0");
    check("0 !50 !50 0", "100 0 0 0");
    check("!100", "0");
    check("!60 !40", "0 0");
    check("0 0", "0 0");
    check("!0 0", "0 0");
    check("!0 100", "0 100");
    // Ties to the earlier route.
    check("25 25 25 !25", "34 33 33 0");
    // Hundredths where somebody uses them.
    check("0.5 0.5 !99", "50 50 0");
    check("10.5 20 !69.5", "34.43 65.57 0");
    // A route with traffic never loses all of it by rounding.
    check("1 97 !2", "1 99 0");
}

#[test]
fn weights_after_removal() {
    let check = |input: &str, expected: &str| {
        let (weights, absent, removed) = read(input);
        assert_eq!(after_removal(&weights, &removed, &absent), percents(expected), "{input}");
    };
    check("10 20 x70", "33 67 0");
    check("x90 10", "0 100");
    check("x100 0", "0 100");
    check("x0 100", "0 100");
    check("x0 0", "0 0");
    // Another absent route keeps its part.
    check("30 10 !20 x40", "50 17 33 0");
    check("x80 !20 0", "0 100 0");
    // Nothing left has a weight: the first that can serve, not the first.
    check("x100 !0 0", "0 0 100");
    check("x100 !0", "0 0");
}

prop_compose! {
    /// Weights that add up to 100 %, whole or in hundredths, with some routes marked.
    fn routes()(
        parts in prop::collection::vec(0u32..100, 1..9),
        whole in any::<bool>(),
        marks in prop::collection::vec(any::<bool>(), 9),
    ) -> (Vec<Percent>, Vec<bool>) {
        let sum = parts.iter().sum::<u32>();
        let shares = if sum == 0 {
            vec![0; parts.len()]
        } else {
            spread(&parts, sum, 10_000, if whole { 100 } else { 1 })
        };
        let weights = shares.into_iter().map(|s| Percent::from_hundredths(s as u16).unwrap()).collect();
        (weights, marks[..parts.len()].to_vec())
    }
}

fn sum(weights: &[Percent]) -> u32 {
    weights.iter().map(|w| u32::from(w.hundredths())).sum()
}

proptest! {
    #[test]
    fn nothing_is_lost_and_proportions_stay((weights, absent) in routes()) {
        let shares = effective(&weights, &absent);
        let present = absent.contains(&false);
        prop_assert_eq!(sum(&shares), if present { sum(&weights) } else { 0 });
        let kept: u32 = (0..weights.len()).filter(|i| !absent[*i]).map(|i| u32::from(weights[i].hundredths())).sum();
        let unit = if weights.iter().all(|w| w.hundredths() % 100 == 0) { 100.0 } else { 1.0 };
        for (route, share) in shares.iter().enumerate() {
            if absent[route] {
                prop_assert!(share.is_zero());
            } else if kept > 0 {
                let exact = f64::from(weights[route].hundredths()) * f64::from(sum(&weights)) / f64::from(kept);
                prop_assert!((f64::from(share.hundredths()) - exact).abs() < unit, "{} is not {}", share, exact);
                prop_assert!(*share >= weights[route]);
            }
        }
    }

    #[test]
    fn removal_does_not_move_traffic_when_all_absent_routes_go((weights, absent) in routes()) {
        if absent.contains(&false) {
            let before = effective(&weights, &absent);
            let after = after_removal(&weights, &absent, &vec![false; absent.len()]);
            prop_assert_eq!(before, after);
        }
    }
}
