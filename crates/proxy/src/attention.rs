//! Notices a client that goes away while its target thinks, or is silent in the middle of an answer: a target should not work for
//! nobody, and a stream of events without events should not be kept for a client that is gone.
//!
//! ```text
//! answer takes long --> watch for the end of input --+-- reset                              gone
//!                                                    +-- bytes (the next request)            errors only
//!                                                    `-- end --+-- said that it would close  errors only
//!                                                              `-- else: grace, then gone, unless it took bytes since
//! ```
//!
//! The end of input alone is ambiguous: a client that closed and one that only shut down writing look the same until something is
//! sent to them. HAProxy goes on by default, nginx gives up. Here a client that announced its last request (`Connection:
//! close`, or HTTP/1.0), or whose next request is here already, may shut down writing and waits as long as any other. One that did not is given [`GRACE`], which
//! is plenty for what people do by hand (`printf ... | nc -N`), and then taken for gone. Everything that is ready in
//! the meantime is sent, and writing to a client that closed fails. An end that hides behind a pipelined request is not seen.
//!
//! What is answered fast costs nothing: the first look comes with a tick of the sweeper.

use std::task::{Context, Poll};
use std::time::Duration;

use crate::connection::Client;
use crate::relay::Progress;
use crate::stream::Glance;

/// When a client that waits is first looked at; most answers come sooner.
const FIRST_LOOK: Duration = Duration::from_millis(200);
/// How long a client that ended its input without a word may still wait.
const GRACE: Duration = Duration::from_secs(1);

/// Attention to the client of one exchange.
pub(crate) struct Attention<'a> {
    client: &'a Client,
    /// The client said that it sends nothing more.
    announced: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Too early to look.
    Later,
    /// Waiting for the end of input.
    Watching,
    /// It ended when that many bytes had been sent.
    Ended { sent: u64 },
    /// Only an error tells.
    ErrorsOnly,
}

impl<'a> Attention<'a> {
    pub(crate) fn new(client: &'a Client, announced: bool) -> Self {
        client.watch.look_after(FIRST_LOOK);
        Self { client, announced, state: State::Later }
    }

    /// True when the client is gone. Not to be asked while something else reads from the client. `answer`: how far that is.
    pub(crate) fn is_gone(&mut self, context: &mut Context<'_>, answer: &Progress) -> bool {
        let sent = answer.bytes.get();
        let due = self.client.watch.is_look_due();
        match self.state {
            State::Later if due => self.state = State::Watching,
            State::Ended { .. } | State::ErrorsOnly if due && self.client.stream.has_failed() => return true,
            State::Ended { sent: before } if due && sent == before && !answer.writing.get() => return true,
            // It took something since, or is slow to take it. If nobody was there to take it, an error will say so.
            State::Ended { .. } | State::ErrorsOnly if due => self.errors_only(),
            _ => {}
        }
        if self.state == State::Watching {
            match self.client.stream.poll_glance(context) {
                Poll::Pending => {}
                Poll::Ready(Glance::Broken) => return true,
                Poll::Ready(Glance::Data) => self.errors_only(),
                Poll::Ready(Glance::End) if self.announced => self.errors_only(),
                Poll::Ready(Glance::End) => {
                    self.state = State::Ended { sent };
                    self.client.watch.look_after(GRACE);
                }
            }
        }
        false
    }

    fn errors_only(&mut self) {
        if self.state != State::ErrorsOnly {
            // A system that knows nothing of the connection any more says so when it is asked.
            self.client.stream.keep_alive();
            self.state = State::ErrorsOnly;
        }
        self.client.watch.look_after(GRACE);
    }
}

impl Drop for Attention<'_> {
    fn drop(&mut self) {
        self.client.watch.look_never();
    }
}
