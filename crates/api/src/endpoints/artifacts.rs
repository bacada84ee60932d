//! Stored conditions, rewrites and routes; and a clear word about the kinds that are not there yet.
//!
//! Clients of the original list every kind it had. A kind that cannot be stored here is an empty list to them (200), a document
//! of it cannot be found (404) and nothing is there to delete (204, 202). Only a write is refused, with 400, because that is the status
//! whose message those clients show.

use std::sync::Arc;

use axum::extract::{Path, State};
use control::{Change, Mode, Outcome};
use http::StatusCode;
use http::header::ETAG;
use model::artifact::{Artifact, ArtifactKind, Document, read_items};
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

/// A kind in a path.
enum Kind {
    /// Stored here.
    Passive(ArtifactKind),
    /// Known, but nothing of it can be stored. `active` ones answer 202 where passive ones answer 200 or 204.
    Later { name: &'static str, active: bool },
}

/// Kinds of the original that are not built yet: empty.
const LATER: [(&str, &str, bool); 8] = [
    ("breeds", "breed", false),
    ("blueprints", "blueprint", false),
    ("scales", "scale", false),
    ("slas", "sla", false),
    ("escalations", "escalation", false),
    ("templates", "template", false),
    ("workflows", "workflow", true),
    ("deployments", "deployment", true),
];

fn kind(text: &str) -> Result<Kind, Failure> {
    if let Some(kind) = ArtifactKind::parse(text) {
        return Ok(Kind::Passive(kind));
    }
    match LATER.iter().find(|(plural, singular, _)| *plural == text || *singular == text) {
        Some((name, _, active)) => Ok(Kind::Later { name, active: *active }),
        None => Err(Failure::bad_request("unexpected-resource", format!("Unexpected resource: '{text}'."))),
    }
}

/// The kinds that are stored.
pub(crate) const KINDS: [ArtifactKind; 3] =
    [ArtifactKind::Conditions, ArtifactKind::Rewrites, ArtifactKind::Routes];

fn unsupported(kind: &str) -> Failure {
    Failure::bad_request(
        "unsupported-kind",
        format!(
            "Artifacts of kind '{kind}' cannot be stored by this version of Vamp. Supported: gateways, conditions, rewrites, routes."
        ),
    )
}

fn missing(name: &str) -> Failure {
    Failure::not_found(format!("Artifact cannot be found: '{name}'."))
}

/// All artifacts of a kind, by name. Kinds of the original that cannot be stored yet are empty.
#[utoipa::path(get, path = "/api/v1/{kind}", tag = "artifacts",
    params(("kind" = String, Path, description = "conditions, rewrites or routes.", example = "conditions"), schema::PageParameters),
    responses((status = 200, description = "A page of the list.", body = Vec<schema::Artifact>,
        headers(("X-Total-Count" = u64, description = "Length of the whole list."), ("Link", description = "Pages: first, prev, next, last.")))))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    origin: Origin,
    parameters: Parameters,
) -> Answer {
    let kind = kind(&name)?;
    let page = Page::from(&parameters)?;
    let view = app.control().view();
    let artifacts: Vec<_> = match kind {
        Kind::Passive(kind) => view.artifacts_of(kind).collect(),
        Kind::Later { .. } => Vec::new(),
    };
    Ok(page.of(&artifacts, &origin, &parameters, |stored| stored.artifact.to_json()))
}

/// One artifact.
#[utoipa::path(get, path = "/api/v1/{kind}/{*name}", tag = "artifacts",
    params(("kind" = String, Path, description = "conditions, rewrites or routes.", example = "conditions"), ("name" = String, Path, description = "Name.")),
    responses(
        (status = 200, description = "The artifact.", body = schema::Artifact, headers(("ETag", description = "Version, for If-Match."))),
        (status = 404, description = "There is none.", body = schema::Error),
    ))]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    Path((kind_name, name)): Path<(String, String)>,
) -> Answer {
    let Kind::Passive(kind) = kind(&kind_name)? else { return Err(missing(&name)) };
    let view = app.control().view();
    let stored = view.artifact(kind, &name).ok_or_else(|| missing(&name))?;
    Ok(Reply::ok(stored.artifact.to_json()).header(ETAG, writes::etag(stored.version)))
}

/// Creates artifacts: one document, or several separated by `---`.
#[utoipa::path(post, path = "/api/v1/{kind}", tag = "artifacts",
    params(("kind" = String, Path, description = "conditions, rewrites or routes.", example = "conditions"), schema::WriteParameters, schema::WriteHeaders),
    request_body(content = schema::Artifact, description = "YAML or JSON, whatever the media type says."),
    responses(
        (status = 201, description = "The artifact; a list when there were several documents.", body = schema::Artifacts),
        (status = 409, description = "The name is taken.", body = schema::Error),
        (status = 412, description = "If-Match does not hold.", body = schema::Error),
        (status = 504, description = "Stored, but not applied in time.", body = schema::Error),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Path(kind_name): Path<String>,
    options: Options,
    text: Text,
) -> Answer {
    let kind = match kind(&kind_name)? {
        Kind::Passive(kind) => kind,
        Kind::Later { name, .. } => return Err(unsupported(name)),
    };
    let mut items = read_items(&text.0, Some(kind.as_str()))?;
    if items.len() > 1 {
        return super::documents::write_as(&app, &options, items, Mode::Create, StatusCode::CREATED).await;
    }
    match items.pop().map(|item| item.document) {
        Some(Document::Artifact(artifact)) => {
            store(&app, &options, artifact, Mode::Create, StatusCode::CREATED, text.0).await
        }
        _ => Err(Failure::bad_request(
            "inconsistent-kind",
            format!("Inconsistent kind: expected '{}'.", kind.as_str()),
        )),
    }
}

/// Creates or replaces an artifact.
#[utoipa::path(put, path = "/api/v1/{kind}/{*name}", tag = "artifacts",
    params(("kind" = String, Path, description = "conditions, rewrites or routes.", example = "conditions"),
        ("name" = String, Path, description = "Name. The document must have the same."), schema::WriteParameters, schema::WriteHeaders),
    request_body(content = schema::Artifact, description = "YAML or JSON, whatever the media type says."),
    responses(
        (status = 200, description = "The artifact.", body = schema::Artifact, headers(("ETag", description = "Version, for If-Match."))),
        (status = 412, description = "If-Match does not hold.", body = schema::Error),
        (status = 504, description = "Stored, but not applied in time.", body = schema::Error),
    ))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Path((kind_name, name)): Path<(String, String)>,
    options: Options,
    text: Text,
) -> Answer {
    let kind = match kind(&kind_name)? {
        Kind::Passive(kind) => kind,
        Kind::Later { name, .. } => return Err(unsupported(name)),
    };
    let artifact = Artifact::read(kind, &text.0)?;
    if artifact.name != name {
        return Err(Failure::bad_request(
            "inconsistent-name",
            format!("Inconsistent name: given '{name}' but found '{}'.", artifact.name),
        ));
    }
    store(&app, &options, artifact, Mode::Put, StatusCode::OK, text.0).await
}

/// Deletes an artifact. Fine when there is none.
#[utoipa::path(delete, path = "/api/v1/{kind}/{*name}", tag = "artifacts",
    params(("kind" = String, Path, description = "conditions, rewrites or routes.", example = "conditions"),
        ("name" = String, Path, description = "Name."), schema::WriteParameters, schema::WriteHeaders),
    responses(
        (status = 204, description = "It is gone."),
        (status = 202, description = "The same, for kinds that are more than data.", body = schema::Deletion),
        (status = 412, description = "If-Match does not hold.", body = schema::Error),
        (status = 504, description = "Stored, but not applied in time.", body = schema::Error),
    ))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path((kind_name, name)): Path<(String, String)>,
    options: Options,
) -> Answer {
    let kind = match kind(&kind_name)? {
        Kind::Passive(kind) => kind,
        Kind::Later { active: false, .. } => return Ok(Reply::empty()),
        Kind::Later { name: kind, active: true } => {
            return Ok(Reply::new(StatusCode::ACCEPTED, super::gateways::deletion(kind, &name, false)));
        }
    };
    let current = app.control().view().artifact(kind, &name).map(|stored| stored.version);
    let if_match = options.precondition(&name, current)?;
    let change = Change::DeleteArtifact { kind, name };
    let accepted = writes::submit(&app, &options, change, None, if_match).await?;
    writes::finish(&app, &options, accepted.revision, None, Reply::empty()).await
}

async fn store(
    app: &App,
    options: &Options,
    artifact: Artifact,
    mode: Mode,
    status: StatusCode,
    text: String,
) -> Answer {
    let current = app.control().view().artifact(artifact.kind(), &artifact.name).map(|stored| stored.version);
    let if_match = options.precondition(&artifact.name, current)?;
    let accepted =
        writes::submit(app, options, Change::Artifact { artifact, mode }, Some(text), if_match).await?;
    let shown = accepted.results.iter().find(|outcome| matches!(outcome, Outcome::Artifact(..)));
    let (document, version) = shown.and_then(super::gateways::show).ok_or_else(Failure::internal)?;
    writes::finish(app, options, accepted.revision, version, Reply::new(status, document)).await
}
