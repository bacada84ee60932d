//! What happened second by second, for as long as the longest window reaches, in few bytes.
//!
//! ```text
//!             now
//!  fine    |.|.|.|.|  ..  |.|                frames of 1 s, the last minute
//!  coarse  |....|....|....|....|  ..  |....|  frames of 5 s, the last 15 minutes
//! ```
//!
//! A frame is a delta of counters and of latency steps, written as a row of variable-length numbers: 15 to 150 bytes. A second
//! without traffic has no frame, a series without traffic no ring. Both rings have a limit in bytes; a series whose traffic is
//! so varied that it needs more remembers less far back.

use std::collections::VecDeque;

use routing::decide::Reason;

use crate::counters::{CLASSES, Shard, Totals};
use crate::histogram::Histogram;

/// Longest window, in seconds.
pub(crate) const LONGEST: i64 = 900;
/// Windows up to this many seconds are exact to the second; longer ones to 5 s.
const FINE: i64 = 60;
const COARSE_SPAN: i64 = 5;
const FINE_BYTES: usize = 16 * 1024;
const COARSE_BYTES: usize = 48 * 1024;

/// What was counted in some span of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Frame {
    /// The last second that it covers.
    end: i64,
    pub(crate) by_class: [u64; CLASSES],
    pub(crate) failed: u64,
    pub(crate) rerouted: u64,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) total_nanos: u64,
    /// Rising steps of the histogram, with their counts.
    latencies: Vec<(u16, u64)>,
}

/// The rings of one series, and the state up to which they tell the story.
#[derive(Debug, Default)]
pub(crate) struct Rings {
    seen: Totals,
    seen_latencies: Histogram,
    fine: Log,
    coarse: Log,
    /// The coarse frame that is not complete.
    open: Frame,
}

impl Rings {
    /// Writes down what was counted since the last time as the frame of `second`.
    pub(crate) fn roll<'a>(&mut self, shards: impl Iterator<Item = &'a Shard> + Clone, second: i64) {
        let mut totals = Totals::default();
        shards.clone().for_each(|shard| shard.add_to(&mut totals));
        let mut frame = Frame { end: second, ..Frame::difference(&totals, &self.seen) };
        self.seen_latencies.advance(shards.map(|shard| &shard.latencies), &mut frame.latencies);
        self.seen = totals;

        let block = second + (COARSE_SPAN - 1) - (second - 1).rem_euclid(COARSE_SPAN);
        if self.open.end != block {
            if !self.open.is_empty() {
                self.coarse.push(&self.open, COARSE_BYTES);
            }
            self.open = Frame { end: block, ..Frame::default() };
        }
        if !frame.is_empty() {
            self.open.add(&frame);
            self.fine.push(&frame, FINE_BYTES);
        }
        self.fine.expire(second - FINE);
        self.coarse.expire(second - LONGEST - COARSE_SPAN);
    }

    /// Everything counted in the `seconds` up to and including `second`, and its latencies.
    pub(crate) fn sum(&self, second: i64, seconds: i64) -> (Frame, Histogram) {
        let mut sum = Frame::default();
        let mut latencies = Histogram::default();
        let mut add = |frame: &Frame| {
            sum.add_counts(frame);
            frame.latencies.iter().for_each(|(step, count)| latencies.add(usize::from(*step), *count));
        };
        let start = second - seconds;
        if seconds <= FINE {
            self.fine.frames().filter(|frame| frame.end > start).for_each(|frame| add(&frame));
        } else {
            // A coarse frame belongs to the window when most of it does.
            let most = COARSE_SPAN / 2;
            self.coarse.frames().filter(|frame| frame.end - most > start).for_each(|frame| add(&frame));
            if self.open.end - most > start {
                add(&self.open);
            }
        }
        (sum, latencies)
    }
}

/// Seconds that a point of a history over `seconds` covers.
pub(crate) fn step(seconds: i64) -> i64 {
    if seconds <= FINE { 1 } else { COARSE_SPAN }
}

impl Rings {
    /// The `seconds` up to and including `second` cut into spans of [`step`], oldest first; only whole spans.
    pub(crate) fn history(&self, second: i64, seconds: i64) -> Vec<(Frame, Histogram)> {
        let step = step(seconds);
        let number = seconds / step;
        // Coarse frames end where their number divides: a span that is not over yet would look like a fall.
        let last = if step == 1 { second } else { second - second.rem_euclid(step) };
        let first = last - number * step;
        let mut spans =
            vec![(Frame::default(), Histogram::default()); usize::try_from(number).unwrap_or_default()];
        let mut add = |frame: &Frame| {
            let place = usize::try_from((frame.end - first - 1).div_euclid(step)).ok();
            if let Some((sum, latencies)) = place.and_then(|place| spans.get_mut(place)) {
                sum.add_counts(frame);
                frame.latencies.iter().for_each(|(step, count)| latencies.add(usize::from(*step), *count));
            }
        };
        if step == 1 {
            self.fine.frames().for_each(|frame| add(&frame));
        } else {
            self.coarse.frames().for_each(|frame| add(&frame));
            add(&self.open);
        }
        spans
    }
}

impl Frame {
    fn difference(now: &Totals, before: &Totals) -> Self {
        let (new, old) = (now.by_class(), before.by_class());
        // Counters never fall; `saturating_sub` because each is read on its own.
        let grew = |new: u64, old: u64| new.saturating_sub(old);
        Self {
            end: 0,
            by_class: std::array::from_fn(|class| grew(new[class], old[class])),
            failed: grew(now.failed, before.failed),
            rerouted: grew(now.by_reason(Reason::Rerouted), before.by_reason(Reason::Rerouted)),
            received: grew(now.received, before.received),
            sent: grew(now.sent, before.sent),
            total_nanos: grew(now.total_nanos, before.total_nanos),
            latencies: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.numbers().iter().all(|number| *number == 0) && self.latencies.is_empty()
    }

    fn add(&mut self, other: &Self) {
        self.add_counts(other);
        for (step, count) in &other.latencies {
            match self.latencies.binary_search_by_key(step, |(step, _)| *step) {
                Ok(place) => self.latencies[place].1 += count,
                Err(place) => self.latencies.insert(place, (*step, *count)),
            }
        }
    }

    fn add_counts(&mut self, other: &Self) {
        self.by_class.iter_mut().zip(other.by_class).for_each(|(sum, count)| *sum += count);
        self.failed += other.failed;
        self.rerouted += other.rerouted;
        self.received += other.received;
        self.sent += other.sent;
        self.total_nanos += other.total_nanos;
    }

    fn numbers(&self) -> [u64; CLASSES + 5] {
        let [none, informed, success, redirect, client, server] = self.by_class;
        [
            success,
            server,
            self.failed,
            self.rerouted,
            self.received,
            self.sent,
            self.total_nanos,
            none,
            informed,
            redirect,
            client,
        ]
    }

    /// A bit for each number that is not zero, those numbers, then steps as distances with their counts.
    fn encode(&self, bytes: &mut Vec<u8>) {
        let numbers = self.numbers();
        let mask = numbers.iter().rev().fold(0, |mask, number| mask << 1 | u64::from(*number != 0));
        put(bytes, self.end.cast_unsigned());
        put(bytes, mask);
        numbers.into_iter().filter(|number| *number != 0).for_each(|number| put(bytes, number));
        let mut previous = 0;
        for (step, count) in &self.latencies {
            put(bytes, u64::from(*step - previous));
            put(bytes, *count);
            previous = *step;
        }
    }

    fn decode(mut bytes: impl Iterator<Item = u8>) -> Option<Self> {
        let bytes = &mut bytes;
        let end = take(bytes)?.cast_signed();
        let mask = take(bytes)?;
        let mut numbers = [0; CLASSES + 5];
        for (bit, number) in numbers.iter_mut().enumerate() {
            if mask >> bit & 1 == 1 {
                *number = take(bytes)?;
            }
        }
        let [
            success,
            server,
            failed,
            rerouted,
            received,
            sent,
            total_nanos,
            none,
            informed,
            redirect,
            client,
        ] = numbers;
        let mut latencies = Vec::new();
        let mut step = 0;
        while let Some(distance) = take(bytes) {
            step += distance as u16;
            latencies.push((step, take(bytes)?));
        }
        let by_class = [none, informed, success, redirect, client, server];
        Some(Self { end, by_class, failed, rerouted, received, sent, total_nanos, latencies })
    }
}

/// Frames in the order of time, each preceded by its length.
#[derive(Debug, Default)]
struct Log {
    bytes: VecDeque<u8>,
}

impl Log {
    fn push(&mut self, frame: &Frame, limit: usize) {
        let mut body = Vec::with_capacity(64);
        frame.encode(&mut body);
        let mut length = Vec::with_capacity(2);
        put(&mut length, body.len() as u64);
        self.bytes.extend(length);
        self.bytes.extend(body);
        while self.bytes.len() > limit {
            self.drop_first();
        }
    }

    /// Drops frames that end at or before `second`, and the memory when nothing is left.
    fn expire(&mut self, second: i64) {
        while self.first_end().is_some_and(|end| end <= second) {
            self.drop_first();
        }
        if self.bytes.is_empty() && self.bytes.capacity() > 0 {
            self.bytes = VecDeque::new();
        }
    }

    fn first_end(&self) -> Option<i64> {
        let mut bytes = self.bytes.iter().copied();
        take(&mut bytes)?;
        take(&mut bytes).map(u64::cast_signed)
    }

    fn drop_first(&mut self) {
        let mut bytes = self.bytes.iter().copied();
        let length = take(&mut bytes).map_or(self.bytes.len(), |body| {
            let prefix = self.bytes.len() - bytes.len();
            (prefix + body as usize).min(self.bytes.len())
        });
        self.bytes.drain(..length);
    }

    fn frames(&self) -> impl Iterator<Item = Frame> {
        let mut bytes = self.bytes.iter().copied();
        std::iter::from_fn(move || {
            let length = take(&mut bytes)? as usize;
            Frame::decode(bytes.by_ref().take(length))
        })
    }
}

/// Appends a number: seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests;
