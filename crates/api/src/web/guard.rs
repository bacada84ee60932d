//! Who may: host names (DNS rebinding), browsers of other sites, tokens and roles.
//!
//! Everything here looks at the request head only and is decided before a body is read.

use std::net::{IpAddr, Ipv4Addr};

use http::header::{HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::failure::Failure;
use super::token::{Identity, Role, Unauthenticated, identify, secret};
use crate::context::Security;
use crate::serve::Encrypted;

/// Refuses what may not pass; else says who is calling, when that is known. `namespace` is that of the environment.
pub(crate) async fn admit(
    parts: &Parts,
    path: &str,
    namespace: &str,
    security: &Security,
) -> Result<Option<Identity>, Failure> {
    check_host(parts, security)?;
    if !is_read(&parts.method) {
        check_site(&parts.headers, security, parts.extensions.get::<Encrypted>().is_some())?;
    }
    let identity = identify(&parts.headers, &security.tokens);
    if security.is_open() || is_open(path) {
        return Ok(identity);
    }
    let identity = match (identity, secret(&parts.headers), &security.authenticator) {
        (Some(identity), _, _) => identity,
        (None, Some(token), Some(authenticator)) if !token.is_empty() => {
            authenticator.authenticate(token, namespace).await.map_err(|error| match error {
                Unauthenticated::Unknown(why) => unauthenticated(&format!("{why}.")),
                Unauthenticated::Unavailable(why) => Failure::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "authentication-unavailable",
                    format!("{why}."),
                )
                .header(RETRY_AFTER, HeaderValue::from_static("5")),
            })?
        }
        (None, Some(_), None) => return Err(unauthenticated("The token is not known to this server.")),
        (None, _, _) => {
            return Err(unauthenticated(
                "A token is needed: send the header 'Authorization: Bearer <token>'.",
            ));
        }
    };
    let needed = required(&parts.method, path);
    if identity.role.is_some_and(|role| role >= needed) {
        return Ok(Some(identity));
    }
    let has =
        identity.role.map_or_else(|| "no role here".into(), |role| format!("the role {}", role.as_str()));
    let mut message = format!("'{}' has {has}, but this needs the role {}", identity.name, needed.as_str());
    if let Some(authenticator) = &security.authenticator {
        message.push_str(": ");
        message.push_str(&authenticator.rule(needed, namespace));
    }
    message.push('.');
    Err(Failure::new(StatusCode::FORBIDDEN, "forbidden", message))
}

fn unauthenticated(message: &str) -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
        .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Probes, and the files of the web UI, which carry no data: it asks for the token itself.
fn is_open(path: &str) -> bool {
    matches!(path, "/" | "/livez" | "/readyz" | "/favicon.svg" | "/ui")
        || path.starts_with("/assets/")
        || path.starts_with("/ui/")
}

/// The role that a call needs.
fn required(method: &Method, path: &str) -> Role {
    let api = path.strip_prefix("/api/v1").unwrap_or(path);
    // A decoded spelling of these segments does not match a route either, so the raw text is what counts.
    let first = api.trim_start_matches('/').split('/').next().unwrap_or_default();
    match (is_read(method), first) {
        (true, _) => Role::Viewer,
        (false, "route-tests" | "condition-tests") => Role::Viewer,
        (false, "events") if api.trim_end_matches('/') == "/events/query" => Role::Viewer,
        (false, "config" | "configuration" | "workloads" | "vga") => Role::Admin,
        (false, _) => Role::Operator,
    }
}

/// A page of another site must not make a browser of ours write (CSRF). Programs that are no browsers send neither header.
fn check_site(headers: &HeaderMap, security: &Security, encrypted: bool) -> Result<(), Failure> {
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
        // A page that came without TLS may have been made on the way.
        let downgraded =
            encrypted && !origin.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
        if downgraded || !same_authority(&origin, text(HOST.as_str()).as_deref()) {
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
