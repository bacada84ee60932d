//! A controller, agents and a wire.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use model::condition::Condition;
use model::name::GatewayName;
use routing::config::RoutingConfig;
use telemetry::Telemetry;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub(super) use crate::table::tests::config;
use crate::*;

pub(super) const TOKEN: &str = "0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(30);

/// Leases short enough for a test, long enough for a busy machine.
pub(super) fn lease() -> Lease {
    Lease {
        beat: Duration::from_millis(100),
        expires: Duration::from_millis(1500),
        forgotten: Duration::from_secs(60),
    }
}

pub(super) async fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ask() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", PATIENCE.as_secs());
        sleep(Duration::from_millis(5)).await;
    }
}

/// What a controller knows of an environment: the published table, and which agent serves what.
pub(super) struct Site {
    pub(super) published: watch::Sender<Arc<RoutingConfig>>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) agents: Mutex<BTreeMap<String, Known>>,
    pub(super) changed: watch::Sender<()>,
    /// What agents left out or let in, in the order in which it was told.
    pub(super) noticed: Mutex<Vec<(String, Incident)>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Known {
    pub(super) lost: bool,
    pub(super) revision: Option<u64>,
    pub(super) problems: Vec<(GatewayName, String)>,
}

impl Site {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            published: watch::Sender::new(config(1, &[("shop", 1)])),
            telemetry: Telemetry::new(1),
            agents: Mutex::default(),
            changed: watch::Sender::new(()),
            noticed: Mutex::default(),
        })
    }

    pub(super) fn publish(&self, revision: u64, gateways: &[(&str, u16)]) {
        self.published.send_replace(config(revision, gateways));
    }

    pub(super) fn known(&self, agent: &str) -> Option<Known> {
        self.agents.lock().unwrap().get(agent).cloned()
    }

    pub(super) async fn serves(&self, agent: &str, revision: u64) {
        let what = format!("{agent} to serve {revision}");
        eventually(&what, || (self.known(agent)?.revision == Some(revision)).then_some(())).await;
    }

    fn change(&self, agent: &str, change: impl FnOnce(&mut BTreeMap<String, Known>, String)) {
        change(&mut self.agents.lock().unwrap(), agent.to_owned());
        self.changed.send_replace(());
    }
}

impl crate::Environment for Site {
    fn published(&self) -> watch::Receiver<Arc<RoutingConfig>> {
        self.published.subscribe()
    }
    fn telemetry(&self) -> Arc<Telemetry> {
        Arc::clone(&self.telemetry)
    }
    fn joined(&self, agent: &str) {
        self.change(agent, |all, agent| all.entry(agent).or_default().lost = false);
    }
    fn lost(&self, agent: &str) {
        self.change(agent, |all, agent| all.entry(agent).or_default().lost = true);
    }
    fn left(&self, agent: &str) {
        self.change(agent, |all, agent| drop(all.remove(&agent)));
    }
    fn acknowledge(&self, agent: &str, revision: u64, problems: Vec<(GatewayName, String)>) {
        self.change(agent, |all, agent| {
            let known = all.entry(agent).or_default();
            known.revision = Some(revision);
            known.problems = problems;
        });
    }
    fn noticed(&self, agent: &str, incidents: Vec<Incident>) {
        let noticed = incidents.into_iter().map(|incident| (agent.to_owned(), incident));
        self.noticed.lock().unwrap().extend(noticed);
    }
}

/// A controller: what survives its end is the environment.
pub(super) struct Leader {
    pub(super) server: Server,
    pub(super) fleet: Arc<Fleet>,
    pub(super) leading: watch::Sender<bool>,
    pub(super) address: SocketAddr,
    closing: CancellationToken,
    serving: JoinHandle<()>,
}

/// Files and certificates that a controller and its agents share.
pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) environment: Arc<Site>,
    authority: Authority,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = folder::open(&folder.path().join("ca"), Timestamp::now()).unwrap();
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        Self { folder, environment: Site::new(), authority }
    }

    pub(super) async fn controller(&self) -> Leader {
        self.controller_of(&Arc::clone(&self.environment), true).await
    }

    pub(super) async fn controller_of(&self, environment: &Arc<Site>, leads: bool) -> Leader {
        let tokens = SharedTokens::read(&self.folder.path().join("token")).unwrap();
        self.controller_that(environment, leads, Arc::new(tokens)).await
    }

    pub(super) async fn controller_that(
        &self,
        environment: &Arc<Site>,
        leads: bool,
        authenticate: Arc<dyn Authenticate>,
    ) -> Leader {
        let (leading, leads) = watch::channel(leads);
        let recheck = Duration::from_millis(50);
        let settings = ServerSettings { lease: lease(), version: "test".into(), recheck };
        let server = Server::new(settings, authenticate, leads);
        let fleet = server.open("prod", Arc::clone(environment) as Arc<dyn crate::Environment>);
        let (address, closing, serving) = self.serve(&server).await;
        Leader { server, fleet, leading, address, closing, serving }
    }

    async fn serve(&self, server: &Server) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let issued = self.authority.issue(&[SERVER_NAME.to_owned()], Timestamp::now()).unwrap();
        let certificate = ServerCertificate::from_pem(&issued.certificate, &issued.key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let closing = CancellationToken::new();
        let (server, closed) = (server.clone(), closing.clone());
        let serving = tokio::spawn(async move { server.serve(listener, certificate, closed).await.unwrap() });
        (address, closing, serving)
    }

    pub(super) fn settings(&self, name: &str, controllers: &[SocketAddr]) -> ClientSettings {
        ClientSettings {
            controllers: controllers.iter().map(|at| format!("https://{at}").parse().unwrap()).collect(),
            environment: "prod".into(),
            name: name.to_owned(),
            version: "test".into(),
            token_file: self.folder.path().join("token"),
            ca_file: folder::certificates(&self.folder.path().join("ca")),
            report_period: Duration::from_millis(20),
        }
    }

    pub(super) fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("data-{name}"))
    }

    pub(super) async fn agent(&self, name: &str, controllers: &[SocketAddr]) -> TestAgent {
        self.agent_with(self.settings(name, controllers)).await
    }

    pub(super) async fn agent_with(&self, settings: ClientSettings) -> TestAgent {
        let (proxy, telemetry) = (FakeProxy::new(), Telemetry::new(1));
        let cache = Cache::open(&self.data(&settings.name), &settings.environment).unwrap();
        static SEED: AtomicU64 = AtomicU64::new(1);
        let mut seed = SEED.fetch_add(1, Ordering::Relaxed);
        let dice = Box::new(move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed
        });
        let served: Arc<dyn Proxy> = Arc::clone(&proxy) as _;
        let client = Client::start(settings, served, Arc::clone(&telemetry), Some(cache), dice).await;
        TestAgent { proxy, telemetry, client }
    }
}

impl Leader {
    /// Ends as a process does that is killed: connections break.
    pub(super) async fn kill(self) {
        self.serving.abort();
        self.closing.cancel();
        let _ = self.serving.await;
    }
}

pub(super) struct TestAgent {
    pub(super) proxy: Arc<FakeProxy>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) client: Client,
}

impl TestAgent {
    pub(super) fn status(&self) -> Status {
        self.client.status().borrow().clone()
    }

    /// Waits for a reason why there is no stream.
    pub(super) async fn broken(&self, part: &str) {
        eventually(&format!("the agent to say '{part}', not {:?}", self.status()), || {
            matches!(self.status().connection, Connection::Broken(reason) if reason.contains(part))
                .then_some(())
        })
        .await;
    }

    pub(super) async fn connected(&self) {
        eventually("a stream", || matches!(self.status().connection, Connection::Connected(_)).then_some(()))
            .await;
    }
}

/// A data plane that writes down what it is told.
pub(super) struct FakeProxy {
    pub(super) applied: Mutex<Vec<Arc<RoutingConfig>>>,
    reported: Mutex<Option<watch::Sender<Applied>>>,
    pub(super) slow: Mutex<Duration>,
    pub(super) hung: AtomicBool,
    pub(super) targets: Mutex<Vec<TargetState>>,
    pub(super) budgets: Mutex<Vec<Budget>>,
    pub(super) incidents: Mutex<Vec<Incident>>,
    /// What came to the gateway `shop`, newest first; a condition holds for paths that it names.
    pub(super) requests: Mutex<Vec<TriedRequest>>,
    pub(super) applies: AtomicUsize,
}

impl FakeProxy {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            applied: Mutex::default(),
            reported: Mutex::new(Some(watch::Sender::default())),
            slow: Mutex::default(),
            hung: AtomicBool::new(false),
            targets: Mutex::default(),
            budgets: Mutex::default(),
            incidents: Mutex::default(),
            requests: Mutex::default(),
            applies: AtomicUsize::new(0),
        })
    }

    pub(super) fn table(&self) -> Option<Arc<RoutingConfig>> {
        self.applied.lock().unwrap().last().cloned()
    }

    /// A problem comes or goes while a table is in force.
    pub(super) fn report(&self, problems: Vec<(GatewayName, String)>) {
        if let Some(reported) = &*self.reported.lock().unwrap() {
            reported.send_modify(|applied| applied.problems = problems);
        }
    }

    /// It ends: there will be no word from it any more.
    pub(super) fn drain(&self) {
        self.reported.lock().unwrap().take();
    }
}

impl Proxy for FakeProxy {
    fn apply(&self, config: Arc<RoutingConfig>) -> BoxFuture<'_, Applied> {
        Box::pin(async move {
            self.applies.fetch_add(1, Ordering::Relaxed);
            let slow = *self.slow.lock().unwrap();
            if !slow.is_zero() {
                sleep(slow).await;
            }
            if self.hung.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let applied = Applied { revision: config.revision, problems: Vec::new() };
            self.applied.lock().unwrap().push(config);
            if let Some(reported) = &*self.reported.lock().unwrap() {
                reported.send_replace(applied.clone());
            }
            applied
        })
    }

    fn reported(&self) -> watch::Receiver<Applied> {
        let reported = self.reported.lock().unwrap();
        reported.as_ref().map_or_else(|| watch::channel(Applied::default()).1, watch::Sender::subscribe)
    }

    fn targets(&self) -> Vec<TargetState> {
        self.targets.lock().unwrap().clone()
    }

    fn budgets(&self) -> Vec<Budget> {
        self.budgets.lock().unwrap().clone()
    }

    fn incidents(&self) -> Vec<Incident> {
        std::mem::take(&mut self.incidents.lock().unwrap())
    }

    fn try_condition(
        &self,
        gateway: &GatewayName,
        condition: &Condition,
        most: usize,
    ) -> Option<Vec<TriedRequest>> {
        let mut requests = self.requests.lock().unwrap().clone();
        requests.iter_mut().for_each(|request| request.matches = condition.text().contains(&request.path));
        requests.truncate(most);
        (gateway.as_str() == "shop").then_some(requests)
    }
}

/// A wire between agents and a controller: it can be cut, and lead to another controller.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    to: Arc<Mutex<Option<SocketAddr>>>,
    cut: watch::Sender<u64>,
}

impl Wire {
    pub(super) async fn to(controller: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let to = Arc::new(Mutex::new(Some(controller)));
        let cut = watch::Sender::new(0);
        let (target, cuts) = (Arc::clone(&to), cut.clone());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let Some(target) = *target.lock().unwrap() else { continue };
                let mut cut = cuts.subscribe();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, to, cut }
    }

    pub(super) fn leads_to(&self, controller: Option<SocketAddr>) {
        *self.to.lock().unwrap() = controller;
    }

    pub(super) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}
