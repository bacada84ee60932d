//! The task that carries the election out.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Timing;
use super::mark::Mark;
use super::object::{self, Lease, Place};
use super::step::{Election, Moment, Step};
use crate::connect::Cluster;
use crate::explain::{Attempt, explain, status};

/// Stands between the name of a replica and what makes it unique.
const SEPARATOR: char = '_';

/// How long giving the Lease back may take; after that it runs out by itself.
const LEAVE: Duration = Duration::from_secs(5);

/// Who a candidate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(String);

impl Identity {
    /// A replica called `name`, for people; `unique` tells one start of it from another.
    pub fn new(name: &str, unique: &str) -> Self {
        Self(format!("{name}{SEPARATOR}{unique}"))
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        name(&self.0)
    }
}

fn name(identity: &str) -> &str {
    identity.rsplit_once(SEPARATOR).map_or(identity, |(name, _)| name)
}

/// What is elected, and who takes part.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// This candidate.
    pub identity: Identity,
    /// The pod that this process runs in, in the namespace of the Lease. It bears the label
    /// [`LEADER_LABEL`](super::mark::LEADER_LABEL) while this process leads.
    pub pod: Option<String>,
    /// How long things take.
    pub timing: Timing,
}

/// How the election stands, as this candidate sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// True while this process leads, and so no other can.
    pub leads: bool,
    /// Name of the replica that holds the Lease, as far as is known.
    pub leader: Option<String>,
    /// True while the Lease can be read and written: this process is able to take over.
    pub able: bool,
    /// Why not.
    pub problem: Option<String>,
}

/// A candidate of an election.
#[derive(Debug)]
pub struct Candidate {
    standing: watch::Receiver<Standing>,
    leave: CancellationToken,
    tasks: JoinSet<()>,
}

impl Candidate {
    /// Takes part from now on, inside the present runtime.
    pub fn start(cluster: &Cluster, settings: Settings) -> Self {
        let Settings { namespace, identity, pod, timing } = settings;
        let (sender, standing) = watch::channel(Standing::default());
        let (leave, news) = (CancellationToken::new(), Arc::new(Notify::new()));
        let place = Place { client: cluster.client.clone(), namespace: namespace.clone() };
        let mut tasks = JoinSet::new();
        let task = Task {
            place: place.clone(),
            election: Election::new(identity.0, timing),
            timing,
            start: Instant::now(),
            acquired: String::new(),
            problem: None,
            read: false,
            news: Arc::clone(&news),
            leave: leave.clone(),
            standing: sender,
        };
        let ends = task.run();
        let watched = standing.clone();
        let client = cluster.client.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = ends => {}
                () = place.watch(news) => {}
            }
        });
        if let Some(pod) = pod {
            tasks.spawn(Mark { client, namespace, pod }.run(watched));
        }
        Self { standing, leave, tasks }
    }

    /// How it stands; always the newest.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Gives the Lease back, if this process has it, so that another takes over at once. What only a leader does must have
    /// ended before.
    pub async fn leave(mut self) {
        self.leave.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(LEAVE, all).await.is_err() {
            warn!(
                "the Lease could not be given back in time; another replica takes over when it has run out"
            );
        }
    }
}

struct Task {
    place: Place,
    election: Election,
    timing: Timing,
    /// Where moments are counted from.
    start: Instant,
    /// Since when the Lease has its holder, in the holder's words.
    acquired: String,
    problem: Option<String>,
    /// The Lease was read at least once.
    read: bool,
    news: Arc<Notify>,
    leave: CancellationToken,
    standing: watch::Sender<Standing>,
}

impl Task {
    /// Runs until the Lease was given back.
    async fn run(mut self) {
        let mut leaving = false;
        loop {
            self.show();
            match self.election.step(self.now()) {
                Step::Read => self.read().await,
                Step::Write { holder, duration, transitions, takes, version } => {
                    if takes {
                        self.acquired = object::micro(Timestamp::now());
                    }
                    let spec = object::spec(&holder, duration, transitions, &self.acquired, Timestamp::now());
                    self.write(&spec, version.as_deref()).await;
                }
                Step::Wait(_) if leaving && !self.election.leads(self.now()) => return,
                Step::Wait(until) => {
                    tokio::select! {
                        () = sleep_until(self.start + until) => {}
                        () = self.news.notified() => self.election.news(self.start.elapsed()),
                        () = self.leave.cancelled(), if !leaving => {}
                    }
                }
            }
            if !leaving && self.leave.is_cancelled() {
                leaving = true;
                self.election.leave();
            }
        }
    }

    fn now(&self) -> Moment {
        self.start.elapsed()
    }

    /// How long a request may take: not past the moment when leading ends.
    fn patience(&self, now: Moment) -> Duration {
        let usual = self.timing.renew_deadline / 2;
        let left =
            self.election.ends().filter(|_| self.election.leads(now)).map(|ends| ends.saturating_sub(now));
        left.map_or(usual, |left| left.min(usual))
    }

    async fn read(&mut self) {
        let answer = timeout(self.patience(self.now()), self.place.read()).await;
        match answer {
            Ok(Ok(found)) => {
                if let Some(acquired) = found.as_ref().and_then(Lease::acquired) {
                    self.acquired = acquired.to_owned();
                }
                self.election.read(found.as_ref().map(Lease::record), self.start.elapsed());
                self.read = true;
                self.problem = None;
            }
            Ok(Err(error)) => self.failed("get", &error),
            Err(_) => self.failed("get", &slow()),
        }
    }

    async fn write(&mut self, spec: &serde_json::Value, version: Option<&str>) {
        let sent = self.now();
        let verb = if version.is_some() { "update" } else { "create" };
        let answer = timeout(self.patience(sent), self.place.write(spec, version)).await;
        match answer {
            Ok(Ok(lease)) => {
                self.election.written(lease.record(), sent, self.start.elapsed());
                self.read = true;
                self.problem = None;
            }
            // Somebody else has written, created or deleted it meanwhile.
            Ok(Err(error)) if matches!(status(&error), Some(404 | 409)) => {
                self.election.outdated(self.start.elapsed());
            }
            Ok(Err(error)) => self.failed(verb, &error),
            Err(_) => self.failed(verb, &slow()),
        }
    }

    fn failed(&mut self, verb: &str, error: &kube::Error) {
        self.election.failed(self.start.elapsed());
        let message =
            explain(error, Attempt { verb, resource: "leases", namespace: Some(&self.place.namespace) });
        if self.problem.as_ref() != Some(&message) {
            warn!("{message}");
            self.problem = Some(message);
        }
    }

    fn show(&self) {
        let now = self.now();
        let standing = Standing {
            leads: self.election.leads(now),
            leader: self.election.holder().map(|holder| name(holder).to_owned()),
            able: self.read && self.problem.is_none(),
            problem: self.problem.clone(),
        };
        self.standing.send_if_modified(|shown| {
            if *shown == standing {
                return false;
            }
            if shown.leads != standing.leads {
                let leader = standing.leader.as_deref().unwrap_or("nobody");
                match standing.leads {
                    true => info!("this replica leads"),
                    false => info!(leader, "this replica does not lead any more"),
                }
            } else if shown.leader != standing.leader
                && let Some(leader) = &standing.leader
            {
                info!(leader, "another replica leads");
            }
            *shown = standing;
            true
        });
    }
}

fn slow() -> kube::Error {
    kube::Error::Service("the API server takes too long".into())
}
