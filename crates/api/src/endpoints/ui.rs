//! The web UI: its page for every address below `/ui`, and the files that the page asks for.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{HeaderName, HeaderValue};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::environments::Shared;
use crate::web::failure::Failure;

/// Nothing but our own files and our own API: the UI works offline, and a script that got in has nowhere to send anything.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
    connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

/// The names of files below `assets/` hold a hash of their content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(crate) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(page))
        .routes(routes!(start))
        .routes(routes!(screen))
        .routes(routes!(asset))
        .routes(routes!(icon))
}

/// The web UI.
#[utoipa::path(get, path = "/", tag = "ui", responses(
    (status = 200, description = "HTML.", body = String, content_type = "text/html"),
))]
pub(crate) async fn page(State(shared): State<Arc<Shared>>) -> Response {
    match (shared.process.ui)("index.html") {
        Some(bytes) => file("index.html", bytes, "no-cache"),
        None => Failure::not_found("This server has no web UI. The API starts at /api/v1.").into_response(),
    }
}

/// The web UI.
#[utoipa::path(get, path = "/ui", tag = "ui", responses(
    (status = 200, description = "HTML.", body = String, content_type = "text/html"),
))]
pub(crate) async fn start(shared: State<Arc<Shared>>) -> Response {
    page(shared).await
}

/// A screen of the web UI, for example `/ui/default/gateways/shop`. The same page everywhere: it reads its address.
#[utoipa::path(get, path = "/ui/{*screen}", tag = "ui", params(("screen" = String, Path, description = "Environment and screen.")),
    responses((status = 200, description = "HTML.", body = String, content_type = "text/html")))]
pub(crate) async fn screen(shared: State<Arc<Shared>>) -> Response {
    page(shared).await
}

/// A file of the web UI. It never changes: another content has another name.
#[utoipa::path(get, path = "/assets/{*name}", tag = "ui", params(("name" = String, Path, description = "Name of the file.")),
    responses((status = 200, description = "The file.", body = String, content_type = "text/javascript"),
        (status = 404, description = "There is none.", body = crate::schema::Error)))]
pub(crate) async fn asset(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    let path = format!("assets/{name}");
    match (shared.process.ui)(&path) {
        Some(bytes) => file(&path, bytes, FOR_EVER),
        None => Failure::not_found(format!(
            "File cannot be found: '{path}'. Reload the page if it is an old one."
        ))
        .into_response(),
    }
}

/// The icon of the web UI.
#[utoipa::path(get, path = "/favicon.svg", tag = "ui", responses(
    (status = 200, description = "The icon.", body = String, content_type = "image/svg+xml"),
    (status = 404, description = "There is none.", body = crate::schema::Error),
))]
pub(crate) async fn icon(State(shared): State<Arc<Shared>>) -> Response {
    match (shared.process.ui)("favicon.svg") {
        Some(bytes) => file("favicon.svg", bytes, "no-cache"),
        None => Failure::not_found("There is no icon.").into_response(),
    }
}

fn file(path: &str, bytes: &'static [u8], cache: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type(path)),
        (CACHE_CONTROL, cache),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), bytes).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "md" | "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
