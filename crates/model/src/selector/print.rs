//! Tree to canonical text: lower-case keywords, `&&`, `||` and `!`, parentheses only where they matter.

use std::fmt;
use std::sync::Arc;

use super::{Namespace, Node, Operand};

/// All nodes joined with `&&`.
pub(super) fn canonical(all: &[Arc<Node>]) -> String {
    match all {
        [only] => only.to_string(),
        _ => {
            let parts: Vec<String> = all.iter().map(|node| Inner(node).to_string()).collect();
            parts.join(" && ")
        }
    }
}

/// A node inside another one, in parentheses when it is not a single operand.
struct Inner<'a>(&'a Node);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Node::And(_) | Node::Or(_) => write!(f, "({})", self.0),
            Node::Not(_) | Node::Operand(_) => self.0.fmt(f),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, operator) = match self {
            Self::And(parts) => (parts, " && "),
            Self::Or(parts) => (parts, " || "),
            Self::Not(part) if matches!(**part, Self::Operand(_)) => return write!(f, "!{part}"),
            Self::Not(part) => return write!(f, "!({part})"),
            Self::Operand(operand) => return operand.fmt(f),
        };
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                f.write_str(operator)?;
            }
            match (self, part) {
                (Self::Or(_), Self::And(_)) => part.fmt(f)?,
                _ => Inner(part).fmt(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(Namespace::Own) => f.write_str("namespace($namespace)"),
            Self::Namespace(Namespace::Matching(pattern)) => write!(f, "namespace({})", pattern.text()),
            Self::Name(pattern) => write!(f, "name({})", pattern.text()),
            Self::Kind(pattern) => write!(f, "kind({})", pattern.text()),
            Self::Image(pattern) => write!(f, "image({})", pattern.text()),
            Self::Label { key, value } => write!(f, "label({})({})", key.text(), value.text()),
            Self::Ip(pattern) => write!(f, "ip({})", pattern.text()),
            Self::Port(number) => write!(f, "port({number})"),
            Self::Index(number) => write!(f, "index({number})"),
            Self::Constant(value) => write!(f, "{value}"),
        }
    }
}
