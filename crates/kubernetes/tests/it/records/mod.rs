//! The store in a cluster.

mod behaviour;
mod chaos;
mod kill;
mod model;
mod real;
mod suite;

use std::collections::BTreeMap;
use std::time::Duration;

use kubernetes::records::{ClusterStore, Settings};
use kubernetes::{Credentials, crd};
use serde_json::Value;
use store::StoreError;
use testkit::cluster::Cluster;

pub(crate) const NAMESPACE: &str = "prod";

/// A fake cluster that knows records, and a way into it.
pub(crate) struct Place {
    pub(crate) fake: Cluster,
    pub(crate) cluster: kubernetes::Cluster,
    _folder: tempfile::TempDir,
}

impl Place {
    pub(crate) async fn new(seed: u64) -> Self {
        let fake = Cluster::start(seed).await.unwrap();
        fake.define(&crd::records());
        let (cluster, folder) = connect(&fake.kubeconfig(NAMESPACE)).await;
        Self { fake, cluster, _folder: folder }
    }

    pub(crate) async fn open(&self) -> Result<ClusterStore, StoreError> {
        ClusterStore::open(&self.cluster, settings()).await
    }
}

/// Connections belong to the runtime that makes them.
pub(crate) async fn connect(kubeconfig: &str) -> (kubernetes::Cluster, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    let credentials = Credentials::Kubeconfig { file, context: None };
    (kubernetes::Cluster::connect(&credentials).await.unwrap(), folder)
}

/// The objects in the cluster, by name.
pub(crate) fn objects(fake: &Cluster) -> BTreeMap<String, Value> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    fake.objects("records.vamp.io").into_iter().map(|object| (name(&object), object)).collect()
}

/// Folds soon, and gives up soon enough for a test.
pub(crate) fn settings() -> Settings {
    Settings {
        request_timeout: Duration::from_secs(2),
        patience: Duration::from_secs(20),
        fold_pause: Duration::from_millis(5),
        ..Settings::new(NAMESPACE)
    }
}
