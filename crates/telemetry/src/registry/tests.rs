use std::thread;
use std::time::Duration;

use routing::decide::Reason;

use super::*;
use crate::outcome::Outcome;

fn name(text: &str) -> GatewayName {
    GatewayName::parse(text).unwrap()
}

fn path(text: &str) -> RoutePath {
    RoutePath::parse(text).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_770_000_000 + second).unwrap()
}

fn outcome(status: u16) -> Outcome {
    Outcome::new(status, Reason::Weight, Duration::from_millis(2))
}

/// Workers with numbers, and threads without, all at once, while others read: nothing is lost, nothing counted twice.
#[test]
fn counts_are_exact_under_load() {
    const WORKERS: usize = 3;
    const THREADS: usize = 6;
    const EACH: u64 = 20_000;
    let telemetry = Telemetry::new(WORKERS);
    let (shop, routes) = (name("shop"), [path("(1.0)"), path("(1.1)"), path("(1.2)")]);
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let (telemetry, shop, routes) = (&telemetry, &shop, &routes);
            scope.spawn(move || {
                for n in 0..EACH {
                    let error = (n % 10 == 0).then_some("connect");
                    let status = if error.is_some() { 502 } else { 200 };
                    let total = telemetry.gateway(shop, Protocol::Http);
                    total.begin(worker);
                    if n % 100 == 7 {
                        total.record(worker, &Outcome { reason: Reason::NoTarget, ..outcome(503) });
                    } else {
                        let outcome = Outcome { sent: n, retries: 1, error, ..outcome(status) };
                        let route = &routes[(n % 3) as usize];
                        total.record(worker, &outcome);
                        telemetry.route(shop, route).record(worker, &outcome);
                        telemetry
                            .instance(shop, route, &format!("{:x}", n % 5), "pod")
                            .record(worker, &outcome);
                    }
                    total.end(worker);
                }
            });
        }
        scope.spawn(|| {
            for second in 0..200 {
                telemetry.tick(at(second));
                telemetry.totals();
                thread::yield_now();
            }
        });
    });
    telemetry.tick(at(200));
    let all = telemetry.totals();
    let sum = |wanted: fn(&Key) -> bool, count: fn(&Totals) -> u64| -> u64 {
        all.iter().filter(|series| wanted(&series.key)).map(|series| count(&series.totals)).sum()
    };
    let gateway = |key: &Key| matches!(key, Key::Gateway(_));
    let route = |key: &Key| matches!(key, Key::Route(..));
    let instance = |key: &Key| matches!(key, Key::Instance(..));
    let threads = THREADS as u64;
    assert_eq!(sum(gateway, Totals::requests), threads * EACH);
    assert_eq!(sum(gateway, Totals::refused), threads * EACH / 100);
    for level in [route, instance] {
        assert_eq!(
            sum(level, Totals::requests) + sum(gateway, Totals::refused),
            sum(gateway, Totals::requests)
        );
        assert_eq!(sum(level, |totals| totals.sent), sum(gateway, |totals| totals.sent));
        assert_eq!(sum(level, |totals| totals.failed), threads * EACH / 10);
    }
    assert_eq!(sum(gateway, |totals| totals.in_flight), 0);
    let window = telemetry.window(&Key::Gateway(shop.clone()), 900).unwrap();
    assert_eq!((window.requests, window.errors), (threads * EACH, threads * EACH / 10));
    let latencies = telemetry.series(&Key::Gateway(shop)).unwrap().latencies();
    assert_eq!(latencies.count(), threads * EACH);
}

#[test]
fn windows_follow_ticks() {
    let telemetry = Telemetry::new(1);
    let (shop, key) = (name("shop"), Key::Gateway(name("shop")));
    assert_eq!(telemetry.window(&key, 60), None);
    let series = telemetry.gateway(&shop, Protocol::Http);
    assert_eq!(telemetry.window(&key, 60), Some(Window::empty(60)));
    let requests = |seconds| telemetry.window(&key, seconds).unwrap().requests;
    series.record(0, &outcome(200));
    telemetry.tick(at(0));
    assert_eq!(requests(1), 1);
    // Twice in a second, late, and with a clock that is set back and far ahead: every request is in one frame.
    for (clock, within_10) in [(0, 2), (1, 3), (5, 4), (3, 5), (10_000, 6), (10_001, 7), (10_011, 1)] {
        series.record(0, &outcome(500));
        telemetry.tick(at(clock));
        assert_eq!(requests(10), within_10, "at {clock}");
    }
    assert_eq!(requests(900), 8);
    assert_eq!(telemetry.window(&key, 0).unwrap().seconds, 1);
    assert_eq!(telemetry.window(&key, 100_000).unwrap().seconds, 900);
}

#[test]
fn errors_beyond_the_known_words_are_counted_too() {
    let telemetry = Telemetry::new(1);
    let series = telemetry.gateway(&name("shop"), Protocol::Http);
    const WORDS: [&str; 20] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "a"];
    for word in WORDS {
        series.record(0, &outcome(502).with_error(word));
    }
    let totals = series.totals();
    let of = |word| totals.errors.iter().find(|(known, _)| *known == word).map(|(_, count)| *count);
    assert_eq!((of("a"), of("p"), of("q"), of("other")), (Some(2), Some(1), None, Some(3)));
    assert_eq!(totals.failed, 20);
}

#[test]
fn churn_of_instances_leaves_totals_alone() {
    let telemetry = Telemetry::new(1);
    let (shop, route) = (name("shop"), path("(1.0)"));
    let live: BTreeSet<Key> = [Key::Gateway(shop.clone()), Key::Route(shop.clone(), route.clone())].into();
    telemetry.gateway(&shop, Protocol::Http);
    let mut most = 0;
    for minute in 0..200 {
        let series = telemetry.instance(&shop, &route, &format!("i{minute}"), "pod");
        for series in [&series, &telemetry.route(&shop, &route), &telemetry.gateway(&shop, Protocol::Http)] {
            series.record(0, &outcome(200));
        }
        drop(series);
        telemetry.retain(&live, at(minute * 60));
        most = most.max(telemetry.totals().len());
    }
    assert!((10..=20).contains(&most), "about a quarter of an hour of instances: {most}");
    for key in live {
        assert_eq!(telemetry.series(&key).unwrap().totals().requests(), 200, "{key:?}");
    }
}

#[test]
fn a_series_in_use_is_not_forgotten() {
    let telemetry = Telemetry::new(1);
    let (shop, route) = (name("shop"), path("(1.0)"));
    let held = telemetry.instance(&shop, &route, "i1", "pod");
    let nothing = BTreeSet::new();
    telemetry.retain(&nothing, at(0));
    telemetry.retain(&nothing, at(3_600));
    held.record(0, &outcome(200));
    let key = Key::Instance(shop.clone(), route, "i1".into());
    assert_eq!(telemetry.series(&key).map(|series| series.totals().requests()), Some(1));
    // Coming back in time starts the clock again.
    telemetry.retain(&[key.clone()].into(), at(3_601));
    drop(held);
    telemetry.retain(&nothing, at(3_602));
    telemetry.retain(&nothing, at(3_700));
    assert!(telemetry.series(&key).is_some());
    telemetry.retain(&nothing, at(4_600));
    assert_eq!(telemetry.totals(), []);
}

/// 1000 gateways with 5 instances each must cost little before the first request.
#[test]
fn idle_series_are_small() {
    let per_series = size_of::<Series>() + 3 * size_of::<std::sync::OnceLock<Box<crate::counters::Shard>>>();
    assert!(per_series <= 160, "{per_series} bytes");
    assert!(size_of::<crate::counters::Shard>() <= 1_024);
}
