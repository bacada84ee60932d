//! How many descriptors the process may have, and who goes without when they run out.
//!
//! ```text
//! 0 ............... 3/4 .......... limit - reserve .... limit
//!    clients             targets                  API, files, checks of health
//! ```
//!
//! A new descriptor has the lowest number that is free, so the number says how many are in use, without counting.

use std::os::fd::{AsFd, AsRawFd as _, RawFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Left to the rest of the process, unless there are few at all.
const RESERVE: u64 = 64;

/// The first numbers that are too high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    client: RawFd,
    target: RawFd,
}

impl Descriptors {
    /// Without a bound of ours.
    pub(crate) const ALL: Self = Self { client: RawFd::MAX, target: RawFd::MAX };

    /// Every request takes two descriptors, and what a process may have without asking is often 1024. It may have as many as the
    /// hard limit says for the asking; who wants fewer lowers that one.
    pub(crate) fn raise() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current == maximum {
            return Self::of(current);
        }
        match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => Self::of(maximum),
            Err(error) => {
                tracing::warn!(?current, ?maximum, %error, "the limit of open files cannot be raised");
                Self::of(current)
            }
        }
    }

    fn of(limit: Option<u64>) -> Self {
        let number = |number: u64| RawFd::try_from(number).unwrap_or(RawFd::MAX);
        let limit = limit.unwrap_or(u64::MAX);
        Self { client: number(limit / 4 * 3), target: number(limit - RESERVE.min(limit / 8)) }
    }

    /// Whether a client that was accepted may stay; `freed` descriptors have become free since.
    pub(crate) fn suffice_for_client(self, connection: impl AsFd, freed: usize) -> bool {
        let number = i64::from(connection.as_fd().as_raw_fd());
        number.saturating_sub(i64::try_from(freed).unwrap_or(i64::MAX)) < i64::from(self.client)
    }

    /// Whether a connection to a target may be made.
    pub(crate) fn suffice_for_target(self, connection: impl AsFd) -> bool {
        connection.as_fd().as_raw_fd() < self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_go_without_first() {
        for (limit, client, target) in [
            (Some(64), 48, 56),
            (Some(1024), 768, 960),
            (Some(1_048_576), 786_432, 1_048_512),
            (Some(0), 0, 0),
            (None, RawFd::MAX, RawFd::MAX),
        ] {
            assert_eq!(Descriptors::of(limit), Descriptors { client, target }, "{limit:?}");
        }
    }
}
