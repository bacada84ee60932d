//! One request: decide, connect, send, relay the answer, finish.
//!
//! ```text
//! head --rules--> identity, framing --decide--> route, target
//!                                                  |   ^
//!                                    connect or pool   | another target, or decided again when the table changed
//!                                                  v   |
//!                              [ table still the same? ] --> send head and what is there of the body
//!                                                  |
//!                     upload (rest of the body)  ||  response head, body      both directions in one task
//!                                                  |
//!                                   connection back to the pool, figures, log
//! ```

mod converse;

use std::time::Instant;

use crate::accept::{Lines, accept, show, view, wants_debug};
use crate::busy::Busy;
use crate::connection::Client;
use crate::facts::Facts;
use crate::forward;
use crate::h1::chunked::size_line;
use crate::h1::framing::{self, Body};
use crate::h1::head::Request;
use crate::h2::onward::Attempt;
use crate::origin::{self, Verdict};
use crate::plan::onward::Asked;
use crate::plan::{Plan, find};
use crate::relay::Incoming;
use crate::reply::Own;
use crate::scratch::Scratch;

use converse::Conversation;

/// What happens to the client connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    KeepAlive,
    /// Close, but let the client read the answer first.
    Linger,
    Close,
}

/// Answers a head that could not be read.
pub(crate) async fn refuse_head(client: &Client, own: Own) {
    let mut facts = Facts::new(Instant::now());
    facts.served = client.listener.gateway(&client.worker, "");
    let mut out = Vec::new();
    own.write(&mut out, "Connection: close\r\n", true, b"");
    facts.status = own.status;
    facts.error = Some(own.code);
    facts.sent = out.len() as u64;
    let patience = client.worker.shared.settings.limits.inactivity_timeout;
    // A client that does not read its refusal misses nothing.
    let _ = client.stream.write_all(&out, &client.watch, patience).await;
    facts.record(client, None, b"");
}

/// Serves the request whose head is in `scratch`.
pub(crate) async fn run(client: &Client, scratch: &mut Scratch, started: Instant) -> Next {
    let mut facts = Facts::new(started);
    facts.received = scratch.request.len as u64;
    let next = exchange(client, scratch, &mut facts).await;
    facts.record(client, Some(&scratch.request), &scratch.inbox);
    next
}

async fn exchange(client: &Client, scratch: &mut Scratch, facts: &mut Facts) -> Next {
    let limits = &client.worker.shared.settings.limits;
    let Scratch { inbox, have, used, spill, request, response, out, head: head_out, reply, failed, .. } =
        scratch;
    failed.clear();
    let (head, tail) = inbox[..*have].split_at_mut(request.len);
    let head: &[u8] = head;
    *used = request.len;

    let accepted = match accept(request, head, limits.hops, framing::of_request) {
        Ok(accepted) => accepted,
        Err(own) => {
            facts.served = client.listener.gateway(&client.worker, "");
            return answer(client, request, head, out, facts, own, false, b"").await;
        }
    };
    let identity = &accepted.identity;
    let mut body = Incoming::from(accepted.body);
    let first = match body.take(tail) {
        Ok(piece) => piece,
        Err(_) => {
            facts.served = find(client, identity.host).ok();
            let own = Own::bad_request("malformed chunked body");
            return answer(client, request, head, out, facts, own, false, b"").await;
        }
    };
    *used += first.consumed;
    facts.received = *used as u64;
    let complete = body.is_done();

    let served = match find(client, identity.host) {
        Ok(served) => served,
        Err(own) => return answer(client, request, head, out, facts, own, complete, b"").await,
    };
    match origin::check(client, &served, identity) {
        Verdict::Serve => {}
        Verdict::Answer(own, extra) => {
            facts.served = Some(served);
            return answer(client, request, head, out, facts, own, complete, extra.as_bytes()).await;
        }
    }
    let lines = Lines { request, buffer: head };
    let view = view(client, &served, identity, &lines);
    let debug = wants_debug(client, &view, &lines);
    show(client, &served, &view, &lines);
    facts.trace = client.worker.take_part(request, head).map(Box::new);
    let asked =
        Asked { client, watch: &client.watch, request, head, accepted: &accepted, view: &view, debug };
    let mut plan = Plan::make(client, served, &view);
    // When a connection to a target broke last.
    let mut broke = None;

    let broken = loop {
        facts.follow(&plan);
        let Some(chosen) = plan.decision.chosen else { break Own::NO_TARGET };
        let (chosen, _busy) = match Busy::try_new(&client.worker, &plan.served, chosen) {
            Some(busy) => (chosen, busy),
            None => match Box::pin(plan.room(&client.worker, failed, facts)).await {
                Ok(busy) => (busy.chosen(), busy),
                Err(own) => break own,
            },
        };
        if plan.served.target(chosen).http2 {
            let attempt = Attempt {
                asked: &asked,
                first: &tail[first.payload.clone()],
                rest: &tail[first.consumed..],
                body: &mut body,
                spill: &mut *spill,
                response: &mut *response,
                reply: &mut *reply,
                out: &mut *out,
                head_out: &mut *head_out,
                failed: &mut *failed,
            };
            match Box::pin(attempt.make(&mut plan, &mut broke, facts)).await {
                Ok(Some(next)) => return next,
                Ok(None) => continue,
                Err(own) => break own,
            }
        }

        let destination = plan.served.target(chosen).destination();
        let pooled = if broke.is_some() { None } else { client.worker.pool.take(destination) };
        let reused = pooled.is_some();
        let stream = match pooled {
            Some(stream) => stream,
            None => match Box::pin(plan.connect(&asked, failed, facts)).await {
                Ok(Some(stream)) => stream,
                Ok(None) => continue,
                Err(own) => break own,
            },
        };
        let chosen = match plan.confirm(&asked, failed, facts) {
            Ok(Some(chosen)) => chosen,
            Ok(None) => {
                client.worker.pool.put(destination, stream);
                continue;
            }
            Err(own) => break own,
        };
        let (target, host) = plan.address(&asked, chosen);
        let expects = plan.write_head(out, &asked, chosen, (&target, &host), !complete, facts);
        append_body(out, &tail[first.payload.clone()], &body, accepted.body);

        let extra = if debug { plan.describe(client) } else { Vec::new() };
        let conversation = Conversation {
            client,
            request,
            method: identity.method,
            stream: &stream,
            from_gateway: plan.served.is_gateway(chosen),
            set_cookies: &plan.decision.set_cookies,
            extra: &extra,
            expects,
            upgrade: accepted.upgrade,
            rest: &tail[first.consumed..],
        };
        let result = conversation.run(
            out,
            &mut body,
            accepted.body == Body::Chunked,
            spill,
            response,
            head_out,
            facts,
        );
        match result.await {
            Ok(done) => {
                if done.reusable {
                    client.worker.pool.put(destination, stream);
                }
                return done.next;
            }
            Err(broken) => {
                if !plan.after_broken(client, identity.method, &broken, reused, failed, facts) {
                    break broken.own;
                }
                broke = Some(Instant::now());
            }
        }
    };
    let whole = complete || body.is_done();
    let mut extra = if debug { plan.describe(client) } else { Vec::new() };
    if debug {
        facts.describe(&mut extra);
    }
    answer(client, request, head, out, facts, broken, whole, &extra).await
}

/// Appends what was read of the body together with the head.
fn append_body(out: &mut Vec<u8>, payload: &[u8], body: &Incoming, framing: Body) {
    if framing == Body::Chunked {
        if !payload.is_empty() {
            size_line(out, payload.len());
            out.extend_from_slice(payload);
            out.extend_from_slice(b"\r\n");
        }
        if body.is_done() {
            body.write_last_chunk(out);
        }
    } else {
        out.extend_from_slice(payload);
    }
}

/// Sends an answer of the proxy. `whole`: the request was read to its end, so that the connection can go on.
#[allow(clippy::too_many_arguments)]
async fn answer(
    client: &Client,
    request: &Request,
    head: &[u8],
    out: &mut Vec<u8>,
    facts: &mut Facts,
    own: Own,
    whole: bool,
    extra: &[u8],
) -> Next {
    let keep = whole && request.keeps_alive() && !client.watch.is_retiring();
    let connection = forward::connection_line(request.version, keep);
    out.clear();
    own.write(out, connection, request.method.of(head) != b"HEAD", extra);
    facts.status = own.status;
    facts.error = Some(own.code);
    facts.sent = out.len() as u64;
    let patience = client.worker.shared.settings.limits.inactivity_timeout;
    match client.stream.write_all(out, &client.watch, patience).await {
        Err(_) => Next::Close,
        Ok(()) if keep => Next::KeepAlive,
        Ok(()) => Next::Linger,
    }
}
