use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::port::Protocol;
use routing::decide::Reason;

use super::*;
use crate::names::{ALL, Kind};
use crate::outcome::Outcome;

fn gateway(name: &str) -> GatewayName {
    GatewayName::parse(name).unwrap()
}

fn route(path: &str) -> RoutePath {
    RoutePath::parse(path).unwrap()
}

/// One gateway with two routes, eight requests, one of them refused; a tcp gateway with a connection.
fn example() -> (std::sync::Arc<Telemetry>, Gauges) {
    let telemetry = Telemetry::new(2);
    let (shop, old, new) = (gateway("shop"), route("(1.0)"), route("(1.1)"));
    let outcome = |status, reason, millis| Outcome {
        first_byte: Some(Duration::from_millis(millis / 2)),
        received: 100,
        sent: 1_000,
        ..Outcome::new(status, reason, Duration::from_millis(millis))
    };
    let total = telemetry.gateway(&shop, Protocol::Http);
    let record = |path: &RoutePath, outcome: Outcome| {
        total.record(0, &outcome);
        telemetry.route(&shop, path).record(0, &outcome);
        telemetry.route(&shop, path).record_phases(0, &outcome);
        telemetry.instance(&shop, path, "ab12", "pod \"a\"\\1").record(0, &outcome);
    };
    for millis in [1, 3, 30, 300] {
        record(&old, outcome(200, Reason::Weight, millis));
    }
    record(&new, outcome(200, Reason::Condition, 20));
    record(&new, outcome(502, Reason::Sticky, 20).with_error("connect"));
    let waited = Outcome { waited: Some(Duration::from_millis(500)), ..outcome(204, Reason::Rerouted, 20) };
    record(&new, Outcome { retries: 2, connected: Some(Duration::from_millis(1)), ..waited });
    total.record(1, &outcome(503, Reason::NoTarget, 0).with_error("no_target"));
    total.begin(0);
    let tcp = telemetry.gateway(&gateway("db"), Protocol::Tcp);
    tcp.opened(1);
    telemetry.route(&shop, &route("idle"));
    telemetry.tick(Timestamp::from_second(1_000).unwrap());
    let gauges = Gauges {
        version: "0.1.0".into(),
        environment: String::new(),
        revision: 42,
        proxies: vec![("local".into(), 41)],
        weights: vec![
            (shop.clone(), old, Percent::from_hundredths(8_050).unwrap()),
            (shop.clone(), new.clone(), Percent::from_hundredths(1_950).unwrap()),
        ],
        targets: vec![TargetGauge {
            gateway: shop,
            route: new,
            id: "ab12".into(),
            name: "pod".into(),
            up: false,
            in_flight: 1,
            pending: 2,
            ejected: true,
            ejections: 3,
        }],
        gateways: vec![GatewayGauge { gateway: gateway("shop"), retries_left: 99, retries_refused: 4 }],
        idle_connections: Some(5),
        access_log_lost: Some(7),
        spans_dropped: Some(8),
        certificates: vec![(gateway("shop"), "/etc/shop.crt".into(), 1_900_000_000)],
        handshakes: vec![("done", 3), ("refused", 1)],
    };
    (telemetry, gauges)
}

#[test]
fn lines_of_the_example() {
    let (telemetry, gauges) = example();
    let page = telemetry.prometheus(&gauges);
    let lines: BTreeSet<&str> = page.lines().collect();
    for line in [
        r#"vamp_build_info{version="0.1.0"} 1"#,
        r"vamp_config_revision 42",
        r"vamp_access_log_lost_lines_total 7",
        r#"vamp_certificate_expiry_timestamp_seconds{gateway="shop",certificate="/etc/shop.crt"} 1900000000"#,
        r#"vamp_tls_handshakes_total{result="refused"} 1"#,
        r#"vamp_proxy_revision{proxy="local"} 41"#,
        r#"vamp_route_weight{gateway="shop",route="(1.0)",kind="desired"} 80.5"#,
        r#"vamp_route_weight{gateway="shop",route="(1.0)",kind="observed"} 57.14"#,
        r#"vamp_route_weight{gateway="shop",route="idle",kind="observed"} 0"#,
        r#"vamp_requests_total{gateway="shop",route="(1.0)",code_class="2xx",reason="weight"} 4"#,
        r#"vamp_requests_total{gateway="shop",route="(1.1)",code_class="2xx",reason="weight"} 0"#,
        r#"vamp_requests_total{gateway="shop",route="(1.1)",code_class="5xx",reason="sticky"} 1"#,
        r#"vamp_requests_total{gateway="shop",route="",code_class="5xx",reason="no_target"} 1"#,
        r#"vamp_request_duration_seconds_bucket{gateway="shop",route="(1.0)",le="0.0005"} 0"#,
        r#"vamp_request_duration_seconds_bucket{gateway="shop",route="(1.0)",le="0.005"} 2"#,
        r#"vamp_request_duration_seconds_bucket{gateway="shop",route="(1.0)",le="0.5"} 4"#,
        r#"vamp_request_duration_seconds_bucket{gateway="shop",route="(1.0)",le="+Inf"} 4"#,
        r#"vamp_request_duration_seconds_sum{gateway="shop",route="(1.0)"} 0.334"#,
        r#"vamp_request_duration_seconds_count{gateway="shop",route="(1.0)"} 4"#,
        r#"vamp_request_phase_seconds_bucket{gateway="shop",route="(1.0)",phase="first_byte",le="0.0005"} 1"#,
        r#"vamp_request_phase_seconds_bucket{gateway="shop",route="(1.0)",phase="first_byte",le="+Inf"} 4"#,
        r#"vamp_request_phase_seconds_sum{gateway="shop",route="(1.0)",phase="first_byte"} 0.166"#,
        r#"vamp_request_phase_seconds_count{gateway="shop",route="(1.1)",phase="connect"} 1"#,
        r#"vamp_request_phase_seconds_sum{gateway="shop",route="(1.1)",phase="wait"} 0.5"#,
        r#"vamp_retry_budget{gateway="shop"} 99"#,
        r#"vamp_retries_refused_total{gateway="shop"} 4"#,
        r#"vamp_instance_requests_pending{gateway="shop",route="(1.1)",target="pod",target_id="ab12"} 2"#,
        r#"vamp_instance_ejected{gateway="shop",route="(1.1)",target="pod",target_id="ab12"} 1"#,
        r#"vamp_instance_ejections_total{gateway="shop",route="(1.1)",target="pod",target_id="ab12"} 3"#,
        r"vamp_target_connections_idle 5",
        r"vamp_spans_dropped_total 8",
        r#"vamp_request_bytes_total{gateway="shop",route="(1.1)"} 300"#,
        r#"vamp_response_bytes_total{gateway="shop",route="(1.1)"} 3000"#,
        r#"vamp_retries_total{gateway="shop",route="(1.1)"} 2"#,
        r#"vamp_rerouted_requests_total{gateway="shop",route="(1.1)"} 1"#,
        r#"vamp_proxy_errors_total{gateway="shop",error="connect"} 1"#,
        r#"vamp_proxy_errors_total{gateway="shop",error="no_target"} 1"#,
        r#"vamp_requests_in_flight{gateway="shop"} 1"#,
        r#"vamp_connections{gateway="db",protocol="tcp"} 1"#,
        r#"vamp_instance_requests_total{gateway="shop",route="(1.0)",target="pod \"a\"\\1",target_id="ab12",code_class="2xx"} 4"#,
        r#"vamp_instance_up{gateway="shop",route="(1.1)",target="pod",target_id="ab12"} 0"#,
        r"# TYPE vamp_request_duration_seconds histogram",
    ] {
        assert!(lines.contains(line), "{line}\nis not on\n{page}");
    }
}

#[test]
fn the_page_is_well_formed() {
    let (telemetry, gauges) = example();
    well_formed(&telemetry.prometheus(&gauges), false);
    let of = |environment: &str| Gauges { environment: environment.into(), ..gauges.clone() };
    let (prod, test) = (of("prod"), of("test"));
    let text = page("0.1.0", &[(&telemetry, &prod), (&telemetry, &test)]);
    well_formed(&text, true);
    for line in [
        "vamp_config_revision{environment=\"prod\"} 42\nvamp_config_revision{environment=\"test\"} 42\n",
        "vamp_build_info{version=\"0.1.0\"} 1\n",
        "vamp_connections{gateway=\"db\",protocol=\"tcp\",environment=\"test\"} 1\n",
        "route=\"(1.0)\",environment=\"prod\",le=\"+Inf\"} 4\n",
    ] {
        assert!(text.contains(line), "{line}\nis not on\n{text}");
    }
    let none = page("0.1.0", &[]);
    assert!(none.contains("vamp_build_info") && !none.contains("vamp_config_revision"), "{none}");
}

/// Reads a page strictly: every sample under the head of its family, with exactly its labels, none twice.
fn well_formed(page: &str, environments: bool) {
    let known: BTreeMap<&str, &Family> = ALL.iter().map(|family| (family.name, family)).collect();
    assert_eq!(known.len(), ALL.len(), "names are unique");
    let (mut current, mut seen, mut samples) = (None, BTreeSet::new(), BTreeSet::new());
    assert!(page.ends_with('\n') && !page.contains("\n\n"));
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let name = help.split(' ').next().unwrap();
            assert!(seen.insert(name), "{name} comes twice");
            current = known.get(name).copied();
            assert!(current.is_some(), "{name} is not listed");
            continue;
        }
        let family = current.unwrap();
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert_eq!(kind, format!("{} {}", family.name, family.kind.as_str()));
            continue;
        }
        assert!(samples.insert(line.rsplit_once(' ').unwrap().0), "twice: {line}");
        let (name, labels, value) = sample(line);
        let suffix = name.strip_prefix(family.name).expect(line);
        let suffixes: &[&str] = match family.kind {
            Kind::Counter | Kind::Gauge => &[""],
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::Summary => &["_sum", "_count"],
        };
        assert!(suffixes.contains(&suffix), "{line}");
        let mut expected = family.labels.to_vec();
        if environments && family.scope == Scope::Environment {
            expected.push(names::ENVIRONMENT);
        }
        if suffix == "_bucket" {
            expected.push("le");
        }
        assert_eq!(labels, expected, "{line}");
        value.parse::<f64>().expect(line);
        if family.kind == Kind::Counter {
            assert!(family.name.ends_with("_total"), "{}", family.name);
        }
    }
    assert_eq!(seen.len(), ALL.len(), "the example shows every family");
}

/// Name, names of labels, value. Quotes end at the first that is not escaped.
fn sample(line: &str) -> (&str, Vec<&str>, &str) {
    let Some((name, mut rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ').unwrap();
        return (name, Vec::new(), value);
    };
    let mut labels = Vec::new();
    loop {
        let (label, value) = rest.split_once("=\"").unwrap();
        labels.push(label);
        let mut escaped = false;
        let end = value
            .find(|c| {
                let end = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                end
            })
            .unwrap();
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (name, labels, rest.strip_prefix("} ").unwrap()),
        }
    }
}

#[test]
fn text_is_escaped() {
    let mut text = String::new();
    escape(&mut text, "a\\b\"c\nd", true);
    assert_eq!(text, r#"a\\b\"c\nd"#);
    text.clear();
    escape(&mut text, "a\\b\"c\nd", false);
    assert_eq!(text, r#"a\\b"c\nd"#);
}
