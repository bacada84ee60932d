//! Room at a target: how many requests (or tcp connections) it may have at a time over all workers, and how many may wait for one
//! of them to end.
//!
//! ```text
//! take: one atomic compare-and-swap --full--> wait: first come, first served, a bounded number, for a bounded time
//! give back: one atomic subtraction, and only if somebody waits, wake the first
//! ```

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use tokio::sync::Notify;

/// Who waits for room at one target, and how much there is.
#[derive(Debug)]
pub(crate) struct Slots {
    /// How many it may have at a time; 0 for no limit.
    most: AtomicU32,
    /// How many may wait.
    queue: AtomicU32,
    waiting: AtomicU32,
    freed: Notify,
}

/// There is no room, and too many wait for it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Slots {
    /// For `most` at a time, 0 for no limit, and `queue` that wait.
    pub(crate) fn new(most: u32, queue: u32) -> Self {
        Self {
            most: AtomicU32::new(most),
            queue: AtomicU32::new(queue),
            waiting: AtomicU32::new(0),
            freed: Notify::new(),
        }
    }

    /// Other limits from now on: those who wait look again, nobody loses a place.
    pub(crate) fn limit(&self, most: u32, queue: u32) {
        self.queue.store(queue, SeqCst);
        if self.most.swap(most, SeqCst) != most {
            self.freed.notify_waiters();
        }
    }

    /// Takes one if there is room and nobody waits.
    pub(crate) fn try_take(&self, used: &AtomicU32) -> bool {
        let most = self.most.load(SeqCst);
        (most == 0 || self.waiting.load(SeqCst) == 0) && take(used, most)
    }

    /// Waits for one, unless too many others do already. A waiter that is dropped leaves its place.
    pub(crate) async fn wait(&self, used: &AtomicU32) -> Result<(), Full> {
        let _place = Place::new(&self.waiting, self.queue.load(SeqCst))?;
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // In the queue before looking: what is given back after the look wakes somebody.
            freed.as_mut().enable();
            if take(used, self.most.load(SeqCst)) {
                return Ok(());
            }
            freed.await;
        }
    }

    /// Gives one back.
    pub(crate) fn give_back(&self, used: &AtomicU32) {
        used.fetch_sub(1, SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            self.freed.notify_one();
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }
}

fn take(used: &AtomicU32, most: u32) -> bool {
    if most == 0 {
        used.fetch_add(1, SeqCst);
        return true;
    }
    used.fetch_update(SeqCst, SeqCst, |used| (used < most).then_some(used + 1)).is_ok()
}

/// A place in the queue.
struct Place<'a>(&'a AtomicU32);

impl<'a> Place<'a> {
    fn new(waiting: &'a AtomicU32, most: u32) -> Result<Self, Full> {
        let joined = waiting.fetch_update(SeqCst, SeqCst, |waiting| (waiting < most).then_some(waiting + 1));
        joined.map(|_| Self(waiting)).map_err(|_| Full)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn room_then_a_queue_then_no() {
        let (slots, used) = (Slots::new(2, 0), AtomicU32::new(0));
        assert!(slots.try_take(&used) && slots.try_take(&used));
        assert!(!slots.try_take(&used));
        assert_eq!(slots.wait(&used).await, Err(Full));
        slots.limit(2, 1);
        let waits = async {
            slots.wait(&used).await.unwrap();
            assert!(!slots.try_take(&used));
        };
        let gives = async {
            assert_eq!(slots.waiting(), 1);
            assert_eq!(slots.wait(&used).await, Err(Full), "one place only");
            slots.give_back(&used);
        };
        tokio::join!(biased; waits, gives);
        assert_eq!((used.load(SeqCst), slots.waiting()), (2, 0));
        // Without a limit.
        slots.limit(0, 0);
        assert!((0..1000).all(|_| slots.try_take(&used)));
    }

    #[tokio::test]
    async fn other_limits_are_in_force_at_once() {
        let (slots, used) = (Slots::new(1, 9), AtomicU32::new(0));
        assert!(slots.try_take(&used));
        let mut waiters: Vec<_> = (0..4).map(|_| Box::pin(slots.wait(&used))).collect();
        for waiter in &mut waiters {
            assert_eq!(futures_ready(waiter).await, None);
        }
        slots.limit(3, 9);
        let mut entered = 0;
        for waiter in &mut waiters {
            entered += u32::from(futures_ready(waiter).await.is_some());
        }
        assert_eq!((entered, used.load(SeqCst)), (2, 3));
        // Fewer than there are: they end in peace, and the next comes in when there is room again.
        slots.limit(1, 0);
        assert_eq!(slots.wait(&used).await, Err(Full));
        let left = waiters.split_off(2);
        for mut waiter in left {
            assert_eq!(futures_ready(&mut waiter).await, None, "of those that were there before");
            slots.limit(0, 0);
            assert_eq!(futures_ready(&mut waiter).await, Some(Ok(())));
            slots.limit(1, 0);
        }
        assert_eq!(used.load(SeqCst), 5);
    }

    #[tokio::test]
    async fn who_came_later_does_not_overtake_and_who_leaves_makes_room() {
        let (slots, used) = (Slots::new(1, 9), AtomicU32::new(1));
        let mut first = Box::pin(slots.wait(&used));
        let mut second = Box::pin(slots.wait(&used));
        assert!(futures_ready(&mut first).await.is_none() && futures_ready(&mut second).await.is_none());
        slots.give_back(&used);
        assert!(!slots.try_take(&used), "two others came before");
        drop(first);
        // The first was woken and left: its turn goes on to the second.
        assert_eq!(futures_ready(&mut second).await, Some(Ok(())));
        assert_eq!((used.load(SeqCst), slots.waiting()), (1, 0));
    }

    async fn futures_ready<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(value) => Some(value),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    /// Many threads, few slots: never more at a time than allowed, and everybody gets a turn.
    #[test]
    fn threads() {
        const MOST: u32 = 3;
        let shared =
            Arc::new((Slots::new(MOST, 1000), AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                    let client = async || {
                        for _ in 0..250 {
                            let (slots, used, inside, done) = &*shared;
                            if !slots.try_take(used) {
                                slots.wait(used).await.unwrap();
                            }
                            assert!(inside.fetch_add(1, SeqCst) < MOST);
                            tokio::task::yield_now().await;
                            inside.fetch_sub(1, SeqCst);
                            slots.give_back(used);
                            done.fetch_add(1, SeqCst);
                        }
                    };
                    runtime.block_on(async {
                        let both = async { tokio::join!(client(), client()) };
                        tokio::time::timeout(Duration::from_secs(60), both)
                            .await
                            .expect("nobody is forgotten");
                    });
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(shared.3.load(SeqCst), 2_000);
        assert_eq!((shared.1.load(SeqCst), shared.0.waiting()), (0, 0));
    }
}
