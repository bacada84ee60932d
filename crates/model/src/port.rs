//! Ports of gateways (spec: gateways 6, R7).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a gateway port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP: conditions, rewrites, stickiness and virtual hosts apply.
    #[default]
    Http,
    /// A byte stream: weights apply per connection.
    Tcp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
        })
    }
}

/// What a target speaks, behind an http gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, known beforehand (`h2c`); gRPC is spoken over it.
    Http2,
}

impl TargetProtocol {
    /// What the `appProtocol` or the name of a port says (Kubernetes: `kubernetes.io/h2c`; by convention `grpc`, `h2c` and
    /// `http2`, alone or before a hyphen). Anything else is HTTP/1.1.
    pub fn of_hint(hint: Option<&str>) -> Self {
        let hint = hint.unwrap_or_default();
        let hint = hint.strip_prefix("kubernetes.io/").unwrap_or(hint);
        let first = hint.split('-').next().unwrap_or_default();
        let http2 = ["h2c", "grpc", "http2"].iter().any(|word| first.eq_ignore_ascii_case(word));
        if http2 { Self::Http2 } else { Self::Http1 }
    }

    /// True for HTTP/1.1, which need not be written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A gateway port: number, protocol, and whether the protocol was written (`9070` stays `9070` in output).
///
/// Number 0 asks for an assigned port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Port {
    number: u16,
    protocol: Protocol,
    protocol_written: bool,
}

impl Port {
    /// A port as the platform assigns it: prints as `40000/http`.
    pub const fn assigned(number: u16, protocol: Protocol) -> Self {
        Self { number, protocol, protocol_written: true }
    }

    /// Parses `N`, `N/http` or `N/tcp` (case-insensitive).
    ///
    /// # Errors
    /// A message for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (number, protocol) = match text.split_once('/') {
            None => (text, None),
            Some((number, kind)) if kind.eq_ignore_ascii_case("http") => (number, Some(Protocol::Http)),
            Some((number, kind)) if kind.eq_ignore_ascii_case("tcp") => (number, Some(Protocol::Tcp)),
            Some((_, kind)) => {
                return Err(format!(
                    "Invalid gateway port: '{text}', unknown type '{kind}', use 'http' or 'tcp'"
                ));
            }
        };
        let digits = number.trim();
        let value = if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            digits.parse::<u16>().ok()
        } else {
            None
        };
        match value {
            Some(number) => Ok(Self {
                number,
                protocol: protocol.unwrap_or_default(),
                protocol_written: protocol.is_some(),
            }),
            None => Err(format!(
                "Invalid gateway port: '{text}', expected a number from 0 to 65535, optionally followed by '/http' or '/tcp'"
            )),
        }
    }

    /// The number; 0 asks for an assigned port.
    pub const fn number(self) -> u16 {
        self.number
    }

    /// What the port speaks.
    pub const fn protocol(self) -> Protocol {
        self.protocol
    }

    /// Always with the protocol, as in `service.port`: `9070/http`.
    pub fn with_protocol(self) -> String {
        format!("{}/{}", self.number, self.protocol)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.protocol_written {
            write!(f, "{}/{}", self.number, self.protocol)
        } else {
            write!(f, "{}", self.number)
        }
    }
}

impl Serialize for Port {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_say_what_is_spoken() {
        for (hint, protocol) in [
            (None, TargetProtocol::Http1),
            (Some(""), TargetProtocol::Http1),
            (Some("http"), TargetProtocol::Http1),
            (Some("https"), TargetProtocol::Http1),
            (Some("h2c"), TargetProtocol::Http2),
            (Some("grpc"), TargetProtocol::Http2),
            (Some("GRPC"), TargetProtocol::Http2),
            (Some("http2"), TargetProtocol::Http2),
            (Some("grpc-api"), TargetProtocol::Http2),
            (Some("h2c-web"), TargetProtocol::Http2),
            (Some("kubernetes.io/h2c"), TargetProtocol::Http2),
            (Some("grpcweb"), TargetProtocol::Http1),
            (Some("web-grpc"), TargetProtocol::Http1),
        ] {
            assert_eq!(TargetProtocol::of_hint(hint), protocol, "{hint:?}");
        }
    }
}
