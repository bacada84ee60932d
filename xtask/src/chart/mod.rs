//! `cargo xtask manifests`: the Helm chart rendered without Helm, and `deploy/install.yaml` made from it.
//!
//! ```text
//! deploy/chart/vamp/{Chart.yaml, values.yaml, templates, files} --template, render, functions--> objects --> deploy/install.yaml
//! ```
//!
//! The chart keeps to a small part of Go's templates, which is read here; where `helm` is at hand a test compares the two.

mod functions;
mod render;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use render::Library;
use template::Node;

/// Above the rendering, for its readers.
const HEAD: &str = "\
# Vamp in one namespace, which is also its environment. Made from deploy/chart/vamp: cargo xtask manifests
#
#   kubectl apply -f deploy/crds                        once for each cluster, by an administrator
#                                                       (before Kubernetes 1.25 with --validate=false)
#   kubectl -n NAMESPACE apply -f deploy/install.yaml
";

/// A chart that has been read.
#[derive(Debug)]
pub(crate) struct Chart {
    chart: Value,
    values: Value,
    library: Library,
    templates: Vec<(String, Vec<Node>)>,
}

/// One object of a rendering.
#[derive(Debug)]
pub(crate) struct Object {
    /// As rendered, comments and all.
    pub(crate) text: String,
    /// What it says.
    pub(crate) value: Value,
}

impl Object {
    pub(crate) fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }
}

/// What Helm is told on its command line.
pub(crate) struct Release<'a> {
    pub(crate) namespace: &'a str,
    /// Over those of `values.yaml`.
    pub(crate) values: Value,
}

impl Chart {
    /// Reads a chart.
    ///
    /// # Errors
    /// A file that is missing or outside of the subset.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let (chart, values) = (yaml(&folder.join("Chart.yaml"))?, yaml(&folder.join("values.yaml"))?);
        let mut library = Library::default();
        library.api_versions.push("policy/v1".into());
        for path in files(&folder.join("files"))? {
            library.files.insert(format!("files/{}", name(&path)), text(&path)?);
        }
        let mut templates = Vec::new();
        for path in files(&folder.join("templates"))? {
            let file = template::parse(&name(&path), &text(&path)?)?;
            templates.push((name(&path), library.add(file)?));
        }
        Ok(Self { chart, values, library, templates })
    }

    /// The objects, in the order in which Helm creates them.
    ///
    /// # Errors
    /// What a template cannot do with the values, with file and line.
    pub(crate) fn render(&self, release: &Release<'_>) -> anyhow::Result<Vec<Object>> {
        let root = self.root(release);
        let mut objects = Vec::new();
        for (file, nodes) in self.templates.iter().filter(|(file, _)| file.ends_with(".yaml")) {
            let rendered = self.library.render(nodes, &root)?;
            for document in format!("\n{rendered}").split("\n---") {
                let text = document.trim_matches('\n').trim_end();
                if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
                    continue;
                }
                let node = model::yaml::read_one(text).with_context(|| format!("{file} gave:\n{text}"))?;
                objects.push(Object { text: text.to_owned(), value: node.to_value() });
            }
        }
        objects.sort_by_key(|object| (place(object.kind()), object.name().to_owned()));
        Ok(objects)
    }

    /// What Helm says after an installation.
    #[cfg(test)]
    pub(crate) fn notes(&self, release: &Release<'_>) -> anyhow::Result<String> {
        let notes = self.templates.iter().find(|(file, _)| file == "NOTES.txt").context("no NOTES.txt")?;
        self.library.render(&notes.1, &self.root(release))
    }

    fn root(&self, release: &Release<'_>) -> Value {
        let mut values = self.values.clone();
        merge(&mut values, &release.values);
        let key = |name: &str| self.chart[name].clone();
        json!({
            "Values": values,
            "Release": {"Name": "vamp", "Namespace": release.namespace},
            "Chart": {"Name": key("name"), "Version": key("version"), "AppVersion": key("appVersion")},
        })
    }
}

/// Writes `deploy/install.yaml`.
///
/// # Errors
/// The chart cannot be rendered, or the file not be written.
pub(crate) fn write_manifests(root: &Path) -> anyhow::Result<PathBuf> {
    let path = root.join("deploy/install.yaml");
    fs::write(&path, install(root)?).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// The chart with default values as one text.
pub(crate) fn install(root: &Path) -> anyhow::Result<String> {
    let chart = Chart::read(&root.join("deploy/chart/vamp"))?;
    // With default values nothing asks for the namespace: `kubectl -n` says it.
    let objects = chart.render(&Release { namespace: "", values: json!({}) })?;
    let texts: Vec<String> = objects.into_iter().map(|object| object.text + "\n").collect();
    Ok(format!("{HEAD}\n{}", texts.join("---\n")))
}

/// Later values win; maps are merged, null takes a key away.
fn merge(into: &mut Value, over: &Value) {
    match (into, over) {
        (Value::Object(into), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, over) => *into = over.clone(),
    }
}

/// Where a kind stands in Helm's order: what others need comes first.
fn place(kind: &str) -> usize {
    const ORDER: [&str; 14] = [
        "NetworkPolicy",
        "PodDisruptionBudget",
        "ServiceAccount",
        "Secret",
        "ConfigMap",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "Service",
        "DaemonSet",
        "Deployment",
        "ServiceMonitor",
        "",
    ];
    ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths: Result<BTreeMap<String, PathBuf>, std::io::Error> =
        entries.map(|entry| entry.map(|entry| (name(&entry.path()), entry.path()))).collect();
    Ok(paths?.into_values().filter(|path| path.is_file()).collect())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn yaml(path: &Path) -> anyhow::Result<Value> {
    let node = model::yaml::read_one(&text(path)?).with_context(|| path.display().to_string())?;
    if node.map().is_none() {
        bail!("{} holds no map", path.display());
    }
    Ok(node.to_value())
}
