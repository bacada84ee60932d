//! The REST API: what goes over the wire, and nothing else.
//!
//! ```text
//! environments  which there are, and which one an address means
//! web/          conventions of every endpoint: addresses, formats, errors, paging, who may
//! endpoints/    one file for each resource: reads the request, asks control, shows the answer
//! openapi       the description of all of it, made from the same declarations as the router
//! ```
//!
//! HTTP status codes and wire forms live here only; [`control`] decides, [`model`] reads and checks documents.

mod admin;
mod context;
mod endpoints;
mod environments;
mod openapi;
mod schema;
mod serve;
mod web;

pub use crate::admin::{Probe, admin};
pub use crate::context::{
    Authenticator, DataPlane, Environment, Identity, Info, Limits, NoWorkloads, Process, Role, Security,
    Settings, TargetStatus, Token, Tried, TriedRequest, UiFiles, Unauthenticated, Workload, WorkloadChange,
    WorkloadInstance, Workloads, no_ui,
};
pub use crate::environments::{Api, EnvironmentId, Standing};
pub use crate::serve::{PROTOCOLS, serve};

/// The OpenAPI 3.1 description of the API.
pub fn openapi() -> serde_json::Value {
    openapi::document().clone()
}
