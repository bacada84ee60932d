//! Reading events and event queries (spec: automation 1.1, 1.3, api 13).

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::event::{Aggregator, AggregatorKind, EventQuery, NewEvent, TimeBound, time};
use crate::fields::{Fields, missing, text, wrong_type};
use crate::problem::{Problem, Problems};
use crate::yaml::{self, Node, shorten};

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
        let node = yaml::read_one(text)?;
        let mut problems = Problems::default();
        match read_event(&node, now, &mut problems) {
            Some(event) => problems.into_result(event),
            None => Err(problems),
        }
    }
}

fn read_event(node: &Node, now: Timestamp, problems: &mut Problems) -> Option<NewEvent> {
    let mut fields = Fields::new(node, "", problems)?;
    let tags = read_tags(&mut fields, problems);
    if problems.is_empty() && tags.as_ref().is_some_and(BTreeSet::is_empty) {
        let message = "Publishing an event without tags is not allowed.";
        let problem = Problem::new("no-tags", "/tags", message).at(fields.node().position);
        problems.push(problem.example("tags: [gateways:shop, note:rollback]"));
    }
    let kind = read_type(&mut fields, problems).unwrap_or_else(|| "event".to_owned());
    let value = fields.take("value").map(Node::to_value);
    let timestamp = fields.take("timestamp").map_or(Some(now), |node| read_timestamp(node, problems));
    let version = fields.take_text("version", problems).map(str::to_owned);
    // What a read shows beyond that; an event that was read may be published again.
    fields.ignore(&["id", "digest", "actor", "revision"]);
    fields.finish(problems);
    Some(NewEvent { tags: tags?, value, timestamp: timestamp?, kind, actor: None, version })
}

/// `tags`, a list or one text: must be there, may be empty.
fn read_tags(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<BTreeSet<String>> {
    let Some(node) = fields.take("tags") else {
        let example = "tags: [gateways:shop, note:rollback]";
        problems.push(missing("/tags").at(fields.node().position).example(example));
        return None;
    };
    let mut tags = BTreeSet::new();
    for element in node.list().unwrap_or(std::slice::from_ref(node)) {
        match element.text() {
            Some("") => {
                problems.push(Problem::new("no-tags", "/tags", "An event tag is empty").at(element.position));
            }
            Some(tag) => {
                tags.insert(tag.to_owned());
            }
            None => problems.push(wrong_type(element, "/tags", "a list of texts")),
        }
    }
    Some(tags)
}

fn read_type(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<String> {
    let node = fields.take("type")?;
    let kind = text(node, "/type", problems)?;
    if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        let message = format!(
            "Unsupported event type '{}', only alphanumerics, '-' and '_' are allowed.",
            shorten(kind)
        );
        problems.push(Problem::new("event-type", "/type", message).at(node.position).example("type: audit"));
        return None;
    }
    Some(kind.to_owned())
}

fn read_timestamp(node: &Node, problems: &mut Problems) -> Option<Timestamp> {
    let text = text(node, "/timestamp", problems)?;
    let timestamp = time::zoned(text);
    if timestamp.is_none() {
        let message = format!(
            "Unsupported timestamp '{}', expected an ISO 8601 date and time with zone or offset.",
            shorten(text)
        );
        let problem = Problem::new("timestamp", "/timestamp", message).at(node.position);
        problems.push(problem.example("timestamp: 2026-03-01T10:00:00Z"));
    }
    timestamp
}

impl EventRequest {
    /// Reads the body of an event query.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(text: &str, now: Timestamp) -> Result<Self, Problems> {
        let node = yaml::read_one(text)?;
        let mut problems = Problems::default();
        match read_request(&node, now, &mut problems) {
            Some(request) => problems.into_result(request),
            None => Err(problems),
        }
    }

    /// From the parameters `tag`, `type` and `timestamp` of a URL (A22: an unreadable `timestamp` is ignored).
    pub fn from_parameters(
        tags: &[String],
        kind: Option<&str>,
        timestamp: Option<&str>,
        now: Timestamp,
    ) -> Self {
        let (from, until) = timestamp
            .and_then(|text| yaml::read_one(text).ok())
            .and_then(|node| {
                let mut problems = Problems::default();
                let range = read_range(&node, now, &mut problems)?;
                problems.is_empty().then_some(range)
            })
            .unwrap_or_default();
        let tags = tags.iter().filter(|tag| !tag.is_empty()).cloned().collect();
        let kind = kind.filter(|kind| !kind.is_empty()).map(str::to_owned);
        Self { query: EventQuery { tags, kind, from, until }, aggregator: None }
    }
}

fn read_request(node: &Node, now: Timestamp, problems: &mut Problems) -> Option<EventRequest> {
    let mut fields = Fields::new(node, "", problems)?;
    let tags = read_tags(&mut fields, problems);
    let kind = read_type(&mut fields, problems);
    let range = fields.take("timestamp").and_then(|node| read_range(node, now, problems));
    let aggregator = fields.take("aggregator").and_then(|node| read_aggregator(node, problems));
    fields.finish(problems);
    let (from, until) = range.unwrap_or_default();
    Some(EventRequest { query: EventQuery { tags: tags?, kind, from, until }, aggregator })
}

/// `{gte|gt: .., lte|lt: ..}`.
fn read_range(
    node: &Node,
    now: Timestamp,
    problems: &mut Problems,
) -> Option<(Option<TimeBound>, Option<TimeBound>)> {
    let mut fields = Fields::new(node, "/timestamp", problems)?;
    let mut pair = |exclusive: &'static str, inclusive: &'static str, fields: &mut Fields<'_>| {
        let (a, b) = (fields.take(exclusive), fields.take(inclusive));
        if a.is_some() && b.is_some() {
            let message = format!("A time range takes '{exclusive}' or '{inclusive}', not both");
            problems.push(Problem::new("time-range", "/timestamp", message).at(node.position));
        }
        let (node, key, inclusive) = match (a, b) {
            (_, Some(node)) => (node, inclusive, true),
            (Some(node), None) => (node, exclusive, false),
            (None, None) => return None,
        };
        let at = read_bound(node, &fields.path_of(key), now, problems)?;
        Some(TimeBound { at, inclusive })
    };
    let from = pair("gt", "gte", &mut fields);
    let until = pair("lt", "lte", &mut fields);
    fields.finish(problems);
    Some((from, until))
}

fn read_bound(node: &Node, path: &str, now: Timestamp, problems: &mut Problems) -> Option<Timestamp> {
    let text = text(node, path, problems)?;
    let at = time::bound(text, now);
    if at.is_none() {
        let message = format!("Unsupported time '{}', expected an ISO 8601 time or 'now-10m'", shorten(text));
        problems.push(Problem::new("timestamp", path, message).at(node.position).example("gte: now-10m"));
    }
    at
}

fn read_aggregator(node: &Node, problems: &mut Problems) -> Option<Aggregator> {
    let mut fields = Fields::new(node, "/aggregator", problems)?;
    let kind = fields.required("type", problems).and_then(|node| {
        let word = text(node, "/aggregator/type", problems)?;
        let kind = match word.to_ascii_lowercase().as_str() {
            "count" => Some(AggregatorKind::Count),
            "average" => Some(AggregatorKind::Average),
            "min" => Some(AggregatorKind::Min),
            "max" => Some(AggregatorKind::Max),
            "sum" => Some(AggregatorKind::Sum),
            _ => None,
        };
        if kind.is_none() {
            let message =
                format!("Unsupported aggregator '{}', use count, average, min, max or sum", shorten(word));
            let problem = Problem::new("aggregator", "/aggregator/type", message).at(node.position);
            problems.push(problem.example("aggregator: {type: average}"));
        }
        kind
    });
    let field = fields.take_text("field", problems).unwrap_or("value").to_owned();
    fields.finish(problems);
    Some(Aggregator { kind: kind?, field })
}
