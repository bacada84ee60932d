//! The head: revision, who committed last, and the journal of commits that are not in the objects of their records yet.
//!
//! ```text
//! {"format":1,"serial":9,"revision":7,"lastEvent":"0005...","writers":[["1f2e...",4]]}     first line
//! {"serial":8,"revision":7,"puts":[["gateways","shop",{...}]],"events":[{...}]}             one line for each commit
//! {"serial":9,"revision":7,"parts":["commit-1f2e...-4-0"]}                                  too large: it is elsewhere
//! ```
//!
//! Every commit has a *serial*, also those that only store events and make no revision.

use jiff::Timestamp;
use model::event::Event;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use store::{Change, Key, Record, Revision};

/// Version of the form. Programs that know less than it says leave everything alone.
const FORMAT: u32 = 1;
/// Writers that are remembered. Each is one opening of the store, and only the last one matters unless answers get lost.
const WRITERS: usize = 8;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    pub(super) format: u32,
    /// Of the last commit.
    pub(super) serial: u64,
    pub(super) revision: Revision,
    /// Greatest event id that was ever given out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) last_event: Option<String>,
    /// Who wrote the head and how often; the last one last. Tells whose write it was when an answer got lost.
    pub(super) writers: Vec<(String, u64)>,
}

impl Default for Head {
    fn default() -> Self {
        Self { format: FORMAT, serial: 0, revision: 0, last_event: None, writers: Vec::new() }
    }
}

impl Head {
    /// The head after a write of `writer`, the `count`-th one.
    pub(super) fn written_by(&self, writer: &str, count: u64) -> Self {
        let mut writers: Vec<_> = self.writers.iter().filter(|(name, _)| name != writer).cloned().collect();
        writers.push((writer.to_owned(), count));
        let surplus = writers.len().saturating_sub(WRITERS);
        writers.drain(..surplus);
        Self { writers, ..self.clone() }
    }

    /// True when the `count`-th write of `writer` is in it, as long as that was the writer's last one.
    pub(super) fn has(&self, writer: &str, count: u64) -> bool {
        self.writers.iter().any(|(name, last)| name == writer && *last == count)
    }

    /// Who wrote it last.
    pub(super) fn last_writer(&self) -> Option<&str> {
        self.writers.last().map(|(name, _)| name.as_str())
    }
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) serial: u64,
    pub(super) text: String,
    /// Names of the objects where the commit is, when it is not here.
    pub(super) parts: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    serial: u64,
    revision: Revision,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    puts: Vec<(String, String, Value)>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    deletes: Vec<Key>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    events: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    parts: Vec<String>,
}

/// An event as it is kept. Unlike in the API, a value of `null` is not the same as none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    id: String,
    version: String,
    tags: std::collections::BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "present")]
    value: Option<Value>,
    timestamp: Timestamp,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    revision: Option<Revision>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl From<Event> for Row {
    fn from(event: Event) -> Self {
        let Event { id, version, tags, value, timestamp, kind, actor, revision } = event;
        Self { id, version, tags, value, timestamp, kind, actor, revision }
    }
}

impl From<Row> for Event {
    fn from(row: Row) -> Self {
        let Row { id, version, tags, value, timestamp, kind, actor, revision } = row;
        Self { id, version, tags, value, timestamp, kind, actor, revision }
    }
}

/// A commit as text.
pub(super) fn entry_text(serial: u64, change: &Change) -> String {
    let put = |r: &Record| (r.kind.clone(), r.name.clone(), r.body.clone());
    text(&Entry {
        serial,
        revision: change.revision,
        puts: change.puts.iter().map(put).collect(),
        deletes: change.deletes.clone(),
        events: change.events.iter().cloned().map(Row::from).collect(),
        parts: Vec::new(),
    })
}

/// The line of a commit that is kept in parts.
pub(super) fn reference_text(serial: u64, revision: Revision, parts: &[String]) -> String {
    let (puts, deletes, events) = Default::default();
    text(&Entry { serial, revision, puts, deletes, events, parts: parts.to_vec() })
}

/// Reads a commit.
pub(super) fn read_entry(text: &str) -> Result<(u64, Change), serde_json::Error> {
    let entry: Entry = serde_json::from_str(text)?;
    let revision = entry.revision;
    let puts =
        entry.puts.into_iter().map(|(kind, name, body)| Record { kind, name, version: revision, body });
    let change = Change {
        revision,
        puts: puts.collect(),
        deletes: entry.deletes,
        events: entry.events.into_iter().map(Event::from).collect(),
    };
    Ok((entry.serial, change))
}

/// The whole body.
pub(super) fn body<'a>(head: &Head, journal: impl Iterator<Item = &'a Line>) -> String {
    let mut body = text(head);
    for line in journal {
        body.push('\n');
        body.push_str(&line.text);
    }
    body
}

/// Why a head cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it was written by a newer Vamp (format {0}, this one knows {FORMAT}): use that one")]
    Newer(u32),
    #[error("{0}")]
    Damaged(#[from] serde_json::Error),
}

/// Reads a whole body.
pub(super) fn read(body: &str) -> Result<(Head, Vec<Line>), Unreadable> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    #[derive(Deserialize)]
    struct Begin {
        serial: u64,
        #[serde(default)]
        parts: Vec<String>,
    }
    let mut lines = body.lines();
    let first = lines.next().unwrap_or_default();
    let Format { format } = serde_json::from_str(first)?;
    if format > FORMAT {
        return Err(Unreadable::Newer(format));
    }
    let head = serde_json::from_str(first)?;
    let line = |text: &str| {
        let Begin { serial, parts } = serde_json::from_str(text)?;
        Ok(Line { serial, text: text.to_owned(), parts })
    };
    let journal = lines.map(line).collect::<Result<_, serde_json::Error>>()?;
    Ok((head, journal))
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data with text keys becomes JSON")
}

/// The body of a chunk of events.
pub(super) fn chunk_text<'a>(events: impl Iterator<Item = &'a Event>) -> String {
    events.map(row_text).collect::<Vec<_>>().join("\n")
}

/// One event as text, a line of a chunk.
pub(super) fn row_text(event: &Event) -> String {
    text(&Row::from(event.clone()))
}

/// Reads a chunk of events.
pub(super) fn read_chunk(body: &str) -> Result<Vec<Event>, serde_json::Error> {
    body.lines().map(|line| serde_json::from_str::<Row>(line).map(Event::from)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(value: Option<Value>) -> Event {
        Event {
            id: "0005".into(),
            version: "1.0".into(),
            tags: ["a".to_owned(), "a:\n b".into()].into(),
            value,
            timestamp: "2026-03-01T10:00:00.123456Z".parse().unwrap(),
            kind: "archive".into(),
            actor: Some("ann".into()),
            revision: Some(3),
        }
    }

    #[test]
    fn a_commit_comes_back_as_it_was() {
        let put = |body| Record { kind: "gateways".into(), name: "a/b\n".into(), version: 7, body };
        for value in
            [None, Some(Value::Null), Some(json!({"z": 1.5, "a": [18_446_744_073_709_551_615_u64, "ü\n"]}))]
        {
            let change = Change {
                revision: 7,
                puts: vec![put(value.clone().unwrap_or_default())],
                deletes: vec![("gateways".into(), "gone".into())],
                events: vec![event(value.clone()), event(None)],
            };
            let text = entry_text(9, &change);
            assert!(!text.contains('\n'), "one line");
            assert_eq!(read_entry(&text).unwrap(), (9, change.clone()));
            let chunk = chunk_text(change.events.iter());
            assert_eq!(read_chunk(&chunk).unwrap(), change.events);
        }
        assert_eq!(read_chunk("").unwrap(), []);
    }

    #[test]
    fn a_head_comes_back_as_it_was() {
        let line = |serial, parts: &[&str]| {
            let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            let text = match parts.as_slice() {
                [] => entry_text(serial, &Change::default()),
                parts => reference_text(serial, 3, parts),
            };
            Line { serial, text, parts }
        };
        let head = Head { serial: 5, revision: 3, last_event: Some("0009".into()), ..Head::default() };
        let head = head.written_by("me", 2);
        let journal = vec![line(4, &[]), line(5, &["commit-me-2-0", "commit-me-2-1"])];
        let body = body(&head, journal.iter());
        assert_eq!(read(&body).unwrap(), (head, journal));
    }

    #[test]
    fn a_newer_or_damaged_head_is_refused() {
        let newer = r#"{"format":2,"other":true}"#;
        assert!(read(newer).unwrap_err().to_string().contains("newer Vamp"));
        for damaged in [
            "",
            "{",
            r#"{"format":1}"#,
            r#"{"format":1,"serial":1,"revision":1,"writers":[]}
oops"#,
        ] {
            assert!(matches!(read(damaged), Err(Unreadable::Damaged(_))), "{damaged}");
        }
    }

    #[test]
    fn writers_are_remembered_in_order_and_bounded() {
        let mut head = Head::default();
        assert_eq!(head.last_writer(), None);
        for count in 1..=20 {
            head = head.written_by(&format!("w{}", count % 10), count);
        }
        assert_eq!(head.writers.len(), WRITERS);
        assert_eq!(head.last_writer(), Some("w0"));
        assert!(head.has("w9", 19) && !head.has("w9", 9), "its last one only");
        head = head.written_by("w9", 21);
        assert_eq!((head.last_writer(), head.writers.len()), (Some("w9"), WRITERS));
    }
}
