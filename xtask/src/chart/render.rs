//! Evaluates templates: a tree and values to text. Stricter than Helm in one thing: a key that is not there is an error, not nothing, so
//! every value that a template asks for stands in `values.yaml`.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use super::template::{File, Node, Pipeline, Place, Term};

/// Templates that include each other go no deeper.
const MAX_DEPTH: usize = 32;

/// The named templates of a chart and the files beside them.
#[derive(Debug, Default)]
pub(super) struct Library {
    named: BTreeMap<String, Vec<Node>>,
    /// What `.Files.Get` finds.
    pub(super) files: BTreeMap<String, String>,
    /// What `.Capabilities.APIVersions.Has` says yes to.
    pub(super) api_versions: Vec<String>,
}

impl Library {
    /// Takes the definitions of a file in, and gives its body back.
    ///
    /// # Errors
    /// A name that is there already.
    pub(super) fn add(&mut self, file: File) -> anyhow::Result<Vec<Node>> {
        for (name, nodes) in file.named {
            if self.named.insert(name.clone(), nodes).is_some() {
                bail!("the template '{name}' is defined twice");
            }
        }
        Ok(file.body)
    }

    /// The text of nodes with `.` and `$` being `root`.
    ///
    /// # Errors
    /// What cannot be evaluated, with its place.
    pub(super) fn render(&self, nodes: &[Node], root: &Value) -> anyhow::Result<String> {
        self.at_depth(nodes, root, 0)
    }

    fn at_depth(&self, nodes: &[Node], root: &Value, depth: usize) -> anyhow::Result<String> {
        let mut out = String::new();
        let mut scope =
            Scope { library: self, variables: vec![(String::new(), root.clone())], depth, out: &mut out };
        scope.nodes(nodes, root)?;
        Ok(out)
    }
}

struct Scope<'a> {
    library: &'a Library,
    variables: Vec<(String, Value)>,
    depth: usize,
    out: &'a mut String,
}

impl Scope<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> anyhow::Result<()> {
        let variables = self.variables.len();
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Print(place, pipeline) => {
                    let value = self.value(place, pipeline, dot)?;
                    self.out.push_str(&print(&value).with_context(|| place.to_string())?);
                }
                Node::Set(place, name, pipeline) => {
                    let value = self.value(place, pipeline, dot)?;
                    self.variables.push((name.clone(), value));
                }
                Node::If { arms, otherwise } => {
                    let mut chosen = otherwise;
                    for (place, condition, body) in arms {
                        if truthy(&self.value(place, condition, dot)?) {
                            chosen = body;
                            break;
                        }
                    }
                    self.nodes(chosen, dot)?;
                }
                Node::With { place, over, body, otherwise } => {
                    let value = self.value(place, over, dot)?;
                    if truthy(&value) { self.nodes(body, &value)? } else { self.nodes(otherwise, dot)? }
                }
                Node::Range { place, names, over, body, otherwise } => {
                    let elements: Vec<(Value, Value)> = match self.value(place, over, dot)? {
                        Value::Array(list) => {
                            list.into_iter().enumerate().map(|(i, v)| (i.into(), v)).collect()
                        }
                        // Go goes through maps by their keys.
                        Value::Object(map) => sorted(map).map(|(k, v)| (k.into(), v)).collect(),
                        Value::Null => Vec::new(),
                        other => bail!("{place}: cannot range over {other}"),
                    };
                    if elements.is_empty() {
                        self.nodes(otherwise, dot)?;
                    }
                    for (key, element) in elements {
                        match &names[..] {
                            [one] => self.variables.push((one.clone(), element.clone())),
                            [index, one] => {
                                self.variables.push((index.clone(), key));
                                self.variables.push((one.clone(), element.clone()));
                            }
                            _ => {}
                        }
                        self.nodes(body, &element)?;
                        self.variables.truncate(self.variables.len() - names.len());
                    }
                }
            }
        }
        self.variables.truncate(variables);
        Ok(())
    }

    fn value(&self, place: &Place, pipeline: &Pipeline, dot: &Value) -> anyhow::Result<Value> {
        self.pipeline(pipeline, dot).with_context(|| place.to_string())
    }

    fn pipeline(&self, pipeline: &Pipeline, dot: &Value) -> anyhow::Result<Value> {
        let mut carried = None;
        for command in pipeline {
            carried = Some(self.command(command, carried, dot)?);
        }
        carried.context("an empty pipeline")
    }

    fn command(&self, terms: &[Term], carried: Option<Value>, dot: &Value) -> anyhow::Result<Value> {
        let (first, rest) = terms.split_first().context("an empty command")?;
        let arguments = || -> anyhow::Result<Vec<Value>> {
            let mut arguments =
                rest.iter().map(|term| self.term(term, dot)).collect::<anyhow::Result<Vec<_>>>()?;
            arguments.extend(carried.clone());
            Ok(arguments)
        };
        match first {
            Term::Function(name) => self.call(name, &arguments()?),
            Term::Path(_, fields) if fields.ends_with(&["Files".into(), "Get".into()]) => {
                let [Value::String(name)] = &arguments()?[..] else { bail!(".Files.Get takes one name") };
                let text = self.library.files.get(name).with_context(|| format!("no file {name}"))?;
                Ok(text.clone().into())
            }
            Term::Path(_, fields)
                if fields.ends_with(&["Capabilities".into(), "APIVersions".into(), "Has".into()]) =>
            {
                let [Value::String(name)] = &arguments()?[..] else { bail!("Has takes one name") };
                Ok(self.library.api_versions.contains(name).into())
            }
            value if rest.is_empty() && carried.is_none() => self.term(value, dot),
            other => bail!("{other:?} is no function"),
        }
    }

    fn term(&self, term: &Term, dot: &Value) -> anyhow::Result<Value> {
        match term {
            Term::Literal(value) => Ok(value.clone()),
            Term::Group(pipeline) => self.pipeline(pipeline, dot),
            Term::Function(name) => self.call(name, &[]),
            Term::Path(variable, fields) => {
                let mut value = match variable {
                    None => dot,
                    Some(name) => {
                        let found = self.variables.iter().rev().find(|(known, _)| known == name);
                        &found.with_context(|| format!("no variable ${name}"))?.1
                    }
                };
                for field in fields {
                    value = value.get(field).with_context(|| format!("no .{}", fields.join(".")))?;
                }
                Ok(value.clone())
            }
        }
    }

    fn call(&self, name: &str, arguments: &[Value]) -> anyhow::Result<Value> {
        if name != "include" {
            return super::functions::call(name, arguments).with_context(|| format!("`{name}`"));
        }
        let [Value::String(template), context] = arguments else { bail!("include takes a name and a value") };
        if self.depth >= MAX_DEPTH {
            bail!("templates include each other more than {MAX_DEPTH} deep");
        }
        let nodes = self.library.named.get(template).with_context(|| format!("no template '{template}'"))?;
        let text = self.library.at_depth(nodes, context, self.depth + 1);
        Ok(text.with_context(|| format!("in '{template}'"))?.into())
    }
}

/// Go's notion of a value that is not empty.
pub(super) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// How a value is printed. Helm prints maps, lists and nothing in Go's own way, which never belongs into a manifest.
pub(super) fn print(value: &Value) -> anyhow::Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => bail!("{value} cannot be printed; use toYaml"),
    }
}

/// By key, as Go and Helm's `toYaml` order maps.
pub(super) fn sorted(map: Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    map.into_iter().collect::<BTreeMap<_, _>>().into_iter()
}
