//! What the record of a request costs: no allocation, and how long.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
use routing::decide::Reason;
use telemetry::{Outcome, Series, Telemetry};

/// Gateway, route and instance, as every request is counted for.
struct Counted([Arc<Series>; 3]);

impl Counted {
    fn new() -> Self {
        let telemetry = Telemetry::new(1);
        let (gateway, route) = (GatewayName::parse("shop").unwrap(), RoutePath::parse("(1.0)").unwrap());
        Self([
            telemetry.gateway(&gateway, Protocol::Http),
            telemetry.route(&gateway, &route),
            telemetry.instance(&gateway, &route, "ab12", "pod-1"),
        ])
    }

    fn record(&self, outcome: &Outcome) {
        let [gateway, route, instance] = &self.0;
        gateway.record(0, outcome);
        route.record(0, outcome);
        route.record_phases(0, outcome);
        instance.record(0, outcome);
    }
}

/// A request for which a connection was at hand, and one that had to wait, connect and be tried again.
fn outcomes() -> [Outcome; 2] {
    let plain = Outcome {
        first_byte: Some(Duration::from_micros(900)),
        received: 200,
        sent: 1_200,
        ..Outcome::new(200, Reason::Weight, Duration::from_micros(1_000))
    };
    let hard = Outcome {
        waited: Some(Duration::from_millis(3)),
        connected: Some(Duration::from_micros(300)),
        retries: 1,
        error: Some("timeout"),
        ..plain
    };
    [plain, hard]
}

#[test]
fn records_do_not_allocate() {
    let counted = Counted::new();
    let outcomes = outcomes();
    // The first of its kind makes room.
    let first = allocation_counter::measure(|| outcomes.iter().for_each(|outcome| counted.record(outcome)));
    assert!(first.count_total > 0, "the counter works");
    let measured = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            outcomes.iter().for_each(|outcome| counted.record(black_box(outcome)));
        }
    });
    assert_eq!(measured.count_total, 0);
}

/// `cargo test --release -p telemetry --test cost -- --ignored --nocapture`
#[test]
#[ignore = "measures time: only meaningful alone and optimised"]
fn records_take_how_long() {
    let counted = Counted::new();
    for (what, outcome) in ["plain", "hard"].into_iter().zip(outcomes()) {
        let mut best = f64::MAX;
        for _ in 0..20 {
            let started = Instant::now();
            for _ in 0..100_000 {
                counted.record(black_box(&outcome));
            }
            best = best.min(started.elapsed().as_nanos() as f64 / 1e5);
        }
        println!("{what}: {best:.1} ns for gateway, route, phases and instance");
        assert!(best < 5_000.0, "{what}: {best} ns");
    }
}
