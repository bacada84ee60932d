//! The parts of the cluster's objects that Vamp looks at. Everything else is dropped while it is parsed, so that what is
//! kept of ten thousand pods stays small: no managed fields, annotations, environments, volumes or init containers.
//!
//! Every field is optional or has a default: an object from an older or newer API server is never a reason to stop.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A kind that is listed and watched.
pub(crate) trait Object: DeserializeOwned + Clone + Send + 'static {
    /// Where its group is.
    const API: &'static str = "/api/v1";
    /// Its name in paths and in RBAC rules.
    const RESOURCE: &'static str;
    /// Which objects the API server leaves out.
    const FIELD_SELECTOR: Option<&'static str>;
    /// Which objects it sends; `None` for all.
    const LABEL_SELECTOR: Option<&'static str> = None;
    /// False when its objects are in no namespace.
    const NAMESPACED: bool = true;
    /// What to say where the cluster does not have this kind at all.
    const UNKNOWN: Option<&'static str> = None;

    fn metadata(&self) -> &Metadata;
}

/// Of `ObjectMeta`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Identity over time: a new object of the same name has another.
    pub uid: String,
    /// Opaque version, for preconditions.
    pub resource_version: String,
    /// Labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// Set once the object is being deleted.
    pub deletion_timestamp: Option<String>,
}

/// Of `v1 Pod`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pod {
    pub(crate) metadata: Metadata,
    pub(crate) spec: PodSpec,
    pub(crate) status: PodStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodSpec {
    /// Neither init containers, native side-cars among them, nor ephemeral ones: those are other fields.
    #[serde(deserialize_with = "nullable")]
    pub(crate) containers: Vec<PodContainer>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodContainer {
    pub(crate) name: String,
    pub(crate) image: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ports: Vec<PodPort>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodPort {
    pub(crate) container_port: i64,
    pub(crate) name: Option<String>,
    pub(crate) protocol: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodStatus {
    pub(crate) phase: Option<String>,
    #[serde(rename = "podIP")]
    pub(crate) pod_ip: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "nullable")]
    pub(crate) pod_ips: Vec<PodIp>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodIp {
    pub(crate) ip: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
}

impl Object for Pod {
    const RESOURCE: &'static str = "pods";
    /// Finished pods can never serve again, and clusters that run jobs have many of them.
    const FIELD_SELECTOR: Option<&'static str> = Some("status.phase!=Succeeded,status.phase!=Failed");

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// Of `v1 Service`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What it offers.
    pub spec: ServiceSpec,
    /// What was given to it.
    pub status: ServiceStatus,
}

/// Of `v1 ServiceStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// Addresses of a load balancer.
    pub load_balancer: LoadBalancer,
}

/// Of `v1 LoadBalancerStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    /// Where it is reached.
    #[serde(deserialize_with = "nullable")]
    pub ingress: Vec<Ingress>,
}

/// Of `v1 LoadBalancerIngress`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Ingress {
    /// An address.
    pub ip: Option<String>,
    /// A name, where there is no address.
    pub hostname: Option<String>,
}

impl Service {
    /// Where clients reach its first port: at the load balancer if there is one, else inside the cluster.
    pub(crate) fn addresses(&self) -> Vec<(String, u16)> {
        let Some(port) = self.spec.ports.first().and_then(|port| u16::try_from(port.port).ok()) else {
            return Vec::new();
        };
        let balanced = self.status.load_balancer.ingress.iter();
        let balanced: Vec<String> = balanced
            .filter_map(|at| at.ip.clone().or_else(|| at.hostname.clone()))
            .filter(|at| !at.is_empty())
            .collect();
        let inside = || {
            self.spec.cluster_ip.iter().filter(|ip| !matches!(ip.as_str(), "" | "None")).cloned().collect()
        };
        let hosts = if balanced.is_empty() { inside() } else { balanced };
        hosts.into_iter().map(|host| (host, port)).collect()
    }
}

/// Of `v1 ServiceSpec`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    /// `NodePort` and so on.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Address inside the cluster; `None` as a text for headless ones.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    /// Labels of the pods behind it.
    #[serde(deserialize_with = "nullable")]
    pub selector: BTreeMap<String, String>,
    /// Ports.
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<ServicePort>,
}

/// Of `v1 ServicePort`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Name, when it has one.
    pub name: Option<String>,
    /// Port of the Service.
    pub port: i64,
    /// Port of the pods: a number, or the name of a container's port.
    pub target_port: Option<serde_json::Value>,
    /// Port of the nodes.
    pub node_port: Option<i64>,
    /// TCP when not given.
    pub protocol: Option<String>,
    /// For example `http`.
    pub app_protocol: Option<String>,
}

impl Object for Service {
    const RESOURCE: &'static str = "services";
    const FIELD_SELECTOR: Option<&'static str> = None;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// `null` means the same as nothing; Go writes empty lists and maps so.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
