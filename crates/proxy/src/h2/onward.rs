//! A request that came over HTTP/1.1 and goes to a target over HTTP/2: one attempt of [`crate::exchange`].

use std::time::Instant;

use bytes::Bytes;
use routing::decide::rewrite;
use routing::request::RequestHead;

use super::body::Inflow;
use super::talk::{Front, Heads, Onto, Talk, unsent, within};
use crate::accept::Accepted;
use crate::attention::Attention;
use crate::connection::Client;
use crate::dial::is_own_fault;
use crate::exchange::Next;
use crate::facts::Facts;
use crate::forward::{self, Onward};
use crate::h1::head::{Name, Request, Response, tokens};
use crate::plan::Plan;
use crate::relay::Incoming;
use crate::reply::Own;
use crate::tls::TlsFailed;

/// The request, and memory for the exchange.
pub(crate) struct Attempt<'a> {
    pub(crate) client: &'a Client,
    pub(crate) request: &'a Request,
    /// Holds `request`.
    pub(crate) head: &'a [u8],
    pub(crate) accepted: &'a Accepted<'a>,
    pub(crate) view: &'a RequestHead<'a>,
    /// What came of the body with the head.
    pub(crate) first: &'a [u8],
    /// What came after the request.
    pub(crate) rest: &'a [u8],
    pub(crate) debug: bool,
    /// An attempt failed before.
    pub(crate) fresh: bool,
    pub(crate) body: &'a mut Incoming,
    pub(crate) spill: &'a mut Vec<u8>,
    pub(crate) response: &'a mut Response,
    pub(crate) reply: &'a mut Vec<u8>,
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) head_out: &'a mut Vec<u8>,
    pub(crate) failed: &'a mut Vec<usize>,
}

impl Attempt<'_> {
    /// `None`: to be tried again, by the plan as it is then. `Err`: the answer of the proxy.
    pub(crate) async fn make(self, plan: &mut Plan, facts: &mut Facts) -> Result<Option<Next>, Own> {
        let (client, identity) = (self.client, &self.accepted.identity);
        let limits = &client.worker.shared.settings.limits;
        let Some(chosen) = plan.decision.chosen else { return Err(Own::NO_TARGET) };
        let target = plan.served.target(chosen);
        let (address, destination) = (target.address, target.destination());
        let asked = Instant::now();
        let patience = facts.attempts.patience(asked, limits.connect_timeout, limits.into());
        let took = client.worker.links.take(destination, self.fresh, || target.connect(client));
        let connected = within(&client.watch, patience, took).await;
        let mut ticket = match connected {
            Ok(ticket) => ticket,
            Err(failure) => {
                let own = match &failure {
                    None => Own::CONNECT_TIMEOUT,
                    Some(error) if TlsFailed::is(error) => Own::TLS,
                    Some(_) => Own::CONNECT,
                };
                if !failure.is_some_and(|error| is_own_fault(&error)) {
                    plan.served.refused(chosen);
                }
                plan.after_failed_connect(client, self.view, self.failed, facts, own)?;
                return Ok(None);
            }
        };
        if !ticket.reused {
            facts.connected = Some(asked.elapsed());
            plan.served.target(chosen).health.connected();
        }
        let reused = ticket.reused && !self.fresh;
        if ticket.ready().await.is_err() {
            let broken = unsent(false);
            return match plan.after_broken(client, identity.method, &broken, reused, self.failed, facts) {
                true => Ok(None),
                false => Err(broken.own),
            };
        }
        if self.accepted.upgrade && !ticket.takes_extended_connect().await {
            return Err(Own::bad_response("the target takes no WebSocket over HTTP/2"));
        }

        // Nothing is awaited between this check and the write: what a change acknowledged, no later request contradicts.
        if !plan.refresh(client, self.view, self.failed)? {
            return Ok(None);
        }
        facts.follow(plan);
        let Some(chosen) = plan.decision.chosen else { return Err(Own::NO_TARGET) };
        let rewritten = rewrite(&plan.served.gateway, chosen.route, self.view);
        let target = rewritten.as_deref().unwrap_or(identity.target);
        let made_up;
        let host = if identity.host.is_empty() {
            made_up = address.to_string();
            &made_up
        } else {
            identity.host
        };
        let onward = Onward {
            method: identity.method,
            target,
            host,
            client: client.address(),
            forwarded: client.listener.forwarded(self.view.tls),
            body: self.accepted.body,
            upgrade: self.accepted.upgrade,
            to_gateway: plan.served.is_gateway(chosen),
            hops: plan.served.may_be_gateway(chosen).then_some(self.accepted.hops + 1),
            expects: self.accepted.expects && !self.body.is_done(),
            trace: facts.trace.as_deref(),
        };
        self.out.clear();
        forward::request(self.out, self.request, self.head, &onward);
        let trailers = self.request.fields.known(Name::Te).any(|field| {
            tokens(field.value.of(self.head)).any(|token| token.eq_ignore_ascii_case(b"trailers"))
        });
        let extra = if self.debug { plan.describe(client) } else { Vec::new() };
        let talk = Talk {
            client,
            watch: &client.watch,
            request: self.request,
            lines: self.head,
            method: identity.method,
            target,
            host,
            from_gateway: plan.served.is_gateway(chosen),
            set_cookies: &plan.decision.set_cookies,
            extra: &extra,
            expects: onward.expects,
            upgrade: self.accepted.upgrade,
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
        let last = !self.request.keeps_alive() || !self.rest.is_empty();
        let mut front = Front::Plain(Attention::new(client, last));
        let heads = Heads { response: self.response, reply: self.reply, out: self.head_out };
        let framing = self.accepted.body;
        let result = talk
            .run(Onto::Framed(&mut ticket), self.out, &mut source, framing, &mut front, heads, facts)
            .await;
        match result {
            Ok(done) => Ok(Some(done.next)),
            Err(broken) => {
                match plan.after_broken(client, identity.method, &broken, reused, self.failed, facts) {
                    true => Ok(None),
                    false => Err(broken.own),
                }
            }
        }
    }
}
