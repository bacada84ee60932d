//! One conversation with one target, from the request that is ready to be sent to the last byte of the answer.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use super::Next;
use crate::attention::Attention;
use crate::buffers::Loan;
use crate::connection::Client;
use crate::facts::Facts;
use crate::forward::{self, Back};
use crate::h1::framing::{self, Body};
use crate::h1::head::{Bounds, Progress as Parsed, Request, Response, Version};
use crate::plan::Broken;
use crate::relay::{Fault, Incoming, Patience, Progress, pump, write_piece};
use crate::reply::Own;
use crate::stream::{Stream, Wait};
use crate::tunnel;

/// Interim responses that one request may get; more is not a server that makes progress.
const MAX_INTERIM: usize = 16;
/// Bytes of a response head.
const RESPONSE_HEAD: usize = 64 * 1024;

/// What is needed to talk to a target.
pub(crate) struct Conversation<'a> {
    pub(crate) client: &'a Client,
    pub(crate) request: &'a Request,
    pub(crate) method: &'a str,
    pub(crate) stream: &'a Stream,
    pub(crate) from_gateway: bool,
    pub(crate) set_cookies: &'a [String],
    pub(crate) extra: &'a [u8],
    pub(crate) expects: bool,
    pub(crate) upgrade: bool,
    /// What the client sent after this request; the start of the other protocol if it is upgraded.
    pub(crate) rest: &'a [u8],
}

/// A conversation that reached the client.
pub(crate) struct Done {
    pub(crate) next: Next,
    /// The connection to the target can serve another request.
    pub(crate) reusable: bool,
}

impl From<Next> for Done {
    fn from(next: Next) -> Self {
        Self { next, reusable: false }
    }
}

/// Why no response head came.
enum HeadFault {
    /// `orderly`: the target ended the connection, and did not break it off.
    Closed {
        silent: bool,
        orderly: bool,
    },
    TimedOut,
    Bad(&'static str),
    Client,
}

impl Conversation<'_> {
    /// Sends `out` and the rest of `body`, and relays the answer.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn run(
        &self,
        out: &[u8],
        body: &mut Incoming,
        chunked: bool,
        spill: &mut Vec<u8>,
        response: &mut Response,
        head_out: &mut Vec<u8>,
        facts: &mut Facts,
    ) -> Result<Done, Broken> {
        let client = self.client;
        let watch = &client.watch;
        let patience = client.worker.shared.settings.limits.inactivity_timeout;
        let up = Progress::default();

        let written = match self.stream.try_write(out) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            // It may have answered before it closed, but there is nobody to send the request to.
            Err(_) => return Err(Broken::unsent(up.started.get())),
        };
        let mut uploading = written < out.len() || !body.is_done();
        // Most requests have nothing to upload. What is rare is boxed: an idle connection keeps the size of the largest future
        // that it may ever run.
        let mut upload = uploading.then(|| {
            Box::pin(async {
                let sent = self.stream.write_all(&out[written..], watch, patience).await;
                sent.map_err(|wait| match wait {
                    Wait::TimedOut => Fault::SinkTimeout,
                    Wait::Broken => Fault::Sink,
                })?;
                let (from, to) = (&client.stream, self.stream);
                let buffers = &client.worker.buffers;
                pump(from, to, watch, buffers, patience.into(), body, chunked, None, spill, &up).await
            })
        });
        let mut upload_failed = false;
        let answered = Progress::default();
        // One whose next request is here already may well have said all that it had to say.
        let last = !self.request.keeps_alive() || !self.rest.is_empty();
        let mut attention = Attention::new(client, last);

        // The head of the answer, while the rest of the body goes out.
        let mut reply: Option<Loan> = None;
        let mut have = 0;
        watch.set(patience);
        let got = {
            let mut head = pin!(self.read_head(&mut reply, &mut have, response, head_out));
            poll_fn(|context| {
                if uploading
                    && let Some(upload) = &mut upload
                    && let Poll::Ready(result) = upload.as_mut().poll(context)
                {
                    uploading = false;
                    watch.set(patience);
                    match result {
                        Ok(()) => {}
                        // The target stopped reading; often it has answered already.
                        Err(Fault::Sink | Fault::SinkTimeout) => upload_failed = true,
                        Err(fault) => return Poll::Ready(Err(fault)),
                    }
                }
                if let Poll::Ready(result) = head.as_mut().poll(context) {
                    return Poll::Ready(Ok(result));
                }
                // While there is something to upload, that reads from the client and sees it go.
                match !uploading && attention.is_gone(context, &answered) {
                    true => Poll::Ready(Err(Fault::Sink)),
                    false => Poll::Pending,
                }
            })
            .await
        };
        match got {
            Ok(Ok(())) => {}
            Ok(Err(HeadFault::Closed { silent, orderly })) => {
                let broken = Broken::new(Own::CLOSED, silent, up.started.get());
                return Err(broken.unseen_if(silent && orderly && self.stream.is_unheard(out.len())));
            }
            Ok(Err(HeadFault::TimedOut)) => return Err(Broken::late(up.started.get())),
            Ok(Err(HeadFault::Bad(message))) => {
                return Err(Broken::new(Own::bad_response(message), false, up.started.get()));
            }
            Ok(Err(HeadFault::Client)) => return Ok(client_gone(facts).into()),
            Err(fault) => {
                facts.received += up.bytes.get();
                return match fault {
                    // The client waits for a `100 Continue` that the target owes it.
                    Fault::SourceTimeout if self.expects && !up.started.get() => {
                        Err(Broken::late(up.started.get()))
                    }
                    Fault::SourceTimeout => Err(Broken::new(Own::BODY_TIMEOUT, false, up.started.get())),
                    Fault::Malformed => {
                        Err(Broken::new(Own::bad_request("malformed chunked body"), false, up.started.get()))
                    }
                    _ => Ok(client_gone(facts).into()),
                };
            }
        }
        let Some(mut loan) = reply else { return Err(Broken::new(Own::CLOSED, true, up.started.get())) };
        facts.first_byte = Some(facts.started.elapsed());

        if response.status == 101 {
            if !self.upgrade || uploading {
                return Err(Broken::new(
                    Own::bad_response("protocol switch that nobody asked for"),
                    false,
                    up.started.get(),
                ));
            }
            return Ok(Box::pin(self.switch(response, head_out, &loan[..have], facts)).await.into());
        }
        let framing = match framing::of_response(response, &loan, self.method) {
            Ok(framing) => framing,
            Err(refusal) => return Err(Broken::new(refusal.into(), false, up.started.get())),
        };

        // How the answer goes back.
        let modern = self.request.version == Version::Http11;
        let delimited = matches!(framing, Body::Empty | Body::Length(_)) || modern;
        let sent_all = !uploading && !upload_failed;
        let keep = self.request.keeps_alive() && sent_all && delimited && !watch.is_retiring();
        let rechunk = modern && matches!(framing, Body::Chunked | Body::UntilClose);
        let mut reusable = sent_all
            && response.version == Version::Http11
            && !response.fields.connection.close
            && framing != Body::UntilClose;
        let mut incoming = Incoming::from(framing);
        let (head, rest) = loan.split_at_mut(response.len);
        let first = match incoming.take(&mut rest[..have - response.len]) {
            Ok(first) => first,
            Err(_) => {
                return Err(Broken::new(
                    Own::bad_response("malformed chunked body"),
                    false,
                    up.started.get(),
                ));
            }
        };
        // Bytes beyond the answer belong to no request: nobody may get them.
        reusable &= response.len + first.consumed == have;
        let mut extra = Cow::Borrowed(self.extra);
        if !extra.is_empty() {
            facts.describe(extra.to_mut());
        }
        let back = Back {
            client: self.request.version,
            keep,
            chunked: rechunk,
            set_cookies: self.set_cookies,
            extra: &extra,
            from_gateway: self.from_gateway,
        };
        head_out.clear();
        let plain = forward::response_is_plain(response, head, &back);
        if !plain {
            forward::response(head_out, response, head, &back);
        }
        facts.status = response.status;
        facts.sent = if plain { response.len } else { head_out.len() } as u64;

        // Events come when they come.
        let mut between = Patience::from(patience);
        if response.fields.is_event_stream(head) {
            between.source = client.worker.shared.settings.limits.tunnel_timeout;
            client.stream.keep_alive();
        }
        let down = Progress::default();
        down.writing.set(true);
        down.bytes.set(first.payload.len() as u64);
        let mut excess = Vec::new();
        let result = {
            let body_start = response.len;
            let mut download = pin!(async {
                let payload = body_start + first.payload.start..body_start + first.payload.end;
                let sent = if plain {
                    client.stream.write_all(&loan[..payload.end], watch, patience).await
                } else {
                    let framing = rechunk.then_some(&incoming);
                    write_piece(&client.stream, watch, patience, head_out, &loan[payload], framing).await
                };
                sent.map_err(|_| Fault::Sink)?;
                down.writing.set(false);
                if incoming.is_done() {
                    return Ok(());
                }
                let (from, to) = (self.stream, &client.stream);
                let (buffers, body) = (&client.worker.buffers, &mut incoming);
                let loan = Some(loan);
                // Boxed for the same reason as the upload.
                Box::pin(pump(from, to, watch, buffers, between, body, rechunk, loan, &mut excess, &down))
                    .await
            });
            poll_fn(|context| {
                if uploading
                    && let Some(upload) = &mut upload
                    && let Poll::Ready(result) = upload.as_mut().poll(context)
                {
                    uploading = false;
                    match result {
                        Ok(()) | Err(Fault::Sink | Fault::SinkTimeout) => {}
                        Err(_) => return Poll::Ready(Err(Fault::Sink)),
                    }
                }
                if let Poll::Ready(result) = download.as_mut().poll(context) {
                    return Poll::Ready(result);
                }
                match !uploading && attention.is_gone(context, &down) {
                    true => Poll::Ready(Err(Fault::Sink)),
                    false => Poll::Pending,
                }
            })
            .await
        };
        facts.received += up.bytes.get();
        facts.sent += down.bytes.get();
        match result {
            Ok(()) => {
                let next = match keep {
                    true => Next::KeepAlive,
                    // A client that asked for the close sends nothing more.
                    false if sent_all && !self.request.keeps_alive() => Next::Close,
                    false => Next::Linger,
                };
                Ok(Done { next, reusable: reusable && excess.is_empty() })
            }
            Err(Fault::Sink | Fault::SinkTimeout) => Ok(client_gone(facts).into()),
            Err(fault) => {
                facts.error = Some(match fault {
                    Fault::SourceTimeout => "timeout",
                    _ => "bad_response",
                });
                // Must not look complete. A length or a missing last chunk tells; a close that delimits does not.
                if !delimited {
                    client.stream.reset_on_close();
                }
                Ok(Next::Close.into())
            }
        }
    }

    /// Reads until a final response head (or 101) is complete; interim responses are passed on as they come.
    async fn read_head(
        &self,
        reply: &mut Option<Loan>,
        have: &mut usize,
        response: &mut Response,
        out: &mut Vec<u8>,
    ) -> Result<(), HeadFault> {
        let client = self.client;
        let limits = &client.worker.shared.settings.limits;
        let bounds = Bounds { head: RESPONSE_HEAD, target: 0, fields: limits.fields.max(128) };
        let mut interim = 0;
        loop {
            let silent = *have == 0 && interim == 0;
            match self.stream.readable(&client.watch).await {
                Ok(()) => {}
                Err(Wait::TimedOut) => return Err(HeadFault::TimedOut),
                Err(Wait::Broken) => return Err(HeadFault::Closed { silent, orderly: false }),
            }
            let buffer = reply.get_or_insert_with(|| client.worker.buffers.lend());
            match self.stream.try_read(&mut buffer[*have..]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) => return Err(HeadFault::Closed { silent, orderly: true }),
                Err(_) => return Err(HeadFault::Closed { silent, orderly: false }),
                Ok(read) => *have += read,
            }
            loop {
                match response.parse(&buffer[..*have], bounds) {
                    Err(refusal) => return Err(HeadFault::Bad(refusal.message)),
                    Ok(Parsed::Partial) => break,
                    Ok(Parsed::Complete) if response.status >= 200 || response.status == 101 => return Ok(()),
                    Ok(Parsed::Complete) => {
                        interim += 1;
                        if interim > MAX_INTERIM {
                            return Err(HeadFault::Bad("too many interim responses"));
                        }
                        if framing::of_response(response, buffer, self.method).is_err() {
                            return Err(HeadFault::Bad("malformed interim response"));
                        }
                        let wanted = self.request.version == Version::Http11
                            && (response.status != 100 || self.expects);
                        if wanted {
                            out.clear();
                            forward::interim(out, response, buffer, false, b"");
                            let patience = limits.inactivity_timeout;
                            let sent = client.stream.write_all(out, &client.watch, patience).await;
                            sent.map_err(|_| HeadFault::Client)?;
                        }
                        client.watch.set(limits.inactivity_timeout);
                        buffer.copy_within(response.len..*have, 0);
                        *have -= response.len;
                    }
                }
            }
        }
    }

    /// Passes a 101 on and then whatever both sides say.
    async fn switch(
        &self,
        response: &Response,
        head_out: &mut Vec<u8>,
        received: &[u8],
        facts: &mut Facts,
    ) -> Next {
        let client = self.client;
        head_out.clear();
        forward::interim(head_out, response, received, true, self.extra);
        head_out.extend_from_slice(&received[response.len..]);
        facts.status = 101;
        let limits = &client.worker.shared.settings.limits;
        let patience = limits.tunnel_timeout;
        let ready = async {
            client.stream.write_all(head_out, &client.watch, patience).await?;
            self.stream.write_all(self.rest, &client.watch, patience).await
        };
        if ready.await.is_err() {
            return client_gone(facts);
        }
        let moved = tunnel::run(client, self.stream, patience).await;
        facts.received += self.rest.len() as u64 + moved.received;
        facts.sent += head_out.len() as u64 + moved.sent;
        Next::Close
    }
}

/// The client closed before its answer was complete.
fn client_gone(facts: &mut Facts) -> Next {
    facts.error = Some("client");
    if facts.status == 0 {
        facts.status = 499;
    }
    Next::Close
}
