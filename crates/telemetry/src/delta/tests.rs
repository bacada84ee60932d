use std::time::Duration;

use model::name::{GatewayName, RoutePath};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use routing::decide::Reason;

use super::*;
use crate::{Outcome, Phase, Remote, SeriesTotals};

fn name(text: &str) -> GatewayName {
    GatewayName::parse(text).unwrap()
}

fn path(text: &str) -> RoutePath {
    RoutePath::parse(text).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_770_000_000 + second).unwrap()
}

/// Traffic from chance: what it does to one process.
fn traffic(telemetry: &Telemetry, random: &mut TestRng, open: &mut Vec<Arc<Series>>) {
    for _ in 0..random.next_u32() % 20 {
        let gateway = name(["shop", "cart"][random.next_u32() as usize % 2]);
        let route = path(["(1.0)", "(1.1)"][random.next_u32() as usize % 2]);
        let id = format!("{:x}", random.next_u32() % 3);
        let worker = random.next_u32() as usize % 3;
        let total = Duration::from_micros(u64::from(random.next_u32() % 1_000_000));
        let mut outcome = Outcome::new(200 + 100 * (random.next_u32() % 4) as u16, Reason::Weight, total);
        outcome.received = u64::from(random.next_u32() % 1000);
        outcome.sent = u64::from(random.next_u32());
        outcome.first_byte = Some(total / 2);
        if random.next_u32().is_multiple_of(5) {
            outcome = outcome.with_error(["connect", "timeout", "reset"][random.next_u32() as usize % 3]);
        }
        let series = telemetry.gateway(&gateway, Protocol::Http);
        series.opened(worker);
        series.begin(worker);
        open.push(series);
        if random.next_u32().is_multiple_of(2) && !open.is_empty() {
            let ended = open.swap_remove(random.next_u32() as usize % open.len());
            ended.end(worker);
            ended.closed(worker);
        }
        telemetry.gateway(&gateway, Protocol::Http).record(worker, &outcome);
        outcome.waited = random.next_u32().is_multiple_of(9).then_some(total / 7);
        outcome.connected = random.next_u32().is_multiple_of(3).then_some(total / 3);
        telemetry.route(&gateway, &route).record(worker, &outcome);
        telemetry.route(&gateway, &route).record_phases(worker, &outcome);
        telemetry.instance(&gateway, &route, &id, "pod").record(worker, &outcome);
    }
}

/// A series, what is open in it, its latencies, and sum and times of each of its phases.
type Comparable = (SeriesTotals, u64, Vec<u64>, [(u64, Vec<u64>); 3]);

/// What there is to compare: everything but how open and closed connections came to be.
fn comparable(telemetry: &Telemetry) -> Vec<Comparable> {
    let limits: Vec<Duration> = (0..20).map(|n| Duration::from_micros(1 << n)).collect();
    let all = telemetry.totals().into_iter().filter(|series| series.totals != Totals::default());
    let mut all: Vec<_> = all
        .map(|mut series| {
            let open = series.totals.connections();
            series.totals.connections_closed = 0;
            series.totals.errors.sort_unstable();
            let live = telemetry.series(&series.key).unwrap();
            let phases = Phase::ALL.map(|phase| live.phase(phase));
            let phases = phases.map(|phase| (phase.nanos, phase.times.cumulative(&limits)));
            (series, open, live.latencies().cumulative(&limits), phases)
        })
        .collect();
    all.sort_by(|(left, ..), (right, ..)| left.key.cmp(&right.key));
    all
}

/// Whatever is read whenever, merged or not: what one process counted is what the other one shows.
#[test]
fn differences_add_up_to_the_same() {
    for seed in 0..50_u8 {
        let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let (here, there) = (Telemetry::new(2), Telemetry::new(1));
        let (mut reader, mut remote, mut open) = (Reader::default(), Remote::default(), Vec::new());
        let mut waiting: BTreeMap<Key, Delta> = BTreeMap::new();
        for step in 0..30 {
            traffic(&here, &mut random, &mut open);
            for delta in reader.read(&here, random.next_u32().is_multiple_of(4)) {
                match waiting.get_mut(&delta.key) {
                    Some(waiting) => waiting.merge(delta),
                    None => {
                        waiting.insert(delta.key.clone(), delta);
                    }
                }
            }
            if random.next_u32().is_multiple_of(3) || step == 29 {
                for delta in std::mem::take(&mut waiting).values() {
                    assert!(there.absorb(&mut remote, delta));
                }
            }
        }
        assert_eq!(comparable(&here), comparable(&there), "seed {seed}");
        assert!(reader.read(&here, false).is_empty(), "nothing changed, nothing to say");

        // The process is gone: what it counted stays, what it had open does not.
        remote.release();
        for series in there.totals() {
            assert_eq!(
                (series.totals.in_flight, series.totals.connections()),
                (0, 0),
                "seed {seed}: {series:?}"
            );
        }
        // It was only the way there that was gone.
        for delta in reader.read(&here, true) {
            assert!(there.absorb(&mut remote, &delta));
        }
        assert_eq!(comparable(&here), comparable(&there), "seed {seed}");
    }
}

/// A controller that started later sees what is open, not only what was opened since.
#[test]
fn connections_from_before_are_open_all_the_same() {
    let (here, there) = (Telemetry::new(1), Telemetry::new(1));
    let mut reader = Reader::default();
    let series = here.gateway(&name("shop"), Protocol::Tcp);
    (0..3).for_each(|_| series.opened(0));
    reader.read(&here, false);
    series.closed(0);
    let mut remote = Remote::default();
    for delta in reader.read(&here, true) {
        there.absorb(&mut remote, &delta);
    }
    let totals = there.totals().remove(0);
    assert_eq!((totals.totals.connections(), totals.protocol), (2, Protocol::Tcp));
    assert!(
        there
            .prometheus(&crate::Gauges::default())
            .contains("vamp_connections{gateway=\"shop\",protocol=\"tcp\"} 2")
    );
}

/// What was counted just before a series is forgotten is not forgotten with it, and a later one of that name begins at 0.
#[test]
fn forgotten_series_have_the_last_word() {
    let telemetry = Telemetry::new(1);
    let mut reader = Reader::default();
    let record = |times| {
        let series = telemetry.gateway(&name("shop"), Protocol::Http);
        (0..times).for_each(|_| series.record(0, &Outcome::new(200, Reason::Weight, Duration::ZERO)));
    };
    let requests = |reader: &mut Reader| {
        reader.read(&telemetry, false).iter().map(|delta| delta.counted.requests()).sum::<u64>()
    };
    record(2);
    assert_eq!(requests(&mut reader), 2);
    reader.retain(&telemetry, &BTreeSet::new(), at(0));
    record(3);
    reader.retain(&telemetry, &BTreeSet::new(), at(901));
    assert!(telemetry.totals().is_empty());
    assert_eq!(telemetry.size(), 0);
    record(5);
    assert_eq!(requests(&mut reader), 8);
    assert_eq!(requests(&mut reader), 0);
}

#[test]
fn windows_tell_of_what_came_from_elsewhere() {
    let (here, there) = (Telemetry::new(1), Telemetry::new(1));
    there.tick(at(0));
    here.gateway(&name("shop"), Protocol::Http)
        .record(0, &Outcome::new(500, Reason::Weight, Duration::from_millis(8)));
    let (mut reader, mut remote) = (Reader::default(), Remote::default());
    for delta in reader.read(&here, false) {
        there.absorb(&mut remote, &delta);
    }
    there.tick(at(1));
    let window = there.window(&Key::Gateway(name("shop")), 10).unwrap();
    assert_eq!((window.requests, window.server_errors()), (1, 1));
    assert!(window.p50_ms.is_some_and(|ms| (ms - 8.0).abs() < 0.2), "{window:?}");
}

#[test]
fn words_from_elsewhere_are_bounded() {
    assert_eq!(crate::error_word("no_target"), "no_target");
    for bad in ["", "a b", "Upper", &"x".repeat(33)] {
        assert_eq!(crate::error_word(bad), "other", "{bad:?}");
    }
    let kept = (0..1000).filter(|n| crate::error_word(&format!("w{n}")) != "other").count();
    assert!(kept < 64, "{kept}");
}
