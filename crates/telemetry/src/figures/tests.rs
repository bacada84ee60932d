use serde_json::json;

use super::*;

fn window(requests: u64, server_errors: u64) -> Window {
    let mut window = Window { requests, ..Window::empty(500) };
    window.by_class[5] = server_errors;
    window.by_class[2] = requests - server_errors;
    window
}

#[test]
fn rates() {
    for (requests, seconds, expected) in [
        (1_250, 500, 2.5),
        (0, 60, 0.0),
        (1, 60, 0.02),
        (100, 3, 33.33),
        (200, 3, 66.67),
        (1, 200, 0.01),
        (7, 0, 0.0),
    ] {
        assert_eq!(rate(requests, seconds), expected, "{requests} in {seconds} s");
    }
}

#[test]
fn response_times() {
    for (mean_ms, expected) in [(Some(41.26), 41.3), (Some(0.04), 0.0), (Some(0.05), 0.1), (None, 0.0)] {
        assert_eq!(response_time(&Window { mean_ms, ..window(1, 0) }), expected, "{mean_ms:?}");
    }
}

#[test]
fn health_of_d33() {
    let some = |ready, wanted| Some(Instances { ready, wanted });
    for (requests, errors, instances, ratio, any_error) in [
        (200, 4, some(1, 2), Some(0.49), Some(0.0)), // the example of automation 13.4
        (200, 4, None, Some(0.98), Some(0.0)),
        (200, 0, some(2, 2), Some(1.0), Some(1.0)),
        (200, 0, some(5, 2), Some(1.0), Some(1.0)),
        (200, 0, some(0, 2), Some(0.0), Some(1.0)),
        (200, 200, some(2, 2), Some(0.0), Some(0.0)),
        (3, 1, None, Some(0.6667), Some(0.0)),
        (0, 0, some(1, 3), Some(0.3333), Some(1.0)),
        (0, 0, some(0, 0), None, Some(1.0)),
        (0, 0, None, None, Some(1.0)),
        (10, 1, some(0, 0), Some(0.9), Some(0.0)),
    ] {
        let window = window(requests, errors);
        let row = format!("{errors} of {requests}, {instances:?}");
        assert_eq!(health(&window, instances, HealthMode::Ratio), ratio, "{row}");
        assert_eq!(health(&window, instances, HealthMode::AnyError), any_error, "{row}");
    }
}

#[test]
fn events_of_a_route() {
    let gateway = GatewayName::parse("shop/9050").unwrap();
    let route = RoutePath::parse("shop/store/store:2/web").unwrap();
    let window = Window {
        mean_ms: Some(41.26),
        p50_ms: Some(30.126),
        p95_ms: Some(90.0),
        p99_ms: Some(99.5),
        sent: 4_096,
        ..window(1_250, 5)
    };
    let now = Timestamp::from_second(1_770_000_000).unwrap();
    let events = metric_events(Subject::Route(&gateway, &route), &window, 3, Some(0.98), now);
    let mut seen = Vec::new();
    for event in &events {
        let mut tags = event.tags.clone();
        for tag in ["gateways:shop/9050", "routes:shop/store/store:2/web", "route"] {
            assert!(tags.remove(tag), "{tag} in {event:?}");
        }
        assert_eq!((tags.len(), event.timestamp, event.actor.as_deref()), (1, now, Some("vamp")));
        seen.push((event.kind.as_str(), tags.pop_first().unwrap(), event.value.clone().unwrap()));
    }
    let expected = [
        ("rate", json!(2.5)),
        ("responseTime", json!(41.3)),
        ("requests", json!(1_250)),
        ("errorRate", json!(0.004)),
        ("successRate", json!(0.996)),
        ("p50", json!(30.13)),
        ("p95", json!(90)),
        ("p99", json!(99.5)),
        ("concurrency", json!(3)),
        ("bytesOut", json!(4_096)),
        ("status2xx", json!(1_245)),
        ("status3xx", json!(0)),
        ("status4xx", json!(0)),
        ("status5xx", json!(5)),
    ];
    let mut expected: Vec<(&str, String, Value)> =
        expected.into_iter().map(|(name, value)| ("metrics", format!("metrics:{name}"), value)).collect();
    expected.push(("health", "health".into(), json!(0.98)));
    assert_eq!(seen, expected);
}

#[test]
fn events_without_traffic_say_only_what_is_known() {
    let gateway = GatewayName::parse("shop").unwrap();
    let events =
        metric_events(Subject::Gateway(&gateway), &Window::empty(60), 0, None, Timestamp::UNIX_EPOCH);
    let tags = |event: &NewEvent| event.tags.iter().cloned().collect::<Vec<_>>().join(" ");
    let value = |name: &str| {
        let wanted = format!("gateway gateways:shop metrics:{name}");
        events.iter().find(|event| tags(event) == wanted).and_then(|event| event.value.clone())
    };
    for name in ["rate", "responseTime", "requests", "status5xx"] {
        assert_eq!(value(name), Some(json!(0)), "{name}");
    }
    for name in ["errorRate", "successRate", "p50", "p95", "p99"] {
        assert_eq!(value(name), None, "{name}");
    }
    assert!(events.iter().all(|event| event.kind == "metrics"));
}
