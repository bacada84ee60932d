//! `events`: what happened, newest last, and what happens next.

use futures_util::StreamExt;
use serde_json::Value;

use crate::args::Format;
use crate::client::{Client, segment};
use crate::error::Error;
use crate::output::{Grid, print, structured, text};

/// Which events.
pub(super) struct Filter {
    pub(super) tag: Vec<String>,
    pub(super) kind: Option<String>,
    pub(super) gateway: Option<String>,
    pub(super) limit: usize,
}

impl Filter {
    fn query(&self) -> String {
        let mut parts: Vec<String> = self.tag.iter().map(|tag| format!("tag={}", segment(tag))).collect();
        parts.extend(
            self.gateway.iter().map(|gateway| format!("tag={}", segment(&format!("gateways:{gateway}")))),
        );
        parts.extend(self.kind.iter().map(|kind| format!("type={}", segment(kind))));
        parts.join("&")
    }
}

pub(super) async fn events(
    client: &Client,
    filter: Filter,
    watch: bool,
    format: Format,
) -> Result<(), Error> {
    // The stream is opened first, so that nothing falls between the list and it.
    let stream =
        if watch { Some(client.events(&format!("/events/stream?{}", filter.query())).await?) } else { None };
    let mut latest = Vec::new();
    for page in 1.. {
        let path = format!("/events?{}&page={page}&per_page=30", filter.query());
        let Value::Array(items) = client.get(&path).await?.body else { break };
        let last = items.len() < 30;
        latest.extend(items);
        if last || latest.len() >= filter.limit {
            break;
        }
    }
    latest.truncate(filter.limit);
    latest.reverse();
    let mut seen: Option<String> = latest.last().map(|event| text(event, "id"));
    match structured(format, "events", &Value::Array(latest.clone())) {
        Some(_) if watch => {
            for event in &latest {
                print(&event.to_string())?;
            }
        }
        Some(text) => print(&text)?,
        None => print(&table(&latest.iter().collect::<Vec<_>>()))?,
    }
    let Some(mut stream) = stream else { return Ok(()) };
    while let Some(event) = stream.next().await {
        let (_, event) = event?;
        let id = text(&event, "id");
        if seen.as_ref().is_some_and(|seen| id != "-" && id <= *seen) {
            continue;
        }
        seen = Some(id);
        match format {
            Format::Table | Format::Wide => print(&row(&event).join("  "))?,
            _ => print(&event.to_string())?,
        }
    }
    Err(Error::Failed("the server closed the event stream".into()))
}

/// Events as a table, in the order given.
pub(super) fn table(events: &[&Value]) -> String {
    let mut grid = Grid::new(&["TIME", "TYPE", "ACTOR", "TAGS", "VALUE"]);
    for event in events {
        grid.row(row(event));
    }
    if grid.is_empty() { "no events".into() } else { grid.render() }
}

fn row(event: &Value) -> Vec<String> {
    let all: Vec<&str> =
        event.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    // The expanded groups repeat what the full tags say.
    let tags: Vec<&str> = all
        .iter()
        .filter(|tag| !all.iter().any(|other| other.starts_with(&format!("{tag}:"))))
        .copied()
        .collect();
    let time = text(event, "timestamp");
    let time = time.split('.').next().unwrap_or(&time).trim_end_matches('Z').replace('T', " ");
    vec![time, text(event, "type"), text(event, "actor"), tags.join(" "), value(event)]
}

/// One line, cut to what fits beside the rest: before -> after for changes, else the value.
fn value(event: &Value) -> String {
    let value = match event.get("value") {
        None | Some(Value::Null) => return String::new(),
        Some(value) => match value.get("change") {
            // Some changes have no value: that a route was added says it all.
            Some(change) if ["before", "after", "reason"].iter().all(|side| is_empty(change, side)) => {
                return String::new();
            }
            Some(change) => {
                let side = |name: &str| change.get(name).map_or("-".into(), short);
                let reason = change.get("reason").filter(|reason| !reason.is_null()).map(short);
                let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
                format!("{} -> {}{reason}", side("before"), side("after"))
            }
            None => short(value),
        },
    };
    let line = value.replace(['\n', '\r'], " ");
    if line.chars().count() > 60 { line.chars().take(59).chain(['…']).collect() } else { line }
}

fn is_empty(change: &Value, side: &str) -> bool {
    change.get(side).is_none_or(Value::is_null)
}

fn short(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(map) if map.contains_key("name") && map.contains_key("kind") => {
            format!("{} {}", short(&map["kind"]), short(&map["name"]))
        }
        other => other.to_string(),
    }
}
