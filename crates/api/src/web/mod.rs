//! The HTTP conventions that every endpoint shares; they know nothing about gateways or events.
//!
//! ```text
//! request --address--> one spelling of the path --guard--> who may --axum--> handler --> Reply | Failure
//!                                                                                            |
//! response <--compression-- <--render-- JSON or YAML, error bodies, cache headers <----------+
//! ```
//!
//! Handlers answer with values ([`reply::Reply`], [`failure::Failure`]); only [`render`] knows how they look on the wire.

pub(crate) mod address;
pub(crate) mod body;
pub(crate) mod failure;
pub(crate) mod format;
pub(crate) mod guard;
pub(crate) mod origin;
pub(crate) mod paging;
pub(crate) mod parameters;
pub(crate) mod render;
pub(crate) mod reply;
pub(crate) mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use http::header::LINK;
use http::{HeaderName, HeaderValue, Method};
use tower::{ServiceBuilder, ServiceExt};
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::environments::Shared;

/// Puts the conventions around the routers: that of the process, and behind it those of the environments. They run before routing, because they decide what the path is.
pub(crate) fn service(process: Router<Arc<Shared>>, shared: Arc<Shared>) -> Router {
    let inner = process
        .fallback(environment)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(&shared));
    let cors = cors(&shared.process.settings.security.allowed_origins);
    let layers = ServiceBuilder::new()
        .option_layer(cors)
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(shared, render::layer));
    Router::new().fallback_service(layers.service(inner))
}

/// What the process does not answer itself is for the environment that the address names.
async fn environment(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path();
    if path != "/api/v1" && !path.starts_with("/api/v1/") {
        return nothing_here(request.uri().clone()).await.into_response();
    }
    let place = request.extensions().get::<address::Place>().cloned().unwrap_or_default();
    let served = match shared.find(&place) {
        Ok(served) => served,
        Err(failure) => return failure.into_response(),
    };
    match served.router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

pub(crate) async fn nothing_here(uri: http::Uri) -> failure::Failure {
    failure::Failure::not_found(format!("Nothing here: '{}'. The API starts at /api/v1.", uri.path()))
}

/// Bare: [`render`] knows the method and the allowed ones and writes the message.
pub(crate) async fn method_not_allowed() -> http::StatusCode {
    http::StatusCode::METHOD_NOT_ALLOWED
}

/// Off unless origins are configured (A4).
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| HeaderValue::try_from(origin.trim_end_matches('/')).ok())
        .collect();
    if origins.is_empty() {
        return None;
    }
    let exposed: Vec<HeaderName> = ["vamp-revision", "vamp-applied", "vamp-applied-ms", "etag"]
        .map(HeaderName::from_static)
        .into_iter()
        .chain([LINK, paging::TOTAL_COUNT])
        .collect();
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_credentials(true)
            .allow_methods([
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::DELETE,
                Method::OPTIONS,
            ])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(exposed)
            .max_age(Duration::from_secs(30 * 60)),
    )
}
