//! One conversation with one target where at least one of the two sides speaks HTTP/2: from the request that is ready to be sent to the
//! last byte of the answer.

mod answer;
mod switch;

use std::borrow::Cow;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{HeaderMap, HeaderValue};

use super::body::{Fault, Form, Inflow, Outflow, pump};
use super::links::Ticket;
use super::{grpc, head};
use crate::attention::Attention;
use crate::buffers::Loan;
use crate::connection::Client;
use crate::exchange::Next;
use crate::facts::Facts;
use crate::forward::{self, Back};
use crate::h1::framing::{self, Body};
use crate::h1::head::{Name, Request, Response, Version};
use crate::plan::Broken;
use crate::relay::{Incoming, Patience, Progress};
use crate::reply::Own;
use crate::stream::Stream;
use crate::timer::Watch;

use answer::HeadFault;

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

/// Where the answer comes from.
enum Answer {
    Plain { loan: Loan, have: usize },
    Framed(RecvStream),
}

type Upload<'a> = Pin<Box<dyn Future<Output = Result<Option<HeaderMap>, Fault>> + 'a>>;

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
                    return Err(Broken::new(Own::CLOSED, true, source.is_touched()));
                }
                Some(stream)
            }
            Onto::Framed(ticket) => {
                let asks =
                    self.trailers && (self.call || self.request.fields.known(Name::Te).next().is_some());
                let authority = (ticket.scheme, self.host);
                let request = head::to_request(out, self.method, self.target, authority, asks, self.upgrade);
                let Some(request) = request else {
                    return Err(Broken::new(Own::bad_request("not a request for HTTP/2"), false, true));
                };
                let (response, send) = ticket
                    .send(request, !uploading.get() && !self.upgrade)
                    .map_err(|_| Broken::unsent(source.is_touched()))?;
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
                    HeadFault::Closed { silent, orderly } => {
                        let sent = out.len() + up.bytes.get() as usize;
                        let unseen = silent && orderly && plain.is_some_and(|stream| stream.is_unheard(sent));
                        Err(Broken::new(Own::CLOSED, silent, touched).unseen_if(unseen))
                    }
                    HeadFault::Reset { reason, untouched } => {
                        let refused = untouched || reason == Reason::REFUSED_STREAM;
                        Err(Broken {
                            refused,
                            unseen: untouched,
                            ..Broken::new(Own::RESET, refused, touched)
                        })
                    }
                    HeadFault::TimedOut => Err(Broken::late(touched)),
                    HeadFault::Bad(message) => Err(Broken::new(Own::bad_response(message), false, touched)),
                    HeadFault::Client => Ok(self.gone(facts)),
                };
            }
            Err(fault) => {
                drop(upload);
                facts.received += up.bytes.get();
                return match fault {
                    // The client waits for a `100 Continue` that the target owes it.
                    Fault::SourceTimeout if self.expects && up.bytes.get() == 0 => Err(Broken::late(true)),
                    Fault::SourceTimeout if watch.is_over() => Err(Broken::late(true)),
                    Fault::SourceTimeout => Err(Broken::new(Own::BODY_TIMEOUT, false, true)),
                    Fault::Malformed => {
                        Err(Broken::new(Own::bad_request("malformed chunked body"), false, true))
                    }
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
                return Err(Broken::new(own, false, touched.get()));
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
            Err(refusal) => return Err(Broken::new(refusal.into(), false, touched.get())),
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
                        return Err(Broken::new(own, false, touched.get()));
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
                    return Err(Broken::new(
                        Own::bad_response("not a response for HTTP/2"),
                        false,
                        touched.get(),
                    ));
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
            // Nothing of the answer has been sent yet, so there can be another.
            Err(fault) if matches!(&outflow, Outflow::Plain { head, .. } if !head.is_empty()) => {
                facts.sent = 0;
                Err(match fault {
                    Fault::SourceTimeout | Fault::SinkTimeout => Broken::late(touched.get()),
                    _ => Broken::new(Own::bad_response("the response broke off"), false, touched.get()),
                })
            }
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

    /// The client gave up before its answer was complete.
    fn gone(&self, facts: &mut Facts) -> Done {
        facts.error = Some("client");
        if facts.status == 0 {
            facts.status = 499;
        }
        Done { next: Next::Close, reusable: false, whole: false }
    }
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
