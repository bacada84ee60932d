//! Certificates in Secrets, handed from the cluster to the proxy of this process.

use std::collections::BTreeSet;
use std::time::Duration;

use kubernetes::{Cluster, Credentials, secrets};
use proxy::{CertificatePem, Proxy};
use tracing::warn;

/// Between two attempts to find a way to the cluster.
const PAUSE: Duration = Duration::from_secs(30);

/// Follows the Secrets that the proxy wants, on the platform of this process.
pub(crate) async fn follow_on(proxy: Proxy, platform: kubernetes::Platform) {
    let wanted = proxy.wanted_secrets();
    platform.follow_secrets(wanted, hand_to(proxy)).await;
}

fn hand_to(proxy: Proxy) -> impl Fn(String, Result<secrets::Pair, String>) + Clone + Send + Sync + 'static {
    move |name, pair| {
        let pem = pair.map(|pair| CertificatePem { certificate: pair.certificate, key: pair.key });
        proxy.provide(name, pem);
    }
}

/// The same for an agent, which has nothing to do with the cluster until a gateway names a Secret.
pub(crate) async fn follow_from_pod(proxy: Proxy, namespace: String) {
    let mut wanted = proxy.wanted_secrets();
    while wanted.wait_for(|names| !names.is_empty()).await.is_ok() {
        match Cluster::connect(&Credentials::InCluster).await {
            Ok(cluster) => {
                let wanted = proxy.wanted_secrets();
                return secrets::follow(cluster, namespace, wanted, hand_to(proxy)).await;
            }
            Err(error) => {
                warn!("certificates in Secrets cannot be had: {error}");
                refuse(&proxy, &wanted.borrow_and_update().clone(), &error.to_string());
                // Until then, a gateway that names another is told the same.
                let _ = tokio::time::timeout(PAUSE, wanted.changed()).await;
            }
        }
    }
}

/// Where there is no cluster: says so for each Secret that a gateway names.
pub(crate) async fn refuse_all(proxy: Proxy) {
    let mut wanted = proxy.wanted_secrets();
    loop {
        let names = wanted.borrow_and_update().clone();
        refuse(&proxy, &names, "Secrets are read on Kubernetes only, name files instead");
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

fn refuse(proxy: &Proxy, names: &BTreeSet<String>, why: &str) {
    for name in names {
        proxy.provide(name.clone(), Err(why.to_owned()));
    }
}
