//! From a container of a template to the process that stands for it.
//!
//! ```text
//! container (image, command, args, env) + pod (name, ip, labels) -> Launch { program, arguments, environment }
//! ```

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::manifest::{Container, EnvSource, Template};

use super::expand::expand;

/// Variables of our own process that children get. Everything else stays here: a manifest says what it needs.
const INHERITED: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SHELL"];

/// Images that need no command: the sub-command of our own program that stands for each, and its usual port.
const BUILT_IN: [(&str, &str, u16); 2] =
    [("vampio/sava-product", "sava-product", 8080), ("vampio/sava-cart", "sava-cart", 3000)];

/// A process, ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: Option<PathBuf>,
}

/// What containers may ask about the replica that they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodFacts<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) ip: Ipv4Addr,
    pub(crate) labels: &'a BTreeMap<String, String>,
}

/// Why a template cannot be run here, for its author; `Ok` when it can.
pub(crate) fn check(template: &Template) -> Result<(), String> {
    for container in &template.containers {
        command_of(container, Path::new(""))?;
        for (name, source) in &container.environment {
            match source {
                EnvSource::Unavailable(kind) => {
                    return Err(format!(
                        "container '{}': variable {name} comes from '{kind}', which only a cluster has; give it a 'value', or mark the reference 'optional: true'",
                        container.name
                    ));
                }
                EnvSource::Field(path) if !is_known_field(path) => {
                    return Err(format!(
                        "container '{}': variable {name} asks for the field '{path}'; known are status.podIP, metadata.name, metadata.namespace and metadata.labels['KEY']",
                        container.name
                    ));
                }
                EnvSource::Field(_) | EnvSource::Text(_) => {}
            }
        }
    }
    Ok(())
}

/// The process for one container. `program` is our own binary, `base` what every child gets on top of [`INHERITED`].
pub(crate) fn launch(
    container: &Container,
    pod: &PodFacts<'_>,
    program: &Path,
    base: &[(String, String)],
) -> Result<Launch, String> {
    let mut environment: BTreeMap<String, String> =
        INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
    environment.extend(base.iter().cloned());
    let own = [
        ("POD_IP", pod.ip.to_string()),
        ("POD_NAME", pod.name.to_owned()),
        ("POD_NAMESPACE", pod.namespace.to_owned()),
        ("HOSTNAME", pod.name.to_owned()),
    ];
    environment.extend(own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));

    // Only the pod's own variables can be referred to, as in a cluster, where nothing is inherited.
    let mut known: BTreeMap<String, String> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, source) in &container.environment {
        let value = match source {
            EnvSource::Text(text) => expand(text, |name| known.get(name).map(String::as_str)),
            EnvSource::Field(path) => field(path, pod).unwrap_or_default(),
            EnvSource::Unavailable(_) => continue,
        };
        known.insert(name.clone(), value);
    }
    environment.extend(known.iter().map(|(name, value)| (name.clone(), value.clone())));

    let words = command_of(container, program)?;
    let mut words = words.iter().map(|word| expand(word, |name| known.get(name).map(String::as_str)));
    let program = words.next().unwrap_or_default();
    Ok(Launch {
        program,
        arguments: words.collect(),
        environment,
        directory: container.directory.as_ref().map(PathBuf::from).filter(|path| path.is_dir()),
    })
}

/// Command and arguments before expansion.
fn command_of(container: &Container, program: &Path) -> Result<Vec<String>, String> {
    if let Some(first) = container.command.first() {
        if first.is_empty() {
            return Err(format!("container '{}': the first word of 'command' is empty", container.name));
        }
        return Ok(container.command.iter().chain(&container.args).cloned().collect());
    }
    let (repository, tag) = split_image(&container.image);
    let Some((_, subcommand, port)) = BUILT_IN.iter().find(|(image, ..)| *image == repository) else {
        return Err(format!(
            "container '{}': the image '{}' is not run here, and there is no 'command'; add a command for a program of this machine, for example command: [\"./my-service\", \"--listen\", \"$(POD_IP):8080\"]",
            container.name, container.image
        ));
    };
    let port = container.ports.iter().find(|port| port.tcp).map_or(*port, |port| port.number);
    let mut words = vec![program.display().to_string(), (*subcommand).to_owned()];
    words.extend([
        "--version".to_owned(),
        tag.to_owned(),
        "--listen".to_owned(),
        format!("$(POD_IP):{port}"),
    ]);
    words.extend(container.args.iter().cloned());
    Ok(words)
}

/// Repository without the default registry, and tag (`latest` when there is none).
fn split_image(image: &str) -> (&str, &str) {
    let image = image.split_once('@').map_or(image, |(image, _)| image);
    let image =
        ["docker.io/", "index.docker.io/"].iter().find_map(|host| image.strip_prefix(host)).unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') && !tag.is_empty() => (repository, tag),
        _ => (image, "latest"),
    }
}

fn is_known_field(path: &str) -> bool {
    matches!(path, "status.podIP" | "status.hostIP" | "metadata.name" | "metadata.namespace")
        || label_key(path).is_some()
}

fn field(path: &str, pod: &PodFacts<'_>) -> Option<String> {
    match path {
        "status.podIP" => Some(pod.ip.to_string()),
        "status.hostIP" => Some(Ipv4Addr::LOCALHOST.to_string()),
        "metadata.name" => Some(pod.name.to_owned()),
        "metadata.namespace" => Some(pod.namespace.to_owned()),
        _ => pod.labels.get(label_key(path)?).cloned(),
    }
}

fn label_key(path: &str) -> Option<&str> {
    path.strip_prefix("metadata.labels['")?.strip_suffix("']")
}
