use proptest::prelude::*;

use super::*;

/// The bound of the theorem, in units of 1/(total * m): every prefix, every member.
fn holds_the_chairman_bound(weights: &[u16]) {
    let schedule = Schedule::new(weights);
    let total: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
    let members = weights.iter().filter(|&&weight| weight > 0).count() as i64;
    let m = (2 * members - 2).max(1);
    let cycle = schedule.len() as i64;
    let mut taken = vec![0_i64; weights.len()];
    for n in 1..=2 * cycle {
        taken[schedule.turn(n as u64 - 1).expect("someone has weight")] += 1;
        for (route, &weight) in weights.iter().enumerate() {
            let deviation = (i64::from(weight) * n - taken[route] * total).abs();
            assert!(deviation * m <= (m - 1).max(0) * total, "{weights:?}: route {route} after {n} turns");
            if n % cycle == 0 {
                assert_eq!(deviation, 0, "{weights:?}: route {route} after a whole cycle");
            }
        }
    }
}

#[test]
fn sequences() {
    let check = |weights: &[u16], expected: &str| {
        let schedule = Schedule::new(weights);
        let name = |route: usize| char::from(b'A' + u8::try_from(route).unwrap());
        let cycle: String = (0..schedule.len() as u64).filter_map(|n| schedule.turn(n)).map(name).collect();
        assert_eq!(cycle, expected, "{weights:?}");
    };
    check(&[], "");
    check(&[0, 0], "");
    check(&[0, 10_000], "B");
    check(&[5_000, 5_000], "AB");
    check(&[5_000, 0, 5_000], "AC");
    check(&[8_000, 2_000], "AABAA");
    check(&[100, 100], "AB");
    check(&[5_000, 3_000, 2_000], "ABACABACBA");
}

#[test]
fn known_splits_hold_the_bound() {
    for weights in [
        &[10_000][..],
        &[9_000, 1_000],
        &[9_999, 1],
        &[3_300, 3_300, 3_400],
        &[9_950, 50],
        &[3_333, 3_333, 3_334],
        &[1, 1, 9_998],
        &[5_000, 4_999, 1],
        &[0, 2_000, 0, 8_000],
        &[2_500; 4],
    ] {
        holds_the_chairman_bound(weights);
    }
}

#[test]
fn more_members_than_a_byte_counts() {
    let weights = [33; 300];
    let schedule = Schedule::new(&weights);
    assert_eq!(schedule.len(), 300);
    let mut turns: Vec<usize> = (0..300).filter_map(|n| schedule.turn(n)).collect();
    turns.sort_unstable();
    assert_eq!(turns, (0..300).collect::<Vec<_>>());
    let mut uneven = weights;
    uneven[299] = 10_000 - 33 * 299;
    holds_the_chairman_bound(&uneven);
}

#[test]
fn nonsense_stays_bounded() {
    let schedule = Schedule::new(&[u16::MAX, u16::MAX - 1, 1]);
    assert!((9_990..=10_000).contains(&schedule.len()), "{}", schedule.len());
    assert!((0..20_000).all(|n| schedule.turn(n).is_some_and(|route| route < 2)));
    // More routes with weight than there are slots.
    let schedule = Schedule::new(&[3; 20_001]);
    assert!(schedule.turn(u64::MAX).is_none_or(|route| route < 20_001));
}

/// Weights in hundredths of a percent that add up to 100 %, some of them 0, cut at arbitrary places.
fn shares() -> impl Strategy<Value = Vec<u16>> {
    let fine = prop::collection::vec(0..=10_000_u16, 0..7);
    let coarse = prop::collection::vec((0..=20_u16).prop_map(|cut| cut * 500), 0..7);
    prop_oneof![fine, coarse].prop_map(|mut cuts| {
        cuts.extend([0, 10_000]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_prefix_is_within_one(weights in shares()) {
        holds_the_chairman_bound(&weights);
    }

    #[test]
    fn every_window_is_within_two(weights in shares(), start in 0..u64::from(u32::MAX), size in 1..500_u64) {
        let schedule = Schedule::new(&weights);
        for (route, &weight) in weights.iter().enumerate() {
            let taken = (start..start + size).filter(|&n| schedule.turn(n) == Some(route)).count() as i64;
            prop_assert!((taken * 10_000 - i64::from(weight) * size as i64).abs() < 20_000);
        }
    }
}
