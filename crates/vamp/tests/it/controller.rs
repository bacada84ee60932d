//! Two controllers and two agents as processes, against the fake API server: who leads, what survives, and that no request fails.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::cluster::Cluster;

use crate::target::Target;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The Lease of these tests, in seconds.
const LEASE: u64 = 3;
/// The Lease of those who are asked to go: nobody would wait for it to run out.
const LONG_LEASE: u64 = 20;
const NAMESPACES: [&str; 2] = ["shop", "vampio-acme-prod"];

/// A cluster, a folder, and processes in it.
struct World {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

/// A process; killed when dropped.
struct Process {
    child: Child,
    said: Value,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let log = std::fs::File::create(log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("vamp starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, said }
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.said[name].as_str().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Ends by SIGTERM; the exit code.
    fn terminate(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.wait().unwrap().code()
    }
}

impl World {
    async fn new() -> Self {
        let cluster = Cluster::start(7).await.unwrap();
        for definition in kubernetes::crd::all() {
            cluster.define(&definition);
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), cluster.kubeconfig("vamp-system")).unwrap();
        std::fs::write(folder.path().join("agents"), "0123456789abcdef0123456789abcdef\n").unwrap();
        std::fs::write(folder.path().join("token"), "0123456789abcdef0123456789abcdef\n").unwrap();
        Self { cluster, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn controller(&self, name: &str) -> Process {
        let lease = format!("--lease-duration={LEASE}s");
        self.controller_with(name, &[&lease, "--renew-deadline=2s", "--retry-period=250ms"])
    }

    fn controller_with(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vamp"));
        command.arg("controller");
        command.args(NAMESPACES.map(|namespace| format!("--namespace={namespace}")));
        command.arg(format!("--kubeconfig={}", self.path("kubeconfig").display()));
        command.arg(format!("--agent-tokens={}", self.path("agents").display()));
        command.args(["--home-namespace=vamp-system", "--replica", name]);
        command.args(["--api-listen=127.0.0.1:0", "--agent-listen=127.0.0.1:0", "--reserved-ports=8091"]);
        command.args(arguments);
        Process::start(command, self.path(&format!("{name}.log")))
    }

    /// An agent of an environment, on a loopback address of its own, that knows all controllers.
    fn agent(&self, name: &str, environment: &str, address: &str, controllers: &[&Process]) -> Process {
        let certificates = self.path("ca.crt");
        if !certificates.exists() {
            let map = self.cluster.object("configmaps", environment, "vamp-ca").expect("the CA is published");
            std::fs::write(&certificates, map["data"]["ca.crt"].as_str().unwrap()).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_vamp"));
        command.args(["agent", "--name", name, "--environment", environment, "--workers=1"]);
        command.args(controllers.iter().map(|c| format!("--controller={}", c.address("agents"))));
        command.arg(format!("--token-file={}", self.path("token").display()));
        command.arg(format!("--ca-file={}", certificates.display()));
        command.arg(format!("--data-dir={}", self.path(name).display()));
        command.arg(format!("--gateway-address={address}"));
        command.arg(format!("--virtual-host-listen={address}:0"));
        command.arg(format!("--admin-listen={address}:0"));
        Process::start(command, self.path(&format!("{name}.log")))
    }

    /// What was logged, for a test that fails.
    fn logs(&self) -> String {
        let logs = ["a", "b", "c", "agent-1", "agent-2", "agent-3"];
        let text = |name: &&str| std::fs::read_to_string(self.path(&format!("{name}.log"))).ok();
        logs.iter().filter_map(|name| Some(format!("--- {name}\n{}", text(name)?))).collect()
    }
}

async fn call(process: &Process, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE * 2).build().unwrap();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let url = format!("http://{}{path}", process.address("api"));
    let request = client.request(method, url).body(body.unwrap_or_default().to_owned());
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(_) => return (0, Value::Null),
    };
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap_or_default();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn until<F: Future<Output = Result<(), String>>>(
    world: &World,
    what: &str,
    mut holds: impl FnMut() -> F,
) {
    let end = Instant::now() + PATIENCE;
    loop {
        match holds().await {
            Ok(()) => return,
            Err(why) if Instant::now() > end => panic!("{what}: {why}\n{}", world.logs()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn leads(process: &Process) -> Result<(), String> {
    let (status, body) = call(process, "GET", "/shop/api/v1/status", None).await;
    if status == 200 && body["platform"]["complete"] == true {
        Ok(())
    } else {
        Err(format!("{status} {body}"))
    }
}

/// Both agents serve the newest revision.
async fn served_by(process: &Process, count: usize) -> Result<(), String> {
    let (_, body) = call(process, "GET", "/shop/api/v1/status", None).await;
    let proxies = body["proxies"].as_array().cloned().unwrap_or_default();
    let current = |proxy: &&Value| proxy["revision"] == body["revision"] && proxy["live"] == true;
    let current = proxies.iter().filter(current).count();
    if current == count && body["healthy"] == true { Ok(()) } else { Err(body.to_string()) }
}

/// Requests without a pause to a gateway of every agent, each over a connection of its own.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(gateways: &[SocketAddr]) -> Self {
        let (stop, good) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let one = |address: &SocketAddr| {
            let (address, stop, good) = (*address, Arc::clone(&stop), Arc::clone(&good));
            tokio::spawn(async move {
                let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
                let mut bad = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match client.get(format!("http://{address}/")).send().await {
                        Ok(answer) if answer.status() == 200 => drop(good.fetch_add(1, Ordering::Relaxed)),
                        Ok(answer) => bad.push(format!("{} {:?}", answer.status(), answer.headers())),
                        Err(error) => bad.push(format!("{error:?}")),
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                bad
            })
        };
        let tasks = gateways.iter().map(one).collect();
        Self { stop, good, tasks }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            assert_eq!(task.await.unwrap(), Vec::<String>::new(), "requests failed");
        }
        self.good.load(Ordering::Relaxed)
    }
}

fn gateway(port: u16, targets: [&Target; 2], weights: (u8, u8)) -> String {
    let [a, b] = targets.map(|target| target.address);
    format!(
        "name: front\nport: {port}/http\nroutes:\n  \"[{a}]\": {{weight: {}%}}\n  \"[{b}]\": {{weight: {}%}}\n",
        weights.0, weights.1
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_killed_another_is_asked_to_go_and_no_request_fails() {
    let world = World::new().await;
    let a = world.controller("a");
    until(&world, "a leads", || leads(&a)).await;
    let long_lease = format!("--lease-duration={LONG_LEASE}s");
    let long_lease = [&*long_lease, "--renew-deadline=10s", "--retry-period=250ms"];
    let b = world.controller_with("b", &long_lease);
    until(&world, "b stands by", || async {
        let (status, body) = call(&b, "GET", "/shop/api/v1/gateways", None).await;
        let named = body["message"].as_str().is_some_and(|message| message.contains("'a'"));
        let ready = call(&b, "GET", "/readyz", None).await;
        match (status, &body["code"], named, ready.0) {
            (503, code, true, 200) if code == "not-leader" => Ok(()),
            _ => Err(format!("{status} {body} {ready:?}")),
        }
    })
    .await;
    until(&world, "the CA is published", || async {
        let map = world.cluster.object("configmaps", "shop", "vamp-ca");
        map.map(drop).ok_or_else(|| "not yet".into())
    })
    .await;
    let addresses = ["127.0.9.1", "127.0.9.2"];
    let agents = [
        world.agent("agent-1", "shop", addresses[0], &[&a, &b]),
        world.agent("agent-2", "shop", addresses[1], &[&a, &b]),
    ];
    let targets = [Target::start("one").await, Target::start("two").await];
    let port = testkit::ports::free();
    until(&world, "agents are here", || async {
        let (_, body) = call(&a, "GET", "/shop/api/v1/status", None).await;
        if body["proxies"].as_array().is_some_and(|all| all.len() == 2) {
            Ok(())
        } else {
            Err(body.to_string())
        }
    })
    .await;
    let document = gateway(port, [&targets[0], &targets[1]], (80, 20));
    let (status, body) =
        call(&a, "PUT", "/shop/api/v1/gateways/front?wait=applied&timeout=60s", Some(&document)).await;
    assert_eq!(status, 202, "{body}\n{}", world.logs());
    let gateways = addresses.map(|address| SocketAddr::new(address.parse().unwrap(), port));
    let load = Load::start(&gateways);

    // Killed in the middle of a change: what was answered is kept.
    let mut answered = (80, 20);
    for weight in [70_u8, 60, 50] {
        let document = gateway(port, [&targets[0], &targets[1]], (weight, 100 - weight));
        if call(&a, "PUT", "/shop/api/v1/gateways/front", Some(&document)).await.0 == 202 {
            answered = (weight, 100 - weight);
        }
    }
    let killed = Instant::now();
    a.signal("-KILL");
    until(&world, "b leads", || leads(&b)).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(LEASE + 15), "{took:?}\n{}", world.logs());
    let (_, front) = call(&b, "GET", "/shop/api/v1/gateways/front", None).await;
    let weights: Vec<&Value> =
        front["routes"].as_object().unwrap().values().map(|route| &route["weight"]).collect();
    assert_eq!(weights, [&json!(format!("{}%", answered.0)), &json!(format!("{}%", answered.1))]);
    until(&world, "agents follow b", || served_by(&b, 2)).await;

    // A new one, and b is asked to go: at once.
    let c = world.controller_with("c", &long_lease);
    until(&world, "c stands by", || async {
        let (status, _) = call(&c, "GET", "/readyz", None).await;
        if status == 200 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let asked = Instant::now();
    assert_eq!(b.terminate(), Some(0));
    until(&world, "c leads", || leads(&c)).await;
    let took = asked.elapsed();
    // Before the Lease would have run out, were it not given back.
    assert!(took < Duration::from_secs(LONG_LEASE), "{took:?}\n{}", world.logs());
    let lease = world.cluster.object("leases.coordination.k8s.io", "vamp-system", "vamp-controller").unwrap();
    assert!(lease["spec"]["holderIdentity"].as_str().unwrap().starts_with("c_"), "{lease}");

    let requests = load.end().await;
    assert!(requests > 200, "{requests} requests only");
    drop(agents);
}

/// It accepts connections and answers nothing: changes are refused in good time, with the reason, and traffic does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_hangs_is_answered_for() {
    let world = World::new().await;
    // Leads for as long as it usually may without the API server.
    let a = world.controller_with("a", &[]);
    until(&world, "a leads", || leads(&a)).await;
    until(&world, "the CA is published", || async {
        let map = world.cluster.object("configmaps", "shop", "vamp-ca");
        map.map(drop).ok_or_else(|| "not yet".into())
    })
    .await;
    let address = "127.0.9.3";
    let agent = world.agent("agent-1", "shop", address, &[&a]);
    let targets = [Target::start("one").await, Target::start("two").await];
    let port = testkit::ports::free();
    let write = async |weight: u8| {
        let document = gateway(port, [&targets[0], &targets[1]], (weight, 100 - weight));
        call(&a, "PUT", "/shop/api/v1/gateways/front?wait=applied&timeout=60s", Some(&document)).await
    };
    until(&world, "the agent serves", || async {
        let (status, body) = write(80).await;
        let served = served_by(&a, 1).await;
        if status == 202 { served } else { Err(body.to_string()) }
    })
    .await;
    let load = Load::start(&[SocketAddr::new(address.parse().unwrap(), port)]);
    world.cluster.fall_silent(1, false);
    let begin = Instant::now();
    let (status, body) = write(30).await;
    let took = begin.elapsed();
    assert_eq!(status, 503, "{body}\n{}", world.logs());
    assert!(body["message"].as_str().is_some_and(|text| text.contains("API server")), "{body}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let (_, front) = call(&a, "GET", "/shop/api/v1/gateways/front", None).await;
    assert!(front.to_string().contains("80%"), "what is read is what is served: {front}");
    world.cluster.speak();
    until(&world, "changes to be made again", || async {
        match write(30).await {
            (202, _) => Ok(()),
            (status, body) => Err(format!("{status} {body}")),
        }
    })
    .await;
    let requests = load.end().await;
    assert!(requests > 200, "{requests} requests only");
    drop(agent);
}

/// Requests stay with the agents that carry them; which of them a condition would take is asked there.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_is_tried_on_the_requests_of_all_agents() {
    let world = World::new().await;
    let a = world.controller("a");
    until(&world, "a leads", || leads(&a)).await;
    until(&world, "the CA is published", || async {
        let map = world.cluster.object("configmaps", "shop", "vamp-ca");
        map.map(drop).ok_or_else(|| "not yet".into())
    })
    .await;
    let (target, port) = (Target::start("one").await, testkit::ports::free());
    let document =
        format!("name: front\nport: {port}/http\nroutes:\n  \"[{}]\": {{weight: 100%}}\n", target.address);
    let ask = async |condition: &str| {
        let body = format!("gateway: front\ncondition: \"{condition}\"");
        call(&a, "POST", "/shop/api/v1/condition-tests", Some(&body)).await
    };
    let (status, body) = call(&a, "PUT", "/shop/api/v1/gateways/front", Some(&document)).await;
    assert_eq!(status, 202, "{body}\n{}", world.logs());
    let (status, body) = ask("has header x-canary").await;
    assert_eq!((status, &body["available"]), (200, &json!(false)), "{body}");
    assert_eq!(body["proxies"], json!({"answered": 0, "all": 0}));

    let addresses = ["127.0.9.5", "127.0.9.6"];
    let _agents = [
        world.agent("agent-1", "shop", addresses[0], &[&a]),
        world.agent("agent-2", "shop", addresses[1], &[&a]),
    ];
    until(&world, "agents serve it", || served_by(&a, 2)).await;
    // Nothing is kept before somebody asks.
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let send = async |address: &str, path: &str, agent: &str| {
        let request = client.get(format!("http://{address}:{port}{path}")).header("user-agent", agent);
        assert_eq!(request.header("cookie", "secret=1").send().await.unwrap().status(), 200);
    };
    send(addresses[0], "/before", "Firefox/1").await;
    until(&world, "both agents to keep requests", || async {
        let (status, body) = ask("User-Agent == Firefox").await;
        assert_eq!((status, &body["requests"]), (200, &json!([])), "{body}");
        if body["proxies"]["answered"] == 2 { Ok(()) } else { Err(body.to_string()) }
    })
    .await;
    send(addresses[0], "/one?token=secret", "Firefox/1").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    send(addresses[1], "/two", "curl/8").await;
    let told = json!({
        "gateway": "front",
        "available": true,
        "proxies": {"answered": 2, "all": 2},
        "matched": 1,
        "requests": [
            {"method": "GET", "path": "/two", "matches": false},
            {"method": "GET", "path": "/one", "matches": true},
        ],
    });
    // A request is kept a moment after its answer.
    until(&world, "both requests", || async {
        let seen = ask("User-Agent == Firefox").await;
        if seen == (200, told.clone()) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    assert_eq!(a.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_environments_have_nothing_in_common() {
    let world = World::new().await;
    let a = world.controller("a");
    until(&world, "a leads", || leads(&a)).await;
    let (_, list) = call(&a, "GET", "/api/v1/environments", None).await;
    let titles: Vec<&Value> = list.as_array().unwrap().iter().map(|each| &each["prefix"]).collect();
    assert_eq!(titles, ["/shop", "/acme/prod"]);
    let target = Target::start("one").await;
    let document = gateway(testkit::ports::free(), [&target, &target], (100, 0));
    let document = document.lines().take(4).collect::<Vec<_>>().join("\n");
    let (status, body) = call(&a, "PUT", "/acme/prod/api/v1/gateways/front", Some(&document)).await;
    assert_eq!(status, 202, "{body}");
    let count = async |path: &str| call(&a, "GET", path, None).await.1.as_array().map(Vec::len);
    assert_eq!(count("/prod/api/v1/gateways").await, Some(1));
    assert_eq!(count("/api/v1/gateways").await, Some(0));
    let records = world.cluster.objects("records.vamp.io");
    let of = |namespace: &str| records.iter().filter(|r| r["metadata"]["namespace"] == namespace).count();
    assert!(of("vampio-acme-prod") > 0);
    // The Service of the gateway is where the gateway is.
    until(&world, "its Service", || async {
        let there = world.cluster.object("services", "vampio-acme-prod", "front");
        match there.map(|service| service["metadata"]["labels"]["io.vamp.owner"].clone()) {
            Some(owner) if owner == "controller.vamp-system" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(world.cluster.object("services", "shop", "front").is_none());
    assert_eq!(a.terminate(), Some(0));
}
