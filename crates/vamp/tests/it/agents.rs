//! Agents as processes, led by a controller in the test: real control, real stream, real traffic.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use agent::{Lease, Server, ServerCertificate, ServerSettings, SharedTokens};
use control::{Change, Control, Mode, Request, SystemClock};
use jiff::Timestamp;
use model::gateway::GatewayDocument;
use model::instance::Observation;
use model::name::GatewayName;
use routing::config::RoutingConfig;
use serde_json::Value;
use store::MemoryStore;
use telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::harness::{PATIENCE, eventually, signal};
use crate::target::Target;

const TOKEN: &str = "a token of sixteen letters and more";

/// What every controller and every agent of a test share.
struct World {
    folder: tempfile::TempDir,
    control: Control,
    telemetry: Arc<Telemetry>,
    _platform: watch::Sender<Arc<Observation>>,
    /// Second number of the loopback addresses of this test: gateways have the same port on every agent.
    network: u8,
}

impl World {
    async fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(30);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), TOKEN.replace(' ', "-")).unwrap();
        let observation = Observation { complete: true, ..Observation::default() };
        let platform = watch::Sender::new(Arc::new(observation));
        let control = Control::start(
            control::Settings::new("prod"),
            Arc::new(MemoryStore::new()),
            platform.subscribe(),
            Arc::new(SystemClock),
        )
        .await
        .unwrap();
        let network = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { folder, control, telemetry: Telemetry::new(1), _platform: platform, network }
    }

    /// A controller on a free port, or where one was before.
    async fn controller(&self, at: Option<SocketAddr>) -> (SocketAddr, Controller) {
        let tokens = SharedTokens::read(&self.folder.path().join("token")).unwrap();
        let settings = ServerSettings {
            lease: Lease {
                beat: Duration::from_millis(500),
                expires: Duration::from_secs(3),
                forgotten: Duration::from_secs(60),
            },
            version: "test".into(),
            ..ServerSettings::default()
        };
        let server = Server::new(settings, Arc::new(tokens), watch::channel(true).1);
        server.open("prod", Arc::new(Site(self.control.clone(), Arc::clone(&self.telemetry))));
        let authority = agent::folder::open(&self.folder.path().join("ca"), Timestamp::now()).unwrap();
        let issued = authority.issue(&[agent::SERVER_NAME.into()], Timestamp::now()).unwrap();
        let certificate = ServerCertificate::from_pem(&issued.certificate, &issued.key).unwrap();
        let address = at.unwrap_or_else(|| ([127, 0, 0, 1], testkit::ports::free()).into());
        let listener = TcpListener::bind(address).await.unwrap();
        let closing = CancellationToken::new();
        let closed = closing.clone();
        let serving = tokio::spawn(async move { server.serve(listener, certificate, closed).await.unwrap() });
        (address, Controller { closing, serving })
    }

    fn agent(&self, number: u8, controller: SocketAddr) -> Agent {
        self.agent_with(number, controller, &[])
    }

    fn agent_with(&self, number: u8, controller: SocketAddr, more: &[&str]) -> Agent {
        let name = format!("agent-{number}");
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_vamp"))
            .args([
                "agent",
                "--environment",
                "prod",
                "--name",
                &name,
                "--log",
                "warn",
                "--drain-timeout",
                "5s",
            ])
            .args(["--controller", &controller.to_string()])
            .args(more)
            .args([
                "--token-file",
                &file("token"),
                "--ca-file",
                &file("ca/ca.crt"),
                "--data-dir",
                &file(&name),
            ])
            .args(["--admin-listen", "127.0.0.1:0", "--virtual-host-listen", "127.0.0.1:0", "--workers", "1"])
            .args(["--gateway-address", &format!("127.9.{}.{number}", self.network)])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a first line");
        let first: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        assert_eq!(first["pid"].as_u64(), Some(u64::from(child.id())));
        let address = |field: &str| first[field].as_str().unwrap_or_else(|| panic!("{first}")).to_owned();
        let (admin, hosts) = (address("admin"), address("virtual_hosts"));
        Agent { child, admin, hosts, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Writes the gateway `shop` with these targets and shares; the revision.
    async fn shop(&self, shares: &[(&Target, &str)]) -> u64 {
        let routes: Vec<String> = shares
            .iter()
            .map(|(target, share)| format!("  \"[{}]\": {{weight: {share}}}\n", target.address))
            .collect();
        let document = GatewayDocument::read(&format!("name: shop\nroutes:\n{}", routes.concat())).unwrap();
        let change = Change::Gateway { document, mode: Mode::Put };
        self.control.submit(Request::new(change, "test")).await.unwrap().revision
    }

    async fn applied(&self, revision: u64, agents: usize) {
        eventually(&format!("{agents} agents to be there"), || async {
            let here = self.control.view().proxies.iter().filter(|proxy| proxy.revision.is_some()).count();
            (here == agents).then_some(())
        })
        .await;
        let receipt = self.control.applied(revision, PATIENCE).await.unwrap();
        assert_eq!((receipt.applied, receipt.total), (agents, agents));
    }
}

struct Controller {
    closing: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Controller {
    /// Ends as if it were killed. It listens no more when this returns, and says nothing to anybody.
    async fn end(self) {
        self.closing.cancel();
        self.serving.await.unwrap();
    }
}

struct Site(Control, Arc<Telemetry>);

impl agent::Environment for Site {
    fn published(&self) -> watch::Receiver<Arc<RoutingConfig>> {
        self.0.published()
    }
    fn telemetry(&self) -> Arc<Telemetry> {
        Arc::clone(&self.1)
    }
    fn joined(&self, agent: &str) {
        self.0.proxy_joined(agent);
    }
    fn lost(&self, agent: &str) {
        self.0.proxy_lost(agent);
    }
    fn left(&self, agent: &str) {
        self.0.proxy_left(agent);
    }
    fn acknowledge(&self, agent: &str, revision: u64, problems: Vec<(GatewayName, String)>) {
        self.0.acknowledge(agent, revision, problems);
    }
    fn noticed(&self, _: &str, _: Vec<agent::Incident>) {}
}

struct Agent {
    child: Child,
    admin: String,
    hosts: String,
    http: reqwest::Client,
}

impl Agent {
    async fn get(&self, address: &str, path: &str) -> (u16, String) {
        let answer = self
            .http
            .get(format!("http://{address}{path}"))
            .header("host", "shop.vamp")
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Which target serves a request through this agent.
    async fn serves(&self) -> (u16, String) {
        self.get(&self.hosts, "/").await
    }

    async fn ready(&self) -> (u16, String) {
        self.get(&self.admin, "/readyz").await
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        self.ended()
    }

    fn ended(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the agent did not end");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three agents serve what the controller says; every change is acknowledged by all of them, and every request is counted once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout, reason = "a measurement")]
async fn three_agents_follow_a_controller() {
    let world = World::new().await;
    let (old, new) = (Target::start("old").await, Target::start("new").await);
    let (address, _controller) = world.controller(None).await;
    let agents: Vec<Agent> = (1..=3).map(|number| world.agent(number, address)).collect();
    let revision = world.shop(&[(&old, "100%"), (&new, "0%")]).await;
    world.applied(revision, 3).await;
    for agent in &agents {
        assert_eq!(agent.ready().await.0, 200);
        assert_eq!(agent.serves().await, (200, "old".into()));
    }

    let mut times = Vec::new();
    for round in 0..50_u32 {
        let share =
            if round % 2 == 0 { [(&old, "0%"), (&new, "100%")] } else { [(&old, "100%"), (&new, "0%")] };
        let begun = Instant::now();
        let revision = world.shop(&share).await;
        let receipt = world.control.applied(revision, PATIENCE).await.unwrap();
        times.push(begun.elapsed());
        assert_eq!((receipt.applied, receipt.total), (3, 3));
        // From the receipt on, no request goes the old way.
        let expected = if round % 2 == 0 { "new" } else { "old" };
        assert_eq!(agents[round as usize % 3].serves().await.1, expected, "round {round}");
    }
    times.sort();
    println!("change with 3 agents applied: median {:?}, 90 % {:?}", times[25], times[45]);

    let sent = 53;
    let counted = || {
        let all = world.telemetry.totals();
        let shop = all.iter().find(|series| matches!(series.key, telemetry::Key::Gateway(_)))?;
        Some(shop.totals.requests())
    };
    eventually("all requests to be counted", || async { (counted() == Some(sent)).then_some(()) }).await;
    let metrics = agents[0].get(&agents[0].admin, "/metrics").await.1;
    assert!(metrics.contains("vamp_requests_total{gateway=\"shop\""), "{metrics}");
    assert!(
        metrics.contains(&format!("vamp_config_revision {}", world.control.view().config.revision)),
        "{metrics}"
    );

    // Leaves with its last counts, and is not waited for.
    let mut agents = agents;
    let leaving = agents.remove(0);
    leaving.serves().await;
    assert_eq!(leaving.terminate(), Some(0));
    assert_eq!(counted(), Some(sent + 1));
    eventually("nobody to wait for it", || async { (world.control.view().proxies.len() == 2).then_some(()) })
        .await;
}

/// The controller is killed amid changes, then an agent too: it serves its last table without anybody to ask. When the controller
/// is back, everybody goes on where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_serves_alone_after_its_restart() {
    let world = World::new().await;
    let (old, new) = (Target::start("old").await, Target::start("new").await);
    let (address, controller) = world.controller(None).await;
    let agent = world.agent(1, address);
    let (status, body) = agent.ready().await;
    assert!(
        status == 503 && body.contains("no routing table is in force yet") || status == 200,
        "{status} {body}"
    );
    let revision = world.shop(&[(&old, "100%"), (&new, "0%")]).await;
    world.applied(revision, 1).await;
    // It is on its disk a moment later.
    let table = world.folder.path().join("agent-1/table");
    let on_disk = |text: &str| std::fs::read_to_string(&table).is_ok_and(|table| table.contains(text));
    let kept = format!("\"revision\":{revision}");
    eventually("the table to be on disk", || async { on_disk(&kept).then_some(()) }).await;
    controller.end().await;
    // Changes that nobody carries.
    world.shop(&[(&old, "0%"), (&new, "100%")]).await;
    assert_eq!(agent.serves().await, (200, "old".into()));
    agent.kill();

    let agent = world.agent(1, address);
    assert_eq!(agent.ready().await.0, 200, "the table on disk suffices");
    assert_eq!(agent.serves().await, (200, "old".into()));

    let (_, _controller) = world.controller(Some(address)).await;
    eventually("the change to arrive", || async { (agent.serves().await.1 == "new").then_some(()) }).await;
    assert_eq!(agent.terminate(), Some(0));
}

/// A new agent process follows the one before on the same port; the controller sees one agent that was gone for a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_upgraded_without_refusing_anybody() {
    let world = World::new().await;
    let target = Target::start("a").await;
    let (address, _controller) = world.controller(None).await;
    let mut agent = world.agent_with(1, address, &["--takeover"]);
    let revision = world.shop(&[(&target, "100%")]).await;
    world.applied(revision, 1).await;
    let port = world.control.view().config.gateways.values().next().and_then(|shop| shop.port).unwrap();
    let url = format!("http://127.9.{}.1:{port}/", world.network);
    let (stop, count) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU8::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, count, url) = (Arc::clone(&stop), Arc::clone(&count), url.clone());
            let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
            tokio::spawn(async move {
                while stop.load(Ordering::Acquire) == 0 {
                    let answer = http.get(&url).send().await.unwrap();
                    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "a"));
                    count.fetch_add(1, Ordering::AcqRel);
                }
            })
        })
        .collect();
    for _ in 0..2 {
        let before = std::mem::replace(&mut agent, world.agent_with(1, address, &["--takeover"]));
        assert_eq!(before.ended(), Some(0));
        // The controller leads the new one.
        let revision = world.shop(&[(&target, "100%")]).await;
        world.applied(revision, 1).await;
        let mark = count.load(Ordering::Acquire);
        eventually("traffic", || async { (count.load(Ordering::Acquire) != mark).then_some(()) }).await;
    }
    stop.store(1, Ordering::Release);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(agent.terminate(), Some(0));
}

/// Without a controller and without a table there is nothing to serve: alive, but not ready, and it says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_anything_lives_and_is_not_ready() {
    let world = World::new().await;
    let nobody = ([127, 0, 0, 1], testkit::ports::free()).into();
    std::fs::create_dir_all(world.folder.path().join("agent-1")).unwrap();
    std::fs::write(world.folder.path().join("agent-1/table"), "vamp-table 1 torn").unwrap();
    agent::folder::open(&world.folder.path().join("ca"), Timestamp::now()).unwrap();
    let agent = world.agent(1, nobody);
    assert_eq!(agent.get(&agent.admin, "/livez").await.0, 200);
    eventually("a reason", || async {
        let (status, body) = agent.ready().await;
        (status == 503 && body.contains("no connection to 127.0.0.1")).then_some(())
    })
    .await;
    assert!(world.folder.path().join("agent-1/table.set-aside").exists());

    // Its folder is its own.
    let file = |name: &str| world.folder.path().join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_vamp"))
        .args(["agent", "--admin-listen", "127.0.0.1:0", "--virtual-host-listen", "127.0.0.1:0"])
        .args(["--gateway-address", "127.0.0.1", "--environment", "prod"])
        .args(["--data-dir".as_ref(), file("agent-1").as_os_str()])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && message.contains("another agent uses"), "{message}");
}

/// Nodes of a cluster go on sending requests for a while after an agent was told to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_told_to_end_serves_on_for_a_while() {
    let world = World::new().await;
    let (address, _controller) = world.controller(None).await;
    let agent = world.agent_with(1, address, &["--drain-delay", "10s"]);
    let target = Target::start("here").await;
    let revision = world.shop(&[(&target, "100%")]).await;
    world.applied(revision, 1).await;
    signal(agent.child.id(), "TERM");
    eventually("the word that it stops", || async {
        let (status, body) = agent.ready().await;
        (status == 503 && body.contains("stopping")).then_some(())
    })
    .await;
    assert_eq!(agent.serves().await, (200, "here".to_owned()));
    assert_eq!(agent.terminate(), Some(0));
}
