//! The selector language (spec: gateways 8, 9): which instances belong to a gateway, and how they are grouped.
//!
//! ```text
//! label(app)(sava-product) && label(version)((.*))
//!   |- text -> Selector (tree with compiled patterns) -> candidates(instance) -> captures -> route name "(1.0.3)"
//! ```
//!
//! - [`parse`]: text to tree, with positions. [`print`]: tree to canonical text.
//! - [`evaluate`]: the candidates of an instance. [`group`]: captures to the name of a route, and the order of routes.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::RoutePath;
pub use crate::syntax::SyntaxError;
use crate::syntax::pattern::Pattern;

mod evaluate;
mod group;
mod parse;
mod print;

pub use group::{group, natural_order};

/// A parsed selector. Keeps the text it was written in; two selectors are equal when their texts are.
///
/// Clones share the tree.
#[derive(Debug, Clone)]
pub struct Selector {
    text: String,
    /// All of these hold: the filters that were put in front, then what the text says.
    all: Vec<Arc<Node>>,
    /// True when the text itself asks for services (R18).
    services: bool,
}

/// The tree of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    /// In every part; at least two.
    And(Vec<Node>),
    /// In some part; at least two.
    Or(Vec<Node>),
    /// In none of it.
    Not(Box<Node>),
    /// One test.
    Operand(Operand),
}

/// One test of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Namespace(Namespace),
    Name(Pattern),
    Kind(Pattern),
    Image(Pattern),
    Label { key: Pattern, value: Pattern },
    Ip(Pattern),
    Port(u32),
    Index(u32),
    Constant(bool),
}

/// What `namespace(...)` compares with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Namespace {
    /// `$namespace`: the environment's own, literally.
    Own,
    /// Any other pattern.
    Matching(Pattern),
}

/// One (container, port) of an instance that a selector found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it listens; `None` while the instance has no address.
    pub address: Option<SocketAddr>,
    /// Pod or service that it belongs to. Several candidates of one pod in one group deserve a warning (R20).
    pub instance: String,
    /// Container it belongs to.
    pub container: String,
    /// Port number.
    pub port: u16,
    /// The texts that the selector captured from it.
    pub captures: BTreeSet<String>,
    /// Kubernetes `appProtocol` or port name hint, when declared.
    pub app_protocol: Option<String>,
}

/// The name of the group that some captures make, and the readable title.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Route path, for example `(1.0.5),(IE)`; a digest when the readable name is no route path.
    pub path: RoutePath,
    /// Readable name, also `metadata.groups` and `metadata.title`.
    pub title: String,
}

impl Selector {
    /// Parses a selector of at most [`crate::syntax::TEXT_LIMIT`] bytes.
    ///
    /// # Errors
    /// The first syntax error, or an invalid pattern.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let root = parse::selector(text)?;
        let services = root.asks_for_services();
        Ok(Self { text: text.to_owned(), all: vec![Arc::new(root)], services })
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same selector in the one spelling that [`Selector::parse`] reads back to the same tree.
    pub fn canonical(&self) -> String {
        print::canonical(&self.all)
    }

    /// This selector and-ed behind `filter` (the configured gateway filter, section 8.2).
    ///
    /// Whether services are candidates is decided by this selector alone, never by the filter (R18).
    #[must_use]
    pub fn within(&self, filter: &Selector) -> Selector {
        if filter.is_everything() {
            return self.clone();
        }
        Self {
            text: format!("({}) && ({})", filter.text, self.text),
            all: filter.all.iter().chain(&self.all).cloned().collect(),
            services: self.services,
        }
    }

    /// Labels, key and value, that every instance with a candidate carries, as far as they can be read off the text. Who keeps
    /// instances by their labels needs to look at no others.
    pub fn required_labels(&self) -> Vec<(&str, &str)> {
        let mut labels = Vec::new();
        for node in &self.all {
            node.required_labels(&mut labels);
        }
        labels
    }

    /// True for the selector `true`, which filters nothing.
    fn is_everything(&self) -> bool {
        self.all.iter().all(|node| **node == Node::Operand(Operand::Constant(true)))
    }
}

/// Equal texts, and filters of equal texts, mean equal selectors.
impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Selector {}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(error.describe(&text)))
    }
}

#[cfg(test)]
mod tests;
