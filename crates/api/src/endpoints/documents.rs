//! The root of the API: an index, and several documents at once (section 6).
//!
//! All documents of a request are checked before one is stored, and stored in one change, so the order in the request does
//! not matter and a bad one changes nothing (A12).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use control::{Change, Mode, Outcome, Part};
use http::StatusCode;
use model::artifact::{ArtifactKind, Document, Item, read_identities, read_items};
use model::name::GatewayName;
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
    OpenApiRouter::new().routes(routes!(index, create, put, delete))
}

/// What the API offers.
#[utoipa::path(get, path = "/api/v1", tag = "documents", responses((status = 200, description = "Endpoints with what they do.", body = Object)))]
pub(crate) async fn index(State(app): State<Arc<App>>) -> Answer {
    let mut endpoints: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    let paths = crate::openapi::document().get("paths").and_then(Value::as_object);
    for (path, operations) in paths.into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let summary = operation.get("summary").cloned().unwrap_or_default();
            endpoints.entry(path.clone()).or_default().insert(method.to_uppercase(), summary);
        }
    }
    Ok(Reply::ok(json!({
        "name": "vamp",
        "version": app.process.info.version,
        "environment": app.name(),
        "description": "/openapi.json",
        "endpoints": endpoints,
    })))
}

/// Creates several documents. Each needs `kind` and `name`.
#[utoipa::path(post, path = "/api/v1", tag = "documents", params(schema::WriteParameters, schema::WriteHeaders),
    request_body(content = String, description = "Documents separated by `---`, or a list.", content_type = "application/x-yaml"),
    responses(
        (status = 202, description = "What each single call would answer, in order.", body = Vec<Object>),
        (status = 409, description = "A name is taken, or no port is left.", body = schema::Error),
        (status = 504, description = "Stored, but not applied in time.", body = schema::Error),
    ))]
pub(crate) async fn create(State(app): State<Arc<App>>, options: Options, text: Text) -> Answer {
    write(&app, &options, read_items(&text.0, None)?, Mode::Create).await
}

/// Creates or replaces several documents. Each needs `kind` and `name`.
#[utoipa::path(put, path = "/api/v1", tag = "documents", params(schema::WriteParameters, schema::WriteHeaders),
    request_body(content = String, description = "Documents separated by `---`, or a list.", content_type = "application/x-yaml"),
    responses(
        (status = 202, description = "What each single call would answer, in order.", body = Vec<Object>),
        (status = 409, description = "No port is left.", body = schema::Error),
        (status = 504, description = "Stored, but not applied in time.", body = schema::Error),
    ))]
pub(crate) async fn put(State(app): State<Arc<App>>, options: Options, text: Text) -> Answer {
    write(&app, &options, read_items(&text.0, None)?, Mode::Put).await
}

/// Deletes several documents. Only `kind` and `name` of each are looked at.
#[utoipa::path(delete, path = "/api/v1", tag = "documents", params(schema::WriteParameters, schema::WriteHeaders),
    request_body(content = String, description = "Documents separated by `---`, or a list.", content_type = "application/x-yaml"),
    responses(
        (status = 202, description = "What each single call would answer, in order.", body = Vec<schema::Deletion>),
        (status = 504, description = "Stored, but not applied in time.", body = schema::Error),
    ))]
pub(crate) async fn delete(State(app): State<Arc<App>>, options: Options, text: Text) -> Answer {
    no_precondition(&options)?;
    let identities = read_identities(&text.0)?;
    let mut changes = Vec::with_capacity(identities.len());
    for identity in &identities {
        changes.push(Part::from(match ArtifactKind::parse(identity.kind) {
            Some(kind) => Change::DeleteArtifact { kind, name: identity.name.clone() },
            None => Change::DeleteGateway(GatewayName::parse(&identity.name).map_err(|message| {
                Failure::bad_request(
                    "invalid-name",
                    format!("{}/{}: {message}", identity.kind, identity.name),
                )
            })?),
        }));
    }
    let accepted = writes::submit(&app, &options, Change::Many(changes), None, None).await?;
    let answers = identities.iter().zip(&accepted.results).map(|(identity, outcome)| {
        super::gateways::deletion(identity.kind, &identity.name, matches!(outcome, Outcome::Deleted(true)))
    });
    let reply = Reply::new(StatusCode::ACCEPTED, answers.collect());
    writes::finish(&app, &options, accepted.revision, None, reply).await
}

/// Stores several documents and answers a list.
pub(crate) async fn write(app: &App, options: &Options, items: Vec<Item>, mode: Mode) -> Answer {
    write_as(app, options, items, mode, StatusCode::ACCEPTED).await
}

/// As [`write`], with another status.
pub(crate) async fn write_as(
    app: &App,
    options: &Options,
    items: Vec<Item>,
    mode: Mode,
    status: StatusCode,
) -> Answer {
    no_precondition(options)?;
    let changes = items.into_iter().map(|item| match item.document {
        Document::Gateway(document) => part(Change::Gateway { document, mode }, &item.source),
        Document::Artifact(artifact) => part(Change::Artifact { artifact, mode }, &item.source),
    });
    let accepted = writes::submit(app, options, Change::Many(changes.collect()), None, None).await?;
    let documents = accepted.results.iter().filter_map(super::gateways::show).map(|(document, _)| document);
    let reply = Reply::new(status, documents.collect());
    writes::finish(app, options, accepted.revision, None, reply).await
}

fn part(change: Change, source: &Value) -> Part {
    Part { change, body: Some(source.to_string()) }
}

/// One ETag cannot stand for several documents; ignoring it would lose the update that it was to guard.
fn no_precondition(options: &Options) -> Result<(), Failure> {
    if options.has_precondition() {
        return Err(Failure::bad_request(
            "unsupported-precondition",
            "If-Match is only possible for a single document.",
        ));
    }
    Ok(())
}
