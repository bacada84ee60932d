//! The REST API: what goes over the wire, and nothing else.
//!
//! ```text
//! web/        conventions of every endpoint: addresses, formats, errors, paging, who may
//! endpoints/  one file for each resource: reads the request, asks control, shows the answer
//! openapi     the description of all of it, made from the same declarations as the router
//! ```
//!
//! HTTP status codes and wire forms live here only; [`control`] decides, [`model`] reads and checks documents.

mod context;
mod endpoints;
mod openapi;
mod schema;
mod serve;
mod web;

use std::sync::Arc;

use axum::Router;

pub use crate::context::{
    Authenticator, Context, DataPlane, Identity, Info, Limits, NoWorkloads, Role, Security, Settings,
    TargetStatus, Token, Unauthenticated, Workload, WorkloadChange, WorkloadInstance, Workloads,
};

pub use crate::serve::serve;

/// The API as a service, for [`serve`]. Served otherwise, requests should carry `ConnectInfo<SocketAddr>`, so that events can name
/// the address of an anonymous caller.
pub fn router(context: Context) -> Router {
    let app = Arc::new(context::App::new(context));
    let (router, _) = endpoints::all().split_for_parts();
    web::service(router, app)
}

/// The OpenAPI 3.1 description of [`router`].
pub fn openapi() -> serde_json::Value {
    openapi::document().clone()
}
