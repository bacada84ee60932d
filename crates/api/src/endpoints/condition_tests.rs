//! `/condition-tests`: which of the last requests a condition would take.
//!
//! The requests stay here: what is told of each is its method, its path and whether it would be taken.

use std::sync::Arc;

use axum::extract::State;
use model::condition::Condition;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::route_tests::Trial;
use super::{input, required};
use crate::context::App;
use crate::schema;
use crate::web::body::Text;
use crate::web::failure::Failure;
use crate::web::reply::{Answer, Reply};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(test))
}

/// What a condition would do.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConditionTest {
    /// The gateway.
    gateway: String,
    /// False where this process does not see the requests: they pass through agents.
    available: bool,
    /// Requests of those below that it would take.
    matched: usize,
    /// Some of the last requests, newest first. They are kept from the first question on, so the first answer has none.
    requests: Vec<ConditionTestRequest>,
}

/// One of the last requests.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConditionTestRequest {
    /// Method.
    method: String,
    /// Path without the query, which may hold what is private.
    path: String,
    /// True when the condition holds.
    matches: bool,
}

/// Which of the last requests of a gateway would satisfy a condition? Nothing changes.
#[utoipa::path(post, path = "/api/v1/condition-tests", tag = "gateways",
    request_body(content = schema::ConditionTestInput, description = "YAML or JSON, whatever the media type says."),
    responses((status = 200, description = "What it would do.", body = ConditionTest),
        (status = 404, description = "No such gateway.", body = schema::Error)))]
pub(crate) async fn test(State(app): State<Arc<App>>, text: Text) -> Answer {
    let map = input(&text.0, &["gateway", "condition"])?;
    let gateway = super::gateways::parse(&required(&map, "gateway")?)?;
    let condition = required(&map, "condition")?;
    let condition = Condition::parse(&condition).map_err(|error| {
        let message = format!("Invalid condition: '{condition}'. {}", capital(&error.describe(&condition)));
        Failure::bad_request("condition", message)
    })?;
    let view = app.control().view();
    let config = view.config.gateways.get(&gateway).ok_or_else(|| super::gateways::missing(&gateway))?;
    let recent = app.environment.data_plane.recent(&gateway);
    let available = recent.is_some();
    let trial = Trial::of(config, condition).ok_or_else(Failure::internal)?;
    let requests: Vec<ConditionTestRequest> = recent
        .unwrap_or_default()
        .into_iter()
        .rev()
        .map(|request| ConditionTestRequest {
            matches: trial.holds(&request),
            path: request.target.split('?').next().unwrap_or_default().to_owned(),
            method: request.method,
        })
        .collect();
    Reply::of(&ConditionTest {
        gateway: gateway.to_string(),
        available,
        matched: requests.iter().filter(|request| request.matches).count(),
        requests,
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().to_string() + letters.as_str())
}
