//! The head of an answer, over either version: interim responses are passed on as they come, until there is a final one.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::StatusCode;

use super::{Front, Talk};
use crate::buffers::Loan;
use crate::forward;
use crate::h1::framing;
use crate::h1::head::{Bounds, Progress as Parsed, Response, Version};
use crate::h2::head;
use crate::relay::Progress;
use crate::stream::Stream;

/// Interim responses that one request may get; more is not a server that makes progress.
const MAX_INTERIM: usize = 16;
/// Bytes of a response head.
const RESPONSE_HEAD: usize = 64 * 1024;

/// Why no response head came.
pub(super) enum HeadFault {
    Closed {
        silent: bool,
        /// The target ended the connection, and did not break it off.
        orderly: bool,
    },
    /// The target gave the stream up, for that reason.
    Reset {
        reason: Reason,
        untouched: bool,
    },
    TimedOut,
    Bad(&'static str),
    Client,
}

impl Front<'_> {
    fn poll_gone(&mut self, context: &mut Context<'_>, uploading: bool, answer: &Progress) -> Poll<()> {
        match self {
            // While there is something to upload, that reads from the client and sees it go.
            Self::Plain(attention) => match !uploading && attention.is_gone(context, answer) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            },
            Self::Framed(respond) => respond.poll_reset(context).map(drop),
        }
    }
}

impl Talk<'_> {
    /// Reads until a final response head (or 101) is complete; interim responses are passed on as they come.
    pub(super) async fn plain_head(
        &self,
        stream: &Stream,
        response: &mut Response,
        out: &mut Vec<u8>,
        front: &mut Front<'_>,
        uploading: &Cell<bool>,
        answered: &Progress,
    ) -> Result<(Loan, usize), HeadFault> {
        let client = self.client;
        let limits = &client.worker.shared.settings.limits;
        let bounds = Bounds { head: RESPONSE_HEAD, target: 0, fields: limits.fields.max(128) };
        let (mut loan, mut have, mut interim) = (None, 0, 0);
        loop {
            let ready = poll_fn(|context| {
                if let Poll::Ready(result) = stream.poll_readable(context) {
                    return Poll::Ready(Ok(result.is_ok()));
                }
                if front.poll_gone(context, uploading.get(), answered).is_ready() {
                    return Poll::Ready(Err(HeadFault::Client));
                }
                ready!(self.watch.poll_expired(context));
                Poll::Ready(Err(HeadFault::TimedOut))
            });
            let readable = ready.await?;
            let silent = have == 0 && interim == 0;
            if !readable {
                return Err(HeadFault::Closed { silent, orderly: false });
            }
            let buffer = loan.get_or_insert_with(|| client.worker.buffers.lend());
            match stream.try_read(&mut buffer[have..]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) => return Err(HeadFault::Closed { silent, orderly: true }),
                Err(_) => return Err(HeadFault::Closed { silent, orderly: false }),
                Ok(read) => have += read,
            }
            loop {
                match response.parse(&buffer[..have], bounds) {
                    Err(refusal) => return Err(HeadFault::Bad(refusal.message)),
                    Ok(Parsed::Partial) => break,
                    Ok(Parsed::Complete) if response.status >= 200 || response.status == 101 => {
                        return loan.map(|loan| (loan, have)).ok_or(HeadFault::Client);
                    }
                    Ok(Parsed::Complete) => {
                        interim += 1;
                        if framing::of_response(response, buffer, self.method).is_err() {
                            return Err(HeadFault::Bad("malformed interim response"));
                        }
                        self.interim(interim, response, buffer, out, front).await?;
                        buffer.copy_within(response.len..have, 0);
                        have -= response.len;
                    }
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) async fn framed_head(
        &self,
        waiting: &mut ResponseFuture,
        response: &mut Response,
        reply: &mut Vec<u8>,
        out: &mut Vec<u8>,
        front: &mut Front<'_>,
        uploading: &Cell<bool>,
        answered: &Progress,
    ) -> Result<RecvStream, HeadFault> {
        let mut interim = 0;
        loop {
            let got = poll_fn(|context| {
                if let Poll::Ready(Some(Ok(head))) = waiting.poll_informational(context) {
                    return Poll::Ready(Ok(Err(head)));
                }
                if let Poll::Ready(result) = Pin::new(&mut *waiting).poll(context) {
                    return Poll::Ready(result.map(Ok).map_err(|error| fault_of(&error, interim == 0)));
                }
                if front.poll_gone(context, uploading.get(), answered).is_ready() {
                    return Poll::Ready(Err(HeadFault::Client));
                }
                ready!(self.watch.poll_expired(context));
                Poll::Ready(Err(HeadFault::TimedOut))
            });
            match got.await? {
                Ok(answer) => {
                    let (parts, recv) = answer.into_parts();
                    // Without a length a client of HTTP/1.1 would read until the connection ends.
                    let empty = matches!(front, Front::Plain(_))
                        && recv.is_end_stream()
                        && self.method != "HEAD"
                        && !matches!(parts.status.as_u16(), 204 | 304);
                    return match head::response(response, reply, parts.status, &parts.headers, empty) {
                        Ok(()) => Ok(recv),
                        Err(refusal) => Err(HeadFault::Bad(refusal.message)),
                    };
                }
                Err(answer) => {
                    interim += 1;
                    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                        // HTTP/2 has no such thing (RFC 9113, 8.6).
                        return Err(HeadFault::Bad("protocol switch that nobody asked for"));
                    }
                    let read = head::response(response, reply, answer.status(), answer.headers(), false);
                    read.map_err(|refusal| HeadFault::Bad(refusal.message))?;
                    self.interim(interim, response, reply, out, front).await?;
                }
            }
        }
    }

    async fn interim(
        &self,
        number: usize,
        response: &Response,
        lines: &[u8],
        out: &mut Vec<u8>,
        front: &mut Front<'_>,
    ) -> Result<(), HeadFault> {
        if number > MAX_INTERIM {
            return Err(HeadFault::Bad("too many interim responses"));
        }
        let patience = self.client.worker.shared.settings.limits.inactivity_timeout;
        self.watch.set(patience);
        let modern = self.request.version == Version::Http11;
        if !modern || (response.status == 100 && !self.expects) {
            return Ok(());
        }
        out.clear();
        forward::interim(out, response, lines, false, b"");
        match front {
            Front::Plain(_) => {
                let sent = self.client.stream.write_all(out, self.watch, patience).await;
                sent.map_err(|_| HeadFault::Client)
            }
            Front::Framed(respond) => {
                let head = head::to_response(out, response.status);
                let head = head.ok_or(HeadFault::Bad("malformed interim response"))?;
                respond.send_informational(head).map_err(|_| HeadFault::Client)
            }
        }
    }
}

/// What the failure of a stream to a target means.
fn fault_of(error: &h2::Error, silent: bool) -> HeadFault {
    match error.reason() {
        // Streams beyond the last one of a good-bye were never looked at.
        Some(Reason::NO_ERROR) if error.is_go_away() && error.is_remote() => {
            HeadFault::Reset { reason: Reason::NO_ERROR, untouched: silent }
        }
        Some(reason) if error.is_remote() => HeadFault::Reset { reason, untouched: false },
        Some(_) => HeadFault::Bad("the target breaks the rules of HTTP/2, or does not speak it"),
        None => HeadFault::Closed { silent, orderly: false },
    }
}
