//! A fake cluster with a platform that follows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kubernetes::{Credentials, Gateway, GatewayService, Platform, Rules, Settings};
use model::instance::{Instance, Observation};
use model::name::GatewayName;
use model::port::Protocol;
use serde_json::{Value, json};
use testkit::cluster::Cluster;
use tokio::sync::watch;

pub(crate) const NAMESPACE: &str = "prod";

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) platform: Platform,
    pub(crate) observation: watch::Receiver<Arc<Observation>>,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(cluster: Cluster) -> Self {
        Self::with(cluster, |_| {}).await
    }

    pub(crate) async fn with(cluster: Cluster, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        std::fs::write(&file, cluster.kubeconfig(NAMESPACE)).unwrap();
        let credentials = Credentials::Kubeconfig { file, context: None };
        let connected = kubernetes::Cluster::connect(&credentials).await.unwrap();
        let mut settings = Settings::new(NAMESPACE);
        change(&mut settings);
        let platform = Platform::start(&connected, settings);
        let observation = platform.observe();
        Self { cluster, platform, observation, _folder: folder }
    }

    /// Waits until the observation is as `holds` wants.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        holds: impl FnMut(&Arc<Observation>) -> bool,
    ) -> Arc<Observation> {
        let last = self.observation.clone();
        match tokio::time::timeout(PATIENCE, self.observation.wait_for(holds)).await {
            Ok(Ok(seen)) => seen.clone(),
            _ => panic!("{what}: {:?}", last.borrow()),
        }
    }

    /// Names and readiness of all instances.
    pub(crate) async fn until_pods(&mut self, what: &str, expected: &[(&str, bool)]) {
        self.until(what, |seen| {
            let seen: Vec<_> = seen.instances.iter().map(|i| (i.name.as_str(), i.ready)).collect();
            seen == expected
        })
        .await;
    }
}

pub(crate) fn pod(namespace: &str, name: &str, ready: bool) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "shop"}},
        "spec": {"containers": [{"name": "main", "image": "shop:1", "ports": [{"containerPort": 8080}]}]},
        "status": {
            "phase": "Running", "podIP": "10.1.0.7",
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
        },
    })
}

pub(crate) fn service(namespace: &str, name: &str, labels: Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"type": "ClusterIP", "selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080, "name": "web"}]},
    })
}

pub(crate) fn gateway(name: &str, port: u16) -> Gateway {
    Gateway { name: GatewayName::parse(name).unwrap(), port, protocol: Protocol::Http }
}

/// Waits for a condition that nothing tells about.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match holds() {
            Ok(()) => return,
            Err(why) => assert!(tokio::time::Instant::now() < end, "{what}: {why}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) type Report = watch::Receiver<Arc<BTreeMap<GatewayName, GatewayService>>>;

pub(crate) fn keep(world: &World, gateways: Vec<Gateway>) -> (watch::Sender<Arc<Vec<Gateway>>>, Report) {
    let (sender, receiver) = watch::channel(Arc::new(gateways));
    (sender, world.platform.keep_services(receiver, Rules::default()))
}

/// What an instance is compared by.
pub(crate) fn shape(instance: &Arc<Instance>) -> (String, String, bool, bool) {
    (instance.namespace.clone(), instance.name.clone(), instance.ready, instance.exists)
}
