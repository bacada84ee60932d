//! Time as a parameter, so that tests can drive it.

use futures_util::future::{BoxFuture, FutureExt};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// Where the engine gets the time of day from.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Ends at that time or somewhat earlier, never later than it must: the caller looks at the time again.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()>;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Longest single sleep. The time of day may be set forward while we sleep; this bounds how late that is noticed.
const LONGEST_SLEEP: SignedDuration = SignedDuration::from_secs(10);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let left = at.duration_since(self.now()).clamp(SignedDuration::ZERO, LONGEST_SLEEP);
        tokio::time::sleep(left.unsigned_abs()).boxed()
    }
}

/// A clock that stands still until it is moved. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now: watch::Sender::new(now) }
    }

    /// Moves it forward; whoever sleeps until then wakes up.
    pub fn advance(&self, by: std::time::Duration) {
        self.now.send_modify(|now| {
            *now = SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(*now);
        });
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let mut now = self.now.subscribe();
        async move {
            if now.wait_for(|now| *now >= at).await.is_err() {
                // The clock is gone, so this time never comes.
                std::future::pending().await
            }
        }
        .boxed()
    }
}
