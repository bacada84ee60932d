use std::time::Duration;

use model::name::GatewayName;
use model::port::Protocol;
use routing::decide::Reason;
use telemetry::{Outcome, Reader, Telemetry};

use super::*;

fn count(telemetry: &Telemetry, gateways: std::ops::Range<usize>) {
    for n in gateways {
        let series = telemetry.gateway(&GatewayName::parse(&format!("g{n}")).unwrap(), Protocol::Http);
        series.record(0, &Outcome::new(200, Reason::Weight, Duration::from_millis(1)));
    }
}

fn requests(report: &proto::Report) -> u64 {
    report.series.iter().flat_map(|series| &series.requests).map(|requests| requests.count).sum()
}

#[test]
fn one_report_is_under_way_and_the_rest_waits() {
    let telemetry = Telemetry::new(1);
    let (mut reader, mut outbox) = (Reader::default(), Outbox::default());
    assert!(outbox.next().is_none() && outbox.is_empty());
    count(&telemetry, 0..2);
    outbox.add(reader.read(&telemetry, false));
    let first = outbox.next().unwrap();
    assert_eq!((first.sequence, requests(&first)), (1, 2));
    for _ in 0..100 {
        count(&telemetry, 0..3);
        outbox.add(reader.read(&telemetry, false));
        assert!(outbox.next().is_none());
    }
    assert_eq!(outbox.again(), Some(first), "as it was");
    assert_eq!(outbox.waiting.len(), 3, "merged");
    outbox.acked(0);
    assert!(outbox.again().is_some());
    outbox.acked(1);
    let second = outbox.next().unwrap();
    assert_eq!((second.sequence, requests(&second)), (2, 300));
    outbox.acked(2);
    assert!(outbox.is_empty() && outbox.next().is_none());
}

#[test]
fn many_series_take_several_reports() {
    let telemetry = Telemetry::new(1);
    let (mut reader, mut outbox) = (Reader::default(), Outbox::default());
    count(&telemetry, 0..MOST_SERIES + 10);
    outbox.add(reader.read(&telemetry, false));
    let mut sum = 0;
    for sequence in 1..=2 {
        let report = outbox.next().unwrap();
        assert!(report.sequence == sequence && report.series.len() <= MOST_SERIES);
        sum += requests(&report);
        outbox.acked(sequence);
    }
    assert_eq!(sum, MOST_SERIES as u64 + 10);
    assert!(outbox.is_empty());
}

#[test]
fn incidents_are_bounded_and_travel_once_with_what_was_counted() {
    let incident = |n: usize| Incident {
        gateway: GatewayName::parse("shop").unwrap(),
        route: model::name::RoutePath::parse("(1.0)").unwrap(),
        id: n.to_string(),
        name: format!("pod-{n}"),
        ejected: true,
    };
    let mut outbox = Outbox::default();
    outbox.note((0..10).map(incident).collect());
    outbox.note((10..MOST_INCIDENTS + 7).map(incident).collect());
    assert!(!outbox.is_empty());
    let report = outbox.next().unwrap();
    assert_eq!((report.incidents.len(), report.incidents[0].id.as_str()), (MOST_INCIDENTS, "7"));
    outbox.note(vec![incident(1)]);
    assert!(outbox.next().is_none(), "one at a time");
    assert_eq!(outbox.again(), Some(report), "as it was");
    outbox.acked(1);
    let report = outbox.next().unwrap();
    assert_eq!((report.sequence, report.incidents.len()), (2, 1));
    outbox.acked(2);
    assert!(outbox.is_empty() && outbox.next().is_none());
}
