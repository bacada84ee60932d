//! Pods that no node runs: servers of the test on loopback, with a Pod object each.
//!
//! The API server accepts loopback addresses in the status of a pod (though not in Endpoints), so that everything which follows
//! pods can be tested where nothing runs them, and next to nodes that do.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Namespace;

/// A scheduler that does not exist: no node takes such a pod.
const NOBODY: &str = "vamp-test";

/// Keeps a pod that is being deleted until its [`Kubelet`] let go of it, as a node does.
const FINALIZER: &str = "test.vamp.io/kubelet";

/// A pod with a server of the test behind it.
#[derive(Debug, Clone)]
pub struct Pod<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a [(&'a str, &'a str)],
    /// Where its server listens; the port becomes the container port.
    pub address: SocketAddr,
    /// Its Ready condition.
    pub ready: bool,
}

impl Namespace {
    /// Creates a pod, running.
    pub async fn pod(&self, pod: &Pod<'_>) {
        let labels: BTreeMap<_, _> = pod.labels.iter().copied().collect();
        self.create(
            "pods",
            json!({
                // The pretended node of `kube-up.sh --fake-node` gives the same address.
                "metadata": {"name": pod.name, "labels": labels, "annotations": {"kube-up/pod-ip": pod.address.ip()}},
                "spec": {
                    "schedulerName": NOBODY, "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "main", "image": "example/main:1", "ports": [{"containerPort": pod.address.port()}]}],
                },
            }),
        )
        .await;
        self.runs(pod.name, pod.address.ip(), pod.ready).await;
    }

    /// Changes the Ready condition of such a pod.
    pub async fn set_ready(&self, pod: &str, ready: bool) {
        let object = self.get("pods", pod).await.unwrap_or_else(|| panic!("no pod {pod}"));
        let address = object["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok()).expect("an address");
        self.runs(pod, address, ready).await;
    }

    /// Deletes such a pod, now.
    pub async fn remove_pod(&self, pod: &str) {
        let path = format!("{}?gracePeriodSeconds=0", self.path("pods", pod));
        let (status, answer) = self.call("DELETE", &path, None).await;
        assert!(matches!(status, 200 | 202 | 404), "delete pod {pod}: {answer}");
    }

    /// Kills the processes of a pod without a word where its node is this machine; true then. Elsewhere it is deleted at once, which
    /// is not quite the same: they are told to end.
    pub async fn kill_pod(&self, pod: &str) -> bool {
        let object = self.get("pods", pod).await.expect("a pod");
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let statuses = object["status"]["containerStatuses"].as_array();
        let containers = statuses.into_iter().flatten().filter_map(|status| {
            let (_, id) = status["containerID"].as_str()?.split_once("://")?;
            Some(id.to_owned())
        });
        let killed = containers.map(|id| processes(uid, &id).into_iter().filter(|it| kill(*it)).count());
        if killed.sum::<usize>() > 0 {
            return true;
        }
        self.remove_pod(pod).await;
        false
    }

    async fn runs(&self, pod: &str, address: IpAddr, ready: bool) {
        self.patch("pods", &format!("{pod}/status"), running(address, ready)).await;
    }
}

/// The processes of a container, when it runs on this machine.
fn processes(pod: &str, container: &str) -> Vec<u32> {
    let groups = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].iter().flat_map(|root| {
        ["", "burstable/", "besteffort/"]
            .map(|class| format!("{root}/kubepods/{class}pod{pod}/{container}/cgroup.procs"))
    });
    let text = groups.filter_map(|file| std::fs::read_to_string(file).ok()).next();
    text.unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
}

fn kill(process: u32) -> bool {
    let killed = std::process::Command::new("kill").args(["-9", &process.to_string()]).status();
    killed.is_ok_and(|status| status.success())
}

/// The status of a pod that runs.
fn running(address: IpAddr, ready: bool) -> Value {
    let ready = if ready { "True" } else { "False" };
    json!({"status": {
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
        "conditions": [
            {"type": "Initialized", "status": "True"}, {"type": "PodScheduled", "status": "True"},
            {"type": "ContainersReady", "status": ready}, {"type": "Ready", "status": ready},
        ],
    }})
}

/// Starts what a pod runs, on the given address. What it answers is dropped when the pod ends.
pub type Serve = Box<
    dyn Fn(Value, IpAddr) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Any + Send>>> + Send>> + Send,
>;

/// Takes the place of a node for the pods of a namespace that none takes, for example those of a Deployment whose template
/// names a scheduler that does not exist, or of any where the cluster has no nodes. Ends when dropped.
#[derive(Debug)]
pub struct Kubelet {
    task: JoinHandle<()>,
}

impl Kubelet {
    /// Begins to run pods. One that is deleted is served for `linger` more, as a process does that ends in good order.
    pub fn start(namespace: &Namespace, linger: Duration, serve: Serve) -> Self {
        let path = namespace.path("pods", "");
        let (base, http) = (namespace.base, namespace.http.clone());
        let api = Api { base, http, path };
        Self { task: tokio::spawn(run(api, linger, serve)) }
    }

    /// What a Deployment's pod template needs so that its pods are run here and nowhere else, and end as on a node.
    pub fn adopt(deployment: &mut Value) {
        let template = &mut deployment["spec"]["template"];
        template["spec"]["schedulerName"] = NOBODY.into();
        template["metadata"]["finalizers"] = json!([FINALIZER]);
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Api {
    base: &'static str,
    http: reqwest::Client,
    path: String,
}

impl Api {
    async fn pods(&self) -> Option<Vec<Value>> {
        let answer = self.http.get(format!("{}{}", self.base, self.path)).send().await.ok()?;
        let mut list: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        match list["items"].take() {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The next look sees whether it was of use.
    async fn patch(&self, name: &str, patch: Value) -> bool {
        let request = self
            .http
            .patch(format!("{}{}/{name}", self.base, self.path))
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string());
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }
}

async fn run(api: Api, linger: Duration, serve: Serve) {
    let mut running: BTreeMap<String, Box<dyn Any + Send>> = BTreeMap::new();
    let mut going: BTreeMap<String, tokio::time::Instant> = BTreeMap::new();
    // Addresses of this process, so that tests which run side by side do not meet.
    let mut next = u32::from(Ipv4Addr::new(127, 64, 0, 1)) + (std::process::id() % 0x3ff0) * 256;
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Some(pods) = api.pods().await else { continue };
        for pod in &pods {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if pod["spec"]["nodeName"].is_string() && !running.contains_key(&name) {
                continue;
            }
            if pod["metadata"]["deletionTimestamp"].is_string() {
                going.entry(name).or_insert_with(|| tokio::time::Instant::now() + linger);
            } else if !running.contains_key(&name) && pod["status"]["phase"] == "Pending" {
                next += 1;
                let address = IpAddr::V4(next.into());
                // An address that is taken: the next look tries another.
                let Ok(server) = serve(pod.clone(), address).await else { continue };
                if api.patch(&format!("{name}/status"), self::running(address, true)).await {
                    running.insert(name, server);
                }
            }
        }
        // Pods that vanished without a word.
        for name in running.keys() {
            if !pods.iter().any(|pod| pod["metadata"]["name"] == name.as_str()) {
                going.entry(name.clone()).or_insert_with(|| tokio::time::Instant::now() + linger);
            }
        }
        let now = tokio::time::Instant::now();
        let ended: Vec<String> =
            going.iter().filter(|(_, end)| **end <= now).map(|(name, _)| name.clone()).collect();
        for name in ended {
            running.remove(&name);
            going.remove(&name);
            // Fails when the pod is gone already.
            api.patch(&name, json!({"metadata": {"finalizers": null}})).await;
        }
    }
}
