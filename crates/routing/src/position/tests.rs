use super::*;

#[test]
fn draws_are_exact_over_a_cycle_and_even_within() {
    for strength in [0, 1, 99, 100, 2500, 3333, 5000, 9999, 10_000] {
        let mut won = 0;
        for k in 0..WHOLE {
            won += u64::from(drawn(k, strength));
            assert_eq!(won, (k + 1) * u64::from(strength) / WHOLE, "strength {strength}, prefix {k}");
        }
        assert_eq!(won, u64::from(strength));
    }
    assert!(drawn(0, u16::MAX), "more than everything is everything");
}

#[test]
fn half_strength_alternates() {
    let wins: Vec<bool> = (7..13).map(|k| drawn(k, 5000)).collect();
    assert!(wins.windows(2).all(|pair| pair[0] != pair[1]), "{wins:?}");
}

#[test]
fn spread_gives_every_number_once_per_cycle() {
    for total in (1..200).chain([618, 999, 1000, 9_999, 10_000]) {
        let mut seen = vec![false; total as usize];
        for position in 5..5 + total {
            let number = spread(position, total) as usize;
            assert!(!std::mem::replace(&mut seen[number], true), "{number} twice in {total}");
        }
    }
}

#[test]
fn spread_is_even_in_short_windows() {
    // The lower half of the numbers, as the share of a route at 50 %, in every window of 10: never starved, never alone.
    for total in [10, 100, 101, 1000] {
        for start in 0..total {
            let low = (start..start + 10).filter(|&position| spread(position, total) < total / 2).count();
            assert!((3..=7).contains(&low), "{low} of 10 in {total} from {start}");
        }
    }
}

#[test]
fn peeking_uses_nothing_up() {
    let position = Position::starting_at(u64::MAX);
    assert_eq!(position.next(Pace::Peek), u64::from(u32::MAX));
    assert_eq!(position.next(Pace::Take), u64::from(u32::MAX));
    assert_eq!(position.next(Pace::Peek), u64::from(u32::MAX) + 1);
}

#[test]
fn divisors() {
    assert_eq!(gcd(0, 0), 0);
    assert_eq!(gcd(0, 7), 7);
    assert_eq!(gcd(12, 18), 6);
    assert_eq!(gcd(7, 5), 1);
}
