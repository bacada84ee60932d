//! Reading maps of a document: fields are taken one by one, and what is left over at the end is refused.

use serde_json::{Map, Value};

use crate::problem::{Position, Problem, Problems};
use crate::syntax::closest;
use crate::yaml::{Entry, Node, shorten};

/// A map that is being read.
pub(crate) struct Fields<'a> {
    node: &'a Node,
    entries: &'a [Entry],
    taken: Vec<bool>,
    known: Vec<&'static str>,
    path: String,
}

impl<'a> Fields<'a> {
    /// The fields of a map at `path`; anything else is a problem.
    pub(crate) fn new(node: &'a Node, path: &str, problems: &mut Problems) -> Option<Self> {
        Self::expecting("a map", node, path, problems)
    }

    /// As [`Fields::new`], with words for what may also stand there.
    pub(crate) fn expecting(
        expected: &str,
        node: &'a Node,
        path: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        match node.map() {
            Some(entries) => Some(Self {
                node,
                entries,
                taken: vec![false; entries.len()],
                known: Vec::new(),
                path: path.to_owned(),
            }),
            None => {
                problems.push(wrong_type(node, path, expected));
                None
            }
        }
    }

    /// The map itself.
    pub(crate) fn node(&self) -> &'a Node {
        self.node
    }

    /// Path of the map.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Path of one of its fields.
    pub(crate) fn path_of(&self, key: &str) -> String {
        format!("{}/{key}", self.path)
    }

    /// Where the value of a field stands; the start of the map when it is not there.
    pub(crate) fn position_of(&self, key: &str) -> Position {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map_or(self.node.position, |entry| entry.value.position)
    }

    /// A field that is there and not null.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        self.taken[at] = true;
        let value = &self.entries[at].value;
        (!value.is_null()).then_some(value)
    }

    /// A field that must be there.
    pub(crate) fn required(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a Node> {
        let node = self.take(key);
        if node.is_none() {
            problems.push(missing(&self.path_of(key)).at(self.node.position));
        }
        node
    }

    /// The text of a scalar field that is there and not null.
    pub(crate) fn take_text(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a str> {
        let node = self.take(key)?;
        text(node, &self.path_of(key), problems)
    }

    /// The text of a scalar field that must be there.
    pub(crate) fn required_text(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a str> {
        let node = self.required(key, problems)?;
        text(node, &self.path_of(key), problems)
    }

    /// The free form `metadata`.
    pub(crate) fn metadata(&mut self, problems: &mut Problems) -> Map<String, Value> {
        let Some(node) = self.take("metadata") else { return Map::new() };
        node.to_map().unwrap_or_else(|| {
            let message = format!("Unsupported metadata: expected a map but found {}", node.describe());
            problems.push(
                Problem::new("unsupported-metadata", self.path_of("metadata"), message)
                    .at(node.position)
                    .example("metadata: {owner: team-a}"),
            );
            Map::new()
        })
    }

    /// Checks `kind`, when it is there: the plural or the singular of `expected` (A13).
    pub(crate) fn kind(&mut self, expected: &str, problems: &mut Problems) {
        let Some(node) = self.take("kind") else { return };
        let Some(kind) = text(node, &self.path_of("kind"), problems) else { return };
        if kind != expected && expected.strip_suffix('s') != Some(kind) {
            let message = format!("Inconsistent kind: given '{expected}' but found '{}'.", shorten(kind));
            problems.push(
                Problem::new("inconsistent-kind", self.path_of("kind"), message)
                    .at(node.position)
                    .example(format!("kind: {expected}")),
            );
        }
    }

    /// Accepts fields without looking at them.
    pub(crate) fn ignore(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.take(key);
        }
    }

    /// True when a field other than those taken so far is there and not null.
    pub(crate) fn has_more(&self) -> bool {
        self.entries.iter().zip(&self.taken).any(|(entry, taken)| !taken && !entry.value.is_null())
    }

    /// Refuses what is left over: one problem for the whole map.
    pub(crate) fn finish(self, problems: &mut Problems) {
        let mut left =
            self.entries.iter().zip(&self.taken).filter(|(_, taken)| !**taken).map(|(entry, _)| entry);
        let Some(first) = left.next() else { return };
        let object: Map<String, Value> = std::iter::once(first)
            .chain(left)
            .take(MAX_SHOWN_KEYS)
            .map(|entry| (shorten(&entry.key).into_owned(), shown(&entry.value)))
            .collect();
        let message = format!("{}{}", Problem::UNEXPECTED, Value::Object(object));
        let problem = Problem::new("unexpected-element", self.path_of(&shorten(&first.key)), message)
            .at(first.position);
        problems.push(match closest(&first.key, &self.known) {
            Some(key) => problem.example(format!("{key}: {}", shorten(&shown(&first.value).to_string()))),
            None => problem,
        });
    }
}

/// Unknown keys of one map that a message shows.
const MAX_SHOWN_KEYS: usize = 20;

/// The value of an unknown key as a message shows it: whole, unless it is long.
fn shown(node: &Node) -> Value {
    let value = node.to_value();
    if value.to_string().len() <= 1_000 { value } else { Value::from("...") }
}

/// A required value that is not there.
pub(crate) fn missing(path: &str) -> Problem {
    Problem::new("missing-value", path, format!("Can't find any value for path: {path}"))
}

/// A value of the wrong type or form.
pub(crate) fn wrong_type(node: &Node, path: &str, expected: &str) -> Problem {
    let (code, name) = match path.rsplit_once('/') {
        None | Some(("", "")) => ("not-a-map", "/"),
        Some((_, name)) => ("wrong-type", name),
    };
    let place = if path.matches('/').count() > 1 { format!(" ({path})") } else { String::new() };
    let message = format!(
        "Unexpected type for path '{name}': expected {expected} but found {}{place}",
        node.describe()
    );
    Problem::new(code, path, message).at(node.position)
}

/// The text of a scalar; anything else is a problem.
pub(crate) fn text<'a>(node: &'a Node, path: &str, problems: &mut Problems) -> Option<&'a str> {
    let text = node.text();
    if text.is_none() {
        problems.push(wrong_type(node, path, "a text"));
    }
    text
}
