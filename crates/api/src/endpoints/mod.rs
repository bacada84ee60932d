//! The endpoints, one file for each resource.

pub(crate) mod artifacts;
pub(crate) mod condition_tests;
pub(crate) mod configuration;
pub(crate) mod documents;
pub(crate) mod environments;
pub(crate) mod events;
pub(crate) mod figures;
pub(crate) mod gateways;
pub(crate) mod history;
pub(crate) mod info;
pub(crate) mod live;
pub(crate) mod measurements;
pub(crate) mod operations;
pub(crate) mod probes;
pub(crate) mod route_tests;
pub(crate) mod scheduler;
pub(crate) mod status;
pub(crate) mod streams;
pub(crate) mod ui;
pub(crate) mod vga;
pub(crate) mod whoami;
pub(crate) mod workloads;
pub(crate) mod writes;

use std::sync::Arc;

use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;

use crate::context::App;
use crate::environments::Shared;
use crate::web::failure::Failure;

/// Those of the process. With [`of_environment`] the only place where routes are made, so that the description cannot miss one.
pub(crate) fn of_process() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().merge(environments::routes()).merge(probes::routes()).merge(ui::routes())
}

/// Those of an environment.
pub(crate) fn of_environment() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(crate::openapi::base())
        .merge(documents::routes())
        .merge(gateways::routes())
        .merge(artifacts::routes())
        .merge(events::routes())
        .merge(streams::routes())
        .merge(measurements::routes())
        .merge(figures::routes())
        .merge(history::routes())
        .merge(live::routes())
        .merge(operations::routes())
        .merge(route_tests::routes())
        .merge(condition_tests::routes())
        .merge(status::routes())
        .merge(workloads::routes())
        .merge(info::routes())
        .merge(whoami::routes())
        .merge(configuration::routes())
        .merge(scheduler::routes())
        .merge(vga::routes())
}

/// Reads a small body: a map with known keys only.
fn input(text: &str, known: &[&str]) -> Result<Map<String, Value>, Failure> {
    let value = model::yaml::read_one(text)?.to_value();
    let Value::Object(map) = value else {
        return Err(Failure::bad_request("unexpected-type", "Unexpected type for path '/': expected a map."));
    };
    let unknown: Map<String, Value> = map
        .iter()
        .filter(|(key, _)| !known.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    if unknown.is_empty() {
        return Ok(map);
    }
    Err(Failure::bad_request("unexpected-element", format!("Unexpected in DSL: {}", Value::Object(unknown))))
}

/// A text of a small body.
fn optional(map: &Map<String, Value>, key: &str) -> Result<Option<String>, Failure> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
        Some(_) => Err(Failure::bad_request(
            "unexpected-type",
            format!("Unexpected type for path '/{key}': expected text."),
        )),
    }
}

/// A text that must be there.
fn required(map: &Map<String, Value>, key: &str) -> Result<String, Failure> {
    optional(map, key)?.filter(|text| !text.trim().is_empty()).ok_or_else(|| {
        Failure::bad_request("missing-value", format!("Can't find any value for path: /{key}"))
    })
}
