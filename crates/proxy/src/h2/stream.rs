//! One request of an HTTP/2 client: the same steps as over HTTP/1.1 ([`crate::exchange`]), to targets of both kinds.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{HeaderValue, TE};

use super::body::Inflow;
use super::server::State;
use super::talk::{Front, Heads, Onto, Talk};
use super::{grpc, head, websocket};
use crate::accept::{Lines, accept, show, view, wants_debug};
use crate::busy::Busy;
use crate::connection::Client;
use crate::facts::Facts;
use crate::h1::framing::Body;
use crate::h1::head::Bounds;
use crate::origin::{self, Verdict};
use crate::plan::onward::Asked;
use crate::plan::{Plan, find};
use crate::reply::Own;
use crate::scratch::Scratch;
use crate::timer::Watch;

/// How long a stream must have been served to count as completed even if its client gives it up: with as many streams as a connection
/// may have, that is no more work than streams that are not given up.
const WORKED: Duration = Duration::from_millis(25);

/// Serves one stream.
pub(crate) async fn serve(
    client: &Rc<Client>,
    state: &State,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let mut facts = Facts::new(Instant::now());
    let mut scratch = client.worker.scratch();
    let watch = client.worker.sweeper.watch_part(client.listener.group());
    let mut front = Front::Framed(respond);
    let whole = exchange(client, &watch, &mut scratch, request, &mut front, &mut facts).await;
    // Giving up what was worked on for that long is no flood: calls with short deadlines do so when their target is slow.
    if whole || facts.started.elapsed() >= WORKED {
        state.completed();
    }
    facts.record(client, Some(&scratch.request), &scratch.lines);
    client.worker.give_back(scratch);
}

/// True when the client got a whole answer.
async fn exchange(
    client: &Rc<Client>,
    watch: &Watch,
    scratch: &mut Scratch,
    request: http::Request<RecvStream>,
    front: &mut Front<'_>,
    facts: &mut Facts,
) -> bool {
    let limits = &client.worker.shared.settings.limits;
    let Scratch { request: head, lines, response, reply, out, head: head_out, failed, .. } = scratch;
    failed.clear();
    let (parts, mut recv) = request.into_parts();
    let bounds = Bounds { head: limits.head_bytes, target: limits.target_bytes, fields: limits.fields };
    let key = || websocket::key(&mut *client.worker.dice.borrow_mut());
    if let Err(refusal) = head::request(head, lines, &parts, bounds, key) {
        head.end(lines);
        facts.served = client.listener.gateway(&client.worker, "");
        return answer(front, facts, refusal.into(), false, false, b"");
    }
    facts.received = lines.len() as u64;
    let (head, lines) = (&*head, lines.as_slice());
    let call = grpc::is_call(head, lines);
    let ended = recv.is_end_stream();
    let framing = |request: &_, lines: &_| head::request_framing(request, lines, ended);
    let accepted = match accept(head, lines, limits.hops, framing) {
        Ok(accepted) => accepted,
        Err(own) => {
            facts.served = client.listener.gateway(&client.worker, "");
            return answer(front, facts, own, parts.method == http::Method::HEAD, call, b"");
        }
    };
    let identity = &accepted.identity;
    let bare = identity.method == "HEAD";
    if call && let Some(timeout) = parts.headers.get("grpc-timeout") {
        let timeout = grpc::timeout(timeout.as_bytes()).unwrap_or(Duration::MAX);
        watch.limit(timeout);
    }
    let served = match find(client, identity.host) {
        Ok(served) => served,
        Err(own) => return answer(front, facts, own, bare, call, b""),
    };
    if let Verdict::Answer(own, fields) = origin::check(client, &served, identity) {
        facts.served = Some(served);
        return answer(front, facts, own, bare, call, fields.as_bytes());
    }
    let fields = Lines { request: head, buffer: lines };
    let view = view(client, &served, identity, &fields);
    let debug = wants_debug(client, &view, &fields);
    show(client, &served, &view, &fields);
    facts.trace = client.worker.take_part(head, lines).map(Box::new);
    let asks_for_trailers = parts.headers.contains_key(TE);
    let asked = Asked { client, watch, request: head, head: lines, accepted: &accepted, view: &view, debug };
    let mut plan = Plan::make(client, served, &view);
    // When a connection to a target broke last.
    let mut broke = None;

    // What is there of the body already goes out with the head, and can go out again.
    let mut first = None;
    if accepted.body != Body::Empty {
        let ready = poll_fn(|context| Poll::Ready(recv.poll_data(context))).await;
        if let Poll::Ready(Some(Ok(data))) = ready {
            first = Some(data);
        }
    }
    let mut source = Inflow::Framed { recv, first: None, touched: false };

    let own = loop {
        facts.follow(&plan);
        let Some(chosen) = plan.decision.chosen else { break Own::NO_TARGET };
        let (chosen, _busy) = match Busy::try_new(&client.worker, &plan.served, chosen) {
            Some(busy) => (chosen, busy),
            None => match Box::pin(plan.room(&client.worker, failed, facts)).await {
                Ok(busy) => (busy.chosen(), busy),
                Err(own) => break own,
            },
        };
        let target = plan.served.target(chosen);
        let (destination, http2) = (target.destination(), target.http2);

        let (mut stream, mut ticket) = (None, None);
        if http2 {
            let touched = source.is_touched();
            match Box::pin(plan.open(&asked, &mut broke, touched, failed, facts)).await {
                Ok(Some(open)) => ticket = Some(open),
                Ok(None) => continue,
                Err(own) => break own,
            }
        } else if broke.is_none() {
            stream = client.worker.pool.take(destination);
        }
        let reused = stream.is_some() || ticket.as_ref().is_some_and(|ticket| ticket.reused);
        if !http2 && stream.is_none() {
            match Box::pin(plan.connect(&asked, failed, facts)).await {
                Ok(Some(connected)) => stream = Some(connected),
                Ok(None) => continue,
                Err(own) => break own,
            }
        }
        let chosen = match plan.confirm(&asked, failed, facts) {
            Ok(Some(chosen)) => chosen,
            Ok(None) => {
                if let Some(stream) = stream {
                    client.worker.pool.put(destination, stream);
                }
                continue;
            }
            Err(own) => break own,
        };
        let (target, host) = plan.address(&asked, chosen);
        let expects = plan.write_head(out, &asked, chosen, (&target, &host), !ended, facts);
        if asks_for_trailers && !http2 {
            // The head ends with an empty line, which moves.
            out.truncate(out.len() - 2);
            let connection = if accepted.upgrade { "" } else { "Connection: TE\r\n" };
            out.extend_from_slice(b"TE: trailers\r\n");
            out.extend_from_slice(connection.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if let Inflow::Framed { first: next, .. } = &mut source {
            next.clone_from(&first);
        }
        let extra = if debug { plan.describe(client) } else { Vec::new() };
        let talk = Talk {
            client,
            watch,
            request: head,
            lines,
            method: identity.method,
            target: &target,
            host: &host,
            from_gateway: plan.served.is_gateway(chosen),
            set_cookies: &plan.decision.set_cookies,
            extra: &extra,
            expects,
            upgrade: accepted.upgrade,
            trailers: true,
            call,
            rest: b"",
        };
        let onto = match (&stream, &mut ticket) {
            (Some(stream), _) => Onto::Plain(stream),
            (None, Some(ticket)) => Onto::Framed(ticket),
            (None, None) => break Own::CONNECT,
        };
        let heads = Heads { response: &mut *response, reply: &mut *reply, out: &mut *head_out };
        match talk.run(onto, out, &mut source, accepted.body, front, heads, facts).await {
            Ok(done) => {
                if done.reusable
                    && let Some(stream) = stream
                {
                    client.worker.pool.put(destination, stream);
                }
                return done.whole;
            }
            Err(broken) => {
                if watch.is_over()
                    || !plan.after_broken(client, identity.method, &broken, reused, failed, facts)
                {
                    break broken.own;
                }
                broke = Some(Instant::now());
            }
        }
    };
    let mut extra = if debug { plan.describe(client) } else { Vec::new() };
    if debug {
        facts.describe(&mut extra);
    }
    answer(front, facts, own, bare, call, &extra)
}

/// Sends an answer of the proxy; a gRPC call gets it as its status.
fn answer(front: &mut Front<'_>, facts: &mut Facts, own: Own, bare: bool, call: bool, extra: &[u8]) -> bool {
    let Front::Framed(respond) = front else { return false };
    let mut text = Vec::new();
    own.write(&mut text, "", !bare, extra);
    facts.status = own.status;
    facts.error = Some(own.code);
    facts.sent = text.len() as u64;
    let end = text.windows(4).position(|part| part == b"\r\n\r\n").map_or(text.len(), |at| at + 4);
    let Some(mut head) = head::to_response(&text[..end], if call { 200 } else { own.status }) else {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return false;
    };
    if call {
        let fields = head.headers_mut();
        fields.remove(http::header::CONTENT_LENGTH);
        fields.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        fields.insert("grpc-status", HeaderValue::from(grpc::status_of(own)));
        fields.insert("grpc-message", HeaderValue::from_static(own.message));
        return respond.send_response(head, true).is_ok();
    }
    let body = Bytes::copy_from_slice(&text[end..]);
    match respond.send_response(head, body.is_empty()) {
        // A few bytes; what the client's window does not take waits in the connection.
        Ok(mut send) => body.is_empty() || send.send_data(body, true).is_ok(),
        Err(_) => false,
    }
}
