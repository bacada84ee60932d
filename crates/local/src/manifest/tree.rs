//! YAML or JSON text as a tree of nodes that know their line.
//!
//! Scalars stay text: `version: 1.10` is the label `1.10`, never the number 1.1. Big subtrees that nothing here
//! reads (managed fields, volumes, container statuses) are skipped while parsing, which is most of a real dump.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::Deserializer;
use serde::de::{Deserialize, MapAccess, SeqAccess, Visitor};

use super::ManifestError;

/// Deeper nesting than this is refused. Kubernetes objects stay well below.
const MAX_DEPTH: usize = 64;
/// Nodes that aliases may add to one file: a short text must not become a huge tree.
const MAX_ALIASED: usize = 500_000;

/// Fields whose contents are never read. Only skipped when they hold a mapping or a sequence.
const SKIPPED: [&str; 9] = [
    "annotations",
    "managedFields",
    "ownerReferences",
    "volumes",
    "volumeMounts",
    "tolerations",
    "containerStatuses",
    "initContainers",
    "affinity",
];

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The file says so by its name.
    Json,
    /// YAML; a text that starts with a brace is tried as JSON first, which is many times faster.
    Yaml,
}

/// A value and the line it starts on (0 in JSON).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// The content of a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    /// Text as written. `plain` when without quotes, so that a writer can keep `8080` and `"8080"` apart.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

impl Node {
    /// The value of a field, unless it is absent or null.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(fields) => fields
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, node)| node)
                .filter(|node| node.value != Value::Null),
            _ => None,
        }
    }

    /// The same as JSON, for storage. Unquoted integers and booleans stay what they are; everything else is a string,
    /// so that no number changes its digits.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Scalar { text, plain: true } => match text.as_str() {
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                _ => text
                    .parse::<i64>()
                    .ok()
                    .filter(|number| number.to_string() == *text)
                    .map_or_else(|| Json::String(text.clone()), Json::from),
            },
            Value::Scalar { text, plain: false } => Json::String(text.clone()),
            Value::Sequence(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Mapping(fields) => {
                Json::Object(fields.iter().map(|(key, node)| (key.clone(), node.to_json())).collect())
            }
        }
    }
}

/// All documents of a text that are not empty.
pub(crate) fn parse(text: &str, format: Format) -> Result<Vec<Node>, ManifestError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if format == Format::Json {
        return parse_json(text);
    }
    if text.trim_start().starts_with('{')
        && let Ok(documents) = parse_json(text)
    {
        return Ok(documents);
    }
    parse_yaml(text)
}

fn parse_json(text: &str) -> Result<Vec<Node>, ManifestError> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<Node>()
        .filter(|document| !matches!(document, Ok(Node { value: Value::Null, .. })))
        .collect::<Result<_, _>>()
        .map_err(|error| ManifestError { line: error.line(), message: format!("not valid JSON: {error}") })
}

fn parse_yaml(text: &str) -> Result<Vec<Node>, ManifestError> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| ManifestError {
            // The end of the text is reported one line behind it.
            line: error.marker().line().min(text.lines().count()).max(1),
            message: format!("not valid YAML: {}", error.info()),
        })?;
        if event == Event::StreamEnd {
            break;
        }
        builder.event(event, span.start.line())?;
    }
    Ok(builder.documents)
}

/// A collection that is being filled.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<String>,
}

/// Puts parser events together, without recursion.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    /// Depth inside a subtree that is skipped.
    skipping: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), ManifestError> {
        if self.skipping > 0 {
            match event {
                Event::SequenceStart(..) | Event::MappingStart(..) => self.skipping += 1,
                Event::SequenceEnd | Event::MappingEnd => self.skipping -= 1,
                _ => {}
            }
            return Ok(());
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                if plain && self.wants_key() {
                    return self.add(Node { line, value: scalar(text.into_owned(), true) }, anchor);
                }
                let value = if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Value::Null
                } else {
                    scalar(text.into_owned(), plain)
                };
                self.add(Node { line, value }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.open(Value::Sequence(Vec::new()), anchor, line),
            Event::MappingStart(anchor, _) => self.open(Value::Mapping(Vec::new()), anchor, line),
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Open { mut node, anchor, .. }) => {
                    merge(&mut node);
                    self.add(node, anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let mut node = node.clone();
                    node.line = line;
                    self.aliased += count(&node);
                    if self.aliased > MAX_ALIASED {
                        return Err(ManifestError { line, message: "the aliases stand for too much".into() });
                    }
                    self.add(node, 0)
                }
                None => Err(ManifestError { line, message: "unknown alias".into() }),
            },
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open { node: Node { value: Value::Mapping(_), .. }, key: None, .. }))
    }

    fn open(&mut self, value: Value, anchor: usize, line: usize) -> Result<(), ManifestError> {
        if let Some(Open { key, .. }) = self.stack.last_mut()
            && anchor == 0
            && key.as_deref().is_some_and(|key| SKIPPED.contains(&key))
        {
            *key = None;
            self.skipping = 1;
            return Ok(());
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(ManifestError { line, message: format!("nested deeper than {MAX_DEPTH} levels") });
        }
        self.stack.push(Open { node: Node { line, value }, anchor, key: None });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), ManifestError> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(Open { node: parent, key, .. }) = self.stack.last_mut() else {
            if node.value != Value::Null {
                self.documents.push(node);
            }
            return Ok(());
        };
        match (&mut parent.value, key.take()) {
            (Value::Sequence(items), _) => items.push(node),
            (Value::Mapping(fields), Some(name)) => {
                if fields.iter().any(|(other, _)| *other == name) {
                    return Err(ManifestError {
                        line: node.line,
                        message: format!("'{name}' is given twice"),
                    });
                }
                fields.push((name, node));
            }
            (Value::Mapping(_), None) => match node.value {
                Value::Scalar { text, .. } => *key = Some(text),
                _ => return Err(ManifestError { line: node.line, message: "a key must be text".into() }),
            },
            (Value::Null | Value::Scalar { .. }, _) => {}
        }
        Ok(())
    }
}

fn scalar(text: String, plain: bool) -> Value {
    Value::Scalar { text, plain }
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Scalar { .. } => 1,
        Value::Sequence(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Mapping(fields) => 1 + fields.iter().map(|(_, node)| count(node)).sum::<usize>(),
    }
}

/// YAML's merge key: `<<: *other` adds the fields of `other` that the mapping itself does not have.
fn merge(node: &mut Node) {
    let Value::Mapping(fields) = &mut node.value else { return };
    let Some(at) = fields.iter().position(|(key, _)| key == "<<") else { return };
    let (_, merged) = fields.remove(at);
    let sources = match merged.value {
        Value::Sequence(items) => items,
        _ => vec![merged],
    };
    for source in sources {
        if let Value::Mapping(more) = source.value {
            for (key, value) in more {
                if !fields.iter().any(|(name, _)| *name == key) {
                    fields.push((key, value));
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl NodeVisitor {
    fn plain(text: impl ToString) -> Node {
        Node { line: 0, value: scalar(text.to_string(), true) }
    }
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Self::plain(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Self::plain(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Self::plain(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Self::plain(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node { line: 0, value: scalar(value.to_owned(), false) })
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node { line: 0, value: scalar(value, false) })
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node { line: 0, value: Value::Null })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Node { line: 0, value: Value::Sequence(nodes) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields: Vec<(String, Node)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let node: Node = map.next_value()?;
            let skip = SKIPPED.contains(&key.as_str())
                && matches!(node.value, Value::Sequence(_) | Value::Mapping(_));
            if !skip {
                fields.push((key, node));
            }
        }
        Ok(Node { line: 0, value: Value::Mapping(fields) })
    }
}
