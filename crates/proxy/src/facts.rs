//! What is learned about an exchange while it runs, and where it goes when it ends: figures and access log.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use routing::decide::{Chosen, Reason};

use crate::access_log::Entry;
use crate::attempts::{Attempts, verdict_on};
use crate::connection::Client;
use crate::h1::head::Request;
use crate::meter::Outcome;
use crate::plan::Plan;
use crate::span::Span;
use crate::table::Served;
use crate::trace::Part;

/// What is known about an exchange when it ends.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) started: Instant,
    pub(crate) served: Option<Arc<Served>>,
    pub(crate) chosen: Option<Chosen>,
    pub(crate) reason: Reason,
    pub(crate) status: u16,
    pub(crate) error: Option<&'static str>,
    pub(crate) waited: Option<Duration>,
    pub(crate) connected: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) attempts: Attempts,
    /// The part of the proxy in a trace. Boxed: few have one, and every connection keeps the size of its largest state.
    pub(crate) trace: Option<Box<Part>>,
}

impl Facts {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            served: None,
            chosen: None,
            reason: Reason::NoTarget,
            status: 0,
            error: None,
            waited: None,
            connected: None,
            first_byte: None,
            received: 0,
            sent: 0,
            attempts: Attempts::new(started),
            trace: None,
        }
    }

    /// Takes over what the plan now says. Always served and chosen together: a choice is an index into one table.
    pub(crate) fn follow(&mut self, plan: &Plan) {
        if !self.served.as_ref().is_some_and(|served| Arc::ptr_eq(served, &plan.served)) {
            self.served = Some(Arc::clone(&plan.served));
        }
        self.chosen = plan.decision.chosen;
        self.reason = plan.decision.reason;
    }

    /// The phases so far, in milliseconds, as `Vamp-Debug: 1` asks for.
    pub(crate) fn describe(&self, out: &mut Vec<u8>) {
        let phases = [("wait", self.waited), ("connect", self.connected), ("first_byte", self.first_byte)];
        out.extend_from_slice(b"Vamp-Phases:");
        for (name, time) in phases {
            let ms = time.unwrap_or_default().as_secs_f64() * 1e3;
            out.extend_from_slice(format!(" {name}={ms:.3}").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    fn span(&self, client: &Client, part: Part, outcome: &Outcome, request: (&Request, &[u8])) -> Span {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (request, buffer) = request;
        let target = request.target.of(buffer);
        let config = self.served.as_ref().map(|served| &served.gateway.config);
        let chosen = self.served.as_ref().zip(self.chosen);
        Span {
            trace: part.own.trace,
            id: part.own.span,
            parent: part.parent,
            start: SystemTime::now().checked_sub(outcome.total).unwrap_or(SystemTime::UNIX_EPOCH),
            total: outcome.total,
            waited: outcome.waited,
            connected: outcome.connected,
            first_byte: outcome.first_byte,
            gateway: config.map(|config| config.name.to_string()),
            route: chosen.map(|(served, chosen)| served.gateway.config.routes[chosen.route].path.to_string()),
            target: chosen.map(|(served, chosen)| served.compiled(chosen).config.name.clone()),
            reason: outcome.reason.as_str(),
            method: text(request.method.of(buffer)),
            path: text(target.split(|b| *b == b'?').next().unwrap_or_default()),
            status: outcome.status,
            error: outcome.error,
            retries: outcome.retries,
            client: client.peer.ip().to_canonical(),
        }
    }

    pub(crate) fn record(&self, client: &Client, request: Option<&Request>, buffer: &[u8]) {
        let outcome = Outcome {
            status: self.status,
            reason: self.reason,
            total: self.started.elapsed(),
            first_byte: self.first_byte,
            waited: self.waited,
            connected: self.connected,
            received: self.received,
            sent: self.sent,
            retries: self.attempts.retries(),
            error: self.error,
        };
        let worker = client.worker.index;
        if let Some(served) = &self.served {
            served.meter.record(worker, &outcome);
            if let Some(chosen) = self.chosen {
                let route = &served.routes[chosen.route].meter;
                route.record(worker, &outcome);
                route.record_phases(worker, &outcome);
                served.target(chosen).meter.record(worker, &outcome);
                if let Some(good) = verdict_on(self.status, self.error) {
                    served.answered(chosen, good);
                }
            }
        }
        let shared = &client.worker.shared;
        let part = self.trace.as_deref();
        if let (Some(part), Some(spans), Some(request)) = (part, &shared.settings.spans, request)
            && part.own.is_sampled()
        {
            spans.offer(|| self.span(client, *part, &outcome, (request, buffer)));
        }
        if let Some(log) = &shared.log {
            log.write(&Entry {
                client: client.peer,
                request: request.map(|request| (request, buffer)),
                served: self.served.as_deref(),
                chosen: self.chosen,
                outcome: &outcome,
                trace: part.map(|part| part.own),
            });
        }
    }
}
