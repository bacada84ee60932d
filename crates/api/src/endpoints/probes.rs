//! Outside `/api`: probes, Prometheus text, and the description of the API.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::environments::{Shared, Standing};
use crate::web::failure::Failure;
use crate::web::reply::{Answer, Reply};

pub(crate) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
        .routes(routes!(description))
}

/// Is the process alive?
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, description = "It is.", body = Object)))]
pub(crate) async fn live() -> Reply {
    Reply::ok(json!({ "status": "live" }))
}

/// Is the first routing table of every environment applied? A replica that does not lead: is it able to take over?
#[utoipa::path(get, path = "/readyz", tag = "operations", responses(
    (status = 200, description = "It is.", body = Object),
    (status = 503, description = "Not yet.", body = crate::schema::Error),
))]
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> Answer {
    match readiness(&shared) {
        Ok(word) => Ok(Reply::ok(json!({ "status": word }))),
        Err(reason) => Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", reason)),
    }
}

fn readiness(shared: &Shared) -> Result<&'static str, String> {
    let state = shared.state();
    match &state.standing {
        Standing::Leader => {}
        Standing::Standby { able: true, .. } => return Ok("standby"),
        Standing::Standby { able: false, .. } => {
            return Err("This replica is not able to take over yet.".into());
        }
        Standing::Starting => return Err("This replica leads, and reads what there is.".into()),
    }
    let mut failures = Vec::new();
    for entry in &state.entries {
        match &entry.served {
            Ok(served) if !served.app.ready() => {
                return Err("The first routing table is not applied yet.".into());
            }
            Ok(_) => {}
            Err(problem) => {
                failures.push(format!("The environment '{}' cannot be served: {problem}", entry.id.title()));
            }
        }
    }
    // One that cannot be served must not take the others away.
    if !failures.is_empty() && failures.len() == state.entries.len() {
        Err(failures.join(" "))
    } else {
        Ok("ready")
    }
}

/// Counters, gauges and histograms as Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses(
    (status = 200, description = "Text format 0.0.4.", body = String, content_type = "text/plain"),
))]
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    ([(CONTENT_TYPE, telemetry::CONTENT_TYPE)], super::figures::prometheus(&shared)).into_response()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", responses(
    (status = 200, description = "OpenAPI 3.1.", body = Object),
))]
pub(crate) async fn description() -> Response {
    ([(CONTENT_TYPE, "application/json")], crate::openapi::text().to_owned()).into_response()
}
