//! One thing that is counted: a gateway, a route or an instance.

use std::sync::{Mutex, OnceLock, PoisonError};

use crate::counters::{Ownership, Shard, Totals};
use crate::delta::Open;
use crate::histogram::Histogram;
use crate::outcome::Outcome;
use crate::phases::{Phase, PhaseGrowth, PhaseTimes, SeenPhases};
use crate::ring::{self, LONGEST, Rings};
use crate::window::Window;

/// Counters and latencies of one gateway, route or instance. Handles are kept beside the routing table; recording through one
/// takes no lock.
///
/// `worker` is the number of the calling thread, from 0: each number belongs to one thread at a time, which makes counting a
/// plain store. Threads that have no number of their own pass any number from the `workers` of
/// [`Telemetry::new`](crate::Telemetry::new) upwards; they share a shard, at the price of atomic additions.
#[derive(Debug)]
pub struct Series {
    /// One for each worker, and the shared one.
    shards: Box<[OnceLock<Box<Shard>>]>,
    /// From the first traffic on.
    rings: Mutex<Option<Box<Rings>>>,
}

impl Series {
    pub(crate) fn new(workers: usize) -> Self {
        Self { shards: (0..=workers).map(|_| OnceLock::new()).collect(), rings: Mutex::new(None) }
    }

    /// Counts a request, or a tcp connection, that has ended.
    pub fn record(&self, worker: usize, outcome: &Outcome) {
        let (shard, ownership) = self.shard(worker);
        shard.record(outcome, ownership);
    }

    /// Adds the phases of a request to those of its route; besides [`Series::record`].
    pub fn record_phases(&self, worker: usize, outcome: &Outcome) {
        let (shard, ownership) = self.shard(worker);
        shard.phases.get_or_init(Box::default).record(outcome, ownership);
    }

    /// Counts bytes of something that goes on for long, as they pass; leave them out of its outcome.
    pub fn bytes(&self, worker: usize, received: u64, sent: u64) {
        let (shard, ownership) = self.shard(worker);
        shard.bytes(received, sent, ownership);
    }

    /// A request begins: in flight until [`Series::end`].
    pub fn begin(&self, worker: usize) {
        let (shard, ownership) = self.shard(worker);
        shard.begin(ownership);
    }

    /// A request that began has ended, on whichever worker.
    pub fn end(&self, worker: usize) {
        let (shard, ownership) = self.shard(worker);
        shard.end(ownership);
    }

    /// A connection is open until [`Series::closed`].
    pub fn opened(&self, worker: usize) {
        let (shard, ownership) = self.shard(worker);
        shard.opened(ownership);
    }

    /// A connection is closed.
    pub fn closed(&self, worker: usize) {
        let (shard, ownership) = self.shard(worker);
        shard.closed(ownership);
    }

    /// Everything counted so far.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.live().for_each(|shard| shard.add_to(&mut totals));
        totals
    }

    /// All latencies so far.
    pub fn latencies(&self) -> Histogram {
        let mut histogram = Histogram::default();
        self.live().for_each(|shard| histogram.merge(&shard.latencies));
        histogram
    }

    /// How long a phase took so far.
    pub fn phase(&self, phase: Phase) -> PhaseTimes {
        let mut sums = PhaseTimes::default();
        self.live().filter_map(|shard| shard.phases.get()).for_each(|live| live.add_to(phase, &mut sums));
        sums
    }

    /// Takes over what was counted elsewhere, and that what was open there is now something else.
    pub(crate) fn absorb(&self, counted: &Totals, latencies: &[(u16, u64)], before: Open, now: Open) {
        let (shard, _) = self.shard(usize::MAX);
        shard.absorb(counted, latencies, before, now);
    }

    /// The same for phases.
    pub(crate) fn absorb_phases(&self, growth: &[PhaseGrowth]) {
        let (shard, _) = self.shard(usize::MAX);
        growth.iter().for_each(|growth| shard.phases.get_or_init(Box::default).absorb(growth));
    }

    /// Brings what is known of the phases up to date, and says what grew.
    pub(crate) fn advance_phases(&self, seen: &mut Option<Box<SeenPhases>>) -> Vec<PhaseGrowth> {
        let lives = self.live().filter_map(|shard| shard.phases.get()).map(|live| &**live);
        match lives.clone().next() {
            Some(_) => seen.get_or_insert_default().advance(lives),
            None => Vec::new(),
        }
    }

    /// Brings a histogram up to date, and reports what grew as pairs of step and count.
    pub(crate) fn advance(&self, seen: &mut Histogram, grew: &mut Vec<(u16, u64)>) {
        seen.advance(self.live().map(|shard| &shard.latencies), grew);
    }

    /// True while nothing was ever counted.
    pub(crate) fn is_idle(&self) -> bool {
        self.live().next().is_none()
    }

    /// Closes the current second.
    pub(crate) fn roll(&self, second: i64) {
        if !self.is_idle() {
            let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
            rings.get_or_insert_default().roll(self.live(), second);
        }
    }

    /// The `seconds` up to and including `second`.
    pub(crate) fn window(&self, second: i64, seconds: u32) -> Window {
        let seconds = seconds.clamp(1, LONGEST as u32);
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings.as_ref().map_or_else(
            || Window::empty(seconds),
            |rings| {
                let (frame, latencies) = rings.sum(second, seconds.into());
                Window::new(seconds, &frame, &latencies)
            },
        )
    }

    /// The `seconds` up to and including `second` in spans, oldest first.
    pub(crate) fn history(&self, second: i64, seconds: u32) -> Vec<Window> {
        let seconds = i64::from(seconds).clamp(1, LONGEST);
        let span = u32::try_from(ring::step(seconds)).unwrap_or(1);
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = rings.as_ref().map(|rings| rings.history(second, seconds)).unwrap_or_default();
        spans.iter().map(|(frame, latencies)| Window::new(span, frame, latencies)).collect()
    }

    fn shard(&self, worker: usize) -> (&Shard, Ownership) {
        let shared = self.shards.len() - 1;
        let ownership = if worker < shared { Ownership::Sole } else { Ownership::Shared };
        (self.shards[worker.min(shared)].get_or_init(Box::default), ownership)
    }

    /// The shards in use.
    fn live(&self) -> impl Iterator<Item = &Shard> + Clone {
        self.shards.iter().filter_map(OnceLock::get).map(|shard| &**shard)
    }
}
