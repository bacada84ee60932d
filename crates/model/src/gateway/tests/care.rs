//! The `target_care` section.

use super::*;
use crate::gateway::{Period, TargetCare};
use crate::percent::Percent;

fn document(text: &str) -> GatewayDocument {
    GatewayDocument::read(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn time(text: &str) -> Option<Period> {
    Some(Period::parse(text).unwrap())
}

#[test]
fn read() {
    for (text, expected) in [
        (
            "target_care: {eject_after: 3, ejection_time: 10s, most_ejected: 30%, slow_start: 1m, requests: 100, pending: 10}",
            TargetCare {
                eject_after: Some(3),
                ejection_time: time("10s"),
                most_ejected: Some(Percent::parse("30%").unwrap()),
                slow_start: time("60s"),
                requests: Some(100),
                pending: Some(10),
            },
        ),
        ("target_care: {eject_after: 0}", TargetCare { eject_after: Some(0), ..TargetCare::default() }),
        ("target_care: {slow_start: 0}", TargetCare { slow_start: time("0s"), ..TargetCare::default() }),
        (
            "port: 5432/tcp\ntarget_care: {requests: 20, pending: 0}",
            TargetCare { requests: Some(20), pending: Some(0), ..TargetCare::default() },
        ),
    ] {
        assert_eq!(document(&format!("name: g\n{text}")).target_care, Some(expected), "{text}");
    }
    assert_eq!(document("name: g\ntarget_care: null").target_care, None);
}

#[test]
fn refused() {
    for (text, path, part) in [
        ("target_care: 5", "/target_care", "expected a map"),
        ("target_care: {}", "/target_care", "it says nothing"),
        ("target_care: {eject_after: -1}", "/target_care/eject_after", "a number from 0 to 1000000"),
        ("target_care: {requests: 1000001}", "/target_care/requests", "a number from 0 to 1000000"),
        ("target_care: {pending: many}", "/target_care/pending", "a number"),
        ("target_care: {ejection_time: 30}", "/target_care/ejection_time", "a time from 1ms to 24h"),
        ("target_care: {ejection_time: 0s}", "/target_care/ejection_time", "a time from 1ms to 24h"),
        ("target_care: {slow_start: 25h}", "/target_care/slow_start", "a time up to 24h"),
        ("target_care: {most_ejected: 101%}", "/target_care/most_ejected", "a percentage"),
        ("target_care: {most_ejected: half}", "/target_care/most_ejected", "a percentage"),
        ("target_care: {request: 1}", "/target_care/request", "request"),
        ("port: 1/tcp\ntarget_care: {eject_after: 3}", "/target_care/eject_after", "about answers"),
        ("port: 1/tcp\ntarget_care: {most_ejected: 3%}", "/target_care/most_ejected", "about answers"),
    ] {
        let problems = GatewayDocument::read(&format!("name: g\n{text}")).expect_err(text);
        assert_eq!(problems.0.len(), 1, "{text}\n{:#?}", problems.0);
        assert_eq!(problems.0[0].path, path, "{text}");
        assert!(problems.to_string().contains(part), "{text}\n{problems}");
    }
}

#[test]
fn times_are_written_in_their_longest_unit() {
    for (text, shown) in [
        ("0", "0s"),
        ("0ms", "0s"),
        ("1500ms", "1500ms"),
        ("2000ms", "2s"),
        ("90s", "90s"),
        ("120s", "2m"),
        ("60m", "1h"),
    ] {
        let period = Period::parse(text).unwrap();
        assert_eq!(period.to_string(), shown);
        assert_eq!(Period::parse(shown), Some(period));
    }
    for text in ["", "s", "1", "1d", "-1s", "1.5s", " 1s", "99999999999999999999s", "18446744073709551615h"] {
        assert_eq!(Period::parse(text), None, "{text}");
    }
}
