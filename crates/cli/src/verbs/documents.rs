//! Documents from files, directories and standard input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::kind;
use crate::error::Error;

/// One document and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// File and, when it holds several, the number of the document.
    pub(crate) origin: String,
    /// Plural kind; gateways when the document names none.
    pub(crate) kind: &'static str,
    /// Name.
    pub(crate) name: String,
    /// What is sent: the text as written when the file holds one document, so that positions in messages are right.
    pub(crate) text: String,
    /// The same read, with its kind: an item of a list of documents.
    pub(crate) item: Value,
}

/// Reads every document of the given files in order; a directory stands for its `.yaml`, `.yml` and `.json` files.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Document>, Error> {
    let mut documents = Vec::new();
    for path in paths {
        for file in expand(path)? {
            let (origin, text) = contents(&file)?;
            documents.extend(split(&origin, &text)?);
        }
    }
    if documents.is_empty() {
        return Err(Error::Usage("the given files hold no document".into()));
    }
    Ok(documents)
}

fn expand(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|e| Error::Failed(format!("{}: {e}", path.display())))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json"))
        .collect();
    files.sort();
    Ok(files)
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn contents(file: &Path) -> Result<(String, String), Error> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(("standard input".into(), text));
    }
    let origin = file.display().to_string();
    let text =
        std::fs::read_to_string(file).map_err(|e| Error::Failed(format!("cannot read {origin}: {e}")))?;
    Ok((origin, text))
}

fn split(origin: &str, text: &str) -> Result<Vec<Document>, Error> {
    let nodes = model::yaml::read_all(text).map_err(|problems| {
        let place = problems.0.first().and_then(|p| p.position);
        let at = place.map(|p| format!(", line {}, column {}", p.line, p.column)).unwrap_or_default();
        Error::Failed(format!("{origin}{at}: {problems}"))
    })?;
    let single = nodes.len() == 1;
    let mut documents = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let origin = if single { origin.to_owned() } else { format!("{origin}, document {}", index + 1) };
        let value = node.to_value();
        let items = match value {
            Value::Array(items) => items,
            value => vec![value],
        };
        let whole = single && items.len() == 1;
        for mut item in items {
            let word = item.get("kind").and_then(Value::as_str).unwrap_or("gateways");
            if item.get("apiVersion").is_some() {
                return Err(Error::Failed(format!(
                    "{origin}: this is a Kubernetes manifest ({word}), not a document of Vamp; \
                     `vamp local apply` runs it, `vamp serve --inventory` watches it"
                )));
            }
            let kind = kind(word).map_err(|e| Error::Failed(format!("{origin}: {e}")))?;
            let name = match item.get("name") {
                Some(Value::String(name)) => name.clone(),
                Some(Value::Number(name)) => name.to_string(),
                _ => return Err(Error::Failed(format!("{origin}: Can't find any value for path: /name"))),
            };
            let text =
                if whole && !text.trim_start().starts_with('[') { text.to_owned() } else { item.to_string() };
            if let Some(map) = item.as_object_mut() {
                map.insert("kind".into(), kind.into());
            }
            documents.push(Document { origin: origin.clone(), kind, name, text, item });
        }
    }
    Ok(documents)
}
