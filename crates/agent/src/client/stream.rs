//! The stream with one controller, at the agent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::condition::Condition;
use model::name::GatewayName;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tracing::{debug, info};

use super::connect::Controller;
use super::{Agent, Connection, show};
use crate::proto::agents_client::AgentsClient;
use crate::proto::{FromAgent, from_agent, from_controller};
use crate::server::NOT_LEADER;
use crate::table::{Assembler, Table};
use crate::{Applied, Budget, TargetState, convert, proto};

/// Until the controller's first answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a message from a controller: a part of a table, which is one gateway at least.
const MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// Messages that wait for the controller to read them.
const QUEUE: usize = 32;
/// Targets in one message.
const MOST_TARGETS: usize = 4_096;
/// Requests that are told of at most when a condition is tried.
const MOST_TRIED: usize = 50;
/// Beats between two words about targets of which only the number of requests has changed, and between two looks at the token.
const CALM_BEATS: u32 = 5;
/// What a controller may ask for.
const SHORTEST_BEAT: Duration = Duration::from_millis(10);
const LONGEST_BEAT: Duration = Duration::from_secs(60);

const BEARER: &str = "Bearer ";

/// How a stream ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// This agent ends.
    Stopped,
    /// Another controller is to be asked.
    NotLeader,
    Failed(String),
}

/// What this end does while there is a stream.
struct Stream<'a> {
    agent: &'a mut Agent,
    to_controller: mpsc::Sender<FromAgent>,
    beat: Duration,
    lease: Duration,
    assembler: Assembler,
    /// A table on its way into force.
    applying: Option<(Arc<Table>, JoinHandle<Applied>)>,
    /// The next report tells of everything that is open.
    all_open: bool,
    targets: Vec<TargetState>,
    budgets: Vec<Budget>,
    beats: u32,
    /// What the controller was shown last.
    token: MetadataValue<Ascii>,
}

impl Agent {
    /// Follows a controller until the stream breaks.
    pub(super) async fn stream(&mut self, channel: Channel, controller: &Controller) -> Ended {
        let token = match self.token() {
            Ok(token) => token,
            Err(reason) => return Ended::Failed(reason),
        };
        let (to_controller, messages) = mpsc::channel(QUEUE);
        let hello = proto::Hello {
            name: self.settings.name.clone(),
            environment: self.settings.environment.clone(),
            instance: self.instance.clone(),
            version: self.settings.version.clone(),
            revision: self.table.revision,
            digest: Bytes::copy_from_slice(&self.table.digest),
            tries: true,
        };
        let _ = to_controller.try_send(message(from_agent::Kind::Hello(hello)));
        let mut request = Request::new(ReceiverStream::new(messages));
        request.metadata_mut().insert("authorization", token.clone());
        let mut client = AgentsClient::new(channel).max_decoding_message_size(MESSAGE_BYTES);
        let answer = tokio::select! {
            answer = timeout(PATIENCE, client.follow(request)) => answer,
            () = self.done() => return Ended::Stopped,
        };
        let from_controller = match answer {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return ended(&status),
            Err(_) => return Ended::Failed("it does not answer".into()),
        };
        let stream = Stream {
            agent: self,
            to_controller,
            beat: Duration::from_secs(2),
            lease: PATIENCE,
            assembler: Assembler::default(),
            applying: None,
            all_open: true,
            targets: Vec::new(),
            budgets: Vec::new(),
            beats: 0,
            token,
        };
        stream.follow(from_controller, controller).await
    }

    fn token(&self) -> Result<MetadataValue<Ascii>, String> {
        let file = self.settings.token_file.display();
        let text = std::fs::read_to_string(&self.settings.token_file)
            .map_err(|error| format!("cannot read the token in {file} (--token-file): {error}"))?;
        let mut value: MetadataValue<Ascii> = format!("{BEARER}{}", text.trim()).parse().map_err(|_| {
            format!("{file} (--token-file) holds no token: it must be one line of plain characters")
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Stream<'_> {
    async fn follow(
        mut self,
        mut from_controller: tonic::Streaming<proto::FromController>,
        controller: &Controller,
    ) -> Ended {
        let stop = self.agent.stop.clone();
        let mut reported = self.agent.proxy.reported();
        let mut beat = every(self.beat);
        let mut report = every(self.agent.settings.report_period.max(SHORTEST_BEAT));
        let mut heard = Instant::now();
        let mut stopping = false;
        // A proxy that has drained says nothing any more, but what it counted last is still to be told.
        let mut proxy_speaks = true;
        let again = self.agent.counts().outbox.again();
        if let Some(again) = again
            && let Err(ended) = self.send(from_agent::Kind::Report(again)).await
        {
            return ended;
        }
        loop {
            let applying = self.applying.is_some();
            let outcome = tokio::select! {
                message = from_controller.message() => {
                    heard = Instant::now();
                    match message {
                        Ok(Some(message)) => match message.kind {
                            Some(from_controller::Kind::Welcome(welcome)) => {
                                self.welcome(&welcome, controller);
                                beat = every(self.beat);
                                Ok(())
                            }
                            Some(from_controller::Kind::Table(part)) => self.take(part),
                            Some(from_controller::Kind::ReportAck(ack)) => {
                                self.agent.counts().outbox.acked(ack.sequence);
                                if stopping { self.report().await } else { self.next_report().await }
                            }
                            Some(from_controller::Kind::Trial(trial)) => self.try_condition(trial).await,
                            // A beat has done its work; what a later version sends is not for this one.
                            Some(from_controller::Kind::Beat(_)) | None => Ok(()),
                        },
                        Ok(None) => Err(Ended::Failed("it has ended the stream".into())),
                        Err(status) => Err(ended(&status)),
                    }
                }
                applied = outcome(&mut self.applying), if applying => self.applied(applied).await,
                changed = reported.changed(), if proxy_speaks && !applying => match changed {
                    Ok(()) => {
                        let now = reported.borrow_and_update().clone();
                        self.reported(now).await
                    }
                    Err(_) => {
                        proxy_speaks = false;
                        Ok(())
                    }
                },
                _ = beat.tick() => self.beat().await,
                _ = report.tick(), if !stopping => self.report().await,
                () = sleep_until(heard + self.lease) => Err(Ended::Failed("it is silent".into())),
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.report().await
                }
            };
            if let Err(ended) = outcome {
                return ended;
            }
            if stopping && self.agent.counts().outbox.is_empty() {
                return self.goodbye(from_controller).await;
            }
        }
    }

    fn welcome(&mut self, welcome: &proto::Welcome, controller: &Controller) {
        let millis = |ms: u32| Duration::from_millis(ms.into());
        self.beat = millis(welcome.beat_ms).clamp(SHORTEST_BEAT, LONGEST_BEAT);
        self.lease = millis(welcome.lease_ms).clamp(self.beat * 2, LONGEST_BEAT * 10);
        info!(%controller, version = welcome.version, "the stream with the controller stands");
        self.agent.show(Connection::Connected(controller.to_string()));
    }

    /// Takes a part of a table; a whole one is put in force.
    fn take(&mut self, part: proto::Table) -> Result<(), Ended> {
        match self.assembler.take(part, &self.agent.table) {
            Ok(None) => Ok(()),
            Ok(Some(table)) => {
                let table = Arc::new(table);
                self.agent.table = Arc::clone(&table);
                let (proxy, config) = (Arc::clone(&self.agent.proxy), Arc::clone(&table.config));
                // As a task of its own: a stream that breaks does not leave a table half in force.
                let before = self.applying.take();
                let task = tokio::spawn(async move {
                    if let Some((_, before)) = before {
                        let _ = before.await;
                    }
                    proxy.apply(config).await
                });
                self.applying = Some((table, task));
                Ok(())
            }
            Err(error) => {
                // All of it, please.
                self.agent.table = Arc::default();
                Err(Ended::Failed(error.to_string()))
            }
        }
    }

    async fn applied(&mut self, applied: Option<Applied>) -> Result<(), Ended> {
        let Some((table, _)) = self.applying.take() else { return Ok(()) };
        let applied = applied.ok_or_else(|| Ended::Failed("the proxy could not take the table".into()))?;
        debug!(revision = applied.revision, "a table is in force");
        show(&self.agent.status, &applied, &table);
        self.acknowledge(&applied, &table).await?;
        self.agent.kept.send_replace(table);
        Ok(())
    }

    /// Something about the table in force has changed, for example that a port is free now.
    async fn reported(&mut self, applied: Applied) -> Result<(), Ended> {
        let table = Arc::clone(&self.agent.table);
        if applied.revision != table.revision {
            return Ok(());
        }
        show(&self.agent.status, &applied, &table);
        self.acknowledge(&applied, &table).await
    }

    async fn acknowledge(&self, applied: &Applied, table: &Table) -> Result<(), Ended> {
        let problem = |(gateway, problem): &(GatewayName, String)| proto::Problem {
            gateway: gateway.to_string(),
            problem: problem.clone(),
        };
        let problems = table.problems.iter().chain(&applied.problems).map(problem).collect();
        self.send(from_agent::Kind::Ack(proto::Ack { revision: applied.revision, problems })).await
    }

    async fn beat(&mut self) -> Result<(), Ended> {
        self.send(from_agent::Kind::Beat(proto::Beat {})).await?;
        self.beats = self.beats.wrapping_add(1);
        if self.beats.is_multiple_of(CALM_BEATS) {
            self.show_token().await?;
        }
        let (now, budgets) = (self.agent.proxy.targets(), self.agent.proxy.budgets());
        if (now == self.targets && budgets == self.budgets)
            || (!self.beats.is_multiple_of(CALM_BEATS) && same_but_requests(&now, &self.targets))
        {
            return Ok(());
        }
        self.targets.clone_from(&now);
        self.budgets.clone_from(&budgets);
        let mut budgets: Vec<proto::Budget> = budgets.into_iter().map(convert::budget).collect();
        let mut left: Vec<proto::Target> = now.into_iter().map(convert::target).collect();
        loop {
            let rest = left.split_off(left.len().min(MOST_TARGETS));
            let last = rest.is_empty();
            let budgets = if last { std::mem::take(&mut budgets) } else { Vec::new() };
            self.send(from_agent::Kind::Targets(proto::Targets { targets: left, last, budgets })).await?;
            if last {
                return Ok(());
            }
            left = rest;
        }
    }

    /// Tokens of a cluster are renewed on the disk, long before they expire.
    async fn show_token(&mut self) -> Result<(), Ended> {
        match self.agent.token() {
            Ok(token) if token != self.token => {
                let text = token.to_str().unwrap_or_default().trim_start_matches(BEARER).to_owned();
                self.token = token;
                self.send(from_agent::Kind::Token(proto::Token { token: text })).await
            }
            // One that cannot be read now is told when the stream breaks.
            _ => Ok(()),
        }
    }

    /// Looks at what was counted, and reports it unless a report is under way.
    async fn report(&mut self) -> Result<(), Ended> {
        {
            let telemetry = Arc::clone(&self.agent.telemetry);
            let mut counts = self.agent.counts();
            let deltas = counts.reader.read(&telemetry, self.all_open);
            counts.outbox.add(deltas);
            counts.outbox.note(self.agent.proxy.incidents());
        }
        self.all_open = false;
        self.next_report().await
    }

    async fn next_report(&self) -> Result<(), Ended> {
        let report = self.agent.counts().outbox.next();
        match report {
            Some(report) => self.send(from_agent::Kind::Report(report)).await,
            None => Ok(()),
        }
    }

    /// Tries a condition on the last requests of a gateway. They stay here.
    async fn try_condition(&self, trial: proto::Trial) -> Result<(), Ended> {
        let most = usize::try_from(trial.most).unwrap_or(MOST_TRIED).min(MOST_TRIED);
        let gateway = GatewayName::parse(&trial.gateway).ok();
        let condition = Condition::parse(&trial.condition).ok();
        let tried = gateway
            .zip(condition)
            .and_then(|(gateway, condition)| self.agent.proxy.try_condition(&gateway, &condition, most));
        let tried = proto::Tried {
            number: trial.number,
            known: tried.is_some(),
            requests: tried.into_iter().flatten().take(most).map(convert::tried_request).collect(),
        };
        self.send(from_agent::Kind::Tried(tried)).await
    }

    async fn goodbye(self, mut from_controller: tonic::Streaming<proto::FromController>) -> Ended {
        let _ = self.send(from_agent::Kind::Goodbye(proto::Goodbye {})).await;
        drop(self.to_controller);
        // The controller ends the stream when it has heard.
        while let Ok(Some(_)) = from_controller.message().await {}
        Ended::Stopped
    }

    async fn send(&self, kind: from_agent::Kind) -> Result<(), Ended> {
        match timeout(self.lease, self.to_controller.send(message(kind))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Failed("it has ended the stream".into())),
            Err(_) => Err(Ended::Failed("it does not read".into())),
        }
    }
}

/// The outcome of the table on its way; stays pending without one.
async fn outcome(applying: &mut Option<(Arc<Table>, JoinHandle<Applied>)>) -> Option<Applied> {
    match applying {
        Some((_, task)) => task.await.ok(),
        None => std::future::pending().await,
    }
}

fn same_but_requests(now: &[TargetState], before: &[TargetState]) -> bool {
    let plain = |target: &TargetState| TargetState { in_flight: 0, pending: 0, ..target.clone() };
    now.len() == before.len() && now.iter().zip(before).all(|(now, before)| plain(now) == plain(before))
}

fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn ended(status: &Status) -> Ended {
    match (status.code(), status.message()) {
        (Code::FailedPrecondition, NOT_LEADER) => Ended::NotLeader,
        (_, "") => Ended::Failed(status.code().description().to_owned()),
        (_, text) => Ended::Failed(text.to_owned()),
    }
}

fn message(kind: from_agent::Kind) -> FromAgent {
    FromAgent { kind: Some(kind) }
}
