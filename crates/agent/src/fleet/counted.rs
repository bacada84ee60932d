//! Which reports were taken over, so that each is counted once.

use std::collections::HashMap;

/// Processes that are remembered. Only one that is back after so many others were there could be counted twice.
const MOST_INSTANCES: usize = 10_000;

/// The last report of each process of an agent.
#[derive(Debug, Default)]
pub(super) struct Counted {
    last: HashMap<String, Last>,
    turn: u64,
}

#[derive(Debug, Default)]
struct Last {
    sequence: u64,
    /// Rises with every report of anybody.
    turn: u64,
}

impl Counted {
    /// True when a report is to be counted; it is from now on. Reports of a process come in their order, each perhaps again.
    pub(super) fn is_new(&mut self, instance: &str, sequence: u64) -> bool {
        if !self.last.contains_key(instance) && self.last.len() >= MOST_INSTANCES {
            let oldest = self.last.iter().min_by_key(|(_, last)| last.turn).map(|(name, _)| name.clone());
            self.last.remove(&oldest.unwrap_or_default());
        }
        self.turn += 1;
        let last = self.last.entry(instance.to_owned()).or_default();
        last.turn = self.turn;
        let new = sequence > last.sequence;
        last.sequence = last.sequence.max(sequence);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_report_counts_once() {
        let mut counted = Counted::default();
        for (instance, sequence, expected) in
            [("a", 1, true), ("a", 1, false), ("b", 1, true), ("a", 2, true), ("a", 1, false), ("b", 7, true)]
        {
            assert_eq!(counted.is_new(instance, sequence), expected, "{instance} {sequence}");
        }
    }

    #[test]
    fn who_was_silent_longest_is_forgotten_first() {
        let mut counted = Counted::default();
        for n in 0..MOST_INSTANCES {
            counted.is_new(&n.to_string(), 1);
        }
        counted.is_new("0", 2);
        counted.is_new("new", 1);
        assert_eq!(counted.last.len(), MOST_INSTANCES);
        assert!(!counted.is_new("0", 2), "it was there just now");
        assert!(!counted.last.contains_key("1"));
    }
}
