//! Vamp installed in a namespace with `deploy/install.yaml`.

use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::kube::{Image, Namespace, eventually};

use crate::api::Api;
use crate::harness::program;
use crate::node::outside;

/// What is installed.
pub(crate) struct Installed {
    pub(crate) api: Api,
}

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file)
}

impl Installed {
    /// Installs it as its documentation says, with images of this checkout, and waits until it serves.
    pub(crate) async fn start(namespace: &Namespace) -> Self {
        let manifests = std::fs::read_to_string(deploy("install.yaml")).unwrap();
        let image = manifests.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap();
        let image = Image { reference: image, program: &program(), environment: &[], arguments: &[] };
        namespace.load(&image).await;
        for entry in std::fs::read_dir(deploy("crds")).unwrap() {
            let manifest = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            namespace.install(&manifest).await;
        }
        for file in ["roles.yaml", "install.yaml"] {
            let file = deploy(file);
            if file.exists() {
                namespace.kubectl(&["apply", "-f", file.to_str().unwrap()]).await;
            }
        }
        may_ask_whose_token_it_is(namespace).await;
        for name in ["deployment/vamp-controller", "deployment/vamp-gateway-agent"] {
            rolled_out(namespace, name).await;
        }
        let role = json!({
            "metadata": {"name": "releases"},
            "rules": [{"apiGroups": ["vamp.io"], "resources": ["gateways"], "verbs": ["*"]}],
        });
        namespace.create("rbac.authorization.k8s.io/v1/roles", role).await;
        let account = format!("--serviceaccount={}:pipeline", namespace.name());
        namespace.kubectl(&["create", "rolebinding", "releases", "--role=releases", &account]).await;
        let token = namespace.token("pipeline", Some("vamp")).await;
        let api = Api::new(&from_outside(namespace).await, Some(&token));
        eventually("the API to answer", || async {
            let answer = api.try_call("GET", "/gateways", None).await?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
        Self { api }
    }
}

/// Where the controller that leads is reached from this machine: by a Service as its own, with a port on the node.
async fn from_outside(namespace: &Namespace) -> String {
    let own = namespace.get("services", "vamp-controller").await.expect("installed");
    let api = &own["spec"]["ports"][0];
    let service = json!({
        "metadata": {"name": "api"},
        "spec": {
            "type": "NodePort", "selector": own["spec"]["selector"],
            "ports": [{"port": api["port"], "targetPort": api["targetPort"]}],
        },
    });
    namespace.create("services", service).await;
    outside(namespace, "api").await
}

/// The one right for the whole cluster; it goes with the namespace.
async fn may_ask_whose_token_it_is(namespace: &Namespace) {
    let (_, owner) = namespace.call("GET", &format!("/api/v1/namespaces/{}", namespace.name()), None).await;
    let binding = json!({
        "metadata": {
            "name": format!("{}-vamp", namespace.name()),
            "ownerReferences": [{"apiVersion": "v1", "kind": "Namespace", "name": namespace.name(), "uid": owner["metadata"]["uid"]}],
        },
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
        "subjects": [{"kind": "ServiceAccount", "name": "vamp-controller", "namespace": namespace.name()}],
    });
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let (status, answer) = namespace.call("POST", path, Some(binding)).await;
    assert!(matches!(status, 201 | 409), "{answer}");
}

/// Waits for a Deployment; says what its pods say when it does not come.
pub(crate) async fn rolled_out(namespace: &Namespace, name: &str) {
    let arguments = ["rollout", "status", name, "--timeout=180s"];
    let output = namespace.try_kubectl(&arguments, None).await;
    if !output.status.success() {
        let mut said = String::new();
        for pod in namespace.list("pods").await {
            let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let logs = namespace.try_kubectl(&["logs", pod_name, "--tail=20"], None).await;
            said += &format!("{pod_name}: {}\n{}", pod["status"], String::from_utf8_lossy(&logs.stdout));
        }
        panic!("{name}: {}\n{said}", String::from_utf8_lossy(&output.stderr));
    }
}
