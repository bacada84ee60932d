//! Host names: virtual hosts, automatic ones, and external addresses (spec: gateways 2, 15, R2, R11, R35).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
        /// Written with `https://`.
        tls: bool,
    },
    /// A host name, resolved now and then.
    Name {
        /// Host name, lower case.
        host: String,
        /// Port, not 0.
        port: u16,
        /// Written with `https://`.
        tls: bool,
    },
}

/// Parses the text between the brackets of an external route path (R2): `host:port`, `ip:port` or `[ipv6]:port`, with or
/// without `http://` or `https://` in front.
///
/// # Errors
/// A message for the user.
pub fn external(text: &str) -> Result<External, String> {
    let refused = |why: &str| {
        format!(
            "Unsupported external address: '{}', {why}; use host:port, ip:port or [ipv6]:port",
            crate::yaml::shorten(text)
        )
    };
    let (rest, tls) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (rest, false),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (rest, true),
        Some(_) => return Err(refused("only http:// or https:// may stand in front")),
        None => (text, false),
    };
    let (host, port) = rest.rsplit_once(':').ok_or_else(|| refused("the port is missing"))?;
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    let port = match port.parse::<u16>() {
        Ok(port) if digits && port > 0 => port,
        _ => return Err(refused("the port must be a number from 1 to 65535")),
    };
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        let ip = address.ok_or_else(|| refused("the brackets hold no IPv6 address"))?;
        return Ok(External::Ip { ip: ip.into(), port, tls });
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(External::Ip { ip: ip.into(), port, tls });
    }
    let host = host_name(host).map_err(|why| refused(&why))?;
    // A name whose last label is a number is meant to be an address (RFC 1123 2.1).
    if host.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit())) {
        return Err(refused("this is no IPv4 address"));
    }
    Ok(External::Name { host, port, tls })
}

/// Checks a host name (RFC 1123 labels) and returns it in lower case.
///
/// # Errors
/// What is wrong with it, lower case, no final dot.
pub fn host_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the host name is empty".into());
    }
    if text.len() > 253 {
        return Err("a host name has at most 253 characters".into());
    }
    for label in text.split('.') {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if label.is_empty() || label.len() > 63 {
            return Err("each part of a host name between dots has 1 to 63 characters".into());
        }
        if !label.bytes().all(inner) {
            return Err("a host name consists of letters, digits, '-' and '.'".into());
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("no part of a host name starts or ends with '-'".into());
        }
    }
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

/// The automatic virtual host of a gateway (section 15), in lower case.
///
/// None when automatic names are off, when the name has four segments, and when what the name gives is no host name: a
/// gateway shows its virtual hosts, and what it shows must be accepted again.
pub fn automatic_host(name: &GatewayName, formats: &HostFormats) -> Option<String> {
    if !formats.enabled {
        return None;
    }
    let segments: Vec<String> = name.segments().map(host_segment).collect();
    let host = match segments.as_slice() {
        [gateway] => expand(&formats.gateway, &[("gateway", gateway)]),
        [deployment, port] => expand(&formats.deployment_port, &[("deployment", deployment), ("port", port)]),
        [deployment, cluster, port] => expand(
            &formats.deployment_cluster_port,
            &[("deployment", deployment), ("cluster", cluster), ("port", port)],
        ),
        _ => return None,
    };
    host_name(&host).ok()
}

/// In a segment that starts with a letter or digit every other character becomes `-`.
fn host_segment(segment: &str) -> String {
    if !segment.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return segment.to_owned();
    }
    segment.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Replaces `$name` and `${name}`, in one pass over the format: values are never expanded again.
fn expand(format: &str, values: &[(&str, &String)]) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let found = values.iter().find_map(|(name, value)| {
            let braced =
                after.strip_prefix('{').and_then(|a| a.strip_prefix(name)).and_then(|a| a.strip_prefix('}'));
            braced.or_else(|| after.strip_prefix(name)).map(|rest| (value, rest))
        });
        match found {
            Some((value, tail)) => {
                out.push_str(value);
                rest = tail;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}
