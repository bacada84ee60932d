//! Where a request goes: the decision, what it was made under, and what becomes of it when the table changes or an attempt fails.
//! How it gets there is in [`onward`].

pub(crate) mod onward;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use model::port::Protocol;
use routing::decide::{Chosen, Decision, another_target, decide};
use routing::request::RequestHead;
use tokio::time::timeout;

use crate::attempts::{Allowance, AnswerFault, Fault, Verdict, is_idempotent};
use crate::busy::Busy;
use crate::connection::Client;
use crate::facts::Facts;
use crate::listener::Key;
use crate::reply::Own;
use crate::slots::Full;
use crate::table::Served;
use crate::worker::Worker;

/// A decision and what it was made under.
pub(crate) struct Plan {
    pub(crate) served: Arc<Served>,
    pub(crate) generation: u64,
    pub(crate) decision: Decision,
}

impl Plan {
    pub(crate) fn make(client: &Client, served: Arc<Served>, view: &RequestHead<'_>) -> Self {
        let generation = client.worker.generation();
        let decision = decide(&served.gateway, view, &mut *client.worker.dice.borrow_mut());
        Self { served, generation, decision }
    }

    /// Brings the plan up to the table in force. True when the target is still the right one. `failed` are targets of the
    /// table that the plan was made under; another table numbers them anew.
    pub(crate) fn refresh(
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

    /// After a connection that could not be made: where to try next. `Err`: nowhere, and that is the answer, `own` if
    /// it was the last attempt.
    pub(crate) fn after_failed_connect(
        &mut self,
        client: &Client,
        view: &RequestHead<'_>,
        failed: &mut Vec<usize>,
        facts: &mut Facts,
        own: Own,
    ) -> Result<(), Own> {
        if !self.refresh(client, view, failed)? {
            return Ok(());
        }
        facts.follow(self);
        let Some(chosen) = self.decision.chosen else { return Err(Own::NO_TARGET) };
        let fault = Fault::Connect { timed_out: own == Own::CONNECT_TIMEOUT };
        match self.after(client, facts, fault, failed.contains(&chosen.target)) {
            Verdict::Elsewhere => self.elsewhere(client, failed),
            Verdict::Again | Verdict::Fresh => failed.push(chosen.target),
            Verdict::GiveUp => return Err(own),
        }
        Ok(())
    }

    /// After a target that took the request and did not answer it: true when it may be sent once more, on a fresh connection.
    pub(crate) fn after_broken(
        &mut self,
        client: &Client,
        method: &str,
        broken: &Broken,
        reused: bool,
        failed: &mut Vec<usize>,
        facts: &mut Facts,
    ) -> bool {
        let fault = Fault::Answer(AnswerFault {
            silent: broken.silent,
            replayable: broken.replayable,
            timed_out: broken.timed_out,
            reused,
            unseen: broken.unseen,
            // What was not begun can be sent again whatever it is.
            idempotent: broken.refused || is_idempotent(method),
        });
        match self.after(client, facts, fault, false) {
            // The target closed an idle connection just when it was taken up again.
            Verdict::Fresh => true,
            Verdict::Again | Verdict::Elsewhere => {
                // The last attempt is judged when it is recorded.
                if let Some(chosen) = self.decision.chosen {
                    self.served.answered(chosen, false);
                }
                self.elsewhere(client, failed);
                true
            }
            Verdict::GiveUp => false,
        }
    }

    fn after(&self, client: &Client, facts: &mut Facts, fault: Fault, known: bool) -> Verdict {
        let shared = &client.worker.shared;
        let allowance = Allowance::from(&shared.settings.limits);
        let afford = || self.served.budget.take(shared.care.now(), self.served.meter.begun());
        facts.attempts.after(fault, known, allowance, Instant::now(), afford)
    }

    /// Room at the chosen target, which was found to have none: at another target of the route if one has, else in the queue.
    pub(crate) async fn room(
        &mut self,
        worker: &Rc<Worker>,
        failed: &[usize],
        facts: &mut Facts,
    ) -> Result<Busy, Own> {
        let Some(chosen) = self.decision.chosen.as_mut() else { return Err(Own::NO_TARGET) };
        let limits = &worker.shared.settings.limits;
        if let Some(target) = self.served.target_with_room(*chosen, failed) {
            let other = Chosen { target, ..*chosen };
            if let Some(busy) = Busy::try_new(worker, &self.served, other) {
                *chosen = other;
                return Ok(busy);
            }
        }
        let asked = Instant::now();
        let entered = timeout(limits.pending_timeout, Busy::wait(worker, &self.served, *chosen)).await;
        facts.waited = Some(facts.waited.unwrap_or_default() + asked.elapsed());
        match entered {
            Ok(Ok(busy)) => Ok(busy),
            Ok(Err(Full)) | Err(_) => Err(Own::TARGETS_FULL),
        }
    }

    /// Moves to another target of the same route, if there is one.
    fn elsewhere(&mut self, client: &Client, failed: &mut Vec<usize>) {
        let Some(chosen) = self.decision.chosen.as_mut() else { return };
        if !failed.contains(&chosen.target) {
            failed.push(chosen.target);
        }
        let mut dice = client.worker.dice.borrow_mut();
        if let Some(target) = another_target(&self.served.gateway, chosen.route, failed, &mut *dice) {
            chosen.target = target;
        }
    }

    /// The lines that `Vamp-Debug: 1` asks for.
    pub(crate) fn describe(&self, client: &Client) -> Vec<u8> {
        let gateway = &self.served.gateway;
        let mut text = format!("Vamp-Gateway: {}\r\n", printable(gateway.config.name.as_str()));
        if let Some(chosen) = self.decision.chosen {
            text += &format!(
                "Vamp-Route: {}\r\nVamp-Instance: {}\r\n",
                printable(gateway.config.routes[chosen.route].path.as_str()),
                printable(&self.served.compiled(chosen).config.name),
            );
        }
        text += &format!(
            "Vamp-Revision: {}\r\nVamp-Reason: {}\r\n",
            client.worker.table().routing.revision,
            self.decision.reason.as_str(),
        );
        text.into_bytes()
    }
}

/// An attempt that ended before anything of a final response reached the client.
pub(crate) struct Broken {
    /// What to answer if there is no further attempt.
    pub(crate) own: Own,
    /// The target said nothing at all.
    pub(crate) silent: bool,
    /// Everything that was sent can be sent again.
    pub(crate) replayable: bool,
    pub(crate) timed_out: bool,
    /// The target said that it did not begin with it.
    pub(crate) refused: bool,
    /// It was not sent, or did not arrive, or the target said good-bye before it looked at it: nothing has failed.
    pub(crate) unseen: bool,
}

impl Broken {
    /// `silent`: the target said nothing at all. `touched`: a part of the body was read that cannot be sent again.
    pub(crate) fn new(own: Own, silent: bool, touched: bool) -> Self {
        Self { own, silent, replayable: !touched, timed_out: false, refused: false, unseen: false }
    }

    /// The connection came to its end before the request was sent.
    pub(crate) fn unsent(touched: bool) -> Self {
        Self { refused: true, unseen: true, ..Self::new(Own::CLOSED, true, touched) }
    }

    /// Notes that the target cannot have seen it, if so.
    pub(crate) fn unseen_if(self, unseen: bool) -> Self {
        Self { refused: self.refused || unseen, unseen: self.unseen || unseen, ..self }
    }

    /// The answer did not begin in time.
    pub(crate) fn late(touched: bool) -> Self {
        Self { timed_out: true, ..Self::new(Own::RESPONSE_TIMEOUT, false, touched) }
    }
}

/// The gateway that serves this request. A port may have become one of a tcp gateway while clients of the http gateway that
/// was there before are still connected.
pub(crate) fn find(client: &Client, host: &str) -> Result<Arc<Served>, Own> {
    let served = client.listener.gateway(&client.worker, host);
    served.filter(|served| served.protocol() == Protocol::Http).ok_or(match client.listener.key() {
        Key::Port(_) => Own::GATEWAY_GONE,
        Key::VirtualHosts | Key::VirtualHostsTls => Own::NO_GATEWAY,
    })
}

/// Names may hold what a header value may not.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
