//! Raw matchers: the supported subset of HAProxy's ACL language (spec: gateways 10.4, R27).

use ipnet::IpNet;

use crate::syntax::{SyntaxError, check_length, pattern};

mod parse;
mod print;

/// One raw matcher. Prints as text that [`Matcher::parse`] reads back to the same value.
///
/// Example: `hdr_sub(user-agent) -i Android`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// What is looked at.
    pub fetch: Fetch,
    /// How it is compared.
    pub comparison: Comparison,
    /// `-i`: ignore ASCII case.
    pub ignore_case: bool,
}

/// What a matcher looks at. A fetch may yield several samples; the matcher holds when one of them does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetch {
    /// `hdr(n)`: each comma-separated value; `whole`: `req.fhdr(n)`, each line.
    Header {
        /// Header name.
        name: String,
        /// True for whole lines.
        whole: bool,
    },
    /// `hdr_cnt(n)`: number of values, or lines when `whole`.
    HeaderCount {
        /// Header name.
        name: String,
        /// True for whole lines.
        whole: bool,
    },
    /// `hdr_val(n)`: the numeric value.
    HeaderNumber(String),
    /// `cook(n)`.
    Cookie(String),
    /// `cook_cnt(n)`: number of non-empty values.
    CookieCount(String),
    /// Path without query.
    Path,
    /// Path and query.
    Url,
    /// Query string without `?`.
    Query,
    /// `url_param(n)`: raw, not decoded.
    UrlParameter(String),
    /// Request method.
    Method,
    /// Client address.
    Source,
    /// Gateway port.
    DestinationPort,
    /// True on TLS.
    Tls,
    /// `always_true`, `always_false`.
    Always(bool),
}

/// How the samples of a fetch are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// Equal to one of the texts.
    Equal(Vec<String>),
    /// Begins with one of them.
    Prefix(Vec<String>),
    /// Ends with one of them.
    Suffix(Vec<String>),
    /// Contains one of them.
    Substring(Vec<String>),
    /// Contains one of them as whole path segments.
    PathSegments(Vec<String>),
    /// Contains one of them as whole dot-separated labels.
    DomainLabels(Vec<String>),
    /// Some part of it matches one of the regular expressions (unanchored).
    Regex(Vec<String>),
    /// Its length in bytes satisfies one of the tests.
    Length(Vec<NumberTest>),
    /// The number satisfies one of the tests.
    Number(Vec<NumberTest>),
    /// The address lies in one of the networks.
    Network(Vec<IpNet>),
    /// The fetch yields something (`-m found`), or is true for boolean fetches.
    Found,
}

/// One test of an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberTest {
    /// The relation.
    pub relation: Relation,
    /// The right-hand side.
    pub value: i64,
}

/// A relation of integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `eq`, or a bare number.
    Equal,
    /// `gt`.
    Greater,
    /// `ge`.
    GreaterOrEqual,
    /// `lt`.
    Less,
    /// `le`.
    LessOrEqual,
}

impl Matcher {
    /// Parses one raw matcher, without the angle brackets around it.
    ///
    /// # Errors
    /// Where and which part is not supported.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        check_length(text, "raw matcher")?;
        parse::matcher(text)
    }
}

/// Compiles a regular expression of [`Comparison::Regex`], or of a rewrite, with the limits under which it was checked when
/// it was parsed: an unanchored search over bytes in linear time, with ASCII classes.
///
/// # Errors
/// For an expression that did not come from a parsed matcher or rewrite: where and what.
pub fn compile_regex(pattern: &str, ignore_case: bool) -> Result<regex::bytes::Regex, SyntaxError> {
    pattern::bytes(pattern, ignore_case)
}

#[cfg(test)]
pub(crate) mod tests;
