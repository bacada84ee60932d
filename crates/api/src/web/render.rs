//! The outermost layer of our own: addresses, admission, formats, errors, cache headers, panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, PRAGMA, VARY};
use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;

use super::address;
use super::failure::Failure;
use super::format::Format;
use super::guard;
use super::origin::Origin;
use super::reply::Document;
use crate::environments::Shared;

/// Middleware around the whole router.
pub(crate) async fn layer(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let negotiated = Format::negotiate(request.headers());
    let format = negotiated.as_ref().copied().unwrap_or_default();
    let is_api;
    let mut response = match prepare(&shared, request).await {
        Err(failure) => {
            is_api = true;
            failure.into_response()
        }
        Ok(request) => {
            let path = request.uri().path();
            is_api = path == "/api" || path.starts_with("/api/");
            match negotiated {
                Err(failure) if is_api && !ignores_accept(path) => failure.into_response(),
                _ => guarded(request, next).await,
            }
        }
    };
    describe_bare_errors(&method, &mut response).await;
    if let Some(Document(document)) = response.extensions_mut().remove::<Document>() {
        write(&mut response, &document, format);
    }
    let headers = response.headers_mut();
    headers.entry("x-content-type-options").or_insert(HeaderValue::from_static("nosniff"));
    if is_api {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        headers.append(VARY, HeaderValue::from_static("accept"));
    }
    response
}

async fn prepare(shared: &Shared, request: Request) -> Result<Request, Failure> {
    let settings = &shared.process.settings;
    let (mut parts, body) = request.into_parts();
    let (canonical, place) = address::canonical(&parts.uri, settings.strip_path_segments)?;
    let namespace = shared.namespace(&place);
    let identity = guard::admit(&parts, canonical.path(), &namespace, &settings.security).await?;
    let origin = Origin::of(&parts, identity);
    parts.extensions.insert(origin);
    parts.extensions.insert(place);
    parts.uri = canonical;
    Ok(Request::from_parts(parts, body))
}

/// Endpoints whose answer has one form only; the original did not look at `Accept` there either.
fn ignores_accept(path: &str) -> bool {
    let rest = path.strip_prefix("/api/v1/").unwrap_or_default();
    let first = rest.split('/').next().unwrap_or_default();
    matches!(first, "config" | "configuration" | "vga")
        || matches!(rest, "events/stream" | "figures/stream" | "live")
}

/// A panic is a bug of ours; it must not look like a broken connection.
async fn guarded(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let what = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "unknown".into());
            tracing::error!(%method, path, panic = what, "a request handler panicked");
            Failure::internal().into_response()
        }
    }
}

/// Errors that the framework made itself (405, unreadable paths) get the usual body.
async fn describe_bare_errors(method: &Method, response: &mut Response) {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error())
        || response.extensions().get::<Document>().is_some()
    {
        return;
    }
    let text = match to_bytes(std::mem::take(response.body_mut()), 4096).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(_) => String::new(),
    };
    let failure = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allowed = response.headers().get(ALLOW).and_then(|v| v.to_str().ok()).unwrap_or_default();
            let hint = if allowed.is_empty() {
                String::new()
            } else {
                format!(" Allowed: {}.", allowed.replace(',', ", "))
            };
            Failure::new(status, "method-not-allowed", format!("Method {method} is not possible here.{hint}"))
        }
        _ if status.is_server_error() => Failure::internal(),
        _ => Failure::new(status, "invalid-request", text),
    };
    let headers = std::mem::take(response.headers_mut());
    let mut described = failure.into_response();
    *described.status_mut() = status;
    described.headers_mut().extend(headers);
    *response = described;
}

fn write(response: &mut Response, document: &Value, format: Format) {
    let text = match format {
        Format::Json => document.to_string(),
        Format::Yaml => model::yaml::to_string(document),
    };
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    *response.body_mut() = Body::from(text);
}
