//! Whether a request that failed at a target is tried again, and where (spec: gateways 13, R32).
//!
//! ```text
//! no connection        -> again, whatever the method: nothing was sent
//! not sent, or told to -> again at once on a new connection, whatever the method: the target never looked at it
//!   be unseen
//! idle one was closed  -> again at once on a new connection, if the method may be repeated: the target may have seen it
//! sent, not a byte back-> again if the method may be repeated, everything sent is still there, and it was not a matter of time
//! anything else        -> no
//! ```
//!
//! Each further attempt counts against the retries of the request, must begin before the deadline of all its attempts, and is paid
//! from the budget of the gateway.

use std::time::{Duration, Instant};

use crate::settings::Limits;

/// What went wrong with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection could be made.
    Connect { timed_out: bool },
    /// The connection broke, or the answer was of no use.
    Answer(AnswerFault),
}

/// What is known about an attempt that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnswerFault {
    /// Not a byte came back.
    pub(crate) silent: bool,
    /// Everything that was sent can be sent again.
    pub(crate) replayable: bool,
    pub(crate) timed_out: bool,
    /// The connection had served before.
    pub(crate) reused: bool,
    /// It was not sent, or the target said good-bye before it looked at it.
    pub(crate) unseen: bool,
    /// The method means the same when it is done twice (RFC 9110, 9.2.2).
    pub(crate) idempotent: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The connection was stale, or is given up by its target: once more, on a new one. No retry, since nothing failed.
    Fresh,
    /// Once more at the same target, which may just be restarting.
    Again,
    /// Once more at another target of the route, if there is one.
    Elsewhere,
    /// Answer what there is to answer.
    GiveUp,
}

/// How often, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Further attempts at most.
    pub(crate) retries: u8,
    /// Time from the start of the request in which the last one must begin.
    pub(crate) within: Duration,
}

impl From<&Limits> for Allowance {
    fn from(limits: &Limits) -> Self {
        Self { retries: limits.retries, within: limits.attempts_timeout }
    }
}

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct Attempts {
    started: Instant,
    retries: u8,
    /// Further attempts that were no retries.
    fresh: u8,
}

/// Targets may say good-bye that often to one request before it counts as a failure: one that takes few requests on each connection may
/// do it several times in a row to a client that sends many at once.
const GOOD_BYES: u8 = 16;

impl Attempts {
    /// Of a request that began at that moment.
    pub(crate) fn new(started: Instant) -> Self {
        Self { started, retries: 0, fresh: 0 }
    }

    /// Retries so far.
    pub(crate) fn retries(&self) -> u8 {
        self.retries
    }

    /// How long a connection may take, when it could take `usual`: what is left for all attempts, but never nothing.
    pub(crate) fn patience(&self, now: Instant, usual: Duration, allowance: Allowance) -> Duration {
        const LEAST: Duration = Duration::from_millis(100);
        let passed = now.saturating_duration_since(self.started);
        usual.min(allowance.within.saturating_sub(passed).max(LEAST))
    }

    /// Decides, and counts. `known`: the target failed for this request before. `afford` takes a retry out of the budget of the
    /// gateway; it is asked last, and only if all else allows one.
    pub(crate) fn after(
        &mut self,
        fault: Fault,
        known: bool,
        allowance: Allowance,
        now: Instant,
        afford: impl FnOnce() -> bool,
    ) -> Verdict {
        let (again, elsewhere) = match fault {
            // Once more where it failed, in case the target was just restarting; then elsewhere, and elsewhere at the latest with
            // the last one.
            Fault::Connect { timed_out } => {
                (true, timed_out || known || self.retries + 1 >= allowance.retries)
            }
            Fault::Answer(fault) => {
                let again = fault.silent && fault.replayable && !fault.timed_out && fault.idempotent;
                if again && (fault.unseen || fault.reused) && self.fresh < GOOD_BYES {
                    self.fresh += 1;
                    return Verdict::Fresh;
                }
                (again, true)
            }
        };
        let late = now.saturating_duration_since(self.started) >= allowance.within;
        if !again || self.retries >= allowance.retries || late || !afford() {
            return Verdict::GiveUp;
        }
        self.retries += 1;
        if elsewhere { Verdict::Elsewhere } else { Verdict::Again }
    }
}

/// True for methods that mean the same when they are done twice (RFC 9110, 9.2.2).
pub(crate) fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// True for a status that counts against the target that sent it: its own fault, and not what every one of them would say to the
/// same request.
fn is_failure(status: u16) -> bool {
    status >= 500 && !matches!(status, 501 | 505)
}

/// What the end of an exchange says about its target, going by the status and the word of an error of the proxy: true if it did
/// well, `None` if it says nothing.
pub(crate) fn verdict_on(status: u16, error: Option<&str>) -> Option<bool> {
    match error {
        None => (status != 0).then(|| !is_failure(status)),
        // The client's own body was late.
        Some("timeout") if status == 408 => None,
        Some("timeout" | "bad_response" | "connect") => Some(false),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn up_to(retries: u8) -> Allowance {
        Allowance { retries, within: Duration::from_secs(10) }
    }

    const CONNECT: Fault = Fault::Connect { timed_out: false };

    fn fault(letters: &str) -> Fault {
        let has = |letter| letters.contains(letter);
        Fault::Answer(AnswerFault {
            silent: has('s'),
            replayable: has('r'),
            timed_out: has('t'),
            reused: has('u'),
            unseen: has('n'),
            idempotent: has('i'),
        })
    }

    #[test]
    fn what_may_be_sent_again() {
        // s silent, r replayable, t timed out, u reused, n unseen, i idempotent.
        let rows = [
            ("sri", Verdict::Elsewhere),
            ("sr", Verdict::GiveUp),
            ("si", Verdict::GiveUp),
            ("ri", Verdict::GiveUp),
            ("srit", Verdict::GiveUp),
            ("sriu", Verdict::Fresh),
            ("sru", Verdict::GiveUp),
            ("srni", Verdict::Fresh),
            ("sni", Verdict::GiveUp),
            ("su", Verdict::GiveUp),
            ("ru", Verdict::GiveUp),
            ("srut", Verdict::GiveUp),
            ("", Verdict::GiveUp),
        ];
        for (letters, expected) in rows {
            let now = Instant::now();
            let mut attempts = Attempts::new(now);
            assert_eq!(attempts.after(fault(letters), false, up_to(3), now, || true), expected, "{letters}");
            let counted = u8::from(expected == Verdict::Elsewhere);
            assert_eq!(attempts.retries(), counted, "{letters}");
        }
    }

    #[test]
    fn methods() {
        for (methods, expected) in [
            (["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].as_slice(), true),
            (["POST", "PATCH", "CONNECT", "get", "", "LOCK"].as_slice(), false),
        ] {
            methods.iter().for_each(|method| assert_eq!(is_idempotent(method), expected, "{method}"));
        }
    }

    #[test]
    fn connects_are_tried_again_here_then_there() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        let mut next = |known| attempts.after(CONNECT, known, up_to(3), now, || true);
        assert_eq!(
            [next(false), next(true), next(false), next(true)],
            [Verdict::Again, Verdict::Elsewhere, Verdict::Elsewhere, Verdict::GiveUp]
        );
        let first = |fault, retries| Attempts::new(now).after(fault, false, up_to(retries), now, || true);
        assert_eq!(first(CONNECT, 1), Verdict::Elsewhere, "the last is another one");
        assert_eq!(first(Fault::Connect { timed_out: true }, 3), Verdict::Elsewhere);
        assert_eq!(first(CONNECT, 0), Verdict::GiveUp);
    }

    #[test]
    fn all_within_one_deadline() {
        let now = Instant::now();
        let s = Duration::from_secs;
        let mut attempts = Attempts::new(now);
        let patience = |after| attempts.patience(now + s(after), s(5), up_to(3));
        assert_eq!([patience(0), patience(7), patience(20)], [s(5), s(3), Duration::from_millis(100)]);
        assert_eq!(attempts.after(CONNECT, false, up_to(3), now + s(9), || true), Verdict::Again);
        let late = attempts.after(CONNECT, true, up_to(3), now + s(10), || panic!("too late"));
        assert_eq!(late, Verdict::GiveUp);
    }

    #[test]
    fn the_budget_has_the_last_word_and_is_charged_for_retries_only() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        assert_eq!(attempts.after(CONNECT, false, up_to(3), now, || false), Verdict::GiveUp);
        assert_eq!(attempts.retries(), 0);
        let free = || -> bool { panic!("not to be asked") };
        assert_eq!(attempts.after(fault("sriu"), false, up_to(3), now, free), Verdict::Fresh);
        assert_eq!(attempts.after(fault("s"), false, up_to(3), now, free), Verdict::GiveUp);
    }

    #[test]
    fn what_counts_against_a_target() {
        let rows = [
            (200, None, Some(true)),
            (404, None, Some(true)),
            (503, None, Some(false)),
            (0, None, None),
            (504, Some("timeout"), Some(false)),
            (408, Some("timeout"), None),
            (502, Some("bad_response"), Some(false)),
            (200, Some("bad_response"), Some(false)),
            (200, Some("timeout"), Some(false)),
            (503, Some("connect"), Some(false)),
            (503, Some("overload"), None),
            (200, Some("client"), None),
            (499, Some("client"), None),
            (400, Some("bad_request"), None),
        ];
        for (status, error, expected) in rows {
            assert_eq!(verdict_on(status, error), expected, "{status} {error:?}");
        }
    }

    #[test]
    fn statuses() {
        for (status, failure) in
            [(0, false), (200, false), (404, false), (429, false), (500, true), (501, false), (502, true)]
        {
            assert_eq!(is_failure(status), failure, "{status}");
        }
        assert_eq!([503, 504, 505, 599].map(is_failure), [true, true, false, true]);
    }
}
