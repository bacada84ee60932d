//! The stream of one agent, at the controller.

use std::collections::VecDeque;
use std::sync::Arc;

use routing::config::RoutingConfig;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::trials::Trials;
use super::trust::Trust;
use super::{NOT_LEADER, ServerSettings};
use crate::fleet::{Ending, Fleet, Session, tried};
use crate::proto::{FromAgent, FromController, Hello, from_agent, from_controller};
use crate::table::Encoded;
use crate::{TargetState, convert, proto};

/// Targets in all parts together: far more than any environment has.
const MOST_TARGETS: usize = 200_000;
/// Leases that an agent may take to put a table in force.
const PATIENCE: u32 = 5;

pub(super) struct Stream {
    pub(super) trust: Trust,
    pub(super) fleet: Arc<Fleet>,
    pub(super) session: Session,
    pub(super) name: String,
    pub(super) settings: ServerSettings,
    pub(super) leading: watch::Receiver<bool>,
    pub(super) closing: CancellationToken,
    pub(super) from_agent: Streaming<FromAgent>,
    pub(super) to_agent: mpsc::Sender<Result<FromController, Status>>,
}

/// What goes down: one table at a time.
#[derive(Default)]
struct Tables {
    /// What the agent has, once all parts are sent.
    sent: Option<Arc<Encoded>>,
    parts: VecDeque<proto::Table>,
    /// Revision that is to be acknowledged before the next table, and by when.
    awaited: Option<(u64, Instant)>,
    /// There is a newer one.
    newer: bool,
}

impl Stream {
    /// Runs until the agent is gone, or is to go.
    pub(super) async fn run(mut self, hello: Hello) {
        let (ending, status) = self.follow(&hello).await;
        self.fleet.gone(&self.name, &self.session, ending);
        let environment = self.fleet.name();
        match &status {
            Some(status) => {
                warn!(
                    environment,
                    agent = self.name,
                    ?ending,
                    "an agent's stream ends: {}",
                    status.message()
                );
            }
            None => info!(environment, agent = self.name, ?ending, "an agent's stream has ended"),
        }
        if let Some(status) = status {
            // One that does not read will see that the stream has ended.
            let _ = self.to_agent.try_send(Err(status));
        }
    }

    async fn follow(&mut self, hello: &Hello) -> (Ending, Option<Status>) {
        let lease = self.settings.lease;
        let mut published = self.fleet.published();
        let mut leading = self.leading.clone();
        let mut tables = Tables::default();
        let millis = |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let welcome = proto::Welcome {
            version: self.settings.version.clone(),
            beat_ms: millis(lease.beat),
            lease_ms: millis(lease.expires),
        };
        let _ = self.to_agent.try_send(message(from_controller::Kind::Welcome(welcome)));
        let config = published.borrow_and_update().clone();
        self.begin(&mut tables, &config, hello);

        let mut beat = interval_at(Instant::now() + lease.beat, lease.beat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut read = Instant::now();
        let mut targets: Option<Vec<TargetState>> = None;
        // A report that is taken over, and not acknowledged yet.
        let mut counted: Option<u64> = None;
        let (ask, mut questions) = mpsc::channel(tried::QUEUE);
        if hello.tries {
            self.fleet.answers(&self.name, &self.session, ask);
        }
        let mut trials = Trials::default();
        loop {
            let reads = self.to_agent.capacity() > 0;
            let outgoing = counted.is_some() || trials.waits() || !tables.parts.is_empty();
            let room = trials.room();
            let patience = tables.awaited.map(|(_, until)| until);
            tokio::select! {
                message = self.from_agent.message() => {
                    let kind = match message {
                        Ok(Some(message)) => message.kind,
                        Ok(None) => return (Ending::Broken, None),
                        Err(status) => {
                            debug!(agent = self.name, %status, "an agent's stream broke");
                            return (Ending::Broken, None);
                        }
                    };
                    heard = Instant::now();
                    self.fleet.heard(&self.name, &self.session, heard);
                    match kind {
                        Some(from_agent::Kind::Ack(ack)) => {
                            let (revision, problems) = (ack.revision, convert::problems(ack.problems));
                            self.fleet.acknowledge(&self.name, &self.session, revision, problems);
                            if tables.awaited.is_some_and(|(awaited, _)| awaited <= revision) {
                                tables.awaited = None;
                            }
                        }
                        Some(from_agent::Kind::Report(report)) => {
                            match self.take_report(report) {
                                Ok(sequence) => counted = Some(sequence),
                                Err(status) => return (Ending::Broken, Some(status)),
                            }
                        }
                        Some(from_agent::Kind::Targets(part)) => {
                            if let Err(status) = self.take_targets(&mut targets, part) {
                                return (Ending::Broken, Some(status));
                            }
                        }
                        Some(from_agent::Kind::Token(token)) => self.trust.renew(token.token),
                        Some(from_agent::Kind::Tried(told)) => {
                            if let Err(reason) = trials.answered(told) {
                                let status = format!("what came of a condition makes no sense: {reason}");
                                return (Ending::Broken, Some(Status::invalid_argument(status)));
                            }
                        }
                        Some(from_agent::Kind::Goodbye(_)) => return (Ending::Goodbye, None),
                        // A beat has done its work; what a later version sends is not for this one.
                        Some(from_agent::Kind::Beat(_) | from_agent::Kind::Hello(_)) | None => {}
                    }
                }
                permit = self.to_agent.reserve(), if outgoing => {
                    let Ok(permit) = permit else { return (Ending::Broken, None) };
                    read = Instant::now();
                    if let Some(sequence) = counted.take() {
                        let ack = proto::ReportAck { sequence };
                        permit.send(message(from_controller::Kind::ReportAck(ack)));
                    } else if let Some(trial) = trials.next() {
                        permit.send(message(from_controller::Kind::Trial(trial)));
                    } else if let Some(part) = tables.parts.pop_front() {
                        if part.last {
                            tables.awaited = Some((part.revision, read + lease.expires * PATIENCE));
                        }
                        permit.send(message(from_controller::Kind::Table(part)));
                    }
                }
                Some(question) = questions.recv(), if room => trials.ask(question),
                changed = published.changed(), if !tables.newer => match changed {
                    Ok(()) => tables.newer = true,
                    Err(_) => return (Ending::Broken, Some(Status::unavailable("the environment is served no more"))),
                },
                _ = beat.tick() => {
                    if self.to_agent.try_send(message(from_controller::Kind::Beat(proto::Beat {}))).is_ok() {
                        read = Instant::now();
                    }
                }
                () = self.to_agent.closed() => return (Ending::Broken, None),
                () = sleep_until(heard + lease.expires) => {
                    let status = Status::deadline_exceeded("the agent is silent");
                    return (Ending::Silent, Some(status));
                }
                () = sleep_until(read + lease.expires), if !reads => {
                    let status = Status::deadline_exceeded("the agent does not read");
                    return (Ending::Silent, Some(status));
                }
                () = sleep_until(patience.unwrap_or(read)), if patience.is_some() => {
                    let status = Status::deadline_exceeded("the agent does not put the table in force");
                    return (Ending::Silent, Some(status));
                }
                () = self.trust.gone() => {
                    let status = Status::unauthenticated("the agent's token is no longer accepted");
                    return (Ending::Broken, Some(status));
                }
                () = deposed(&mut leading) => {
                    return (Ending::Broken, Some(Status::failed_precondition(NOT_LEADER)));
                }
                () = self.fleet.closed().cancelled() => {
                    return (Ending::Broken, Some(Status::unavailable("the environment is served no more")));
                }
                () = self.closing.cancelled() => {
                    return (Ending::Broken, Some(Status::unavailable("the controller ends")));
                }
                () = self.session.superseded.cancelled() => {
                    return (Ending::Broken, Some(Status::aborted("another stream of this agent took over")));
                }
            }
            // The newest one, whatever came in between.
            if tables.newer && tables.awaited.is_none() && tables.parts.is_empty() {
                let config = published.borrow_and_update().clone();
                self.send(&mut tables, &config);
            }
        }
    }

    /// An agent that has the table already, from its disk or an earlier stream, is told its revision only.
    fn begin(&self, tables: &mut Tables, config: &Arc<RoutingConfig>, hello: &Hello) {
        let encoded = self.fleet.encoded(config);
        let has = hello.digest[..] == encoded.digest[..];
        tables.parts = encoded.parts(has.then_some(&*encoded));
        tables.sent = Some(encoded);
    }

    fn send(&self, tables: &mut Tables, config: &Arc<RoutingConfig>) {
        tables.newer = false;
        let encoded = self.fleet.encoded(config);
        tables.parts = encoded.parts(tables.sent.as_deref());
        tables.sent = Some(encoded);
    }

    fn take_report(&self, report: proto::Report) -> Result<u64, Status> {
        let deltas = report.series.into_iter().map(convert::delta).collect::<Result<Vec<_>, _>>();
        let deltas = deltas
            .map_err(|reason| Status::invalid_argument(format!("a report makes no sense: {reason}")))?;
        let incidents = convert::incidents(report.incidents);
        self.fleet.report(&self.name, &self.session, report.sequence, &deltas, incidents);
        Ok(report.sequence)
    }

    fn take_targets(&self, parts: &mut Option<Vec<TargetState>>, part: proto::Targets) -> Result<(), Status> {
        let all = parts.get_or_insert_default();
        for target in part.targets {
            let target = convert::target_state(target);
            all.push(
                target.map_err(|reason| {
                    Status::invalid_argument(format!("a target makes no sense: {reason}"))
                })?,
            );
        }
        if all.len().max(part.budgets.len()) > MOST_TARGETS {
            return Err(Status::invalid_argument("there cannot be so many targets"));
        }
        if part.last {
            let (targets, budgets) = (parts.take().unwrap_or_default(), convert::budgets(part.budgets));
            self.fleet.set_targets(&self.name, &self.session, targets, budgets);
        }
        Ok(())
    }
}

/// Ends when this controller does not lead any more. One that nobody can depose leads for ever.
async fn deposed(leading: &mut watch::Receiver<bool>) {
    if leading.wait_for(|leading| !*leading).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[allow(clippy::unnecessary_wraps, reason = "what the stream takes")]
fn message(kind: from_controller::Kind) -> Result<FromController, Status> {
    Ok(FromController { kind: Some(kind) })
}
