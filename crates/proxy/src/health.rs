//! Health of targets (spec: gateways 13, R32): a second opinion beside the platform's readiness, and the only one for
//! external addresses.
//!
//! ```text
//! requests  --connect failed / worked-->  Health  <--connect checks--  maintenance (every 2 s)
//!                                           |
//!                                 TargetState.down   (read by every decision)
//! ```
//!
//! External targets are checked all the time: three failures in a row take one down, two successes bring it back. Other
//! targets are taken down by failing requests only, never the last one of a route, and then checked until they are back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use routing::config::TargetKind;
use routing::table::{Route, Target, TargetState};

use crate::dial::{dial, is_own_fault};
use crate::table::{Served, Table};

/// Failures in a row that take a target down.
const DOWN_AFTER: u32 = 3;
/// Successes in a row that bring it back.
const UP_AFTER: u32 = 2;

/// What is known about one target; lives as long as its [`TargetState`].
#[derive(Debug)]
pub(crate) struct Health {
    state: Arc<TargetState>,
    failures: AtomicU32,
    successes: AtomicU32,
    /// A check is under way.
    checking: AtomicBool,
    /// There was at least one check.
    known: AtomicBool,
}

impl Health {
    fn new(state: Arc<TargetState>) -> Self {
        Self {
            state,
            failures: AtomicU32::new(0),
            successes: AtomicU32::new(0),
            checking: AtomicBool::new(false),
            known: AtomicBool::new(false),
        }
    }

    /// A connection for a request could be made.
    pub(crate) fn connected(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// A connection for a request could not be made. The last target of a route that is up stays up: a refused request
    /// now and then says more than "no target" for all.
    pub(crate) fn refused(&self, route: &Route) {
        self.successes.store(0, Relaxed);
        let failures = self.failures.fetch_add(1, Relaxed) + 1;
        let others = || {
            route
                .targets
                .iter()
                .any(|target| !Arc::ptr_eq(&target.state, &self.state) && !target.state.down.load(Relaxed))
        };
        if failures >= DOWN_AFTER && others() {
            self.state.down.store(true, Relaxed);
        }
    }

    /// The result of a connect check.
    fn checked(&self, works: bool) {
        if works {
            self.failures.store(0, Relaxed);
            if self.successes.fetch_add(1, Relaxed) + 1 >= UP_AFTER {
                self.state.down.store(false, Relaxed);
            }
        } else {
            self.successes.store(0, Relaxed);
            if self.failures.fetch_add(1, Relaxed) + 1 >= DOWN_AFTER {
                self.state.down.store(true, Relaxed);
            }
        }
    }
}

/// The health of every target that some table still holds.
#[derive(Debug, Default)]
pub(crate) struct Healths {
    /// By address of the state, which the value itself keeps alive.
    known: HashMap<usize, Arc<Health>>,
    /// Entries that the last pruning left.
    pruned: usize,
}

impl Healths {
    /// The health that belongs to the state of a target.
    pub(crate) fn of(&mut self, target: &Target) -> Arc<Health> {
        let entry = self.known.entry(Arc::as_ptr(&target.state).addr());
        Arc::clone(entry.or_insert_with(|| Arc::new(Health::new(Arc::clone(&target.state)))))
    }

    /// Forgets what no table uses any more, once that may be half of all: looking at every target is not for every change.
    pub(crate) fn prune(&mut self) {
        const FEW: usize = 64;
        if self.known.len() > 2 * self.pruned + FEW {
            self.known.retain(|_, health| Arc::strong_count(health) > 1);
            self.pruned = self.known.len();
        }
    }
}

/// Which targets to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All that are watched; the regular round.
    Due,
    /// Those of the table's fresh gateways that were never checked: after a change, so that a new address is not trusted for a
    /// whole interval.
    New,
}

/// Starts checks; they run on the caller's local set.
pub(crate) fn check(table: &Table, which: Which, timeout: Duration) {
    match which {
        Which::Due => table.all().for_each(|served| check_all(served, which, timeout)),
        Which::New => table.fresh().for_each(|served| check_all(served, which, timeout)),
    }
}

fn check_all(served: &Served, which: Which, timeout: Duration) {
    for (route, compiled) in served.routes.iter().zip(&served.gateway.routes) {
        for (target, compiled) in route.targets.iter().zip(&compiled.targets) {
            let watched = compiled.config.kind == TargetKind::External || compiled.state.down.load(Relaxed);
            let new = !target.health.known.swap(true, Relaxed);
            let due = new || which == Which::Due;
            if watched && due && !target.health.checking.swap(true, Relaxed) {
                tokio::task::spawn_local(check_one(Arc::clone(&target.health), target.address, timeout));
            }
        }
    }
}

async fn check_one(health: Arc<Health>, address: SocketAddr, timeout: Duration) {
    match tokio::time::timeout(timeout, dial(address)).await {
        Ok(Err(error)) if is_own_fault(&error) => {}
        connected => health.checked(matches!(connected, Ok(Ok(_)))),
    }
    health.checking.store(false, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_take_down_and_two_successes_bring_back() {
        let health = Health::new(Arc::default());
        let mut seen = Vec::new();
        for works in [false, false, true, false, false, false, false, true, false, true, true] {
            health.checked(works);
            seen.push(!health.state.down.load(Relaxed));
        }
        let up = [true, true, true, true, true, false, false, false, false, false, true];
        assert_eq!(seen, up);
    }
}
