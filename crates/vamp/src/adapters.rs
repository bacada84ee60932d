//! Between the crates, for whoever serves the API: what `serve` and `controller` tell it alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use kubernetes::access::Callers;
use model::problem::{Problem, Problems};
use serde_json::Value;

use crate::callers::ClusterUsers;

/// Settings as `GET /config` shows them: name, value, source.
pub(crate) type Applied = Vec<(String, String, &'static str)>;

/// The settings in force, by dotted key.
pub(crate) fn applied(settings: &Applied) -> BTreeMap<String, Value> {
    let shown =
        settings.iter().map(|(name, value, _)| (format!("vamp.{name}"), Value::String(value.clone())));
    shown.collect()
}

/// What `/info` says about this process.
pub(crate) fn info(store: &str, platform: &str) -> api::Info {
    api::Info {
        message: "Vamp: release control for microservices".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        uuid: start_id(),
        started: Timestamp::now(),
        store: store.to_owned(),
        platform: platform.to_owned(),
    }
}

/// Tells one start of a process from another: time and process id, mixed.
pub(crate) fn start_id() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let word =
        |salt: u64| RandomState::new().hash_one((salt, std::process::id(), Timestamp::now().as_nanosecond()));
    format!("{:016x}{:016x}", word(1), word(2))
}

/// Users of the cluster are callers of the API.
pub(crate) fn cluster_users(callers: Callers) -> Arc<dyn api::Authenticator> {
    Arc::new(ClusterUsers(callers))
}

/// Where the cluster runs what there is.
pub(crate) struct NoWorkloads;

fn elsewhere() -> Problems {
    let text =
        "Workloads are run by the Kubernetes cluster here: use kubectl, or the tool that deploys to it";
    Problem::new("unsupported", "", text).into()
}

impl api::Workloads for NoWorkloads {
    fn list(&self) -> Vec<api::Workload> {
        Vec::new()
    }

    fn apply<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<api::WorkloadChange>, Problems>> {
        Box::pin(async { Err(elsewhere()) })
    }

    fn delete<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<bool, Problems>> {
        Box::pin(async { Err(elsewhere()) })
    }

    fn log(&self, _: &str, _: usize) -> Option<Vec<String>> {
        None
    }
}
