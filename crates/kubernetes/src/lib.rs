//! The Kubernetes platform: pods and Services become an observation, gateways become Services.
//!
//! ```text
//!            API server
//!     list, watch |      ^ create, patch, delete
//!                 v      |
//!   follow (pods) +  follow (services)          one task each: back-off, bookmarks, resync
//!                 |                             (objects are trimmed while they are parsed)
//!                 v
//!                hub                            one task: what there is; bursts merged
//!                 |  Observation       | Services of the namespace
//!                 v                    v
//!              control      services::plan (pure) <--- gateways with a port
//!                                      |
//!                                      v
//!                         services::keeper: carries it out, reports addresses
//! ```
//!
//! Everything is level-triggered. A list that fails or a watch that is lost changes nothing but the observation's
//! `problem`; what is written carries the version that it was planned on, so that stale knowledge cannot do harm.
//!
//! Only what is named in [`object`] is ever read from the cluster's objects. All of it exists since Kubernetes 1.20, or
//! is optional.
//!
//! [`lease`] elects the one of several replicas that acts.
//!
//! This is the only crate that knows the `kube` library.

pub mod access;
pub mod authority;
mod connect;
pub mod crd;
pub mod doctor;
mod explain;
mod follow;
pub mod gateways;
mod hub;
pub mod lease;
pub mod namespaces;
mod object;
mod observe;
mod platform;
pub mod records;
pub mod secrets;
mod services;
pub mod user;

pub use connect::{Cluster, ConnectError, Credentials};
pub use object::{Metadata, Service, ServicePort, ServiceSpec};
pub use platform::{Platform, Settings};
pub use services::plan::{
    Action, Gateway, GatewayService, MARK, Plan, Rules, ServiceType, plan, service_name,
};
