//! Reading gateway documents (spec: gateways 1.1, 3, 5): every short form, everything that is wrong at once.

use crate::fields::{Fields, text, wrong_type};
use crate::gateway::care::read_target_care;
use crate::gateway::read_route::{self, read_selector};
use crate::gateway::target_tls::read_target_tls;
use crate::gateway::tls::{read_flag, read_tls};
use crate::gateway::{GatewayDocument, ServiceAddress, Sticky, host_name};
use crate::name::GatewayName;
use crate::port::{Port, Protocol, TargetProtocol};
use crate::problem::{Problem, Problems};
use crate::yaml::{self, Node, shorten};

/// Fields that the server adds to what it shows; a document that was read may be sent back unchanged (spec: api 2).
pub(crate) const SERVER_OWNED: &[&str] = &[
    "lookup_name",
    "internal",
    "deployed",
    "proxy",
    "targets",
    "status",
    "instances",
    "health",
    "since",
    "phase",
];

impl GatewayDocument {
    /// Reads one document, YAML or JSON.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(text: &str) -> Result<Self, Problems> {
        Self::from_node(&yaml::read_one(text)?)
    }

    /// Reads a document from a tree that is already parsed: a map, or a list that holds just one.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_node(node: &Node) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let document = read(only(node), &mut problems);
        match document {
            Some(document) => problems.into_result(document),
            None => Err(problems),
        }
    }
}

/// A list of one element stands for the element.
pub(crate) fn only(node: &Node) -> &Node {
    match node.list() {
        Some([element]) => element,
        _ => node,
    }
}

fn read(node: &Node, problems: &mut Problems) -> Option<GatewayDocument> {
    let mut fields = Fields::new(node, "", problems)?;
    let name_text = fields.required_text("name", problems);
    let name = name_text.and_then(|text| read_name(&fields, text, problems));
    fields.kind("gateways", problems);
    refuse_import(&mut fields, problems);
    fields.ignore(SERVER_OWNED);
    let metadata = fields.metadata(problems);
    let port = read_port(fields.take("port"), "/port", problems);
    let protocol = port.map_or(Protocol::Http, Port::protocol);
    let selector = read_selector(&mut fields, problems);
    let sticky = read_sticky(&mut fields, protocol, problems);
    let target_protocol = read_target_protocol(&mut fields, protocol, problems);
    let virtual_hosts = read_virtual_hosts(&mut fields, problems);
    let service = read_service(&mut fields, problems);
    let tls = read_tls(&mut fields, protocol, problems);
    let target_tls = read_target_tls(&mut fields, problems);
    let target_care = read_target_care(&mut fields, protocol, problems);
    let proxy_protocol = read_flag(&mut fields, "proxy_protocol", problems);
    let routes = match fields.take("routes") {
        Some(node) => read_route::read_routes(node, protocol, name_text.unwrap_or_default(), problems),
        None => Vec::new(),
    };
    fields.finish(problems);
    Some(GatewayDocument {
        name: name?,
        metadata,
        port,
        selector,
        routes,
        sticky,
        target_protocol,
        virtual_hosts,
        service,
        tls,
        target_tls,
        target_care,
        proxy_protocol,
    })
}

fn read_name(fields: &Fields<'_>, text: &str, problems: &mut Problems) -> Option<GatewayName> {
    match GatewayName::parse(text) {
        Ok(name) => Some(name),
        Err(message) => {
            let message =
                format!("{}; use 1 to 4 segments without white space, '[' and ']'", shorten(&message));
            problems.push(
                Problem::new("illegal-name", fields.path_of("name"), message).at(fields.position_of("name")),
            );
            None
        }
    }
}

/// `import` merges stored templates under a document. None can be stored, so none can be found.
pub(crate) fn refuse_import(fields: &mut Fields<'_>, problems: &mut Problems) {
    let Some(node) = fields.take("import") else { return };
    let path = fields.path_of("import");
    for element in node.list().unwrap_or(std::slice::from_ref(node)) {
        let Some(reference) = text(element, &path, problems) else { continue };
        let full =
            if reference.contains('/') { reference.to_owned() } else { format!("templates/{reference}") };
        let message = format!("Reference '{}' cannot be resolved.", shorten(&full));
        problems.push(Problem::new("import", path.clone(), message).at(element.position));
    }
}

fn read_port(node: Option<&Node>, path: &str, problems: &mut Problems) -> Option<Port> {
    let node = node?;
    let text = match node.text() {
        Some(text) if !matches!(node.to_value(), serde_json::Value::Bool(_)) => text,
        _ => {
            problems
                .push(wrong_type(node, path, "a port such as 9070 or '9070/tcp'").example("port: 9070/http"));
            return None;
        }
    };
    match Port::parse(text.trim()) {
        Ok(port) => Some(port),
        Err(message) => {
            let problem = Problem::new("gateway-port-range", path, shorten(&message)).at(node.position);
            problems.push(problem.example("port: 9070/http"));
            None
        }
    }
}

fn read_sticky(fields: &mut Fields<'_>, protocol: Protocol, problems: &mut Problems) -> Option<Sticky> {
    let node = fields.take("sticky")?;
    let path = fields.path_of("sticky");
    let Some(text) = node.text() else {
        problems.push(wrong_type(node, &path, "'route', 'instance' or 'none'").example("sticky: route"));
        return None;
    };
    let sticky = match text {
        "none" => return None,
        _ if text.eq_ignore_ascii_case("route") => Sticky::Route,
        _ if text.eq_ignore_ascii_case("instance") => Sticky::Instance,
        _ => {
            let message = format!(
                "Illegal routing sticky value: '{}', use 'route', 'instance' or 'none'",
                shorten(text)
            );
            problems
                .push(Problem::new("sticky-value", path, message).at(node.position).example("sticky: route"));
            return None;
        }
    };
    if protocol == Protocol::Tcp {
        let message = "Sticky sessions are not allowed for TCP port, remove 'sticky' or use an http port.";
        problems.push(Problem::new("sticky-on-tcp", path, message).at(node.position).example("sticky: none"));
    }
    Some(sticky)
}

fn read_target_protocol(
    fields: &mut Fields<'_>,
    protocol: Protocol,
    problems: &mut Problems,
) -> Option<TargetProtocol> {
    let node = fields.take("target_protocol")?;
    let path = fields.path_of("target_protocol");
    const EXAMPLE: &str = "target_protocol: http2";
    let Some(text) = node.text() else {
        problems.push(wrong_type(node, &path, "'http1' or 'http2'").example(EXAMPLE));
        return None;
    };
    let spoken = match text {
        _ if text.eq_ignore_ascii_case("http1") => TargetProtocol::Http1,
        _ if text.eq_ignore_ascii_case("http2") => TargetProtocol::Http2,
        _ => {
            let message = format!("Illegal target protocol: '{}', use 'http1' or 'http2'", shorten(text));
            problems.push(Problem::new("target-protocol", path, message).at(node.position).example(EXAMPLE));
            return None;
        }
    };
    if protocol == Protocol::Tcp {
        let message =
            "A target protocol is not allowed for TCP port, remove 'target_protocol' or use an http port.";
        problems.push(Problem::new("target-protocol-on-tcp", path, message).at(node.position));
    }
    Some(spoken)
}

fn read_virtual_hosts(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<String> {
    let Some(node) = fields.take("virtual_hosts") else { return Vec::new() };
    let path = fields.path_of("virtual_hosts");
    let mut hosts: Vec<String> = Vec::new();
    for element in node.list().unwrap_or(std::slice::from_ref(node)) {
        // A number or a boolean here is a mistake; typed text fields elsewhere take them for the text they were written as.
        let Some(text) = element.text().filter(|_| element.to_value().is_string()) else {
            let found = element.describe();
            let message =
                format!("Illegal gateway virtual hosts, only a list of strings is allowed but found {found}");
            let problem = Problem::new("virtual-hosts", path.clone(), message).at(element.position);
            problems.push(problem.example("virtual_hosts: [shop.example.com]"));
            continue;
        };
        match host_name(text) {
            Ok(host) if hosts.contains(&host) => {}
            Ok(host) => hosts.push(host),
            Err(why) => {
                let message = format!("Illegal gateway virtual host '{}': {why}", shorten(text));
                let problem = Problem::new("virtual-hosts", path.clone(), message).at(element.position);
                problems.push(problem.example("virtual_hosts: [shop.example.com]"));
            }
        }
        if hosts.len() > MAX_VIRTUAL_HOSTS {
            let message = format!("Illegal gateway virtual hosts, more than {MAX_VIRTUAL_HOSTS}");
            problems.push(Problem::new("virtual-hosts", path, message).at(node.position));
            break;
        }
    }
    hosts
}

/// Far more than anybody lists by hand; keeps the search for duplicates short.
const MAX_VIRTUAL_HOSTS: usize = 1_000;

fn read_service(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<ServiceAddress> {
    let node = fields.take("service")?;
    let mut inner = Fields::new(node, &fields.path_of("service"), problems)?;
    let host = inner.required_text("host", problems);
    let port = read_port(inner.required("port", problems), &inner.path_of("port"), problems);
    inner.finish(problems);
    Some(ServiceAddress { host: host?.to_owned(), port: port? })
}
