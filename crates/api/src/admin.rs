//! The small HTTP surface of an agent: probes and its own metrics. It changes nothing and shows no secret, so it asks for no token.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;

/// What an agent says about itself.
pub trait Probe: Send + Sync + 'static {
    /// Why it is not ready for traffic; `None` when it is.
    fn unready(&self) -> Option<String>;
    /// Its metrics as Prometheus text.
    fn metrics(&self) -> String;
}

/// `/livez`, `/readyz` and `/metrics` of an agent, for [`serve`](crate::serve).
pub fn admin(probe: Arc<dyn Probe>) -> Router {
    Router::new()
        .route("/livez", get(async || Json(json!({ "status": "live" }))))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(probe)
}

async fn ready(State(probe): State<Arc<dyn Probe>>) -> Response {
    match probe.unready() {
        None => Json(json!({ "status": "ready" })).into_response(),
        Some(reason) => {
            let answer = json!({ "status": "not-ready", "message": reason });
            (StatusCode::SERVICE_UNAVAILABLE, Json(answer)).into_response()
        }
    }
}

async fn metrics(State(probe): State<Arc<dyn Probe>>) -> Response {
    ([(CONTENT_TYPE, telemetry::CONTENT_TYPE)], probe.metrics()).into_response()
}
