//! Which Services are to be created, changed and deleted (spec: gateways 18.2, R38-R40). Pure.
//!
//! ```text
//! gateways with a port --+
//! Services there are ----+--> plan --> Create | Update | Delete | Foreign, and where each gateway is reached
//! rules -----------------+
//! ```
//!
//! Only Services with the label `io.vamp: gateway` are ever changed or deleted, and of those none that bears the name of another
//! installation; two in one namespace would else undo each other's work for ever. Each action carries the version of the object
//! that it was planned on: whoever changed it meanwhile is not overwritten, and the plan is made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use model::gateway::ServiceAddress;
use model::lookup;
use model::name::GatewayName;
use model::port::{Port, Protocol};
use serde_json::{Map, Value, json};

use crate::access::manifests::AGENT;
use crate::object::Service;

/// Label of what belongs to Vamp: Services of gateways, and the pods of agents.
pub const MARK: &str = "io.vamp";
const MARK_VALUE: &str = "gateway";
const GATEWAY: &str = "io.vamp.gateway";
const LOOKUP: &str = "io.vamp.lookup_name";
const OWNER: &str = "io.vamp.owner";

/// The longest DNS label.
const LONGEST: usize = 63;
/// Digits that tell apart gateways whose names become the same.
const DIGITS: usize = 8;

/// A gateway that is to have a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Name.
    pub name: GatewayName,
    /// Port that proxies listen on.
    pub port: u16,
    /// What it speaks.
    pub protocol: Protocol,
}

/// How Services are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Their type.
    pub service_type: ServiceType,
    /// Value of the label `io.vamp` of the proxies' pods.
    pub proxies: String,
    /// Name of the installation, a label value: Services of others in the namespace are left alone.
    pub owner: String,
}

impl Default for Rules {
    fn default() -> Self {
        Self { service_type: ServiceType::NodePort, proxies: AGENT.into(), owner: "vamp".into() }
    }
}

/// Type of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceType {
    /// Reached inside the cluster only.
    ClusterIp,
    /// Reached on a port of every node, too.
    NodePort,
    /// Reached through a load balancer of the cloud, too.
    LoadBalancer,
}

impl ServiceType {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }

    fn has_node_port(self) -> bool {
        self != Self::ClusterIp
    }
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ServiceType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::ClusterIp, Self::NodePort, Self::LoadBalancer];
        all.into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| "use NodePort, LoadBalancer or ClusterIP".to_owned())
    }
}

/// One step towards what is wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A Service is missing.
    Create {
        /// Name of the Service.
        name: String,
        /// The whole object.
        body: Value,
    },
    /// A Service of Vamp's is not as it should be.
    Update {
        /// Name of the Service.
        name: String,
        /// A JSON merge patch, with the version that it is meant for.
        patch: Value,
    },
    /// A Service of Vamp's has no gateway.
    Delete {
        /// Name of the Service.
        name: String,
        /// Identity of the object that is meant.
        uid: String,
        /// Version that is meant.
        version: String,
    },
    /// A Service that is not Vamp's has the name of the one to create. It is left alone.
    Foreign {
        /// The gateway without a Service.
        gateway: GatewayName,
        /// Name of the Service in the way.
        name: String,
    },
}

/// What is to be said about a gateway's Service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayService {
    /// Where it is reached.
    pub address: Option<ServiceAddress>,
    /// True when a foreign Service has its name.
    pub blocked: bool,
}

/// What is to be done, and what there is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In no order that matters.
    pub actions: Vec<Action>,
    /// For each gateway.
    pub services: BTreeMap<GatewayName, GatewayService>,
}

/// True for Services that Vamp made, and may change and delete.
pub(crate) fn is_managed(service: &Service) -> bool {
    service.metadata.labels.get(MARK).is_some_and(|value| value == MARK_VALUE)
}

/// True for Services of this installation. What has no name of any is taken over.
fn is_ours(service: &Service, rules: &Rules) -> bool {
    is_managed(service) && service.metadata.labels.get(OWNER).is_none_or(|owner| *owner == rules.owner)
}

/// Compares the gateways with the Services of the namespace, by name.
pub fn plan(gateways: &[Gateway], existing: &BTreeMap<String, Service>, rules: &Rules) -> Plan {
    let mut plan = Plan::default();
    let owners = owners(gateways, existing, rules);
    let kept: BTreeSet<&str> = owners.values().copied().collect();
    for (name, service) in existing {
        let metadata = &service.metadata;
        if is_ours(service, rules) && !kept.contains(name.as_str()) && metadata.deletion_timestamp.is_none() {
            plan.actions.push(Action::Delete {
                name: name.clone(),
                uid: metadata.uid.clone(),
                version: metadata.resource_version.clone(),
            });
        }
    }
    let mut created = BTreeSet::new();
    for gateway in gateways {
        let mut status = GatewayService::default();
        match owners.get(&gateway.name).and_then(|name| existing.get(*name)) {
            // Its successor comes once it is gone.
            Some(service) if service.metadata.deletion_timestamp.is_some() => {}
            Some(service) => {
                status.address = address(gateway, service, rules);
                plan.actions.extend(update(gateway, service, rules));
            }
            None => {
                let name = service_name(&gateway.name);
                match existing.get(&name) {
                    // One of ours that is to be deleted; the next plan finds the name free.
                    Some(service) if is_ours(service, rules) && !kept.contains(name.as_str()) => {}
                    None if created.insert(name.clone()) => {
                        plan.actions.push(Action::Create { body: body(gateway, &name, rules), name });
                    }
                    _ => {
                        status.blocked = true;
                        plan.actions.push(Action::Foreign { gateway: gateway.name.clone(), name });
                    }
                }
            }
        }
        plan.services.insert(gateway.name.clone(), status);
    }
    plan
}

/// The Service of each gateway that has one, by the label that names the gateway. Of several, the one with the right name.
fn owners<'a>(
    gateways: &[Gateway],
    existing: &'a BTreeMap<String, Service>,
    rules: &Rules,
) -> BTreeMap<GatewayName, &'a str> {
    let mut by_lookup: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for (name, service) in existing.iter().filter(|(_, service)| is_ours(service, rules)) {
        if let Some(id) = service.metadata.labels.get(LOOKUP) {
            by_lookup.entry(id).or_default().push(name);
        }
    }
    let known: BTreeSet<String> = gateways.iter().map(|gateway| lookup::gateway(&gateway.name)).collect();
    let mut owners = BTreeMap::new();
    for gateway in gateways {
        let right = service_name(&gateway.name);
        let labelled = by_lookup.get(lookup::gateway(&gateway.name).as_str());
        let found = labelled.and_then(|names| {
            names.iter().copied().find(|name| *name == right).or_else(|| names.first().copied())
        });
        // Ours, with a label that somebody damaged.
        let nameless = || {
            let (name, service) = existing.get_key_value(&right)?;
            let id = service.metadata.labels.get(LOOKUP);
            let free = is_ours(service, rules) && id.is_none_or(|id| !known.contains(id));
            free.then_some(name.as_str())
        };
        if let Some(name) = found.or_else(nameless) {
            owners.insert(gateway.name.clone(), name);
        }
    }
    owners
}

/// R38: the gateway's name if it is a DNS-1035 label; else what is left of it, with digits of the gateway's id.
pub fn service_name(gateway: &GatewayName) -> String {
    let text = gateway.as_str();
    if is_label(text) {
        return text.to_owned();
    }
    let id = lookup::gateway(gateway);
    let digits = &id[id.len().saturating_sub(DIGITS)..];
    let plain: String = text
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect();
    let plain = plain.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let plain = plain.get(..LONGEST - DIGITS - 1).unwrap_or(plain).trim_end_matches('-');
    let plain = if plain.is_empty() { MARK_VALUE } else { plain };
    format!("{plain}-{digits}")
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= LONGEST
        && text.bytes().all(inner)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
}

/// The labels of a gateway's Service. Values that Kubernetes would refuse are left out.
fn labels(gateway: &Gateway, rules: &Rules) -> [(&'static str, Option<String>); 4] {
    [
        (MARK, Some(MARK_VALUE.to_owned())),
        (GATEWAY, label_value(gateway.name.as_str())),
        (LOOKUP, label_value(&lookup::gateway(&gateway.name))),
        (OWNER, Some(rules.owner.clone())),
    ]
}

fn label_value(text: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let value: String = text.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    let ends_well = value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.ends_with(|c: char| c.is_ascii_alphanumeric());
    (ends_well && (2..=LONGEST).contains(&value.len())).then_some(value)
}

/// R39: one port without a name, so that `services/NAME/proxy/` works.
fn port(gateway: &Gateway, node_port: Option<i64>) -> Value {
    let mut port = json!({"port": gateway.port, "targetPort": gateway.port, "protocol": "TCP"});
    if let Some(node_port) = node_port {
        port["nodePort"] = node_port.into();
    }
    port
}

fn body(gateway: &Gateway, name: &str, rules: &Rules) -> Value {
    let labels: Map<String, Value> = labels(gateway, rules)
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?))))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "type": rules.service_type.as_str(),
            "selector": {MARK: rules.proxies},
            "ports": [port(gateway, None)],
        },
    })
}

/// R40: what of a Service is to be different. Node port and cluster IP stay, and so does everything that others added.
fn update(gateway: &Gateway, service: &Service, rules: &Rules) -> Option<Action> {
    let metadata = &service.metadata;
    let mut changed = Map::new();
    for (key, wanted) in labels(gateway, rules) {
        if metadata.labels.get(key) != wanted.as_ref() {
            changed.insert(key.to_owned(), wanted.map_or(Value::Null, Value::from));
        }
    }
    let mut spec = Map::new();
    if service.spec.kind.as_deref() != Some(rules.service_type.as_str()) {
        spec.insert("type".into(), rules.service_type.as_str().into());
    }
    let selector = &service.spec.selector;
    if selector.len() != 1 || selector.get(MARK) != Some(&rules.proxies) {
        let mut patch: Map<String, Value> = selector.keys().map(|key| (key.clone(), Value::Null)).collect();
        patch.insert(MARK.into(), rules.proxies.clone().into());
        spec.insert("selector".into(), patch.into());
    }
    let node_port = node_port(service).filter(|_| rules.service_type.has_node_port());
    // A node port has no place in a Service that is for the cluster only.
    let surplus = node_port.is_none() && self::node_port(service).is_some();
    if surplus || !port_is_right(gateway, service) {
        spec.insert("ports".into(), json!([port(gateway, node_port)]));
    }
    if changed.is_empty() && spec.is_empty() {
        return None;
    }
    let mut patch = json!({"metadata": {"resourceVersion": metadata.resource_version}});
    if !changed.is_empty() {
        patch["metadata"]["labels"] = changed.into();
    }
    if !spec.is_empty() {
        patch["spec"] = spec.into();
    }
    Some(Action::Update { name: metadata.name.clone(), patch })
}

fn port_is_right(gateway: &Gateway, service: &Service) -> bool {
    let [port] = service.spec.ports.as_slice() else { return false };
    let number = i64::from(gateway.port);
    port.port == number
        && port.name.as_deref().unwrap_or_default().is_empty()
        && matches!(port.protocol.as_deref(), None | Some("TCP"))
        && port.target_port.as_ref().is_none_or(|target| *target == number)
}

fn node_port(service: &Service) -> Option<i64> {
    service.spec.ports.first()?.node_port.filter(|port| *port != 0)
}

/// Where the gateway is reached. An odd pair for node ports, kept as clients of the original know it: the address is the
/// one inside the cluster, the port that of the nodes.
fn address(gateway: &Gateway, service: &Service, rules: &Rules) -> Option<ServiceAddress> {
    let host = service.spec.cluster_ip.clone().filter(|ip| !matches!(ip.as_str(), "" | "None"))?;
    let number = match rules.service_type {
        ServiceType::NodePort => u16::try_from(node_port(service)?).ok()?,
        ServiceType::ClusterIp | ServiceType::LoadBalancer => gateway.port,
    };
    Some(ServiceAddress { host, port: Port::assigned(number, gateway.protocol) })
}

#[cfg(test)]
mod tests;
