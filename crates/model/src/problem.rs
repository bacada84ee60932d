//! What is wrong with a document: collected, not stopped at the first.

use std::fmt;

use serde::Serialize;

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

/// All problems of one document. Never empty when it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Adds one more.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// `Ok(value)` when nothing is wrong, else the problems.
    ///
    /// # Errors
    /// The problems themselves, when there are any.
    pub fn into_result<T>(self, value: T) -> Result<T, Problems> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(". ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Problems {
    /// The message of an API error (spec: api 5). One problem gives exactly its own message; several become sentences. A
    /// document with unknown keys gives `Unexpected in DSL: ` and one JSON object, and nothing after it: clients parse the
    /// rest of such a message as JSON.
    pub fn message(&self) -> String {
        self.to_string()
    }
}
