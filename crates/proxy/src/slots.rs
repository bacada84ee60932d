//! Room at a target: how many requests (or tcp connections) it may have at a time over all workers, and how many may wait for one
//! of them to end.
//!
//! ```text
//! take: one atomic compare-and-swap --full--> wait: first come, first served, a bounded number, for a bounded time
//! give back: one atomic subtraction, and only if somebody waits, wake the first
//! ```

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use tokio::sync::Notify;

/// Who waits for room at one target.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    waiting: AtomicU32,
    freed: Notify,
}

/// There is no room, and too many wait for it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Slots {
    /// Takes one of `most` if there is room and nobody waits; 0 is no limit.
    pub(crate) fn try_take(&self, used: &AtomicU32, most: u32) -> bool {
        (most == 0 || self.waiting.load(SeqCst) == 0) && take(used, most)
    }

    /// Waits for one of `most`, unless `queue` others do already. A waiter that is dropped leaves its place.
    pub(crate) async fn wait(&self, used: &AtomicU32, most: u32, queue: u32) -> Result<(), Full> {
        let _place = Place::new(&self.waiting, queue)?;
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // In the queue before looking: what is given back after the look wakes somebody.
            freed.as_mut().enable();
            if take(used, most) {
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
        let (slots, used) = (Slots::default(), AtomicU32::new(0));
        assert!(slots.try_take(&used, 2) && slots.try_take(&used, 2));
        assert!(!slots.try_take(&used, 2));
        assert_eq!(slots.wait(&used, 2, 0).await, Err(Full));
        let waits = async {
            slots.wait(&used, 2, 1).await.unwrap();
            assert!(!slots.try_take(&used, 2));
        };
        let gives = async {
            assert_eq!(slots.waiting(), 1);
            assert_eq!(slots.wait(&used, 2, 1).await, Err(Full), "one place only");
            slots.give_back(&used);
        };
        tokio::join!(biased; waits, gives);
        assert_eq!((used.load(SeqCst), slots.waiting()), (2, 0));
        // Without a limit.
        assert!((0..1000).all(|_| slots.try_take(&used, 0)));
    }

    #[tokio::test]
    async fn who_came_later_does_not_overtake_and_who_leaves_makes_room() {
        let (slots, used) = (Slots::default(), AtomicU32::new(1));
        let mut first = Box::pin(slots.wait(&used, 1, 9));
        let mut second = Box::pin(slots.wait(&used, 1, 9));
        assert!(futures_ready(&mut first).await.is_none() && futures_ready(&mut second).await.is_none());
        slots.give_back(&used);
        assert!(!slots.try_take(&used, 1), "two others came before");
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
        let shared = Arc::new((Slots::default(), AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                    let client = async || {
                        for _ in 0..250 {
                            let (slots, used, inside, done) = &*shared;
                            if !slots.try_take(used, MOST) {
                                slots.wait(used, MOST, 1000).await.unwrap();
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
