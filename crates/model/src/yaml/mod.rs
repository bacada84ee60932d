//! YAML and JSON text as a tree with positions.
//!
//! Every body that a client sends goes through here, whatever its content type says: JSON is read strictly by
//! [`json`](mod@json) when the text is JSON, anything else is YAML. Both give the same [`Node`] tree.
//!
//! ```text
//! text --limits--> JSON? --yes--> json::read --+
//!                    | no                      +--> Node { position, content } --typed readers--> documents
//!                    +--> load::read (events) --+                               --to_value------> metadata
//! ```
//!
//! YAML's traps are defused: every scalar keeps its text, so a field that is text by its meaning keeps `1.0`, `NO` and
//! `0123`. Where nothing says what a value is (metadata), only `true` and `false` are booleans and numbers with leading
//! zeros stay text. Duplicate keys are refused (spec: gateways R4), and so are language tags.

mod json;
mod load;
mod map;
mod scalar;
mod write;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use crate::yaml::write::to_string;

use crate::problem::{Position, Problem, Problems};

/// Longest text that is read. Documents are written by people: the largest seen in practice are some ten KiB.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting. Readers are recursive, so this also bounds their stack.
pub const MAX_DEPTH: usize = 64;
/// Most values in all documents of a text, aliases expanded.
pub const MAX_NODES: usize = 100_000;
/// Most bytes of text in all values, aliases expanded: an alias costs what it stands for.
pub const MAX_EXPANDED_BYTES: usize = 4 * MAX_BYTES;

/// A value with its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub position: Position,
    /// What it is.
    pub content: Content,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A single value: its text as written, and what it means where no type is asked for.
    Scalar {
        /// The text, quotes and escapes undone.
        text: String,
        /// What it means untyped: null, a boolean, a number or text.
        value: Value,
        /// Columns from the position to the first character of the text (1 after a quote), when the text stands in the
        /// document in one piece.
        inset: Option<usize>,
    },
    /// A list.
    List(Vec<Node>),
    /// A map in the order written, keys unique.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key as text.
    pub key: String,
    /// Where the key starts.
    pub position: Position,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A tree from a JSON value that is already in memory; every position is the start.
    pub fn from_value(value: &Value) -> Self {
        let position = Position { line: 1, column: 1 };
        let scalar = |text: String| Content::Scalar { text, value: value.clone(), inset: None };
        let content = match value {
            Value::Array(elements) => Content::List(elements.iter().map(Self::from_value).collect()),
            Value::Object(map) => Content::Map(
                map.iter()
                    .map(|(key, value)| Entry { key: key.clone(), position, value: Self::from_value(value) })
                    .collect(),
            ),
            Value::String(text) => scalar(text.clone()),
            other => scalar(other.to_string()),
        };
        Self { position, content }
    }

    /// True for an absent or null value: `null` counts as absent everywhere.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { value: Value::Null, .. })
    }

    /// The text of a scalar that is not null.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, value, .. } if !value.is_null() => Some(text),
            _ => None,
        }
    }

    /// The elements of a list.
    pub fn list(&self) -> Option<&[Node]> {
        match &self.content {
            Content::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The entries of a map.
    pub fn map(&self) -> Option<&[Entry]> {
        match &self.content {
            Content::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Where the character at byte `offset` of the scalar's text stands, or the start of the value when that cannot be told.
    pub fn position_in_text(&self, offset: usize) -> Position {
        match &self.content {
            Content::Scalar { text, inset: Some(inset), .. } => {
                let characters = text.char_indices().take_while(|(at, _)| *at < offset).count();
                Position { line: self.position.line, column: self.position.column + inset + characters }
            }
            _ => self.position,
        }
    }

    /// The untyped meaning as JSON.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar { value, .. } => value.clone(),
            Content::List(elements) => elements.iter().map(Node::to_value).collect(),
            Content::Map(_) => Value::Object(self.to_map().unwrap_or_default()),
        }
    }

    /// The untyped meaning of a map as JSON.
    pub fn to_map(&self) -> Option<Map<String, Value>> {
        Some(self.map()?.iter().map(|entry| (entry.key.clone(), entry.value.to_value())).collect())
    }

    /// What it is, for messages: `a map`, `a list`, `nothing` or the quoted text, shortened.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Map(_) => "a map".into(),
            Content::List(_) => "a list".into(),
            Content::Scalar { value: Value::Null, .. } => "nothing".into(),
            Content::Scalar { text, .. } => format!("'{}'", shorten(text)),
        }
    }
}

/// A text for a message: at most 200 characters of it.
pub(crate) fn shorten(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

/// All documents of a text; empty ones are dropped.
///
/// # Errors
/// Syntax errors, duplicate keys, foreign tags, and texts beyond the limits.
pub fn read_all(text: &str) -> Result<Vec<Node>, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_characters(text)?;
    match json::read(text) {
        json::Outcome::Read(node) => Ok(vec![node]),
        json::Outcome::Refused(problems) => Err(problems),
        json::Outcome::NotJson => load::read(text),
    }
}

/// The only document of a text.
///
/// # Errors
/// As [`read_all`], and when there is not exactly one document.
pub fn read_one(text: &str) -> Result<Node, Problems> {
    let mut all = read_all(text)?;
    match (all.pop(), all.first()) {
        (Some(node), None) => Ok(node),
        (None, _) => Err(Problem::new(
            "not-a-map",
            "/",
            "Unexpected type for path '/': expected a map but the document is empty",
        )
        .at(Position { line: 1, column: 1 })
        .into()),
        (Some(second), Some(_)) => {
            let message = format!("Expected exactly one document but found {}", all.len() + 1);
            Err(Problem::new("invalid-yaml", "/", message).at(second.position).into())
        }
    }
}

/// Texts that are too long, and control characters, which neither YAML nor JSON allow, before any parser sees them.
fn check_characters(text: &str) -> Result<(), Problems> {
    if text.len() > MAX_BYTES {
        let message =
            format!("Error: the text has {} bytes, more than the {MAX_BYTES} that are read", text.len());
        return Err(Problem::new("invalid-yaml", "", message).into());
    }
    let control = |b: u8| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r');
    let Some(at) = text.bytes().position(control) else { return Ok(()) };
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let position =
        Position { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 };
    Err(syntax(&format!("control character U+{:04X} is not allowed", text.as_bytes()[at]), position))
}

/// A parser's refusal as clients know it: `Error: <message>`, with the place.
fn syntax(message: &str, position: Position) -> Problems {
    let Position { line, column } = position;
    Problem::new("invalid-yaml", "", format!("Error: {message} at line {line}, column {column}"))
        .at(position)
        .into()
}

/// What the documents of one text may still cost.
struct Budget {
    nodes: usize,
    bytes: usize,
}

/// What a tree costs: values and bytes of text.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    bytes: usize,
}

impl Budget {
    fn new() -> Self {
        Self { nodes: MAX_NODES, bytes: MAX_EXPANDED_BYTES }
    }

    /// Takes `cost` off, or says which limit is passed.
    fn spend(&mut self, cost: Cost) -> Result<(), String> {
        self.nodes = self
            .nodes
            .checked_sub(cost.nodes)
            .ok_or_else(|| format!("more than {MAX_NODES} values, aliases included"))?;
        self.bytes = self
            .bytes
            .checked_sub(cost.bytes)
            .ok_or_else(|| format!("more than {MAX_EXPANDED_BYTES} bytes of text, aliases included"))?;
        Ok(())
    }
}
