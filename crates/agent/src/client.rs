//! An agent's end: serves the last good table from the start, follows a controller as soon as there is one.
//!
//! ```text
//!           +--> stream (client/stream.rs): tables in, acknowledgements and reports out --broken--+
//!  start ---|                                                                                     |
//!           +<-- pause (client/backoff.rs), the next controller <---------------------------------+
//!   |
//!   +--> keep: the table in force, to the disk (client/cache.rs)
//!   +--> every second: windows; now and then: series of what is gone
//! ```

mod backoff;
pub(crate) mod cache;
pub(crate) mod connect;
mod outbox;
mod stream;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use routing::config::RoutingConfig;
use telemetry::{Key, Reader, Telemetry};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::table::Table;
use crate::{Applied, Proxy};
use backoff::Backoff;
use cache::Cache;
use connect::Controller;
use outbox::Outbox;
use stream::Ended;

/// Between two writes of the table: a disk is not for every change.
const KEEP_PAUSE: Duration = Duration::from_secs(1);
/// Seconds between two looks at series of what is gone.
const TIDY_SECONDS: u32 = 60;
/// A stream that stood for so long was a good one: when it breaks, the next attempt is soon.
const STOOD: Duration = Duration::from_secs(5);

/// Settings of an agent.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Where controllers are; asked in turn. None: what is on disk is served.
    pub controllers: Vec<Controller>,
    /// The environment to serve; on Kubernetes the namespace.
    pub environment: String,
    /// Name of this agent, unique in its environment.
    pub name: String,
    /// Version of Vamp, for the controller to tell.
    pub version: String,
    /// File with the token that proves who this is; read for every connection.
    pub token_file: PathBuf,
    /// File with the certificates of the authorities that may vouch for a controller, PEM; read for every connection.
    pub ca_file: PathBuf,
    /// Time between two reports of what was counted.
    pub report_period: Duration,
}

/// Where chance comes from.
pub type Dice = Box<dyn FnMut() -> u64 + Send + Sync>;

/// How an agent is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Revision in force; `None` before the first table.
    pub revision: Option<u64>,
    /// What the proxy cannot do.
    pub problems: Vec<String>,
    /// The stream, if any.
    pub connection: Connection,
}

impl Status {
    /// True once a table, from disk or fresh, is in force.
    pub fn ready(&self) -> bool {
        self.revision.is_some()
    }
}

/// Whether there is a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Connection {
    /// Not yet.
    #[default]
    Beginning,
    /// With this controller.
    Connected(String),
    /// No, and why.
    Broken(String),
}

/// A running agent.
#[derive(Debug)]
pub struct Client {
    status: watch::Receiver<Status>,
    stop: CancellationToken,
    following: JoinHandle<()>,
    keeping: JoinHandle<()>,
    ticking: JoinHandle<()>,
}

/// What was counted and is on its way.
#[derive(Debug, Default)]
struct Counts {
    reader: Reader,
    outbox: Outbox,
}

struct Agent {
    settings: ClientSettings,
    proxy: Arc<dyn Proxy>,
    telemetry: Arc<Telemetry>,
    counts: Arc<Mutex<Counts>>,
    status: watch::Sender<Status>,
    /// The table in force, for the disk.
    kept: watch::Sender<Arc<Table>>,
    /// What the controller is told that this agent has.
    table: Arc<Table>,
    instance: String,
    dice: Dice,
    backoff: Backoff,
    stop: CancellationToken,
}

impl Client {
    /// Starts an agent. When this returns, a table that was on disk is in force; without a `cache`, nothing is kept.
    pub async fn start(
        settings: ClientSettings,
        proxy: Arc<dyn Proxy>,
        telemetry: Arc<Telemetry>,
        cache: Option<Cache>,
        mut dice: Dice,
    ) -> Self {
        let cache = cache.map(Arc::new);
        let status = watch::Sender::new(Status::default());
        let loaded = load(cache.clone()).await;
        if let Some(table) = &loaded {
            let applied = proxy.apply(Arc::clone(&table.config)).await;
            info!(revision = table.revision, "the table on disk is in force");
            show(&status, &applied, table);
        }
        let table = Arc::new(loaded.unwrap_or_default());
        let (kept, keep) = watch::channel(Arc::clone(&table));
        let stop = CancellationToken::new();
        let counts = Arc::<Mutex<Counts>>::default();
        let ticking = tokio::spawn(tick(Arc::clone(&telemetry), Arc::clone(&counts), kept.subscribe()));
        let keeping = tokio::spawn(keep_on_disk(cache, keep));
        let receiver = status.subscribe();
        let agent = Agent {
            instance: format!("{:016x}{:016x}", dice(), dice()),
            settings,
            proxy,
            telemetry,
            counts,
            status,
            kept,
            table,
            dice,
            backoff: Backoff::default(),
            stop: stop.clone(),
        };
        let following = tokio::spawn(agent.run());
        Self { status: receiver, stop, following, keeping, ticking }
    }

    /// How it is, from now on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Reports what is left to report, takes leave, and ends. To be called when the proxy has drained; takes `patience` at most.
    pub async fn stop(self, patience: Duration) {
        self.stop.cancel();
        let mut following = self.following;
        if timeout(patience, &mut following).await.is_err() {
            warn!("what was counted last could not be reported");
            following.abort();
            let _ = following.await;
        }
        // Ends by itself: nobody has tables for it any more.
        if timeout(patience, self.keeping).await.is_err() {
            warn!("the last table could not be kept in time");
        }
        self.ticking.abort();
    }
}

impl Agent {
    async fn run(mut self) {
        if self.settings.controllers.is_empty() {
            self.show(Connection::Broken("no controller is given (--controller)".into()));
            self.stop.clone().cancelled().await;
            return;
        }
        loop {
            let mut not_leader = false;
            for controller in self.settings.controllers.clone() {
                let begun = Instant::now();
                let ended = self.follow(&controller).await;
                if begun.elapsed() >= STOOD {
                    self.backoff.success();
                }
                match ended {
                    Ended::Stopped => return,
                    Ended::NotLeader => {
                        not_leader = true;
                        self.broken(&controller, "it does not lead");
                    }
                    Ended::Failed(reason) => {
                        not_leader = false;
                        self.broken(&controller, &reason);
                    }
                }
                if self.stop.is_cancelled() && !self.has_counts() {
                    return;
                }
            }
            let pause = self.backoff.pause(not_leader, (self.dice)());
            tokio::select! {
                () = sleep(pause) => {}
                () = self.done() => return,
            }
        }
    }

    /// Tries all addresses of a controller until one has a stream, and follows that.
    async fn follow(&mut self, controller: &Controller) -> Ended {
        let addresses = tokio::select! {
            addresses = connect::addresses(controller) => addresses,
            () = self.done() => return Ended::Stopped,
        };
        let addresses = match addresses {
            Ok(addresses) => addresses,
            Err(error) => return Ended::Failed(error.to_string()),
        };
        let mut ended = Ended::NotLeader;
        for address in addresses {
            let ca_file = self.settings.ca_file.clone();
            let channel = tokio::select! {
                channel = connect::connect(address, &ca_file) => channel,
                () = self.done() => return Ended::Stopped,
            };
            ended = match channel {
                Ok(channel) => self.stream(channel, controller).await,
                Err(error) => Ended::Failed(error.to_string()),
            };
            if matches!(ended, Ended::Stopped) {
                break;
            }
        }
        ended
    }

    /// Says once why there is no stream, not with every attempt.
    fn broken(&self, controller: &Controller, reason: &str) {
        let reason = format!("{controller}: {reason}");
        let connection = Connection::Broken(reason.clone());
        if self.status.borrow().connection != connection {
            warn!("no stream with the controller {reason}");
        }
        self.show(connection);
    }

    fn show(&self, connection: Connection) {
        self.status.send_if_modified(|status| {
            let other = status.connection != connection;
            status.connection = connection;
            other
        });
    }

    /// Ends when this agent is to end and has nothing left to report. One that has goes on trying, as long as it is let.
    async fn done(&self) {
        self.stop.cancelled().await;
        if self.has_counts() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether something was counted that no controller has acknowledged.
    fn has_counts(&self) -> bool {
        let mut counts = self.counts();
        let deltas = counts.reader.read(&self.telemetry, false);
        counts.outbox.add(deltas);
        counts.outbox.note(self.proxy.incidents());
        !counts.outbox.is_empty()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        locked(&self.counts)
    }
}

fn locked(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    // Differences are merged whole.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the outcome of a table visible.
fn show(status: &watch::Sender<Status>, applied: &Applied, table: &Table) {
    let of_table = table.problems.iter().chain(&applied.problems);
    let problems = of_table.map(|(gateway, problem)| format!("gateway '{gateway}': {problem}")).collect();
    status.send_if_modified(|status| {
        let before = status.clone();
        status.revision = Some(applied.revision);
        status.problems = problems;
        *status != before
    });
}

async fn load(cache: Option<Arc<Cache>>) -> Option<Table> {
    let cache = cache?;
    tokio::task::spawn_blocking(move || cache.load()).await.ok().flatten()
}

/// Writes every table to the disk, the newest when several came meanwhile, until there can be no other one.
async fn keep_on_disk(cache: Option<Arc<Cache>>, mut tables: watch::Receiver<Arc<Table>>) {
    let Some(cache) = cache else { return };
    let mut problem = None;
    let mut written = tables.borrow_and_update().digest;
    let mut revision = tables.borrow().revision;
    loop {
        let more = tables.changed().await.is_ok();
        let table = tables.borrow_and_update().clone();
        if table.digest != written || table.revision != revision {
            let (cache, table) = (Arc::clone(&cache), Arc::clone(&table));
            let (now, number) = (table.digest, table.revision);
            let stored = tokio::task::spawn_blocking(move || cache.store(&table)).await;
            let failed = match stored {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            if failed.is_none() {
                (written, revision) = (now, number);
            }
            if failed != problem {
                match &failed {
                    Some(error) => warn!(
                        "the table is not kept, a restart without a controller would serve an older one: {error}"
                    ),
                    None => info!("the table is kept again"),
                }
                problem = failed;
            }
        }
        if !more {
            return;
        }
        sleep(KEEP_PAUSE).await;
    }
}

/// Once a second: rolls the windows. Now and then: forgets series of what is gone.
async fn tick(telemetry: Arc<Telemetry>, counts: Arc<Mutex<Counts>>, tables: watch::Receiver<Arc<Table>>) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut left = TIDY_SECONDS;
    loop {
        second.tick().await;
        let now = Timestamp::now();
        telemetry.tick(now);
        left -= 1;
        if left == 0 {
            left = TIDY_SECONDS;
            let live = live(&tables.borrow().config);
            locked(&counts).reader.retain(&telemetry, &live, now);
        }
    }
}

/// The series of everything that can get traffic now.
fn live(config: &RoutingConfig) -> BTreeSet<Key> {
    let mut live = BTreeSet::new();
    for gateway in config.gateways.values() {
        live.insert(Key::Gateway(gateway.name.clone()));
        for route in &gateway.routes {
            live.insert(Key::Route(gateway.name.clone(), route.path.clone()));
            let ids = route.targets.iter().map(|target| target.id.clone());
            live.extend(ids.map(|id| Key::Instance(gateway.name.clone(), route.path.clone(), id)));
        }
    }
    live
}
