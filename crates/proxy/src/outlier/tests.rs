use proptest::prelude::*;

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rules() -> OutlierRules {
    OutlierRules::default()
}

#[test]
fn three_failures_take_down_and_two_successes_bring_back() {
    let mut standing = Standing::default();
    let mut seen = Vec::new();
    for works in [false, false, true, false, false, false, false, true, false, true, true] {
        standing.checked(works, s(0));
        seen.push(!standing.is_down());
    }
    let up = [true, true, true, true, true, false, false, false, false, false, true];
    assert_eq!(seen, up);
}

#[test]
fn connections_of_requests_count_as_well() {
    let mut standing = Standing::default();
    assert_eq!([standing.refused(), standing.refused()], [false, false]);
    standing.connected();
    assert_eq!([standing.refused(), standing.refused(), standing.refused()], [false, false, true]);
    standing.take_down();
    assert!(!standing.refused() && standing.is_down(), "it is down already");
}

#[test]
fn each_ejection_lasts_twice_as_long_up_to_the_cap() {
    let mut standing = Standing::default();
    let mut now = s(0);
    let mut lasted = Vec::new();
    for _ in 0..6 {
        let from = now;
        standing.eject(now, &rules());
        while standing.is_ejected() {
            now += s(1);
            standing.pass(now, &rules());
        }
        lasted.push((now - from).as_secs());
    }
    assert_eq!(lasted, [30, 60, 120, 240, 300, 300]);
    assert_eq!(standing.ejections(), 6);
}

#[test]
fn what_is_long_ago_is_forgotten() {
    let mut standing = Standing::default();
    assert_eq!(standing.eject(s(0), &rules()), Turn::Ejected);
    assert_eq!(standing.pass(s(29), &rules()), None);
    assert_eq!(standing.pass(s(30), &rules()), Some(Turn::Back));
    assert_eq!(standing.eject(s(40), &rules()), Turn::EjectedAgain);
    assert_eq!(standing.pass(s(100), &rules()), Some(Turn::Back));
    // The second lasted a minute, the first half of one.
    assert_eq!(standing.pass(s(159), &rules()), None);
    assert_eq!((standing.pass(s(160), &rules()), standing.level), (None, 1));
    assert_eq!(standing.pass(s(189), &rules()), None);
    assert_eq!(standing.pass(s(190), &rules()), Some(Turn::Calm));
    assert_eq!(standing.pass(s(900), &rules()), None);
    assert_eq!(standing.eject(s(901), &rules()), Turn::Ejected);
}

#[test]
fn slow_start() {
    let rules = OutlierRules { slow_start: s(90), ..rules() };
    let mut standing = Standing::fresh(s(10));
    let portions: Vec<u16> = [10, 20, 55, 99, 100, 101].map(|at| standing.portion(s(at), &rules)).into();
    assert_eq!(portions, [1_000, 2_000, 5_500, 9_900, 10_000, 10_000]);
    // Time that runs backwards does no harm.
    assert_eq!(standing.portion(s(0), &rules), 1_000);
    standing.pass(s(100), &rules);
    standing.eject(s(200), &rules);
    assert_eq!(standing.portion(s(201), &rules), 0);
    standing.pass(s(230), &rules);
    assert_eq!(standing.portion(s(230), &rules), 1_000);
    assert_eq!(standing.portion(s(320), &rules), 10_000);
    // Without it, all at once.
    assert_eq!(Standing::fresh(s(10)).portion(s(10), &OutlierRules::default()), 10_000);
}

#[test]
fn the_bound() {
    let rows = [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (100, 50)];
    for (targets, held) in rows {
        assert_eq!(allowed(targets, &rules()), held, "{targets}");
    }
    let all = OutlierRules { most_ejected: 10_000, ..rules() };
    assert_eq!([0, 1, 2, 5].map(|targets| allowed(targets, &all)), [0, 0, 1, 4]);
    assert_eq!(allowed(100, &OutlierRules { most_ejected: 0, ..rules() }), 0);
}

#[test]
fn who_is_no_better() {
    for (failures, from) in [(0, 1), (1, 1), (3, 1), (4, 2), (5, 2), (10, 4)] {
        let rules = OutlierRules { failures, ..rules() };
        let first = (0..20).find(|in_a_row| is_failing(*in_a_row, &rules));
        assert_eq!(first, Some(from), "{failures}");
    }
}

#[test]
fn who_may_be_ejected() {
    // g good, f failing, h held; the first one is meant.
    let rows = [
        ("f", false, "the only one"),
        ("fg", true, ""),
        ("ff", false, "the other is no better"),
        ("fh", false, "the last that serves"),
        ("fgh", false, "half of three is one"),
        ("fggh", true, ""),
        ("fgfg", true, "most do better"),
        ("fffg", false, "most do no better"),
        ("fgfh", false, "one good, one bad"),
        ("fghh", false, "no room"),
        ("hggg", false, "held already"),
    ];
    let peers = |text: &str| -> Vec<Peer> {
        text.chars().map(|c| Peer { held: c == 'h', failing: c == 'f' }).collect()
    };
    for (text, expected, why) in rows {
        assert_eq!(may_eject(&peers(text), 0, &rules()), expected, "{text} {why}");
    }
    assert!(!may_eject(&peers("fg"), 0, &OutlierRules { failures: 0, ..rules() }), "turned off");
    assert!(!may_eject(&peers("fg"), 9, &rules()), "no such target");
}

#[test]
fn ejections_end_when_the_others_go() {
    let down = Standing { down: true, ..Standing::default() };
    let until = |seconds| Standing { ejected_until: Some(s(seconds)), ..Standing::default() };
    let good = Standing::default();
    let (soon, late) = (until(10), until(20));
    let rows: [(Vec<&Standing>, &[usize]); 7] = [
        (vec![&soon, &good], &[]),
        (vec![&soon, &late, &good, &good], &[]),
        (vec![&late, &soon, &good], &[1]),
        (vec![&soon], &[0]),
        (vec![&soon, &down], &[0]),
        (vec![&late, &soon, &good, &down], &[1]),
        (vec![&down, &down], &[]),
    ];
    for (standings, expected) in rows {
        let standings: Vec<Standing> = standings.into_iter().cloned().collect();
        assert_eq!(to_release(&standings, &rules()), expected, "{standings:?}");
    }
}

#[test]
fn rates_that_stand_out() {
    type Row<'a> = (&'a [(u32, u32)], Option<usize>, &'a str);
    let rows: [Row<'_>; 9] = [
        (&[], None, "nobody"),
        (&[(1000, 900)], None, "nobody to compare with"),
        (&[(100, 60), (100, 2)], Some(0), ""),
        (&[(49, 49), (1000, 0)], None, "too few"),
        (&[(1000, 900), (20, 0)], None, "too few of the others"),
        (&[(100, 55), (100, 50)], None, "no worse than chance"),
        (&[(10_000, 1_000), (10_000, 100)], None, "sure but small"),
        (&[(200, 100), (200, 150), (200, 0), (200, 0)], Some(1), "the worst"),
        (&[(200, 200), (200, 200)], None, "all alike"),
    ];
    for (rows, expected, why) in rows {
        let samples: Vec<Sample> =
            rows.iter().map(|&(requests, failures)| Sample { requests, failures }).collect();
        assert_eq!(outlier(&samples), expected, "{rows:?} {why}");
    }
}

/// Targets that all fail at the same rate, by chance: nobody stands out in a day of windows.
#[test]
fn chance_does_not_stand_out() {
    for (seed, permille) in [(1_u64, 10), (2, 100), (3, 500)] {
        let mut dice = Seeded(seed);
        for window in 0..8_640 {
            let samples: Vec<Sample> = (0..4)
                .map(|_| Sample {
                    requests: 60,
                    failures: (0..60).filter(|_| dice.below(1000) < permille).count() as u32,
                })
                .collect();
            assert_eq!(outlier(&samples), None, "window {window}, {permille} of 1000: {samples:?}");
        }
    }
}

struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A route with targets that fail, recover, go down, come and go. Whatever happens, something serves as long as something
/// could, no more are held than allowed (those that are down apart), and what is well again comes back.
#[test]
fn a_route_in_every_weather() {
    for seed in 0..200 {
        let mut dice = Seeded(seed);
        let rules = OutlierRules { slow_start: s(dice.below(20)), ..rules() };
        let mut targets: Vec<Standing> = (0..1 + dice.below(6)).map(|_| Standing::default()).collect();
        let mut failing: Vec<bool> = targets.iter().map(|_| false).collect();
        let mut now = s(0);
        for step in 0..600 {
            now += s(1);
            let at = format!("seed {seed}, step {step}");
            let index = dice.below(targets.len() as u64) as usize;
            match dice.below(12) {
                0 => failing[index] = !failing[index],
                1 => targets[index].checked(false, now),
                2..=4 => targets[index].checked(true, now),
                5 if targets.len() < 6 => {
                    targets.push(Standing::fresh(now));
                    failing.push(false);
                }
                6 if targets.len() > 1 => {
                    targets.remove(index);
                    failing.remove(index);
                }
                7 => {
                    let last = targets.iter().filter(|target| !target.is_held()).count() <= 1;
                    if targets[index].refused() && !last {
                        targets[index].take_down();
                    }
                }
                _ => {
                    let peers: Vec<Peer> = targets
                        .iter()
                        .zip(&failing)
                        .map(|(target, failing)| Peer { held: target.is_held(), failing: *failing })
                        .collect();
                    if let Some(index) = failing.iter().position(|failing| *failing)
                        && may_eject(&peers, index, &rules)
                    {
                        targets[index].eject(now, &rules);
                    }
                }
            }
            for target in &mut targets {
                target.pass(now, &rules);
            }
            for index in to_release(&targets, &rules) {
                targets[index].release(now);
            }

            let serving = targets.iter().filter(|target| target.portion(now, &rules) > 0).count();
            let down = targets.iter().filter(|target| target.is_down()).count();
            let ejected = targets.iter().filter(|t| t.is_ejected() && !t.is_down()).count();
            assert!(serving > 0 || down == targets.len(), "{at}: {targets:?}");
            assert!(ejected == 0 || ejected + down <= allowed(targets.len(), &rules), "{at}: {targets:?}");
            assert_eq!(serving + down + ejected, targets.len(), "{at}");
        }
        // Fair weather.
        for _ in 0..2_000 {
            now += s(1);
            for target in &mut targets {
                target.checked(true, now);
                target.pass(now, &rules);
            }
        }
        for target in &targets {
            assert_eq!((target.portion(now, &rules), target.level), (TargetState::FULL, 0), "seed {seed}");
        }
    }
}

proptest! {
    /// An ejection lasts between the base and the cap, whatever came before and however odd the rules.
    #[test]
    fn times_are_bounded(base in 0_u64..1_000, cap in 0_u64..5_000, before in 0_u32..100) {
        let rules = OutlierRules { ejection_time: s(base), longest_ejection: s(cap), ..rules() };
        let mut standing = Standing { level: before, ..Standing::default() };
        standing.eject(s(5), &rules);
        let lasts = standing.ejected_until.unwrap() - s(5);
        prop_assert!(lasts >= s(base) && lasts <= s(cap.max(base)), "{lasts:?}");
    }

    /// The portion never falls while it starts, and ends at the whole.
    #[test]
    fn portions_only_grow(time in 0_u64..10_000, steps in prop::collection::vec(0_u64..2_000, 1..50)) {
        let rules = OutlierRules { slow_start: Duration::from_millis(time), ..rules() };
        let standing = Standing::fresh(s(0));
        let (mut now, mut last) = (Duration::ZERO, 0);
        for step in steps {
            now += Duration::from_millis(step);
            let portion = standing.portion(now, &rules);
            prop_assert!(portion >= last && (1_000..=TargetState::FULL).contains(&portion));
            last = portion;
        }
        prop_assert_eq!(standing.portion(Duration::from_millis(time), &rules), TargetState::FULL);
    }

    #[test]
    fn samples_of_any_kind(samples in prop::collection::vec((any::<u32>(), any::<u32>()), 0..5)) {
        let samples: Vec<Sample> =
            samples.into_iter().map(|(requests, failures)| Sample { requests, failures }).collect();
        if let Some(index) = outlier(&samples) {
            prop_assert!(samples[index].requests >= ENOUGH && samples[index].failures > 0);
        }
    }
}
