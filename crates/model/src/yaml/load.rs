//! From YAML parser events to trees.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::Value;

use crate::problem::{Position, Problem, Problems};
use crate::yaml::map::MapBuilder;
use crate::yaml::{Budget, Content, Cost, Entry, MAX_DEPTH, Node, scalar, syntax};

/// Reads all documents of a text.
pub(super) fn read(text: &str) -> Result<Vec<Node>, Problems> {
    let mut loader = Loader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        budget: Budget::new(),
        problems: Problems::default(),
    };
    let mut documents = Vec::new();
    loop {
        match loader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(_), _) => {
                let first = loader.next()?;
                let tree = loader.tree(first, 1)?;
                let empty = matches!(&tree.node.content,
                    Content::Scalar { text, value: Value::Null, .. } if text.is_empty());
                if !empty {
                    documents.push(tree.node);
                }
                loader.anchors.clear();
            }
            _ => {}
        }
    }
    loader.problems.into_result(documents)
}

/// A node with what it costs and how deep it is: an alias to it costs the same again.
#[derive(Clone)]
struct Tree {
    node: Node,
    cost: Cost,
    depth: usize,
}

struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Complete anchored nodes. An alias inside its own node finds nothing here.
    anchors: HashMap<usize, Tree>,
    budget: Budget,
    problems: Problems,
}

impl<'a> Loader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Problems> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(syntax(error.info(), position(*error.marker()))),
            // Only after the end of the stream, where nobody asks any more.
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The tree that starts with `event`.
    fn tree(&mut self, (event, span): (Event<'a>, Span), depth: usize) -> Result<Tree, Problems> {
        let at = position(span.start);
        if depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let content = content(text.into_owned(), style, span, tag.as_deref(), at)?;
                let bytes = if let Content::Scalar { text, .. } = &content { text.len() } else { 0 };
                let cost = Cost { nodes: 1, bytes };
                self.spend(cost, at)?;
                self.keep(anchor, Tree { node: Node { position: at, content }, cost, depth: 1 }, at)
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq", at)?;
                let (elements, cost, below) = self.list(depth, at)?;
                let node = Node { position: at, content: Content::List(elements) };
                self.keep(anchor, Tree { node, cost, depth: below + 1 }, at)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map", at)?;
                let (entries, cost, below) = self.map(depth, at)?;
                let node = Node { position: at, content: Content::Map(entries) };
                self.keep(anchor, Tree { node, cost, depth: below + 1 }, at)
            }
            Event::Alias(anchor) => {
                let Some(tree) = self.anchors.get(&anchor) else {
                    return Err(syntax("an alias inside the value that it stands for", at));
                };
                let cost = tree.cost;
                if depth + tree.depth - 1 > MAX_DEPTH {
                    return Err(too_deep(at));
                }
                // Charged before the copy is made.
                self.budget.spend(cost).map_err(|message| syntax(&message, at))?;
                let mut tree = self.anchors[&anchor].clone();
                tree.node.position = at;
                Ok(tree)
            }
            _ => Err(syntax("expected a value", at)),
        }
    }

    fn list(&mut self, depth: usize, at: Position) -> Result<(Vec<Node>, Cost, usize), Problems> {
        let mut cost = Cost { nodes: 1, bytes: 0 };
        self.spend(cost, at)?;
        let (mut elements, mut below) = (Vec::new(), 0);
        loop {
            let next = self.next()?;
            if matches!(next.0, Event::SequenceEnd) {
                return Ok((elements, cost, below));
            }
            let tree = self.tree(next, depth + 1)?;
            cost.add(tree.cost);
            below = below.max(tree.depth);
            elements.push(tree.node);
        }
    }

    fn map(&mut self, depth: usize, at: Position) -> Result<(Vec<Entry>, Cost, usize), Problems> {
        let mut cost = Cost { nodes: 1, bytes: 0 };
        self.spend(cost, at)?;
        let (mut map, mut below) = (MapBuilder::default(), 0);
        loop {
            let next = self.next()?;
            if matches!(next.0, Event::MappingEnd) {
                return Ok((map.finish(), cost, below));
            }
            let key = self.tree(next, depth + 1)?;
            let next = self.next()?;
            let value = self.tree(next, depth + 1)?;
            cost.add(key.cost);
            cost.add(value.cost);
            below = below.max(key.depth).max(value.depth);
            map.add(key_text(&key.node), key.node.position, value.node, &mut self.problems);
        }
    }

    /// Remembers an anchored tree. The copy is charged too: nested anchors would multiply it.
    fn keep(&mut self, anchor: usize, tree: Tree, at: Position) -> Result<Tree, Problems> {
        if anchor != 0 {
            self.spend(tree.cost, at)?;
            self.anchors.insert(anchor, tree.clone());
        }
        Ok(tree)
    }

    fn spend(&mut self, cost: Cost, at: Position) -> Result<(), Problems> {
        self.budget.spend(cost).map_err(|message| syntax(&message, at))
    }
}

impl Cost {
    fn add(&mut self, other: Cost) {
        self.nodes += other.nodes;
        self.bytes += other.bytes;
    }
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

fn too_deep(at: Position) -> Problems {
    syntax(&format!("nested deeper than {MAX_DEPTH} levels"), at)
}

/// A key is always text. An unquoted `[host:port]` is a list to YAML and is put together again (spec: gateways 2).
fn key_text(key: &Node) -> String {
    match &key.content {
        Content::Scalar { text, .. } => text.clone(),
        Content::List(elements) => {
            format!("[{}]", elements.iter().map(key_text).collect::<Vec<_>>().join(", "))
        }
        // Inside a list, `[::1]:8080` reads as a map of one entry.
        Content::Map(entries) => {
            let texts: Vec<_> =
                entries.iter().map(|entry| format!("{}:{}", entry.key, key_text(&entry.value))).collect();
            texts.join(", ")
        }
    }
}

/// The content of a scalar, and whether its text stands in the document in one piece.
fn content(
    text: String,
    style: ScalarStyle,
    span: Span,
    tag: Option<&Tag>,
    at: Position,
) -> Result<Content, Problems> {
    let quote = match style {
        ScalarStyle::Plain => Some(0),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Some(1),
        ScalarStyle::Literal | ScalarStyle::Folded => None,
    };
    let inset = quote.filter(|quote| {
        span.start.line() == span.end.line() && span.len() == text.chars().count() + 2 * quote
    });
    let plain = style == ScalarStyle::Plain;
    let value = match tag {
        None if plain => scalar::resolve(&text),
        None => Value::String(text.clone()),
        Some(tag) => tagged(tag, &text, at)?,
    };
    Ok(Content::Scalar { text, value, inset })
}

/// A scalar with a tag of YAML's core schema; any other tag is refused.
fn tagged(tag: &Tag, text: &str, at: Position) -> Result<Value, Problems> {
    let text_value = || Value::String(text.to_owned());
    if tag.handle.is_empty() && tag.suffix == "!" || tag.handle == "!" && tag.suffix.is_empty() {
        return Ok(text_value());
    }
    if !tag.is_yaml_core_schema() {
        return Err(foreign(tag, at));
    }
    let value = scalar::resolve(text);
    let fits = match tag.suffix.as_str() {
        "str" => return Ok(text_value()),
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        "bool" => value.is_boolean(),
        "null" => value.is_null(),
        _ => return Err(foreign(tag, at)),
    };
    if fits {
        Ok(value)
    } else {
        Err(syntax(&format!("'{text}' is not what its tag '!!{}' says", tag.suffix), at))
    }
}

fn check_tag(tag: Option<&Tag>, core: &str, at: Position) -> Result<(), Problems> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == core) => Err(foreign(tag, at)),
        _ => Ok(()),
    }
}

fn foreign(tag: &Tag, at: Position) -> Problems {
    let shown = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
    let Position { line, column } = at;
    Problem::new(
        "invalid-yaml",
        "",
        format!("Error: tag '{shown}' is not allowed at line {line}, column {column}"),
    )
    .at(at)
    .example("the value without a tag")
    .into()
}
