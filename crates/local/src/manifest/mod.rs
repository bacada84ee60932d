//! Kubernetes manifests as text: what the local platform understands of them.
//!
//! ```text
//! text --tree--> Node (scalars keep their text, every node its line) --object--> Object::{Pod, Service, Deployment}
//! ```
//!
//! Reading is tolerant as Kubernetes clients are: unknown kinds and fields are skipped, so that a dump of a whole
//! cluster can be replayed. What is known must have the right shape; else the text is refused with line and path.

mod object;
mod tree;

pub(crate) use object::{Container, Deployment, EnvSource, Object, Probe, ProbeAction, Template, read};
pub(crate) use tree::{Format, Node, parse};

use std::fmt;

/// Why a text is refused, and on which line (0 when not known).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestError {
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

/// All objects of a text, in order. `namespace` is given to those that name none.
pub(crate) fn objects(text: &str, format: Format, namespace: &str) -> Result<Vec<Object>, ManifestError> {
    let mut found = Vec::new();
    for document in parse(text, format)? {
        read(&document, namespace, &mut |object, _| found.extend(object))?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
