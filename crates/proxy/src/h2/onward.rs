//! A request that came over HTTP/1.1 and goes to a target over HTTP/2: one attempt of [`crate::exchange`].

use std::time::Instant;

use bytes::Bytes;

use super::body::Inflow;
use super::talk::{Front, Heads, Onto, Talk};
use crate::attention::Attention;
use crate::exchange::Next;
use crate::facts::Facts;
use crate::h1::head::{Name, Response, tokens};
use crate::plan::Plan;
use crate::plan::onward::Asked;
use crate::relay::Incoming;
use crate::reply::Own;

/// The request, and memory for the exchange.
pub(crate) struct Attempt<'a> {
    pub(crate) asked: &'a Asked<'a>,
    /// What came of the body with the head.
    pub(crate) first: &'a [u8],
    /// What came after the request.
    pub(crate) rest: &'a [u8],
    pub(crate) body: &'a mut Incoming,
    pub(crate) spill: &'a mut Vec<u8>,
    pub(crate) response: &'a mut Response,
    pub(crate) reply: &'a mut Vec<u8>,
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) head_out: &'a mut Vec<u8>,
    pub(crate) failed: &'a mut Vec<usize>,
}

impl Attempt<'_> {
    /// `None`: to be tried again, by the plan as it is then; on a connection made `since` one broke. `Err`: the answer of
    /// the proxy.
    pub(crate) async fn make(
        self,
        plan: &mut Plan,
        since: &mut Option<Instant>,
        facts: &mut Facts,
    ) -> Result<Option<Next>, Own> {
        let Asked { client, request, head, accepted, debug, .. } = *self.asked;
        let Some(mut ticket) = plan.open(self.asked, since, false, self.failed, facts).await? else {
            return Ok(None);
        };
        let Some(chosen) = plan.confirm(self.asked, self.failed, facts)? else { return Ok(None) };
        let (target, host) = plan.address(self.asked, chosen);
        let waits = !self.body.is_done();
        let expects = plan.write_head(self.out, self.asked, chosen, (&target, &host), waits, facts);
        let trailers = request
            .fields
            .known(Name::Te)
            .any(|field| tokens(field.value.of(head)).any(|token| token.eq_ignore_ascii_case(b"trailers")));
        let extra = if debug { plan.describe(client) } else { Vec::new() };
        let talk = Talk {
            client,
            watch: &client.watch,
            request,
            lines: head,
            method: accepted.identity.method,
            target: &target,
            host: &host,
            from_gateway: plan.served.is_gateway(chosen),
            set_cookies: &plan.decision.set_cookies,
            extra: &extra,
            expects,
            upgrade: accepted.websocket,
            trailers,
            call: false,
            rest: self.rest,
        };
        let mut source = Inflow::Plain {
            stream: &client.stream,
            buffers: &client.worker.buffers,
            body: self.body,
            first: Bytes::copy_from_slice(self.first),
            spill: self.spill,
            touched: false,
        };
        let last = !request.keeps_alive() || !self.rest.is_empty();
        let mut front = Front::Plain(Attention::new(client, last));
        let heads = Heads { response: self.response, reply: self.reply, out: self.head_out };
        let result = talk
            .run(Onto::Framed(&mut ticket), self.out, &mut source, accepted.body, &mut front, heads, facts)
            .await;
        match result {
            Ok(done) => Ok(Some(done.next)),
            Err(broken) => {
                let method = accepted.identity.method;
                if !plan.after_broken(client, method, &broken, ticket.reused, self.failed, facts) {
                    return Err(broken.own);
                }
                *since = Some(Instant::now());
                Ok(None)
            }
        }
    }
}
