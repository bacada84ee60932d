//! The fixture for tests on a cluster, on a cluster.
#![allow(missing_docs, clippy::unwrap_used)]

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use testkit::kube::{Kubelet, Namespace, Pod, eventually};
use testkit::target::{Target, answer_all};

#[tokio::test]
async fn a_namespace_holds_pods_and_goes_with_its_test() {
    let Some(namespace) = Namespace::new("fixture").await else { return };
    let target = Target::named("one").await.unwrap();
    let labels = [("app", "shop")];
    let pod = Pod { name: "shop-1", labels: &labels, address: target.address(), ready: true };
    namespace.pod(&pod).await;
    let status = |ready: &str| format!("Running 127.0.0.1 {ready}");
    let shown = [
        "get",
        "pods",
        "-l",
        "app=shop",
        "-o",
        "jsonpath={.items[*].status.phase} {.items[*].status.podIP} {.items[*].status.conditions[?(@.type==\"Ready\")].status}",
    ];
    assert_eq!(namespace.kubectl(&shown).await, status("True"));
    namespace.set_ready("shop-1", false).await;
    assert_eq!(namespace.kubectl(&shown).await, status("False"));
    namespace.remove_pod("shop-1").await;
    namespace.until_gone("pods", "shop-1").await;

    let name = namespace.name().to_owned();
    drop(namespace);
    let Some(other) = Namespace::new("fixture").await else { return };
    eventually("the first one to go", || async {
        let (status, answer) = other.call("GET", &format!("/api/v1/namespaces/{name}"), None).await;
        if status == 404 || answer["status"]["phase"] == "Terminating" {
            Ok(())
        } else {
            Err(answer.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn a_service_account_has_the_rights_that_bindings_give() {
    let Some(namespace) = Namespace::new("account").await else { return };
    let kubeconfig = namespace.kubeconfig_of("reader").await;
    let ask = || async {
        let mut command = tokio::process::Command::new("kubectl");
        command.args(["get", "pods"]).env("KUBECONFIG", &kubeconfig).output().await.unwrap()
    };
    let refused = ask().await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("reader"), "{refused:?}");
    let account = format!("--serviceaccount={}:reader", namespace.name());
    namespace.kubectl(&["create", "rolebinding", "reader", "--clusterrole=view", &account]).await;
    eventually("the right", || async {
        let answer = ask().await;
        if answer.status.success() { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}

#[tokio::test]
async fn deployments_run_where_no_node_does() {
    let Some(namespace) = Namespace::new("kubelet").await else { return };
    let _kubelet = Kubelet::start(
        &namespace,
        Duration::from_millis(200),
        Box::new(|pod, ip| {
            Box::pin(async move {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let address = SocketAddr::new(ip, 8080).to_string();
                let serve = move |wire, _, seen| -> testkit::target::Serve {
                    Box::pin(answer_all(wire, seen, name.clone()))
                };
                let target = Target::start_on(&address, serve).await?;
                Ok(Box::new(target) as Box<dyn Any + Send>)
            })
        }),
    );
    let mut deployment = json!({
        "metadata": {"name": "shop"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": {"containers": [{"name": "main", "image": "example/main:1", "ports": [{"containerPort": 8080}]}]},
            },
        },
    });
    Kubelet::adopt(&mut deployment);
    namespace.create("apps/v1/deployments", deployment).await;
    namespace
        .until("apps/v1/deployments", "shop", "to be available", |shop| {
            shop["status"]["availableReplicas"] == 2
        })
        .await;
    for pod in namespace.list("pods").await {
        let url = format!("http://{}:8080/", pod["status"]["podIP"].as_str().unwrap());
        let answer = reqwest::get(url).await.unwrap().text().await.unwrap();
        assert_eq!(pod["metadata"]["name"], answer.as_str());
    }
    namespace.kubectl(&["scale", "deployment", "shop", "--replicas=0"]).await;
    eventually("the pods to go", || async {
        let pods = namespace.list("pods").await;
        if pods.is_empty() { Ok(()) } else { Err(format!("{} are left", pods.len())) }
    })
    .await;
}
