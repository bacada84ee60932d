//! A real cluster for tests: a namespace for each, on the API server that `VAMP_TEST_KUBECONFIG` leads to.
//!
//! ```no_run
//! # async fn test() {
//! let Some(namespace) = testkit::kube::Namespace::new("discovery").await else { return };
//! namespace.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: one}}").await;
//! # }
//! ```
//!
//! Needs `kubectl`. Everything that is made in a namespace goes with it, at the end of the test, also when it panics.

mod image;
mod pods;
mod proxy;
mod skip;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

pub use image::{Image, LOAD_IMAGE};
pub use pods::{Kubelet, Pod, Serve};
pub use skip::{CLUSTER, SKIPPED, skip};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The label of namespaces that tests made: `kubectl delete namespaces -l vamp.io/test` removes what killed tests left.
const MARK: &str = "vamp.io/test";

/// A namespace of the test cluster that belongs to one test.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    folder: tempfile::TempDir,
    base: &'static str,
    http: reqwest::Client,
}

impl Namespace {
    /// A new namespace with a name that begins with `vamp-test-` and `name`. `None`, and the test is reported as skipped,
    /// when there is no cluster.
    pub async fn new(name: &str) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("vamp-test-{name}-{}-{number}", std::process::id())).await
    }

    /// A new namespace of exactly this name. Waits for another test that has it.
    pub async fn named(name: &str) -> Option<Self> {
        let cluster = skip::kubeconfig()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let namespace = Self { name: name.to_owned(), folder, base: proxy::base(&cluster), http };
        namespace.write_kubeconfig(&cluster).await;
        let document = json!({"metadata": {"name": name, "labels": {MARK: "true"}}});
        eventually(&format!("namespace {name} to be free"), || async {
            let (status, answer) = namespace.call("POST", "/api/v1/namespaces", Some(document.clone())).await;
            match status {
                201 => Ok(()),
                409 => Err(answer["message"].to_string()),
                _ => panic!("cannot create namespace {name}: {status} {answer}"),
            }
        })
        .await;
        // Pods need it.
        namespace.until("serviceaccounts", "default", "to be there", |_| true).await;
        Some(namespace)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A kubeconfig with all rights whose context `test` names this namespace.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    async fn write_kubeconfig(&self, cluster: &Path) {
        let mut view = Command::new("kubectl");
        view.args(["config", "view", "--raw", "--flatten", "--minify", "-o", "json"]);
        let output = run(view.env("KUBECONFIG", cluster), None).await;
        let text = checked("kubectl config view", output);
        let mut config: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        config["contexts"][0]["context"]["namespace"] = self.name.as_str().into();
        config["contexts"][0]["name"] = "test".into();
        config["current-context"] = "test".into();
        write_private(&self.kubeconfig(), &config.to_string());
    }

    /// A kubeconfig for a service account of this namespace, which is created when it is not there: it has no rights but
    /// those that bindings give.
    pub async fn kubeconfig_of(&self, account: &str) -> PathBuf {
        let token = self.token(account, None).await;
        let file = self.folder.path().join(format!("kubeconfig-{account}"));
        let text = std::fs::read_to_string(self.kubeconfig()).expect("written before");
        let mut config: Value = serde_json::from_str(&text).expect("written before");
        config["users"][0]["user"] = json!({"token": token});
        write_private(&file, &config.to_string());
        file
    }

    /// A token of a service account of this namespace, which is created when it is not there.
    pub async fn token(&self, account: &str, audience: Option<&str>) -> String {
        let accounts = self.path("serviceaccounts", "");
        let (status, answer) =
            self.call("POST", &accounts, Some(json!({"metadata": {"name": account}}))).await;
        assert!(matches!(status, 201 | 409), "service account {account}: {status} {answer}");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": audience.into_iter().collect::<Vec<_>>()},
        });
        let path = self.path("serviceaccounts", &format!("{account}/token"));
        let (status, answer) = self.call("POST", &path, Some(request)).await;
        assert_eq!(status, 201, "token of {account}: {answer}");
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// True when some node runs pods, so that a Deployment gets somewhere.
    pub async fn runs_pods(&self) -> bool {
        let (status, nodes) = self.call("GET", "/api/v1/nodes", None).await;
        assert_eq!(status, 200, "{nodes}");
        let items = nodes["items"].as_array().expect("a list");
        items.iter().any(|node| {
            let version = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default();
            !version.is_empty()
        })
    }

    /// Installs objects for the whole cluster, such as custom resource definitions, and waits until they are served. They stay.
    /// What an old API server does not know in them is dropped by it, as rules in CEL by Kubernetes 1.20.
    pub async fn install(&self, manifests: &str) {
        // A server-side apply would refuse it.
        let apply = ["apply", "--validate=false", "-f", "-"];
        self.kubectl_with(&apply, manifests).await;
        let names = self.kubectl(&["get", "-o", "name", "customresourcedefinitions"]).await;
        let ours: Vec<&str> = names.lines().filter(|name| name.contains(".vamp.io")).collect();
        if !ours.is_empty() {
            let mut arguments = vec!["wait", "--for=condition=Established", "--timeout=60s"];
            arguments.extend(ours);
            self.kubectl(&arguments).await;
        }
    }

    // -- kubectl ---------------------------------------------------------------------------------------------------------

    /// Applies YAML or JSON documents.
    pub async fn apply(&self, manifests: &str) {
        self.kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], manifests).await;
    }

    /// Runs kubectl in this namespace; what it prints. Panics with its message when it fails.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        checked(&format!("kubectl {arguments:?}"), self.try_kubectl(arguments, None).await)
    }

    /// The same with text on its standard input.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        checked(&format!("kubectl {arguments:?}"), self.try_kubectl(arguments, Some(input)).await)
    }

    /// The same, whether it fails or not.
    pub async fn try_kubectl(&self, arguments: &[&str], input: Option<&str>) -> Output {
        let mut command = Command::new("kubectl");
        run(command.env("KUBECONFIG", self.kubeconfig()).args(arguments), input).await
    }

    // -- the API server --------------------------------------------------------------------------------------------------

    /// Where the API server is reached without credentials, as `kubectl proxy` does it.
    pub fn api(&self) -> &'static str {
        self.base
    }

    /// The path of an object of this namespace, or of all of a kind with an empty name. `resource` is for example `pods`,
    /// `apps/v1/deployments` or `vamp.io/v1/gateways`.
    pub fn path(&self, resource: &str, name: &str) -> String {
        let (group, plural) = match resource.rsplit_once('/') {
            Some((group, plural)) => (format!("/apis/{group}"), plural),
            None => ("/api/v1".to_owned(), resource),
        };
        let path = format!("{group}/namespaces/{}/{plural}", self.name);
        if name.is_empty() { path } else { format!("{path}/{name}") }
    }

    /// One request; status and answer. A PATCH is a merge patch.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let verb = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(verb, format!("{}{path}", self.base)).timeout(PATIENCE);
        if let Some(body) = body {
            let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
            request = request.header("content-type", kind).body(body.to_string());
        }
        let answer = request.send().await.unwrap_or_else(|e| panic!("{method} {path}: {e:?}"));
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_else(|e| panic!("{method} {path}: {e:?}"));
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Creates an object. In a new namespace the API server asks to wait a moment for the token of its service account.
    pub async fn create(&self, resource: &str, object: Value) -> Value {
        let (status, answer) = eventually(&format!("create {resource}"), || async {
            let (status, answer) = self.call("POST", &self.path(resource, ""), Some(object.clone())).await;
            match status {
                500 if answer["reason"] == "ServerTimeout" => Err(answer.to_string()),
                _ => Ok((status, answer)),
            }
        })
        .await;
        assert_eq!(status, 201, "create {resource}: {answer}");
        answer
    }

    /// An object; `None` when there is none.
    pub async fn get(&self, resource: &str, name: &str) -> Option<Value> {
        let (status, answer) = self.call("GET", &self.path(resource, name), None).await;
        match status {
            200 => Some(answer),
            404 => None,
            _ => panic!("get {resource} {name}: {status} {answer}"),
        }
    }

    /// All objects of a kind in this namespace.
    pub async fn list(&self, resource: &str) -> Vec<Value> {
        let (status, mut answer) = self.call("GET", &self.path(resource, ""), None).await;
        assert_eq!(status, 200, "list {resource}: {answer}");
        match answer["items"].take() {
            Value::Array(items) => items,
            other => panic!("list {resource}: {other}"),
        }
    }

    /// Changes an object by a merge patch; `name` may end in a subresource such as `/status`.
    pub async fn patch(&self, resource: &str, name: &str, patch: Value) -> Value {
        let (status, answer) = self.call("PATCH", &self.path(resource, name), Some(patch)).await;
        assert_eq!(status, 200, "patch {resource} {name}: {answer}");
        answer
    }

    /// Begins to delete an object; false when there is none.
    pub async fn delete(&self, resource: &str, name: &str) -> bool {
        let (status, answer) = self.call("DELETE", &self.path(resource, name), None).await;
        assert!(matches!(status, 200 | 202 | 404), "delete {resource} {name}: {status} {answer}");
        status != 404
    }

    /// Waits until an object is there and as it should be.
    pub async fn until(
        &self,
        resource: &str,
        name: &str,
        what: &str,
        mut holds: impl FnMut(&Value) -> bool,
    ) -> Value {
        let check = &mut holds;
        let mut last = None;
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(object) = self.get(resource, name).await {
                if check(&object) {
                    return object;
                }
                last = Some(object);
            }
            assert!(Instant::now() < end, "waited for {resource} {name} {what}: {last:#?}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until an object is gone.
    pub async fn until_gone(&self, resource: &str, name: &str) {
        eventually(&format!("{resource} {name} to be gone"), || async {
            self.get(resource, name).await.map_or(Ok(()), |object| Err(object.to_string()))
        })
        .await;
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let ended = std::process::Command::new("kubectl")
            .env("KUBECONFIG", self.kubeconfig())
            .args(["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"])
            .stdout(Stdio::null())
            .status();
        if !ended.is_ok_and(|status| status.success()) && !std::thread::panicking() {
            panic!("namespace {} cannot be deleted", self.name);
        }
    }
}

/// Waits until something holds, or panics with what was waited for and the last reason why it does not.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(why) => assert!(Instant::now() < end, "waited {} s for {what}: {why}", PATIENCE.as_secs()),
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Runs a program; again, when all it says is that the cluster is too busy to be reached: then nothing was done.
async fn run(command: &mut Command, input: Option<&str>) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let end = Instant::now() + PATIENCE;
    loop {
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut stdin = child.stdin.take().expect("piped");
        if let Some(input) = input {
            // Whoever does not read it says why.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        drop(stdin);
        let output = child.wait_with_output().await.expect("a program that ends");
        let said = String::from_utf8_lossy(&output.stderr);
        let not_reached = ["TLS handshake timeout", "timed out waiting for server handshake"];
        let again = !output.status.success() && not_reached.iter().any(|part| said.contains(part));
        if !again || Instant::now() > end {
            return output;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn checked(what: &str, output: Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {err}{out}");
    out.into_owned()
}

/// Credentials are for nobody else.
fn write_private(file: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(file);
    let written = opened.and_then(|mut opened| std::io::Write::write_all(&mut opened, text.as_bytes()));
    written.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
}
