//! Health and metrics (api 15, automation 2.2 to 2.4): bare numbers, from events.

use serde_json::{Value, json};

use super::{Echo, Report, port_of, send};
use crate::harness::{Vamp, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn of_published_events() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("metrics of events");
    let publish = async |tags: &[&str], kind: &str, value: Value, timestamp: Option<&str>| {
        let mut event = json!({"tags": tags, "type": kind, "value": value});
        if let Some(timestamp) = timestamp {
            event["timestamp"] = json!(timestamp);
        }
        let answer = vamp.post("/events", &event.to_string()).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    };
    let shop = "gateways:shop/store/web";
    let route = "routes:shop/store/web:1.0/port";
    publish(&[shop, "gateway", "metrics:rate"], "metrics", json!(7), None).await;
    publish(&[shop, "gateway", "metrics:rate"], "metrics", json!(12.5), None).await;
    publish(&[shop, "gateway", "metrics:mine"], "metrics", json!(0.25), None).await;
    publish(&[shop, route, "route", "metrics:rate"], "metrics", json!(3.2), None).await;
    publish(&[shop, route, "route", "metrics:latency"], "metrics", json!(80), None).await;
    publish(&[shop, "gateway", "health"], "health", json!(1), None).await;
    publish(&[shop, route, "route", "health"], "health", json!(0.5), None).await;
    // Not so old that it is removed, as old events are from a second after the start.
    let yesterday = (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24)).to_string();
    publish(&["gateways:old", "gateway", "metrics:rate"], "metrics", json!(1), Some(&yesterday)).await;
    publish(&["gateways:(a)", "gateway", "metrics:rate"], "metrics", json!(4), None).await;

    let rows = [
        ("2.4 the newest event", "/metrics/gateways/shop%2Fstore%2Fweb/rate", Some("12.5")),
        ("2.4 any metric", "/metrics/gateways/shop%2Fstore%2Fweb/mine", Some("0.25")),
        (
            "2.4 a route",
            "/metrics/gateways/shop%2Fstore%2Fweb/routes/shop%2Fstore%2Fweb:1.0%2Fport/rate",
            Some("3.2"),
        ),
        (
            "2.4 a route, all encoded",
            "/metrics/gateways/shop%2Fstore%2Fweb/routes/shop%2Fstore%2Fweb%3A1.0%2Fport/rate",
            Some("3.2"),
        ),
        ("2.4 a window", "/metrics/gateways/shop%2Fstore%2Fweb/rate?window=60", Some("12.5")),
        (
            "2.4 a window that is no number",
            "/metrics/gateways/shop%2Fstore%2Fweb/rate?window=x",
            Some("12.5"),
        ),
        ("2.4 a negative window", "/metrics/gateways/shop%2Fstore%2Fweb/rate?window=-5", Some("12.5")),
        (
            "2.4 a metric of a route is none of its gateway",
            "/metrics/gateways/shop%2Fstore%2Fweb/latency",
            None,
        ),
        ("2.4 no such metric", "/metrics/gateways/shop%2Fstore%2Fweb/nothing", None),
        ("2.4 no such gateway", "/metrics/gateways/nobody/rate", None),
        ("2.4 out of the window", "/metrics/gateways/old/rate", None),
        ("2.4 in a large window", "/metrics/gateways/old/rate?window=1000000000", Some("1")),
        ("api 1 raw parentheses", "/metrics/gateways/(a)/rate", Some("4")),
        ("api 1 encoded parentheses", "/metrics/gateways/%28a%29/rate", Some("4")),
        ("2.4 health", "/health/gateways/shop%2Fstore%2Fweb", Some("1")),
        (
            "2.4 health of a route",
            "/health/gateways/shop%2Fstore%2Fweb/routes/shop%2Fstore%2Fweb:1.0%2Fport",
            Some("0.5"),
        ),
        ("2.4 no health", "/health/gateways/nobody", None),
    ];
    for (rule, path, expected) in rows {
        let answer = vamp.get(path).await;
        match expected {
            Some(number) => report.same(
                &format!("{rule}: {path}"),
                (answer.status, answer.body.as_f64()),
                (200, number.parse::<f64>().ok()),
            ),
            None => report.holds(
                &format!("A11 {rule}: {path}"),
                answer.status == 404 && !answer.message().is_empty(),
                (answer.status, answer.body),
            ),
        }
    }
    report.finish();
}

/// What Vamp publishes itself, about once a period (2.2, 2.3).
#[tokio::test(flavor = "multi_thread")]
async fn of_traffic() {
    let vamp = Vamp::start_with(&["--metrics-period", "1s", "--metrics-window", "10s"]).await;
    let target = Echo::start("a").await;
    let mut report = Report::new("metrics of traffic");
    let port = port_of(&vamp.gateway(&format!("name: shop\nroutes: [\"{}\"]", target.path())).await);
    for _ in 0..20 {
        report.same("11 served", send(("127.0.0.1", port), "GET /").await.status, 200);
    }
    let route = target.path().replace('[', "%5B").replace(']', "%5D");
    for (rule, path) in [
        ("2.2 rate", "/metrics/gateways/shop/rate".to_owned()),
        ("2.2 rate of a route", format!("/metrics/gateways/shop/routes/{route}/rate")),
        ("2.2 response time", "/metrics/gateways/shop/responseTime".to_owned()),
    ] {
        let number = eventually(rule, || async {
            // What is told is about the last ten seconds.
            send(("127.0.0.1", port), "GET /").await;
            let answer = vamp.get(&path).await;
            answer.body.as_f64().filter(|number| answer.status == 200 && *number > 0.0)
        })
        .await;
        report.holds(rule, number < 1000.0, number);
    }
    for path in ["/health/gateways/shop".to_owned(), format!("/health/gateways/shop/routes/{route}")] {
        let number = eventually("health", || async {
            let answer = vamp.get(&path).await;
            answer.body.as_f64().filter(|_| answer.status == 200)
        })
        .await;
        report.same(&format!("D33 {path}"), number, 1.0);
    }
    // The load of the UI: events with these tags (api 13).
    for tags in ["tag=gateways:shop&tag=gateway&tag=health", "tag=gateways:shop&tag=gateway&tag=metrics:rate"]
    {
        let event = eventually("an event", || newest_event(&vamp, tags)).await;
        report.holds(&format!("2.2 {tags}"), event["value"].is_number(), &event);
    }
    let tags = format!("tag=gateways:shop&tag=routes:{route}&tag=route&tag=metrics:responseTime");
    let event = eventually("an event", || newest_event(&vamp, &tags)).await;
    report.holds(&format!("2.2 {tags}"), event["value"].is_number() && event["type"] == "metrics", &event);
    report.finish();
}

async fn newest_event(vamp: &Vamp, tags: &str) -> Option<Value> {
    let events = vamp.get(&format!("/events?{tags}")).await.body;
    events.get(0).cloned()
}

/// Nothing is published about a gateway that nobody uses; asked for, its figures are there all the same (2.2, 2.3, D33).
#[tokio::test(flavor = "multi_thread")]
async fn of_quiet_gateways() {
    let vamp = Vamp::start().await;
    let target = Echo::start("a").await;
    let mut report = Report::new("metrics without traffic");
    vamp.gateway(&format!("name: shop\nroutes: [\"{}\"]", target.path())).await;
    let route = target.path().replace('[', "%5B").replace(']', "%5D");
    let rows = [
        ("2.2 rate", "/metrics/gateways/shop/rate".to_owned(), Some(0.0)),
        ("2.2 response time", "/metrics/gateways/shop/responseTime".to_owned(), Some(0.0)),
        ("2.2 rate of a route", format!("/metrics/gateways/shop/routes/{route}/rate"), Some(0.0)),
        (
            "2.2 requests of a route",
            format!("/metrics/gateways/shop/routes/{route}/requests?window=60"),
            Some(0.0),
        ),
        ("2.2 no percentile of nothing", "/metrics/gateways/shop/p99".to_owned(), None),
        ("2.4 no such metric", "/metrics/gateways/shop/nothing".to_owned(), None),
        ("2.4 no such route", "/metrics/gateways/shop/routes/other/rate".to_owned(), None),
        ("D33 no instances are known", "/health/gateways/shop".to_owned(), None),
        ("D33 the instances alone", format!("/health/gateways/shop/routes/{route}"), Some(1.0)),
    ];
    for (rule, path, expected) in rows {
        let answer = vamp.get(&path).await;
        let number = answer.body.as_f64().filter(|_| answer.status == 200);
        report.same(&format!("{rule}: {path}"), number, expected);
        report.holds(&format!("{rule}: status"), matches!(answer.status, 200 | 404), answer.status);
    }
    report.finish();
}
