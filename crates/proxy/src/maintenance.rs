//! The one thread that changes things: it applies configurations, looks after names, health and ports, and ends the proxy.
//!
//! ```text
//! Proxy --Command--> maintenance --Message--> worker 0..n
//!                        |   <-------acks--------'
//!                        +-- every 2 s: connect checks;  every 10 s: names;  every second: ports that could not be bound
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use model::gateway::ClusterSource;
use model::name::GatewayName;
use model::port::Protocol;
use routing::config::RoutingConfig;
use routing::decide::Dice;
use routing::table::RoutingTable;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::health::{self, Care, Healths, Which};
use crate::listener::{self, Key};
use crate::meter::Meters;
use crate::resolve::{self, Resolver, all_names, look_up};
use crate::settings::Settings;
use crate::table::{Served, Table};
use crate::tls::{Found, Keeper, Pem, Source, read_files};
use crate::worker::{Chance, Message};
use crate::{Applied, Drained};

/// What the handle asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Apply {
        config: Arc<RoutingConfig>,
        done: oneshot::Sender<Applied>,
    },
    Drain {
        deadline: Duration,
        done: oneshot::Sender<Drained>,
    },
    Share {
        done: oneshot::Sender<Vec<std::net::TcpListener>>,
    },
    /// What an object of the cluster holds.
    Provide {
        source: ClusterSource,
        content: Result<Pem, String>,
    },
}

/// State of the maintenance thread.
pub(crate) struct Maintenance {
    pub(crate) settings: Settings,
    pub(crate) meters: Meters,
    pub(crate) workers: Vec<mpsc::UnboundedSender<Message>>,
    pub(crate) current: Arc<ArcSwap<Table>>,
    pub(crate) virtual_hosts: Vec<std::net::TcpListener>,
    /// Open and not yet handed to the workers.
    virtual_hosts_tls: Vec<std::net::TcpListener>,
    /// Why the listener of virtual hosts with TLS is not open.
    tls_problem: Option<String>,
    /// It is open.
    tls_bound: bool,
    certificates: Keeper,
    config: Arc<RoutingConfig>,
    resolver: Resolver,
    healths: Healths,
    dice: Chance,
    bound: BTreeSet<u16>,
    problems: BTreeMap<u16, String>,
    /// What the last table cannot do; changes also between two configurations.
    reported: watch::Sender<Applied>,
}

impl Maintenance {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        settings: Settings,
        meters: Meters,
        workers: Vec<mpsc::UnboundedSender<Message>>,
        current: Arc<ArcSwap<Table>>,
        virtual_hosts: Vec<std::net::TcpListener>,
        reported: watch::Sender<Applied>,
        care: Arc<Care>,
        certificates: Keeper,
    ) -> Self {
        let resolver = Resolver::new(settings.address);
        Self {
            settings,
            meters,
            workers,
            current,
            virtual_hosts,
            virtual_hosts_tls: Vec::new(),
            tls_problem: None,
            tls_bound: false,
            certificates,
            config: Arc::default(),
            resolver,
            healths: Healths::new(care),
            dice: Chance::new(),
            bound: BTreeSet::new(),
            problems: BTreeMap::new(),
            reported,
        }
    }

    /// With the sockets for virtual hosts with TLS, where they are open from the start.
    pub(crate) fn with_tls_sockets(mut self, sockets: Vec<std::net::TcpListener>) -> Self {
        self.tls_bound = !sockets.is_empty();
        self.virtual_hosts_tls = sockets;
        self
    }

    /// Runs until the proxy is drained or its last handle is gone.
    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let every = |period: Duration| {
            let period = period.max(Duration::from_millis(10));
            let mut ticks = interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let limits = self.settings.limits.clone();
        let mut checks = every(limits.health_interval);
        let mut refreshes = every(limits.refresh_interval);
        let mut attempts = every(limits.bind_interval);
        let (found, mut lookups) = mpsc::channel(1);
        let window = self.settings.outliers.window;
        let mut compared = self.healths.care.now();
        let mut looks = every(limits.certificate_interval);
        let (read, mut certificates) = mpsc::channel(1);
        loop {
            tokio::select! {
                // Ticks come first: they are rare, and changes that come without a pause must not stop checks.
                biased;
                _ = checks.tick() => {
                    let now = self.healths.care.now();
                    let compare = now >= compared + window;
                    if compare {
                        compared = now;
                    }
                    self.healths.pass(&self.current.load(), compare);
                    health::check(&self.current.load(), Which::Due, limits.health_interval);
                }
                _ = refreshes.tick() => self.refresh(&found),
                _ = attempts.tick() => self.bind_again().await,
                Some(found) = lookups.recv() => self.learn(found).await,
                _ = looks.tick() => self.read_certificates(&read),
                Some(found) = certificates.recv() => self.learn_certificates(found),
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Apply { config, done }) => {
                        let applied = self.apply(config).await;
                        // Whoever asked may have stopped waiting; the table is in force all the same.
                        let _ = done.send(applied);
                    }
                    Some(Command::Share { done }) => {
                        let _ = done.send(self.share().await);
                    }
                    Some(Command::Provide { source, content }) => {
                        self.learn_certificates(vec![(Source::from(source), content)]);
                    }
                    Some(Command::Drain { deadline, done }) => {
                        let _ = done.send(self.drain(deadline).await);
                        return;
                    }
                },
            }
        }
    }

    async fn apply(&mut self, config: Arc<RoutingConfig>) -> Applied {
        const FIRST_LOOK_UP: Duration = Duration::from_secs(1);
        self.config = config;
        self.resolver.forget_all_but(&self.config);
        let unknown = self.resolver.unknown(&self.config);
        let found = look_up(unknown, FIRST_LOOK_UP).await;
        self.resolver.learn(found);
        self.certificates.adopt(&self.config);
        self.read_new_certificates().await;
        self.publish().await;
        // What the first table does not need, nobody will: it may be open elsewhere.
        self.settings.sockets.close();
        health::check(&self.current.load(), Which::New, self.settings.limits.health_interval);
        self.reported.borrow().clone()
    }

    /// Looks names up again, beside everything else: a name server that is slow must not hold up a change.
    fn refresh(&self, found: &mpsc::Sender<resolve::Found>) {
        const LOOK_UP: Duration = Duration::from_secs(5);
        let names = all_names(&self.config);
        if !names.is_empty()
            && let Ok(permit) = found.clone().try_reserve_owned()
        {
            tokio::task::spawn_local(async move { permit.send(look_up(names, LOOK_UP).await) });
        }
    }

    /// Reads files that are new, before the table that names them is in force; a file system that hangs holds up nothing.
    async fn read_new_certificates(&mut self) {
        const FIRST_LOOK: Duration = Duration::from_secs(1);
        let unread = self.certificates.unread();
        if unread.is_empty() {
            return;
        }
        let reading = tokio::task::spawn_blocking(move || read_files(unread));
        if let Ok(Ok(found)) = tokio::time::timeout(FIRST_LOOK, reading).await {
            self.certificates.learn(found);
        }
    }

    /// Reads all files again, beside everything else.
    fn read_certificates(&self, read: &mpsc::Sender<Found>) {
        let files = self.certificates.all_files();
        if !files.is_empty()
            && let Ok(permit) = read.clone().try_reserve_owned()
        {
            tokio::task::spawn_blocking(move || permit.send(read_files(files)));
        } else {
            // One may have ended meanwhile.
            self.report();
        }
    }

    fn learn_certificates(&mut self, found: Found) {
        self.certificates.learn(found);
        self.report();
    }

    /// Says what is wrong, if that is something else than before.
    fn report(&self) {
        let applied = Applied { revision: self.config.revision, problems: self.problems() };
        self.reported.send_if_modified(|known| {
            let changed = known.revision == applied.revision && *known != applied;
            if changed {
                *known = applied;
            }
            changed
        });
    }

    /// Tries the ports that were taken; the table is published again only when one of them is to be had.
    async fn bind_again(&mut self) {
        let opened = self.open(self.problems.keys().copied().collect());
        let tls = self.tls_problem.is_some() && self.open_tls();
        if !opened.is_empty() || tls {
            self.publish_with(opened).await;
        }
    }

    /// Listens on ports where that is possible, and notes where it is not.
    fn open(&mut self, ports: Vec<u16>) -> Vec<(u16, Vec<std::net::TcpListener>)> {
        let mut opened = Vec::new();
        for port in ports {
            let address = SocketAddr::new(self.settings.address, port);
            match listener::open(address, self.workers.len(), &self.settings.sockets) {
                Ok(sockets) => {
                    self.bound.insert(port);
                    if self.problems.remove(&port).is_some() {
                        tracing::info!(%address, "a gateway port that was taken is free now");
                    }
                    opened.push((port, sockets));
                }
                Err(error) => {
                    if self.problems.insert(port, format!("cannot listen on {address}: {error}")).is_none() {
                        tracing::warn!(%address, %error, "a gateway port cannot be bound; it is tried again");
                    }
                }
            }
        }
        opened
    }

    /// Listens for virtual hosts with TLS. True when that is new.
    fn open_tls(&mut self) -> bool {
        let Some(address) = self.settings.virtual_host_tls_listen.filter(|_| !self.tls_bound) else {
            return false;
        };
        match listener::open(address, self.workers.len(), &self.settings.sockets) {
            Ok(sockets) => {
                self.virtual_hosts_tls = sockets;
                self.tls_bound = true;
                self.tls_problem = None;
                tracing::info!(%address, "virtual hosts are served with TLS");
            }
            Err(error) => {
                let problem = format!("cannot listen on {address} for virtual hosts with TLS: {error}");
                if self.tls_problem.replace(problem).is_none() {
                    tracing::warn!(%address, %error, "virtual hosts cannot be served with TLS; it is tried again");
                }
            }
        }
        self.tls_bound
    }

    async fn learn(&mut self, found: resolve::Found) {
        if self.resolver.learn(found) {
            self.publish().await;
        }
    }

    /// Compiles the configuration, binds what is new, and waits until every worker has it.
    async fn publish(&mut self) {
        self.publish_with(Vec::new()).await;
    }

    /// The same with sockets that are open already.
    async fn publish_with(&mut self, mut opened: Vec<(u16, Vec<std::net::TcpListener>)>) {
        let expanded = self.resolver.expand(&self.config);
        let previous = self.current.load_full();
        let dice = &mut self.dice;
        let routing = RoutingTable::compile(&expanded, &previous.routing, &mut || dice.roll());
        let (meters, healths) = (&self.meters, &mut self.healths);
        let table = Arc::new(Table::new(Arc::new(routing), &previous, meters, healths, &self.certificates));

        let wanted: BTreeSet<u16> = table.ports().map(|(port, _)| port).collect();
        let remove: Vec<u16> = self.bound.difference(&wanted).copied().collect();
        let mut add: Vec<Vec<(Key, std::net::TcpListener)>> =
            self.workers.iter().map(|_| Vec::new()).collect();
        if !self.virtual_hosts.is_empty() {
            for (list, socket) in add.iter_mut().zip(self.virtual_hosts.drain(..)) {
                list.push((Key::VirtualHosts, socket));
            }
        }
        if table.all().any(|served| is_virtual_with_tls(served)) {
            self.open_tls();
        } else {
            self.tls_problem = None;
        }
        for (list, socket) in add.iter_mut().zip(self.virtual_hosts_tls.drain(..)) {
            list.push((Key::VirtualHostsTls, socket));
        }
        self.problems.retain(|port, _| wanted.contains(port));
        opened.extend(self.open(wanted.into_iter().filter(|port| !self.bound.contains(port)).collect()));
        for (port, sockets) in opened {
            for (list, socket) in add.iter_mut().zip(sockets) {
                list.push((Key::Port(port), socket));
            }
        }
        let acks: Vec<_> = self
            .workers
            .iter()
            .zip(add)
            .map(|(worker, add)| {
                let (done, ack) = oneshot::channel();
                let remove = remove.iter().map(|port| Key::Port(*port)).collect();
                let sent = worker.send(Message::Apply { table: Arc::clone(&table), add, remove, done });
                (sent, ack)
            })
            .collect();
        for (_, ack) in acks {
            // A worker that is gone sends nothing to anyone.
            let _ = ack.await;
        }
        for port in remove {
            self.bound.remove(&port);
        }
        self.current.store(table);
        drop(previous);
        self.healths.prune();
        self.reported.send_replace(Applied { revision: self.config.revision, problems: self.problems() });
    }

    fn problems(&self) -> Vec<(GatewayName, String)> {
        let table = self.current.load();
        let mut problems: Vec<_> = table
            .ports()
            .filter_map(|(port, name)| Some((name.clone(), self.problems.get(&port)?.clone())))
            .collect();
        if let Some(problem) = &self.tls_problem {
            let concerned = table.all().filter(|served| is_virtual_with_tls(served));
            problems.extend(concerned.map(|served| (served.gateway.config.name.clone(), problem.clone())));
        }
        problems.extend(self.certificates.problems(Timestamp::now()));
        problems.sort();
        problems
    }

    /// Copies of all listening sockets.
    async fn share(&self) -> Vec<std::net::TcpListener> {
        let mut all = Vec::new();
        for worker in &self.workers {
            let (done, sockets) = oneshot::channel();
            // A worker that is gone listens to nothing.
            let _ = worker.send(Message::Share { done });
            all.extend(sockets.await.unwrap_or_default());
        }
        all
    }

    async fn drain(&self, deadline: Duration) -> Drained {
        let answers: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let (done, answer) = oneshot::channel();
                let sent = worker.send(Message::Drain { deadline, done });
                (sent, answer)
            })
            .collect();
        let mut cut = 0;
        for (_, answer) in answers {
            cut += answer.await.unwrap_or(0);
        }
        Drained { cut }
    }
}

/// Whether a gateway is reached on the shared listener for TLS.
fn is_virtual_with_tls(served: &Served) -> bool {
    let config = &served.gateway.config;
    config.tls.is_some() && config.protocol == Protocol::Http && !config.hosts.is_empty()
}
