//! What can be read: one immutable snapshot of everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::artifact::{Artifact, ArtifactKind};
use model::gateway::{GatewaySpec, GatewayView};
use model::instance::Observation;
use model::name::GatewayName;
use model::percent::Percent;
use routing::config::RoutingConfig;

use crate::state::{PlatformService, StoredMirror};

/// Everything that can be read, at one moment. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Revision of the environment.
    pub revision: u64,
    /// Gateways by name.
    pub gateways: Arc<BTreeMap<GatewayName, Arc<Entry>>>,
    /// Passive artifacts by kind and name.
    pub artifacts: Arc<BTreeMap<(ArtifactKind, String), Arc<StoredArtifact>>>,
    /// Objects that mirror gateways, by gateway.
    pub mirrors: Arc<BTreeMap<GatewayName, Arc<StoredMirror>>>,
    /// What proxies are to serve.
    pub config: Arc<RoutingConfig>,
    /// What the platform shows.
    pub observation: Arc<Observation>,
    /// The proxies that take part.
    pub proxies: Arc<Vec<ProxyStatus>>,
    /// True once the first configuration is published.
    pub started: bool,
    /// Why changes or sightings are not being kept: the store refuses them. `None` when all is well.
    pub store_problem: Option<String>,
}

impl View {
    /// A passive artifact.
    pub fn artifact(&self, kind: ArtifactKind, name: &str) -> Option<&Arc<StoredArtifact>> {
        self.artifacts.get(&(kind, name.to_owned()))
    }

    /// All artifacts of a kind, by name.
    pub fn artifacts_of(&self, kind: ArtifactKind) -> impl Iterator<Item = &Arc<StoredArtifact>> {
        self.artifacts
            .range((kind, String::new())..)
            .take_while(move |((k, _), _)| *k == kind)
            .map(|(_, v)| v)
    }
}

/// A gateway as it can be read. The vectors have one element for each route, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Revision that last changed what users set; the ETag. Targets that come and go do not change it.
    pub version: u64,
    /// The document.
    pub view: GatewayView,
    /// What of it a user declared.
    pub declared: Arc<GatewaySpec>,
    /// Weights in the data plane (R22 rule 4).
    pub effective: Vec<Percent>,
    /// True for routes whose group is gone and that wait for it or for their removal (R22 rule 3).
    pub absent: Vec<bool>,
    /// Instances behind the routes.
    pub instances: Vec<Counts>,
    /// What deserves attention.
    pub warnings: Vec<String>,
    /// What the platform says about the gateway's service.
    pub service: PlatformService,
    /// Part of every sticky cookie; rises with every eviction (R31).
    pub sticky_generation: u32,
}

/// Instances behind a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Instances that may get traffic.
    pub ready: usize,
    /// Instances that there are.
    pub existing: usize,
}

/// A passive artifact with the revision that wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredArtifact {
    /// The artifact.
    pub artifact: Artifact,
    /// The ETag.
    pub version: u64,
}

/// A proxy as control knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyStatus {
    /// Name.
    pub name: String,
    /// True when nothing has been heard of it for too long: nobody waits for it.
    pub lost: bool,
    /// Revision that it serves; `None` before its first acknowledgement.
    pub revision: Option<u64>,
    /// What it cannot do, for example listen on the port of a gateway.
    pub problems: Vec<(GatewayName, String)>,
}
