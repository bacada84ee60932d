//! The gateway document: what a user declares (spec: gateways 1-5, 7).
//!
//! Two stages. [`GatewayDocument`] mirrors what was written, references included. [`GatewayDocument::resolve`] turns it
//! into a [`GatewaySpec`], which holds values only and is ready to be planned. [`GatewayView`] is what every read shows:
//! declared and live halves merged, in the form that may be sent back unchanged.
//!
//! ```text
//! text --read--> GatewayDocument --resolve--> GatewaySpec --(control: plan)--> GatewayView --write--> JSON
//!   ^                                             |                                              |
//!   |                                             +-- stored: the declared half, kept exactly    |
//!   +----------------------------- sent back unchanged ------------------------------------------+
//! ```

mod balance;
mod care;
mod host;
mod mirror;
mod read;
mod read_route;
mod resolve;
mod rules;
mod stored;
mod target_tls;
mod tls;
mod weights;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::condition::Condition;
use crate::name::{GatewayName, RoutePath};
use crate::percent::Percent;
use crate::port::{Port, TargetProtocol};
use crate::rewrite::Rewrite;
use crate::selector::Selector;

pub use crate::gateway::care::{Period, TargetCare};
pub use crate::gateway::host::{External, HostFormats, automatic_host, external, host_name};
pub use crate::gateway::mirror::Mirror;
pub(crate) use crate::gateway::read::{only, refuse_import};
pub(crate) use crate::gateway::read_route::{read_condition, read_rewrite, read_route};
pub use crate::gateway::target_tls::{AuthoritySource, ClusterSource, TargetTls};
pub use crate::gateway::tls::{CertificateSource, Tls, TlsVersion};
pub use crate::gateway::weights::{complete_weights, weights_add_up};

/// Stickiness of a gateway (section 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    /// A client stays on the same route.
    Route,
    /// A client stays on the same target.
    Instance,
}

/// How a route chooses one of its targets (section 13, R10).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Balance {
    /// `default` or unset: round robin for http, least connections for tcp.
    #[default]
    Default,
    /// `roundrobin` or `static-rr`; the flag keeps which word was written.
    RoundRobin {
        /// True when written `static-rr`.
        fixed: bool,
    },
    /// `leastconn`.
    LeastConnections,
    /// `first`: the first target that serves.
    First,
    /// `source`: hash of the client address.
    Source,
    /// `uri`: hash of the path.
    Uri,
    /// `url_param NAME`: hash of a query parameter, round robin without it.
    UrlParameter(String),
    /// `hdr(NAME)`: hash of a header, round robin without it.
    Header(String),
    /// `random`.
    Random,
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::RoundRobin { fixed: false } => f.write_str("roundrobin"),
            Self::RoundRobin { fixed: true } => f.write_str("static-rr"),
            Self::LeastConnections => f.write_str("leastconn"),
            Self::First => f.write_str("first"),
            Self::Source => f.write_str("source"),
            Self::Uri => f.write_str("uri"),
            Self::UrlParameter(name) => write!(f, "url_param {name}"),
            Self::Header(name) => write!(f, "hdr({name})"),
            Self::Random => f.write_str("random"),
        }
    }
}

/// Where clients reach a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAddress {
    /// Host name or address.
    pub host: String,
    /// Port as given.
    pub port: Port,
}

/// A gateway as written, references not resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayDocument {
    /// Identity.
    pub name: GatewayName,
    /// Free form, returned untouched.
    pub metadata: Map<String, Value>,
    /// Port; `None` or number 0 asks for an assigned one.
    pub port: Option<Port>,
    /// Makes routes automatic.
    pub selector: Option<Selector>,
    /// Routes in the order written (R5).
    pub routes: Vec<(RoutePath, RouteEntry)>,
    /// Stickiness.
    pub sticky: Option<Sticky>,
    /// What the targets speak, when not left to what their ports say.
    pub target_protocol: Option<TargetProtocol>,
    /// Virtual hosts as written, lower-cased.
    pub virtual_hosts: Vec<String>,
    /// Given address of the gateway.
    pub service: Option<ServiceAddress>,
    /// TLS to clients.
    pub tls: Option<Tls>,
    /// TLS to targets.
    pub target_tls: Option<TargetTls>,
    /// How targets are looked after, where that is not left to the proxy.
    pub target_care: Option<TargetCare>,
    /// Clients of its own port come through a load balancer that says who they are (PROXY protocol).
    pub proxy_protocol: bool,
}

/// A route of a document: written out, or the name of a stored route.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly every route is written out")]
pub enum RouteEntry {
    /// Name of a stored route.
    Reference(String),
    /// Written out.
    Inline(RouteDocument),
}

/// A condition of a document: text, or the name of a stored condition.
#[derive(Debug, Clone, PartialEq)]
pub enum ConditionEntry {
    /// Name of a stored condition.
    Reference(String),
    /// Written out.
    Inline(Condition),
}

/// A rewrite of a document: text, or the name of a stored rewrite.
#[derive(Debug, Clone, PartialEq)]
pub enum RewriteEntry {
    /// Name of a stored rewrite.
    Reference(String),
    /// Written out.
    Inline(Rewrite),
}

/// A route as written out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RouteDocument {
    /// Share of traffic not taken by a condition.
    pub weight: Option<Percent>,
    /// Which requests it takes before weights.
    pub condition: Option<ConditionEntry>,
    /// Share of the matching requests that it takes.
    pub condition_strength: Option<Percent>,
    /// Choice of targets.
    pub balance: Balance,
    /// Path rewrites in order.
    pub rewrites: Vec<RewriteEntry>,
    /// Explicit targets by selector.
    pub selector: Option<Selector>,
    /// Free form.
    pub metadata: Map<String, Value>,
}

/// A gateway with every reference replaced by a copy. Weights are still as written: section 7 (missing weights) is
/// applied by [`complete_weights`] when the gateway is planned, because R23 needs to know what was not given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewaySpec {
    /// Identity.
    pub name: GatewayName,
    /// Free form.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Port; `None` or number 0 asks for an assigned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// Makes routes automatic.
    #[serde(default, with = "stored::selector_text", skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Routes in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<(RoutePath, RouteSpec)>,
    /// Stickiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// What the targets speak, when not left to what their ports say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_protocol: Option<TargetProtocol>,
    /// Virtual hosts as written, lower-cased.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub virtual_hosts: Vec<String>,
    /// Given address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceAddress>,
    /// TLS to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// TLS to targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_tls: Option<TargetTls>,
    /// How targets are looked after, where that is not left to the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_care: Option<TargetCare>,
    /// Clients of its own port come through a load balancer that says who they are (PROXY protocol).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxy_protocol: bool,
}

/// A route without references.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RouteSpec {
    /// Share of traffic, when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Percent>,
    /// Which requests it takes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Share of the matching requests, when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition_strength: Option<Percent>,
    /// Choice of targets.
    #[serde(
        default,
        with = "stored::balance_text",
        skip_serializing_if = "stored::balance_text::is_default"
    )]
    pub balance: Balance,
    /// Path rewrites in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrites: Vec<Rewrite>,
    /// Explicit targets by selector.
    #[serde(default, with = "stored::selector_text", skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Free form.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// Where references of a document are looked up.
pub trait References {
    /// A stored route.
    fn route(&self, name: &str) -> Option<RouteDocument>;
    /// A stored condition.
    fn condition(&self, name: &str) -> Option<Condition>;
    /// A stored rewrite.
    fn rewrite(&self, name: &str) -> Option<Rewrite>;
}

/// What a read of a gateway shows (section 4).
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayView {
    /// Identity.
    pub name: GatewayName,
    /// Free form.
    pub metadata: Map<String, Value>,
    /// Where clients reach it.
    pub service: ServiceAddress,
    /// True while the data plane serves it.
    pub deployed: bool,
    /// Port in force, printed as given or assigned.
    pub port: Port,
    /// Stickiness.
    pub sticky: Option<Sticky>,
    /// What the targets speak, when not left to what their ports say.
    pub target_protocol: Option<TargetProtocol>,
    /// Virtual hosts in force, the automatic ones first.
    pub virtual_hosts: Vec<String>,
    /// TLS to clients.
    pub tls: Option<Tls>,
    /// TLS to targets.
    pub target_tls: Option<TargetTls>,
    /// How targets are looked after, where that is not left to the proxy.
    pub target_care: Option<TargetCare>,
    /// PROXY protocol on its own port.
    pub proxy_protocol: bool,
    /// Selector as written.
    pub selector: Option<Selector>,
    /// Routes in order.
    pub routes: Vec<(RoutePath, RouteView)>,
}

/// What a read of a route shows.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteView {
    /// Free form.
    pub metadata: Map<String, Value>,
    /// Configured weight.
    pub weight: Percent,
    /// Condition.
    pub condition: Option<Condition>,
    /// Strength.
    pub condition_strength: Percent,
    /// Choice of targets.
    pub balance: Balance,
    /// Rewrites.
    pub rewrites: Vec<Rewrite>,
    /// Selector.
    pub selector: Option<Selector>,
    /// Targets.
    pub targets: Vec<TargetView>,
}

/// A target in output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetView {
    /// `{url: "ip:port"}`: found by selector, or written in brackets.
    Url(String),
    /// `{name, host, port}`: another gateway.
    Named {
        /// Name of the gateway.
        name: String,
        /// Address of the proxy.
        host: String,
        /// Port number.
        port: u16,
    },
}
