//! Discovery and Services against a real API server, which refuses what the fake one lets pass.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kubernetes::{Cluster, Credentials, Gateway, Platform, Rules, ServiceType, Settings};
use model::instance::Observation;
use model::name::GatewayName;
use serde_json::{Value, json};
use testkit::kube::{Namespace, Pod, eventually};
use tokio::sync::watch;

use crate::world::gateway;

struct Real {
    namespace: Namespace,
    platform: Platform,
    observation: watch::Receiver<Arc<Observation>>,
}

impl Real {
    async fn start(name: &str) -> Option<Self> {
        let namespace = Namespace::new(name).await?;
        let platform = follow(&namespace, namespace.kubeconfig()).await;
        let observation = platform.observe();
        Some(Self { namespace, platform, observation })
    }

    /// Waits until pods with these names and readiness are seen; how long it took.
    async fn until_pods(&mut self, what: &str, expected: &[(&str, bool)]) -> Duration {
        let begin = Instant::now();
        let last = self.observation.clone();
        let seen = self.observation.wait_for(|seen| {
            let seen: Vec<_> = seen.instances.iter().map(|i| (i.name.as_str(), i.ready)).collect();
            seen == expected
        });
        if tokio::time::timeout(testkit::kube::PATIENCE, seen).await.is_err() {
            panic!("{what}: {:?}", last.borrow());
        }
        begin.elapsed()
    }

    fn keep(
        &self,
        gateways: Vec<Gateway>,
        rules: Rules,
    ) -> (watch::Sender<Arc<Vec<Gateway>>>, super::world::Report) {
        let (sender, receiver) = watch::channel(Arc::new(gateways));
        (sender, self.platform.keep_services(receiver, rules))
    }
}

async fn follow(namespace: &Namespace, file: std::path::PathBuf) -> Platform {
    let credentials = Credentials::Kubeconfig { file, context: None };
    let cluster = Cluster::connect(&credentials).await.unwrap();
    assert_eq!(cluster.default_namespace(), namespace.name());
    Platform::start(&cluster, Settings::new(namespace.name()))
}

#[tokio::test]
async fn pods_of_a_cluster_come_change_and_go() {
    let Some(mut real) = Real::start("discovery").await else { return };
    let labels = [("app", "shop"), ("version", "1.0.3")];
    let pod = |name, ready| Pod { name, labels: &labels, address: "127.0.0.1:8080".parse().unwrap(), ready };
    real.until_pods("nothing", &[]).await;
    real.namespace.pod(&pod("a", true)).await;
    real.namespace.pod(&pod("b", false)).await;
    real.until_pods("new", &[("a", true), ("b", false)]).await;
    let seen = real.observation.borrow().clone();
    let (instance, container) = (&seen.instances[0], &seen.instances[0].containers[0]);
    assert_eq!(instance.labels["version"], "1.0.3");
    assert_eq!((instance.ip, container.ports[0].number), (Some("127.0.0.1".parse().unwrap()), 8080));

    // On a busy machine the best of some tries counts.
    let mut took = Vec::new();
    while took.iter().all(|took| *took >= Duration::from_secs(1)) {
        assert!(took.len() < 5, "R42: {took:?}");
        real.namespace.set_ready("a", false).await;
        took.push(real.until_pods("unready", &[("a", false), ("b", false)]).await);
        real.namespace.set_ready("a", true).await;
        real.until_pods("ready again", &[("a", true), ("b", false)]).await;
    }

    // A pod that is being deleted is still there, and gets nothing more.
    real.namespace.patch("pods", "a", json!({"metadata": {"finalizers": ["test.vamp.io/hold"]}})).await;
    real.namespace.remove_pod("a").await;
    real.until_pods("being deleted", &[("a", false), ("b", false)]).await;
    real.namespace.patch("pods", "a", json!({"metadata": {"finalizers": null}})).await;
    real.until_pods("gone", &[("b", false)]).await;

    let service = json!({
        "metadata": {"name": "plain"},
        "spec": {"ports": [{"port": 80, "targetPort": 8080, "name": "web"}], "selector": {"app": "shop"}},
    });
    real.namespace.create("services", service).await;
    real.until_pods("a Service", &[("b", false), ("plain", true)]).await;
}

fn port(service: &Value) -> &Value {
    &service["spec"]["ports"][0]
}

#[tokio::test]
async fn a_service_is_made_mended_and_removed() {
    let Some(real) = Real::start("services").await else { return };
    let (gateways, report) = real.keep(vec![gateway("shop", 9070), gateway("a/b", 9071)], Rules::default());
    let made = real.namespace.until("services", "shop", "to be made", |_| true).await;
    assert_eq!(made["spec"]["type"], "NodePort");
    assert_eq!((&port(&made)["port"], &port(&made)["targetPort"]), (&json!(9070), &json!(9070)));
    assert_eq!(port(&made)["name"], Value::Null, "R39");
    assert_eq!(made["spec"]["selector"], json!({"io.vamp": "vamp-gateway-agent"}));
    let node_port = port(&made)["nodePort"].clone();
    eventually("the address to be told", || async {
        let told = report.borrow().get(&GatewayName::parse("shop").unwrap()).and_then(|s| s.address.clone());
        match told {
            Some(address) if address.host == made["spec"]["clusterIP"] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let services = real.namespace.list("services").await;
    let other = services.iter().find(|service| port(service)["port"] == 9071).expect("the one of a/b");
    assert_eq!(other["metadata"]["labels"]["io.vamp.gateway"], "a_b");

    gateways.send_replace(Arc::new(vec![gateway("shop", 9080)]));
    let moved =
        real.namespace.until("services", "shop", "to have the new port", |s| port(s)["port"] == 9080).await;
    assert_eq!((&port(&moved)["targetPort"], &port(&moved)["nodePort"]), (&json!(9080), &node_port), "R40");
    assert_eq!(moved["spec"]["clusterIP"], made["spec"]["clusterIP"], "R40");
    real.namespace.until_gone("services", other["metadata"]["name"].as_str().unwrap()).await;

    // Somebody damages it, somebody deletes it.
    let damage = json!({
        "metadata": {"labels": {"io.vamp.gateway": null}, "annotations": {"owner": "me"}},
        "spec": {"selector": {"io.vamp": null, "app": "other"}, "ports": [{"port": 1, "name": "x"}, {"port": 2, "name": "y"}]},
    });
    real.namespace.patch("services", "shop", damage).await;
    let mended = real
        .namespace
        .until("services", "shop", "to be mended", |s| {
            port(s)["port"] == 9080 && s["spec"]["ports"].as_array().is_some_and(|ports| ports.len() == 1)
        })
        .await;
    assert_eq!(mended["spec"]["selector"], json!({"io.vamp": "vamp-gateway-agent"}));
    assert_eq!(mended["metadata"]["labels"]["io.vamp.gateway"], "shop");
    assert_eq!(mended["metadata"]["annotations"]["owner"], "me", "what is no business of Vamp's stays");
    real.namespace.delete("services", "shop").await;
    let again = real
        .namespace
        .until("services", "shop", "to be made again", |s| s["metadata"]["uid"] != made["metadata"]["uid"])
        .await;
    assert_eq!(port(&again)["port"], 9080);

    gateways.send_replace(Arc::default());
    real.namespace.until_gone("services", "shop").await;
}

#[tokio::test]
async fn services_change_their_type() {
    let Some(real) = Real::start("types").await else { return };
    let mut last = None;
    for kind in [
        ServiceType::NodePort,
        ServiceType::ClusterIp,
        ServiceType::LoadBalancer,
        ServiceType::NodePort,
        ServiceType::LoadBalancer,
        ServiceType::ClusterIp,
    ] {
        let platform = follow(&real.namespace, real.namespace.kubeconfig()).await;
        let (_gateways, receiver) = watch::channel(Arc::new(vec![gateway("shop", 9070)]));
        let _report = platform.keep_services(receiver, Rules { service_type: kind, ..Rules::default() });
        let made = real
            .namespace
            .until("services", "shop", &format!("to be {kind}"), |s| s["spec"]["type"] == kind.as_str())
            .await;
        assert_eq!(port(&made)["nodePort"].is_number(), kind != ServiceType::ClusterIp, "{made}");
        let ip = last.replace(made["spec"]["clusterIP"].clone());
        assert!(ip.is_none() || ip == last, "{kind}: the cluster IP stays");
        platform.stop().await;
    }
}

#[tokio::test]
async fn a_foreign_service_of_a_cluster_is_never_touched() {
    let Some(real) = Real::start("foreign").await else { return };
    let foreign = json!({
        "metadata": {"name": "taken", "labels": {"io.vamp": "other"}},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "theirs"}},
    });
    let before = real.namespace.create("services", foreign).await;
    let gateways = vec![gateway("taken", 9070), gateway("shop", 9071)];
    let (_gateways, report) = real.keep(gateways, Rules::default());
    let name = GatewayName::parse("taken").unwrap();
    eventually("the warning", || async {
        match report.borrow().get(&name) {
            Some(service) if service.blocked => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    real.namespace.until("services", "shop", "to be made", |_| true).await;
    let after = real.namespace.get("services", "taken").await.unwrap();
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let Some(namespace) = Namespace::new("rights").await else { return };
    let platform = follow(&namespace, namespace.kubeconfig_of("vamp").await).await;
    let mut observation = platform.observe();
    let last = observation.clone();
    let seen = observation.wait_for(|seen| seen.problem.as_ref().is_some_and(|text| text.contains("pods")));
    let Ok(Ok(seen)) = tokio::time::timeout(testkit::kube::PATIENCE, seen).await else {
        panic!("{:?}", last.borrow());
    };
    let problem = seen.problem.clone().unwrap_or_default();
    drop(seen);
    let rule = format!("list pods in namespace '{}': give its user a Role", namespace.name());
    assert!(problem.contains(&rule), "{problem}");
    assert!(problem.contains(r#"{apiGroups: [""], resources: [pods], verbs: [list, watch]}"#), "{problem}");

    // What the messages say is what is needed.
    namespace.kubectl(&["create", "role", "vamp", "--verb=list,watch", "--resource=pods,services"]).await;
    let account = format!("--serviceaccount={}:vamp", namespace.name());
    namespace.kubectl(&["create", "rolebinding", "vamp", "--role=vamp", &account]).await;
    let seen = observation.wait_for(|seen| seen.complete && seen.problem.is_none());
    assert!(tokio::time::timeout(testkit::kube::PATIENCE, seen).await.is_ok(), "{:?}", last.borrow());
}
