//! `/figures`: live figures of all gateways, once or as a stream; and the text for Prometheus.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{Response, sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use jiff::Timestamp;
use model::name::{GatewayName, RoutePath};
use model::percent::Percent;
use routing::config::{GatewayConfig, RouteConfig, TargetAddress, TargetConfig};
use serde::Serialize;
use telemetry::figures::error_rate;
use telemetry::{Gauges, Key, TargetGauge, Telemetry, Window};
use tokio::time::MissedTickBehavior;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::streams;
use crate::context::{App, TargetStatus};
use crate::environments::Shared;
use crate::web::failure::Failure;
use crate::web::parameters::{Parameters, unreadable};
use crate::web::reply::{Answer, Reply};

/// Seconds that figures cover unless asked for.
const WINDOW: u32 = 10;
/// Seconds that are kept.
const LONGEST: u32 = 900;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(figures)).routes(routes!(stream))
}

/// Requests, errors and times of every gateway, route and instance in the last seconds.
#[utoipa::path(get, path = "/api/v1/figures", tag = "figures",
    params(("window" = Option<u32>, Query, description = "Seconds, 1 to 900; 10 unless given."),
        ("gateway" = Option<String>, Query, description = "Only this gateway.")),
    responses((status = 200, description = "Figures by gateway, route and instance.", body = Figures),
        (status = 404, description = "No such gateway.", body = crate::schema::Error)))]
pub(crate) async fn figures(State(app): State<Arc<App>>, parameters: Parameters) -> Answer {
    let asked = Asked::read(&parameters)?;
    if let Some(gateway) = &asked.gateway
        && !app.control().view().gateways.contains_key(gateway)
    {
        return Err(super::gateways::missing(gateway));
    }
    Reply::of(&collect(&app, &asked))
}

/// The same once a second, as events called `figures`.
#[utoipa::path(get, path = "/api/v1/figures/stream", tag = "figures",
    params(("window" = Option<u32>, Query, description = "Seconds, 1 to 900; 10 unless given."),
        ("gateway" = Option<String>, Query, description = "Only this gateway; none while it does not exist.")),
    responses((status = 200, description = "Server-sent events.", body = String, content_type = "text/event-stream")))]
pub(crate) async fn stream(State(app): State<Arc<App>>, parameters: Parameters) -> Result<Response, Failure> {
    let asked = Asked::read(&parameters)?;
    let permit = streams::permit(&app)?;
    let events = every_second(app.clone(), permit, move |app| {
        serde_json::to_string(&collect(app, &asked)).unwrap_or_default()
    });
    Ok(streams::answer(&app, events))
}

/// An event called `figures` once a second.
pub(crate) fn every_second<P>(
    app: Arc<App>,
    permit: P,
    figures: impl Fn(&App) -> String,
) -> impl Stream<Item = sse::Event> {
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    unfold((app, clock, permit, figures), move |(app, mut clock, permit, figures)| async move {
        clock.tick().await;
        let event = sse::Event::default().event("figures").data(figures(&app));
        Some((event, (app, clock, permit, figures)))
    })
}

/// Which figures are asked for.
pub(crate) struct Asked {
    pub(crate) seconds: u32,
    pub(crate) gateway: Option<GatewayName>,
}

impl Asked {
    fn read(parameters: &Parameters) -> Result<Self, Failure> {
        let gateway = parameters.text("gateway").map(super::gateways::parse).transpose()?;
        Ok(Self { seconds: window(parameters)?, gateway })
    }
}

pub(crate) fn window(parameters: &Parameters) -> Result<u32, Failure> {
    let Some(seconds) = parameters.integer("window")? else { return Ok(WINDOW) };
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=LONGEST).contains(seconds))
        .ok_or_else(|| unreadable("window", &seconds.to_string(), "1 to 900 seconds"))
}

/// Figures down to the instances.
fn collect(app: &App, asked: &Asked) -> Figures {
    let view = app.control().view();
    let states: HashMap<(GatewayName, RoutePath, String), (bool, bool)> = app
        .environment
        .data_plane
        .targets()
        .into_iter()
        .filter(|target| asked.gateway.as_ref().is_none_or(|gateway| *gateway == target.gateway))
        .map(|target| ((target.gateway, target.route, target.id), (target.up, target.ejected)))
        .collect();
    let traffic = |key: &Key| Traffic::read(&app.environment.telemetry, key, asked.seconds);
    let state = |gateway: &GatewayName, route: &RouteConfig, target: &TargetConfig| {
        let known = states.get(&(gateway.clone(), route.path.clone(), target.id.clone()));
        known.copied().unwrap_or((true, false))
    };
    let instance = |gateway: &GatewayName, route: &RouteConfig, target: &TargetConfig| InstanceFigures {
        name: target.name.clone(),
        id: target.id.clone(),
        address: match &target.address {
            TargetAddress::Socket(address) => address.to_string(),
            TargetAddress::Name { host, port } => format!("{host}:{port}"),
        },
        up: state(gateway, route, target).0,
        ejected: state(gateway, route, target).1,
        traffic: traffic(&Key::Instance(gateway.clone(), route.path.clone(), target.id.clone())),
    };
    let route = |gateway: &GatewayName, route: &RouteConfig| RouteFigures {
        path: route.path.to_string(),
        weight: Percent::from_hundredths(route.weight).unwrap_or_default().to_string(),
        targets: route.targets.len(),
        traffic: traffic(&Key::Route(gateway.clone(), route.path.clone())),
        instances: route.targets.iter().map(|target| instance(gateway, route, target)).collect(),
    };
    let gateway = |(name, config): (&GatewayName, &Arc<GatewayConfig>)| GatewayFigures {
        name: name.to_string(),
        traffic: traffic(&Key::Gateway(name.clone())),
        routes: config.routes.iter().map(|config| route(name, config)).collect(),
    };
    let wanted = |(name, _): &(&GatewayName, &Arc<GatewayConfig>)| {
        asked.gateway.as_ref().is_none_or(|only| only == *name)
    };
    Figures {
        timestamp: Timestamp::now().to_string(),
        revision: view.revision,
        seconds: asked.seconds,
        gateways: view.config.gateways.iter().filter(wanted).map(gateway).collect(),
    }
}

/// Figures of whole gateways, for a list of all of them.
pub(crate) fn overview(app: &App, seconds: u32) -> GatewayOverview {
    let view = app.control().view();
    let line = |name: &GatewayName| GatewayLine {
        name: name.to_string(),
        traffic: Traffic::read(&app.environment.telemetry, &Key::Gateway(name.clone()), seconds),
    };
    GatewayOverview {
        timestamp: Timestamp::now().to_string(),
        revision: view.revision,
        seconds,
        gateways: view.config.gateways.keys().map(line).collect(),
    }
}

/// Live figures of whole gateways.
#[derive(Serialize, ToSchema)]
pub(crate) struct GatewayOverview {
    /// Now.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Revision of the environment.
    revision: u64,
    /// How many of the last seconds the figures cover.
    seconds: u32,
    /// Gateways by name.
    gateways: Vec<GatewayLine>,
}

/// Figures of a gateway as a whole.
#[derive(Serialize, ToSchema)]
pub(crate) struct GatewayLine {
    /// Name.
    name: String,
    #[serde(flatten)]
    traffic: Traffic,
}

/// Live figures of everything.
#[derive(Serialize, ToSchema)]
pub(crate) struct Figures {
    /// Now.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Revision of the environment.
    revision: u64,
    /// How many of the last seconds the figures cover.
    seconds: u32,
    /// Gateways by name.
    gateways: Vec<GatewayFigures>,
}

/// Figures of a gateway.
#[derive(Serialize, ToSchema)]
pub(crate) struct GatewayFigures {
    /// Name.
    name: String,
    #[serde(flatten)]
    traffic: Traffic,
    /// Routes in order.
    routes: Vec<RouteFigures>,
}

/// Figures of a route.
#[derive(Serialize, ToSchema)]
pub(crate) struct RouteFigures {
    /// Path.
    path: String,
    /// Share of traffic in the data plane.
    weight: String,
    /// Number of ready targets.
    targets: usize,
    #[serde(flatten)]
    traffic: Traffic,
    /// Targets that get traffic.
    instances: Vec<InstanceFigures>,
}

/// Figures of an instance.
#[derive(Serialize, ToSchema)]
pub(crate) struct InstanceFigures {
    /// Name for people.
    name: String,
    /// Stable id.
    id: String,
    /// `host:port`.
    address: String,
    /// False while the proxy holds it to be of no use: it accepts no connections, or is ejected.
    up: bool,
    /// True while the proxy leaves it out because it answers badly.
    ejected: bool,
    #[serde(flatten)]
    traffic: Traffic,
}

/// What a gateway, route or instance did within the window. Times are those of whole requests, null without traffic.
#[derive(Serialize, ToSchema)]
pub(crate) struct Traffic {
    /// Requests (tcp: connections) that ended.
    requests: u64,
    /// By class of their status.
    by_class: ByClass,
    /// Share of the requests that ended with a status of 500 or above, 0 to 1; null without traffic.
    #[schema(required = true)]
    error_rate: Option<f64>,
    /// Requests that Vamp answered with an error itself, or gave up.
    errors: u64,
    /// Requests (tcp: connections) under way now.
    in_flight: u64,
    /// Requests for each second.
    rate: f64,
    /// Mean time in milliseconds.
    #[schema(required = true)]
    mean_ms: Option<f64>,
    /// Median time in milliseconds.
    #[schema(required = true)]
    p50_ms: Option<f64>,
    /// 95th percentile in milliseconds.
    #[schema(required = true)]
    p95_ms: Option<f64>,
    /// 99th percentile in milliseconds.
    #[schema(required = true)]
    p99_ms: Option<f64>,
    /// Bytes from clients.
    received: u64,
    /// Bytes to clients.
    sent: u64,
    /// Requests that came here in place of a route without ready targets.
    rerouted: u64,
}

/// Requests by class of their status.
#[derive(Serialize, ToSchema)]
pub(crate) struct ByClass {
    /// No response at all.
    none: u64,
    #[serde(rename = "1xx")]
    informational: u64,
    #[serde(rename = "2xx")]
    success: u64,
    #[serde(rename = "3xx")]
    redirection: u64,
    #[serde(rename = "4xx")]
    client_error: u64,
    #[serde(rename = "5xx")]
    server_error: u64,
}

impl Traffic {
    fn read(telemetry: &Telemetry, key: &Key, seconds: u32) -> Self {
        let window = telemetry.window(key, seconds).unwrap_or_else(|| Window::empty(seconds));
        let in_flight = telemetry.series(key).map_or(0, |series| series.totals().in_flight);
        let [none, informational, success, redirection, client_error, server_error] = window.by_class;
        Self {
            requests: window.requests,
            by_class: ByClass { none, informational, success, redirection, client_error, server_error },
            error_rate: error_rate(&window),
            errors: window.errors,
            in_flight,
            rate: thousandths(window.rate),
            mean_ms: window.mean_ms.map(thousandths),
            p50_ms: window.p50_ms.map(thousandths),
            p95_ms: window.p95_ms.map(thousandths),
            p99_ms: window.p99_ms.map(thousandths),
            received: window.received,
            sent: window.sent,
            rerouted: window.rerouted,
        }
    }
}

/// Enough for people, and short on the wire.
pub(crate) fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// Text for Prometheus: all environments that are served.
pub(crate) fn prometheus(shared: &Shared) -> String {
    let state = shared.state();
    let apps = state.entries.iter().filter_map(|entry| Some(&entry.served.as_ref().ok()?.app));
    let all: Vec<_> = apps.map(|app| (Arc::clone(&app.environment.telemetry), gauges(app))).collect();
    let parts: Vec<_> = all.iter().map(|(telemetry, gauges)| (telemetry.as_ref(), gauges)).collect();
    telemetry::page(&shared.process.info.version, &parts)
}

fn gauges(app: &App) -> Gauges {
    let view = app.control().view();
    let weights = view.gateways.iter().flat_map(|(name, entry)| {
        entry.view.routes.iter().map(|(path, route)| (name.clone(), path.clone(), route.weight))
    });
    let target = |target: TargetStatus| TargetGauge {
        gateway: target.gateway,
        route: target.route,
        id: target.id,
        name: target.name,
        up: target.up,
        in_flight: target.in_flight,
        pending: target.pending,
        ejected: target.ejected,
        ejections: target.ejections,
    };
    let data_plane = &app.environment.data_plane;
    Gauges {
        version: app.process.info.version.clone(),
        environment: app.environment.id.title(),
        revision: view.revision,
        proxies: view
            .proxies
            .iter()
            .map(|proxy| (proxy.name.clone(), proxy.revision.unwrap_or_default()))
            .collect(),
        weights: weights.collect(),
        targets: data_plane.targets().into_iter().map(target).collect(),
        gateways: data_plane.budgets(),
        idle_connections: data_plane.idle_connections(),
        access_log_lost: data_plane.access_log_lost(),
        spans_dropped: data_plane.spans_dropped(),
        certificates: data_plane.certificates(),
        handshakes: data_plane.handshakes(),
    }
}
