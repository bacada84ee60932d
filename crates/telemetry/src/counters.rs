//! Counters of one series: written by one worker each, merged on reading.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use routing::decide::Reason;

use crate::delta::Open;
use crate::histogram::LiveHistogram;
use crate::outcome::{Outcome, REASONS, reason_index, status_class};
use crate::phases::LivePhases;

/// Status classes, including 0 for none.
pub(crate) const CLASSES: usize = 6;

/// Whether a counter has one writer, as the shard of a worker has, or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// One thread writes: a plain load and store, which costs next to nothing.
    Sole,
    /// Any thread may write.
    Shared,
}

impl Ownership {
    pub(crate) fn add(self, counter: &AtomicU64, amount: u64) {
        match self {
            Self::Sole => {
                counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
            }
            Self::Shared => {
                counter.fetch_add(amount, Ordering::Relaxed);
            }
        }
    }
}

/// What one worker counted for one series. Aligned so that workers never share a cache line (or a pair of them).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Shard {
    /// By status class, then by reason.
    requests: [[AtomicU64; REASONS.len()]; CLASSES],
    failed: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    retries: AtomicU64,
    total_nanos: AtomicU64,
    first_byte_nanos: AtomicU64,
    first_bytes: AtomicU64,
    /// Started minus ended. Wraps when ended on another worker than started; the sum over workers is right.
    in_flight: AtomicU64,
    connections_opened: AtomicU64,
    connections_closed: AtomicU64,
    pub(crate) latencies: LiveHistogram,
    /// Of routes only.
    pub(crate) phases: OnceLock<Box<LivePhases>>,
    errors: OnceLock<Box<Errors>>,
}

/// Counts by error word: slots are taken in the order in which words appear.
#[derive(Debug, Default)]
struct Errors {
    slots: [(OnceLock<&'static str>, AtomicU64); 16],
    other: AtomicU64,
}

impl Shard {
    pub(crate) fn record(&self, outcome: &Outcome, ownership: Ownership) {
        let add = |counter: &AtomicU64, amount: u64| {
            if amount != 0 {
                ownership.add(counter, amount);
            }
        };
        add(&self.requests[status_class(outcome.status)][reason_index(outcome.reason)], 1);
        add(&self.received, outcome.received);
        add(&self.sent, outcome.sent);
        add(&self.retries, u64::from(outcome.retries));
        add(&self.total_nanos, nanos(outcome.total));
        if let Some(first_byte) = outcome.first_byte {
            add(&self.first_byte_nanos, nanos(first_byte));
            add(&self.first_bytes, 1);
        }
        if let Some(word) = outcome.error {
            add(&self.failed, 1);
            self.errors.get_or_init(Box::default).add(word, ownership);
        }
        self.latencies.record(outcome.total, ownership);
    }

    pub(crate) fn bytes(&self, received: u64, sent: u64, ownership: Ownership) {
        ownership.add(&self.received, received);
        ownership.add(&self.sent, sent);
    }

    pub(crate) fn begin(&self, ownership: Ownership) {
        ownership.add(&self.in_flight, 1);
    }

    pub(crate) fn end(&self, ownership: Ownership) {
        ownership.add(&self.in_flight, 1_u64.wrapping_neg());
    }

    pub(crate) fn opened(&self, ownership: Ownership) {
        ownership.add(&self.connections_opened, 1);
    }

    pub(crate) fn closed(&self, ownership: Ownership) {
        ownership.add(&self.connections_closed, 1);
    }

    /// Takes over what was counted elsewhere, and that what was open there is now something else.
    pub(crate) fn absorb(&self, counted: &Totals, latencies: &[(u16, u64)], before: Open, now: Open) {
        let add = |counter: &AtomicU64, amount: u64| {
            if amount != 0 {
                Ownership::Shared.add(counter, amount);
            }
        };
        for (counters, counts) in self.requests.iter().zip(&counted.requests) {
            for (counter, count) in counters.iter().zip(counts) {
                add(counter, *count);
            }
        }
        add(&self.failed, counted.failed);
        add(&self.received, counted.received);
        add(&self.sent, counted.sent);
        add(&self.retries, counted.retries);
        add(&self.total_nanos, counted.total_nanos);
        add(&self.first_byte_nanos, counted.first_byte_nanos);
        add(&self.first_bytes, counted.first_bytes);
        add(&self.in_flight, now.in_flight.wrapping_sub(before.in_flight));
        add(&self.connections_opened, counted.connections_opened);
        // Closed is what was opened and is open no more. A process that was counted elsewhere until now comes with connections
        // that were not opened here: the difference of both counters is right all the same.
        let still_open = now.connections.wrapping_sub(before.connections);
        add(&self.connections_closed, counted.connections_opened.wrapping_sub(still_open));
        for (word, count) in &counted.errors {
            self.errors.get_or_init(Box::default).count(word, *count, Ownership::Shared);
        }
        for (step, count) in latencies {
            self.latencies.add(usize::from(*step), *count, Ownership::Shared);
        }
    }

    pub(crate) fn add_to(&self, totals: &mut Totals) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (sums, counters) in totals.requests.iter_mut().zip(&self.requests) {
            for (sum, counter) in sums.iter_mut().zip(counters) {
                *sum += read(counter);
            }
        }
        totals.failed += read(&self.failed);
        totals.received += read(&self.received);
        totals.sent += read(&self.sent);
        totals.retries += read(&self.retries);
        totals.total_nanos += read(&self.total_nanos);
        totals.first_byte_nanos += read(&self.first_byte_nanos);
        totals.first_bytes += read(&self.first_bytes);
        totals.in_flight = totals.in_flight.wrapping_add(read(&self.in_flight));
        // Closed first: a connection that opens and closes in between must not look closed but never opened.
        totals.connections_closed = totals.connections_closed.wrapping_add(read(&self.connections_closed));
        totals.connections_opened += read(&self.connections_opened);
        if let Some(errors) = self.errors.get() {
            errors.add_to(&mut totals.errors);
        }
    }
}

impl Errors {
    fn add(&self, word: &'static str, ownership: Ownership) {
        self.count(word, 1, ownership);
    }

    fn count(&self, word: &'static str, count: u64, ownership: Ownership) {
        let slot = self.slots.iter().find(|(name, _)| *name.get_or_init(|| word) == word);
        ownership.add(slot.map_or(&self.other, |(_, counter)| counter), count);
    }

    fn add_to(&self, sums: &mut Vec<(&'static str, u64)>) {
        let named = self.slots.iter().filter_map(|(name, counter)| Some((*name.get()?, counter)));
        for (word, counter) in named.chain([("other", &self.other)]) {
            let count = counter.load(Ordering::Relaxed);
            match sums.iter_mut().find(|(known, _)| *known == word) {
                Some((_, sum)) => *sum += count,
                None if count > 0 => sums.push((word, count)),
                None => {}
            }
        }
    }
}

/// Counts since the start, merged over workers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// By status class (0: none, 1: `1xx` .. 5: `5xx`), then by reason; see [`Totals::by`].
    pub(crate) requests: [[u64; REASONS.len()]; CLASSES],
    /// Requests that Vamp itself answered with an error, or gave up.
    pub failed: u64,
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
    /// Further attempts.
    pub retries: u64,
    /// Sum of all total times, nanoseconds.
    pub total_nanos: u64,
    /// Sum of the times to the first byte, nanoseconds.
    pub first_byte_nanos: u64,
    /// How many requests had a first byte.
    pub first_bytes: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Connections ever opened.
    pub connections_opened: u64,
    /// Connections closed since.
    pub connections_closed: u64,
    /// Counts of failures by word, in no order.
    pub errors: Vec<(&'static str, u64)>,
}

impl Totals {
    /// All requests (tcp: connections that ended).
    pub fn requests(&self) -> u64 {
        self.requests.as_flattened().iter().sum()
    }

    /// Requests with a status class (0: none) and a reason.
    pub fn by(&self, class: usize, reason: Reason) -> u64 {
        self.requests.get(class).map_or(0, |reasons| reasons[reason_index(reason)])
    }

    /// Requests by status class: index 0 for none, 1 for `1xx` .. 5 for `5xx`.
    pub fn by_class(&self) -> [u64; CLASSES] {
        self.requests.map(|reasons| reasons.iter().sum())
    }

    /// Requests for one reason.
    pub fn by_reason(&self, reason: Reason) -> u64 {
        self.requests.iter().map(|reasons| reasons[reason_index(reason)]).sum()
    }

    /// Requests that no route could take.
    pub fn refused(&self) -> u64 {
        self.by_reason(Reason::NoTarget)
    }

    /// Connections that are open.
    pub fn connections(&self) -> u64 {
        // Of what came from elsewhere, more may have been closed here than opened; the sum is never below zero for long.
        u64::try_from(self.connections_opened.wrapping_sub(self.connections_closed).cast_signed())
            .unwrap_or(0)
    }

    /// Adds requests with a status class (0: none; 5 at most) and a reason.
    pub fn add_requests(&mut self, class: usize, reason: Reason, count: u64) {
        if let Some(reasons) = self.requests.get_mut(class) {
            reasons[reason_index(reason)] += count;
        }
    }

    /// How much counters grew since `earlier`; `in_flight` and `connections_closed` are 0.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        // Counters never fall; `saturating_sub` because each is read on its own.
        let grew = |new: u64, old: u64| new.saturating_sub(old);
        let errors = self.errors.iter().filter_map(|(word, count)| {
            let before =
                earlier.errors.iter().find(|(known, _)| known == word).map_or(0, |(_, count)| *count);
            (*count > before).then(|| (*word, count - before))
        });
        Self {
            requests: std::array::from_fn(|class| {
                std::array::from_fn(|reason| {
                    grew(self.requests[class][reason], earlier.requests[class][reason])
                })
            }),
            failed: grew(self.failed, earlier.failed),
            received: grew(self.received, earlier.received),
            sent: grew(self.sent, earlier.sent),
            retries: grew(self.retries, earlier.retries),
            total_nanos: grew(self.total_nanos, earlier.total_nanos),
            first_byte_nanos: grew(self.first_byte_nanos, earlier.first_byte_nanos),
            first_bytes: grew(self.first_bytes, earlier.first_bytes),
            in_flight: 0,
            connections_opened: grew(self.connections_opened, earlier.connections_opened),
            connections_closed: 0,
            errors: errors.collect(),
        }
    }

    /// Adds counters of the same kind; `in_flight` and `connections_closed` stay.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sums, counts) in self.requests.iter_mut().zip(&other.requests) {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        self.failed += other.failed;
        self.received += other.received;
        self.sent += other.sent;
        self.retries += other.retries;
        self.total_nanos += other.total_nanos;
        self.first_byte_nanos += other.first_byte_nanos;
        self.first_bytes += other.first_bytes;
        self.connections_opened += other.connections_opened;
        for (word, count) in &other.errors {
            match self.errors.iter_mut().find(|(known, _)| known == word) {
                Some((_, sum)) => *sum += count,
                None => self.errors.push((word, *count)),
            }
        }
    }
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
