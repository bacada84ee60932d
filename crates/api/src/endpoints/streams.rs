//! Server-sent events: `/events/stream` with resume.
//!
//! ```text
//! subscribe --+--> (Last-Event-ID) events of the log after it --> live events not yet sent --> ...
//!             |    first the subscription, then the log: nothing falls between
//!             +--> a reader that is too slow loses events and is told how many in a comment
//! ```

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response, sse};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use model::event::{Event, EventQuery, EventRequest};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::events::{from_parameters, within};
use crate::context::App;
use crate::schema;
use crate::web::body::AnyText;
use crate::web::failure::Failure;
use crate::web::parameters::Parameters;

/// Events that a resume replays at most: an hour away from a busy environment, still a bounded piece of memory.
const REPLAY: usize = 10_000;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(stream))
}

/// Events as they happen.
///
/// The name of an event is its type, its data the event as JSON, its id that of the event.
#[utoipa::path(get, path = "/api/v1/events/stream", tag = "events",
    params(schema::EventParameters, ("Last-Event-ID" = Option<String>, Header, description = "Send first what happened after this event.")),
    responses((status = 200, description = "Server-sent events; a comment every 15 s.", body = String, content_type = "text/event-stream")))]
pub(crate) async fn stream(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    parameters: Parameters,
    text: AnyText,
) -> Result<Response, Failure> {
    let request = if text.0.trim().is_empty() {
        from_parameters(&parameters)
    } else {
        EventRequest::read(&text.0, Timestamp::now())?
    };
    let permit = permit(&app)?;
    let feed = Feed::open(&app, request.query, &headers).await?;
    Ok(answer(&app, feed.events(permit, |event| event.kind.clone())))
}

/// One of the places for streams; 503 when all are taken.
pub(crate) fn permit(app: &App) -> Result<OwnedSemaphorePermit, Failure> {
    app.streams.clone().try_acquire_owned().map_err(|_| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-streams",
            "Too many streams are open; close some and try again.",
        )
    })
}

/// A stream until the server drains.
pub(crate) fn answer(app: &App, stream: impl Stream<Item = sse::Event> + Send + 'static) -> Response {
    let stream = stream.map(Ok::<_, Infallible>).take_until(app.closing.clone().cancelled_owned());
    Sse::new(stream).keep_alive(KeepAlive::new().interval(app.limits().keep_alive)).into_response()
}

/// The events that a reader has not seen yet, without end.
pub(crate) struct Feed {
    query: EventQuery,
    missed: VecDeque<Arc<Event>>,
    /// Ids of replayed events that may come again from the subscription.
    replayed: HashSet<String>,
    live: Receiver<Arc<Event>>,
}

impl Feed {
    /// From now on; after the event that `Last-Event-ID` names when there is that header.
    pub(crate) async fn open(app: &App, query: EventQuery, headers: &HeaderMap) -> Result<Self, Failure> {
        let live = app.control().subscribe();
        let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let missed = if last.is_empty() {
            Vec::new()
        } else {
            within(app, app.control().events_after(last, REPLAY)).await?
        };
        let replayed = missed.iter().map(|event| event.id.clone()).collect();
        Ok(Self { query, missed: missed.into(), replayed, live })
    }

    /// As server-sent events called what `name` says. Holds `permit` until the reader goes away.
    pub(crate) fn events<P>(self, permit: P, name: fn(&Event) -> String) -> impl Stream<Item = sse::Event> {
        unfold((self, permit), move |(mut feed, permit)| async move {
            let event = feed.next(name).await?;
            Some((event, (feed, permit)))
        })
    }

    async fn next(&mut self, name: fn(&Event) -> String) -> Option<sse::Event> {
        while let Some(event) = self.missed.pop_front() {
            if self.query.matches(&event) {
                return Some(show(&event, &name(&event)));
            }
        }
        loop {
            match self.live.recv().await {
                Ok(event) if self.replayed.remove(&event.id) => {}
                Ok(event) if self.query.matches(&event) => return Some(show(&event, &name(&event))),
                Ok(_) => {}
                Err(RecvError::Lagged(lost)) => {
                    let text = format!("{lost} events were lost, this reader is too slow");
                    return Some(sse::Event::default().comment(text));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn show(event: &Event, name: &str) -> sse::Event {
    // Line feeds would break the framing; type and id never hold any, but they come from outside.
    let word = |text: &str| text.replace(['\r', '\n', '\0'], " ");
    let data = serde_json::to_string(event).unwrap_or_default();
    sse::Event::default().event(word(name)).id(word(&event.id)).data(data)
}
