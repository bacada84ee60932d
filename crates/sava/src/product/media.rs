//! Which shape of the answer a client gets (RFC 9110 section 12.5.1, for the few types that there are).

use crate::settings::major;

/// A version of the message, named by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    V1,
    V2,
}

const ALL: [(Shape, &str); 2] =
    [(Shape::V1, "application/vnd.sava.v1+json"), (Shape::V2, "application/vnd.sava.v2+json")];

impl Shape {
    /// The newest shape that a version of the service has. A version without a number (`latest`) is the newest.
    pub(super) fn of(version: &str) -> Self {
        match major(version) {
            Some(0 | 1) => Self::V1,
            _ => Self::V2,
        }
    }

    /// Media type.
    fn name(self) -> &'static str {
        match self {
            Self::V1 => ALL[0].1,
            Self::V2 => ALL[1].1,
        }
    }

    /// Media types of this shape and the older ones, oldest first.
    pub(super) fn all(self) -> Vec<&'static str> {
        ALL.iter().filter(|(shape, _)| *shape <= self).map(|(_, name)| *name).collect()
    }
}

/// Shape and content type for an `Accept` header, which may be empty. The highest quality wins; of equals, the more
/// specific one, then the first. `None`: nothing of what is asked for is there.
pub(super) fn choose(accept: &str, newest: Shape) -> Option<(Shape, &'static str)> {
    if accept.trim().is_empty() {
        return Some((newest, newest.name()));
    }
    let mut best = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(quality).unwrap_or(1000);
        let (specific, found) = match name.as_str() {
            "*/*" => (0, Some((newest, newest.name()))),
            "application/*" => (1, Some((newest, newest.name()))),
            "application/json" | "application/vnd.sava+json" => (2, Some((newest, "application/json"))),
            exact => (3, ALL.iter().copied().find(|(shape, name)| *name == exact && *shape <= newest)),
        };
        let Some(found) = found.filter(|_| quality > 0) else { continue };
        let rank = (quality, specific);
        if best.is_none_or(|(other, _): ((u16, u8), _)| rank > other) {
            best = Some((rank, found));
        }
    }
    best.map(|(_, found)| found)
}

/// `q=0.8` in thousandths; unreadable ones count as not acceptable.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().unwrap_or(0.0);
    Some((value.clamp(0.0, 1.0) * 1000.0).round() as u16)
}
