//! YAML and JSON text as a tree with positions.

use serde_json::Value;

use crate::problem::{Position, Problem, Problems};

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

/// All documents of a text; empty ones are dropped.
///
/// # Errors
/// Syntax errors, duplicate keys, foreign tags, and texts beyond the limits.
pub fn read_all(text: &str) -> Result<Vec<Node>, Problems> {
    let _ = text;
    Err(Problem::new("invalid-yaml", "", "Error: not yet").into())
}

/// The only document of a text.
///
/// # Errors
/// As [`read_all`], and when there is not exactly one document.
pub fn read_one(text: &str) -> Result<Node, Problems> {
    let mut all = read_all(text)?;
    match (all.pop(), all.is_empty()) {
        (Some(node), true) => Ok(node),
        _ => Err(Problem::new("invalid-yaml", "", "expected exactly one document").into()),
    }
}

/// Block style YAML of a JSON value, keys in its order.
pub fn to_string(value: &Value) -> String {
    value.to_string()
}
