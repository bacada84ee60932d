//! Certificates and authorities in the cluster, handed from the cluster to the proxy of this process.

use std::collections::BTreeSet;
use std::time::Duration;

use kubernetes::{Cluster, Credentials, secrets};
use model::gateway::ClusterSource;
use proxy::{CertificatePem, Pem, Proxy};
use tracing::warn;

/// Between two attempts to find a way to the cluster.
const PAUSE: Duration = Duration::from_secs(30);

/// Follows the objects that the proxy wants, on the platform of this process.
pub(crate) async fn follow_on(proxy: Proxy, platform: kubernetes::Platform) {
    let wanted = proxy.wanted();
    platform.follow_secrets(wanted, hand_to(proxy)).await;
}

fn hand_to(
    proxy: Proxy,
) -> impl Fn(ClusterSource, Result<secrets::Content, String>) + Clone + Send + Sync + 'static {
    move |source, content| {
        let pem = content.map(|content| match content {
            secrets::Content::Certificate(pair) => {
                Pem::Certificate(CertificatePem { certificate: pair.certificate, key: pair.key })
            }
            secrets::Content::Authorities(pem) => Pem::Authorities(pem),
        });
        proxy.provide(source, pem);
    }
}

/// The same for an agent, which has nothing to do with the cluster until a gateway names an object of it.
pub(crate) async fn follow_from_pod(proxy: Proxy, namespace: String) {
    let mut wanted = proxy.wanted();
    while wanted.wait_for(|sources| !sources.is_empty()).await.is_ok() {
        match Cluster::connect(&Credentials::InCluster).await {
            Ok(cluster) => {
                let wanted = proxy.wanted();
                return secrets::follow(cluster, namespace, wanted, hand_to(proxy)).await;
            }
            Err(error) => {
                warn!("certificates in the cluster cannot be had: {error}");
                refuse(&proxy, &wanted.borrow_and_update().clone(), &error.to_string());
                // Until then, a gateway that names another is told the same.
                let _ = tokio::time::timeout(PAUSE, wanted.changed()).await;
            }
        }
    }
}

/// Where there is no cluster: says so for each object that a gateway names.
pub(crate) async fn refuse_all(proxy: Proxy) {
    let mut wanted = proxy.wanted();
    loop {
        let sources = wanted.borrow_and_update().clone();
        refuse(&proxy, &sources, "Secrets and ConfigMaps are read on Kubernetes only, name files instead");
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

fn refuse(proxy: &Proxy, sources: &BTreeSet<ClusterSource>, why: &str) {
    for source in sources {
        proxy.provide(source.clone(), Err(why.to_owned()));
    }
}
