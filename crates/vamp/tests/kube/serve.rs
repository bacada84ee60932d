//! `vamp serve --kubeconfig`: pods become targets, gateways get Services.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::kube::{Namespace, Pod};

use crate::harness::{Vamp, eventually};
use crate::shop;
use crate::target::Target;

#[tokio::test(flavor = "multi_thread")]
async fn gateways_find_pods_of_a_cluster_and_get_services() {
    let Some(namespace) = Namespace::new("serve").await else { return };
    let foreign =
        json!({"metadata": {"name": "taken"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "x"}}});
    let foreign = namespace.create("services", foreign).await;
    let (one, two) = (Target::start("one").await, Target::start("two").await);
    let pod = async |name: &str, version: &str, target: &Target| {
        let labels = [("app", "shop"), ("version", version)];
        namespace.pod(&Pod { name, labels: &labels, address: target.address, ready: true }).await;
    };
    pod("shop-1", "1", &one).await;
    let kubeconfig = namespace.kubeconfig();
    let address = shop::gateways();
    let arguments = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--gateway-address", &address];
    let mut vamp = Vamp::start_with(&arguments).await;
    let port = vamp.first_port;
    vamp.gateway(&format!("name: shop\nport: {port}\nselector: label(app)(shop) && label(version)((.*))"))
        .await;
    vamp.routes("shop", &[("(1)", "100%")]).await;
    pod("shop-2", "2", &two).await;
    vamp.routes("shop", &[("(1)", "100%"), ("(2)", "0%")]).await;
    let ask = async || {
        let answer = reqwest::get(format!("http://{address}:{port}/")).await.unwrap();
        answer.text().await.unwrap()
    };
    assert_eq!(ask().await, "one");

    let made = namespace.until("services", "shop", "to be made", |_| true).await;
    let expected = json!({
        "host": made["spec"]["clusterIP"],
        "port": format!("{}/http", made["spec"]["ports"][0]["nodePort"]),
    });
    eventually("the address of the Service", || async {
        (vamp.get("/gateways/shop").await.body["service"] == expected).then_some(())
    })
    .await;
    vamp.gateway(&format!("name: taken\nport: {}", port + 1)).await;
    eventually("the warning", || async {
        let told = vamp.get("/events?tag=warning:foreign-service").await.body;
        (!told.as_array()?.is_empty()).then_some(())
    })
    .await;
    let left = namespace.get("services", "taken").await.unwrap();
    assert_eq!(left["metadata"]["resourceVersion"], foreign["metadata"]["resourceVersion"]);

    // R42: what turns unready leaves the table. On a busy machine the best of some tries counts.
    let status = async || reqwest::get(format!("http://{address}:{port}/")).await.unwrap().status();
    let mut took = Vec::new();
    while took.iter().all(|took| *took >= Duration::from_secs(1)) {
        assert!(took.len() < 5, "{took:?}");
        namespace.set_ready("shop-1", true).await;
        eventually("it to be asked", || async { (status().await == 200).then_some(()) }).await;
        let begin = Instant::now();
        namespace.set_ready("shop-1", false).await;
        eventually("nobody to be asked any more", || async { (status().await == 503).then_some(()) }).await;
        took.push(begin.elapsed());
    }

    assert_eq!(vamp.delete("/gateways/shop").await.status, 202);
    namespace.until_gone("services", "shop").await;
    assert_eq!(vamp.terminate(), Some(0));
}
