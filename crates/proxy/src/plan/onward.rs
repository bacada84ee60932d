//! The way of a planned request to its target, the same for every pair of versions: a connection, a last look at the table, the head.
//!
//! Each step may end in another attempt: `None` means that the plan is another one now, and that the request is to be tried by it.

use std::borrow::Cow;
use std::io;
use std::time::Instant;

use routing::decide::{Chosen, rewrite};
use routing::request::RequestHead;

use super::{Broken, Plan};
use crate::accept::Accepted;
use crate::connection::Client;
use crate::dial::is_own_fault;
use crate::facts::Facts;
use crate::forward::{self, Onward};
use crate::h1::head::Request;
use crate::h2::links::Ticket;
use crate::reply::Own;
use crate::stream::Stream;
use crate::timer::Watch;
use crate::tls::TlsFailed;

/// A request as each of its attempts needs it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) client: &'a Client,
    /// Of this exchange.
    pub(crate) watch: &'a Watch,
    pub(crate) request: &'a Request,
    /// Holds `request`.
    pub(crate) head: &'a [u8],
    pub(crate) accepted: &'a Accepted<'a>,
    pub(crate) view: &'a RequestHead<'a>,
    /// The client wants to know who serves it.
    pub(crate) debug: bool,
}

impl Plan {
    /// A new connection over HTTP/1.1 to the chosen target.
    pub(crate) async fn connect(
        &mut self,
        asked: &Asked<'_>,
        failed: &mut Vec<usize>,
        facts: &mut Facts,
    ) -> Result<Option<Stream>, Own> {
        let Some(chosen) = self.decision.chosen else { return Err(Own::NO_TARGET) };
        let begun = Instant::now();
        let target = self.served.target(chosen);
        match within(asked, begun, facts, target.connect(asked.client)).await {
            Ok(stream) => {
                self.connected(chosen, begun, facts);
                Ok(Some(stream))
            }
            Err(failure) => self.not_connected(asked, chosen, failure, failed, facts).map(|()| None),
        }
    }

    /// A stream to the chosen target, which speaks HTTP/2. `since`: on a connection made later than the one that broke then; set when
    /// this one does. `touched`: a part of the body was read that cannot be sent again.
    pub(crate) async fn open(
        &mut self,
        asked: &Asked<'_>,
        since: &mut Option<Instant>,
        touched: bool,
        failed: &mut Vec<usize>,
        facts: &mut Facts,
    ) -> Result<Option<Ticket>, Own> {
        let Some(chosen) = self.decision.chosen else { return Err(Own::NO_TARGET) };
        let client = asked.client;
        let begun = Instant::now();
        let target = self.served.target(chosen);
        let took = client.worker.links.take(target.destination(), *since, || target.connect(client));
        let mut ticket = match within(asked, begun, facts, took).await {
            Ok(ticket) => ticket,
            Err(failure) => return self.not_connected(asked, chosen, failure, failed, facts).map(|()| None),
        };
        if !ticket.reused {
            self.connected(chosen, begun, facts);
        }
        ticket.reused &= since.is_none();
        if ticket.ready().await.is_err() {
            let method = asked.accepted.identity.method;
            let broken = Broken::unsent(touched);
            if !self.after_broken(client, method, &broken, ticket.reused, failed, facts) {
                return Err(broken.own);
            }
            *since = Some(Instant::now());
            return Ok(None);
        }
        if asked.accepted.websocket && !ticket.takes_extended_connect().await {
            return Err(Own::bad_response("the target takes no WebSocket over HTTP/2"));
        }
        Ok(Some(ticket))
    }

    fn connected(&self, chosen: Chosen, begun: Instant, facts: &mut Facts) {
        facts.connected = Some(begun.elapsed());
        self.served.target(chosen).health.connected();
    }

    /// What becomes of the request when there is no connection; `failure` is `None` when it took too long.
    fn not_connected(
        &mut self,
        asked: &Asked<'_>,
        chosen: Chosen,
        failure: Option<io::Error>,
        failed: &mut Vec<usize>,
        facts: &mut Facts,
    ) -> Result<(), Own> {
        let own = match &failure {
            None => Own::CONNECT_TIMEOUT,
            Some(error) if TlsFailed::is(error) => {
                self.explain_tls(chosen, error);
                Own::TLS
            }
            Some(error) if is_own_fault(error) => Own::OVERLOAD,
            Some(_) => Own::CONNECT,
        };
        if own != Own::OVERLOAD {
            self.served.refused(chosen);
        }
        if asked.watch.is_over() {
            return Err(Own::RESPONSE_TIMEOUT);
        }
        self.after_failed_connect(asked.client, asked.view, failed, facts, own)
    }

    /// Says why a target could not be spoken to: the answer to the client does not.
    #[cold]
    fn explain_tls(&self, chosen: Chosen, error: &io::Error) {
        let target = self.served.compiled(chosen);
        let gateway = &self.served.gateway.config.name;
        tracing::debug!(%gateway, target = target.config.name, %error, "no TLS with a target");
    }

    /// The last look at the table: the target that the request goes to. Nothing may be awaited between this and the write: what a
    /// change acknowledged, no later request contradicts.
    pub(crate) fn confirm(
        &mut self,
        asked: &Asked<'_>,
        failed: &mut Vec<usize>,
        facts: &mut Facts,
    ) -> Result<Option<Chosen>, Own> {
        if !self.refresh(asked.client, asked.view, failed)? {
            return Ok(None);
        }
        facts.follow(self);
        self.decision.chosen.ok_or(Own::NO_TARGET).map(Some)
    }

    /// The request target in its words for that target, and its host.
    pub(crate) fn address<'a>(&self, asked: &Asked<'a>, chosen: Chosen) -> (Cow<'a, str>, Cow<'a, str>) {
        let identity = &asked.accepted.identity;
        let target = rewrite(&self.served.gateway, chosen.route, asked.view);
        let host = match identity.host {
            "" => Cow::Owned(self.served.target(chosen).address.to_string()),
            host => Cow::Borrowed(host),
        };
        (target.map_or(Cow::Borrowed(identity.target), Cow::Owned), host)
    }

    /// Writes the head for the target. `waits`: there is a body, and none of it has come. True when the target is asked to say whether
    /// it wants it.
    pub(crate) fn write_head(
        &self,
        out: &mut Vec<u8>,
        asked: &Asked<'_>,
        chosen: Chosen,
        (target, host): (&str, &str),
        waits: bool,
        facts: &Facts,
    ) -> bool {
        let (client, accepted) = (asked.client, asked.accepted);
        let onward = Onward {
            method: accepted.identity.method,
            target,
            host,
            client: client.address(),
            forwarded: client.listener.forwarded(asked.view.tls),
            body: accepted.body,
            upgrade: accepted.upgrade,
            to_gateway: self.served.is_gateway(chosen),
            hops: self.served.may_be_gateway(chosen).then_some(accepted.hops + 1),
            expects: accepted.expects && waits,
            trace: facts.trace.as_deref(),
        };
        out.clear();
        forward::request(out, asked.request, asked.head, &onward);
        onward.expects
    }
}

/// Waits for a connection as long as the attempts of the request may take; `Err(None)`: it took too long.
async fn within<T>(
    asked: &Asked<'_>,
    begun: Instant,
    facts: &Facts,
    future: impl Future<Output = io::Result<T>>,
) -> Result<T, Option<io::Error>> {
    let limits = &asked.client.worker.shared.settings.limits;
    asked.watch.set(facts.attempts.patience(begun, limits.connect_timeout, limits.into()));
    match asked.watch.within(future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Some(error)),
        Err(_) => Err(None),
    }
}
