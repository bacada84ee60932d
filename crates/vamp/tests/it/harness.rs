//! The real binary, started on free ports and ended with the test.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running `vamp serve` with a folder of its own.
pub(crate) struct Vamp {
    child: Child,
    pub(crate) api: String,
    pub(crate) hosts: String,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    /// The first port of the range for gateways.
    pub(crate) first_port: u16,
    http: reqwest::Client,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl Vamp {
    /// Starts `serve` with an empty inventory.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts `serve` with more arguments.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        Self::start_sized(arguments, 60).await
    }

    /// Starts `serve` after a shell has run `preparation`.
    pub(crate) async fn start_in(preparation: &str, arguments: &[&str]) -> Self {
        Self::begin(Some(preparation), arguments, 60).await
    }

    /// Starts `serve` with more arguments and a range of so many ports for gateways.
    pub(crate) async fn start_sized(arguments: &[&str], ports: u16) -> Self {
        Self::begin(None, arguments, ports).await
    }

    async fn begin(preparation: Option<&str>, arguments: &[&str], ports: u16) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("inventory")).expect("the inventory folder");
        let from = testkit::ports::block(ports);
        let mut arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        if !arguments.iter().any(|argument| argument == "--route-retention") {
            arguments.extend(["--route-retention".to_owned(), "1s".to_owned()]);
        }
        arguments.extend(["--port-range".to_owned(), format!("{from}-{}", from + ports - 1)]);
        let (child, first) = spawn(folder.path(), preparation, &arguments);
        let mut vamp = Self {
            child,
            api: String::new(),
            hosts: String::new(),
            folder,
            arguments,
            first_port: from,
            http: reqwest::Client::builder().no_proxy().build().expect("a client"),
        };
        vamp.greet(&first);
        vamp.ready().await;
        vamp
    }

    fn greet(&mut self, first: &Value) {
        self.api = format!("http://{}", first["api"].as_str().expect("the first line names the API"));
        self.hosts =
            first["virtual_hosts"].as_str().expect("the first line names the shared listener").to_owned();
        assert_eq!(first["pid"].as_u64(), Some(u64::from(self.child.id())));
    }

    async fn ready(&self) {
        eventually("vamp to become ready", || async {
            let answer = self.http.get(format!("{}/readyz", self.api)).send().await;
            answer.is_ok_and(|answer| answer.status() == 200).then_some(())
        })
        .await;
    }

    #[allow(dead_code, reason = "benchmarks look at its memory")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `kill -9`, then the same command line on the same folder.
    pub(crate) async fn crash_and_restart(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
        let (child, first) = spawn(self.folder(), None, &self.arguments);
        self.child = child;
        self.greet(&first);
        self.ready().await;
    }

    /// SIGTERM; the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("vamp did not stop after SIGTERM");
    }

    // -- The API ---------------------------------------------------------------------------------------------------

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        // Five seconds, as long as a change is waited for else, may be short for a busy machine.
        let longer =
            if path.contains("wait=applied") && !path.contains("timeout=") { "&timeout=60s" } else { "" };
        let mut request = self.http.request(method, format!("{}{path}{longer}", self.api));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                request = request.header("content-type", "application/x-yaml");
            }
            request = request.body(body.to_owned());
        }
        let response = request.send().await.expect("the API answers");
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.expect("a whole answer");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", &format!("/api/v1{path}"), None, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", &format!("/api/v1{path}"), Some(body), &[]).await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.call("PUT", &format!("/api/v1{path}"), Some(body), &[]).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", &format!("/api/v1{path}"), None, &[]).await
    }

    /// Creates a gateway that must be accepted, and waits until the proxy serves it.
    pub(crate) async fn gateway(&self, document: &str) -> Value {
        let answer = self.post("/gateways?wait=applied", document).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.body
    }

    /// The port of a gateway.
    pub(crate) async fn port(&self, gateway: &str) -> u16 {
        let body = self.get(&format!("/gateways/{gateway}")).await.body;
        let port = body["service"]["port"].as_str().expect("service.port");
        port.split('/').next().and_then(|number| number.parse().ok()).expect("a port number")
    }

    /// Waits until a gateway has exactly these routes with these weights, each with a target, and the proxy has those targets.
    pub(crate) async fn routes(&self, gateway: &str, expected: &[(&str, &str)]) {
        eventually(&format!("{gateway} to have the routes {expected:?}"), || async {
            let body = self.get(&format!("/gateways/{gateway}")).await.body;
            let routes = body["routes"].as_object()?;
            let same = routes.len() == expected.len()
                && expected.iter().all(|(path, weight)| {
                    routes.get(*path).is_some_and(|route| {
                        route["weight"] == *weight
                            && route["targets"].as_array().is_some_and(|t| !t.is_empty())
                    })
                });
            (same && shown(&body) == self.served(gateway).await).then_some(())
        })
        .await;
    }

    /// Waits until a gateway has so many targets, and the proxy the same: the API shows a change a moment before the proxy has it.
    pub(crate) async fn targets(&self, gateway: &str, count: usize) {
        eventually(&format!("{gateway} to have {count} targets"), || async {
            let shown = shown(&self.get(&format!("/gateways/{gateway}")).await.body);
            (shown.len() == count && shown == self.served(gateway).await).then_some(())
        })
        .await;
    }

    /// The targets of a gateway in the table that the proxy serves, as route and address.
    async fn served(&self, gateway: &str) -> BTreeSet<(String, String)> {
        let status = self.get("/status").await.body;
        let targets = status["targets"].as_array().into_iter().flatten();
        let of_it = targets.filter(|target| target["gateway"] == gateway);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        of_it.map(|target| (text(&target["route"]), text(&target["address"]))).collect()
    }

    // -- The inventory ---------------------------------------------------------------------------------------------

    /// Writes a pod into the inventory, atomically.
    pub(crate) fn pod(&self, pod: &Pod<'_>) {
        self.inventory(&format!("{}.json", pod.name), &pod.manifest().to_string());
    }

    pub(crate) fn remove_pod(&self, name: &str) {
        fs::remove_file(self.inventory_folder().join(format!("{name}.json")))
            .expect("a pod of the inventory");
    }

    pub(crate) fn inventory(&self, file: &str, text: &str) {
        let part = self.folder().join("part");
        fs::write(&part, text).expect("writable");
        fs::rename(part, self.inventory_folder().join(file)).expect("writable");
    }

    fn inventory_folder(&self) -> PathBuf {
        self.folder().join("inventory")
    }

    /// Runs a verb of the client against this server.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_command(arguments).output().expect("the binary runs")
    }

    /// The same, to be changed before it runs.
    pub(crate) fn cli_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vamp"));
        command.args(arguments).env("VAMP_URL", &self.api).env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }
}

impl Drop for Vamp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The targets of a gateway as the API shows them, as route and address.
fn shown(gateway: &Value) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    for (path, route) in gateway["routes"].as_object().into_iter().flatten() {
        for target in route["targets"].as_array().into_iter().flatten() {
            all.insert((path.clone(), target["url"].as_str().unwrap_or_default().to_owned()));
        }
    }
    all
}

/// A pod that is served by a fake target.
pub(crate) struct Pod<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: &'a [(&'a str, &'a str)],
    pub(crate) address: std::net::SocketAddr,
    pub(crate) ready: bool,
}

impl Pod<'_> {
    pub(crate) fn manifest(&self) -> Value {
        let labels: serde_json::Map<String, Value> =
            self.labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.name, "namespace": "default", "labels": labels},
            "spec": {"containers": [{"name": "main", "image": "example/main:1", "ports": [{"containerPort": self.address.port()}]}]},
            "status": {
                "phase": "Running", "podIP": self.address.ip().to_string(),
                "conditions": [{"type": "Ready", "status": if self.ready { "True" } else { "False" }}],
            },
        })
    }
}

/// The program under test: another build of it, for figures, when `VAMP_TEST_PROGRAM` names one.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("VAMP_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_vamp").into()).into()
}

fn spawn(folder: &Path, preparation: Option<&str>, arguments: &[String]) -> (Child, Value) {
    let mut command = match preparation {
        None => Command::new(program()),
        Some(preparation) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{preparation}; exec \"$0\" \"$@\"")]).arg(program());
            shell
        }
    };
    command.arg("serve");
    if !arguments.iter().any(|argument| argument == "--kubeconfig") {
        command.args(["--inventory".as_ref(), folder.join("inventory").as_os_str()]);
    }
    let mut child = command
        .args(["--api-listen", "127.0.0.1:0", "--virtual-host-listen", "127.0.0.1:0", "--log", "warn"])
        .args(["--virtual-host-tls-listen", "127.0.0.1:0"])
        .args(["--data-dir".as_ref(), folder.join("data").as_os_str()])
        .args(["--drain-timeout", "5s"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a first line");
    let first =
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("the first line is JSON: {e}: {line:?}"));
    (child, first)
}

/// Sends a signal by name to a process that the test started.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}

/// Asks again until there is an answer, or panics with what was waited for.
pub(crate) async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
