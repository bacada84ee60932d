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

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::port::Protocol;
use routing::decide::{Chosen, Decision, Reason, another_target, decide, rewrite};
use routing::request::{Fields, RequestHead};

use crate::access_log::Entry;
use crate::busy::Busy;
use crate::connection::Client;
use crate::dial::is_own_fault;
use crate::forward::{self, Onward};
use crate::h1::chunked::size_line;
use crate::h1::framing::{self, Body};
use crate::h1::head::{Bounds, Name, Progress, Refusal, Request, Response, Version};
use crate::h1::target::{Identity, identify};
use crate::listener::Key;
use crate::meter::Outcome;
use crate::recent::RecentRequest;
use crate::relay::Incoming;
use crate::reply::Own;
use crate::stream::Stream;
use crate::table::Served;

use converse::{Broken, Conversation};

/// What happens to the client connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    KeepAlive,
    /// Close, but let the client read the answer first.
    Linger,
    Close,
}

/// Memory that a request needs, borrowed from the worker.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// What was read from the client.
    inbox: Vec<u8>,
    /// How much of it.
    have: usize,
    /// How much of that the current request took.
    used: usize,
    /// Read from the client beyond the request while its body was relayed.
    spill: Vec<u8>,
    request: Request,
    response: Response,
    /// The request as it is sent to a target: head, and as much of the body as was read with the head.
    out: Vec<u8>,
    /// The response head as it is sent to the client.
    head: Vec<u8>,
    /// Targets of the route that failed for this request.
    failed: Vec<usize>,
}

/// Enough for nearly every head; grows up to the limit for others.
const INBOX: usize = 16 * 1024;

impl Default for Scratch {
    fn default() -> Self {
        Self {
            inbox: vec![0; INBOX],
            have: 0,
            used: 0,
            spill: Vec::new(),
            request: Request::default(),
            response: Response::default(),
            out: Vec::new(),
            head: Vec::new(),
            failed: Vec::new(),
        }
    }
}

impl Scratch {
    /// Bytes read and not yet taken.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.inbox[..self.have]
    }

    /// Where to read to; grows up to `limit` bytes.
    pub(crate) fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.have == self.inbox.len() && self.inbox.len() < limit + 1 {
            self.inbox.resize((self.inbox.len() * 2).min(limit + 1), 0);
        }
        &mut self.inbox[self.have..]
    }

    pub(crate) fn filled(&mut self, bytes: usize) {
        self.have += bytes;
    }

    pub(crate) fn parse(&mut self, bounds: Bounds) -> Result<Progress, Refusal> {
        self.request.parse(&self.inbox[..self.have], bounds)
    }

    /// Drops the finished request. True when the next one is already here, at least in part.
    pub(crate) fn advance(&mut self) -> bool {
        self.inbox.copy_within(self.used..self.have, 0);
        self.have -= self.used;
        self.used = 0;
        if !self.spill.is_empty() {
            let end = self.have + self.spill.len();
            if self.inbox.len() < end {
                self.inbox.resize(end, 0);
            }
            self.inbox[self.have..end].copy_from_slice(&self.spill);
            self.have = end;
            self.spill.clear();
        }
        self.have > 0
    }

    /// Makes it ready for another connection.
    pub(crate) fn reset(&mut self) {
        self.have = 0;
        self.used = 0;
        self.spill.clear();
        if self.inbox.len() > INBOX {
            self.inbox.truncate(INBOX);
            self.inbox.shrink_to_fit();
        }
        for buffer in [&mut self.spill, &mut self.out, &mut self.head] {
            buffer.clear();
            buffer.shrink_to(4 * INBOX);
        }
    }
}

/// What is known about an exchange when it ends.
#[derive(Debug)]
struct Facts {
    started: Instant,
    served: Option<Arc<Served>>,
    chosen: Option<Chosen>,
    reason: Reason,
    status: u16,
    error: Option<&'static str>,
    connected: Option<Duration>,
    first_byte: Option<Duration>,
    received: u64,
    sent: u64,
    retries: u8,
}

/// The header fields of a request, for decisions.
struct Lines<'a> {
    request: &'a Request,
    buffer: &'a [u8],
}

impl Fields for Lines<'_> {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) {
        self.request.fields.each(self.buffer, name, visit);
    }
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

/// What the head of a request says, once it is found acceptable.
struct Accepted<'a> {
    identity: Identity<'a>,
    body: Body,
    expects: bool,
    upgrade: bool,
    hops: u32,
}

fn accept<'a>(request: &Request, buffer: &'a [u8], hops: u32) -> Result<Accepted<'a>, Own> {
    let identity = identify(request, buffer)?;
    let body = framing::of_request(request, buffer)?;
    let mut expects = false;
    for field in request.fields.known(Name::Expect) {
        if !field.value.of(buffer).eq_ignore_ascii_case(b"100-continue") {
            return Err(Own::EXPECTATION);
        }
        expects = request.version == Version::Http11 && body != Body::Empty;
    }
    let mut passed = 0;
    for field in request.fields.known(Name::VampHops) {
        let text = std::str::from_utf8(field.value.of(buffer)).unwrap_or_default();
        passed = passed.max(text.parse().unwrap_or(0));
    }
    if passed >= hops {
        return Err(Own::LOOP);
    }
    let upgrade = body == Body::Empty && forward::may_upgrade(request, buffer);
    Ok(Accepted { identity, body, expects, upgrade, hops: passed })
}

/// A decision and what it was made under.
struct Plan {
    served: Arc<Served>,
    generation: u64,
    decision: Decision,
}

impl Plan {
    fn make(client: &Client, served: Arc<Served>, view: &RequestHead<'_>) -> Self {
        let generation = client.worker.generation();
        let decision = decide(&served.gateway, view, &mut *client.worker.dice.borrow_mut());
        Self { served, generation, decision }
    }

    /// Brings the plan up to the table in force. True when the target is still the right one. `failed` are targets of the
    /// table that the plan was made under; another table numbers them anew.
    fn refresh(
        &mut self,
        client: &Client,
        view: &RequestHead<'_>,
        failed: &mut Vec<usize>,
    ) -> Result<bool, Own> {
        let generation = client.worker.generation();
        if generation == self.generation {
            return Ok(true);
        }
        self.generation = generation;
        let newer = find(client, view.host)?;
        if Arc::ptr_eq(&newer, &self.served) {
            return Ok(true);
        }
        failed.clear();
        let carried = self
            .decision
            .chosen
            .and_then(|chosen| self.served.carry_over(chosen, self.decision.reason, &newer));
        if let Some(chosen) = carried {
            self.served = newer;
            self.decision.chosen = Some(chosen);
            return Ok(true);
        }
        *self = Self::make(client, newer, view);
        Ok(false)
    }
}

/// The gateway that serves this request. A port may have become one of a tcp gateway while clients of the http gateway that
/// was there before are still connected.
fn find(client: &Client, host: &str) -> Result<Arc<Served>, Own> {
    let served = client.listener.gateway(&client.worker, host);
    served.filter(|served| served.protocol() == Protocol::Http).ok_or(match client.listener.key() {
        Key::Port(_) => Own::GATEWAY_GONE,
        Key::VirtualHosts => Own::NO_GATEWAY,
    })
}

/// A copy of the head, for whoever looks at the last requests.
#[cold]
fn seen(view: &RequestHead<'_>, request: &Request, buffer: &[u8]) -> RecentRequest {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = request.fields.list.iter();
    RecentRequest {
        method: view.method.to_owned(),
        target: view.target.to_owned(),
        host: view.host.to_owned(),
        fields: fields.map(|field| (text(field.name.of(buffer)), text(field.value.of(buffer)))).collect(),
        source: view.source,
    }
}

async fn exchange(client: &Client, scratch: &mut Scratch, facts: &mut Facts) -> Next {
    let limits = &client.worker.shared.settings.limits;
    let Scratch { inbox, have, used, spill, request, response, out, head: head_out, failed } = scratch;
    failed.clear();
    let (head, tail) = inbox[..*have].split_at_mut(request.len);
    let head: &[u8] = head;
    *used = request.len;

    let accepted = match accept(request, head, limits.hops) {
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
    let lines = Lines { request, buffer: head };
    let view = RequestHead {
        method: identity.method,
        target: identity.target,
        host: identity.host,
        fields: &lines,
        source: client.peer.ip().to_canonical(),
        port: served.gateway.config.port.unwrap_or(client.listener.port()),
        tls: false,
    };
    let debug = request.fields.known(Name::VampDebug).any(|field| field.value.of(head) == b"1")
        && client.worker.shared.settings.debug_sources.iter().any(|net| net.contains(&view.source));
    client.worker.shared.recent.offer(&served.gateway.config.name, || seen(&view, request, head));
    let mut plan = Plan::make(client, served, &view);
    let mut fresh = false;

    let broken = loop {
        facts.follow(&plan);
        let Some(chosen) = plan.decision.chosen else { break Own::NO_TARGET };
        let address = plan.served.target(chosen).address;
        let _busy = Busy::new(&client.worker, &plan.served, chosen);

        // A connection.
        let pooled = if fresh { None } else { client.worker.pool.take(address) };
        let reused = pooled.is_some();
        let stream = match pooled {
            Some(stream) => stream,
            None => {
                client.watch.set(limits.connect_timeout);
                let asked = Instant::now();
                let connected = Box::pin(client.watch.within(Stream::connect(address))).await;
                match connected {
                    Ok(Ok(stream)) => {
                        facts.connected = Some(asked.elapsed());
                        plan.served.target(chosen).health.connected();
                        stream
                    }
                    failure => {
                        let timed_out = failure.is_err();
                        if !matches!(&failure, Ok(Err(error)) if is_own_fault(error)) {
                            let route = &plan.served.gateway.routes[chosen.route];
                            plan.served.target(chosen).health.refused(route);
                        }
                        let own = if timed_out { Own::CONNECT_TIMEOUT } else { Own::CONNECT };
                        match plan.refresh(client, &view, failed) {
                            Ok(true) => facts.follow(&plan),
                            Ok(false) => continue,
                            Err(own) => break own,
                        }
                        let Some(chosen) = plan.decision.chosen else { break Own::NO_TARGET };
                        if facts.retries >= limits.retries {
                            break own;
                        }
                        facts.retries += 1;
                        // Once more where it failed, in case the target was just restarting; then elsewhere.
                        let last = facts.retries >= limits.retries;
                        if timed_out || last || failed.contains(&chosen.target) {
                            elsewhere(client, &mut plan, failed);
                        } else {
                            failed.push(chosen.target);
                        }
                        continue;
                    }
                }
            }
        };

        // Nothing is awaited between this check and the write: what a change acknowledged, no later request contradicts.
        match plan.refresh(client, &view, failed) {
            Ok(true) => facts.follow(&plan),
            Ok(false) => {
                client.worker.pool.put(address, stream);
                continue;
            }
            Err(own) => break own,
        }
        let Some(chosen) = plan.decision.chosen else { break Own::NO_TARGET };
        let rewritten = rewrite(&plan.served.gateway, chosen.route, &view);
        let made_up;
        let host = if identity.host.is_empty() {
            made_up = address.to_string();
            &made_up
        } else {
            identity.host
        };
        out.clear();
        let onward = Onward {
            method: identity.method,
            target: rewritten.as_deref().unwrap_or(identity.target),
            host,
            client: client.address(),
            forwarded: client.listener.forwarded(),
            body: accepted.body,
            upgrade: accepted.upgrade,
            to_gateway: plan.served.is_gateway(chosen),
            hops: plan.served.may_be_gateway(chosen).then_some(accepted.hops + 1),
            expects: accepted.expects && !complete,
        };
        forward::request(out, request, head, &onward);
        append_body(out, &tail[first.payload.clone()], &body, accepted.body);

        let mut extra = Vec::new();
        if debug {
            describe(&mut extra, client, &plan, chosen);
        }
        let conversation = Conversation {
            client,
            request,
            method: identity.method,
            stream: &stream,
            from_gateway: plan.served.is_gateway(chosen),
            set_cookies: &plan.decision.set_cookies,
            extra: &extra,
            expects: onward.expects,
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
                    client.worker.pool.put(address, stream);
                }
                return done.next;
            }
            Err(Broken { own, silent, replayable, timed_out }) => {
                if silent && replayable && reused && !timed_out {
                    // The target closed an idle connection just when it was taken up again.
                    fresh = true;
                    continue;
                }
                let idempotent =
                    matches!(identity.method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE");
                let again = silent && replayable && idempotent && !timed_out;
                if again && facts.retries < limits.retries {
                    facts.retries += 1;
                    fresh = true;
                    elsewhere(client, &mut plan, failed);
                    continue;
                }
                break own;
            }
        }
    };
    let whole = complete || body.is_done();
    let mut extra = Vec::new();
    if debug {
        match plan.decision.chosen {
            Some(chosen) => describe(&mut extra, client, &plan, chosen),
            None => describe_none(&mut extra, client, &plan),
        }
    }
    answer(client, request, head, out, facts, broken, whole, &extra).await
}

/// Moves the plan to another target of the same route, if there is one.
fn elsewhere(client: &Client, plan: &mut Plan, failed: &mut Vec<usize>) {
    let Some(chosen) = plan.decision.chosen.as_mut() else { return };
    if !failed.contains(&chosen.target) {
        failed.push(chosen.target);
    }
    let mut dice = client.worker.dice.borrow_mut();
    if let Some(target) = another_target(&plan.served.gateway, chosen.route, failed, &mut *dice) {
        chosen.target = target;
    }
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

/// The lines that `Vamp-Debug: 1` asks for.
fn describe(out: &mut Vec<u8>, client: &Client, plan: &Plan, chosen: Chosen) {
    let gateway = &plan.served.gateway;
    let target = &plan.served.compiled(chosen).config;
    let text = format!(
        "Vamp-Gateway: {}\r\nVamp-Route: {}\r\nVamp-Instance: {}\r\nVamp-Revision: {}\r\nVamp-Reason: {}\r\n",
        printable(gateway.config.name.as_str()),
        printable(gateway.config.routes[chosen.route].path.as_str()),
        printable(&target.name),
        client.worker.table().routing.revision,
        plan.decision.reason.as_str(),
    );
    out.extend_from_slice(text.as_bytes());
}

fn describe_none(out: &mut Vec<u8>, client: &Client, plan: &Plan) {
    let text = format!(
        "Vamp-Gateway: {}\r\nVamp-Revision: {}\r\nVamp-Reason: {}\r\n",
        printable(plan.served.gateway.config.name.as_str()),
        client.worker.table().routing.revision,
        plan.decision.reason.as_str(),
    );
    out.extend_from_slice(text.as_bytes());
}

/// Names may hold what a header value may not.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

impl Facts {
    fn new(started: Instant) -> Self {
        Self {
            started,
            served: None,
            chosen: None,
            reason: Reason::NoTarget,
            status: 0,
            error: None,
            connected: None,
            first_byte: None,
            received: 0,
            sent: 0,
            retries: 0,
        }
    }

    /// Takes over what the plan now says. Always served and chosen together: a choice is an index into one table.
    fn follow(&mut self, plan: &Plan) {
        if !self.served.as_ref().is_some_and(|served| Arc::ptr_eq(served, &plan.served)) {
            self.served = Some(Arc::clone(&plan.served));
        }
        self.chosen = plan.decision.chosen;
        self.reason = plan.decision.reason;
    }

    fn record(&self, client: &Client, request: Option<&Request>, buffer: &[u8]) {
        let outcome = Outcome {
            status: self.status,
            reason: self.reason,
            total: self.started.elapsed(),
            first_byte: self.first_byte,
            received: self.received,
            sent: self.sent,
            retries: self.retries,
            error: self.error,
        };
        let worker = client.worker.index;
        if let Some(served) = &self.served {
            served.meter.record(worker, &outcome);
            if let Some(chosen) = self.chosen {
                served.routes[chosen.route].meter.record(worker, &outcome);
                served.target(chosen).meter.record(worker, &outcome);
            }
        }
        if let Some(log) = &client.worker.shared.log {
            log.write(&Entry {
                client: client.peer,
                request: request.map(|request| (request, buffer)),
                served: self.served.as_deref(),
                chosen: self.chosen,
                outcome: &outcome,
                connected: self.connected,
            });
        }
    }
}
