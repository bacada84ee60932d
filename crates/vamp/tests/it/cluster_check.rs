//! `vamp check` on a real API server: an installation made of the objects that it looks at, damaged in one way after another.

use std::any::Any;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::process::Output;
use std::time::Duration;

use kubernetes::access::manifests::{self, Options};
use serde_json::{Value, json};
use testkit::kube::{Kubelet, Namespace, Pod};

use crate::harness::Vamp;
use crate::target::Target;

/// What a pod runs: nothing.
type Running = Pin<Box<dyn Future<Output = io::Result<Box<dyn Any + Send>>> + Send>>;

const NOTHING: Value = Value::Null;

/// Leadership that was renewed now.
fn lease(holder: &str) -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "vamp-controller"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 60, "renewTime": now},
    })
}

/// Findings as (level, message, mend), and whether the command succeeded.
fn findings(output: &Output) -> (bool, Vec<(String, String, String)>) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let all: Vec<Value> = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    let all = all.iter().map(|f| (text(f, "level"), text(f, "message"), text(f, "mend")));
    (output.status.success(), all.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_is_wrong_with_an_installation() {
    let Some(namespace) = Namespace::new("check").await else { return };
    let name = namespace.name();
    let list = |items: Vec<Value>| json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    // kubectl does not know the rules in CEL of an older API server.
    namespace.kubectl_with(&["apply", "--validate=false", "-f", "-"], &list(kubernetes::crd::all())).await;
    let vamp = Vamp::start_with(&["--environment", name]).await;
    let target = Target::start("agent").await;
    let kubeconfig = namespace.kubeconfig();
    let check = || {
        let file = kubeconfig.to_str().unwrap();
        // The API of the one server stands for that of the controller, which has no pod here to forward a port of.
        let url = vamp.api.as_str();
        vamp.cli(&["--kubeconfig", file, "-n", name, "check", "-o", "json", "--url", url])
    };
    let (good, all) = findings(&check());
    let has = |all: &[(String, String, String)], level: &str, message: &str| {
        all.iter().any(|(l, m, _)| l == level && m.contains(message))
    };
    assert!(!good && has(&all, "error", "there is no Deployment 'vamp-controller'"), "{all:#?}");
    assert!(has(&all, "error", "none of the rights of vamp-environment"), "{all:#?}");

    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "vamp-controller"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "c"}},
            "template": {
                "metadata": {"labels": {"app": "c"}}, "spec": {"containers": [{"name": "c", "image": "example/c:1"}]},
            },
        },
    });
    Kubelet::adopt(&mut deployment);
    let runs =
        |_: Value, _: IpAddr| -> Running { Box::pin(async { Ok(Box::new(()) as Box<dyn Any + Send>) }) };
    let _kubelet = Kubelet::start(&namespace, Duration::ZERO, Box::new(runs));
    let objects = [
        manifests::people(),
        manifests::installation(name, Options::default()),
        manifests::environment(name, name),
        vec![
            lease("controller-0"),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vamp-ca"}, "stringData": {"tls.crt": "certificate", "tls.key": "key"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "vamp-ca"}, "data": {"ca.crt": "certificate"}}),
            deployment,
        ],
    ]
    .concat();
    namespace.apply(&list(objects)).await;
    let controller = [
        ("app.kubernetes.io/name", "vamp"),
        ("app.kubernetes.io/component", "controller"),
        ("vamp.io/leader", "true"),
    ];
    let agent = [("io.vamp", "vamp-gateway-agent")];
    for (pod, labels) in [("controller-0", &controller[..]), ("agent-0", &agent[..])] {
        namespace.pod(&Pod { name: pod, labels, address: target.address, ready: true }).await;
    }
    let healthy = || async {
        let (good, all) = findings(&check());
        if good { Ok(all) } else { Err(format!("{all:#?}")) }
    };
    let all = testkit::kube::eventually("health", healthy).await;
    let wrong: Vec<_> = all.iter().filter(|(level, ..)| level == "error").collect();
    assert!(wrong.is_empty(), "{all:#?}");
    for message in [
        "as this version needs it",
        "you may reach the API",
        "the controller is ready, 1 of 1",
        "controller-0 leads",
        "every right of vamp-environment",
        "every right of vamp-controller",
        "agents are ready",
        "agent-0",
        "agents see the certificate authority of the controller",
        "the API answers",
        "the clocks agree",
    ] {
        assert!(has(&all, "ok", message), "{message}: {all:#?}");
    }

    // What is damaged, what is found, how it is mended again.
    let service = |selector: Value, labels: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop", "labels": labels}, "spec": {"selector": selector, "ports": [{"port": 80}]}});
    let gateway = json!({"apiVersion": "vamp.io/v1", "kind": "Gateway", "metadata": {"name": "shop"}, "spec": {"port": 9050}});
    namespace.create("vamp.io/v1/gateways", gateway).await;
    let role = "rbac.authorization.k8s.io/v1/roles";
    let rules = namespace.get(role, "vamp-environment").await.unwrap()["rules"].clone();
    let less: Vec<Value> =
        rules.as_array().unwrap().iter().filter(|rule| rule["resources"][0] != "records").cloned().collect();
    let old = json!({"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}});
    for (resource, object, patch, message, mended) in [
        (
            role,
            "vamp-environment",
            json!({"rules": less}),
            "which it needs to keep artifacts",
            json!({"rules": rules}),
        ),
        (
            "coordination.k8s.io/v1/leases",
            "vamp-controller",
            old,
            "nobody holds the Lease",
            lease("controller-0"),
        ),
        (
            "pods",
            "controller-0",
            json!({"metadata": {"labels": {"vamp.io/leader": "false"}}}),
            "0 pods carry the label vamp.io/leader",
            json!({"metadata": {"labels": {"vamp.io/leader": "true"}}}),
        ),
        (
            "configmaps",
            "vamp-ca",
            json!({"data": {"ca.crt": "other"}}),
            "agents refuse the controller",
            json!({"data": {"ca.crt": "certificate"}}),
        ),
        (
            "pods",
            "agent-0",
            json!({"metadata": {"labels": {"io.vamp": "x"}}}),
            "there is no agent",
            json!({"metadata": {"labels": {"io.vamp": "vamp-gateway-agent"}}}),
        ),
        ("services", "", service(json!({"app": "x"}), json!({})), "the Service shop in namespace", NOTHING),
        (
            "services",
            "",
            service(json!({"app": "x"}), json!({"io.vamp": "gateway"})),
            "does not lead to pods with the label",
            NOTHING,
        ),
    ] {
        if object.is_empty() {
            namespace.create(resource, patch).await;
        } else {
            namespace.patch(resource, object, patch).await;
        }
        let found = testkit::kube::eventually(message, || async {
            let (good, all) = findings(&check());
            let found =
                all.iter().find(|(level, text, _)| level == "error" && text.contains(message)).cloned();
            found.filter(|_| !good).ok_or_else(|| format!("{all:#?}"))
        })
        .await;
        assert!(!found.2.is_empty(), "no way out: {found:?}");
        if object.is_empty() {
            namespace.delete(resource, "shop").await;
        } else {
            namespace.patch(resource, object, mended).await;
        }
    }
    testkit::kube::eventually("health again", healthy).await;

    // Somebody who may only look is told what they cannot see, and is not told that it is wrong.
    namespace
        .kubectl(&[
            "create",
            "rolebinding",
            "eve",
            "--clusterrole=view",
            &format!("--serviceaccount={name}:eve"),
        ])
        .await;
    let eve = namespace.kubeconfig_of("eve").await;
    let all = testkit::kube::eventually("the view of a viewer", || async {
        let url = vamp.api.as_str();
        let output = vamp.cli(&[
            "check",
            "--kubeconfig",
            eve.to_str().unwrap(),
            "-n",
            name,
            "-o",
            "json",
            "--url",
            url,
        ]);
        let (good, all) = findings(&output);
        if good { Ok(all) } else { Err(format!("{all:#?}")) }
    })
    .await;
    assert!(has(&all, "warning", "you may not operate gateways"), "{all:#?}");
    assert!(has(&all, "warning", "rights of vamp-environment cannot be checked"), "{all:#?}");

    // The namespace could not go before its pods.
    namespace.delete("apps/v1/deployments", "vamp-controller").await;
    testkit::kube::eventually("the pods to go", || async {
        let pods = namespace.list("pods").await;
        let left = pods.iter().filter(|pod| pod["metadata"]["labels"]["app"] == "c").count();
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;
}

/// The way through the API server: without a leader it says so, and where it was looked for.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_there_is_no_way_and_it_is_said() {
    let Some(namespace) = Namespace::new("noway").await else { return };
    let vamp = Vamp::start().await;
    let file = namespace.kubeconfig();
    let mut command = vamp.cli_command(&[
        "get",
        "gateways",
        "--kubeconfig",
        file.to_str().unwrap(),
        "-n",
        namespace.name(),
    ]);
    let output = command.env_remove("VAMP_URL").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("no controller leads in namespace") && text.contains("--installation"), "{text}");
    let missing = vamp.cli(&["get", "gateways", "--kubeconfig", "/nowhere"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere"));
}
