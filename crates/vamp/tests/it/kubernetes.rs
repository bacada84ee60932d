//! The real binary in a cluster, which is a fake one: pods become targets, gateways get Services.

use std::fs;

use serde_json::{Value, json};
use testkit::cluster::Cluster;

use crate::harness::{Pod, Vamp, eventually};
use crate::target::Target;

const NAMESPACE: &str = "prod";

fn pod(name: &str, namespace: &str, version: &str, target: &Target) -> Value {
    let labels = [("app", "shop"), ("version", version)];
    let mut manifest = Pod { name, labels: &labels, address: target.address, ready: true }.manifest();
    manifest["metadata"]["namespace"] = namespace.into();
    manifest
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_find_pods_and_get_services() {
    let cluster = Cluster::start(21).await.unwrap();
    let foreign = json!({
        "metadata": {"name": "taken", "namespace": NAMESPACE, "labels": {}},
        "spec": {"type": "ClusterIP", "ports": [{"port": 80}]},
    });
    cluster.apply("services", foreign);
    let (one, two) = (Target::start("one").await, Target::start("two").await);
    cluster.apply("pods", pod("shop-1", NAMESPACE, "1", &one));
    cluster.apply("pods", pod("shop-x", "elsewhere", "x", &two));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    fs::write(&file, cluster.kubeconfig(NAMESPACE)).unwrap();
    let mut vamp = Vamp::start_with(&["--kubeconfig", file.to_str().unwrap()]).await;
    assert_eq!(vamp.get("/info").await.body["container_driver"]["type"], "kubernetes");

    let port = vamp.first_port;
    vamp.gateway(&format!("name: shop\nport: {port}\nselector: label(app)(shop) && label(version)((.*))"))
        .await;
    // R19: what is in another namespace is not found.
    vamp.routes("shop", &[("(1)", "100%")]).await;
    cluster.apply("pods", pod("shop-2", NAMESPACE, "2", &two));
    vamp.routes("shop", &[("(1)", "100%"), ("(2)", "0%")]).await;
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/")).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "one");

    let made = eventually("the Service", || async { cluster.object("services", NAMESPACE, "shop") }).await;
    let expected = json!({
        "host": made["spec"]["clusterIP"],
        "port": format!("{}/http", made["spec"]["ports"][0]["nodePort"]),
    });
    let service = |name: &'static str| {
        let vamp = &vamp;
        async move { vamp.get(&format!("/gateways/{name}")).await.body["service"].clone() }
    };
    eventually("its address", || async { (service("shop").await == expected).then_some(()) }).await;
    let told = vamp.get("/events?tag=gateway:serviceupdated").await.body;
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");

    vamp.gateway(&format!("name: taken\nport: {}", port + 1)).await;
    eventually("the warning", || async {
        let told = vamp.get("/events?tag=warning:foreign-service").await.body;
        (!told.as_array()?.is_empty()).then_some(())
    })
    .await;
    let left = cluster.object("services", NAMESPACE, "taken").unwrap();
    assert_eq!((&left["spec"]["type"], &left["metadata"]["labels"]), (&json!("ClusterIP"), &json!({})));

    // A restart finds everything as it was and writes nothing.
    let writes = cluster.writes().len();
    vamp.crash_and_restart().await;
    vamp.routes("shop", &[("(1)", "100%"), ("(2)", "0%")]).await;
    let service = || async { vamp.get("/gateways/shop").await.body["service"].clone() };
    eventually("the same address", || async { (service().await == expected).then_some(()) }).await;
    assert_eq!(vamp.delete("/gateways/shop").await.status, 202);
    eventually("the Service to go", || async {
        cluster.object("services", NAMESPACE, "shop").is_none().then_some(())
    })
    .await;
    let writes: Vec<_> = cluster.writes().split_off(writes);
    assert!(matches!(writes.as_slice(), [write] if write.verb == "delete"), "{writes:?}");
    let applied = vamp.post("/workloads", "kind: Deployment").await;
    assert!(applied.message().contains("kubectl"), "{applied:?}");
}
