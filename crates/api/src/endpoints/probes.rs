//! Outside `/api`: probes, Prometheus text, the description of the API, and the start page.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::App;
use crate::web::failure::Failure;
use crate::web::reply::{Answer, Reply};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
        .routes(routes!(description))
        .routes(routes!(page))
}

/// Is the process alive?
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, description = "It is.", body = Object)))]
pub(crate) async fn live() -> Reply {
    Reply::ok(json!({ "status": "live" }))
}

/// Is the first routing table applied?
#[utoipa::path(get, path = "/readyz", tag = "operations", responses(
    (status = 200, description = "It is: traffic flows.", body = Object),
    (status = 503, description = "Not yet.", body = crate::schema::Error),
))]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Answer {
    if app.ready() {
        return Ok(Reply::ok(json!({ "status": "ready" })));
    }
    Err(Failure::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-ready",
        "The first routing table is not applied yet.",
    ))
}

/// Counters, gauges and histograms as Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses(
    (status = 200, description = "Text format 0.0.4.", body = String, content_type = "text/plain"),
))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    ([(CONTENT_TYPE, telemetry::CONTENT_TYPE)], super::figures::prometheus(&app)).into_response()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", responses(
    (status = 200, description = "OpenAPI 3.1.", body = Object),
))]
pub(crate) async fn description() -> Response {
    ([(CONTENT_TYPE, "application/json")], crate::openapi::text().to_owned()).into_response()
}

/// A page for people who open the address in a browser.
#[utoipa::path(get, path = "/", tag = "operations", responses(
    (status = 200, description = "HTML.", body = String, content_type = "text/html"),
))]
pub(crate) async fn page(State(app): State<Arc<App>>) -> Response {
    let version = escape(&app.context.info.version);
    let environment = escape(&app.context.environment);
    let html =
        include_str!("page.html").replace("{version}", &version).replace("{environment}", &environment);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, policy)], html).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
