//! Which replica acts: leader election on a `coordination.k8s.io/v1 Lease`.
//!
//! ```text
//!   step (pure): what was read, what was written, now  --->  read | write | wait, and: do I lead?
//!        ^                                                        |
//!        +------------------- candidate (the task) <--------------+
//!                                  | standing
//!                                  v
//!                       controller; mark: the leader's label on its pod
//! ```
//!
//! No clock of another machine is believed: a candidate counts from when *it* saw the Lease change, a leader from when *it*
//! sent the last renewal that was confirmed. The leader gives up after the renew deadline, the others wait for the whole
//! lease, which is longer: there is never a second leader while the clocks of two machines run at about the same speed.

mod candidate;
mod mark;
mod object;
mod step;

use std::time::Duration;

pub use candidate::{Candidate, Identity, Settings, Standing};
pub use mark::LEADER_LABEL;

/// How long things take in an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a lease holds after it was seen to be renewed. Whole seconds, as the Lease says it.
    pub lease: Duration,
    /// How long a leader may go without a confirmed renewal. Shorter than the lease by what it takes to stop acting.
    pub renew_deadline: Duration,
    /// Pause between renewals, and between looks of those who wait.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// The same, or what is wrong with it.
    ///
    /// # Errors
    /// The times do not leave a leader the time to stop before another starts.
    pub fn checked(self) -> Result<Self, String> {
        let Self { lease, renew_deadline, retry } = self;
        if lease.subsec_nanos() != 0 || lease.is_zero() {
            return Err(format!("a lease of {lease:?} is not possible: use whole seconds, at least one"));
        }
        if renew_deadline >= lease {
            return Err(format!(
                "the renew deadline of {renew_deadline:?} must be shorter than the lease of {lease:?}: a leader stops after the \
                 first, another starts after the second"
            ));
        }
        if retry.is_zero() || retry * 2 > renew_deadline {
            return Err(format!(
                "the renewal every {retry:?} must come at least twice within the renew deadline of {renew_deadline:?}"
            ));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
