//! Whatever happens around it, no request is failed by Vamp.
//!
//! `VAMP_TEST_RATE` says how many requests a second; 1000 for the figures, fewer in the normal run, where the programs are not optimised.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::kube::{Namespace, eventually};

use crate::harness::Vamp;
use crate::load::{Connections, Load};
use crate::relay::Relay;
use crate::shop;

pub(crate) fn rate() -> u64 {
    std::env::var("VAMP_TEST_RATE").map_or(200, |text| text.parse().expect("a number"))
}

/// Seconds that the API server is away.
pub(crate) fn away() -> Duration {
    Duration::from_secs(std::env::var("VAMP_TEST_AWAY").map_or(10, |text| text.parse().expect("seconds")))
}

/// A Deployment of the shop with three pods.
fn deployment(version: &str) -> Value {
    json!({
        "metadata": {"name": format!("shop-{version}")},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "shop", "version": version}},
            "template": {
                "metadata": {"labels": {"app": "shop", "version": version}},
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "containers": [{
                        "name": "main", "image": format!("vampio/sava-product:{version}"), "ports": [{"containerPort": 8080}],
                        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                    }],
                },
            },
        },
    })
}

pub(crate) async fn deploy(namespace: &Namespace, version: &str) {
    namespace.create("apps/v1/deployments", deployment(version)).await;
    rolled_out(namespace, version).await;
}

async fn rolled_out(namespace: &Namespace, version: &str) {
    let name = format!("deployment/shop-{version}");
    namespace.kubectl(&["rollout", "status", &name, "--timeout=120s"]).await;
}

/// A rolling update of what is behind the gateway.
pub(crate) async fn update(namespace: &Namespace, version: &str) {
    let name = format!("deployment/shop-{version}");
    namespace.kubectl(&["rollout", "restart", &name]).await;
    rolled_out(namespace, version).await;
}

/// The process of one pod ends without a word.
pub(crate) async fn kill(namespace: &Namespace, version: &str) {
    let pods = namespace.list("pods").await;
    let victim = pods
        .iter()
        .find(|pod| {
            pod["metadata"]["labels"]["version"] == version && pod["metadata"]["deletionTimestamp"].is_null()
        })
        .expect("a pod");
    namespace.kill_pod(victim["metadata"]["name"].as_str().unwrap()).await;
    // Whoever waits for a Deployment at once still sees it as it was.
    tokio::time::sleep(Duration::from_secs(1)).await;
    rolled_out(namespace, version).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_changes_of_pods_and_weights_and_an_api_server_that_is_away() {
    let Some(namespace) = Namespace::new("unharmed").await else { return };
    if !namespace.runs_images().await {
        return;
    }
    shop::load(&namespace, &[("sava-product", "1.0.3"), ("sava-product", "2.0.1")]).await;
    deploy(&namespace, "1.0.3").await;
    deploy(&namespace, "2.0.1").await;
    let relay = Relay::start(&namespace).await;
    let kubeconfig = relay.kubeconfig();
    let address = shop::gateways();
    let arguments = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--gateway-address", &address];
    let mut vamp = Vamp::start_with(&arguments).await;
    vamp.gateway("name: shop\nselector: label(app)(shop) && label(version)((.*))").await;
    eventually("all pods to be targets", || async {
        let routes = &vamp.get("/gateways/shop").await.body["routes"];
        let count = |path: &str| routes[path]["targets"].as_array().map_or(0, Vec::len);
        if (count("(1.0.3)"), count("(2.0.1)")) == (3, 3) { Ok(()) } else { Err(routes.to_string()) }
    })
    .await;
    let weights = async |first: u64| {
        let document = json!({
            "name": "shop", "selector": "label(app)(shop) && label(version)((.*))",
            "routes": {"(1.0.3)": {"weight": format!("{first}%")}, "(2.0.1)": {"weight": format!("{}%", 100 - first)}},
        });
        let answer = vamp.put("/gateways/shop?wait=applied", &document.to_string()).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    };
    weights(50).await;
    let port = vamp.get("/gateways/shop").await.body["port"].as_str().unwrap().replace("/http", "");
    let url = format!("http://{address}:{port}/products/ie");
    let load = Load::start(&url, rate() / 2, Connections::Kept);
    let strangers = Load::start(&url, rate() / 2, Connections::New);
    let said = |what: &str| eprintln!("at {:.1} s: {what}", load.seconds());
    load.more(rate() / 2).await;

    said("rolling update");
    let (version, other) = ("1.0.3", "2.0.1");
    tokio::join!(update(&namespace, version), async {
        for first in [10, 90, 100, 0, 30, 50] {
            weights(first).await;
            load.more(rate() / 4).await;
        }
    });
    said("a pod is killed");
    kill(&namespace, other).await;
    said("the API server is away");
    relay.cut();
    let moved = tokio::time::Instant::now() + away();
    while tokio::time::Instant::now() < moved {
        weights(40).await;
        weights(60).await;
        load.more(rate() / 4).await;
    }
    relay.mend();
    said("it is back");
    update(&namespace, other).await;
    said("the end");
    load.more(rate() / 2).await;
    for load in [load, strangers] {
        let seen = load.finish().await;
        eprintln!("{}", seen.figures());
        assert!(seen.failed().is_empty(), "{:?}", seen.failed());
    }
    assert_eq!(vamp.terminate(), Some(0));
}
