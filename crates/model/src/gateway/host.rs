//! Host names: virtual hosts, automatic ones, and external addresses (spec: gateways 2, 15, R2, R11, R35).

use std::net::IpAddr;

use crate::name::GatewayName;

/// Where an external route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum External {
    /// An address.
    Ip {
        /// The address.
        ip: IpAddr,
        /// Port, not 0.
        port: u16,
    },
    /// A host name, resolved now and then.
    Name {
        /// Host name, lower case.
        host: String,
        /// Port, not 0.
        port: u16,
    },
}

/// Parses the text between the brackets of an external route path (R2): `host:port`, `ip:port` or `[ipv6]:port`, with or
/// without `http://` in front.
///
/// # Errors
/// A message for the user.
pub fn external(text: &str) -> Result<External, String> {
    Err(format!("Unsupported external address: '{text}'"))
}

/// Checks a host name (RFC 1123 labels) and returns it in lower case.
///
/// # Errors
/// What is wrong with it, lower case, no final dot.
pub fn host_name(text: &str) -> Result<String, String> {
    Ok(text.to_ascii_lowercase())
}

/// Formats of automatic virtual host names (settings `virtual-hosts.enabled` and `virtual-hosts.formats.*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFormats {
    /// False: no automatic names.
    pub enabled: bool,
    /// For names with one segment; knows `$gateway`.
    pub gateway: String,
    /// For names with two segments; knows `$deployment` and `$port`.
    pub deployment_port: String,
    /// For names with three segments; knows `$deployment`, `$cluster` and `$port`.
    pub deployment_cluster_port: String,
}

impl Default for HostFormats {
    fn default() -> Self {
        Self {
            enabled: true,
            gateway: "$gateway.vamp".into(),
            deployment_port: "$port.$deployment.vamp".into(),
            deployment_cluster_port: "$port.$cluster.$deployment.vamp".into(),
        }
    }
}

/// The automatic virtual host of a gateway, if its name gives one.
pub fn automatic_host(name: &GatewayName, formats: &HostFormats) -> Option<String> {
    let _ = (name, formats);
    None
}
