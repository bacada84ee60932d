//! How things are called and written in the cluster: object names, the form of an object, and how much room text takes.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::{Key, Revision};

use crate::crd;

/// Name of the one object that says what is committed.
pub(super) const HEAD: &str = "head";
/// Kind of the objects that hold events.
pub(super) const EVENTS: &str = "events";
/// Kind of the objects that hold a commit that is too large for the head.
pub(super) const COMMIT: &str = "commit";

/// Longest part of a name that is taken over as it is.
const PLAIN: usize = 63;
/// How much of a name stays readable when it cannot be taken over.
const READABLE: usize = 40;
/// Digits that tell such names apart: 96 bits, so that nobody can make two that meet.
const DIGITS: usize = 24;

/// An object of kind `Record`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Object {
    #[serde(default)]
    pub(super) metadata: Metadata,
    pub(super) record: About,
    pub(super) body: String,
}

/// As much of `ObjectMeta` as is needed.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) resource_version: String,
}

/// What an object is about, for people and for finding it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) revision: Revision,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) deleted: bool,
}

/// The object as it is sent. `version`: the one that it replaces, none for a new one.
pub(super) fn manifest(
    namespace: &str,
    name: &str,
    version: Option<&str>,
    about: &About,
    body: &str,
) -> Value {
    let mut metadata = json!({"name": name, "namespace": namespace});
    if let Some(version) = version {
        metadata["resourceVersion"] = version.into();
    }
    json!({
        "apiVersion": format!("{}/{}", crd::GROUP, crd::VERSION),
        "kind": "Record",
        "metadata": metadata,
        "record": about,
        "body": body,
    })
}

/// Name of the object of a record: `kind.name` when Kubernetes takes it so, else what can be read of both and a digest:
/// `kind.name.digest`. Names of other objects have no dot, so all of them are apart.
pub(super) fn record_name((kind, name): &Key) -> String {
    if is_plain(kind) && is_plain(name) {
        return format!("{kind}.{name}");
    }
    let mut hash = Sha256::new();
    hash.update((kind.len() as u64).to_be_bytes());
    hash.update(kind);
    hash.update(name);
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}.{}.{}", readable(kind), readable(name), &digest[..DIGITS])
}

/// Name of the object of the events from the one with this id on.
pub(super) fn chunk_name(first: &str) -> String {
    format!("{EVENTS}-{first}")
}

/// Name of a part of the commit that a writer counts as `count`.
pub(super) fn part_name(writer: &str, count: u64, number: usize) -> String {
    format!("{COMMIT}-{writer}-{count}-{number}")
}

fn is_plain(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=PLAIN).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn readable(text: &str) -> String {
    let plain = |c: char| {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }
    };
    let text: String = text.chars().take(READABLE).map(plain).collect();
    let text = text.trim_matches('-');
    if text.is_empty() { "x".into() } else { text.to_owned() }
}

/// Bytes that a text takes inside of JSON, at most: also the API server's way of writing it, which escapes more.
pub(super) fn escaped(text: &str) -> usize {
    let extra = |b: u8| match b {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
        b'<' | b'>' | b'&' | 0..=0x1f => 5,
        // The last byte of U+2028 and U+2029, which take six bytes in place of three.
        0xa8 | 0xa9 => 3,
        _ => 0,
    };
    text.len() + text.bytes().map(extra).sum::<usize>()
}

/// Cuts a text into pieces of at most `limit` escaped bytes each.
pub(super) fn pieces(text: &str, limit: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut size) = (0, 0);
    let mut buffer = [0; 4];
    for (at, c) in text.char_indices() {
        let more = escaped(c.encode_utf8(&mut buffer));
        if size + more > limit && at > start {
            pieces.push(&text[start..at]);
            (start, size) = (at, 0);
        }
        size += more;
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn key(kind: &str, name: &str) -> Key {
        (kind.into(), name.into())
    }

    #[test]
    fn names_of_records() {
        for (kind, name, expected) in [
            ("gateways", "sava-product", "gateways.sava-product"),
            ("gateway-states", "9", "gateway-states.9"),
            ("gateways", "a/b", "gateways.a-b.9d"),
            ("gateways", "A-b", "gateways.a-b.be"),
            ("gateways", "a.b", "gateways.a-b.ad"),
            ("gateways", "-", "gateways.x.5"),
            ("gateways", "", "gateways.x."),
            ("Gate ways", "a", "gate-ways.a."),
            ("gateways", "größe", "gateways.gr--e."),
        ] {
            let found = record_name(&key(kind, name));
            let prefix = expected.rsplit_once('.').filter(|_| expected.matches('.').count() > 1);
            match prefix {
                Some((prefix, _)) => {
                    let (rest, digest) = found.rsplit_once('.').unwrap();
                    assert_eq!((rest, digest.len()), (prefix, DIGITS), "{kind} {name}");
                }
                None => assert_eq!(found, expected),
            }
        }
    }

    /// Names that look alike stay apart, and Kubernetes takes all of them.
    #[test]
    fn names_are_valid_and_apart() {
        let parts =
            ["", "a", "A", "a-b", "a.b", "a/b", "a_b", "-a", "a-", "head", "events", "ü", " ", "\u{0}"];
        let long = ["x".repeat(63), "x".repeat(64), "X".repeat(300), "é".repeat(200), "-".repeat(99)];
        let parts: Vec<&str> = parts.into_iter().chain(long.iter().map(String::as_str)).collect();
        let mut seen = BTreeMap::new();
        for kind in &parts {
            for name in &parts {
                let found = record_name(&key(kind, name));
                assert!(found.len() <= 253 && found.contains('.'), "{found}");
                for label in found.split('.') {
                    assert!(is_plain(label), "{label:?} of {found:?}");
                }
                assert_eq!(seen.insert(found.clone(), (kind, name)), None, "{found}");
            }
        }
        // A name that spells out another one's digest is no plain one.
        let digest = record_name(&key("gateways", "a/b"));
        let (_, rest) = digest.split_once('.').unwrap();
        assert_ne!(record_name(&key("gateways", rest)), digest);
    }

    #[test]
    fn room_that_text_takes() {
        for text in ["", "plain", "\"\\\n\r\t", "a && b < c > d", "\u{1}\u{1f}", "ü\u{2028}\u{1F600}"] {
            let ours = serde_json::to_string(text).unwrap().len() - 2;
            let go = ours
                + text.chars().filter(|c| "<>&".contains(*c)).count() * 5
                + text.chars().filter(|c| matches!(c, '\u{2028}' | '\u{2029}')).count() * 3;
            assert!(escaped(text) >= go, "{text:?}");
        }
        assert_eq!(escaped("plain \"text\""), 14);
    }

    #[test]
    fn pieces_are_the_whole() {
        for text in ["", "a", "abcdef", "\"\"\"\"", "äöü€😀x", "&&&"] {
            for limit in 1..12 {
                let pieces = pieces(text, limit);
                assert_eq!(pieces.concat(), text);
                for piece in pieces {
                    assert!(escaped(piece) <= limit || piece.chars().count() == 1, "{piece:?} {limit}");
                }
            }
        }
    }
}
