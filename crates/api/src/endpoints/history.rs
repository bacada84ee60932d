//! `/figures/history`: what a chart shows before the stream has brought enough.

use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use telemetry::figures::error_rate;
use telemetry::{Key, Window, step};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::figures::{thousandths, window};
use crate::context::App;
use crate::web::failure::Failure;
use crate::web::parameters::Parameters;
use crate::web::reply::{Answer, Reply};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(history))
}

/// Requests, errors and times of a gateway and its routes over the last seconds, one point for every few of them.
#[utoipa::path(get, path = "/api/v1/figures/history", tag = "figures",
    params(("gateway" = String, Query, description = "The gateway."),
        ("window" = Option<u32>, Query, description = "Seconds, 1 to 900; 10 unless given. Up to 60 there is a point for each second, beyond for every 5.")),
    responses((status = 200, description = "The points, oldest first.", body = History),
        (status = 404, description = "No such gateway.", body = crate::schema::Error)))]
pub(crate) async fn history(State(app): State<Arc<App>>, parameters: Parameters) -> Answer {
    let name = parameters.text("gateway").ok_or_else(|| {
        Failure::bad_request("missing-value", "Name the gateway, for example ?gateway=shop&window=300.")
    })?;
    let name = super::gateways::parse(name)?;
    let seconds = window(&parameters)?;
    let view = app.control().view();
    let entry = view.gateways.get(&name).ok_or_else(|| super::gateways::missing(&name))?;
    let telemetry = &app.environment.telemetry;
    let mut series = vec![Points::of(None, &telemetry.history(&Key::Gateway(name.clone()), seconds))];
    series.extend(entry.view.routes.iter().map(|(path, _)| {
        let key = Key::Route(name.clone(), path.clone());
        Points::of(Some(path.to_string()), &telemetry.history(&key, seconds))
    }));
    Reply::of(&History {
        timestamp: Timestamp::now().to_string(),
        gateway: name.to_string(),
        step: step(seconds),
        series,
    })
}

/// Figures over time.
#[derive(Serialize, ToSchema)]
pub(crate) struct History {
    /// When the last point ends.
    #[schema(format = DateTime)]
    timestamp: String,
    /// The gateway.
    gateway: String,
    /// Seconds that each point covers.
    step: u32,
    /// The gateway as a whole, then its routes in order.
    series: Vec<Points>,
}

/// The points of a gateway or route, oldest first; times and error rates are null without traffic.
#[derive(Serialize, ToSchema)]
pub(crate) struct Points {
    /// Path of the route; null for the whole gateway.
    #[schema(required = true)]
    route: Option<String>,
    /// Requests for each second.
    rate: Vec<f64>,
    /// Share of the requests that ended with a status of 500 or above, 0 to 1.
    error_rate: Vec<Option<f64>>,
    /// Median time in milliseconds.
    p50_ms: Vec<Option<f64>>,
    /// 95th percentile in milliseconds.
    p95_ms: Vec<Option<f64>>,
    /// 99th percentile in milliseconds.
    p99_ms: Vec<Option<f64>>,
}

impl Points {
    fn of(route: Option<String>, windows: &[Window]) -> Self {
        let times = |time: fn(&Window) -> Option<f64>| {
            windows.iter().map(|window| time(window).map(thousandths)).collect()
        };
        Self {
            route,
            rate: windows.iter().map(|window| thousandths(window.rate)).collect(),
            error_rate: windows.iter().map(error_rate).collect(),
            p50_ms: times(|window| window.p50_ms),
            p95_ms: times(|window| window.p95_ms),
            p99_ms: times(|window| window.p99_ms),
        }
    }
}
