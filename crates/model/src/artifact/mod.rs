//! Passive artifacts that a gateway may refer to (stored conditions, rewrites and routes), and bundles of documents.
//!
//! ```text
//! text of one document  --Artifact::read(kind)-------------> Artifact --to_json--> output, and the stored form
//! text of a bundle      --read_many / read_items-----------> [Document]            (POST, PUT)
//!                       --read_identities------------------> [Identity]            (DELETE)
//! ```

mod bundle;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use crate::artifact::bundle::{Identity, Item, read_identities, read_items, read_many};

use crate::condition::Condition;
use crate::fields::{Fields, missing};
use crate::gateway::{
    GatewayDocument, RouteDocument, only, read_condition, read_rewrite, read_route, refuse_import,
};
use crate::lookup;
use crate::name::artifact_name;
use crate::problem::{Problem, Problems};
use crate::rewrite::Rewrite;
use crate::yaml::{self, Node, shorten};

/// Kind of a passive artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// Stored conditions.
    Conditions,
    /// Stored rewrites.
    Rewrites,
    /// Stored routes.
    Routes,
}

/// A passive artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// Name, unique within its kind.
    pub name: String,
    /// Free form, returned untouched. For a route the same as the metadata of the route.
    pub metadata: Map<String, Value>,
    /// What it holds.
    pub body: Body,
}

/// What an [`Artifact`] holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A condition.
    Condition(Condition),
    /// A rewrite.
    Rewrite(Rewrite),
    /// A route.
    Route(RouteDocument),
}

/// A document of a bundle.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// A gateway.
    Gateway(GatewayDocument),
    /// A passive artifact.
    Artifact(Artifact),
}

impl Document {
    /// The kind, plural.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Gateway(_) => "gateways",
            Self::Artifact(artifact) => artifact.kind().as_str(),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Gateway(gateway) => gateway.name.as_str(),
            Self::Artifact(artifact) => &artifact.name,
        }
    }
}

impl ArtifactKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Conditions, Self::Rewrites, Self::Routes];

    /// The kind, plural: `conditions`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conditions => "conditions",
            Self::Rewrites => "rewrites",
            Self::Routes => "routes",
        }
    }

    /// From a word, plural or singular (A13).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text || kind.as_str().strip_suffix('s') == Some(text))
    }
}

impl std::fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Artifact {
    /// Kind of the artifact.
    pub fn kind(&self) -> ArtifactKind {
        match self.body {
            Body::Condition(_) => ArtifactKind::Conditions,
            Body::Rewrite(_) => ArtifactKind::Rewrites,
            Body::Route(_) => ArtifactKind::Routes,
        }
    }

    /// Reads one document sent to the endpoint of `kind`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(kind: ArtifactKind, text: &str) -> Result<Self, Problems> {
        Self::from_node(kind, &yaml::read_one(text)?)
    }

    /// Reads a document from a tree that is already parsed.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_node(kind: ArtifactKind, node: &Node) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        match read(kind, only(node), &mut problems) {
            Some(artifact) => problems.into_result(artifact),
            None => Err(problems),
        }
    }

    /// Reads what [`Artifact::to_json`] wrote: the stored form.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_json(kind: ArtifactKind, value: &Value) -> Result<Self, Problems> {
        Self::from_node(kind, &Node::from_value(value))
    }

    /// The output form (spec: api 12). It may be sent back unchanged.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("name".into(), json!(self.name));
        map.insert("kind".into(), json!(self.kind().as_str()));
        match &self.body {
            Body::Condition(condition) => {
                map.insert("metadata".into(), Value::Object(self.metadata.clone()));
                map.insert("condition".into(), json!(condition.text()));
            }
            Body::Rewrite(rewrite) => {
                map.insert("metadata".into(), Value::Object(self.metadata.clone()));
                map.insert("path".into(), json!(rewrite.text()));
            }
            Body::Route(route) => {
                map.insert("metadata".into(), Value::Object(self.metadata.clone()));
                map.insert("lookup_name".into(), json!(lookup::stored_route(&self.name)));
                map.extend(route.to_json().into_iter().filter(|(key, _)| key != "metadata"));
            }
        }
        Value::Object(map)
    }
}

fn read(kind: ArtifactKind, node: &Node, problems: &mut Problems) -> Option<Artifact> {
    let mut fields = Fields::new(node, "", problems)?;
    let name = read_name(&mut fields, problems);
    refuse_import(&mut fields, problems);
    let (metadata, body) = match kind {
        ArtifactKind::Conditions => {
            let metadata = common(kind, &mut fields, problems);
            let condition = fields.required("condition", problems).and_then(|node| {
                let before = problems.0.len();
                let condition = read_condition(node, "/condition", problems);
                if condition.is_none() && problems.0.len() == before {
                    problems.push(
                        missing("/condition").at(node.position).example("condition: User-Agent == Firefox"),
                    );
                }
                condition
            });
            (metadata, condition.map(Body::Condition))
        }
        ArtifactKind::Rewrites => {
            let metadata = common(kind, &mut fields, problems);
            let rewrite =
                fields.required("path", problems).and_then(|node| read_rewrite(node, "/path", problems));
            (metadata, rewrite.map(Body::Rewrite))
        }
        ArtifactKind::Routes => {
            let route = read_route(&mut fields, None, problems);
            (route.metadata.clone(), Some(Body::Route(route)))
        }
    };
    fields.finish(problems);
    Some(Artifact { name: name?, metadata, body: body? })
}

/// What conditions and rewrites share.
fn common(kind: ArtifactKind, fields: &mut Fields<'_>, problems: &mut Problems) -> Map<String, Value> {
    fields.kind(kind.as_str(), problems);
    fields.ignore(&["lookup_name"]);
    fields.metadata(problems)
}

fn read_name(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<String> {
    let text = fields.required_text("name", problems)?;
    match artifact_name(text) {
        Ok(name) => Some(name),
        Err(message) => {
            let message = format!("Illegal name: '{}', {message}", shorten(text));
            problems.push(Problem::new("illegal-name", "/name", message).at(fields.position_of("name")));
            None
        }
    }
}
