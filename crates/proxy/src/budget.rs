//! Further attempts of a gateway's requests, as many as it can afford: retries help while few targets fail, and finish off the rest
//! when many do.
//!
//! A token bucket that requests fill: a fifth of a token each, and ten tokens a second besides, so that a gateway with little
//! traffic may retry as well. It is looked at only when something fails. How many requests there were since is read off the
//! gateway's own counters, so a request that goes well does nothing for it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Requests that pay for one retry.
const REQUESTS: u64 = 5;
/// Tokens a second without any request.
const FLOOR: u64 = 10;
/// Tokens that can be saved up.
const MOST: u64 = 100;
/// Parts of a token, so that all of it is whole numbers: a request earns 1,000 of them, a millisecond 50.
const TOKEN: u64 = REQUESTS * 1_000;

/// Retries that a gateway can afford now.
#[derive(Debug)]
struct Bucket {
    /// In parts of a token.
    level: u64,
    /// When and with how many requests it was filled last.
    filled: (Duration, u64),
}

impl Bucket {
    fn new() -> Self {
        Self { level: MOST * TOKEN, filled: (Duration::ZERO, 0) }
    }

    /// Adds what time and requests earned.
    fn fill(&mut self, now: Duration, requests: u64) {
        let (then, before) = self.filled;
        let passed = u64::try_from(now.saturating_sub(then).as_millis()).unwrap_or(u64::MAX);
        let earned = requests
            .saturating_sub(before)
            .saturating_mul(TOKEN / REQUESTS)
            .saturating_add(passed.saturating_mul(FLOOR * TOKEN / 1_000));
        self.level = self.level.saturating_add(earned).min(MOST * TOKEN);
        // Counters of requests are read on their own: one that seems to fall must not earn twice.
        self.filled = (now.max(then), requests.max(before));
    }

    fn take(&mut self, now: Duration, requests: u64) -> bool {
        self.fill(now, requests);
        let affordable = self.level >= TOKEN;
        if affordable {
            self.level -= TOKEN;
        }
        affordable
    }
}

/// The bucket of one gateway, which outlives its tables.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    bucket: Mutex<Bucket>,
    refused: AtomicU64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { bucket: Mutex::new(Bucket::new()), refused: AtomicU64::new(0) }
    }
}

impl RetryBudget {
    /// Takes one retry out; false when there is none left. `requests` is how many the gateway ever had.
    pub(crate) fn take(&self, now: Duration, requests: u64) -> bool {
        let affordable = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now, requests);
        if !affordable {
            self.refused.fetch_add(1, Relaxed);
        }
        affordable
    }

    /// Retries that could not be afforded, since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Retries that are left.
    pub(crate) fn left(&self, now: Duration, requests: u64) -> u64 {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.fill(now, requests);
        bucket.level / TOKEN
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn emptied(now: Duration, requests: u64) -> Bucket {
        let mut bucket = Bucket::new();
        while bucket.take(now, requests) {}
        bucket
    }

    #[test]
    fn a_full_bucket_has_a_hundred() {
        let budget = RetryBudget::default();
        assert_eq!(budget.left(ms(0), 0), 100);
        assert_eq!((0..200).filter(|_| budget.take(ms(0), 0)).count(), 100);
        assert_eq!(budget.left(ms(0), 0), 0);
        assert_eq!(budget.left(ms(3_600_000), 1_000_000), 100);
    }

    #[test]
    fn five_requests_pay_for_one() {
        let mut bucket = emptied(ms(1000), 40);
        assert!(!bucket.take(ms(1000), 44));
        assert!(bucket.take(ms(1000), 45));
        assert!(!bucket.take(ms(1000), 45));
    }

    #[test]
    fn ten_a_second_come_by_themselves() {
        let mut bucket = emptied(ms(0), 0);
        assert!(!bucket.take(ms(99), 0));
        assert!(bucket.take(ms(100), 0));
        let took = (0..2_000).filter(|step| bucket.take(ms(100 + step), 0)).count();
        assert!((19..=20).contains(&took), "{took}");
    }

    #[test]
    fn counters_and_clocks_that_seem_to_fall_earn_nothing() {
        let mut bucket = emptied(ms(1000), 1000);
        assert!(!bucket.take(ms(900), 900));
        assert!(!bucket.take(ms(1000), 1000));
        assert!(bucket.take(ms(1000), 1005));
    }

    proptest! {
        /// A storm in which every attempt fails: never more retries than a fifth of the requests, ten a second and what was saved.
        #[test]
        fn storms(steps in prop::collection::vec((0_u64..50, 0_u64..20), 1..200)) {
            let mut bucket = Bucket::new();
            let (mut now, mut requests, mut retries) = (0, 0, 0);
            for (millis, arrived) in steps {
                now += millis;
                requests += arrived;
                for _ in 0..arrived * 3 {
                    retries += u64::from(bucket.take(ms(now), requests));
                }
            }
            prop_assert!(retries <= requests / 5 + now / 100 + MOST + 1, "{retries} of {requests} in {now} ms");
        }
    }
}
