//! `vamp agent`: the proxy, led by a controller elsewhere. This file is the wiring.
//!
//! ```text
//! controller <--stream--> agent::Client --RoutingConfig--> proxy
//!                             |                              |
//!                        table on disk                   telemetry --differences--> controller
//! ```
//!
//! The small form of the controller runs one in its own process ([`Agent::start`]); it follows the leading controller as any
//! other does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::agent::{
    Applied, Budget, Cache, CacheError, Client, ClientSettings, Incident, TargetState, TriedRequest,
};
use anyhow::Context as _;
use futures_util::future::BoxFuture;
use model::condition::Condition;
use model::name::GatewayName;
use proxy::{Proxy, Sockets};
use routing::config::RoutingConfig;
use serde_json::{Value, json};
use telemetry::{Gauges, TargetGauge, Telemetry};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::certificates;
use crate::export::Export;
use crate::incidents;
use crate::process::{self, vital};
use crate::settings::{AgentSettings, FollowerSettings};
use crate::takeover::{self, Predecessor, Running, Service};

/// How long the last report and the leave-taking may take, after the drain.
const LEAVE: Duration = Duration::from_secs(3);
/// How long requests to the probes under way may take to finish.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);
/// How long an agent that takes over waits for its first table.
const FIRST_TABLE: Duration = Duration::from_secs(60);
/// An agent that is to end is out of all Services when no new connection came for this long.
const QUIET: Duration = Duration::from_secs(1);
/// How often it looks whether one came.
const LOOK: Duration = Duration::from_millis(100);
/// Between two reports of what was counted.
const REPORT_PERIOD: Duration = Duration::from_millis(500);

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn run(settings: AgentSettings) -> anyhow::Result<()> {
    process::log(&settings.log)?;
    process::runtime()?.block_on(async {
        let stopped = process::stop_signal()?;
        let drain = settings.follower.proxy.drain_timeout;
        let (data_dir, takeover) = (settings.follower.data_dir.clone(), settings.successor.takeover);
        takeover::run(Alone { settings }, &data_dir, takeover, stopped, drain).await
    })
}

/// How an agent in a process of its own is started, again if need be.
struct Alone {
    settings: AgentSettings,
}

impl Service for Alone {
    type Running = Serving;

    async fn start(
        &self,
        sockets: Sockets,
        predecessor: Option<&mut Predecessor>,
    ) -> anyhow::Result<Serving> {
        let settings = &self.settings;
        // Addresses first: what cannot be bound must not touch the data.
        let listener = takeover::listener(settings.admin_listen, &sockets).await.with_context(|| {
            format!("cannot listen on {} for probes (--admin-listen)", settings.admin_listen)
        })?;
        let admin = listener.local_addr().context("the address of the probes")?;
        let admin_socket = takeover::copy(&listener).context("the socket of the probes")?;
        let follows = predecessor.is_some();
        if let Some(predecessor) = predecessor {
            predecessor.release().await?;
        }
        let agent = Agent::start(Options::from(settings), &sockets).await?;
        if follows {
            // The one before has one: without a table there would be nobody to answer.
            agent.wait_for_table().await?;
        }
        let closing = CancellationToken::new();
        let probes = api::admin(Arc::new(Probe::of(&agent)));
        let probing = tokio::spawn(api::serve(listener, None, probes, closing.clone(), ADMIN_DRAIN));
        info!(%admin, virtual_hosts = %agent.virtual_hosts(), "the agent serves");
        let delay = settings.follower.drain_delay;
        Ok(Serving { agent, admin, admin_socket, closing, probing, delay })
    }
}

/// An agent with its probes.
struct Serving {
    agent: Agent,
    admin: SocketAddr,
    /// A copy, for a process that takes over.
    admin_socket: std::net::TcpListener,
    closing: CancellationToken,
    probing: JoinHandle<bool>,
    delay: Duration,
}

impl Running for Serving {
    fn announcement(&self) -> Value {
        json!({
            "admin": self.admin.to_string(),
            "virtual_hosts": self.agent.virtual_hosts().to_string(),
            "virtual_hosts_tls": self.agent.proxy.virtual_host_tls_address().map(|address| address.to_string()),
            "pid": std::process::id(),
        })
    }

    async fn sockets(&self) -> Result<Vec<std::net::TcpListener>, String> {
        let mut all = self.agent.proxy.sockets().await;
        all.push(self.admin_socket.try_clone().map_err(|error| error.to_string())?);
        Ok(all)
    }

    async fn release(self) -> Proxy {
        drop(self.admin_socket);
        self.closing.cancel();
        let _ = self.probing.await;
        self.agent.release().await
    }

    async fn stop(self, drain: Duration) {
        drop(self.admin_socket);
        let drain = self.agent.linger(self.delay, drain).await;
        self.agent.stop(drain).await;
        self.closing.cancel();
        let _ = self.probing.await;
    }
}

/// What an agent is started with.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The environment to serve; on Kubernetes the namespace.
    pub(crate) environment: String,
    /// Unique in its environment.
    pub(crate) name: String,
    /// Whom to follow, and how the proxy works.
    pub(crate) follower: FollowerSettings,
}

impl From<&AgentSettings> for Options {
    fn from(settings: &AgentSettings) -> Self {
        Self {
            environment: settings.environment(),
            name: settings.name(),
            follower: settings.follower.clone(),
        }
    }
}

/// A running agent.
pub(crate) struct Agent {
    client: Client,
    proxy: Proxy,
    telemetry: Arc<Telemetry>,
    virtual_hosts: SocketAddr,
    stopping: Arc<AtomicBool>,
    background: Vec<JoinHandle<()>>,
}

impl Agent {
    /// Starts the proxy and follows a controller. When this returns, a table that was on disk is in force.
    ///
    /// # Errors
    /// What could not be started, and what to do about it.
    pub(crate) async fn start(options: Options, sockets: &Sockets) -> anyhow::Result<Self> {
        let follower = options.follower;
        let cache = match Cache::open(&follower.data_dir, &options.environment) {
            Ok(cache) => Some(cache),
            Err(error @ CacheError::InUse(_)) => return Err(error.into()),
            // Traffic comes first: a broken disk is a problem of the next restart.
            Err(error) => {
                let error = anyhow::Error::new(error);
                warn!("no routing table is kept, a restart will need a controller (--data-dir): {error:#}");
                None
            }
        };
        // Else every gateway would be refused one by one, for want of a port.
        drop(TcpListener::bind((follower.listen.gateway_address, 0)).await.with_context(|| {
            format!("cannot open gateway ports on {} (--gateway-address)", follower.listen.gateway_address)
        })?);
        let mut settings = process::proxy_settings(&follower.proxy, &follower.listen, sockets);
        let export = Export::new(&follower.proxy, &options.name, &mut settings)?;
        let telemetry = Telemetry::new(settings.workers);
        let proxy = Proxy::start(settings, Arc::clone(&telemetry)).context("cannot start the proxy")?;
        vital::watch_proxy(&proxy);
        process::follow_hang_ups(&proxy)?;
        let virtual_hosts = proxy.virtual_host_address().context("the shared listener has no address")?;
        let (reported, reports) = watch::channel(applied(proxy.reported().borrow().clone()));
        let served = Served { proxy: proxy.clone(), reported: reports };
        let mut background = vec![tokio::spawn(pass_on(proxy.reported(), reported))];
        let settings = ClientSettings {
            controllers: follower.controller,
            environment: options.environment,
            name: options.name,
            version: env!("CARGO_PKG_VERSION").into(),
            token_file: follower.token_file,
            ca_file: follower.ca_file,
            report_period: REPORT_PERIOD,
        };
        let namespace = settings.environment.clone();
        info!(environment = settings.environment, name = settings.name, "an agent begins");
        let dice = Box::new(process::chance);
        let client = Client::start(settings, Arc::new(served), Arc::clone(&telemetry), cache, dice).await;
        background.push(tokio::spawn(give_back(client.status())));
        background.push(tokio::spawn(certificates::follow_from_pod(proxy.clone(), namespace)));
        let stopping = Arc::default();
        let mut agent = Self { client, proxy, telemetry, virtual_hosts, stopping, background };
        if let Some(export) = export {
            let probe = Probe::of(&agent);
            agent.background.push(tokio::spawn(export.run(move || api::Probe::metrics(&probe))));
        }
        Ok(agent)
    }

    /// Where virtual hosts are served.
    pub(crate) fn virtual_hosts(&self) -> SocketAddr {
        self.virtual_hosts
    }

    /// Goes on serving, but is not ready any more. On Kubernetes every node takes a pod that ends off its Services by itself and
    /// some time later; whoever it sends here meanwhile must not find a closed door. After `delay` that should have happened; as
    /// long as new connections come it has not, and the agent stays for up to half of `drain` more. What is left of `drain`.
    pub(crate) async fn linger(&self, delay: Duration, drain: Duration) -> Duration {
        self.stopping.store(true, Ordering::Relaxed);
        self.proxy.send_away();
        if delay.is_zero() {
            return drain;
        }
        tokio::time::sleep(delay).await;
        let begin = tokio::time::Instant::now();
        let mut door = Door::new(self.proxy.newcomers());
        while begin.elapsed() < drain / 2 {
            tokio::time::sleep(LOOK).await;
            if door.is_quiet(self.proxy.newcomers()) {
                break;
            }
        }
        if begin.elapsed() > QUIET + LOOK {
            let seconds = begin.elapsed().as_secs_f64();
            info!(seconds, "clients were still led here after the drain delay (--drain-delay)");
        }
        drain.saturating_sub(begin.elapsed())
    }

    /// Waits until a table, from disk or fresh, is in force.
    async fn wait_for_table(&self) -> anyhow::Result<()> {
        let mut status = self.client.status();
        let ready = tokio::time::timeout(FIRST_TABLE, status.wait_for(::agent::Status::ready)).await;
        match ready {
            Ok(Ok(_)) => Ok(()),
            _ => anyhow::bail!("no routing table came in time, and there is none on disk"),
        }
    }

    /// Leaves the controller and the disk to another process; the proxy serves on. What it counts from here on is reported to
    /// nobody.
    async fn release(self) -> Proxy {
        self.client.stop(LEAVE).await;
        self.background.iter().for_each(JoinHandle::abort);
        self.proxy
    }

    /// Stops in order: traffic drains, what was counted last is reported, the agent takes its leave.
    pub(crate) async fn stop(self, drain: Duration) {
        let drained = self.proxy.drain(drain).await;
        info!(?drained, "the proxy has stopped");
        self.client.stop(LEAVE).await;
        self.background.iter().for_each(JoinHandle::abort);
    }
}

/// Whether clients still find the way to an agent that is to end.
struct Door {
    newcomers: u64,
    /// Looks since the last of them.
    quiet: u32,
}

impl Door {
    fn new(newcomers: u64) -> Self {
        Self { newcomers, quiet: 0 }
    }

    /// True when nobody came for long enough, as counts say that are looked at every [`LOOK`].
    fn is_quiet(&mut self, newcomers: u64) -> bool {
        self.quiet = if newcomers == self.newcomers { self.quiet + 1 } else { 0 };
        self.newcomers = newcomers;
        LOOK * self.quiet >= QUIET
    }
}

/// The proxy as an agent's data plane.
struct Served {
    proxy: Proxy,
    reported: watch::Receiver<Applied>,
}

impl ::agent::Proxy for Served {
    fn apply(&self, config: Arc<RoutingConfig>) -> BoxFuture<'_, Applied> {
        Box::pin(async { applied(self.proxy.apply(config).await) })
    }

    fn reported(&self) -> watch::Receiver<Applied> {
        self.reported.clone()
    }

    fn targets(&self) -> Vec<TargetState> {
        let targets = self.proxy.targets().into_iter().map(|target| TargetState {
            gateway: target.gateway,
            route: target.route,
            id: target.id,
            name: target.name,
            address: target.address,
            up: target.up,
            in_flight: target.in_flight,
            pending: target.pending,
            ejected: target.condition == proxy::TargetCondition::Ejected,
            ejections: target.ejections,
        });
        targets.collect()
    }

    fn budgets(&self) -> Vec<Budget> {
        let budget = |gateway: proxy::GatewayStatus| Budget {
            gateway: gateway.gateway,
            retries_left: gateway.retries_left,
            retries_refused: gateway.retries_refused,
        };
        self.proxy.gateways().into_iter().map(budget).collect()
    }

    fn incidents(&self) -> Vec<Incident> {
        self.proxy.incidents().into_iter().map(incidents::as_told).collect()
    }

    fn try_condition(
        &self,
        gateway: &GatewayName,
        condition: &Condition,
        most: usize,
    ) -> Option<Vec<TriedRequest>> {
        let requests = self.proxy.try_condition(gateway, condition, most)?;
        let request = |request: proxy::TriedRequest| TriedRequest {
            method: request.method,
            path: request.path,
            matches: request.matches,
            age: request.age,
        };
        Some(requests.into_iter().map(request).collect())
    }
}

fn applied(applied: proxy::Applied) -> Applied {
    Applied { revision: applied.revision, problems: applied.problems }
}

/// Translates what the proxy reports, as long as both are there.
async fn pass_on(mut from: watch::Receiver<proxy::Applied>, to: watch::Sender<Applied>) {
    while from.changed().await.is_ok() {
        to.send_replace(applied(from.borrow_and_update().clone()));
    }
}

/// Gives memory back once things are quiet after a change.
async fn give_back(status: watch::Receiver<::agent::Status>) {
    let mut tidy = process::Tidy::default();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut seen = None;
    loop {
        second.tick().await;
        let revision = status.borrow().revision;
        let changed = std::mem::replace(&mut seen, revision) != revision;
        if tidy.tick(changed) {
            tokio::task::spawn_blocking(process::give_back);
        }
    }
}

/// What an agent says about itself.
struct Probe {
    status: watch::Receiver<::agent::Status>,
    proxy: Proxy,
    telemetry: Arc<Telemetry>,
    stopping: Arc<AtomicBool>,
}

impl Probe {
    fn of(agent: &Agent) -> Self {
        let (proxy, telemetry) = (agent.proxy.clone(), Arc::clone(&agent.telemetry));
        Self { status: agent.client.status(), proxy, telemetry, stopping: Arc::clone(&agent.stopping) }
    }
}

impl api::Probe for Probe {
    fn unready(&self) -> Option<String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some("the agent is stopping".into());
        }
        let status = self.status.borrow();
        if status.ready() {
            return None;
        }
        let why = match &status.connection {
            ::agent::Connection::Broken(reason) => format!("; no stream with the controller {reason}"),
            _ => String::new(),
        };
        Some(format!("no routing table is in force yet: there is none on disk, and none came{why}"))
    }

    fn metrics(&self) -> String {
        let gauge = |target: proxy::TargetStatus| TargetGauge {
            gateway: target.gateway,
            route: target.route,
            id: target.id,
            name: target.name,
            up: target.up,
            in_flight: target.in_flight.into(),
            pending: target.pending.into(),
            ejected: target.condition == proxy::TargetCondition::Ejected,
            ejections: target.ejections,
        };
        self.telemetry.prometheus(&Gauges {
            version: env!("CARGO_PKG_VERSION").into(),
            revision: self.status.borrow().revision.unwrap_or_default(),
            targets: self.proxy.targets().into_iter().map(gauge).collect(),
            gateways: process::budgets(&self.proxy),
            idle_connections: u64::try_from(self.proxy.idle_connections()).ok(),
            access_log_lost: self.proxy.access_log_lost(),
            spans_dropped: self.proxy.spans_dropped(),
            certificates: process::certificates(&self.proxy),
            handshakes: process::handshakes(&self.proxy),
            ..Gauges::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_quiet_after_a_second_without_newcomers() {
        let looks = (QUIET.as_millis() / LOOK.as_millis()) as u64;
        let mut door = Door::new(7);
        for look in 1..looks {
            assert!(!door.is_quiet(7), "after {look} looks");
        }
        assert!(!door.is_quiet(8), "somebody came");
        for look in 1..looks {
            assert!(!door.is_quiet(8), "after {look} more looks");
        }
        assert!(door.is_quiet(8));
    }
}
