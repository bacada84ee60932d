//! `/live`: everything that a screen shows, on one connection.
//!
//! ```text
//! log of events --------------------------> event    each one, with its id: resumes after Last-Event-ID
//! snapshots of control, targets --changes-> state    first all gateways, then those that changed or are gone
//! telemetry --every second----------------> figures  whole gateways
//! ```
//!
//! A browser opens six connections to a server, so a screen has to do with one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{Response, sse};
use control::Entry;
use futures_util::Stream;
use futures_util::stream::{select, unfold};
use http::HeaderMap;
use model::event::EventQuery;
use model::name::{GatewayName, RoutePath};
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::figures;
use super::status::{self, GatewaySummary, Overall, Serving};
use super::streams::{self, Feed};
use crate::context::App;
use crate::web::failure::Failure;
use crate::web::parameters::Parameters;

/// How often a stream looks for changes: well below what people notice. Without one a look costs next to nothing.
const LOOK: Duration = Duration::from_millis(250);

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(live))
}

/// Events, states and figures as they change, on one connection.
///
/// Server-sent events: `event` with an event of the log, `state` with what changed in `/status`, and once a second `figures` with
/// those of whole gateways.
#[utoipa::path(get, path = "/api/v1/live", tag = "operations",
    params(("window" = Option<u32>, Query, description = "Seconds that figures cover, 1 to 900; 10 unless given."),
        ("Last-Event-ID" = Option<String>, Header, description = "Send first what happened after this event.")),
    responses((status = 200, description = "Server-sent events; the schema is that of `state`.", body = Live, content_type = "text/event-stream")))]
pub(crate) async fn live(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let seconds = figures::window(&parameters)?;
    let permit = streams::permit(&app)?;
    let feed = Feed::open(&app, EventQuery::default(), &headers).await?;
    let events = feed.events((), |_| "event".to_owned());
    let figures = figures::every_second(app.clone(), (), move |app| {
        serde_json::to_string(&figures::overview(app, seconds)).unwrap_or_default()
    });
    let states = states(app.clone(), permit);
    Ok(streams::answer(&app, select(states, select(events, figures))))
}

/// What the event `state` carries.
#[derive(Serialize, ToSchema)]
pub(crate) struct Live {
    /// True for the first one: it carries every gateway.
    complete: bool,
    /// How everything together is doing.
    overall: Overall,
    /// Gateways that are new or changed.
    gateways: Vec<GatewaySummary>,
    /// Names of gateways that are gone.
    gone: Vec<String>,
}

/// An event called `state`: at once, and then whenever something changed.
fn states<P>(app: Arc<App>, permit: P) -> impl Stream<Item = sse::Event> {
    let mut clock = tokio::time::interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    unfold((app, clock, Known::default(), permit), |(app, mut clock, mut known, permit)| async move {
        let state = next(&app, &mut clock, &mut known).await;
        let data = serde_json::to_string(&state).unwrap_or_default();
        Some((sse::Event::default().event("state").data(data), (app, clock, known, permit)))
    })
}

async fn next(app: &App, clock: &mut Interval, known: &mut Known) -> Live {
    loop {
        clock.tick().await;
        if let Some(state) = known.look(app) {
            return state;
        }
    }
}

/// A target, and whether it is up and ejected.
type Target = (GatewayName, RoutePath, String, bool, bool);

/// What a reader was told.
#[derive(Default)]
struct Known {
    gateways: BTreeMap<GatewayName, (Arc<Entry>, GatewaySummary)>,
    /// Targets that were down, or ejected.
    held: BTreeSet<Target>,
    overall: Option<Overall>,
}

impl Known {
    /// What changed since the last look.
    fn look(&mut self, app: &App) -> Option<Live> {
        let view = app.control().view();
        let targets = app.environment.data_plane.targets();
        let held: BTreeSet<Target> = targets
            .iter()
            .filter(|target| !target.up || target.ejected)
            .map(|t| (t.gateway.clone(), t.route.clone(), t.id.clone(), t.up, t.ejected))
            .collect();
        let touched: BTreeSet<&GatewayName> =
            held.symmetric_difference(&self.held).map(|(gateway, ..)| gateway).collect();
        let serving = Serving::of(&targets);
        let mut changed = Vec::new();
        for (name, entry) in view.gateways.iter() {
            let same = self.gateways.get(name).is_some_and(|(known, _)| Arc::ptr_eq(known, entry));
            if same && !touched.contains(name) {
                continue;
            }
            let summary = status::gateway(name, entry, &serving);
            let told = self.gateways.insert(name.clone(), (entry.clone(), summary.clone()));
            if told.is_none_or(|(_, told)| told != summary) {
                changed.push(summary);
            }
        }
        let mut gone = Vec::new();
        self.gateways.retain(|name, _| {
            let stays = view.gateways.contains_key(name);
            if !stays {
                gone.push(name.to_string());
            }
            stays
        });
        drop(touched);
        self.held = held;
        let overall = status::overall(app, &view, self.gateways.values().map(|(_, summary)| summary));
        let complete = self.overall.is_none();
        if changed.is_empty() && gone.is_empty() && self.overall.as_ref() == Some(&overall) {
            return None;
        }
        self.overall = Some(overall.clone());
        Some(Live { complete, overall, gateways: changed, gone })
    }
}
