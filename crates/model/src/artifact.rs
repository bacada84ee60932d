//! Passive artifacts that a gateway may refer to: stored conditions, rewrites and routes; and bundles of documents.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::condition::Condition;
use crate::gateway::{GatewayDocument, RouteDocument};
use crate::problem::{Problem, Problems};
use crate::rewrite::Rewrite;

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
    /// Free form, returned untouched.
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
    /// A route; its own metadata are those of the artifact.
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

/// Kind and name of a document, as far as a DELETE needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `gateways`, or a passive kind; always plural.
    pub kind: &'static str,
    /// Name.
    pub name: String,
}

/// One document of a bundle with what it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The document.
    pub document: Document,
    /// The same as JSON, for the archive event.
    pub source: Value,
}

impl ArtifactKind {
    /// The kind, plural: `conditions`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conditions => "conditions",
            Self::Rewrites => "rewrites",
            Self::Routes => "routes",
        }
    }

    /// From a word, plural or singular.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "conditions" | "condition" => Some(Self::Conditions),
            "rewrites" | "rewrite" => Some(Self::Rewrites),
            "routes" | "route" => Some(Self::Routes),
            _ => None,
        }
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
        let _ = (kind, text);
        Err(Problem::new("internal", "", "not yet").into())
    }

    /// Reads what [`Artifact::to_json`] wrote (also the stored form).
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_json(kind: ArtifactKind, value: &Value) -> Result<Self, Problems> {
        Self::read(kind, &value.to_string())
    }

    /// The output form (spec: api 12).
    pub fn to_json(&self) -> Value {
        Value::Null
    }
}

/// Reads a bundle: several documents, each with `kind` and `name`.
///
/// # Errors
/// Everything that is wrong with any of them, each message prefixed with `kind/name: `.
pub fn read_many(text: &str) -> Result<Vec<Document>, Problems> {
    Ok(read_items(text, None)?.into_iter().map(|item| item.document).collect())
}

/// As [`read_many`], with sources. With `endpoint`, the kind whose endpoint the text was sent to, `kind` is optional and
/// must agree with it.
///
/// # Errors
/// As [`read_many`].
pub fn read_items(text: &str, endpoint: Option<&str>) -> Result<Vec<Item>, Problems> {
    let _ = (text, endpoint);
    Err(Problem::new("internal", "", "not yet").into())
}

/// Reads only kind and name of each document, for DELETE.
///
/// # Errors
/// Documents without kind or name.
pub fn read_identities(text: &str) -> Result<Vec<Identity>, Problems> {
    let _ = text;
    Err(Problem::new("internal", "", "not yet").into())
}
