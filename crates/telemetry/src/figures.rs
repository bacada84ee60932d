//! From a window to the figures that people and automation see: pure functions (spec: automation 2.2, 2.3).

use jiff::Timestamp;
use model::event::NewEvent;
use model::name::{GatewayName, RoutePath};
use serde_json::Value;

use crate::window::Window;

/// Requests for each second, two decimals. Exact: rounded half up from whole numbers.
pub fn rate(requests: u64, seconds: u32) -> f64 {
    ratio(requests.into(), seconds.into(), 2).unwrap_or(0.0)
}

/// Mean total time in milliseconds, one decimal; 0 without traffic.
pub fn response_time(window: &Window) -> f64 {
    window.mean_ms.map_or(0.0, |mean| round(mean, 1))
}

/// Share of responses with a status of 500 or above, four decimals; `None` without traffic.
pub fn error_rate(window: &Window) -> Option<f64> {
    ratio(window.server_errors().into(), window.requests.into(), 4)
}

/// How health is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HealthMode {
    /// The share of requests without a server error, times the share of instances that are ready.
    #[default]
    Ratio,
    /// As in the original: one server error in the window makes it 0, else 1, also without traffic.
    AnyError,
}

/// Instances of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instances {
    /// Ready for traffic.
    pub ready: u32,
    /// Meant to be there. 0: not known.
    pub wanted: u32,
}

/// Health of a gateway (without `instances`) or a route, 0 to 1 in four decimals. Without traffic the instances alone decide;
/// `None` when they are not known either.
pub fn health(window: &Window, instances: Option<Instances>, mode: HealthMode) -> Option<f64> {
    if mode == HealthMode::AnyError {
        return Some(if window.server_errors() == 0 { 1.0 } else { 0.0 });
    }
    let instances = instances.filter(|instances| instances.wanted > 0);
    let (ready, wanted) = instances.map_or((1, 1), |i| (u128::from(i.ready.min(i.wanted)), i.wanted.into()));
    let (good, all) = match window.requests {
        0 => (1, u128::from(instances.is_some())),
        all => (u128::from(all.saturating_sub(window.server_errors())), all.into()),
    };
    ratio(good * ready, all * wanted, 4)
}

/// What figures are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A gateway.
    Gateway(&'a GatewayName),
    /// A route, by its full path.
    Route(&'a GatewayName, &'a RoutePath),
    /// An instance of a route, by its name for people.
    Instance(&'a GatewayName, &'a RoutePath, &'a str),
}

impl Subject<'_> {
    /// Tags that say what an event is about.
    pub fn tags(&self) -> Vec<String> {
        let gateway = |name: &GatewayName| format!("gateways:{name}");
        let route = |path: &RoutePath| format!("routes:{path}");
        match self {
            Self::Gateway(name) => vec![gateway(name), "gateway".into()],
            Self::Route(name, path) => vec![gateway(name), route(path), "route".into()],
            Self::Instance(name, path, id) => {
                vec![gateway(name), route(path), format!("instances:{id}"), "instance".into()]
            }
        }
    }
}

/// The figures of one subject as events: one of type `metrics` for each metric that has a value, tagged `metrics:NAME`, and one
/// of type `health`. Times are in milliseconds, rates of errors and success between 0 and 1.
pub fn metric_events(
    subject: Subject<'_>,
    window: &Window,
    in_flight: u64,
    health: Option<f64>,
    now: Timestamp,
) -> Vec<NewEvent> {
    let about = subject.tags();
    let event = |kind: &str, tag: String, value: Value| NewEvent {
        tags: about.iter().cloned().chain([tag]).collect(),
        value: Some(value),
        timestamp: now,
        kind: kind.to_owned(),
        actor: Some("vamp".to_owned()),
        version: None,
    };
    let metrics = metrics(window, in_flight)
        .into_iter()
        .filter_map(|(name, value)| Some(event("metrics", format!("metrics:{name}"), value?)));
    let health = health.map(|value| event("health", "health".to_owned(), number(value)));
    metrics.chain(health).collect()
}

/// One metric by its name; `None` when there is no such metric, or no value without traffic.
pub fn metric(name: &str, window: &Window, in_flight: u64) -> Option<Value> {
    metrics(window, in_flight).into_iter().find(|(known, _)| *known == name)?.1
}

/// Names and values; what has no value without traffic is `None`.
fn metrics(window: &Window, in_flight: u64) -> [(&'static str, Option<Value>); 14] {
    let milliseconds = |value: Option<f64>| value.map(|value| number(round(value, 2)));
    let success =
        ratio(u128::from(window.requests.saturating_sub(window.server_errors())), window.requests.into(), 4);
    let [_, _, status_2xx, status_3xx, status_4xx, status_5xx] = window.by_class;
    [
        ("rate", Some(number(rate(window.requests, window.seconds)))),
        ("responseTime", Some(number(response_time(window)))),
        ("requests", Some(window.requests.into())),
        ("errorRate", error_rate(window).map(number)),
        ("successRate", success.map(number)),
        ("p50", milliseconds(window.p50_ms)),
        ("p95", milliseconds(window.p95_ms)),
        ("p99", milliseconds(window.p99_ms)),
        ("concurrency", Some(in_flight.into())),
        ("bytesOut", Some(window.sent.into())),
        ("status2xx", Some(status_2xx.into())),
        ("status3xx", Some(status_3xx.into())),
        ("status4xx", Some(status_4xx.into())),
        ("status5xx", Some(status_5xx.into())),
    ]
}

/// `part / whole`, rounded half up to some decimals without passing through a binary fraction; `None` for nothing of nothing.
fn ratio(part: u128, whole: u128, decimals: u32) -> Option<f64> {
    let scale = 10_u128.pow(decimals);
    let scaled = (part * scale * 2 + whole).checked_div(whole * 2)?;
    Some(scaled as f64 / scale as f64)
}

fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

/// A JSON number; whole ones without a point.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { Value::from(value as i64) } else { Value::from(value) }
}

#[cfg(test)]
mod tests;
