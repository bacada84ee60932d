//! Where a cluster is reached from outside.

use serde_json::Value;
use testkit::kube::Namespace;

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
