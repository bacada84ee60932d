//! What the control plane hands to every proxy: plain, serialisable data.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use model::condition::Condition;
use model::gateway::{Balance, Sticky, TargetCare, TargetTls, Tls};
use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
pub use model::port::TargetProtocol;
use model::rewrite::Rewrite;
use serde::{Deserialize, Serialize};

/// Everything that one revision says about traffic. Whole and immutable.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RoutingConfig {
    /// Revision of the environment.
    pub revision: u64,
    /// Gateways by name; an `Arc` that is the same as in the previous revision means "unchanged".
    pub gateways: BTreeMap<GatewayName, Arc<GatewayConfig>>,
}

/// One gateway as the data plane serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayConfig {
    /// Name.
    pub name: GatewayName,
    /// Stable id (`lookup_name`).
    pub lookup: String,
    /// Port to listen on; `None` while none is assigned.
    pub port: Option<u16>,
    /// HTTP or TCP.
    pub protocol: Protocol,
    /// Virtual hosts, lower case, without port and trailing dot.
    pub hosts: Vec<String>,
    /// Stickiness.
    pub sticky: Option<Sticky>,
    /// Part of every sticky cookie value; raising it evicts (R31).
    pub sticky_generation: u32,
    /// TLS to clients: names the certificates, which every proxy loads by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Whom to trust where targets are reached with TLS; the authorities of the system without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_tls: Option<TargetTls>,
    /// How targets are looked after, where that is not left to the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_care: Option<TargetCare>,
    /// Connections to the port begin with a header of the PROXY protocol.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxy_protocol: bool,
    /// Routes in order.
    pub routes: Vec<RouteConfig>,
}

/// One route as the data plane serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteConfig {
    /// Path.
    pub path: RoutePath,
    /// Stable id (`lookup_name`).
    pub lookup: String,
    /// Effective weight in hundredths of a percent (R22 rule 4 already applied).
    pub weight: u16,
    /// Condition, if any.
    pub condition: Option<Condition>,
    /// Strength in hundredths of a percent.
    pub strength: u16,
    /// Choice of targets.
    pub balance: Balance,
    /// Rewrites in order.
    pub rewrites: Vec<Rewrite>,
    /// Ready targets only.
    pub targets: Vec<TargetConfig>,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TargetConfig {
    /// Stable id that reveals no address (used in cookies and metrics): a short hex digest.
    pub id: String,
    /// Name for people: pod name, external address, or gateway name.
    pub name: String,
    /// Where it is.
    pub address: TargetAddress,
    /// What it is.
    pub kind: TargetKind,
    /// What it speaks, behind an http gateway.
    #[serde(default, skip_serializing_if = "TargetProtocol::is_default")]
    pub protocol: TargetProtocol,
    /// It is reached with TLS: the name that its certificate must be for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
}

/// Address of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetAddress {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A host name that the proxy resolves now and then, all addresses used (R2).
    Name {
        /// Host name.
        host: String,
        /// Port.
        port: u16,
    },
}

/// What a target is: decides about health checks and the hop count of chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// An instance found by selector; readiness comes from the platform.
    Instance,
    /// An external address; connect checks are the only health there is.
    External,
    /// Another gateway of this environment, reached through its listener (section 17).
    Gateway,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_without_protocols_are_read() {
        let text = r#"{"id":"a","name":"b","address":{"socket":"127.0.0.1:1"},"kind":"instance"}"#;
        let target: TargetConfig = serde_json::from_str(text).unwrap();
        assert_eq!(target.protocol, TargetProtocol::Http1);
        assert_eq!(serde_json::to_string(&target).unwrap(), text);
    }
}
