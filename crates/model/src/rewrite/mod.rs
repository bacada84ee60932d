//! Path rewrites (spec: gateways 14, R34).
//!
//! ```text
//! /v2%[path] if path_beg /api
//! |- NEW: parts of the new path   |- COND: when it applies
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::condition::Expression;
use crate::syntax::SyntaxError;

mod parse;

/// A path rewrite `NEW if COND`, with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    text: String,
    template: Vec<Part>,
    condition: Expression,
}

/// One part of the new path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text as it stands.
    Literal(String),
    /// `%[path]`.
    Path,
    /// `%[query]`.
    Query,
    /// `%[method]`.
    Method,
    /// `%[req.hdr(NAME)]`.
    Header(String),
    /// `%[url_param(NAME)]`.
    UrlParameter(String),
    /// `%[path,regsub(RE,TEXT)]`: the path with the first match replaced.
    PathReplace {
        /// Regular expression.
        pattern: String,
        /// Replacement; `\1` refers to a group.
        replacement: String,
    },
}

impl Rewrite {
    /// Parses `NEW if COND`, split at the last ` if `.
    ///
    /// # Errors
    /// Where and what.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let (template, condition) = parse::rewrite(text)?;
        Ok(Self { text: text.to_owned(), template, condition })
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parts of the new path.
    pub fn template(&self) -> &[Part] {
        &self.template
    }

    /// When the rewrite applies.
    pub fn condition(&self) -> &Expression {
        &self.condition
    }
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Rewrite {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Rewrite {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(error.describe(&text)))
    }
}

#[cfg(test)]
mod tests;
