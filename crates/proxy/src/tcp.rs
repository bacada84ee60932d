//! TCP gateways (spec: gateways 16, R36): each connection goes to one target.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::port::Protocol;
use routing::decide::{Chosen, Reason, another_target, decide_connection};

use crate::access_log::Entry;
use crate::attempts::{Allowance, Attempts, Fault, Verdict};
use crate::busy::Busy;
use crate::connection::Client;
use crate::dial::is_own_fault;
use crate::meter::Outcome;
use crate::table::Served;
use crate::tls::TlsFailed;
use crate::tunnel;

/// Serves one connection.
pub(crate) async fn serve(client: &Client) {
    let limits = client.worker.shared.settings.limits.clone();
    let started = Instant::now();
    // A port that became one of an http gateway in this very moment has nothing to say to this client.
    let find = || {
        let served = client.listener.gateway(&client.worker, "");
        served.filter(|served| served.protocol() == Protocol::Tcp)
    };
    let Some(mut served) = find() else { return };
    let source = client.peer.ip().to_canonical();
    let decide_now =
        |served: &Served| decide_connection(&served.gateway, source, &mut *client.worker.dice.borrow_mut());
    let mut decision = decide_now(&served);
    let mut generation = client.worker.generation();
    let mut failed = Vec::new();
    let mut outcome = Outcome::new(0, decision.reason, Duration::ZERO);
    let mut attempts = Attempts::new(started);
    let allowance = Allowance::from(&limits);

    while let Some(chosen) = decision.chosen {
        let Some(_busy) = enter(client, &served, chosen, &mut outcome.waited).await else {
            outcome.error = Some("overload");
            break;
        };
        let target = served.target(chosen);
        let asked = Instant::now();
        client.watch.set(attempts.patience(asked, limits.connect_timeout, allowance));
        let result = Box::pin(client.watch.within(target.connect(client))).await;
        // As for requests: a connection made under an older table is used only if the newest would allow it.
        if generation != client.worker.generation() {
            generation = client.worker.generation();
            let Some(newer) = find() else {
                outcome.error = Some("no_gateway");
                break;
            };
            if !Arc::ptr_eq(&newer, &served) {
                // Numbers of targets are those of one table.
                failed.clear();
            }
            match served.carry_over(chosen, decision.reason, &newer) {
                Some(carried) => decision.chosen = Some(carried),
                None => {
                    decision = decide_now(&newer);
                    served = newer;
                    continue;
                }
            }
            served = newer;
        }
        let Some(chosen) = decision.chosen else { break };
        let target = served.target(chosen);
        if let Ok(Ok(stream)) = &result {
            target.health.connected();
            outcome.connected = Some(asked.elapsed());
            outcome.error = None;
            let moved = tunnel::run(client, stream, limits.tunnel_timeout).await;
            outcome.received = moved.received;
            outcome.sent = moved.sent;
            outcome.error = moved.timed_out.then_some("timeout");
            break;
        }
        if !matches!(&result, Ok(Err(error)) if is_own_fault(error)) {
            served.refused(chosen);
        }
        let tls = matches!(&result, Ok(Err(error)) if TlsFailed::is(error));
        outcome.error = Some(if tls { "tls" } else { "connect" });
        // Always another one, if there is one: a client that has said nothing yet has time for each of them once.
        let fault = Fault::Connect { timed_out: true };
        let afford = || served.budget.take(client.worker.shared.care.now(), served.meter.begun());
        if attempts.after(fault, true, allowance, Instant::now(), afford) == Verdict::GiveUp {
            break;
        }
        failed.push(chosen.target);
        let mut dice = client.worker.dice.borrow_mut();
        if let Some(target) = another_target(&served.gateway, chosen.route, &failed, &mut *dice) {
            decision.chosen = Some(Chosen { route: chosen.route, target });
        }
    }
    if decision.chosen.is_none() {
        outcome.error = Some("no_target");
    }
    if outcome.error.is_some() {
        // Nothing was served: a reset says so better than an orderly end.
        client.stream.reset_on_close();
    }
    outcome.reason = if decision.chosen.is_none() { Reason::NoTarget } else { decision.reason };
    outcome.total = started.elapsed();
    outcome.retries = attempts.retries();
    let worker = client.worker.index;
    served.meter.record(worker, &outcome);
    if let Some(chosen) = decision.chosen {
        served.routes[chosen.route].meter.record(worker, &outcome);
        served.routes[chosen.route].meter.record_phases(worker, &outcome);
        served.target(chosen).meter.record(worker, &outcome);
    }
    if let Some(log) = &client.worker.shared.log {
        log.write(&Entry {
            client: client.peer,
            request: None,
            served: Some(&served),
            chosen: decision.chosen,
            outcome: &outcome,
            trace: None,
        });
    }
}

/// Room at a target, which it may take a while to get.
async fn enter(
    client: &Client,
    served: &Arc<Served>,
    chosen: Chosen,
    waited: &mut Option<Duration>,
) -> Option<Busy> {
    if let Some(busy) = Busy::try_new(&client.worker, served, chosen) {
        return Some(busy);
    }
    let patience = client.worker.shared.settings.limits.pending_timeout;
    let asked = Instant::now();
    let entered = tokio::time::timeout(patience, Busy::wait(&client.worker, served, chosen)).await;
    *waited = Some(waited.unwrap_or_default() + asked.elapsed());
    entered.ok()?.ok()
}
