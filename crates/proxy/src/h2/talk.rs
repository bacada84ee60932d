//! One conversation with one target where at least one of the two sides speaks HTTP/2: from the request that is ready to be sent to the
//! last byte of the answer.

use std::borrow::Cow;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{HeaderMap, HeaderValue};

use super::body::{Fault, Form, Inflow, Outflow, pump};
use super::links::Ticket;
use super::{grpc, head, websocket};
use crate::attention::Attention;
use crate::buffers::Loan;
use crate::connection::Client;
use crate::exchange::Next;
use crate::facts::Facts;
use crate::forward::{self, Back};
use crate::h1::framing::{self, Body};
use crate::h1::head::{Bounds, Name, Progress as Parsed, Request, Response, Version};
use crate::plan::Broken;
use crate::relay::{Incoming, Patience, Progress};
use crate::reply::Own;
use crate::stream::Stream;
use crate::timer::Watch;

/// Interim responses that one request may get; more is not a server that makes progress.
const MAX_INTERIM: usize = 16;
/// Bytes of a response head.
const RESPONSE_HEAD: usize = 64 * 1024;

/// What is needed to talk to a target.
pub(crate) struct Talk<'a> {
    pub(crate) client: &'a Client,
    /// Of this exchange.
    pub(crate) watch: &'a Watch,
    pub(crate) request: &'a Request,
    /// Holds `request`.
    pub(crate) lines: &'a [u8],
    pub(crate) method: &'a str,
    /// After rewrites.
    pub(crate) target: &'a str,
    pub(crate) host: &'a str,
    pub(crate) from_gateway: bool,
    pub(crate) set_cookies: &'a [String],
    pub(crate) extra: &'a [u8],
    pub(crate) expects: bool,
    pub(crate) upgrade: bool,
    /// The client takes trailers.
    pub(crate) trailers: bool,
    /// A gRPC call.
    pub(crate) call: bool,
    /// What the client sent after this request, over HTTP/1.1.
    pub(crate) rest: &'a [u8],
}

/// The side of the client.
pub(crate) enum Front<'a> {
    Plain(Attention<'a>),
    Framed(SendResponse<Bytes>),
}

/// The side of the target.
pub(crate) enum Onto<'a> {
    Plain(&'a Stream),
    Framed(&'a mut Ticket),
}

/// Memory for heads.
pub(crate) struct Heads<'a> {
    pub(crate) response: &'a mut Response,
    /// A response head that came over HTTP/2.
    pub(crate) reply: &'a mut Vec<u8>,
    pub(crate) out: &'a mut Vec<u8>,
}

/// A conversation that reached the client.
pub(crate) struct Done {
    /// What becomes of a client connection over HTTP/1.1.
    pub(crate) next: Next,
    /// A connection to the target over HTTP/1.1 can serve another request.
    pub(crate) reusable: bool,
    /// Nothing went wrong.
    pub(crate) whole: bool,
}

/// Why no response head came.
enum HeadFault {
    Closed {
        silent: bool,
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

/// Where the answer comes from.
enum Answer {
    Plain { loan: Loan, have: usize },
    Framed(RecvStream),
}

type Upload<'a> = Pin<Box<dyn Future<Output = Result<Option<HeaderMap>, Fault>> + 'a>>;

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
    /// Sends the request and relays the answer. `out` is the head as it would be over HTTP/1.1.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn run(
        &self,
        to: Onto<'_>,
        out: &[u8],
        source: &mut Inflow<'_>,
        framing: Body,
        front: &mut Front<'_>,
        heads: Heads<'_>,
        facts: &mut Facts,
    ) -> Result<Done, Broken> {
        let Heads { response, reply, out: head_out } = heads;
        let (client, watch) = (self.client, self.watch);
        let patience = Patience::from(client.worker.shared.settings.limits.inactivity_timeout);
        let up = Progress::default();
        let touched = Cell::new(source.is_touched());
        let uploading = Cell::new(framing != Body::Empty);

        // The request goes out.
        let mut waiting = None;
        let mut tunnel_to = None;
        let mut sink = None;
        let plain = match to {
            Onto::Plain(stream) => {
                let form = if framing == Body::Chunked { Form::WithTrailers } else { Form::Bare };
                if uploading.get() {
                    sink = Some(Outflow::Plain { stream, head: out.to_vec(), form });
                } else if stream.write_all(out, watch, patience.sink).await.is_err() {
                    return Err(broken(Own::CLOSED, true, source.is_touched()));
                }
                Some(stream)
            }
            Onto::Framed(ticket) => {
                let asks =
                    self.trailers && (self.call || self.request.fields.known(Name::Te).next().is_some());
                let authority = (ticket.scheme, self.host);
                let request = head::to_request(out, self.method, self.target, authority, asks, self.upgrade);
                let Some(request) = request else {
                    return Err(broken(Own::bad_request("not a request for HTTP/2"), false, true));
                };
                let (response, send) = ticket
                    .send(request, !uploading.get() && !self.upgrade)
                    .map_err(|_| unsent(source.is_touched()))?;
                waiting = Some(response);
                if uploading.get() {
                    sink = Some(Outflow::framed(send));
                } else if self.upgrade {
                    tunnel_to = Some(send);
                }
                None
            }
        };
        let mut upload: Option<Upload<'_>> = sink.map(|mut sink| -> Upload<'_> {
            let (source, up, touched) = (&mut *source, &up, &touched);
            Box::pin(async move {
                let result = pump(source, &mut sink, watch, patience, up, |_| false).await;
                touched.set(source.is_touched());
                result
            })
        });
        let mut upload_failed = false;
        let answered = Progress::default();

        // The head of the answer, while the body goes out.
        watch.set(patience.source);
        let got = {
            let mut head = pin!(async {
                match (plain, &mut waiting) {
                    (Some(stream), _) => {
                        let head = self.plain_head(stream, response, head_out, front, &uploading, &answered);
                        head.await.map(|(loan, have)| Answer::Plain { loan, have })
                    }
                    (None, Some(waiting)) => {
                        let head = self
                            .framed_head(waiting, response, reply, head_out, front, &uploading, &answered);
                        head.await.map(Answer::Framed)
                    }
                    (None, None) => Err(HeadFault::Client),
                }
            });
            poll_fn(|context| {
                if uploading.get()
                    && let Some(upload) = &mut upload
                    && let Poll::Ready(result) = upload.as_mut().poll(context)
                {
                    uploading.set(false);
                    watch.set(patience.source);
                    match result {
                        Ok(_) => {}
                        // The target stopped reading; often it has answered already.
                        Err(Fault::Sink(_) | Fault::SinkTimeout) => upload_failed = true,
                        Err(fault) => return Poll::Ready(Err(fault)),
                    }
                }
                head.as_mut().poll(context).map(Ok)
            })
            .await
        };
        let sent_all = !uploading.get() && !upload_failed;
        let answer = match got {
            Ok(Ok(answer)) => answer,
            Ok(Err(fault)) => {
                drop(upload);
                let touched = source.is_touched();
                facts.received += up.bytes.get();
                return match fault {
                    HeadFault::Closed { silent } => Err(broken(Own::CLOSED, silent, touched)),
                    HeadFault::Reset { reason, untouched } => {
                        let refused = untouched || reason == Reason::REFUSED_STREAM;
                        Err(Broken { refused, ..broken(Own::RESET, refused, touched) })
                    }
                    HeadFault::TimedOut => Err(late(touched)),
                    HeadFault::Bad(message) => Err(broken(Own::bad_response(message), false, touched)),
                    HeadFault::Client => Ok(self.gone(facts)),
                };
            }
            Err(fault) => {
                drop(upload);
                facts.received += up.bytes.get();
                return match fault {
                    // The client waits for a `100 Continue` that the target owes it.
                    Fault::SourceTimeout if self.expects && up.bytes.get() == 0 => Err(late(true)),
                    Fault::SourceTimeout if watch.is_over() => Err(late(true)),
                    Fault::SourceTimeout => Err(broken(Own::BODY_TIMEOUT, false, true)),
                    Fault::Malformed => Err(broken(Own::bad_request("malformed chunked body"), false, true)),
                    _ => Ok(self.gone(facts)),
                };
            }
        };
        facts.first_byte = Some(facts.started.elapsed());

        // What it says, and where it ends.
        let (lines, have): (&[u8], usize) = match &answer {
            Answer::Plain { loan, have } => (loan, *have),
            Answer::Framed(_) => (reply, 0),
        };
        let switches = match &answer {
            Answer::Plain { .. } => response.status == 101,
            Answer::Framed(_) => self.upgrade && response.status == 200,
        };
        if switches {
            if !self.upgrade || uploading.get() {
                let own = Own::bad_response("protocol switch that nobody asked for");
                return Err(broken(own, false, touched.get()));
            }
            drop(upload);
            return Box::pin(
                self.switch(answer, plain, tunnel_to, source, front, response, reply, head_out, facts),
            )
            .await;
        }
        let body = match &answer {
            Answer::Plain { .. } => framing::of_response(response, lines, self.method),
            Answer::Framed(recv) => {
                let none =
                    recv.is_end_stream() || self.method == "HEAD" || matches!(response.status, 204 | 304);
                framing::of_response(response, lines, self.method).map(|body| match body {
                    _ if none => Body::Empty,
                    Body::UntilClose => Body::Chunked,
                    body => body,
                })
            }
        };
        let body = match body {
            Ok(body) => body,
            Err(refusal) => return Err(broken(refusal.into(), false, touched.get())),
        };
        if self.call
            && let Some(status) = call_status(response, lines)
        {
            facts.status = grpc::http_status(status);
        } else {
            facts.status = response.status;
        }

        // How the answer goes back.
        let version = self.request.version;
        let modern = version == Version::Http11;
        let delimited = matches!(body, Body::Empty | Body::Length(_)) || modern;
        let framed_client = matches!(front, Front::Framed(_));
        let keep = framed_client
            || (self.request.keeps_alive() && sent_all && delimited && !client.watch.is_retiring());
        let rechunk = modern && matches!(body, Body::Chunked | Body::UntilClose);
        let mut extra = Cow::Borrowed(self.extra);
        if !extra.is_empty() {
            facts.describe(extra.to_mut());
        }
        let back = Back {
            client: version,
            keep,
            chunked: rechunk,
            set_cookies: self.set_cookies,
            extra: &extra,
            from_gateway: self.from_gateway,
        };
        head_out.clear();
        forward::response(head_out, response, lines, &back);
        let event_stream = response.fields.is_event_stream(lines);
        let mut incoming = Incoming::from(body);
        let mut excess = Vec::new();
        let mut reusable = sent_all
            && response.version == Version::Http11
            && !response.fields.connection.close
            && body != Body::UntilClose;
        let mut inflow = match answer {
            Answer::Framed(recv) => Inflow::Framed { recv, first: None, touched: false },
            Answer::Plain { mut loan, .. } => {
                let rest = &mut loan[response.len..have];
                let first = match incoming.take(rest) {
                    Ok(first) => first,
                    Err(_) => {
                        let own = Own::bad_response("malformed chunked body");
                        return Err(broken(own, false, touched.get()));
                    }
                };
                // Bytes beyond the answer belong to no request: nobody may get them.
                reusable &= response.len + first.consumed == have;
                let first = Bytes::copy_from_slice(&rest[first.payload]);
                let stream = plain.unwrap_or(&client.stream);
                let buffers = &client.worker.buffers;
                Inflow::Plain {
                    stream,
                    buffers,
                    body: &mut incoming,
                    first,
                    spill: &mut excess,
                    touched: false,
                }
            }
        };
        facts.sent = head_out.len() as u64;
        let mut outflow = match front {
            Front::Plain(_) => {
                let form = match (rechunk, self.trailers) {
                    (true, true) => Form::WithTrailers,
                    (true, false) => Form::Chunked,
                    (false, _) => Form::Bare,
                };
                Outflow::Plain { stream: &client.stream, head: std::mem::take(head_out), form }
            }
            Front::Framed(respond) => {
                let Some(head) = head::to_response(head_out, response.status) else {
                    return Err(broken(Own::bad_response("not a response for HTTP/2"), false, touched.get()));
                };
                match respond.send_response(head, body == Body::Empty) {
                    Ok(send) => Outflow::framed(send),
                    Err(_) => return Ok(self.gone(facts)),
                }
            }
        };

        // Events come when they come, and so do messages of a call.
        let mut between = patience;
        if event_stream || self.call {
            between.source = client.worker.shared.settings.limits.tunnel_timeout;
            client.stream.keep_alive();
        }
        let down = Progress::default();
        let result = {
            let mut download = pin!(async {
                if body == Body::Empty && matches!(outflow, Outflow::Framed { .. }) {
                    return Ok(None);
                }
                let gone = |context: &mut Context<'_>| match &mut *front {
                    Front::Plain(attention) => !uploading.get() && attention.is_gone(context, &down),
                    Front::Framed(_) => false,
                };
                pump(&mut inflow, &mut outflow, watch, between, &down, gone).await
            });
            poll_fn(|context| {
                if uploading.get()
                    && let Some(upload) = &mut upload
                    && let Poll::Ready(result) = upload.as_mut().poll(context)
                {
                    uploading.set(false);
                    match result {
                        Ok(_) | Err(Fault::Sink(_) | Fault::SinkTimeout) => {}
                        // A client that is silent for long may still listen.
                        Err(Fault::SourceTimeout) if self.call => {}
                        Err(_) => return Poll::Ready(Err(Fault::Sink(None))),
                    }
                }
                download.as_mut().poll(context)
            })
            .await
        };
        facts.received += up.bytes.get();
        facts.sent += down.bytes.get();
        match result {
            Ok(trailers) => {
                if self.call
                    && let Some(status) = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"))
                    && let Some(status) = number(status.as_bytes())
                {
                    facts.status = grpc::http_status(status);
                }
                let next = match keep {
                    true => Next::KeepAlive,
                    // A client that asked for the close sends nothing more.
                    false if sent_all && !self.request.keeps_alive() => Next::Close,
                    false => Next::Linger,
                };
                Ok(Done { next, reusable: reusable && excess.is_empty(), whole: true })
            }
            Err(Fault::Sink(_) | Fault::SinkTimeout) if !watch.is_over() => Ok(self.gone(facts)),
            Err(fault) => {
                facts.error = Some(match fault {
                    Fault::SourceTimeout | Fault::SinkTimeout => "timeout",
                    _ => "bad_response",
                });
                match &mut outflow {
                    // Must not look complete. A length or a missing last chunk tells; a close that delimits does not.
                    Outflow::Plain { .. } if !delimited => client.stream.reset_on_close(),
                    Outflow::Plain { .. } => {}
                    Outflow::Framed { send, .. } => {
                        let status = self.cut(send, fault);
                        if let Some(status) = status {
                            facts.status = grpc::http_status(status);
                        }
                    }
                }
                Ok(Done { next: Next::Close, reusable: false, whole: false })
            }
        }
    }

    /// Ends a response in the middle so that nobody takes it for complete. A call learns why.
    fn cut(&self, send: &mut SendStream<Bytes>, fault: Fault) -> Option<u32> {
        if self.call {
            let timed_out = matches!(fault, Fault::SourceTimeout | Fault::SinkTimeout);
            let own = if timed_out { Own::RESPONSE_TIMEOUT } else { Own::CLOSED };
            let status = grpc::status_of(own);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from(status));
            trailers.insert("grpc-message", HeaderValue::from_static(own.message));
            if send.send_trailers(trailers).is_ok() {
                return Some(status);
            }
        }
        send.send_reset(match fault {
            Fault::Source(Some(reason @ (Reason::CANCEL | Reason::ENHANCE_YOUR_CALM))) => reason,
            Fault::SourceTimeout | Fault::SinkTimeout => Reason::CANCEL,
            _ => Reason::INTERNAL_ERROR,
        });
        None
    }

    /// Reads until a final response head (or 101) is complete; interim responses are passed on as they come.
    async fn plain_head(
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
                return Err(HeadFault::Closed { silent });
            }
            let buffer = loan.get_or_insert_with(|| client.worker.buffers.lend());
            match stream.try_read(&mut buffer[have..]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) | Err(_) => return Err(HeadFault::Closed { silent }),
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
    async fn framed_head(
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
                    return match head::response(response, reply, parts.status, &parts.headers) {
                        Ok(()) => Ok(recv),
                        Err(refusal) => Err(HeadFault::Bad(refusal.message)),
                    };
                }
                Err(answer) => {
                    interim += 1;
                    let read = head::response(response, reply, answer.status(), answer.headers());
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

    /// Passes a change of protocol on, and then whatever both sides say.
    #[allow(clippy::too_many_arguments)]
    async fn switch(
        &self,
        answer: Answer,
        plain: Option<&Stream>,
        tunnel_to: Option<SendStream<Bytes>>,
        source: &mut Inflow<'_>,
        front: &mut Front<'_>,
        response: &Response,
        reply: &[u8],
        out: &mut Vec<u8>,
        facts: &mut Facts,
    ) -> Result<Done, Broken> {
        let client = self.client;
        let key = self.request.fields.list.iter().find_map(|field| {
            let name = field.name.of(self.lines);
            name.eq_ignore_ascii_case(websocket::KEY.as_bytes()).then(|| field.value.of(self.lines))
        });
        let accept = websocket::accept(key.unwrap_or_default());
        out.clear();
        let first = match &answer {
            Answer::Plain { loan, have } => {
                let mut said = false;
                response.fields.each(loan, websocket::ACCEPT, &mut |value| {
                    said |= value == accept.as_bytes();
                    std::ops::ControlFlow::Continue(())
                });
                if !said {
                    // The client cannot check this, so we do: a server that does not know the protocol must not get its frames.
                    return Err(broken(
                        Own::bad_response("not the answer to this WebSocket key"),
                        false,
                        true,
                    ));
                }
                forward::interim(out, response, loan, true, self.extra);
                Bytes::copy_from_slice(&loan[response.len..*have])
            }
            Answer::Framed(_) => {
                forward::interim(out, response, reply, false, self.extra);
                Bytes::new()
            }
        };
        let limits = &client.worker.shared.settings.limits;
        let patience = Patience::from(limits.tunnel_timeout);
        client.stream.keep_alive();
        facts.sent = out.len() as u64;

        // Client to target.
        let (mut until_close, mut from_target) = (Incoming::UntilClose, Incoming::UntilClose);
        let (mut spill, mut excess) = (Vec::new(), Vec::new());
        let buffers = &client.worker.buffers;
        let mut plain_client = match front {
            Front::Framed(_) => None,
            Front::Plain(_) => Some(Inflow::Plain {
                stream: &client.stream,
                buffers,
                body: &mut until_close,
                first: Bytes::copy_from_slice(self.rest),
                spill: &mut spill,
                touched: false,
            }),
        };
        let mut up_to = match (plain, tunnel_to) {
            (Some(stream), _) => {
                stream.keep_alive();
                Outflow::Plain { stream, head: Vec::new(), form: Form::Shut }
            }
            (None, Some(send)) => Outflow::framed(send),
            (None, None) => return Err(broken(Own::CLOSED, false, true)),
        };
        // And back.
        let mut down_from = match answer {
            Answer::Framed(recv) => Inflow::Framed { recv, first: None, touched: false },
            Answer::Plain { .. } => Inflow::Plain {
                stream: plain.unwrap_or(&client.stream),
                buffers,
                body: &mut from_target,
                first,
                spill: &mut excess,
                touched: false,
            },
        };
        let mut down_to = match front {
            Front::Framed(respond) => {
                let Some(head) = head::to_response(out, 200) else {
                    return Err(broken(Own::bad_response("not a response for HTTP/2"), false, true));
                };
                facts.status = 200;
                match respond.send_response(head, false) {
                    Ok(send) => Outflow::framed(send),
                    Err(_) => return Ok(self.gone(facts)),
                }
            }
            Front::Plain(_) => {
                facts.status = 101;
                let fields = out.iter().position(|byte| *byte == b'\n').map_or(out.len(), |end| end + 1);
                let mut head =
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        .to_vec();
                forward::line(&mut head, "Sec-WebSocket-Accept", accept.as_bytes());
                head.extend_from_slice(&out[fields..]);
                Outflow::Plain { stream: &client.stream, head, form: Form::Shut }
            }
        };
        let (up, down) = (Progress::default(), Progress::default());
        let result = {
            let mut upward = pin!(async {
                match &mut plain_client {
                    Some(from) => pump(from, &mut up_to, self.watch, patience, &up, |_| false).await,
                    None => pump(source, &mut up_to, self.watch, patience, &up, |_| false).await,
                }
            });
            let mut downward =
                pin!(pump(&mut down_from, &mut down_to, self.watch, patience, &down, |_| false));
            let (mut up_open, mut down_open) = (true, true);
            poll_fn(|context| {
                if up_open && let Poll::Ready(result) = upward.as_mut().poll(context) {
                    up_open = false;
                    if let Err(fault) = result {
                        return Poll::Ready(Err(fault));
                    }
                }
                if down_open && let Poll::Ready(result) = downward.as_mut().poll(context) {
                    down_open = false;
                    if let Err(fault) = result {
                        return Poll::Ready(Err(fault));
                    }
                }
                if up_open || down_open { Poll::Pending } else { Poll::Ready(Ok(())) }
            })
            .await
        };
        facts.received += up.bytes.get();
        facts.sent += down.bytes.get();
        if let Err(fault) = result {
            // One side broke: the other must not take what it got for a clean end.
            for side in [&mut up_to, &mut down_to] {
                match side {
                    Outflow::Plain { stream, .. } => stream.reset_on_close(),
                    Outflow::Framed { send, .. } => send.send_reset(Reason::CANCEL),
                }
            }
            if matches!(fault, Fault::SourceTimeout | Fault::SinkTimeout) {
                facts.error = Some("timeout");
            }
        }
        Ok(Done { next: Next::Close, reusable: false, whole: true })
    }

    /// The client gave up before its answer was complete.
    fn gone(&self, facts: &mut Facts) -> Done {
        facts.error = Some("client");
        if facts.status == 0 {
            facts.status = 499;
        }
        Done { next: Next::Close, reusable: false, whole: false }
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
        None => HeadFault::Closed { silent },
    }
}

fn broken(own: Own, silent: bool, touched: bool) -> Broken {
    Broken { own, silent, replayable: !touched, timed_out: false, refused: false }
}

/// The connection came to its end before the request was sent.
pub(crate) fn unsent(touched: bool) -> Broken {
    Broken { refused: true, ..broken(Own::CLOSED, true, touched) }
}

fn late(touched: bool) -> Broken {
    Broken { timed_out: true, ..broken(Own::RESPONSE_TIMEOUT, false, touched) }
}

fn call_status(response: &Response, lines: &[u8]) -> Option<u32> {
    let mut status = None;
    response.fields.each(lines, "grpc-status", &mut |value| {
        status = number(value);
        std::ops::ControlFlow::Break(())
    });
    status
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A connection to a target, in whatever it speaks; `Err` says whether it took too long, and whether that is our own fault.
pub(crate) async fn within<T>(
    watch: &Watch,
    patience: Duration,
    future: impl Future<Output = io::Result<T>>,
) -> Result<T, Option<io::Error>> {
    watch.set(patience);
    match watch.within(future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Some(error)),
        Err(_) => Err(None),
    }
}
