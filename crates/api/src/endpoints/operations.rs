//! `/evictions` and `/revisions/{n}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use control::{Change, Receipt};
use http::StatusCode;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::writes::{self, Options};
use crate::context::App;
use crate::schema;
use crate::web::body::Text;
use crate::web::failure::Failure;
use crate::web::reply::{Answer, Reply};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(evict)).routes(routes!(revision))
}

/// Evicts the sticky clients of a gateway: they are routed anew with their next request.
#[utoipa::path(post, path = "/api/v1/evictions", tag = "gateways", params(schema::WriteParameters, schema::WriteHeaders),
    request_body(content = schema::EvictionInput, description = "YAML or JSON, whatever the media type says."),
    responses(
        (status = 202, description = "Done.", body = Object),
        (status = 404, description = "No such gateway.", body = schema::Error),
        (status = 412, description = "If-Match does not hold.", body = schema::Error),
        (status = 504, description = "Stored, but not applied in time.", body = schema::Error),
    ))]
pub(crate) async fn evict(State(app): State<Arc<App>>, options: Options, text: Text) -> Answer {
    let input = super::input(&text.0, &["gateway"])?;
    let gateway = super::gateways::parse(&super::required(&input, "gateway")?)?;
    let version = {
        let view = app.control().view();
        view.gateways.get(&gateway).ok_or_else(|| super::gateways::missing(&gateway))?.version
    };
    let if_match = options.precondition(gateway.as_str(), Some(version))?;
    let accepted =
        writes::submit(&app, &options, Change::Evict { gateway: gateway.clone() }, None, if_match).await?;
    let reply = Reply::new(StatusCode::ACCEPTED, json!({ "gateway": gateway, "evicted": true }));
    writes::finish(&app, &options, accepted.revision, None, reply).await
}

/// How a revision was taken by the proxies. Kept for the last thousand.
#[utoipa::path(get, path = "/api/v1/revisions/{revision}", tag = "operations",
    params(("revision" = u64, Path, description = "Number, from the header Vamp-Revision.")),
    responses((status = 200, description = "The receipt.", body = schema::Receipt), (status = 404, description = "Unknown, or too old.", body = schema::Error)))]
pub(crate) async fn revision(State(app): State<Arc<App>>, Path(revision): Path<String>) -> Answer {
    let number: u64 = revision.parse().map_err(|_| {
        Failure::bad_request("invalid-revision", format!("A revision is a number, not '{revision}'."))
    })?;
    match app.control().receipt(number) {
        Some(receipt) => Ok(Reply::ok(show(&receipt))),
        None => Err(Failure::not_found(format!(
            "Revision cannot be found: {number}. The current one is {}; receipts of the last thousand are kept.",
            app.control().view().revision
        ))),
    }
}

fn show(receipt: &Receipt) -> Value {
    let proxies: Vec<Value> =
        receipt.proxies.iter().map(|(name, ms)| json!({ "name": name, "ms": ms })).collect();
    json!({
        "revision": receipt.revision,
        "applied": receipt.applied,
        "total": receipt.total,
        "complete": receipt.applied == receipt.total,
        "ms": receipt.ms,
        "proxies": proxies,
    })
}
