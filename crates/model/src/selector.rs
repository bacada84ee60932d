//! The selector language (spec: gateways 8, 9): which instances belong to a gateway, and how they are grouped.
//!
//! ```text
//! label(app)(sava-product) && label(version)((.*))
//!   |- text -> Selector (AST with compiled patterns) -> candidates(instance) -> captures -> route name "(1.0.3)"
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use crate::instance::Instance;
use crate::name::RoutePath;

/// A parsed selector. Keeps the text it was written in; two selectors are equal when their texts are.
#[derive(Debug, Clone)]
pub struct Selector {
    text: String,
    // The helper that writes the parser adds the AST here.
}

/// Why a selector text is refused: byte offset into the text, and a message that names the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte offset into the text.
    pub offset: usize,
    /// What is wrong, lower case, no final dot.
    pub message: String,
}

/// One (container, port) of an instance that a selector found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it listens; `None` while the instance has no address.
    pub address: Option<SocketAddr>,
    /// Container it belongs to.
    pub container: String,
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
    /// Parses a selector.
    ///
    /// # Errors
    /// The first syntax error, or an invalid pattern.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let _ = text;
        Err(SyntaxError { offset: 0, message: "not yet".into() })
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// This selector and-ed behind `filter` (the configured gateway filter, section 8.2).
    #[must_use]
    pub fn within(&self, filter: &Selector) -> Selector {
        let _ = filter;
        self.clone()
    }

    /// All candidates of one instance that the selector matches, in container and port order.
    /// `namespace` is the environment's own, for `$namespace`.
    pub fn candidates(&self, instance: &Instance, namespace: &str) -> Vec<Candidate> {
        let _ = (instance, namespace);
        Vec::new()
    }
}

/// The group of a set of captures (section 9.1).
pub fn group(captures: &BTreeSet<String>) -> Group {
    let _ = captures;
    Group { path: RoutePath::parse("()").expect("a constant route path"), title: "()".into() }
}

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
