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
use axum::middleware::from_fn_with_state;
use http::header::LINK;
use http::{HeaderName, HeaderValue, Method};
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::context::App;

/// Puts the conventions around a router. They run before routing, because they decide what the path is.
pub(crate) fn service(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    let inner =
        router.fallback(nothing_here).method_not_allowed_fallback(method_not_allowed).with_state(app.clone());
    let cors = cors(&app.context.settings.security.allowed_origins);
    let layers = ServiceBuilder::new()
        .option_layer(cors)
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(app, render::layer));
    Router::new().fallback_service(layers.service(inner))
}

async fn nothing_here(uri: http::Uri) -> failure::Failure {
    failure::Failure::not_found(format!("Nothing here: '{}'. The API starts at /api/v1.", uri.path()))
}

/// Bare: [`render`] knows the method and the allowed ones and writes the message.
async fn method_not_allowed() -> http::StatusCode {
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
