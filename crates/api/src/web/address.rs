//! One spelling of every path: prefix read and stripped, no trailing slash.
//!
//! `/{namespace}/api/v1/...` and `/{organisation}/{environment}/api/v1/...` name an environment, `/api/v1/...` the default one (A1). Segments
//! are only decoded after splitting, so `shop%2Fstore` stays one segment until the router has matched it.

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

use super::failure::Failure;

/// The names before `/api`: none, an environment, or an organisation and an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place(Vec<String>);

impl Place {
    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }
}

/// The address that the router knows for `uri`, and the environment that it names. Drops `strip` leading segments, for who runs
/// behind a path.
pub(crate) fn canonical(uri: &Uri, strip: usize) -> Result<(Uri, Place), Failure> {
    let raw = uri.path();
    let mut segments: Vec<&str> = raw.split('/').filter(|segment| !segment.is_empty()).collect();
    segments.drain(..strip.min(segments.len()));
    let prefix = (0..=2).find(|&n| segments.get(n) == Some(&"api") && is_version(segments.get(n + 1)));
    let mut place = Place::default();
    if let Some(prefix) = prefix {
        let name = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        place.0 = segments.drain(..prefix).map(name).collect();
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
        return Ok((uri.clone(), place));
    }
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let unreadable = || Failure::bad_request("invalid-address", format!("Unreadable address: '{raw}'."));
    let path_and_query = PathAndQuery::try_from(path_and_query).map_err(|_| unreadable())?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    Uri::from_parts(parts).map(|uri| (uri, place)).map_err(|_| unreadable())
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
