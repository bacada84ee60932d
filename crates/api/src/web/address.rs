//! One spelling of every path: prefix stripped, namespace resolved, no trailing slash.
//!
//! `/{namespace}/api/v1/...` and `/{organisation}/{environment}/api/v1/...` name the same thing as `/api/v1/...` (A1). Segments
//! are only decoded after splitting, so `shop%2Fstore` stays one segment until the router has matched it.

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

use super::failure::Failure;

/// Which prefixes name this environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    /// Name of the environment.
    pub(crate) environment: String,
    /// Name of the organisation, if there is one.
    pub(crate) organisation: Option<String>,
    /// Number of leading segments to drop, when running behind a path.
    pub(crate) strip_segments: usize,
}

impl Addresses {
    /// The address that the router knows for `uri`.
    pub(crate) fn canonical(&self, uri: &Uri) -> Result<Uri, Failure> {
        let raw = uri.path();
        let mut segments: Vec<&str> = raw.split('/').filter(|segment| !segment.is_empty()).collect();
        segments.drain(..self.strip_segments.min(segments.len()));
        let prefix = (0..=2).find(|&n| segments.get(n) == Some(&"api") && is_version(segments.get(n + 1)));
        if let Some(prefix) = prefix {
            self.check(&segments[..prefix])?;
            segments.drain(..prefix);
            // Kinds are plural or singular (A13); the others are read where they are looked up.
            if segments.get(2) == Some(&"gateway") {
                segments[2] = "gateways";
            }
            if segments[1] != "v1" {
                return Err(Failure::not_found(format!(
                    "Unsupported API version: '{}', the only one is 'v1'.",
                    segments[1]
                )));
            }
        }
        let path = format!("/{}", segments.join("/"));
        if path == raw {
            return Ok(uri.clone());
        }
        let path_and_query = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let unreadable = |_| Failure::bad_request("invalid-address", format!("Unreadable address: '{raw}'."));
        let path_and_query = PathAndQuery::try_from(path_and_query).map_err(unreadable)?;
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(path_and_query);
        Uri::from_parts(parts)
            .map_err(|_| Failure::bad_request("invalid-address", format!("Unreadable address: '{raw}'.")))
    }

    fn check(&self, prefix: &[&str]) -> Result<(), Failure> {
        let names: Vec<_> =
            prefix.iter().map(|segment| percent_decode_str(segment).decode_utf8_lossy()).collect();
        let known = match (names.as_slice(), &self.organisation) {
            ([], _) => true,
            ([one], None) => *one == self.environment,
            ([one], Some(organisation)) => {
                *one == self.environment || *one == format!("{organisation}-{}", self.environment)
            }
            ([first, second], Some(organisation)) => first == organisation && *second == self.environment,
            _ => false,
        };
        if known {
            return Ok(());
        }
        Err(Failure::not_found(format!(
            "Environment cannot be found: '{}'. This server has '{}'.",
            names.join("/"),
            self.environment
        )))
    }
}

/// `v1`, `v2`: what follows `api` when it is the API that is meant, not a namespace called so.
fn is_version(segment: Option<&&str>) -> bool {
    segment
        .and_then(|text| text.strip_prefix('v'))
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
