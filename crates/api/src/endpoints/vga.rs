//! `/vga`: stands in for the proxy templates of the original (A28). Our proxy has no text configuration; its table can be read.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::App;
use crate::web::body::AnyText;
use crate::web::failure::Failure;
use crate::web::reply::{Answer, Reply};

/// Type of the only proxy.
pub(crate) const TYPE: &str = "embedded";
/// Its name.
pub(crate) const NAME: &str = "1.0";

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(configuration)).routes(routes!(configuration_alias)).routes(routes!(
        template,
        put_template,
        post_template,
        delete_template
    ))
}

/// The routing table in force, as YAML text. Empty for a proxy that is not there.
#[utoipa::path(get, path = "/api/v1/vga/{type}/{name}/configuration", tag = "information",
    params(("type" = String, Path, description = "Type.", example = "embedded"), ("name" = String, Path, description = "Name.", example = "1.0")),
    responses((status = 200, description = "Text.", body = String, content_type = "text/plain")))]
pub(crate) async fn configuration(
    State(app): State<Arc<App>>,
    Path((kind, name)): Path<(String, String)>,
) -> Response {
    if (kind.as_str(), name.as_str()) != (TYPE, NAME) {
        return text(String::new());
    }
    let table = app.environment.data_plane.table();
    let mut gateways: Vec<_> = table.gateways().map(|gateway| gateway.config.clone()).collect();
    gateways.sort_by(|a, b| a.name.cmp(&b.name));
    let gateways: Vec<Value> =
        gateways.iter().filter_map(|config| serde_json::to_value(config).ok()).collect();
    text(model::yaml::to_string(&json!({ "revision": table.revision, "gateways": gateways })))
}

/// The same as `configuration`.
#[utoipa::path(get, path = "/api/v1/vga/{type}/{name}/config", tag = "information",
    params(("type" = String, Path, description = "Type.", example = "embedded"), ("name" = String, Path, description = "Name.", example = "1.0")),
    responses((status = 200, description = "Text.", body = String, content_type = "text/plain")))]
pub(crate) async fn configuration_alias(app: State<Arc<App>>, path: Path<(String, String)>) -> Response {
    configuration(app, path).await
}

/// Always empty.
#[utoipa::path(get, path = "/api/v1/vga/{type}/{name}/template", tag = "information",
    params(("type" = String, Path, description = "Type.", example = "embedded"), ("name" = String, Path, description = "Name.", example = "1.0")),
    responses((status = 200, description = "Text.", body = String, content_type = "text/plain")))]
pub(crate) async fn template(_: Path<(String, String)>) -> Response {
    text(String::new())
}

/// Refused: there is nothing to put a template into.
#[utoipa::path(put, path = "/api/v1/vga/{type}/{name}/template", tag = "information",
    params(("type" = String, Path, description = "Type.", example = "embedded"), ("name" = String, Path, description = "Name.", example = "1.0")),
    request_body(content = String, description = "A template.", content_type = "text/plain"),
    responses((status = 400, description = "Always.", body = crate::schema::Error)))]
pub(crate) async fn put_template(_: Path<(String, String)>, _: AnyText) -> Answer {
    Err(no_templates())
}

/// Refused, as PUT.
#[utoipa::path(post, path = "/api/v1/vga/{type}/{name}/template", tag = "information",
    params(("type" = String, Path, description = "Type.", example = "embedded"), ("name" = String, Path, description = "Name.", example = "1.0")),
    request_body(content = String, description = "A template.", content_type = "text/plain"),
    responses((status = 400, description = "Always.", body = crate::schema::Error)))]
pub(crate) async fn post_template(_: Path<(String, String)>, _: AnyText) -> Answer {
    Err(no_templates())
}

/// Nothing to do.
#[utoipa::path(delete, path = "/api/v1/vga/{type}/{name}/template", tag = "information",
    params(("type" = String, Path, description = "Type.", example = "embedded"), ("name" = String, Path, description = "Name.", example = "1.0")),
    responses((status = 200, description = "`true`.", body = bool, content_type = "application/json")))]
pub(crate) async fn delete_template(_: Path<(String, String)>) -> Answer {
    Ok(Reply::ok(Value::Bool(true)))
}

fn no_templates() -> Failure {
    Failure::bad_request(
        "no-templates",
        "The proxy of this version of Vamp is not made from templates; there is nothing to change.",
    )
}

fn text(text: String) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
