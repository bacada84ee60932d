//! Request target and Host: one identity for every request, whatever form it came in.

use super::head::{Name, Refusal, Request, Version};

/// Where a request wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    pub(crate) method: &'a str,
    /// Origin form, or `*` for OPTIONS.
    pub(crate) target: &'a str,
    /// The Host field as sent; empty only in HTTP/1.0.
    pub(crate) host: &'a str,
}

/// Reads method, target and host of a request and refuses what two readers may understand differently.
pub(crate) fn identify<'a>(request: &Request, buffer: &'a [u8]) -> Result<Identity<'a>, Refusal> {
    let method = request.method.text(buffer);
    let raw = request.target.of(buffer);
    if raw.iter().any(|b| !b.is_ascii_graphic() || *b == b'#') {
        return Err(Refusal::bad("control character, fragment or non-ASCII byte in the request target"));
    }
    let raw = request.target.text(buffer);
    if method == "CONNECT" {
        return Err(Refusal::new(405, "CONNECT is not offered"));
    }
    let host = host(request, buffer)?;
    let (target, authority) = match raw.as_bytes() {
        [b'/', ..] => (raw, None),
        b"*" if method == "OPTIONS" => (raw, None),
        _ => {
            let after = |scheme: &str| {
                let start = raw.get(..scheme.len())?;
                start.eq_ignore_ascii_case(scheme).then(|| &raw[scheme.len()..])
            };
            let rest = after("http://")
                .or_else(|| after("https://"))
                .ok_or(Refusal::bad("the request target must start with a slash, http:// or https://"))?;
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            if path.starts_with('?') {
                return Err(Refusal::bad("the request target must have a path"));
            }
            let path = match path {
                "" if method == "OPTIONS" => "*",
                "" => "/",
                path => path,
            };
            (path, Some(authority))
        }
    };
    if let Some(authority) = authority {
        if !is_authority(authority) {
            return Err(Refusal::bad("malformed authority in the request target"));
        }
        if !host.is_empty() && !same_authority(authority, host) {
            return Err(Refusal::bad("Host and request target disagree"));
        }
        return Ok(Identity { method, target, host: if host.is_empty() { authority } else { host } });
    }
    Ok(Identity { method, target, host })
}

fn host<'a>(request: &Request, buffer: &'a [u8]) -> Result<&'a str, Refusal> {
    let mut hosts = request.fields.known(Name::Host);
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::bad("more than one Host field"));
    }
    match first {
        None if request.version == Version::Http10 => Ok(""),
        None => Err(Refusal::bad("Host is missing")),
        Some(field) => {
            let text = std::str::from_utf8(field.value.of(buffer)).unwrap_or("");
            if is_authority(text) { Ok(text) } else { Err(Refusal::bad("malformed Host")) }
        }
    }
}

/// `host[:port]`, `ip[:port]` or `[ipv6][:port]`; no user information, not empty.
pub(crate) fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match port {
                "" => return true,
                port => match port.strip_prefix(':') {
                    Some(port) => ("v6", port),
                    None => return false,
                },
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, port),
            None => (text, ""),
        },
    };
    let host_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&b);
    !host.is_empty()
        && host.len() <= 255
        && host.bytes().all(host_byte)
        && port.len() <= 5
        && port.bytes().all(|b| b.is_ascii_digit())
        && (port.is_empty() || port.parse::<u16>().is_ok())
}

pub(crate) fn same_authority(left: &str, right: &str) -> bool {
    let without_default = |text: &str| text.strip_suffix(":80").unwrap_or(text).len();
    left[..without_default(left)].eq_ignore_ascii_case(&right[..without_default(right)])
}
