//! `/whoami`: what the caller may do, so that a screen can leave out what would be refused.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::App;
use crate::web::origin::Origin;
use crate::web::reply::{Answer, Reply};
use crate::web::token::Role;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(whoami))
}

/// The caller.
#[derive(Serialize, ToSchema)]
pub(crate) struct Caller {
    /// The name that events will carry.
    name: String,
    /// `viewer`, `operator` or `admin`; each may do what those before it may.
    role: &'static str,
    /// True when a token said who it is; false where the server asks for none, and everybody may do everything.
    authenticated: bool,
    /// Name of the environment.
    environment: String,
}

/// Who is calling, and what may they do?
#[utoipa::path(get, path = "/api/v1/whoami", tag = "information",
    responses((status = 200, description = "The caller.", body = Caller)))]
pub(crate) async fn whoami(State(app): State<Arc<App>>, origin: Origin) -> Answer {
    Reply::of(&Caller {
        name: origin.actor().to_owned(),
        role: origin.role().unwrap_or(Role::Admin).as_str(),
        authenticated: origin.role().is_some(),
        environment: app.name().to_owned(),
    })
}
