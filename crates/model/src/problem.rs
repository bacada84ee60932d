//! What is wrong with a document: collected, not stopped at the first.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// A place in a text: line and column count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One thing that is wrong with a document, where, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable class of the problem, for example `missing-value` or `unexpected-element`.
    pub code: &'static str,
    /// What is wrong, for a person.
    pub message: String,
    /// Path in the document, for example `/routes/(1.0.3)/weight`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Position in the text, when the document came as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// One corrected example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

impl Problem {
    /// A problem without position and example; see [`Problem::at`] and [`Problem::example`].
    pub fn new(code: &'static str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), path: path.into(), position: None, example: None }
    }

    /// The same problem at a position in the text.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// The same problem with a corrected example.
    #[must_use]
    pub fn example(mut self, example: impl Into<String>) -> Self {
        self.example = Some(example.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Problem {
    /// What the message about unknown keys starts with; a JSON object of them follows.
    pub(crate) const UNEXPECTED: &'static str = "Unexpected in DSL: ";

    /// A name in a path that is not the name in the body.
    pub fn inconsistent_name(given: &str, found: &str) -> Self {
        let message = format!("Inconsistent name: given '{given}' but found '{found}'.");
        Self::new("inconsistent-name", "/name", message).example(format!("name: {given}"))
    }

    /// A reference to something that is not stored.
    pub fn not_found(path: impl Into<String>, name: &str) -> Self {
        Self::new("artifact-not-found", path, format!("Artifact cannot be found: '{name}'."))
    }
}

/// All problems of one document. Never empty when it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

/// Problems that are kept; a document with more is no mistake of a person.
const MAX_PROBLEMS: usize = 100;
/// Problems that the message spells out.
const MAX_SPELLED: usize = 10;

impl Problems {
    /// Adds one more, up to a bound.
    pub fn push(&mut self, problem: Problem) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(problem);
        }
    }

    /// Adds all of `other`, up to the same bound.
    pub fn append(&mut self, other: Problems) {
        other.0.into_iter().for_each(|problem| self.push(problem));
    }

    /// True when nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Ok(value)` when nothing is wrong, else the problems.
    ///
    /// # Errors
    /// The problems themselves, when there are any.
    pub fn into_result<T>(self, value: T) -> Result<T, Problems> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The same problems, each message behind `prefix`.
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        for problem in &mut self.0 {
            problem.message.insert_str(0, prefix);
        }
        self
    }

    /// The message of an API error (spec: api 5).
    ///
    /// One problem gives exactly its own message; several become sentences. Unknown keys give `Unexpected in DSL: ` and one
    /// JSON object with nothing after it, because clients parse the rest of such a message as JSON; what else is wrong is
    /// then only in the list of problems.
    pub fn message(&self) -> String {
        if let [problem] = self.0.as_slice() {
            return problem.message.clone();
        }
        self.unexpected().unwrap_or_else(|| self.sentences())
    }

    /// One message for all unknown keys, if there are any.
    fn unexpected(&self) -> Option<String> {
        let mut all = Map::new();
        for problem in &self.0 {
            let Some(json) = problem.message.strip_prefix(Problem::UNEXPECTED) else { continue };
            let Ok(Value::Object(keys)) = serde_json::from_str(json) else { continue };
            let parent = problem.path.rsplit_once('/').map_or("", |(parent, _)| parent);
            for (key, value) in keys {
                let name = if all.contains_key(&key) { format!("{parent}/{key}") } else { key };
                all.insert(name, value);
            }
        }
        (!all.is_empty()).then(|| format!("{}{}", Problem::UNEXPECTED, Value::Object(all)))
    }

    fn sentences(&self) -> String {
        let shown = self.0.iter().take(MAX_SPELLED);
        let mut text =
            shown.map(|problem| problem.message.trim_end_matches('.')).collect::<Vec<_>>().join(". ");
        if let Some(more) = self.0.len().checked_sub(MAX_SPELLED).filter(|more| *more > 0) {
            text.push_str(&format!(". And {more} more"));
        }
        text
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(messages: &[&str], expected: &str) {
        let problems = messages.iter().map(|message| Problem::new("x", "/routes/a/k", *message)).collect();
        assert_eq!(Problems(problems).message(), expected);
    }

    #[test]
    fn messages() {
        check(&["One is wrong."], "One is wrong.");
        check(&["One", "Two."], "One. Two");
        check(&["Total weight: front.", "Two"], "Total weight: front. Two");
        check(&["Unexpected in DSL: {\"a\":1}"], "Unexpected in DSL: {\"a\":1}");
        check(&["One", "Unexpected in DSL: {\"a\":1}"], "Unexpected in DSL: {\"a\":1}");
        check(
            &["Unexpected in DSL: {\"a\":1,\"b\":{}}", "Unexpected in DSL: {\"a\":2}"],
            "Unexpected in DSL: {\"a\":1,\"b\":{},\"/routes/a/a\":2}",
        );
        check(&["x"; 12], &format!("{}. And 2 more", ["x"; 10].join(". ")));
        assert_eq!(Problems::default().message(), "");
    }

    #[test]
    fn bounded() {
        let mut problems = Problems::default();
        (0..1_000).for_each(|_| problems.push(Problem::new("x", "", "x")));
        assert_eq!(problems.0.len(), 100);
    }
}
