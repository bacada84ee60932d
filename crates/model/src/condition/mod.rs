//! The condition language (spec: gateways 10): which requests a route takes before weights are looked at.
//!
//! ```text
//! user-agent == Safari and not < path_beg /admin >
//!   |- text -> Expression (and, or, not over tests) -> evaluated per request by crate `routing`
//! ```
//!
//! [`parse`]: text to tree, with positions. [`print`]: tree to canonical text.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::matcher::Matcher;
use crate::syntax::SyntaxError;

mod parse;
mod print;

pub(crate) use parse::expression;

/// A parsed condition with the text it was written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    text: String,
    expression: Expression,
}

/// The tree of a condition. At most [`crate::syntax::DEPTH_LIMIT`] levels deep, so walking it may recurse.
///
/// Prints as text that [`Condition::parse`] reads back to the same tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Every part holds. At least two parts.
    And(Vec<Expression>),
    /// Some part holds. At least two parts.
    Or(Vec<Expression>),
    /// The part does not hold.
    Not(Box<Expression>),
    /// A single test; `negated` when written with `!=`, `not` or `misses`.
    Test {
        /// What is tested.
        operand: Operand,
        /// True when the test is written in a negative form.
        negated: bool,
    },
}

/// One test of a request (section 10.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// `host == v`.
    Host(String),
    /// `user-agent == v`.
    UserAgent(String),
    /// `has header n`.
    HasHeader(String),
    /// `has cookie n`.
    HasCookie(String),
    /// `header n has v`.
    HeaderContains {
        /// Header name.
        name: String,
        /// Substring, case-sensitive.
        value: String,
    },
    /// `cookie n has v`.
    CookieContains {
        /// Cookie name.
        name: String,
        /// Substring, case-sensitive.
        value: String,
    },
    /// `< raw >`.
    Raw(Matcher),
}

impl Condition {
    /// Parses a condition, or a whole text that is one raw matcher (R27). At most 4 KiB.
    ///
    /// # Errors
    /// Where and what, with the supported forms.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        Ok(Self { text: text.to_owned(), expression: expression(text)? })
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tree.
    pub fn expression(&self) -> &Expression {
        &self.expression
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Condition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(error.describe(&text)))
    }
}

#[cfg(test)]
mod tests;
