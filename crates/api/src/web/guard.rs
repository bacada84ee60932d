//! Who may: host names (DNS rebinding), browsers of other sites, tokens and roles.
//!
//! Everything here looks at the request head only and is decided before a body is read.

use std::net::{IpAddr, Ipv4Addr};

use http::header::{HOST, ORIGIN, WWW_AUTHENTICATE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::failure::Failure;
use super::token::{Identity, Role, carries_token, identify};
use crate::context::Security;

/// Refuses what may not pass; else says who is calling, when that is known.
pub(crate) fn admit(parts: &Parts, path: &str, security: &Security) -> Result<Option<Identity>, Failure> {
    check_host(parts, security)?;
    if !is_read(&parts.method) {
        check_site(&parts.headers, security)?;
    }
    let identity = identify(&parts.headers, &security.tokens);
    if security.tokens.is_empty() || is_open(path) {
        return Ok(identity);
    }
    let needed = required(&parts.method, path);
    match identity {
        None => Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            if carries_token(&parts.headers) {
                "The token is not known to this server."
            } else {
                "A token is needed: send the header 'Authorization: Bearer <token>'."
            },
        )
        .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        Some(identity) if identity.role < needed => Err(Failure::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!(
                "'{}' has the role {}, but this needs the role {}.",
                identity.name,
                identity.role.as_str(),
                needed.as_str()
            ),
        )),
        Some(identity) => Ok(Some(identity)),
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Probes, and the start page, which carries no data.
fn is_open(path: &str) -> bool {
    matches!(path, "/" | "/livez" | "/readyz") || path.starts_with("/assets/")
}

/// The role that a call needs.
fn required(method: &Method, path: &str) -> Role {
    let api = path.strip_prefix("/api/v1").unwrap_or(path);
    // A decoded spelling of these segments does not match a route either, so the raw text is what counts.
    let first = api.trim_start_matches('/').split('/').next().unwrap_or_default();
    match (is_read(method), first) {
        (true, _) => Role::Viewer,
        (false, "route-tests") => Role::Viewer,
        (false, "events") if api.trim_end_matches('/') == "/events/query" => Role::Viewer,
        (false, "config" | "configuration" | "workloads" | "vga") => Role::Admin,
        (false, _) => Role::Operator,
    }
}

/// A page of another site must not make a browser of ours write (CSRF). Programs that are no browsers send neither header.
fn check_site(headers: &HeaderMap, security: &Security) -> Result<(), Failure> {
    let text =
        |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let refuse = |what: String| {
        Err(Failure::new(
            StatusCode::FORBIDDEN,
            "cross-site",
            format!(
                "Changes from pages of another site are refused ({what}). The setting allowed-origin lets one in."
            ),
        ))
    };
    if let Some(origin) = text(ORIGIN.as_str()) {
        if security
            .allowed_origins
            .iter()
            .any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(&origin))
        {
            return Ok(());
        }
        if !same_authority(&origin, text(HOST.as_str()).as_deref()) {
            return refuse(format!("Origin: {origin}"));
        }
    }
    match text("sec-fetch-site") {
        Some(site) if site != "same-origin" && site != "none" => refuse(format!("Sec-Fetch-Site: {site}")),
        _ => Ok(()),
    }
}

fn same_authority(origin: &str, host: Option<&str>) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let strip = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    host.is_some_and(|host| strip(host) == strip(authority))
}

/// A name that an attacker's DNS points at 127.0.0.1 makes a browser send requests here with that name as host (DNS rebinding).
/// So a server on loopback only answers to loopback names, and to configured ones.
fn check_host(parts: &Parts, security: &Security) -> Result<(), Failure> {
    if !security.loopback_only {
        return Ok(());
    }
    // All of them: which one counts is not for an attacker to choose.
    let named = parts
        .headers
        .get_all(HOST)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    named
        .chain(parts.uri.authority().map(ToString::to_string))
        .try_for_each(|host| check_name(&host, security))
}

fn check_name(host: &str, security: &Security) -> Result<(), Failure> {
    let name = host
        .parse::<Authority>()
        .map_or_else(|_| String::new(), |authority| authority.host().to_ascii_lowercase());
    let bare = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let loopback = match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback() || address == IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Err(_) => bare == "localhost" || bare.ends_with(".localhost"),
    };
    if loopback || security.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(bare)) {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::FORBIDDEN,
        "host-not-allowed",
        format!(
            "This server listens on loopback and does not answer to the host '{host}'. Use localhost, or add it with the setting allowed-host."
        ),
    ))
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
