//! `/environments`: what this process serves.

use std::sync::Arc;

use axum::extract::{Extension, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::status::{self, Status};
use crate::environments::{Entry, Shared};
use crate::schema;
use crate::web::address::Place;
use crate::web::origin::Origin;
use crate::web::paging::Page;
use crate::web::parameters::Parameters;
use crate::web::reply::Answer;

pub(crate) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// An environment in short.
#[derive(Serialize, ToSchema)]
pub(crate) struct EnvironmentSummary {
    /// Name.
    name: String,
    /// Organisation that it belongs to.
    #[schema(required = true)]
    organisation: Option<String>,
    /// Namespace on the platform.
    namespace: String,
    /// What comes before `/api/v1` in its addresses.
    prefix: String,
    /// True when a path without a prefix means this one.
    default: bool,
    /// True once its first routing table is applied.
    ready: bool,
    /// True when there are no problems.
    healthy: bool,
    /// What is wrong, one sentence each.
    problems: Vec<String>,
    /// Number of its gateways.
    gateways: usize,
    /// Number of the proxies that take part.
    proxies: usize,
    /// Its revision.
    revision: u64,
}

/// The environments of this server, by namespace.
#[utoipa::path(get, path = "/api/v1/environments", tag = "operations", params(schema::PageParameters), responses(
    (status = 200, description = "A page of the list.", body = Vec<EnvironmentSummary>,
        headers(("X-Total-Count" = u64, description = "Length of the whole list."), ("Link", description = "Pages: first, prev, next, last."))),
))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(place): Extension<Place>,
    origin: Origin,
    parameters: Parameters,
) -> Answer {
    let page = Page::from(&parameters)?;
    let state = shared.state();
    state.leads()?;
    if !place.names().is_empty() {
        // The list is the same everywhere, but not under a name that means nothing.
        shared.find(&place)?;
    }
    let default = state.default_namespace(shared.process.settings.default_namespace.as_deref());
    let show = |entry: &Entry| serde_json::to_value(summary(entry, default)).unwrap_or_default();
    Ok(page.of(&state.entries, &origin, &parameters, show))
}

fn summary(entry: &Entry, default: Option<&str>) -> EnvironmentSummary {
    let id = &entry.id;
    let summary = EnvironmentSummary {
        name: id.name.clone(),
        organisation: id.organisation.clone(),
        namespace: id.namespace.clone(),
        prefix: format!("/{}", id.title()),
        default: default == Some(&id.namespace),
        ready: false,
        healthy: false,
        problems: Vec::new(),
        gateways: 0,
        proxies: 0,
        revision: 0,
    };
    match &entry.served {
        Ok(served) => {
            let Status { overall, gateways, .. } = status::of(&served.app);
            EnvironmentSummary {
                ready: overall.ready,
                healthy: overall.healthy,
                gateways: gateways.len(),
                proxies: overall.proxies.len(),
                revision: overall.revision,
                problems: overall.problems,
                ..summary
            }
        }
        Err(problem) => EnvironmentSummary { problems: vec![problem.clone()], ..summary },
    }
}
