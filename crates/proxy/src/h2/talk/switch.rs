//! The change to WebSocket where one side speaks HTTP/2: both heads are made, then bytes go both ways (RFC 8441).

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::{Reason, SendStream};

use super::{Answer, Done, Front, Talk};
use crate::exchange::Next;
use crate::facts::Facts;
use crate::forward;
use crate::h1::head::Response;
use crate::h2::body::{Fault, Form, Inflow, Outflow, pump};
use crate::h2::{head, websocket};
use crate::plan::Broken;
use crate::relay::{Incoming, Patience, Progress};
use crate::reply::Own;
use crate::stream::Stream;

impl Talk<'_> {
    /// Passes a change of protocol on, and then whatever both sides say.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn switch(
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
                    return Err(Broken::new(
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
            (None, None) => return Err(Broken::new(Own::CLOSED, false, true)),
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
                    return Err(Broken::new(Own::bad_response("not a response for HTTP/2"), false, true));
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
}
