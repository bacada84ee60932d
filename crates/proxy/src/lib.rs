//! The data plane: client connections in, target connections out, one immutable routing table between them.
//!
//! ```text
//!            apply(config)                      +--------------- worker (one thread each) ----------------+
//! control --> Proxy --> maintenance ==table==>  | listener -> connection -> exchange -> upstream          |
//!                        names, ports, health   |   (h1: heads, framing)      |  decide(table, head, dice)  |
//!                                               |                             +-> tunnel (upgrades, tcp)    |
//!                                               +--------------------------------------------------------+
//! ```
//!
//! What holds, whatever happens:
//! - A request reads one table. [`Proxy::apply`] returns when no request will any more be sent to a target because of an older one.
//! - A new table closes no connection; a port stays open as long as some gateway has it.
//! - A worker shares nothing with others that changes per request, except the positions of the splits and counters.
//! - What two readers might understand differently is refused, in requests and in responses (see [`h1`]).
//!
//! Start reading at [`Proxy`], then `connection`, then `exchange`.

mod accept;
mod access_log;
mod attempts;
mod attention;
mod budget;
mod buffers;
mod busy;
mod care;
mod connection;
mod descriptors;
mod dial;
mod exchange;
mod facts;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod h1;
mod h2;
mod health;
mod listener;
mod maintenance;
mod meter;
mod origin;
mod outlier;
mod pipes;
mod plan;
mod proxy_protocol;
mod recent;
mod relay;
mod reply;
mod resolve;
mod scratch;
mod secure;
mod settings;
mod slots;
mod socket;
mod sockets;
mod span;
mod stream;
mod table;
mod tcp;
mod timer;
mod tls;
mod trace;
mod tunnel;
mod upstream;
mod vital;
mod worker;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use model::condition::Condition;
use model::gateway::ClusterSource;
use model::name::{GatewayName, RoutePath};
use routing::config::RoutingConfig;
use routing::table::RoutingTable;
use telemetry::Telemetry;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

use access_log::AccessLogger;
use care::CareRules;
use descriptors::Descriptors;
use health::Care;
use maintenance::{Command, Maintenance};
use meter::Meters;
use recent::Recent;
pub use recent::TriedRequest;
use table::Table;
use tls::Keeper;
use vital::Failures;
use worker::{Message, Shared};

pub use health::{Incident, TargetCondition};
pub use outlier::OutlierRules;
pub use secure::Handshakes;
pub use settings::{AccessLog, Limits, Settings};
pub use sockets::Sockets;
pub use span::{Span, SpanReceiver, SpanSender, span_queue};
pub use tls::{CertificatePem, CertificateStatus, Pem};
pub use trace::TraceContext;

/// A running proxy. Clones are handles to the same one; it ends when the last is dropped.
#[derive(Debug, Clone)]
pub struct Proxy {
    commands: mpsc::UnboundedSender<Command>,
    current: Arc<ArcSwap<Table>>,
    virtual_hosts: Option<SocketAddr>,
    virtual_hosts_tls: Option<SocketAddr>,
    certificates: Arc<ArcSwap<Vec<CertificateStatus>>>,
    wanted: watch::Receiver<BTreeSet<ClusterSource>>,
    address: IpAddr,
    shared: Arc<Shared>,
    reported: watch::Receiver<Applied>,
}

/// Why a proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The virtual-host listener.
    #[error(
        "cannot listen on {0} for virtual hosts; choose another --virtual-host-listen or stop what uses it"
    )]
    VirtualHosts(SocketAddr, #[source] io::Error),
    /// The virtual-host listener for TLS.
    #[error(
        "cannot listen on {0} for virtual hosts with TLS; choose another --virtual-host-tls-listen or stop what uses it"
    )]
    VirtualHostsTls(SocketAddr, #[source] io::Error),
    /// The access log.
    #[error("cannot open the access log {}; choose another --access-log", .0.display())]
    AccessLog(PathBuf, #[source] io::Error),
    /// A thread or its runtime.
    #[error("cannot start a worker thread")]
    Worker(#[source] io::Error),
}

/// What became of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The revision now served.
    pub revision: u64,
    /// Gateways that are not served as asked, and why (a port that cannot be bound); the others are.
    pub problems: Vec<(GatewayName, String)>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still busy at the deadline, and were cut.
    pub cut: usize,
}

/// A target as the proxy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    /// Gateway.
    pub gateway: GatewayName,
    /// Route.
    pub route: RoutePath,
    /// Stable id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Address in use.
    pub address: SocketAddr,
    /// False while the proxy holds it to be of no use: it is down or ejected.
    pub up: bool,
    /// How it stands.
    pub condition: TargetCondition,
    /// How often it was ejected since the start.
    pub ejections: u64,
    /// Requests that wait for it to have room.
    pub pending: u32,
    /// Requests or connections under way.
    pub in_flight: u32,
}

/// A gateway as the proxy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayStatus {
    /// Gateway.
    pub gateway: GatewayName,
    /// Retries that it can afford now: a fifth of its requests, and ten a second; up to 100 are saved.
    pub retries_left: u64,
    /// Retries that it could not afford since the start.
    pub retries_refused: u64,
}

impl Proxy {
    /// Starts the workers. Nothing is served until the first [`Proxy::apply`], except that the virtual-host address is bound.
    ///
    /// # Errors
    /// When the virtual-host address, the access log or a thread is not to be had.
    pub fn start(settings: Settings, telemetry: Arc<Telemetry>) -> Result<Self, StartError> {
        let mut settings = settings;
        let address = settings.address;
        let descriptors = Descriptors::raise();
        settings.workers = settings.workers.clamp(1, 1024);
        settings.limits.head_bytes = settings.limits.head_bytes.clamp(1024, 64 * 1024);
        settings.limits.fields = settings.limits.fields.clamp(1, h1::head::MAX_FIELDS);
        let mut virtual_hosts = Vec::new();
        if let Some(address) = settings.virtual_host_listen {
            virtual_hosts = listener::open(address, settings.workers, &settings.sockets)
                .map_err(|error| StartError::VirtualHosts(address, error))?;
        }
        let virtual_host_address = virtual_hosts.first().and_then(|socket| socket.local_addr().ok());
        let mut virtual_hosts_tls = Vec::new();
        if let Some(address) = settings.virtual_host_tls_listen.filter(|address| address.port() == 0) {
            virtual_hosts_tls = listener::bind(address, settings.workers)
                .map_err(|error| StartError::VirtualHostsTls(address, error))?;
            settings.virtual_host_tls_listen =
                virtual_hosts_tls.first().and_then(|socket| socket.local_addr().ok());
        }
        let virtual_hosts_tls_address = settings.virtual_host_tls_listen;
        let log = settings
            .access_log
            .as_ref()
            .map(|log| {
                let file = match log {
                    AccessLog::File(file) => file.clone(),
                    AccessLog::Stdout => PathBuf::from("-"),
                };
                AccessLogger::start(log, settings.access_log_sample)
                    .map_err(|error| StartError::AccessLog(file, error))
            })
            .transpose()?;
        let care = Care::new(CareRules::of(&settings));
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            log,
            recent: Recent::default(),
            care: Arc::clone(&care),
            idle: (0..settings.workers).map(|_| AtomicUsize::new(0)).collect(),
            leaving: Arc::default(),
            newcomers: AtomicU64::new(0),
            handshakes: secure::Counts::default(),
            failures: Failures::default(),
            descriptors,
        });
        let workers = (0..settings.workers)
            .map(|index| spawn_worker(index, &shared))
            .collect::<io::Result<Vec<_>>>()
            .map_err(StartError::Worker)?;
        let current = Arc::new(ArcSwap::from_pointee(Table::default()));
        let (report, reported) = watch::channel(Applied { revision: 0, problems: Vec::new() });
        let certificates = Arc::new(ArcSwap::default());
        let (want, wanted) = watch::channel(BTreeSet::new());
        let maintenance = Maintenance::new(
            settings,
            Meters::new(telemetry),
            workers,
            Arc::clone(&current),
            virtual_hosts,
            report,
            care,
            Keeper::new(want, Arc::clone(&certificates)),
        );
        let maintenance = maintenance.with_tls_sockets(virtual_hosts_tls);
        let commands = spawn_maintenance(maintenance, &shared).map_err(StartError::Worker)?;
        Ok(Self {
            commands,
            current,
            virtual_hosts: virtual_host_address,
            virtual_hosts_tls: virtual_hosts_tls_address,
            certificates,
            wanted,
            address,
            shared,
            reported,
        })
    }

    /// Puts a configuration in force. Returns when no request will any more be *sent* under an older one. If the future is dropped,
    /// the configuration is applied all the same.
    pub async fn apply(&self, config: Arc<RoutingConfig>) -> Applied {
        let revision = config.revision;
        let (done, applied) = oneshot::channel();
        let asked = self.commands.send(Command::Apply { config, done });
        let stopped = || Applied { revision, problems: Vec::new() };
        match asked {
            Ok(()) => applied.await.unwrap_or_else(|_| stopped()),
            // A drained proxy sends no requests at all.
            Err(_) => stopped(),
        }
    }

    /// What the table in force cannot do. Changes with every [`Proxy::apply`], and in between when a port that was taken is free.
    pub fn reported(&self) -> watch::Receiver<Applied> {
        self.reported.clone()
    }

    /// The table in force.
    pub fn table(&self) -> Arc<RoutingTable> {
        Arc::clone(&self.current.load().routing)
    }

    /// Whether a gateway could get this port: it is free, or this proxy holds it and lets go of it when no gateway of the next
    /// configuration has it. Takes microseconds.
    pub fn can_listen(&self, port: u16) -> bool {
        // In this order: a port leaves the table in force only after its sockets are closed.
        let address = SocketAddr::new(self.address, port);
        self.current.load().on_port(port).is_some()
            || self.shared.settings.sockets.has(address)
            || listener::is_free(address)
    }

    /// Where virtual hosts are served.
    pub fn virtual_host_address(&self) -> Option<SocketAddr> {
        self.virtual_hosts
    }

    /// Where virtual hosts are served with TLS, once a gateway has a certificate for them.
    pub fn virtual_host_tls_address(&self) -> Option<SocketAddr> {
        self.virtual_hosts_tls
    }

    /// The certificates of all gateways, ordered by gateway.
    pub fn certificates(&self) -> Arc<Vec<CertificateStatus>> {
        self.certificates.load_full()
    }

    /// The objects of the cluster that the table in force takes certificates from. Whoever can read them hands them in with
    /// [`Proxy::provide`], again after every change.
    pub fn wanted(&self) -> watch::Receiver<BTreeSet<ClusterSource>> {
        self.wanted.clone()
    }

    /// Hands in what such an object holds, or why it cannot be had. What was good before stays in use as long as there is nothing
    /// better. What nobody wants is ignored.
    pub fn provide(&self, source: ClusterSource, content: Result<Pem, String>) {
        // A proxy that has ended needs no certificates.
        let _ = self.commands.send(Command::Provide { source, content });
    }

    /// TLS handshakes with clients since the start.
    pub fn handshakes(&self) -> Handshakes {
        self.shared.handshakes.read()
    }

    /// All targets with their health, ordered by gateway; within one in the order of its routes.
    pub fn targets(&self) -> Vec<TargetStatus> {
        let table = self.current.load();
        let mut all = Vec::new();
        for served in table.all() {
            let config = &served.gateway.config;
            for (route, compiled) in
                served.routes.iter().zip(config.routes.iter().zip(&served.gateway.routes))
            {
                for (target, inner) in route.targets.iter().zip(&compiled.1.targets) {
                    let (condition, ejections) = target.health.condition();
                    all.push(TargetStatus {
                        gateway: config.name.clone(),
                        route: compiled.0.path.clone(),
                        id: inner.config.id.clone(),
                        name: inner.config.name.clone(),
                        address: target.address,
                        up: !inner.state.is_down(),
                        condition,
                        ejections,
                        pending: target.health.slots.waiting(),
                        in_flight: inner.state.in_flight.load(Relaxed),
                    });
                }
            }
        }
        all.sort_by(|left, right| left.gateway.cmp(&right.gateway));
        all
    }

    /// All gateways, ordered by name.
    pub fn gateways(&self) -> Vec<GatewayStatus> {
        let table = self.current.load();
        let now = self.shared.care.now();
        let status = |served: &Arc<table::Served>| GatewayStatus {
            gateway: served.gateway.config.name.clone(),
            retries_left: served.budget.left(now, served.meter.begun()),
            retries_refused: served.budget.refused(),
        };
        let mut all: Vec<_> = table.all().map(status).collect();
        all.sort_by(|left, right| left.gateway.cmp(&right.gateway));
        all
    }

    /// Connections to targets that are open and idle.
    pub fn idle_connections(&self) -> usize {
        self.shared.idle.iter().map(|idle| idle.load(Relaxed)).sum()
    }

    /// Which of the last requests of a gateway, at most `most`, would satisfy a condition; newest first. They are kept from the first
    /// question on, and for a minute after the last. `None` when it is not served here.
    pub fn try_condition(
        &self,
        gateway: &GatewayName,
        condition: &Condition,
        most: usize,
    ) -> Option<Vec<TriedRequest>> {
        let table = self.table();
        let config = &table.gateway(gateway)?.config;
        self.shared.recent.try_condition(config, condition, most, std::time::Instant::now())
    }

    /// Targets that were ejected, or are trusted again, since the last call; oldest first, the newest 256 of them.
    pub fn incidents(&self) -> Vec<Incident> {
        self.shared.care.incidents()
    }

    /// Spans that were dropped since the start; `None` when none are recorded.
    pub fn spans_dropped(&self) -> Option<u64> {
        self.shared.settings.spans.as_ref().map(SpanSender::dropped)
    }

    /// Lines of the access log that were lost since the start; `None` without one.
    pub fn access_log_lost(&self) -> Option<u64> {
        self.shared.log.as_ref().map(AccessLogger::lost)
    }

    /// Copies of all sockets that it listens on, for the process that follows this one (see [`Settings::sockets`]). Both may
    /// accept from them; a socket, and who waits in its queue, stays when one of the two closes it.
    pub async fn sockets(&self) -> Vec<std::net::TcpListener> {
        let (done, sockets) = oneshot::channel();
        match self.commands.send(Command::Share { done }) {
            Ok(()) => sockets.await.unwrap_or_default(),
            // A drained proxy listens to nothing.
            Err(_) => Vec::new(),
        }
    }

    /// Opens the file of the access log again before its next line: it was moved away.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &self.shared.log {
            log.reopen();
        }
    }

    /// Ends when a part without which the proxy serves nobody has failed, and names it. It cannot be mended from within: the process
    /// should end, so that whoever started it starts it again.
    pub async fn failed(&self) -> &'static str {
        self.shared.failures.first().await
    }

    /// From now on every response asks its client to come on another connection (`Connection: close`). Nothing is cut, and new
    /// connections are served. For the time between the moment when clients are led elsewhere and [`Proxy::drain`]: a client that
    /// speaks in that time is never surprised by a connection that is closed just when it sends its next request.
    pub fn send_away(&self) {
        self.shared.leaving.store(true, Relaxed);
    }

    /// Connections that were accepted since [`Proxy::send_away`]: while they come, clients are still led here.
    pub fn newcomers(&self) -> u64 {
        self.shared.newcomers.load(Relaxed)
    }

    /// Stops accepting, closes what is idle, lets what is under way finish within `deadline`, and ends.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        let (done, drained) = oneshot::channel();
        match self.commands.send(Command::Drain { deadline, done }) {
            Ok(()) => drained.await.unwrap_or(Drained { cut: 0 }),
            Err(_) => Drained { cut: 0 },
        }
    }
}

fn spawn_worker(index: usize, shared: &Arc<Shared>) -> io::Result<mpsc::UnboundedSender<Message>> {
    // Unbounded in type only: maintenance waits for the answer to each message before it sends the next.
    let (sender, messages) = mpsc::unbounded_channel();
    let shared = Arc::clone(shared);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name(format!("vamp-proxy-{index}"))
        .spawn(move || worker::run(index, shared, &runtime, messages))?;
    Ok(sender)
}

fn spawn_maintenance(
    maintenance: Maintenance,
    shared: &Shared,
) -> io::Result<mpsc::UnboundedSender<Command>> {
    let vital = shared.failures.watch("the maintenance of the proxy");
    let (sender, commands) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("vamp-proxy-care".into()).spawn(move || {
        let _vital = vital;
        LocalSet::new().block_on(&runtime, maintenance.run(commands));
    })?;
    Ok(sender)
}
