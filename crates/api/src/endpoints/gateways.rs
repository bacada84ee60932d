//! `/gateways`: the artifact that everything is about.

use std::sync::Arc;

use axum::extract::{Path, State};
use control::{Change, Mode, Outcome};
use http::StatusCode;
use http::header::ETAG;
use model::artifact::{Document, read_items};
use model::gateway::GatewayDocument;
use model::name::GatewayName;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::writes::{self, Options};
use crate::context::App;
use crate::schema;
use crate::web::body::Text;
use crate::web::failure::Failure;
use crate::web::origin::Origin;
use crate::web::paging::Page;
use crate::web::parameters::Parameters;
use crate::web::reply::{Answer, Reply};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, put, delete))
}

/// All gateways, by name.
#[utoipa::path(get, path = "/api/v1/gateways", tag = "gateways", params(schema::PageParameters), responses(
    (status = 200, description = "A page of the list.", body = Vec<schema::Gateway>,
        headers(("X-Total-Count" = u64, description = "Length of the whole list."), ("Link", description = "Pages: first, prev, next, last."))),
))]
pub(crate) async fn list(State(app): State<Arc<App>>, origin: Origin, parameters: Parameters) -> Answer {
    let page = Page::from(&parameters)?;
    let view = app.control().view();
    let entries: Vec<_> = view.gateways.values().collect();
    Ok(page.of(&entries, &origin, &parameters, |entry| entry.view.to_json()))
}

/// One gateway.
#[utoipa::path(get, path = "/api/v1/gateways/{*name}", tag = "gateways",
    params(("name" = String, Path, description = "Name; slashes raw or as %2F.")),
    responses(
        (status = 200, description = "The gateway.", body = schema::Gateway, headers(("ETag", description = "Version, for If-Match."))),
        (status = 404, description = "There is none.", body = schema::Error),
    ))]
pub(crate) async fn read(State(app): State<Arc<App>>, Path(name): Path<String>) -> Answer {
    let name = parse(&name)?;
    let view = app.control().view();
    let entry = view.gateways.get(&name).ok_or_else(|| missing(&name))?;
    Ok(Reply::ok(entry.view.to_json()).header(ETAG, writes::etag(entry.version)))
}

/// Creates gateways: one document, or several separated by `---`.
#[utoipa::path(post, path = "/api/v1/gateways", tag = "gateways",
    params(schema::WriteParameters, schema::WriteHeaders),
    request_body(content = schema::GatewayInput, description = "YAML or JSON, whatever the media type says."),
    responses(
        (status = 202, description = "The gateway; a list when there were several documents.", body = schema::Gateways),
        (status = 409, description = "The name is taken, or no port is left.", body = schema::Error),
        (status = 412, description = "If-Match does not hold.", body = schema::Error),
        (status = 504, description = "Stored, but not applied in time.", body = schema::Error),
    ))]
pub(crate) async fn create(State(app): State<Arc<App>>, options: Options, text: Text) -> Answer {
    let items = read_items(&text.0, Some("gateways"))?;
    if items.len() != 1 {
        return super::documents::write(&app, &options, items, Mode::Create).await;
    }
    let Some(document) = items.into_iter().next().and_then(|item| gateway(item.document)) else {
        return Err(Failure::bad_request("inconsistent-kind", "Inconsistent kind: expected 'gateways'."));
    };
    store(&app, &options, document, Mode::Create, text.0).await
}

/// Creates or replaces a gateway.
#[utoipa::path(put, path = "/api/v1/gateways/{*name}", tag = "gateways",
    params(("name" = String, Path, description = "Name; slashes raw or as %2F. The document must have the same."),
        schema::WriteParameters, schema::WriteHeaders),
    request_body(content = schema::GatewayInput, description = "YAML or JSON, whatever the media type says."),
    responses(
        (status = 202, description = "The gateway as it is now.", body = schema::Gateway,
            headers(("ETag", description = "Version, for If-Match."), ("Vamp-Revision" = u64, description = "Revision of the change."),
                ("Vamp-Applied", description = "With wait=applied: proxies that serve it, of all."),
                ("Vamp-Applied-Ms", description = "With wait=applied: how long that took."))),
        (status = 409, description = "No port is left.", body = schema::Error),
        (status = 412, description = "If-Match does not hold.", body = schema::Error),
        (status = 504, description = "Stored, but not applied in time.", body = schema::Error),
    ))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    options: Options,
    text: Text,
) -> Answer {
    let name = parse(&name)?;
    let document = GatewayDocument::read(&text.0)?;
    if document.name != name {
        return Err(Failure::bad_request(
            "inconsistent-name",
            format!("Inconsistent name: given '{name}' but found '{}'.", document.name),
        ));
    }
    store(&app, &options, document, Mode::Put, text.0).await
}

/// Deletes a gateway. Fine when there is none.
#[utoipa::path(delete, path = "/api/v1/gateways/{*name}", tag = "gateways",
    params(("name" = String, Path, description = "Name; slashes raw or as %2F."), schema::WriteParameters, schema::WriteHeaders),
    responses(
        (status = 202, description = "It is gone.", body = schema::Deletion),
        (status = 412, description = "If-Match does not hold.", body = schema::Error),
        (status = 504, description = "Stored, but not applied in time.", body = schema::Error),
    ))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    options: Options,
) -> Answer {
    let name = parse(&name)?;
    let if_match = options.precondition(name.as_str(), version(&app, &name))?;
    let accepted =
        writes::submit(&app, &options, Change::DeleteGateway(name.clone()), None, if_match).await?;
    let deleted = accepted.results.iter().any(|outcome| matches!(outcome, Outcome::Deleted(true)));
    let reply = Reply::new(StatusCode::ACCEPTED, deletion("gateways", name.as_str(), deleted));
    writes::finish(&app, &options, accepted.revision, None, reply).await
}

async fn store(app: &App, options: &Options, document: GatewayDocument, mode: Mode, text: String) -> Answer {
    let name = document.name.clone();
    let if_match = options.precondition(name.as_str(), version(app, &name))?;
    let change = Change::Gateway { document, mode };
    let accepted = writes::submit(app, options, change, Some(text), if_match).await?;
    let (document, version) = accepted.results.iter().find_map(show).ok_or_else(Failure::internal)?;
    writes::finish(app, options, accepted.revision, version, Reply::new(StatusCode::ACCEPTED, document)).await
}

/// What a write answers for one of its documents, and its version.
pub(crate) fn show(outcome: &Outcome) -> Option<(Value, Option<u64>)> {
    match outcome {
        Outcome::Gateway(view, version) => Some((view.to_json(), Some(*version))),
        Outcome::Artifact(artifact, version) => Some((artifact.to_json(), Some(*version))),
        _ => None,
    }
}

/// What a DELETE answers.
pub(crate) fn deletion(kind: &str, name: &str, deleted: bool) -> Value {
    json!({ "name": name, "kind": kind, "deleted": deleted })
}

fn gateway(document: Document) -> Option<GatewayDocument> {
    match document {
        Document::Gateway(document) => Some(document),
        Document::Artifact(_) => None,
    }
}

/// Reads the name in a path.
pub(crate) fn parse(name: &str) -> Result<GatewayName, Failure> {
    GatewayName::parse(name).map_err(|message| Failure::bad_request("invalid-name", message))
}

/// 404 for a gateway.
pub(crate) fn missing(name: &GatewayName) -> Failure {
    Failure::not_found(format!("Artifact cannot be found: '{name}'."))
}

fn version(app: &App, name: &GatewayName) -> Option<u64> {
    app.control().view().gateways.get(name).map(|entry| entry.version)
}
