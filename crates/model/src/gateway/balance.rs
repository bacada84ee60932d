//! The text form of [`Balance`] (spec: gateways 13, R10).

use crate::gateway::Balance;
use crate::port::Protocol;

const HTTP: &str = "roundrobin, static-rr, leastconn, first, source, uri, url_param NAME, hdr(NAME), random";
const TCP: &str = "roundrobin, static-rr, leastconn, first, source, random";

impl Balance {
    /// Parses a `balance` value.
    ///
    /// # Errors
    /// A message that lists what is supported.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        Ok(match text {
            "default" => Self::Default,
            "roundrobin" => Self::RoundRobin { fixed: false },
            "static-rr" => Self::RoundRobin { fixed: true },
            "leastconn" => Self::LeastConnections,
            "first" => Self::First,
            "source" => Self::Source,
            "uri" => Self::Uri,
            "random" => Self::Random,
            _ => named(text).ok_or_else(|| unsupported(text, Protocol::Http))?,
        })
    }

    /// True when a gateway of this protocol can use it.
    pub fn suits(&self, protocol: Protocol) -> bool {
        protocol == Protocol::Http || !matches!(self, Self::Uri | Self::UrlParameter(_) | Self::Header(_))
    }
}

/// `url_param NAME` and `hdr(NAME)`.
fn named(text: &str) -> Option<Balance> {
    if let Some(name) = text.strip_prefix("url_param") {
        let name = name.strip_prefix([' ', '\t'])?.trim();
        let valid =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '&' | '=' | '#'));
        return valid.then(|| Balance::UrlParameter(name.to_owned()));
    }
    let name = text.strip_prefix("hdr(")?.strip_suffix(')')?.trim();
    let valid = !name.is_empty() && name.bytes().all(is_token);
    valid.then(|| Balance::Header(name.to_owned()))
}

/// Characters of a header name (RFC 9110, token).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Message for a balance that a protocol does not know.
pub(super) fn unsupported(text: &str, protocol: Protocol) -> String {
    let list = match protocol {
        Protocol::Http => HTTP,
        Protocol::Tcp => TCP,
    };
    format!("Unsupported balance for {protocol}: '{text}', use one of: {list}")
}
