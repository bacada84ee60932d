//! A large cluster: how long Vamp takes to know it, how much memory that needs, and how soon a change of one pod reaches the proxies.
//!
//! `cargo bench -p vamp --bench scale`, also part of `cargo xtask bench`. On the cluster that `VAMP_TEST_KUBECONFIG` leads to, else on
//! the fake API server of the tests. `VAMP_BENCH_PODS` (10000) and `VAMP_BENCH_GATEWAYS` (1000) say how large.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "figures are the result")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::kube::Namespace;
use testkit::target::Target;

#[path = "../tests/it/harness.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod harness;

use harness::Vamp;

/// How often the change of a pod is measured.
const CHANGES: usize = 60;
/// Requests to the API server at once while pods are made.
const PARALLEL: usize = 32;

enum World {
    Real(Namespace),
    Fake(Cluster, tempfile::TempDir),
}

fn size(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

/// Ten pods of each of the applications that there are gateways for, in two versions; the rest belongs to none.
fn pod(number: usize, gateways: usize, ready: bool, namespace: &str) -> Value {
    let (application, instance) = (number % gateways, number / gateways);
    let version = if instance < 5 { "1" } else { "2" };
    let address = format!("127.{}.{}.{}", 100 + number / 62_500, number / 250 % 250, number % 250 + 1);
    let hash = format!("{:08x}", number.wrapping_mul(2_654_435_761) % 0xffff_ffff);
    json!({
        "metadata": {
            "name": format!("app-{application}-{hash}-{instance}"), "namespace": namespace,
            "labels": {"app": format!("app-{application}"), "version": version, "pod-template-hash": hash, "team": "one", "tier": "backend"},
            "annotations": {"kube-up/pod-ip": address, "prometheus.io/scrape": "true", "checksum/config": "0".repeat(64)},
            "managedFields": [],
        },
        "spec": {
            "schedulerName": "nobody", "terminationGracePeriodSeconds": 0,
            "containers": [
                {"name": "main", "image": format!("registry.example/app-{application}:{version}.0.1"), "ports": [{"containerPort": 8080, "name": "http"}],
                 "env": [{"name": "A", "value": "b"}, {"name": "C", "value": "d"}], "resources": {"requests": {"cpu": "10m"}}},
                {"name": "sidecar", "image": "registry.example/sidecar:1"},
            ],
        },
        "status": status(&address, ready),
    })
}

fn status(address: &str, ready: bool) -> Value {
    let ready = if ready { "True" } else { "False" };
    json!({
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
        "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}],
    })
}

impl World {
    async fn new() -> Self {
        if std::env::var_os(testkit::kube::CLUSTER).is_some_and(|file| !file.is_empty()) {
            let namespace = Namespace::new("scale").await.expect("a cluster");
            println!("on the cluster of {}", testkit::kube::CLUSTER);
            return Self::Real(namespace);
        }
        println!("on a fake API server in this process");
        Self::Fake(Cluster::start(1).await.unwrap(), tempfile::tempdir().unwrap())
    }

    fn namespace(&self) -> &str {
        match self {
            Self::Real(namespace) => namespace.name(),
            Self::Fake(..) => "prod",
        }
    }

    fn kubeconfig(&self) -> PathBuf {
        match self {
            Self::Real(namespace) => namespace.kubeconfig(),
            Self::Fake(cluster, folder) => {
                let file = folder.path().join("kubeconfig");
                std::fs::write(&file, cluster.kubeconfig(self.namespace())).unwrap();
                file
            }
        }
    }

    async fn create(&self, pods: impl Iterator<Item = Value>) {
        match self {
            Self::Fake(cluster, _) => pods.for_each(|pod| cluster.apply("pods", pod)),
            Self::Real(namespace) => {
                let work = pods.map(async |mut pod: Value| {
                    let status = pod["status"].take();
                    let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
                    namespace.create("pods", pod).await;
                    namespace.patch("pods", &format!("{name}/status"), json!({"status": status})).await;
                });
                futures_util::stream::iter(work).buffer_unordered(PARALLEL).collect::<()>().await;
            }
        }
    }

    /// Changes the readiness of the pod that the measurement is made with.
    async fn set_ready(&self, address: std::net::SocketAddr, ready: bool) {
        let status = status(&address.ip().to_string(), ready);
        match self {
            Self::Real(namespace) => {
                namespace.patch("pods", "probe/status", json!({"status": status})).await;
            }
            Self::Fake(cluster, _) => {
                let mut pod = probe(address, self.namespace());
                pod["status"] = status;
                cluster.apply("pods", pod);
            }
        }
    }
}

/// A pod with a server behind it.
fn probe(address: std::net::SocketAddr, namespace: &str) -> Value {
    let mut pod = pod(0, 1, true, namespace);
    pod["metadata"]["name"] = "probe".into();
    pod["metadata"]["labels"] = json!({"app": "probe", "version": "1"});
    pod["metadata"]["annotations"]["kube-up/pod-ip"] = address.ip().to_string().into();
    pod["spec"]["containers"][0]["ports"][0]["containerPort"] = address.port().into();
    pod["status"] = status(&address.ip().to_string(), true);
    pod
}

fn document(gateway: usize) -> String {
    format!("name: gateway-{gateway}\nselector: label(app)(app-{gateway}) && label(version)((.*))")
}

fn report(what: &str, value: f64, unit: &str) {
    println!("{what:<62} {value:>8.1} {unit}");
}

/// The moment when each of the last gateways shows all of its instances.
async fn until_known(vamp: &Vamp, gateways: usize, instances: usize) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/v1/gateways", vamp.api);
    let end = Instant::now() + Duration::from_secs(300);
    loop {
        let name = format!("/gateways/gateway-{}", gateways - 1);
        if targets(&vamp.get(&name).await.body) == instances {
            let all: Value = http.get(&url).send().await.unwrap().json().await.unwrap();
            let short = all.as_array().is_none_or(|all| {
                all.iter()
                    .filter(|gateway| gateway["name"] != "probe")
                    .any(|gateway| targets(gateway) != instances)
            });
            if !short {
                return;
            }
        }
        assert!(Instant::now() < end, "not all instances became known");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn targets(gateway: &Value) -> usize {
    let routes = gateway["routes"].as_object();
    routes.map_or(0, |routes| {
        routes.values().map(|route| route["targets"].as_array().map_or(0, Vec::len)).sum()
    })
}

#[tokio::main]
async fn main() {
    let (pods, gateways) = (size("VAMP_BENCH_PODS", 10_000), size("VAMP_BENCH_GATEWAYS", 1_000));
    let world = World::new().await;
    let begin = Instant::now();
    world.create((0..pods).map(|number| pod(number, gateways, true, world.namespace()))).await;
    let target = Target::named("probe").await.unwrap();
    world.create(std::iter::once(probe(target.address(), world.namespace()))).await;
    report(&format!("{pods} pods made"), begin.elapsed().as_secs_f64(), "s");

    let kubeconfig = world.kubeconfig();
    let arguments = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--create-services", "false"];
    let ports = u16::try_from(gateways + 10).unwrap();
    let mut vamp = Vamp::start_sized(&arguments, ports).await;
    let begin = Instant::now();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let write = async |number: usize| {
        let request = http.post(format!("{}/api/v1/gateways", vamp.api)).body(document(number));
        let answer = request.header("content-type", "application/x-yaml").send().await.unwrap();
        assert_eq!(answer.status(), 202, "{:?}", answer.text().await);
    };
    futures_util::stream::iter((0..gateways).map(write)).buffer_unordered(4).collect::<()>().await;
    report(&format!("{gateways} gateways written"), begin.elapsed().as_secs_f64(), "s");
    vamp.gateway("name: probe\nselector: label(app)(probe) && label(version)((.*))").await;
    until_known(&vamp, gateways, pods / gateways).await;
    report("resident after that", resident(&vamp), "MiB");

    let begin = Instant::now();
    vamp.crash_and_restart().await;
    report("restart until ready", begin.elapsed().as_secs_f64() * 1000.0, "ms");
    until_known(&vamp, gateways, pods / gateways).await;
    report("restart until everything is known: full sync", begin.elapsed().as_secs_f64() * 1000.0, "ms");
    report("resident after the restart", resident(&vamp), "MiB");

    let url = format!("http://127.0.0.1:{}/", vamp.port("probe").await);
    let mut took = Vec::new();
    for change in 0..CHANGES {
        let ready = change % 2 == 1;
        let begin = Instant::now();
        world.set_ready(target.address(), ready).await;
        while (http.get(&url).send().await.unwrap().status() == 200) != ready {
            assert!(begin.elapsed() < Duration::from_secs(30), "the change never arrived");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        took.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    report("one pod changes until the proxy follows, median", took[took.len() / 2], "ms");
    report("one pod changes until the proxy follows, p95", took[took.len() * 95 / 100], "ms");
    report("resident in the end", resident(&vamp), "MiB");
    assert_eq!(vamp.terminate(), Some(0));
}

fn resident(vamp: &Vamp) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", vamp.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
