//! The agents of one environment, as the controller knows them: who is there, what each serves, what each counted.
//!
//! ```text
//!             enter                    gone (the stream broke)          a lease without a word
//!   (new) ----------------> connected ------------------------> away ----------------------------> lost
//!     |                                                          ^
//!     +---- expect: it is there, and has yet to come ------------+
//!                              ^  |                               |    nobody waits for it; named     |
//!                              |  +-- Goodbye --> (left)          |                                   |
//!                              +------------- enter --------------+-----------------------------------+--> (left)
//! ```
//!
//! Time is passed in. What the environment is told, it is told under the lock, so it hears things in the order in which they
//! happen.

mod counted;
pub(crate) mod tried;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::name::{GatewayName, RoutePath};
use routing::config::RoutingConfig;
use telemetry::{Delta, Remote, Telemetry};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::server::Lease;
use crate::table::Encoded;
use crate::{Budget, Environment, Incident, TargetState};
use counted::Counted;
use tried::Question;
pub use tried::Tried;

/// Agents of one environment: more than any has nodes.
const MOST_AGENTS: usize = 2_000;

/// The agents of one environment.
pub struct Fleet {
    name: String,
    environment: Arc<dyn Environment>,
    lease: Lease,
    members: Mutex<Members>,
    /// The newest table, ready to be sent: written once for all agents.
    encoded: Mutex<(Arc<RoutingConfig>, Arc<Encoded>)>,
    closed: CancellationToken,
}

#[derive(Default)]
struct Members {
    by_name: BTreeMap<String, Member>,
    counted: Counted,
    sessions: u64,
}

struct Member {
    instance: String,
    version: String,
    /// The stream that speaks for it, if any.
    session: Option<Session>,
    /// Where that stream takes questions, if the agent answers any.
    questions: Option<mpsc::Sender<Question>>,
    lost: bool,
    heard: Instant,
    revision: Option<u64>,
    targets: Vec<TargetState>,
    budgets: Vec<Budget>,
    remote: Remote,
}

/// A stream. There is one for an agent at most: an older one ends.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) number: u64,
    /// Cancelled when another stream takes over.
    pub(crate) superseded: CancellationToken,
}

/// How an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// There is a stream.
    Connected,
    /// The stream broke less than a lease ago; changes still wait for it.
    Away,
    /// Nobody waits for it. It may go on serving its last table.
    Lost,
}

/// An agent, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// Name.
    pub name: String,
    /// Version of Vamp that it runs; empty until it has said so.
    pub version: String,
    /// How it is.
    pub state: AgentState,
    /// Revision that it serves.
    pub revision: Option<u64>,
    /// How long it has been silent.
    pub silent: Duration,
}

/// Why an agent cannot take part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("another agent is connected as '{0}': give each a name of its own (--name)")]
    NameTaken(String),
    #[error("there are {MOST_AGENTS} agents already")]
    Full,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It said so.
    Goodbye,
    /// Without a word.
    Broken,
    /// It was silent for too long, or did not read.
    Silent,
}

impl Fleet {
    pub(crate) fn new(name: &str, environment: Arc<dyn Environment>, lease: Lease) -> Self {
        Self {
            name: name.to_owned(),
            environment,
            lease,
            members: Mutex::default(),
            encoded: Mutex::default(),
            closed: CancellationToken::new(),
        }
    }

    /// Name of the environment.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All agents that are known, by name.
    pub fn agents(&self) -> Vec<AgentStatus> {
        let now = Instant::now();
        let status = |(name, member): (&String, &Member)| AgentStatus {
            name: name.clone(),
            version: member.version.clone(),
            state: member.state(),
            revision: member.revision,
            silent: now.saturating_duration_since(member.heard),
        };
        self.members().by_name.iter().map(status).collect()
    }

    /// All targets, as the agents see them that are connected: up when one of them reaches it, ejected when one of them leaves it out, numbers summed up. By
    /// gateway, route and id.
    pub fn targets(&self) -> Vec<TargetState> {
        let members = self.members();
        let mut all: BTreeMap<(&GatewayName, &RoutePath, &str, std::net::SocketAddr), TargetState> =
            BTreeMap::new();
        for target in members.by_name.values().flat_map(|member| &member.targets) {
            let key = (&target.gateway, &target.route, target.id.as_str(), target.address);
            all.entry(key)
                .and_modify(|sum| {
                    sum.up |= target.up;
                    sum.in_flight = sum.in_flight.saturating_add(target.in_flight);
                    sum.pending = sum.pending.saturating_add(target.pending);
                    sum.ejected |= target.ejected;
                    sum.ejections = sum.ejections.saturating_add(target.ejections);
                })
                .or_insert_with(|| target.clone());
        }
        all.into_values().collect()
    }

    /// What the agents that are connected may still try again, summed up. By gateway.
    pub fn budgets(&self) -> Vec<Budget> {
        let members = self.members();
        let mut all: BTreeMap<&GatewayName, Budget> = BTreeMap::new();
        for budget in members.by_name.values().flat_map(|member| &member.budgets) {
            all.entry(&budget.gateway)
                .and_modify(|sum| {
                    sum.retries_left = sum.retries_left.saturating_add(budget.retries_left);
                    sum.retries_refused = sum.retries_refused.saturating_add(budget.retries_refused);
                })
                .or_insert_with(|| budget.clone());
        }
        all.into_values().collect()
    }

    /// An agent that is known to be there, for example because its pod is ready: as if its stream had just broken, unless it is
    /// known already.
    pub fn expect(&self, agent: &str) {
        let mut members = self.members();
        if !members.by_name.contains_key(agent) && members.by_name.len() < MOST_AGENTS {
            members.by_name.insert(agent.to_owned(), Member::new("", Instant::now()));
            self.environment.joined(agent);
        }
    }

    /// An agent that is known to be gone for good, for example because its pod is: it is not named any more. False while it has a
    /// stream.
    pub fn forget(&self, agent: &str) -> bool {
        let mut members = self.members();
        match members.by_name.get(agent) {
            Some(member) if member.session.is_some() => return false,
            Some(_) => self.remove(&mut members, agent),
            None => {}
        }
        true
    }

    /// Silence after which nobody waits for an agent.
    pub fn patience(&self) -> Duration {
        self.lease.expires
    }

    pub(crate) fn published(&self) -> watch::Receiver<Arc<RoutingConfig>> {
        self.environment.published()
    }

    /// Ends when the environment is served here no more.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// A configuration, ready to be sent.
    pub(crate) fn encoded(&self, config: &Arc<RoutingConfig>) -> Arc<Encoded> {
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that lags behind must not turn back what others have.
        let newer = encoded.0.revision > config.revision;
        if !newer && !Arc::ptr_eq(&encoded.0, config) {
            let next = Arc::new(Encoded::new(config, &encoded.1));
            *encoded = (Arc::clone(config), next);
        }
        Arc::clone(&encoded.1)
    }

    /// An agent's stream begins.
    pub(crate) fn enter(
        &self,
        name: &str,
        instance: &str,
        version: &str,
        now: Instant,
    ) -> Result<Session, Refused> {
        let mut members = self.members();
        let known = members.by_name.get(name);
        // The same process comes again when its stream broke, which it may notice first. Another one has to wait for the lease.
        if known.is_some_and(|known| known.session.is_some() && known.instance != instance) {
            return Err(Refused::NameTaken(name.to_owned()));
        }
        if known.is_none() && members.by_name.len() >= MOST_AGENTS {
            return Err(Refused::Full);
        }
        members.sessions += 1;
        let session = Session { number: members.sessions, superseded: CancellationToken::new() };
        let member = members.by_name.entry(name.to_owned()).or_insert_with(|| Member::new(instance, now));
        if member.instance != instance {
            member.release();
            member.revision = None;
            member.instance = instance.to_owned();
        }
        if let Some(before) = member.session.replace(session.clone()) {
            before.superseded.cancel();
        }
        member.version = version.to_owned();
        member.questions = None;
        member.lost = false;
        member.heard = now;
        self.environment.joined(name);
        Ok(session)
    }

    /// Something came from an agent.
    pub(crate) fn heard(&self, name: &str, session: &Session, now: Instant) {
        if let Some(member) = self.members().of(name, session) {
            member.heard = now;
        }
    }

    pub(crate) fn acknowledge(
        &self,
        name: &str,
        session: &Session,
        revision: u64,
        problems: Vec<(GatewayName, String)>,
    ) {
        let mut members = self.members();
        let Some(member) = members.of(name, session) else { return };
        member.revision = Some(revision);
        self.environment.acknowledge(name, revision, problems);
    }

    /// Takes a report over, once.
    pub(crate) fn report(
        &self,
        name: &str,
        session: &Session,
        sequence: u64,
        deltas: &[Delta],
        incidents: Vec<Incident>,
    ) {
        let telemetry = self.telemetry();
        let mut members = self.members();
        let members = &mut *members;
        // Not that of a stream which another one took over: there the report comes again.
        let member = members.by_name.get_mut(name).filter(|member| member.is(session));
        let Some(member) = member.filter(|member| members.counted.is_new(&member.instance, sequence)) else {
            return;
        };
        if !incidents.is_empty() {
            self.environment.noticed(name, incidents);
        }
        let too_many = deltas.iter().filter(|delta| !telemetry.absorb(&mut member.remote, delta)).count();
        if too_many > 0 {
            tracing::warn!(
                environment = self.name,
                agent = name,
                too_many,
                "there are too many series to count more"
            );
        }
    }

    pub(crate) fn set_targets(
        &self,
        name: &str,
        session: &Session,
        targets: Vec<TargetState>,
        budgets: Vec<Budget>,
    ) {
        if let Some(member) = self.members().of(name, session) {
            member.targets = targets;
            member.budgets = budgets;
        }
    }

    /// An agent's stream takes questions from now on.
    pub(crate) fn answers(&self, name: &str, session: &Session, questions: mpsc::Sender<Question>) {
        if let Some(member) = self.members().of(name, session) {
            member.questions = Some(questions);
        }
    }

    /// An agent's stream has ended.
    pub(crate) fn gone(&self, name: &str, session: &Session, ending: Ending) {
        let mut members = self.members();
        let Some(member) = members.of(name, session) else { return };
        member.session = None;
        member.questions = None;
        match ending {
            Ending::Goodbye => self.remove(&mut members, name),
            Ending::Broken => {}
            Ending::Silent => self.lose(name, member),
        }
    }

    /// Looks at who has been away for too long. Call it a few times in a lease.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut members = self.members();
        let silent = |member: &Member| now.saturating_duration_since(member.heard);
        let away = members.by_name.iter_mut().filter(|(_, member)| member.session.is_none() && !member.lost);
        for (name, member) in away {
            if silent(member) >= self.lease.expires {
                self.lose(name, member);
            }
        }
        let forgotten = members
            .by_name
            .iter()
            .filter(|(_, member)| member.lost && silent(member) >= self.lease.forgotten);
        let forgotten: Vec<String> = forgotten.map(|(name, _)| name.clone()).collect();
        for name in forgotten {
            self.remove(&mut members, &name);
        }
    }

    /// The environment is served here no more: its streams end.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        let mut members = self.members();
        let names: Vec<String> = members.by_name.keys().cloned().collect();
        for name in names {
            self.remove(&mut members, &name);
        }
    }

    fn lose(&self, name: &str, member: &mut Member) {
        tracing::warn!(
            environment = self.name,
            agent = name,
            "the agent is lost; it may go on serving an older table"
        );
        member.lost = true;
        member.release();
        self.environment.lost(name);
    }

    fn remove(&self, members: &mut Members, name: &str) {
        if let Some(mut member) = members.by_name.remove(name) {
            member.release();
            if let Some(session) = member.session {
                session.superseded.cancel();
            }
            self.environment.left(name);
        }
    }

    fn telemetry(&self) -> Arc<Telemetry> {
        self.environment.telemetry()
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // Nothing panics half-way through a change of the members.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet")
            .field("name", &self.name)
            .field("agents", &self.agents())
            .finish_non_exhaustive()
    }
}

impl Members {
    /// The member that a stream speaks for; `None` when another one took over.
    fn of(&mut self, name: &str, session: &Session) -> Option<&mut Member> {
        self.by_name.get_mut(name).filter(|member| member.is(session))
    }
}

impl Member {
    fn new(instance: &str, now: Instant) -> Self {
        Self {
            instance: instance.to_owned(),
            version: String::new(),
            session: None,
            questions: None,
            lost: false,
            heard: now,
            revision: None,
            targets: Vec::new(),
            budgets: Vec::new(),
            remote: Remote::default(),
        }
    }

    fn is(&self, session: &Session) -> bool {
        self.session.as_ref().is_some_and(|own| own.number == session.number)
    }

    fn state(&self) -> AgentState {
        match (&self.session, self.lost) {
            (Some(_), _) => AgentState::Connected,
            (None, false) => AgentState::Away,
            (None, true) => AgentState::Lost,
        }
    }

    /// What it had open is part of no figure any more; what it counted stays.
    fn release(&mut self) {
        self.remote.release();
        self.targets = Vec::new();
        self.budgets = Vec::new();
    }
}

#[cfg(test)]
mod tests;
