//! Several documents in one request (spec: api 6): read as a whole, refused as a whole.

use std::collections::HashSet;

use serde_json::Value;

use crate::artifact::{Artifact, ArtifactKind, Document};
use crate::fields::{missing, wrong_type};
use crate::gateway::GatewayDocument;
use crate::name::{GatewayName, artifact_name};
use crate::problem::{Problem, Problems};
use crate::yaml::{self, Node, shorten};

/// Kinds that the API knows by name but that cannot be stored.
const LATER: [&str; 8] =
    ["breeds", "blueprints", "scales", "slas", "escalations", "templates", "deployments", "workflows"];

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

/// Reads a bundle: several documents, or lists of them, each with `kind` and `name`.
///
/// # Errors
/// Everything that is wrong with any of them, each message prefixed with `kind/name: `.
pub fn read_many(text: &str) -> Result<Vec<Document>, Problems> {
    Ok(read_items(text, None)?.into_iter().map(|item| item.document).collect())
}

/// As [`read_many`], with sources. With `endpoint`, the plural of the kind whose endpoint the text was sent to, `kind` is
/// optional and must agree with it, and a lone document gets its messages without prefix.
///
/// # Errors
/// As [`read_many`], and when there is no document at all.
pub fn read_items(text: &str, endpoint: Option<&str>) -> Result<Vec<Item>, Problems> {
    let nodes = documents(text)?;
    let prefixed = endpoint.is_none() || nodes.len() > 1;
    let mut problems = Problems::default();
    let mut items: Vec<Item> = Vec::with_capacity(nodes.len());
    let mut seen = HashSet::new();
    for node in &nodes {
        let document = kind(node, endpoint).and_then(|kind| match kind {
            Kind::Gateway => GatewayDocument::from_node(node).map(Document::Gateway),
            Kind::Passive(kind) => Artifact::from_node(kind, node).map(Document::Artifact),
        });
        match document {
            Ok(document) => {
                if !seen.insert((document.kind(), document.name().to_owned())) {
                    let message =
                        format!("{}/{}: The same document is given twice", document.kind(), document.name());
                    problems.push(Problem::new("duplicate-document", "", message).at(node.position));
                }
                items.push(Item { document, source: node.to_value() });
            }
            Err(found) if prefixed => problems.append(found.prefixed(&prefix(node, endpoint))),
            Err(found) => problems.append(found),
        }
    }
    problems.into_result(items)
}

/// Reads only kind and name of each document, for DELETE.
///
/// # Errors
/// Documents without kind or name, or of a kind that cannot be stored.
pub fn read_identities(text: &str) -> Result<Vec<Identity>, Problems> {
    let mut problems = Problems::default();
    let mut identities = Vec::new();
    for node in &documents(text)? {
        match identity(node) {
            Ok(identity) => identities.push(identity),
            Err(found) => problems.append(found.prefixed(&prefix(node, None))),
        }
    }
    problems.into_result(identities)
}

fn identity(node: &Node) -> Result<Identity, Problems> {
    let kind = kind(node, None)?;
    let Some(name) = field(node, "name").filter(|name| !name.is_null()) else {
        return Err(missing("/name").at(node.position).into());
    };
    let text = name.text().ok_or_else(|| wrong_type(name, "/name", "a text"))?;
    let (kind, checked) = match kind {
        Kind::Gateway => ("gateways", GatewayName::parse(text).map(|name| name.to_string())),
        Kind::Passive(kind) => (kind.as_str(), artifact_name(text)),
    };
    match checked {
        Ok(name) => Ok(Identity { kind, name }),
        Err(message) => {
            Err(Problem::new("illegal-name", "/name", shorten(&message)).at(name.position).into())
        }
    }
}

/// All documents of a text, lists flattened.
fn documents(text: &str) -> Result<Vec<Node>, Problems> {
    let mut nodes = Vec::new();
    for node in yaml::read_all(text)? {
        flatten(node, &mut nodes);
    }
    if nodes.is_empty() {
        let message = "Unexpected type for path '/': expected at least one document but there is none";
        return Err(Problem::new("not-a-map", "/", message).into());
    }
    Ok(nodes)
}

fn flatten(node: Node, into: &mut Vec<Node>) {
    match node.content {
        yaml::Content::List(elements) => elements.into_iter().for_each(|element| flatten(element, into)),
        _ if node.is_null() => {}
        _ => into.push(node),
    }
}

/// A kind whose documents can be read.
enum Kind {
    Gateway,
    Passive(ArtifactKind),
}

/// The kind of a document, from its field `kind` or else from the endpoint.
fn kind(node: &Node, endpoint: Option<&str>) -> Result<Kind, Problems> {
    if node.map().is_none() {
        return Err(wrong_type(node, "", "a map").into());
    }
    let given = field(node, "kind").filter(|kind| !kind.is_null());
    let word = match (endpoint, given) {
        // Whether `kind` agrees with the endpoint is checked with the rest of the document.
        (Some(endpoint), _) => endpoint,
        (None, Some(kind)) => kind.text().ok_or_else(|| wrong_type(kind, "/kind", "a text"))?,
        (None, None) => return Err(missing("/kind").at(node.position).example("kind: gateways").into()),
    };
    if matches!(word, "gateways" | "gateway") {
        return Ok(Kind::Gateway);
    }
    if let Some(kind) = ArtifactKind::parse(word) {
        return Ok(Kind::Passive(kind));
    }
    let position = given.map_or(node.position, |kind| kind.position);
    let (code, message) = match LATER
        .iter()
        .find(|known| **known == word || known.strip_suffix('s') == Some(word))
    {
        Some(known) => (
            "unsupported-kind",
            format!("Kind '{known}' is not supported yet; gateways, conditions, rewrites and routes are."),
        ),
        None => ("unexpected-kind", format!("Unexpected resource: '{}'.", shorten(word))),
    };
    Err(Problem::new(code, "/kind", message).at(position).into())
}

fn field<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    node.map()?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

/// `kind/name: ` as far as they are known.
fn prefix(node: &Node, endpoint: Option<&str>) -> String {
    let part = |key| field(node, key).and_then(Node::text).filter(|text| !text.is_empty());
    let kind = endpoint.or_else(|| part("kind")).unwrap_or("?");
    let plural = if kind.ends_with('s') || kind == "?" { "" } else { "s" };
    format!("{}{plural}/{}: ", shorten(kind), shorten(part("name").unwrap_or("?")))
}
