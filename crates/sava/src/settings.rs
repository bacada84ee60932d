//! Settings that both services read, from arguments and environment. No process environment in here: callers hand in
//! a lookup, which tests replace.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A setting that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: '{value}' is not usable; {expected}")]
pub struct SettingsError {
    /// Name of the setting.
    pub name: &'static str,
    /// What was given.
    pub value: String,
    /// What would be right.
    pub expected: String,
}

pub(crate) fn error(name: &'static str, value: &str, expected: impl Into<String>) -> SettingsError {
    SettingsError { name, value: value.to_owned(), expected: expected.into() }
}

/// The argument, else the variable, when it is not blank.
pub(crate) fn pick(
    argument: Option<&str>,
    variable: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    argument.map(str::to_owned).or_else(|| environment(variable)).filter(|text| !text.trim().is_empty())
}

/// Version as a label value: short, and safe in a header and on a page.
pub(crate) fn version(text: &str) -> Result<String, SettingsError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    if text.is_empty() || text.len() > 63 || !text.bytes().all(plain) {
        return Err(error("version", text, "give letters, digits, '.', '-' and '_', for example 1.0.3"));
    }
    Ok(text.to_owned())
}

/// The first number of a version: `2` of `2.0.1`, `v2` or `2-rc1`. `None` when there is none, as in `latest`.
pub(crate) fn major(version: &str) -> Option<u32> {
    let digits = version.strip_prefix('v').unwrap_or(version);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// `ADDRESS:PORT`, `:PORT` or `PORT`; loopback unless an address is given.
pub(crate) fn listen(text: Option<&str>, port: u16) -> Result<SocketAddr, SettingsError> {
    let Some(text) = text else { return Ok((Ipv4Addr::LOCALHOST, port).into()) };
    let parsed = text.parse().ok().or_else(|| {
        let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>().ok()?;
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    });
    parsed.ok_or_else(|| error("SAVA_BIND", text, format!("give ADDRESS:PORT, for example 127.0.0.1:{port}")))
}

/// `150ms`, `2s`, or `0`.
pub(crate) fn duration(name: &'static str, text: &str) -> Result<Duration, SettingsError> {
    let text = text.trim();
    let parsed = if text == "0" {
        Some(Duration::ZERO)
    } else if let Some(number) = text.strip_suffix("ms") {
        number.trim().parse().ok().map(Duration::from_millis)
    } else if let Some(number) = text.strip_suffix('s') {
        number.trim().parse().ok().and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok())
    } else {
        None
    };
    parsed
        .filter(|duration| *duration <= Duration::from_secs(60))
        .ok_or_else(|| error(name, text, "give a number with a unit, at most a minute, for example 150ms"))
}
