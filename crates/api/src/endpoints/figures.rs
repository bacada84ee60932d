//! `/figures`: live figures of all gateways, once or as a stream; and the text for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{Response, sse};
use futures_util::stream::unfold;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use telemetry::{Gauges, Key, TargetGauge, Window};
use tokio::time::MissedTickBehavior;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::streams;
use crate::context::{App, TargetStatus};
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
    params(("window" = Option<u32>, Query, description = "Seconds, 1 to 900; 10 unless given.")),
    responses((status = 200, description = "Figures by gateway, route and instance.", body = Object)))]
pub(crate) async fn figures(State(app): State<Arc<App>>, parameters: Parameters) -> Answer {
    Ok(Reply::ok(all(&app, window(&parameters)?)))
}

/// The same once a second, as events called `figures`.
#[utoipa::path(get, path = "/api/v1/figures/stream", tag = "figures",
    params(("window" = Option<u32>, Query, description = "Seconds, 1 to 900; 10 unless given.")),
    responses((status = 200, description = "Server-sent events.", body = String, content_type = "text/event-stream")))]
pub(crate) async fn stream(State(app): State<Arc<App>>, parameters: Parameters) -> Result<Response, Failure> {
    let window = window(&parameters)?;
    let permit = streams::permit(&app)?;
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let source = app.clone();
    let events = unfold((source, clock, permit), move |(app, mut clock, permit)| async move {
        clock.tick().await;
        let event = sse::Event::default().event("figures").data(all(&app, window).to_string());
        Some((event, (app, clock, permit)))
    });
    Ok(streams::answer(&app, events))
}

fn window(parameters: &Parameters) -> Result<u32, Failure> {
    let Some(seconds) = parameters.integer("window")? else { return Ok(WINDOW) };
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=LONGEST).contains(seconds))
        .ok_or_else(|| unreadable("window", &seconds.to_string(), "1 to 900 seconds"))
}

fn all(app: &App, seconds: u32) -> Value {
    let view = app.control().view();
    let telemetry = &app.context.telemetry;
    let figures = |key: &Key| telemetry.window(key, seconds).unwrap_or_else(|| Window::empty(seconds));
    let mut gateways = Map::new();
    for (name, config) in &view.config.gateways {
        let mut routes = Map::new();
        for route in &config.routes {
            let mut instances = Map::new();
            for target in &route.targets {
                let key = Key::Instance(name.clone(), route.path.clone(), target.id.clone());
                let mut value = show(&figures(&key));
                value.insert("id".into(), target.id.clone().into());
                instances.insert(target.name.clone(), value.into());
            }
            let mut value = show(&figures(&Key::Route(name.clone(), route.path.clone())));
            let weight = model::percent::Percent::from_hundredths(route.weight).unwrap_or_default();
            value.insert("weight".into(), weight.to_string().into());
            value.insert("instances".into(), instances.into());
            routes.insert(route.path.to_string(), value.into());
        }
        let mut value = show(&figures(&Key::Gateway(name.clone())));
        value.insert("routes".into(), routes.into());
        gateways.insert(name.to_string(), value.into());
    }
    json!({
        "timestamp": Timestamp::now(),
        "revision": view.revision,
        "window": seconds,
        "gateways": gateways,
    })
}

fn show(window: &Window) -> Map<String, Value> {
    let mut map = match serde_json::to_value(window) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    map.shift_remove("seconds");
    let classes = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    let by_class: Map<String, Value> =
        classes.into_iter().zip(window.by_class).map(|(class, count)| (class.into(), count.into())).collect();
    map.insert("by_class".into(), by_class.into());
    for key in ["rate", "mean_ms", "p50_ms", "p95_ms", "p99_ms"] {
        if let Some(value) = map.get_mut(key)
            && let Some(number) = value.as_f64()
        {
            *value = json!((number * 1000.0).round() / 1000.0);
        }
    }
    map
}

/// Text for Prometheus.
pub(crate) fn prometheus(app: &App) -> String {
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
    };
    let gauges = Gauges {
        version: app.context.info.version.clone(),
        revision: view.revision,
        proxies: view
            .proxies
            .iter()
            .map(|proxy| (proxy.name.clone(), proxy.revision.unwrap_or_default()))
            .collect(),
        weights: weights.collect(),
        targets: app.context.data_plane.targets().into_iter().map(target).collect(),
    };
    app.context.telemetry.prometheus(&gauges)
}
