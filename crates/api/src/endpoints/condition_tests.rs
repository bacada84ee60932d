//! `/condition-tests`: which of the last requests a condition would take.
//!
//! The requests stay with the proxies: what is told of each is its method, its path and whether it would be taken.

use std::sync::Arc;

use axum::extract::State;
use model::condition::Condition;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{input, required};
use crate::context::{App, TriedRequest};
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
    /// False while no proxy tells of its requests, because none is there or each is of an older version.
    available: bool,
    /// How many proxies that is about.
    proxies: ConditionTestProxies,
    /// Requests of those below that it would take.
    matched: usize,
    /// Some of the last requests, newest first. They are kept from the first question on, so the first answer has none.
    requests: Vec<ConditionTestRequest>,
}

/// Proxies of the environment.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConditionTestProxies {
    /// Those that told of their requests in time.
    answered: usize,
    /// All that are known.
    all: usize,
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
    if !view.config.gateways.contains_key(&gateway) {
        return Err(super::gateways::missing(&gateway));
    }
    let tried = app.environment.data_plane.try_condition(&gateway, &condition).await;
    let request = |request: TriedRequest| ConditionTestRequest {
        method: request.method,
        path: request.path,
        matches: request.matches,
    };
    Reply::of(&ConditionTest {
        gateway: gateway.to_string(),
        available: tried.answered > 0,
        proxies: ConditionTestProxies { answered: tried.answered, all: tried.proxies },
        matched: tried.requests.iter().filter(|request| request.matches).count(),
        requests: tried.requests.into_iter().map(request).collect(),
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().to_string() + letters.as_str())
}
