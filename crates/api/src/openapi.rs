//! The OpenAPI description: made from the same declarations as the router, then completed by what every operation shares.
//!
//! Not written at each endpoint, but added here: YAML next to JSON, the answers that the conventions give (401, 403, 406, 413, ...),
//! and names of path parameters without the router's `*`.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Vamp",
        description = "Release control for microservices. A path means the default environment; below `/{environment}` and `/{organisation}/{environment}` it means that one. \
            Bodies are read as YAML, which includes JSON; answers are JSON, or YAML with `Accept: application/x-yaml`. \
            Every 4xx and 5xx answer has a body with a non-empty `message`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(crate::schema::Error, crate::endpoints::figures::GatewayOverview)),
    tags(
        (name = "gateways", description = "Where traffic comes in, and which share goes where."),
        (name = "artifacts", description = "Stored conditions, rewrites and routes, to be referred to."),
        (name = "documents", description = "Several documents at once."),
        (name = "events", description = "What happened: who, what, when."),
        (name = "figures", description = "Requests, errors and times."),
        (name = "operations", description = "How the system itself is doing."),
        (name = "workloads", description = "What the local platform runs."),
        (name = "information", description = "Version, settings, platform."),
        (name = "ui", description = "The web UI."),
    ),
)]
struct Base;

static DOCUMENT: LazyLock<Value> = LazyLock::new(complete);
static TEXT: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_string());

/// Title, version and shared schemas; operations are added by the endpoints.
pub(crate) fn base() -> utoipa::openapi::OpenApi {
    Base::openapi()
}

/// The finished document.
pub(crate) fn document() -> &'static Value {
    &DOCUMENT
}

/// The finished document as JSON text.
pub(crate) fn text() -> &'static str {
    &TEXT
}

fn complete() -> Value {
    let (_, mut api) = crate::endpoints::of_environment().split_for_parts();
    let (_, process) = crate::endpoints::of_process().split_for_parts();
    api.merge(process);
    let mut document = serde_json::to_value(api).unwrap_or_default();
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        let mut sorted: Vec<(String, Value)> = std::mem::take(paths).into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, mut item) in sorted {
            let is_api = path.starts_with("/api/");
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                complete_operation(&path, method, is_api, operation);
            }
            paths.insert(path.replace("{*", "{"), item);
        }
    }
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("responses".into(), json!({ "Error": error_response() }));
        components.insert(
            "securitySchemes".into(),
            json!({ "token": { "type": "http", "scheme": "bearer", "description": "Only when tokens are configured. `Authorization: token <value>` works too." } }),
        );
    }
    if let Some(document) = document.as_object_mut() {
        document.insert("security".into(), json!([{}, { "token": [] }]));
    }
    document
}

fn complete_operation(path: &str, method: &str, is_api: bool, operation: &mut Value) {
    let has_body = operation.get("requestBody").is_some();
    // Short names are unique within a file of the code only.
    let place = match path {
        "/" => "/page",
        "/api/v1" => "/documents",
        _ => path.trim_start_matches("/api/v1"),
    };
    let id: String = format!("{method}{place}")
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .enumerate()
        .map(|(i, word)| if i == 0 { word.to_owned() } else { capital(word) })
        .collect();
    if let Some(operation) = operation.as_object_mut() {
        operation.insert("operationId".into(), id.into());
    }
    if let Some(body) = operation.get_mut("requestBody") {
        add_yaml(body);
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for response in responses.values_mut() {
        add_yaml(response);
    }
    let mut shared = vec!["403", "500", "503"];
    if is_api {
        shared.extend(["400", "401", "406"]);
    } else if matches!(path, "/metrics" | "/openapi.json") {
        shared.push("401");
    }
    if has_body {
        shared.extend(["408", "413", "415"]);
    }
    for status in shared {
        responses.entry(status).or_insert_with(|| json!({ "$ref": "#/components/responses/Error" }));
    }
    responses.sort_keys();
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

fn add_yaml(message: &mut Value) {
    let Some(content) = message.get_mut("content").and_then(Value::as_object_mut) else { return };
    if let Some(json) = content.get("application/json").cloned() {
        content.insert("application/x-yaml".into(), json);
    }
}

fn error_response() -> Value {
    let content: Map<String, Value> = ["application/json", "application/x-yaml"]
        .into_iter()
        .map(|media_type| {
            (media_type.to_owned(), json!({ "schema": { "$ref": "#/components/schemas/Error" } }))
        })
        .collect();
    json!({ "description": "Refused or failed; the message says why.", "content": content })
}
