//! Maps under construction: order kept, duplicate keys found.

use std::collections::HashMap;

use crate::problem::{Position, Problem, Problems};
use crate::yaml::{Entry, Node, shorten};

/// Duplicate keys that are listed; a text with more is no mistake of a person.
const MAX_LISTED: usize = 20;

/// A map that is being read.
#[derive(Default)]
pub(super) struct MapBuilder {
    entries: Vec<Entry>,
    first: HashMap<String, Position>,
}

impl MapBuilder {
    /// Adds an entry, or a problem with both positions when the key is there already.
    pub(super) fn add(&mut self, key: String, position: Position, value: Node, problems: &mut Problems) {
        if let Some(first) = self.first.get(&key) {
            if problems.0.len() < MAX_LISTED {
                let message = format!(
                    "Duplicate key '{}' at line {}, column {}, already given at line {}, column {}",
                    shorten(&key),
                    position.line,
                    position.column,
                    first.line,
                    first.column
                );
                problems
                    .push(Problem::new("duplicate-key", format!("/{}", shorten(&key)), message).at(position));
            }
            return;
        }
        self.first.insert(key.clone(), position);
        self.entries.push(Entry { key, position, value });
    }

    pub(super) fn finish(self) -> Vec<Entry> {
        self.entries
    }
}
