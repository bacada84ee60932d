//! Ids of events: text whose order is the order of storing, across restarts.

use jiff::Timestamp;

/// Gives out event ids, each greater than all before it.
///
/// An id is 16 hexadecimal digits: the time of storing in microseconds, doubled, plus the lane. When the clock stands still or
/// goes back, ids go on from the last one. A fresh store therefore still gives out greater ids than the one it replaced, and
/// a client that resumes with an old id misses nothing. The two lanes keep stored events and those that live only in memory apart
/// while both sort into one stream.
#[derive(Debug, Clone)]
pub struct EventIds {
    last: u64,
    lane: u64,
}

impl EventIds {
    /// Ids of stored events, all greater than `last` (0: none so far).
    pub(crate) fn stored(last: u64) -> Self {
        Self { last, lane: 0 }
    }

    /// Ids of events that are never stored: unique, also among the ids of a store, and in one order with them.
    pub fn transient() -> Self {
        Self { last: 0, lane: 1 }
    }

    /// The next id.
    pub fn next(&mut self, now: Timestamp) -> String {
        format(self.next_number(now))
    }

    pub(crate) fn next_number(&mut self, now: Timestamp) -> u64 {
        let micros = u64::try_from(now.as_microsecond()).unwrap_or(0);
        let by_clock = (micros << 1) | self.lane;
        let by_order = ((self.last >> 1) + 1) << 1 | self.lane;
        self.last = if by_clock > self.last { by_clock } else { by_order };
        self.last
    }
}

/// The text of an id.
pub(crate) fn format(number: u64) -> String {
    format!("{number:016x}")
}

/// The number behind an id; `None` for text that is no id of ours.
pub(crate) fn parse(id: &str) -> Option<u64> {
    let ours = id.len() == 16 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if ours { u64::from_str_radix(id, 16).ok().filter(|number| *number <= i64::MAX as u64) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_whatever_the_clock_does() {
        let mut ids = EventIds::stored(0);
        let mut previous = String::new();
        for micros in [5, 5, 6, 3, 1_700_000_000_000_000, 1_600_000_000_000_000, -1, i64::MAX >> 12] {
            let id = ids.next(Timestamp::from_microsecond(micros).unwrap());
            assert!(id > previous, "{id} after {previous} at {micros}");
            previous = id;
        }
    }

    #[test]
    fn lanes_never_meet() {
        let (mut stored, mut transient) = (EventIds::stored(0), EventIds::transient());
        let mut seen = std::collections::BTreeSet::new();
        for micros in [1, 1, 2, 2, 2, 9, 3, 10, 10] {
            let now = Timestamp::from_microsecond(micros).unwrap();
            assert!(seen.insert(stored.next(now)));
            assert!(seen.insert(transient.next(now)));
        }
    }

    #[test]
    fn text_and_back() {
        for number in [0, 1, 3_528_000_000_000_000, i64::MAX as u64] {
            assert_eq!(parse(&format(number)), Some(number));
        }
        for foreign in
            ["", "1", "ffffffffffffffff", "+00000000000000f", "000000000000000F", "00000000000000000"]
        {
            assert_eq!(parse(foreign), None, "{foreign}");
        }
    }
}
