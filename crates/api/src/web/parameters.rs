//! Query parameters: unknown ones are ignored, unreadable values are refused (A8), the first of several counts.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::failure::Failure;

/// The parameters of a request in order, decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a query string.
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// All pairs in order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.pairs().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Every value of a repeatable parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs().filter(move |(n, _)| *n == name).map(|(_, value)| value)
    }

    /// A boolean, false when missing.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.text(name) {
            None => Ok(false),
            Some(value) => match value.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err(unreadable(name, value, "'true' or 'false'")),
            },
        }
    }

    /// An integer.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Failure> {
        match self.text(name) {
            None => Ok(None),
            Some(value) => value.trim().parse().map(Some).map_err(|_| unreadable(name, value, "an integer")),
        }
    }

    /// A duration with a unit: `500ms`, `5s`, `2m`; a bare `0` is fine.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, Failure> {
        match self.text(name) {
            None => Ok(None),
            Some(value) => match duration(value) {
                Some(duration) => Ok(Some(duration)),
                None => Err(unreadable(name, value, "a duration with a unit such as '500ms' or '5s'")),
            },
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..split].parse().ok()?;
    let unit = match &text[split..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

/// 400 for a parameter that cannot be read.
pub(crate) fn unreadable(name: &str, value: &str, expected: &str) -> Failure {
    Failure::bad_request(
        "invalid-parameter",
        format!("Invalid value of query parameter '{name}': '{value}', expected {expected}."),
    )
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
#[path = "parameters_tests.rs"]
mod tests;
