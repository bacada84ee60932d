//! Names of gateways and paths of routes (spec: gateways 2).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Name of a gateway: 1 to 4 segments joined by `/`, no white space, `[` or `]`. Valid after construction.
/// Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GatewayName(Arc<str>);

impl GatewayName {
    /// Parses a name; empty segments are dropped (`a//b` equals `a/b`).
    ///
    /// # Errors
    /// A message for the user when the text is not a gateway name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let segments: Vec<&str> = text.split('/').filter(|s| !s.is_empty()).collect();
        let bad = text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '[' || c == ']');
        if bad || segments.is_empty() || segments.len() > 4 {
            return Err(format!("Unsupported gateway name: '{text}'"));
        }
        Ok(Self(segments.join("/").into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, 1 to 4.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// True exactly for names with three segments: the gateway of a cluster port of a deployment.
    pub fn is_internal(&self) -> bool {
        self.segments().count() == 3
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Path of a route inside a gateway: an external address in brackets, or 1 to 4 segments. Clones share the text.
///
/// What it means depends on the gateway (spec: gateways 2): with a gateway selector one segment is a group
/// name such as `(1.0.3)`; with a route selector a free label; otherwise one to three segments name another gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoutePath(Arc<str>);

impl RoutePath {
    /// Parses a path; empty segments are dropped. The address inside brackets is checked (R2) by
    /// [`RoutePath::external`], not here.
    ///
    /// # Errors
    /// A message for the user when the text is not a route path.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('[') && text.ends_with(']') && text.len() > 2 {
            return Ok(Self(text.into()));
        }
        let segments: Vec<&str> = text.split('/').filter(|s| !s.is_empty()).collect();
        let bad = text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '[' || c == ']');
        if bad || segments.is_empty() || segments.len() > 4 {
            return Err(format!("Unsupported route path: '{text}'"));
        }
        Ok(Self(segments.join("/").into()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text between the brackets of an external path.
    pub fn external(&self) -> Option<&str> {
        self.0.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
    }

    /// Number of segments; an external path counts as one.
    pub fn segment_count(&self) -> usize {
        if self.external().is_some() { 1 } else { self.0.split('/').count() }
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the name of a passive artifact: one or more characters, none of white space, `/`, `[` and `]`.
///
/// # Errors
/// A message for the user.
pub fn artifact_name(text: &str) -> Result<String, String> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '[' | ']');
    if text.is_empty() || text.chars().any(bad) {
        return Err("a name has one or more characters, none of white space, '/', '[' and ']'".into());
    }
    Ok(text.to_owned())
}
