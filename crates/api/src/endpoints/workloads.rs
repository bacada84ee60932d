//! `/workloads`: what the local platform runs.

use std::sync::Arc;

use axum::extract::{Path, State};
use http::StatusCode;
use model::problem::Problem;
use model::yaml::{Content, Node, read_all};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{App, Workload, WorkloadChange};
use crate::schema;
use crate::web::body::Text;
use crate::web::failure::Failure;
use crate::web::parameters::{Parameters, unreadable};
use crate::web::reply::{Answer, Reply};

/// Most lines of a log that one request shows.
const LINES: usize = 10_000;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, apply, delete)).routes(routes!(delete_one)).routes(routes!(log))
}

/// All workloads with their instances.
#[utoipa::path(get, path = "/api/v1/workloads", tag = "workloads",
    responses((status = 200, description = "All of them, by name.", body = Vec<Workload>)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Answer {
    Reply::of(&app.environment.workloads.list())
}

/// Applies manifests: Deployments are run, Pods and Services are taken as they stand.
#[utoipa::path(post, path = "/api/v1/workloads", tag = "workloads",
    request_body(content = String, description = "Kubernetes manifests, several documents.", content_type = "application/x-yaml"),
    responses((status = 202, description = "What happened to each document.", body = Vec<WorkloadChange>)))]
pub(crate) async fn apply(State(app): State<Arc<App>>, text: Text) -> Answer {
    let changes = app.environment.workloads.apply(&text.0).await?;
    let changes = serde_json::to_value(changes).map_err(|_| Failure::internal())?;
    Ok(Reply::new(StatusCode::ACCEPTED, changes))
}

/// Deletes what the given manifests name.
#[utoipa::path(delete, path = "/api/v1/workloads", tag = "workloads",
    request_body(content = String, description = "Kubernetes manifests; only kind, name and namespace are looked at.", content_type = "application/x-yaml"),
    responses((status = 202, description = "What happened to each document.", body = Vec<schema::Deletion>)))]
pub(crate) async fn delete(State(app): State<Arc<App>>, text: Text) -> Answer {
    let mut named = Vec::new();
    for node in read_all(&text.0)? {
        collect(&node, &mut named)?;
    }
    if named.is_empty() {
        return Err(Failure::bad_request(
            "missing-value",
            "No document: send the manifests of what is to be deleted.",
        ));
    }
    let mut answers = Vec::new();
    for (kind, name) in named {
        let deleted = app.environment.workloads.delete(&kind, &name).await?;
        answers.push(deletion(&kind, &name, deleted));
    }
    Ok(Reply::new(StatusCode::ACCEPTED, Value::Array(answers)))
}

/// Deletes one workload. Fine when there is none.
#[utoipa::path(delete, path = "/api/v1/workloads/{name}", tag = "workloads",
    params(("name" = String, Path, description = "Name."), ("kind" = Option<String>, Query, description = "`Deployment` unless given.")),
    responses((status = 202, description = "It is gone.", body = schema::Deletion)))]
pub(crate) async fn delete_one(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Answer {
    let kind = parameters.text("kind").unwrap_or("Deployment");
    let deleted = app.environment.workloads.delete(kind, &name).await?;
    Ok(Reply::new(StatusCode::ACCEPTED, deletion(kind, &name, deleted)))
}

/// The last lines that an instance, or all instances of a workload, wrote.
#[utoipa::path(get, path = "/api/v1/workloads/{name}/log", tag = "workloads",
    params(("name" = String, Path, description = "Name of an instance or workload."), ("lines" = Option<u64>, Query, description = "100 unless given, at most 10000.")),
    responses((status = 200, description = "Lines, oldest first.", body = Vec<String>), (status = 404, description = "No such instance.", body = schema::Error)))]
pub(crate) async fn log(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Answer {
    let lines = match parameters.integer("lines")? {
        None => 100,
        Some(lines) => usize::try_from(lines)
            .map_err(|_| unreadable("lines", &lines.to_string(), "a positive integer"))?,
    };
    match app.environment.workloads.log(&name, lines.min(LINES)) {
        Some(lines) => Reply::of(&lines),
        None => Err(Failure::not_found(format!("Workload or instance cannot be found: '{name}'."))),
    }
}

fn deletion(kind: &str, name: &str, deleted: bool) -> Value {
    super::gateways::deletion(kind, name, deleted)
}

/// Kind and name of a manifest, or of those in a List.
fn collect(node: &Node, named: &mut Vec<(String, String)>) -> Result<(), Failure> {
    if let Some(items) = get(node, "items")
        && let Content::List(items) = &items.content
    {
        return items.iter().try_for_each(|item| collect(item, named));
    }
    let metadata = get(node, "metadata");
    let kind = get(node, "kind").and_then(text);
    let name = metadata.and_then(|metadata| get(metadata, "name")).and_then(text);
    let namespace = metadata.and_then(|metadata| get(metadata, "namespace")).and_then(text);
    match (kind, name) {
        (Some(kind), Some(name)) => {
            let name = namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
            named.push((kind.to_owned(), name));
            Ok(())
        }
        (kind, _) => {
            let missing = if kind.is_none() { "/kind" } else { "/metadata/name" };
            let message = format!("Can't find any value for path: {missing}");
            Err(model::problem::Problems::from(
                Problem::new("missing-value", missing, message).at(node.position),
            )
            .into())
        }
    }
}

fn get<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    match &node.content {
        Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
        _ => None,
    }
}

fn text(node: &Node) -> Option<&str> {
    match &node.content {
        Content::Scalar { text, .. } => Some(text),
        _ => None,
    }
}
