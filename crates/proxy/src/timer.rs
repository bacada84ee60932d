//! Coarse deadlines. A timer for each wait of each request costs more than the waiting; here a connection has one deadline in
//! a cell, and one task of the worker looks at all of them ten times a second, as long as there are connections.
//!
//! ```text
//! connection --holds--> Watch --registered in--> Sweeper (one per worker)
//!      every wait polls its socket first, then watch.poll_expired()
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How often deadlines are looked at, and so how late they may fire.
const TICK: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
/// An idle connection that is to end stays open for so long: its client may have sent the next request already.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// No deadline.
const NEVER: u64 = u64::MAX;

/// All watches of a worker.
#[derive(Debug)]
pub(crate) struct Sweeper {
    start: Instant,
    /// Milliseconds since `start`, as of the last tick.
    now: Cell<u64>,
    entries: RefCell<Vec<Rc<Entry>>>,
    filled: Notify,
    /// Every connection should end after what is under way; idle ones stay.
    leaving: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Entry {
    index: Cell<usize>,
    /// The listener that the connection came from.
    group: u64,
    /// Of one exchange among several on a connection; not a connection of its own.
    part: bool,
    at: Cell<u64>,
    /// No deadline is later than this.
    limit: Cell<u64>,
    /// When the connection wants to be woken to look at its peer; not a deadline.
    look: Cell<u64>,
    /// Has nothing under way: nothing is lost when the connection is told to close.
    idle: Cell<bool>,
    /// Waits for a next request of HTTP/1, which cannot be told that it comes too late.
    waiting: Cell<bool>,
    /// Asked to close when it is idle.
    retiring: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// The deadline of one connection.
#[derive(Debug)]
pub(crate) struct Watch {
    sweeper: Rc<Sweeper>,
    entry: Rc<Entry>,
}

/// The deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired;

impl Sweeper {
    pub(crate) fn new(leaving: Arc<AtomicBool>) -> Rc<Self> {
        Rc::new(Self {
            start: Instant::now(),
            now: Cell::new(0),
            entries: RefCell::default(),
            filled: Notify::new(),
            leaving,
        })
    }

    /// Registers a connection.
    pub(crate) fn watch(self: &Rc<Self>, group: u64) -> Watch {
        self.register(group, false)
    }

    /// Registers one of several exchanges on a connection that has a watch of its own.
    pub(crate) fn watch_part(self: &Rc<Self>, group: u64) -> Watch {
        self.register(group, true)
    }

    fn register(self: &Rc<Self>, group: u64, part: bool) -> Watch {
        let mut entries = self.entries.borrow_mut();
        if entries.is_empty() {
            // The clock stands still while nobody needs it.
            self.refresh();
            self.filled.notify_one();
        }
        let entry = Rc::new(Entry {
            index: Cell::new(entries.len()),
            group,
            part,
            at: Cell::new(NEVER),
            limit: Cell::new(NEVER),
            look: Cell::new(NEVER),
            idle: Cell::new(false),
            waiting: Cell::new(false),
            retiring: Cell::new(false),
            waker: RefCell::new(None),
        });
        entries.push(Rc::clone(&entry));
        Watch { sweeper: Rc::clone(self), entry }
    }

    /// The task that fires deadlines; never ends. `every_second` is called about once a second while there are watches or
    /// it says that there is more for it to do.
    pub(crate) async fn run(&self, mut every_second: impl FnMut() -> bool) {
        let mut ticks = 0u32;
        loop {
            while self.entries.borrow().is_empty() {
                let filled = self.filled.notified();
                if every_second() {
                    // Time passed or not: the list says what is next.
                    let _ = tokio::time::timeout(SECOND, filled).await;
                } else {
                    filled.await;
                }
            }
            tokio::time::sleep(TICK).await;
            self.refresh();
            let now = self.now.get();
            self.wake(|entry| entry.at.get() <= now || entry.look.get() <= now);
            ticks = ticks.wrapping_add(1);
            if ticks.is_multiple_of(10) {
                every_second();
            }
        }
    }

    /// Asks connections to close once they have nothing under way: those of one listener, or all. A connection that waits for a
    /// request is closed when none comes for a second, or for half of `within`; at once if that is nothing.
    pub(crate) fn retire(&self, group: Option<u64>, within: Duration) {
        let patience = if within.is_zero() { 0 } else { self.later(LAST_REQUEST.min(within / 2)) };
        let meant = |entry: &Entry| group.is_none_or(|group| group == entry.group);
        for entry in self.entries.borrow().iter().filter(|entry| meant(entry)) {
            if !entry.retiring.replace(true) && entry.waiting.get() {
                entry.at.set(entry.at.get().min(patience));
            }
        }
        self.wake(meant);
    }

    /// Connections now open.
    pub(crate) fn open(&self) -> usize {
        self.entries.borrow().iter().filter(|entry| !entry.part).count()
    }

    fn later(&self, after: Duration) -> u64 {
        // One tick more: `now` may be a tick behind.
        let millis = u64::try_from(after.saturating_add(TICK).as_millis()).unwrap_or(NEVER);
        self.now.get().saturating_add(millis)
    }

    fn refresh(&self) {
        self.now.set(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NEVER - 1));
    }

    fn wake(&self, which: impl Fn(&Entry) -> bool) {
        // Waking only queues the task; it cannot touch the list while it is borrowed.
        for entry in self.entries.borrow().iter().filter(|entry| which(entry)) {
            if let Some(waker) = &*entry.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }
}

impl Watch {
    /// Sets the deadline.
    pub(crate) fn set(&self, after: Duration) {
        self.entry.at.set(self.sweeper.later(after).min(self.entry.limit.get()));
    }

    /// Bounds all deadlines from now on.
    pub(crate) fn limit(&self, after: Duration) {
        self.entry.limit.set(self.sweeper.later(after));
    }

    /// True when the bound of all deadlines has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.entry.limit.get() <= self.sweeper.now.get()
    }

    /// Milliseconds of the coarse clock that deadlines are kept in.
    pub(crate) fn now(&self) -> u64 {
        self.sweeper.now.get()
    }

    /// Has the task woken once that time has passed, to look at something. Every look must be taken
    /// ([`Watch::is_look_due`]) or called off.
    pub(crate) fn look_after(&self, after: Duration) {
        self.entry.look.set(self.sweeper.later(after));
    }

    /// Calls a look off.
    pub(crate) fn look_never(&self) {
        self.entry.look.set(NEVER);
    }

    /// True once when the time to look has come.
    pub(crate) fn is_look_due(&self) -> bool {
        let due = self.entry.look.get() <= self.sweeper.now.get();
        if due {
            self.look_never();
        }
        due
    }

    /// Marks the connection as idle between requests, or not.
    pub(crate) fn set_idle(&self, idle: bool) {
        self.entry.idle.set(idle);
    }

    /// Marks the connection as waiting for a next request, or not.
    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.entry.waiting.set(waiting);
        if waiting && self.entry.retiring.get() {
            self.entry.at.set(self.entry.at.get().min(self.sweeper.later(LAST_REQUEST)));
        }
    }

    /// Expired once the deadline has passed, or at once for an idle connection that is to retire.
    pub(crate) fn poll_expired(&self, context: &mut Context<'_>) -> Poll<Expired> {
        let retired = self.entry.retiring.get() && self.entry.idle.get();
        if retired || self.entry.at.get() <= self.sweeper.now.get() {
            return Poll::Ready(Expired);
        }
        let mut waker = self.entry.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// True when the connection should end after what is under way.
    pub(crate) fn is_retiring(&self) -> bool {
        self.entry.retiring.get() || self.sweeper.leaving.load(Ordering::Relaxed)
    }

    /// Waits for something within the deadline.
    pub(crate) async fn within<T>(&self, future: impl Future<Output = T>) -> Result<T, Expired> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll_expired(context).map(Err),
        })
        .await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut entries = self.sweeper.entries.borrow_mut();
        let index = self.entry.index.get();
        entries.swap_remove(index);
        if let Some(moved) = entries.get(index) {
            moved.index.set(index);
        }
    }
}
