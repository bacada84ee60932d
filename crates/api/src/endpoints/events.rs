//! `/events`: publishing and asking (section 13).

use std::sync::Arc;

use axum::extract::State;
use control::{Change, Outcome};
use http::StatusCode;
use jiff::Timestamp;
use model::event::{Aggregator, AggregatorKind, Event, EventQuery, EventRequest, NewEvent, expand};
use serde_json::json;
use store::Aggregation;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::writes::{self, Options};
use crate::context::App;
use crate::schema;
use crate::web::body::{AnyText, Text};
use crate::web::failure::Failure;
use crate::web::origin::Origin;
use crate::web::paging::Page;
use crate::web::parameters::Parameters;
use crate::web::reply::{Answer, Reply};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, publish)).routes(routes!(query))
}

/// Publishes an event.
#[utoipa::path(post, path = "/api/v1/events", tag = "events", params(schema::WriteParameters, schema::WriteHeaders),
    request_body(content = schema::EventInput, description = "YAML or JSON, whatever the media type says."),
    responses((status = 201, description = "The event as stored.", body = schema::Event)))]
pub(crate) async fn publish(State(app): State<Arc<App>>, options: Options, text: Text) -> Answer {
    let mut event = NewEvent::read(&text.0, Timestamp::now())?;
    event.actor = Some(options.origin.actor().to_owned());
    if options.validate_only {
        return Ok(Reply::new(
            StatusCode::CREATED,
            serde_json::to_value(unstored(event)).map_err(|_| Failure::internal())?,
        ));
    }
    let accepted = writes::submit(&app, &options, Change::Events(vec![event]), None, None).await?;
    let stored = accepted.results.iter().find_map(|outcome| match outcome {
        Outcome::Events(events) => events.first(),
        _ => None,
    });
    let document = stored.and_then(|event| serde_json::to_value(event).ok()).ok_or_else(Failure::internal)?;
    Ok(Reply::new(StatusCode::CREATED, document))
}

/// An event as it would be stored, but for the id, which only the store gives.
fn unstored(event: NewEvent) -> Event {
    Event {
        id: String::new(),
        version: event.version.unwrap_or_else(|| "1.0".to_owned()),
        tags: expand(&event.tags),
        value: event.value,
        timestamp: event.timestamp,
        kind: event.kind,
        actor: event.actor,
        revision: None,
    }
}

/// Events, newest first. A body (see `POST /events/query`) takes the place of all parameters but those of the page.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(schema::EventParameters, schema::PageParameters),
    responses((status = 200, description = "A page of the events; an object with a value when the body asks for an aggregation.", body = schema::EventAnswer,
        headers(("X-Total-Count" = u64, description = "Number of matching events."), ("Link", description = "Pages: first, prev, next, last.")))))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    origin: Origin,
    parameters: Parameters,
    text: AnyText,
) -> Answer {
    let request = if text.0.trim().is_empty() {
        from_parameters(&parameters)
    } else {
        EventRequest::read(&text.0, Timestamp::now())?
    };
    answer(&app, request, &origin, &parameters).await
}

/// Events or a number computed from them, for clients that cannot send a body with GET.
#[utoipa::path(post, path = "/api/v1/events/query", tag = "events", params(schema::PageParameters),
    request_body(content = schema::EventQuery, description = "YAML or JSON, whatever the media type says."),
    responses((status = 200, description = "A page of the events; `{\"value\": n}` when the body asks for an aggregation.",
        body = schema::EventAnswer)))]
pub(crate) async fn query(
    State(app): State<Arc<App>>,
    origin: Origin,
    parameters: Parameters,
    text: Text,
) -> Answer {
    answer(&app, EventRequest::read(&text.0, Timestamp::now())?, &origin, &parameters).await
}

/// The query in `tag`, `type` and `timestamp`.
pub(crate) fn from_parameters(parameters: &Parameters) -> EventRequest {
    let tags: Vec<String> = parameters.all("tag").map(str::to_owned).collect();
    EventRequest::from_parameters(
        &tags,
        parameters.text("type"),
        parameters.text("timestamp"),
        Timestamp::now(),
    )
}

async fn answer(app: &App, request: EventRequest, origin: &Origin, parameters: &Parameters) -> Answer {
    if let Some(aggregator) = request.aggregator {
        let value = aggregate(app, request.query, &aggregator).await?;
        return Ok(Reply::ok(json!({ "value": value })));
    }
    let page = Page::from(parameters)?;
    let number = u32::try_from(page.number).unwrap_or(u32::MAX);
    let size = u32::try_from(page.size).unwrap_or(30);
    let asked = app.control().query_events(request.query, store::Page::new(number, size));
    let found = within(app, asked).await?;
    let events = found.events.iter().filter_map(|event| serde_json::to_value(event).ok()).collect();
    Ok(page.reply(events, found.total, origin, parameters))
}

async fn aggregate(app: &App, query: EventQuery, aggregator: &Aggregator) -> Result<Option<f64>, Failure> {
    let aggregation = match aggregator.kind {
        AggregatorKind::Count => Aggregation::Count,
        AggregatorKind::Average => Aggregation::Average,
        AggregatorKind::Min => Aggregation::Min,
        AggregatorKind::Max => Aggregation::Max,
        AggregatorKind::Sum => Aggregation::Sum,
    };
    match aggregation.narrow(query, &aggregator.field) {
        Some(query) => within(app, app.control().aggregate(query, aggregation)).await,
        None => Ok(None),
    }
}

/// Bounds the time of a question to the store, and hides the details of its failure.
pub(crate) async fn within<T, E: std::fmt::Display>(
    app: &App,
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(app.limits().response_timeout, question).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            tracing::error!(%error, "the event log cannot be read");
            Err(Failure::internal())
        }
        Err(_) => Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            "The event log did not answer in time.",
        )),
    }
}
