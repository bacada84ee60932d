//! Where a cluster is reached from outside.

use std::time::Duration;

use serde_json::Value;
use testkit::kube::Namespace;

use crate::load::Connections;

/// A client that does not wait for ever: whoever is asked may be gone without a word, and until the rules of a new node port are in
/// force, older kube-proxies hold its connections without answering.
pub(crate) fn client(connections: Connections) -> reqwest::Client {
    let kept = if connections == Connections::Kept { 1 } else { 0 };
    reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(15))
        .pool_max_idle_per_host(kept)
        .build()
        .unwrap()
}

/// The address of a node, where node ports are reached.
pub(crate) async fn node_address(namespace: &Namespace) -> String {
    let (_, nodes) = namespace.call("GET", "/api/v1/nodes", None).await;
    let internal = |address: &&Value| address["type"] == "InternalIP";
    let addresses = nodes["items"].as_array().into_iter().flatten().filter_map(|node| {
        let addresses = node["status"]["addresses"].as_array()?;
        addresses.iter().find(internal)?["address"].as_str().map(str::to_owned)
    });
    addresses.into_iter().next().expect("a node with an address")
}

/// Where the Service of a gateway is reached from outside of the cluster.
pub(crate) async fn outside(namespace: &Namespace, service: &str) -> String {
    let made = namespace
        .until("services", service, "to have a node port", |s| s["spec"]["ports"][0]["nodePort"].is_number())
        .await;
    format!("http://{}:{}", node_address(namespace).await, made["spec"]["ports"][0]["nodePort"])
}
