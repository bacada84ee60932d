//! What a platform shows us: instances that may serve traffic, in words that no platform owns.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What an [`Instance`] is on its platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceKind {
    /// A Kubernetes Pod, or a process of the local platform.
    Pod,
    /// A Kubernetes Service (R18: a candidate only when the selector asks for services).
    Service,
}

/// One container of a pod with the TCP ports that it declares, in order. For a Service: one "container" named
/// like the Service, with the service ports and no image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Container name (Service name for services).
    pub name: String,
    /// Image text; `None` for services.
    pub image: Option<String>,
    /// All declared ports in declaration order; non-TCP ones keep their place for `index()` but are no candidates.
    pub ports: Vec<ContainerPort>,
}

/// One declared port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerPort {
    /// Port number.
    pub number: u16,
    /// Port name, when it has one.
    pub name: Option<String>,
    /// False for UDP and SCTP.
    pub tcp: bool,
    /// The Kubernetes `appProtocol`, when known.
    pub app_protocol: Option<String>,
}

/// A pod or service as Vamp sees it. Plain data; equality decides whether anything changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Pod or service.
    pub kind: InstanceKind,
    /// Platform namespace.
    pub namespace: String,
    /// Pod or service name, unique with kind and namespace.
    pub name: String,
    /// Labels of the pod or service.
    pub labels: BTreeMap<String, String>,
    /// Pod IP or cluster IP; without one there is no target.
    pub ip: Option<IpAddr>,
    /// True while it may get traffic (R41: Ready and not being deleted).
    pub ready: bool,
    /// True while the pod object counts for the life of its group (R22): not Succeeded or Failed, not being deleted.
    pub exists: bool,
    /// Containers in order (no init or ephemeral ones).
    pub containers: Vec<Container>,
}

/// Everything that the platform shows at one moment. A source that cannot be read keeps its last known instances and
/// says so in `problem` (R22 rule 7).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observation {
    /// All instances, in an order that does not change while nothing else does. One that is the same `Arc` as before has not
    /// changed, which makes comparing two observations cheap.
    pub instances: Arc<Vec<Arc<Instance>>>,
    /// Last error of a source, when what is shown is the last known state.
    pub problem: Option<String>,
    /// False until the first complete read.
    pub complete: bool,
}
