use proptest::prelude::*;

use super::*;

#[test]
fn steps_follow_each_other_without_gap() {
    let mut next = 0;
    for step in 0..GROUPS * STEPS {
        let (from, until) = bounds(step);
        assert_eq!(from, next, "step {step}");
        assert!(until > from);
        for micros in [from, until - 1] {
            assert_eq!(index(Duration::from_micros(micros)), step, "{micros} us");
        }
        next = until;
    }
    assert_eq!(next, 1 << 36);
    for long in [Duration::from_micros(1 << 36), Duration::MAX] {
        assert_eq!(index(long), GROUPS * STEPS - 1);
    }
}

#[test]
fn quantiles_of_few_values() {
    let mut histogram = Histogram::default();
    assert_eq!(histogram.quantile(0.5), None);
    for micros in [10, 20, 30, 40] {
        histogram.record(Duration::from_micros(micros));
    }
    for (quantile, micros) in
        [(0.0, 10), (0.25, 10), (0.26, 20), (0.5, 20), (0.75, 30), (0.76, 40), (1.0, 40)]
    {
        assert_eq!(histogram.quantile(quantile), Some(Duration::from_micros(micros)), "{quantile}");
    }
}

#[test]
fn cumulative_counts_end_with_all() {
    let mut histogram = Histogram::default();
    for micros in [5, 50, 500, 5_000, 50_000_000] {
        histogram.record(Duration::from_micros(micros));
    }
    let limits = [1, 5, 50, 499, 600, 1_000_000, 1 << 36].map(Duration::from_micros);
    assert_eq!(histogram.cumulative(&limits), [0, 1, 2, 2, 3, 4, 5]);
}

proptest! {
    /// Against the exact percentile of the same values, over the whole range of latencies.
    #[test]
    fn quantiles_are_within_three_percent(
        values in prop::collection::vec((0_u32..35, 0.0..1.0_f64).prop_map(|(power, part)| {
            ((1_u64 << power) as f64 * (1.0 + part)) as u64
        }), 1..300),
        quantile in 0.0..=1.0_f64,
    ) {
        let live = LiveHistogram::default();
        for micros in &values {
            live.record(Duration::from_micros(*micros), Ownership::Sole);
        }
        let mut histogram = Histogram::default();
        histogram.merge(&live);
        prop_assert_eq!(histogram.count(), values.len() as u64);
        let mut sorted = values;
        sorted.sort_unstable();
        let rank = ((quantile * sorted.len() as f64).ceil() as usize).max(1);
        let exact = sorted[rank - 1] as f64;
        let found = histogram.quantile(quantile).unwrap().as_nanos() as f64 / 1_000.0;
        prop_assert!((found - exact).abs() <= exact * 0.03, "{} for {}", found, exact);
    }

    /// What `advance` reports over time adds up to what was recorded.
    #[test]
    fn growth_adds_up(rounds in prop::collection::vec(prop::collection::vec(0..10_000_u64, 0..20), 1..6)) {
        let lives = [LiveHistogram::default(), LiveHistogram::default()];
        let (mut seen, mut sum) = (Histogram::default(), Histogram::default());
        let mut all = Histogram::default();
        for (round, values) in rounds.iter().enumerate() {
            for micros in values {
                lives[round % 2].record(Duration::from_micros(*micros), Ownership::Sole);
                all.record(Duration::from_micros(*micros));
            }
            let mut grew = Vec::new();
            seen.advance(lives.iter(), &mut grew);
            grew.iter().for_each(|(index, count)| sum.add(usize::from(*index), *count));
            prop_assert_eq!(grew.iter().map(|(_, count)| count).sum::<u64>(), values.len() as u64);
        }
        for found in [&seen, &sum] {
            prop_assert!(found.counts().eq(all.counts()));
            prop_assert_eq!(found.count(), all.count());
        }
    }
}
