//! What is recorded of one request or connection.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use routing::decide::Reason;

/// How a request (or a tcp connection) went. Plain data, made on the stack.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Status sent to the client; 0 when none was sent, and for tcp.
    pub status: u16,
    /// Why this route; [`Reason::NoTarget`] when there was none.
    pub reason: Reason,
    /// From the first byte received to the last byte sent.
    pub total: Duration,
    /// From the first byte received to the first byte of the response from the target.
    pub first_byte: Option<Duration>,
    /// Time spent waiting for room at a target; `None` when there was room.
    pub waited: Option<Duration>,
    /// Time in which the connection to the target was made; `None` when one was at hand.
    pub connected: Option<Duration>,
    /// Bytes from the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
    /// Further attempts after the first.
    pub retries: u8,
    /// The word of `Vamp-Proxy-Error`, when Vamp itself answered or gave up. One of a few: beyond sixteen different words for a
    /// series, further ones count as `other`.
    pub error: Option<&'static str>,
}

impl Outcome {
    /// An outcome without bytes, retries and errors, to fill in with `..`.
    pub fn new(status: u16, reason: Reason, total: Duration) -> Self {
        Self {
            status,
            reason,
            total,
            first_byte: None,
            waited: None,
            connected: None,
            received: 0,
            sent: 0,
            retries: 0,
            error: None,
        }
    }

    /// The same with an error word.
    pub fn with_error(self, word: &'static str) -> Self {
        Self { error: Some(word), ..self }
    }
}

/// Index of a status class: 1 to 5 for `1xx` to `5xx`, 0 for no status.
pub fn status_class(status: u16) -> usize {
    match status / 100 {
        class @ 1..=5 => class as usize,
        _ => 0,
    }
}

/// Words that may come from elsewhere, and their length: there are about ten, the longest has 18 letters.
const MOST_WORDS: usize = 64;
const LONGEST_WORD: usize = 32;

/// The word of an error that was counted elsewhere, for [`Totals::errors`](crate::Totals::errors). What is none, and what is
/// beyond 64 different ones, is `other`.
pub fn error_word(word: &str) -> &'static str {
    static WORDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if word.is_empty() || word.len() > LONGEST_WORD || !word.bytes().all(letters) {
        return "other";
    }
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    match words.get(word) {
        Some(known) => known,
        None if words.len() >= MOST_WORDS => "other",
        None => {
            // Kept for good, but only so many.
            let kept: &'static str = Box::leak(word.into());
            words.insert(kept);
            kept
        }
    }
}

/// All reasons, in the order of their index.
pub(crate) const REASONS: [Reason; 5] =
    [Reason::Condition, Reason::Weight, Reason::Sticky, Reason::Rerouted, Reason::NoTarget];

/// Index of a reason.
pub(crate) fn reason_index(reason: Reason) -> usize {
    match reason {
        Reason::Condition => 0,
        Reason::Weight => 1,
        Reason::Sticky => 2,
        Reason::Rerouted => 3,
        Reason::NoTarget => 4,
    }
}
