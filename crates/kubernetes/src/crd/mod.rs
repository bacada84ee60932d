//! The custom resources of Vamp, defined once: manifests and tests are made from here.
//!
//! `deploy/crds/*.yaml` holds the same as text; a test says when it is stale, and with `VAMP_UPDATE=1` writes it.

mod care;
mod gateways;
mod records;
mod schema;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod verdicts_tests;

use serde_json::Value;

pub use gateways::gateways;
pub use records::records;

/// API group of all of them.
pub const GROUP: &str = "vamp.io";
/// Version of all of them.
pub const VERSION: &str = "v1";

/// Every CustomResourceDefinition that an installation needs, by name.
pub fn all() -> Vec<Value> {
    vec![gateways(), records()]
}
