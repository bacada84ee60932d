//! Floods of frames that cost the server more than the client: counted as they come in, before anything is done about them.
//!
//! Two accounts for each connection, refilled by time and by work that was really done:
//!
//! ```text
//! idle   pings, settings, priorities, window updates, empty data, continuations, unknown frames
//!        + 200 a second, + 1 for every 16 bytes sent to the client (who downloads must update windows)
//! resets streams given up by the client (rapid reset, CVE-2023-44487)
//!        + 20 a second, + 1 for every response that was completed
//! ```
//!
//! The `h2` crate itself bounds the size of a header list while it is decoded, CONTINUATION frames of one head, data frames that carry
//! little, streams that are reset before they were taken up, streams that mistakes of the client make it give up (CVE-2025-8671),
//! and keeps at most one answer to a ping and one to settings waiting. It counts neither resets of streams that are
//! served nor the frames above.

/// Length of a frame header.
const HEADER: usize = 9;
/// What comes before the first frame.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const IDLE: Rule = Rule { most: 2000, per_second: 200 };
const RESETS: Rule = Rule { most: 200, per_second: 20 };
/// Bytes sent that pay for one idle frame.
const BYTES_FOR_ONE: usize = 16;

/// Why a connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flood {
    /// Frames that mean no work.
    Idle,
    /// Streams that are given up.
    Resets,
}

/// Watches the frames of one connection.
#[derive(Debug)]
pub(crate) struct Guard {
    idle: Account,
    resets: Account,
    header: [u8; HEADER],
    have: usize,
    /// Bytes up to the next frame header.
    skip: usize,
    paid: usize,
    flood: Option<Flood>,
}

#[derive(Debug)]
struct Rule {
    most: u64,
    per_second: u64,
}

#[derive(Debug)]
struct Account {
    rule: &'static Rule,
    /// Thousandths, so that a refill by milliseconds is exact.
    left: u64,
    at: u64,
}

impl Account {
    fn new(rule: &'static Rule) -> Self {
        Self { rule, left: rule.most * 1000, at: 0 }
    }

    fn earn(&mut self, amount: u64) {
        self.left = (self.left + amount * 1000).min(self.rule.most * 1000);
    }

    /// False when there is not enough.
    fn spend(&mut self, amount: u64, now: u64) -> bool {
        let passed = now.saturating_sub(self.at);
        if passed > 0 {
            self.at = now;
            let refill = passed.saturating_mul(self.rule.per_second);
            self.left = self.left.saturating_add(refill).min(self.rule.most * 1000);
        }
        match self.left.checked_sub(amount * 1000) {
            Some(left) => self.left = left,
            None => self.left = 0,
        }
        self.left > 0
    }
}

impl Guard {
    /// A connection whose preface is still to come.
    pub(crate) fn new(now: u64) -> Self {
        let mut guard = Self {
            idle: Account::new(&IDLE),
            resets: Account::new(&RESETS),
            header: [0; HEADER],
            have: 0,
            skip: PREFACE.len(),
            paid: 0,
            flood: None,
        };
        guard.idle.at = now;
        guard.resets.at = now;
        guard
    }

    /// Looks at bytes from the client. `now` is in milliseconds.
    pub(crate) fn received(&mut self, mut bytes: &[u8], now: u64) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEADER {
                self.have = 0;
                let [high, middle, low, kind, flags, ..] = self.header;
                let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.skip = length;
                self.frame(kind, flags, length, now);
            }
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, length: usize, now: u64) {
        const END_STREAM: u8 = 1;
        const PADDED: u8 = 8;
        const ACK: u8 = 1;
        let cost = match kind {
            // Data that carries nothing, or perhaps only padding.
            0 if length == 0 && flags & END_STREAM == 0 || flags & PADDED != 0 => 1,
            0 | 1 => return,
            3 => return self.reset(now),
            4 => 4,
            // Its answer goes out, and must not pay for it.
            6 if flags & ACK == 0 => 3,
            _ => 1,
        };
        if !self.idle.spend(cost, now) {
            self.flood.get_or_insert(Flood::Idle);
        }
    }

    fn reset(&mut self, now: u64) {
        if !self.resets.spend(1, now) {
            self.flood.get_or_insert(Flood::Resets);
        }
    }

    /// A response was completed.
    pub(crate) fn completed(&mut self) {
        self.resets.earn(1);
    }

    /// Bytes went to the client.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.paid += bytes;
        self.idle.earn((self.paid / BYTES_FOR_ONE) as u64);
        self.paid %= BYTES_FOR_ONE;
    }

    /// Set once and for all when there was too much of something.
    pub(crate) fn flood(&self) -> Option<Flood> {
        self.flood
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len() as u32;
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
        frame.extend_from_slice(payload);
        frame
    }

    fn started() -> Guard {
        let mut guard = Guard::new(0);
        guard.received(PREFACE, 0);
        guard
    }

    /// How many of a frame are taken at once, up to 10,000.
    fn taken(frame: &[u8]) -> usize {
        let mut guard = started();
        (0..10_000)
            .take_while(|_| {
                guard.received(frame, 0);
                guard.flood().is_none()
            })
            .count()
    }

    #[test]
    fn frames_cost_what_they_are() {
        for (name, frame, most) in [
            ("ping", frame(6, 0, &[0; 8]), 666),
            ("answer to a ping", frame(6, 1, &[0; 8]), 1999),
            ("settings", frame(4, 0, &[]), 499),
            ("priority", frame(2, 0, &[0; 5]), 1999),
            ("window update", frame(8, 0, &[0, 0, 0, 1]), 1999),
            ("continuation", frame(9, 0, &[]), 1999),
            ("unknown", frame(200, 0, b"abc"), 1999),
            ("empty data", frame(0, 0, &[]), 1999),
            ("padding", frame(0, 8, &[3, 0, 0, 0]), 1999),
            ("reset", frame(3, 0, &[0; 4]), 199),
            ("data", frame(0, 0, b"x"), 10_000),
            ("end of data", frame(0, 1, &[]), 10_000),
            ("headers", frame(1, 5, b"x"), 10_000),
        ] {
            assert_eq!(taken(&frame), most, "{name}");
        }
    }

    #[test]
    fn it_makes_no_difference_how_bytes_arrive() {
        let mut all = PREFACE.to_vec();
        for _ in 0..2001 {
            all.extend(frame(0, 0, b"some data"));
            all.extend(frame(6, 1, &[0; 8]));
        }
        for size in [1, 2, 7, 9, 10, 4096] {
            let mut guard = Guard::new(0);
            let pieces: Vec<&[u8]> = all.chunks(size).collect();
            let (last, most) = pieces.split_at(pieces.len() - 2 * (26 / size + 1) - 1);
            last.iter().for_each(|piece| guard.received(piece, 0));
            let before = guard.flood();
            most.iter().for_each(|piece| guard.received(piece, 0));
            assert_eq!(guard.flood(), Some(Flood::Idle), "{size}");
            assert!(size > 1000 || before.is_none(), "{size}");
        }
    }

    #[test]
    fn time_and_work_pay() {
        let ping = frame(6, 1, &[0; 8]);
        let mut guard = started();
        // An answer to each does not pay for the next.
        let question = frame(6, 0, &[0; 8]);
        let mut asked = started();
        for _ in 0..2000 {
            asked.received(&question, 0);
            asked.sent(HEADER + 8);
        }
        assert_eq!(asked.flood(), Some(Flood::Idle));
        // As many a second as are refilled go on for ever.
        for second in 1..100 {
            (0..200).for_each(|_| guard.received(&ping, second * 1000));
        }
        assert_eq!(guard.flood(), None);
        // Who downloads may answer each frame with two window updates.
        let update = frame(8, 0, &[0, 0, 0, 1]);
        for _ in 0..100_000 {
            guard.sent(HEADER + 23);
            guard.received(&update, 100_000);
            guard.received(&update, 100_000);
        }
        assert_eq!(guard.flood(), None);
        let reset = frame(3, 0, &[0; 4]);
        for _ in 0..100_000 {
            guard.completed();
            guard.received(&reset, 100_000);
        }
        assert_eq!(guard.flood(), None);
        (0..200).for_each(|_| guard.received(&reset, 100_000));
        assert_eq!(guard.flood(), Some(Flood::Resets));
        // Once and for all.
        guard.received(&reset, 1_000_000);
        assert_eq!(guard.flood(), Some(Flood::Resets));
    }
}
