//! What is learned about an exchange while it runs, and where it goes when it ends: figures and access log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use routing::decide::{Chosen, Reason};

use crate::access_log::Entry;
use crate::attempts::{Attempts, verdict_on};
use crate::connection::Client;
use crate::h1::head::Request;
use crate::meter::Outcome;
use crate::plan::Plan;
use crate::table::Served;

/// What is known about an exchange when it ends.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) started: Instant,
    pub(crate) served: Option<Arc<Served>>,
    pub(crate) chosen: Option<Chosen>,
    pub(crate) reason: Reason,
    pub(crate) status: u16,
    pub(crate) error: Option<&'static str>,
    pub(crate) connected: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) attempts: Attempts,
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
            connected: None,
            first_byte: None,
            received: 0,
            sent: 0,
            attempts: Attempts::new(started),
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

    pub(crate) fn record(&self, client: &Client, request: Option<&Request>, buffer: &[u8]) {
        let outcome = Outcome {
            status: self.status,
            reason: self.reason,
            total: self.started.elapsed(),
            first_byte: self.first_byte,
            received: self.received,
            sent: self.sent,
            retries: self.attempts.retries(),
            error: self.error,
        };
        let worker = client.worker.index;
        if let Some(served) = &self.served {
            served.meter.record(worker, &outcome);
            if let Some(chosen) = self.chosen {
                served.routes[chosen.route].meter.record(worker, &outcome);
                served.target(chosen).meter.record(worker, &outcome);
                if let Some(good) = verdict_on(self.status, self.error) {
                    served.answered(chosen, good);
                }
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
