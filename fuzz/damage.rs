//! Damaged forms of good inputs: what fuzzing finds in minutes, as an ordinary property test.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One of the seeds with a few bytes changed, taken out, doubled or put in, or bytes that mean nothing.
pub(crate) fn damaged(
    seeds: &'static [&'static [u8]],
    words: &'static [&'static str],
) -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<Index>(), any::<u8>(), 0..5_u8, select(words)), 0..6);
    let from_seed = (select(seeds), edits).prop_map(|(seed, edits)| {
        let mut bytes = seed.to_vec();
        for (at, byte, kind, word) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + usize::from(byte % 16)).min(bytes.len());
            match kind {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                3 => bytes.insert(at, byte),
                _ => drop(bytes.splice(at..at, word.bytes())),
            }
        }
        bytes
    });
    prop_oneof![8 => from_seed, 1 => vec(any::<u8>(), 0..200)]
}
