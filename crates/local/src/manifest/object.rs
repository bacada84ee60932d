//! From trees to the three kinds that matter here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::instance::{Container as InstanceContainer, ContainerPort, Instance, InstanceKind};
use serde::Serialize;

use super::ManifestError;
use super::tree::{Node, Value};

/// An object of an inventory. Clones share it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Object {
    /// A pod as it stands: an instance that somebody else runs.
    Pod(Arc<Instance>),
    /// A service with a cluster IP.
    Service(Arc<Instance>),
    /// Something to run.
    Deployment(Arc<Deployment>),
}

impl Object {
    /// Kind, namespace and name.
    pub(crate) fn identity(&self) -> (&'static str, &str, &str) {
        match self {
            Self::Pod(pod) => ("Pod", &pod.namespace, &pod.name),
            Self::Service(service) => ("Service", &service.namespace, &service.name),
            Self::Deployment(deployment) => ("Deployment", &deployment.namespace, &deployment.name),
        }
    }
}

/// An `apps/v1` Deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployment {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) replicas: usize,
    /// Strategy `Recreate`: the old ones stop before the new ones start.
    pub(crate) recreate: bool,
    pub(crate) template: Template,
}

/// What each replica is. A change of anything in here is a new version and replaces the replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Template {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) containers: Vec<Container>,
    /// From SIGTERM to SIGKILL.
    pub(crate) grace: Duration,
}

/// One container: here, one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) directory: Option<String>,
    pub(crate) environment: Vec<(String, EnvSource)>,
    pub(crate) ports: Vec<ContainerPort>,
    pub(crate) readiness: Option<Probe>,
}

/// Where the value of an environment variable comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum EnvSource {
    /// Written out; `$(VAR)` is expanded.
    Text(String),
    /// A field of the pod, for example `status.podIP`.
    Field(String),
    /// A source that only a cluster has, described for a message.
    Unavailable(String),
}

/// A readiness probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Probe {
    pub(crate) action: ProbeAction,
    pub(crate) initial_delay: Duration,
    pub(crate) period: Duration,
    pub(crate) timeout: Duration,
    pub(crate) successes: u32,
    pub(crate) failures: u32,
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum ProbeAction {
    /// GET answers 200 to 399.
    Http { port: u16, host: Option<String>, path: String, headers: Vec<(String, String)> },
    /// The port accepts a connection.
    Tcp { port: u16 },
    /// The command exits with 0.
    Exec { command: Vec<String> },
}

/// Hands each object of a document to `found`, with the node it came from; `None` for one of an unknown kind, or
/// without anything to see here. Lists are opened.
pub(crate) fn read<'a>(
    document: &'a Node,
    namespace: &str,
    found: &mut dyn FnMut(Option<Object>, &'a Node),
) -> Result<(), ManifestError> {
    let top = At { node: document, path: String::new() };
    let Value::Mapping(_) = document.value else {
        return Err(top.error("expected a Kubernetes object with apiVersion and kind"));
    };
    let kind =
        top.text("kind")?.ok_or_else(|| top.error("'kind' is missing: this is no Kubernetes object"))?;
    let version = top.text("apiVersion")?.unwrap_or_default();
    match (kind, version) {
        ("List" | "PodList" | "ServiceList" | "DeploymentList", _) => {
            for item in top.list("items")? {
                // Items of a typed list may leave out their kind, as the API server does.
                let whole = match kind.strip_suffix("List").filter(|kind| !kind.is_empty()) {
                    Some(inner) if item.node.get("kind").is_none() => Some(inner),
                    _ => None,
                };
                match whole {
                    Some(inner) => found(item.object(inner, namespace)?, item.node),
                    None => read(item.node, namespace, found)?,
                }
            }
        }
        ("Pod" | "Service", "v1" | "") | ("Deployment", "apps/v1" | "") => {
            found(top.object(kind, namespace)?, document);
        }
        _ => found(None, document),
    }
    Ok(())
}

/// A node and the way to it, for messages.
struct At<'a> {
    node: &'a Node,
    path: String,
}

impl<'a> At<'a> {
    fn error(&self, message: impl Into<String>) -> ManifestError {
        let message = message.into();
        let message = if self.path.is_empty() { message } else { format!("{}: {message}", self.path) };
        ManifestError { line: self.node.line, message }
    }

    fn field(&self, key: &str) -> Option<At<'a>> {
        self.node
            .get(key)
            .map(|node| At { node, path: format!("{}.{key}", self.path).trim_start_matches('.').into() })
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, ManifestError> {
        self.field(key).map(|field| field.as_text()).transpose()
    }

    fn as_text(&self) -> Result<&'a str, ManifestError> {
        match &self.node.value {
            Value::Scalar { text, .. } => Ok(text),
            _ => Err(self.error("expected a text")),
        }
    }

    fn list(&self, key: &str) -> Result<Vec<At<'a>>, ManifestError> {
        let Some(field) = self.field(key) else { return Ok(Vec::new()) };
        let Value::Sequence(items) = &field.node.value else { return Err(field.error("expected a list")) };
        Ok(items
            .iter()
            .enumerate()
            .map(|(i, node)| At { node, path: format!("{}[{i}]", field.path) })
            .collect())
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, ManifestError> {
        self.list(key)?.iter().map(|item| item.as_text().map(str::to_owned)).collect()
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, ManifestError> {
        let Some(field) = self.field(key) else { return Ok(None) };
        match field.as_text()?.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(field.error(format!("'{}' is not a number that fits here", field.as_text()?))),
        }
    }

    fn seconds(&self, key: &str, default: u64, least: u64) -> Result<Duration, ManifestError> {
        let seconds = self.number::<u32>(key)?.map_or(default, u64::from);
        Ok(Duration::from_secs(seconds.max(least)))
    }

    fn object(&self, kind: &str, namespace: &str) -> Result<Option<Object>, ManifestError> {
        let metadata = self.field("metadata").unwrap_or(At { node: &NOTHING, path: "metadata".into() });
        let name = metadata
            .text("name")?
            .filter(|name| !name.is_empty())
            .ok_or_else(|| self.error(format!("a {kind} needs 'metadata.name'")))?;
        let namespace = metadata.text("namespace")?.filter(|text| !text.is_empty()).unwrap_or(namespace);
        for (what, text) in [("name", name), ("namespace", namespace)] {
            // Names become parts of file names.
            let odd = text.chars().any(|c| c == '/' || c == '\\' || c.is_whitespace() || c.is_control());
            if odd || text.starts_with('.') || text.len() > 253 {
                return Err(metadata.error(format!("'{text}' is no valid {what}")));
            }
        }
        let spec = self.field("spec").unwrap_or_else(|| At { node: &NOTHING, path: "spec".into() });
        let status = self.field("status").unwrap_or_else(|| At { node: &NOTHING, path: "status".into() });
        Ok(match kind {
            "Pod" => Some(Object::Pod(pod(&metadata, &spec, &status, namespace, name)?.into())),
            "Service" => {
                service(&metadata, &spec, namespace, name)?.map(|service| Object::Service(service.into()))
            }
            "Deployment" => Some(Object::Deployment(self.deployment(&spec, namespace, name)?.into())),
            _ => None,
        })
    }

    fn deployment(&self, spec: &At<'_>, namespace: &str, name: &str) -> Result<Deployment, ManifestError> {
        let template =
            spec.field("template").ok_or_else(|| self.error("a Deployment needs 'spec.template'"))?;
        let labels = match template.field("metadata") {
            Some(metadata) => metadata.labels()?,
            None => BTreeMap::new(),
        };
        let pod = template.field("spec").ok_or_else(|| template.error("'spec' is missing"))?;
        let containers = pod.list("containers")?.iter().map(container).collect::<Result<Vec<_>, _>>()?;
        if containers.is_empty() {
            return Err(pod.error("needs at least one container"));
        }
        let strategy = spec.field("strategy").map(|strategy| strategy.text("type")).transpose()?.flatten();
        Ok(Deployment {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            replicas: spec.number("replicas")?.unwrap_or(1),
            recreate: strategy == Some("Recreate"),
            template: Template {
                labels,
                containers,
                grace: pod.seconds("terminationGracePeriodSeconds", 30, 0)?,
            },
        })
    }

    fn labels(&self) -> Result<BTreeMap<String, String>, ManifestError> {
        let Some(labels) = self.field("labels") else { return Ok(BTreeMap::new()) };
        let Value::Mapping(fields) = &labels.node.value else {
            return Err(labels.error("expected a mapping"));
        };
        fields
            .iter()
            .map(|(key, node)| {
                let at = At { node, path: format!("{}.{key}", labels.path) };
                let text = if node.value == Value::Null { "" } else { at.as_text()? };
                Ok((key.clone(), text.to_owned()))
            })
            .collect()
    }
}

static NOTHING: Node = Node { line: 0, value: Value::Null };

fn pod(
    metadata: &At<'_>,
    spec: &At<'_>,
    status: &At<'_>,
    namespace: &str,
    name: &str,
) -> Result<Instance, ManifestError> {
    let deleting = metadata.field("deletionTimestamp").is_some();
    let finished = matches!(status.text("phase")?, Some("Succeeded" | "Failed"));
    let mut ready = true;
    for condition in status.list("conditions")? {
        if condition.text("type")? == Some("Ready") {
            ready = condition.text("status")? == Some("True");
        }
    }
    let exists = !deleting && !finished;
    let listed = spec.list("containers")?;
    // Exactly as much room as is needed: there may be many thousands of pods.
    let mut containers = Vec::with_capacity(listed.len());
    for container in listed {
        containers.push(InstanceContainer {
            name: container.text("name")?.unwrap_or_default().to_owned(),
            image: container.text("image")?.map(str::to_owned),
            ports: ports(&container, "containerPort")?,
        });
    }
    Ok(Instance {
        kind: InstanceKind::Pod,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels: metadata.labels()?,
        ip: address(status, "podIP")?,
        ready: exists && ready,
        exists,
        containers,
    })
}

/// `None` for services without a cluster IP: headless ones and external names.
fn service(
    metadata: &At<'_>,
    spec: &At<'_>,
    namespace: &str,
    name: &str,
) -> Result<Option<Instance>, ManifestError> {
    if matches!(spec.text("clusterIP")?, None | Some("" | "None")) {
        return Ok(None);
    }
    let exists = metadata.field("deletionTimestamp").is_none();
    Ok(Some(Instance {
        kind: InstanceKind::Service,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels: metadata.labels()?,
        ip: address(spec, "clusterIP")?,
        ready: exists,
        exists,
        containers: vec![InstanceContainer {
            name: name.to_owned(),
            image: None,
            ports: ports(spec, "port")?,
        }],
    }))
}

fn address(at: &At<'_>, key: &str) -> Result<Option<IpAddr>, ManifestError> {
    let Some(field) = at.field(key) else { return Ok(None) };
    match field.as_text()? {
        "" => Ok(None),
        text => match text.parse() {
            Ok(ip) => Ok(Some(ip)),
            Err(_) => Err(field.error(format!("'{text}' is no IP address"))),
        },
    }
}

fn ports(at: &At<'_>, number: &str) -> Result<Vec<ContainerPort>, ManifestError> {
    let listed = at.list("ports")?;
    let mut ports = Vec::with_capacity(listed.len());
    for port in listed {
        let value = port
            .number::<u16>(number)?
            .filter(|value| *value > 0)
            .ok_or_else(|| port.error(format!("'{number}' must be a port from 1 to 65535")))?;
        ports.push(ContainerPort {
            number: value,
            name: port.text("name")?.map(str::to_owned),
            tcp: matches!(port.text("protocol")?, None | Some("" | "TCP")),
            app_protocol: port.text("appProtocol")?.map(str::to_owned),
        });
    }
    Ok(ports)
}

fn container(at: &At<'_>) -> Result<Container, ManifestError> {
    let name = at.text("name")?.ok_or_else(|| at.error("a container needs a 'name'"))?;
    let ports = ports(at, "containerPort")?;
    let readiness = at.field("readinessProbe").map(|field| probe(&field, &ports)).transpose()?.flatten();
    Ok(Container {
        name: name.to_owned(),
        image: at.text("image")?.unwrap_or_default().to_owned(),
        command: at.texts("command")?,
        args: at.texts("args")?,
        directory: at.text("workingDir")?.map(str::to_owned),
        environment: at
            .list("env")?
            .iter()
            .filter_map(|item| variable(item).transpose())
            .collect::<Result<_, _>>()?,
        ports,
        readiness,
    })
}

/// `None` for an optional reference to something that only a cluster has: such a variable stays unset.
fn variable(at: &At<'_>) -> Result<Option<(String, EnvSource)>, ManifestError> {
    let name = at.text("name")?.filter(|name| !name.is_empty() && !name.contains(['=', '\0']));
    let name = name.ok_or_else(|| at.error("an environment variable needs a 'name' without '='"))?.to_owned();
    let Some(source) = at.field("valueFrom") else {
        return Ok(Some((name, EnvSource::Text(at.text("value")?.unwrap_or_default().to_owned()))));
    };
    if let Some(field) = source.field("fieldRef") {
        let path = field.text("fieldPath")?.ok_or_else(|| field.error("'fieldPath' is missing"))?;
        return Ok(Some((name, EnvSource::Field(path.to_owned()))));
    }
    for kind in ["secretKeyRef", "configMapKeyRef"] {
        if let Some(reference) = source.field(kind)
            && reference.text("optional")? == Some("true")
        {
            return Ok(None);
        }
    }
    let kind = match &source.node.value {
        Value::Mapping(fields) => fields.first().map_or("valueFrom", |(key, _)| key.as_str()),
        _ => "valueFrom",
    };
    Ok(Some((name, EnvSource::Unavailable(kind.to_owned()))))
}

/// Probes of a kind that is not known here count as none.
fn probe(at: &At<'_>, ports: &[ContainerPort]) -> Result<Option<Probe>, ManifestError> {
    let action = if let Some(http) = at.field("httpGet") {
        let port = probe_port(&http, ports)?;
        // Without a TLS client, HTTPS is checked as far as the connection.
        if http.text("scheme")?.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
            ProbeAction::Tcp { port }
        } else {
            let mut headers = Vec::new();
            for header in http.list("httpHeaders")? {
                let (name, value) = (header.text("name")?.unwrap_or(""), header.text("value")?.unwrap_or(""));
                if name.is_empty() || format!("{name}{value}").contains(['\r', '\n']) {
                    return Err(header.error("a header needs a name and no line breaks"));
                }
                headers.push((name.to_owned(), value.to_owned()));
            }
            let path = http.text("path")?.filter(|path| !path.is_empty()).unwrap_or("/");
            if path.contains([' ', '\r', '\n']) {
                return Err(http.error("'path' must not contain spaces or line breaks"));
            }
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            ProbeAction::Http { port, host: http.text("host")?.map(str::to_owned), path, headers }
        }
    } else if let Some(tcp) = at.field("tcpSocket").or_else(|| at.field("grpc")) {
        ProbeAction::Tcp { port: probe_port(&tcp, ports)? }
    } else if let Some(exec) = at.field("exec") {
        let command = exec.texts("command")?;
        if command.is_empty() {
            return Err(exec.error("'command' is missing"));
        }
        ProbeAction::Exec { command }
    } else {
        return Ok(None);
    };
    Ok(Some(Probe {
        action,
        initial_delay: at.seconds("initialDelaySeconds", 0, 0)?,
        period: at.seconds("periodSeconds", 10, 1)?,
        timeout: at.seconds("timeoutSeconds", 1, 1)?,
        successes: at.number("successThreshold")?.unwrap_or(1).max(1),
        failures: at.number("failureThreshold")?.unwrap_or(3).max(1),
    }))
}

fn probe_port(at: &At<'_>, ports: &[ContainerPort]) -> Result<u16, ManifestError> {
    let text = at.text("port")?.ok_or_else(|| at.error("'port' is missing"))?;
    match text.parse() {
        Ok(0) => Err(at.error("'port' must be from 1 to 65535")),
        Ok(number) => Ok(number),
        Err(_) => ports
            .iter()
            .find(|port| port.name.as_deref() == Some(text))
            .map(|port| port.number)
            .ok_or_else(|| at.error(format!("the container has no port named '{text}'"))),
    }
}
