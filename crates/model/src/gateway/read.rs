//! Reading gateway documents.

use crate::gateway::GatewayDocument;
use crate::problem::{Problem, Problems};
use crate::yaml::Node;

impl GatewayDocument {
    /// Reads one document, YAML or JSON.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(text: &str) -> Result<Self, Problems> {
        Self::from_node(&crate::yaml::read_one(text)?)
    }

    /// Reads a document from a tree that is already parsed.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_node(node: &Node) -> Result<Self, Problems> {
        let _ = node;
        Err(Problem::new("internal", "", "not yet").into())
    }
}
