//! The table of rights against a real API server: what it lists suffices, what it does not list is refused, and each row
//! that is missing is named.

use std::path::Path;

use http::Request;
use serde_json::{Value, json};
use testkit::kube::{Namespace, eventually};

use super::manifests::{Options, environment, installation, people};
use super::rights::{RIGHTS, Right, Scope};
use super::{Callers, Refusal, Role};
use crate::connect::{Cluster, Credentials};
use crate::explain::{Attempt, explain, status};

const ALL: Options = Options { discovery: true, elsewhere: true, delegation: true };

async fn cluster(kubeconfig: &Path) -> Cluster {
    let credentials = Credentials::Kubeconfig { file: kubeconfig.to_owned(), context: None };
    Cluster::connect(&credentials).await.unwrap()
}

/// Objects outside of namespaces do not go with the namespace of a test.
struct ClusterObjects(std::path::PathBuf, String);

impl Drop for ClusterObjects {
    fn drop(&mut self) {
        let mut delete = std::process::Command::new("kubectl");
        delete.arg("--kubeconfig").arg(&self.0).args(["delete", "clusterroles,clusterrolebindings", "-l"]);
        let _ =
            delete.arg(format!("vamp.io/test-in={}", self.1)).stdout(std::process::Stdio::null()).status();
    }
}

async fn apply(namespace: &Namespace, mut objects: Vec<Value>) -> ClusterObjects {
    for object in &mut objects {
        if object["metadata"]["namespace"].is_null()
            && object["metadata"]["name"].as_str().unwrap().contains(':')
        {
            object["metadata"]["labels"]["vamp.io/test-in"] = namespace.name().into();
        }
    }
    namespace.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()).await;
    ClusterObjects(namespace.kubeconfig(), namespace.name().to_owned())
}

/// A request that needs the right and changes nothing: bodies are empty, names are nobody's.
fn request(right: &Right, verb: &str, namespace: &str) -> Request<Vec<u8>> {
    let group = if right.group.is_empty() { "/api/v1".into() } else { format!("/apis/{}/v1", right.group) };
    let place = if right.scope.is_namespaced() { format!("/namespaces/{namespace}") } else { String::new() };
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    let name = right.names.first().unwrap_or(&"nobody");
    let subresource = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
    let (method, rest) = match verb {
        "list" => ("GET", "?limit=1".to_owned()),
        "watch" if right.names.is_empty() => ("GET", "?watch=true&timeoutSeconds=1".to_owned()),
        "watch" => ("GET", format!("?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3D{name}")),
        "create" => ("POST", String::new()),
        "get" => ("GET", format!("/{name}{subresource}")),
        "update" => ("PUT", format!("/{name}{subresource}")),
        "patch" => ("PATCH", format!("/{name}{subresource}")),
        "delete" => ("DELETE", format!("/{name}{subresource}")),
        other => panic!("{other}"),
    };
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    Request::builder()
        .method(method)
        .uri(format!("{group}{place}/{resource}{rest}"))
        .header("content-type", kind)
        .body(if method == "GET" { Vec::new() } else { b"{}".to_vec() })
        .unwrap()
}

/// The message when it is refused for want of a right.
async fn refusal(cluster: &Cluster, right: &Right, verb: &str, namespace: &str) -> Option<String> {
    let error = cluster.client.request_text(request(right, verb, namespace)).await.err()?;
    assert!(status(&error).is_some(), "{verb} {}: {error}", right.resource);
    let namespace = right.scope.is_namespaced().then_some(namespace);
    let attempt = Attempt { verb, resource: right.resource, namespace };
    (status(&error) == Some(403)).then(|| explain(&error, attempt))
}

#[tokio::test]
async fn the_generated_roles_suffice_and_hold_nothing_else() {
    let Some(namespace) = Namespace::new("rights").await else { return };
    let name = namespace.name();
    let controller = cluster(&namespace.kubeconfig_of("vamp-controller").await).await;
    for right in RIGHTS {
        for verb in right.verbs {
            let message = refusal(&controller, right, verb, name).await;
            let message = message.unwrap_or_else(|| panic!("{verb} {} without a role", right.resource));
            let user = format!("system:serviceaccount:{name}:vamp-controller");
            assert!(message.contains(&user) && message.contains("verbs: ["), "{message}");
        }
    }
    let _objects =
        apply(&namespace, [people(), installation(name, ALL), environment(name, name)].concat()).await;
    for right in RIGHTS {
        for verb in right.verbs {
            eventually(&format!("{verb} {}", right.rule_text()), || async {
                refusal(&controller, right, verb, name).await.map_or(Ok(()), Err)
            })
            .await;
        }
    }
    // kubectl asks as somebody else; the guard of debug builds would not let these requests out.
    let as_controller = format!("--as=system:serviceaccount:{name}:vamp-controller");
    for question in [
        "list secrets",
        "get secrets/other",
        "delete secrets/vamp-ca",
        "create pods",
        "delete pods",
        "get pods/exec",
        "create deployments.apps",
        "create roles.rbac.authorization.k8s.io",
        "update leases.coordination.k8s.io/other",
        "impersonate users",
        "create serviceaccounts/token",
        "delete namespaces",
        "list nodes",
        "escalate roles",
        "delete customresourcedefinitions.apiextensions.k8s.io",
    ] {
        let (verb, resource) = question.split_once(' ').unwrap();
        let answer = namespace.try_kubectl(&["auth", "can-i", verb, resource, &as_controller], None).await;
        assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "no", "{question}");
    }
    let agent = format!("--as=system:serviceaccount:{name}:vamp-gateway-agent");
    for question in ["list pods", "get secrets", "get configmaps", "get gateways.vamp.io"] {
        let (verb, resource) = question.split_once(' ').unwrap();
        let answer = namespace.try_kubectl(&["auth", "can-i", verb, resource, &agent], None).await;
        assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "no", "an agent may {question}");
    }
}

/// Whether another row of a Role permits the same.
fn granted_elsewhere(right: &Right, verb: &str) -> bool {
    RIGHTS.iter().any(|row| {
        row != right
            && row.scope.is_namespaced()
            && (row.group, row.resource) == (right.group, right.resource)
            && (row.names.is_empty() || row.names == right.names)
            && row.verbs.contains(&verb)
    })
}

/// For each row of a Role: without it there is one message, and it names that row.
#[tokio::test]
async fn each_missing_row_is_named() {
    let Some(namespace) = Namespace::new("missing").await else { return };
    let name = namespace.name();
    let _objects = apply(
        &namespace,
        [people(), installation(name, Options::default()), environment(name, name)].concat(),
    )
    .await;
    let controller = cluster(&namespace.kubeconfig_of("vamp-controller").await).await;
    for right in RIGHTS.iter().filter(|right| right.scope.is_namespaced()) {
        let rules = |without: Option<&Right>| -> Vec<Value> {
            let all = RIGHTS.iter().filter(|row| row.scope == right.scope);
            all.filter(|row| Some(*row) != without).map(Right::rule).collect()
        };
        let roles = "rbac.authorization.k8s.io/v1/roles";
        namespace.patch(roles, right.scope.role(), json!({"rules": rules(Some(right))})).await;
        let verb = right.verbs.iter().find(|verb| !granted_elsewhere(right, verb));
        let verb = verb.unwrap_or_else(|| panic!("other rows grant all of {}", right.rule_text()));
        let message = eventually(&format!("{verb} {} to be refused", right.resource), || async {
            refusal(&controller, right, verb, name).await.ok_or_else(|| "permitted".into())
        })
        .await;
        for part in [right.rule_text().as_str(), right.scope.role(), name] {
            assert!(message.contains(part), "{part}: {message}");
        }
        namespace.patch(roles, right.scope.role(), json!({"rules": rules(None)})).await;
    }
}

/// Who administers a namespace, and nothing else, installs Vamp there.
#[tokio::test]
async fn an_administrator_of_a_namespace_can_install() {
    let Some(namespace) = Namespace::new("admin").await else { return };
    let name = namespace.name();
    apply(&namespace, people()).await;
    namespace
        .kubectl(&[
            "create",
            "rolebinding",
            "admin",
            "--clusterrole=admin",
            &format!("--serviceaccount={name}:boss"),
        ])
        .await;
    let boss = namespace.kubeconfig_of("boss").await;
    let objects = [installation(name, Options::default()), environment(name, name)].concat();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let kubeconfig = format!("--kubeconfig={}", boss.display());
    // The built-in role takes up the new rules within moments.
    eventually("the administrator to install", || async {
        let output = namespace.try_kubectl(&[&kubeconfig, "apply", "-f", "-"], Some(&list)).await;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    })
    .await;
}

#[tokio::test]
async fn users_of_the_cluster_have_the_roles_that_bindings_give() {
    let Some(namespace) = Namespace::new("callers").await else { return };
    let name = namespace.name();
    let _objects = apply(&namespace, [people(), installation(name, ALL)].concat()).await;
    let callers = Callers::new(&cluster(&namespace.kubeconfig_of("vamp-controller").await).await);
    for (account, cluster_role, expected) in [
        ("nobody", None, None),
        ("viewer", Some("vamp-viewer"), Some(Role::Viewer)),
        ("operator", Some("vamp-operator"), Some(Role::Operator)),
        ("admin", Some("vamp-admin"), Some(Role::Admin)),
        ("editor", Some("edit"), Some(Role::Operator)),
    ] {
        if let Some(role) = cluster_role {
            let (role, account) =
                (format!("--clusterrole={role}"), format!("--serviceaccount={name}:{account}"));
            namespace
                .kubectl(&["create", "rolebinding", &account[17..].replace(':', "-"), &role, &account])
                .await;
        }
        for audience in [Some("vamp"), None] {
            let token = namespace.token(account, audience).await;
            let caller = eventually(&format!("the role of {account}"), || async {
                let (caller, role) = callers.role(&token, name).await.map_err(|error| error.to_string())?;
                if role == expected { Ok(caller) } else { Err(format!("{role:?}")) }
            })
            .await;
            assert_eq!(caller.service_account(), Some((name, account)));
            assert_eq!(caller.for_vamp, audience.is_some());
            assert_eq!(callers.role(&token, "kube-system").await.unwrap().1, None, "elsewhere nobody");
        }
    }
    assert_eq!(callers.identify("eyJhbGciOiJSUzI1NiJ9.e30.bm8").await, Err(Refusal::Unknown));
    assert_eq!(callers.problem(), None);
    assert!(RIGHTS.iter().any(|right| right.scope == Scope::Delegation));
}
