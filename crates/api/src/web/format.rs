//! Which format goes out (`Accept`, A7) and which media types come in (A6).

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use super::failure::Failure;

/// How documents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    /// Compact JSON.
    #[default]
    Json,
    /// Block style YAML.
    Yaml,
}

impl Format {
    /// The media type in `Content-Type`.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/x-yaml",
        }
    }

    /// What the `Accept` header asks for. Missing: JSON. Nothing that fits: 406.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Result<Self, Failure> {
        let values: Vec<String> = headers
            .get_all(ACCEPT)
            .iter()
            .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
            .collect();
        choose(&values.join(",")).ok_or_else(|| {
            Failure::new(
                StatusCode::NOT_ACCEPTABLE,
                "not-acceptable",
                format!(
                    "Only the following media types are supported: application/json, application/x-yaml, but not: {}.",
                    values.join(", ")
                ),
            )
        })
    }
}

/// The format of the element with the highest quality; on a tie the more exact, then the earlier one.
fn choose(accept: &str) -> Option<Format> {
    if accept.trim().is_empty() {
        return Some(Format::Json);
    }
    let mut best: Option<(u16, u8, Format)> = None;
    let mut refused = Vec::new();
    for element in accept.split(',') {
        let mut parts = element.split(';');
        let media_type = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let quality =
            parts.find_map(|parameter| parameter.trim().strip_prefix("q=").map(quality)).unwrap_or(1000);
        let Some((exactness, format)) = format_of(&media_type) else { continue };
        if quality == 0 {
            if exactness == 2 {
                refused.push(format);
            }
            continue;
        }
        if best.is_none_or(|(q, e, _)| (quality, exactness) > (q, e)) {
            best = Some((quality, exactness, format));
        }
    }
    match best {
        // `*/*` stands for whatever was not refused by name.
        Some((_, 0, Format::Json)) if refused.contains(&Format::Json) => {
            (!refused.contains(&Format::Yaml)).then_some(Format::Yaml)
        }
        Some((_, _, format)) => Some(format),
        None => None,
    }
}

/// Format and exactness (2 a type by name, 1 a family or a stand-in, 0 anything) of an element.
fn format_of(media_type: &str) -> Option<(u8, Format)> {
    Some(match media_type {
        "application/json" => (2, Format::Json),
        "application/x-yaml" | "application/yaml" | "text/yaml" | "text/x-yaml" => (2, Format::Yaml),
        // A browser that is pointed at the API gets JSON.
        "application/*" | "text/html" | "text/plain" | "application/xhtml+xml" => (1, Format::Json),
        "text/*" => (1, Format::Yaml),
        _ if media_type.starts_with("*/*") || media_type == "*" => (0, Format::Json),
        _ => return None,
    })
}

/// Thousandths, 0 to 1000; unreadable counts as 1.
fn quality(text: &str) -> u16 {
    match text.trim().parse::<f32>() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
        Ok(value) if value.is_finite() => (value.clamp(0.0, 1.0) * 1000.0).round() as u16,
        _ => 1000,
    }
}

const ACCEPTED: [&str; 7] = [
    "application/json",
    "application/x-yaml",
    "application/yaml",
    "text/yaml",
    "text/x-yaml",
    "text/plain",
    "application/x-www-form-urlencoded",
];

/// Refuses a body of a type that is certainly not a document. The type never selects a parser (A5): `curl -d` and the
/// original's UI both send YAML under another name.
pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence.is_empty() || ACCEPTED.contains(&essence.as_str()) {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        format!(
            "Unsupported content type: '{essence}'. Send JSON or YAML as one of: {}.",
            ACCEPTED.join(", ")
        ),
    ))
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
