//! What is kept. Pure data; how it becomes records is the engine's business.
//!
//! A gateway has three parts with three owners. Users own what they *declare*, kept exactly as written. Decisions, of users
//! and of Vamp, make what is *live*. The platform makes what is *sighted*. They are kept apart so that a canary never edits a
//! document that somebody else applies, and so that pods that come and go do not look like edits.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use model::artifact::ArtifactKind;
use model::condition::Condition;
use model::gateway::{Balance, GatewaySpec, Mirror, ServiceAddress};
use model::name::{GatewayName, RoutePath};
use model::percent::Percent;
use model::port::Port;
use model::rewrite::Rewrite;
use routing::config::TargetConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::view::StoredArtifact;

/// Everything of an environment. Clones share the parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Number of this state.
    pub revision: u64,
    /// Gateways by name.
    pub gateways: BTreeMap<GatewayName, Gateway>,
    /// Passive artifacts by kind and name.
    pub artifacts: BTreeMap<(ArtifactKind, String), Arc<StoredArtifact>>,
    /// What is remembered of the objects that mirror gateways, by gateway. It outlives the gateway until the object is gone.
    pub mirrors: BTreeMap<GatewayName, Arc<StoredMirror>>,
}

/// A [`Mirror`] with the revision that wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMirror {
    /// What is remembered.
    pub mirror: Mirror,
    /// The revision.
    pub version: u64,
}

/// A gateway: three parts, and which revision wrote each.
#[derive(Debug, Clone, PartialEq)]
pub struct Gateway {
    /// What a user declared.
    pub declared: Arc<GatewaySpec>,
    /// What is in force.
    pub live: Arc<GatewayState>,
    /// What the platform showed.
    pub sighted: Arc<Sighting>,
    /// Revisions that wrote the parts.
    pub written: Written,
}

impl Gateway {
    /// Revision that last changed what users can set: the ETag.
    pub fn version(&self) -> u64 {
        self.written.declared.max(self.written.live)
    }
}

/// Revisions that last wrote the parts of a gateway; 0 for parts that were never written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Of the declared part.
    pub declared: u64,
    /// Of the live part.
    pub live: u64,
    /// Of the sighted part.
    pub sighted: u64,
}

/// The live part of a gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayState {
    /// Port in force, as given or assigned.
    pub port: Port,
    /// True when Vamp chose the port (R14: then it is kept when a document does not name one).
    pub assigned: bool,
    /// Virtual hosts in force, the automatic one first.
    pub hosts: Vec<String>,
    /// Address given when the gateway was created, or found by the platform; kept for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceAddress>,
    /// Part of every sticky cookie (R31).
    pub sticky_generation: u32,
    /// Routes in order.
    pub routes: Vec<LiveRoute>,
}

/// A route in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveRoute {
    /// Path.
    pub path: RoutePath,
    /// Configured weight. What the data plane uses is derived from it (R22 rule 4).
    pub weight: Percent,
    /// Condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Strength of the condition.
    pub strength: Percent,
    /// Choice of targets.
    #[serde(default)]
    pub balance: Balance,
    /// Path rewrites.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrites: Vec<Rewrite>,
    /// Free form.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a route came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A document names it.
    Declared,
    /// A selector found it.
    Discovered,
}

/// The sighted part of a gateway.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Sighting {
    /// By route; routes that nothing is known of yet are not in it.
    pub routes: BTreeMap<RoutePath, RouteSighting>,
    /// What deserves attention; each is an event when it arises.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// The gateway's own service on the platform.
    #[serde(default, skip_serializing_if = "PlatformService::is_unknown")]
    pub service: PlatformService,
}

/// What the platform says about the service that it gives a gateway (a Kubernetes Service).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlatformService {
    /// Where it is reached; `None` while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<ServiceAddress>,
    /// True when something that is not Vamp's has its name (R40).
    #[serde(default)]
    pub blocked: bool,
}

impl PlatformService {
    /// True while nothing is known of it.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

impl Sighting {
    /// True for a route whose group is gone.
    pub fn is_absent(&self, path: &RoutePath) -> bool {
        self.routes.get(path).is_some_and(|route| route.absent.is_some())
    }

    /// The ready targets of a route.
    pub fn targets(&self, path: &RoutePath) -> &[TargetConfig] {
        self.routes.get(path).map_or(&[], |route| &route.targets)
    }
}

/// What the platform showed of a route.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RouteSighting {
    /// Ready targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetConfig>,
    /// Set while the group of the route is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<Absence>,
}

/// The group of a route is gone (R22 rule 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// Start of the retention. `None`: no group of the gateway is there, and so the route is kept without limit (rule 6).
    pub since: Option<Timestamp>,
}

/// Something about a gateway that deserves attention.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Warning {
    /// Which one.
    pub kind: WarningKind,
    /// The route concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RoutePath>,
}

/// Kinds of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningKind {
    /// One instance gives the route several targets (R20).
    SeveralTargets,
    /// The selector matches an instance that declares no port (R20).
    NoPort,
    /// Captures in different places made the same route (R21).
    MergedGroups,
    /// A service that is not Vamp's has the name of the gateway's (R40).
    ForeignService,
}

impl Warning {
    /// The code, also the event tag `warning:CODE`.
    pub fn code(&self) -> &'static str {
        match self.kind {
            WarningKind::SeveralTargets => "several-targets",
            WarningKind::NoPort => "no-port",
            WarningKind::MergedGroups => "merged-groups",
            WarningKind::ForeignService => "foreign-service",
        }
    }

    /// What it means and what to do, for a person.
    pub fn message(&self) -> String {
        let route = self.route.as_ref().map_or_else(String::new, |path| format!(" of route '{path}'"));
        match self.kind {
            WarningKind::SeveralTargets => format!(
                "an instance{route} gives several targets, one for each declared port: narrow the selector with port(...), index(...) or name(...)"
            ),
            WarningKind::NoPort => format!(
                "the selector{route} matches an instance that declares no TCP port and so gets no traffic: declare a containerPort"
            ),
            WarningKind::MergedGroups => format!(
                "instances{route} have the same captured texts in different labels and share one route: capture label keys too, as in label((a))((.*))"
            ),
            WarningKind::ForeignService => "a Service that is not Vamp's has the name that the gateway's own would have, and was left alone: \
                 rename the gateway, or delete that Service"
                .to_owned(),
        }
    }
}
