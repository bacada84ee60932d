//! Reading events and event queries.

use jiff::Timestamp;

use crate::event::{Aggregator, EventQuery, NewEvent};
use crate::problem::{Problem, Problems};

/// A query for events as a client sends it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventRequest {
    /// Which events.
    pub query: EventQuery,
    /// What to compute over them instead of listing them.
    pub aggregator: Option<Aggregator>,
}

impl NewEvent {
    /// Reads the body of `POST /events`; `now` is used when it has no timestamp.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(text: &str, now: Timestamp) -> Result<Self, Problems> {
        let _ = (text, now);
        Err(Problem::new("internal", "", "not yet").into())
    }
}

impl EventRequest {
    /// Reads the body of an event query.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(text: &str, now: Timestamp) -> Result<Self, Problems> {
        let _ = (text, now);
        Err(Problem::new("internal", "", "not yet").into())
    }

    /// From the parameters `tag`, `type` and `timestamp` of a URL (A22: an unreadable `timestamp` is ignored).
    pub fn from_parameters(
        tags: &[String],
        kind: Option<&str>,
        timestamp: Option<&str>,
        now: Timestamp,
    ) -> Self {
        let _ = (timestamp, now);
        Self {
            query: EventQuery {
                tags: tags.iter().cloned().collect(),
                kind: kind.map(str::to_owned),
                ..EventQuery::default()
            },
            aggregator: None,
        }
    }
}
