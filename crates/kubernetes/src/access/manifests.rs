//! The RBAC objects of an installation, made from the table of rights.
//!
//! ```text
//! once for each cluster        people()        ClusterRoles vamp-viewer, vamp-operator, vamp-admin
//! for each installation        installation()  accounts, Role vamp-controller, what the options ask for
//! for each environment         environment()   Role vamp-environment, the agent's account
//! ```
//!
//! An installation in one namespace, with no option, holds nothing cluster-wide: whoever administers the namespace can
//! make it. Objects are JSON values, in the order in which they are to be created.

use serde_json::{Value, json};

use super::rights::{self, Scope, VAMP_GROUP};

/// Service account of the controller.
pub const CONTROLLER: &str = "vamp-controller";
/// Service account of the agents.
pub const AGENT: &str = "vamp-gateway-agent";
/// Service account that the command line acts as for people whose kubeconfig holds no token, as with client certificates.
pub const CLI: &str = "vamp-cli";
/// Audience of tokens that are meant for Vamp only: the API server does not accept them for itself.
pub const AUDIENCE: &str = "vamp";

/// Verb on `gateways.vamp.io` that makes an administrator. Kubernetes itself does nothing with it.
pub const ADMINISTER: &str = "administer";

const RBAC: &str = "rbac.authorization.k8s.io";

/// What an installation may do beyond its own namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Finds environments by label, in namespaces that need not exist yet: the rights of environments cluster-wide.
    pub discovery: bool,
    /// Finds instances in all namespaces (`--gateway-selector`).
    pub elsewhere: bool,
    /// Asks the API server who callers are. Without it, people need the tokens of `--token-file`.
    pub delegation: bool,
}

/// The roles of people; cluster-wide objects that give nobody anything by themselves.
///
/// They are added to the roles `view`, `edit` and `admin` that every cluster has, so whoever may edit a namespace may
/// release in it. The administrator's also holds what an installation consists of, because nobody can grant what they do
/// not have.
pub fn people() -> Vec<Value> {
    let gateways =
        |verbs: &[&str]| json!({"apiGroups": [VAMP_GROUP], "resources": ["gateways"], "verbs": verbs});
    let read = json!({"apiGroups": [VAMP_GROUP], "resources": ["gateways", "gateways/status"], "verbs": ["get", "list", "watch"]});
    let write = gateways(&["create", "update", "patch", "delete", "deletecollection"]);
    let core = ["", "events.k8s.io"];
    let mut administer = vec![gateways(&[ADMINISTER])];
    let installation = rights::of(Scope::Environment).chain(rights::of(Scope::Installation));
    // The built-in role `admin` holds what is in the core group, but for events.
    administer.extend(
        installation
            .filter(|right| !core.contains(&right.group) || right.resource == "events")
            .map(rights::Right::rule),
    );
    let role = |name: &str, aggregated: &str, rules: Vec<Value>| {
        let mut role = cluster_role(name, rules);
        role["metadata"]["labels"][format!("{RBAC}/aggregate-to-{aggregated}")] = "true".into();
        role
    };
    vec![
        role("vamp-viewer", "view", vec![read.clone()]),
        role("vamp-operator", "edit", vec![read.clone(), write.clone()]),
        role("vamp-admin", "admin", [vec![read, write], administer].concat()),
    ]
}

/// What is in the controller's namespace, and what the options ask for in the cluster.
pub fn installation(namespace: &str, options: Options) -> Vec<Value> {
    let mut objects = vec![
        service_account(CONTROLLER, namespace, true),
        service_account(CLI, namespace, false),
        role(Scope::Installation, namespace),
        role_binding(
            Scope::Installation.role(),
            namespace,
            "Role",
            Scope::Installation.role(),
            (CONTROLLER, namespace),
        ),
    ];
    let own = |name: &str| format!("{name}:{namespace}");
    if options.discovery {
        let name = own(Scope::Discovery.role());
        let rules = rights::of(Scope::Discovery).chain(rights::of(Scope::Environment));
        objects.push(cluster_role(&name, rules.map(rights::Right::rule).collect()));
        objects.push(cluster_role_binding(&name, &name, (CONTROLLER, namespace)));
        objects.push(cluster_role_binding(&own(CLI), "vamp-operator", (CLI, namespace)));
    }
    if options.elsewhere {
        let name = own(Scope::Elsewhere.role());
        objects.push(cluster_role(&name, rights::of(Scope::Elsewhere).map(rights::Right::rule).collect()));
        objects.push(cluster_role_binding(&name, &name, (CONTROLLER, namespace)));
    }
    if options.delegation {
        let name = own("vamp-delegation");
        objects.push(cluster_role_binding(&name, Scope::Delegation.role(), (CONTROLLER, namespace)));
    }
    objects
}

/// What is in the namespace of an environment, for a controller in the namespace `installation`.
pub fn environment(namespace: &str, installation: &str) -> Vec<Value> {
    let name = Scope::Environment.role();
    vec![
        service_account(AGENT, namespace, false),
        role(Scope::Environment, namespace),
        role_binding(name, namespace, "Role", name, (CONTROLLER, installation)),
        role_binding(CLI, namespace, "ClusterRole", "vamp-operator", (CLI, installation)),
    ]
}

fn metadata(name: &str, namespace: Option<&str>) -> Value {
    let mut metadata = json!({"name": name, "labels": {"app.kubernetes.io/part-of": "vamp"}});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

fn service_account(name: &str, namespace: &str, automount: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name, Some(namespace)),
        "automountServiceAccountToken": automount,
    })
}

fn role(scope: Scope, namespace: &str) -> Value {
    let rules: Vec<Value> = rights::of(scope).map(rights::Right::rule).collect();
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": metadata(scope.role(), Some(namespace)), "rules": rules})
}

fn cluster_role(name: &str, rules: Vec<Value>) -> Value {
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": metadata(name, None), "rules": rules})
}

fn subject((name, namespace): (&str, &str)) -> Value {
    json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
}

fn role_binding(name: &str, namespace: &str, kind: &str, role: &str, account: (&str, &str)) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding", "metadata": metadata(name, Some(namespace)),
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role}, "subjects": [subject(account)],
    })
}

fn cluster_role_binding(name: &str, role: &str, account: (&str, &str)) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata(name, None),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}, "subjects": [subject(account)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(objects: &[Value]) -> Vec<String> {
        let name = |object: &Value| {
            let metadata = &object["metadata"];
            let namespace = metadata["namespace"].as_str().map(|n| format!("{n}/")).unwrap_or_default();
            format!("{} {namespace}{}", object["kind"].as_str().unwrap(), metadata["name"].as_str().unwrap())
        };
        objects.iter().map(name).collect()
    }

    #[test]
    fn an_installation_in_one_namespace_has_nothing_cluster_wide() {
        let plain = [installation("shop", Options::default()), environment("shop", "shop")].concat();
        assert!(names(&plain).iter().all(|name| !name.starts_with("Cluster")), "{:?}", names(&plain));
        for object in &plain {
            assert_eq!(object["metadata"]["namespace"], "shop");
        }
        let all = installation("shop", Options { discovery: true, elsewhere: true, delegation: true });
        assert_eq!(
            names(&all)[4..],
            [
                "ClusterRole vamp-discovery:shop",
                "ClusterRoleBinding vamp-discovery:shop",
                "ClusterRoleBinding vamp-cli:shop",
                "ClusterRole vamp-elsewhere:shop",
                "ClusterRoleBinding vamp-elsewhere:shop",
                "ClusterRoleBinding vamp-delegation:shop",
            ]
        );
    }

    #[test]
    fn every_right_is_granted_by_the_object_that_the_table_names() {
        let all = [
            installation("shop", Options { discovery: true, elsewhere: true, delegation: true }),
            environment("shop", "shop"),
        ]
        .concat();
        for right in rights::RIGHTS.iter().filter(|right| right.scope != Scope::Delegation) {
            let granted = all.iter().any(|object| {
                let name = object["metadata"]["name"].as_str().unwrap();
                name.split(':').next() == Some(right.scope.role())
                    && object["rules"].as_array().is_some_and(|rules| rules.contains(&right.rule()))
            });
            assert!(granted, "{}", right.rule_text());
        }
    }

    #[test]
    fn roles_of_people_build_on_each_other() {
        let people = people();
        let verbs = |at: usize| {
            let rules = people[at]["rules"].as_array().unwrap();
            let on_gateways = rules.iter().filter(|rule| rule["resources"][0] == "gateways");
            let verbs = on_gateways.flat_map(|rule| rule["verbs"].as_array().unwrap().clone());
            verbs.map(|verb| verb.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert!(!verbs(0).contains(&"update".to_owned()) && verbs(0).contains(&"get".to_owned()));
        assert!(!verbs(1).contains(&ADMINISTER.to_owned()) && verbs(1).contains(&"update".to_owned()));
        assert!(verbs(2).contains(&ADMINISTER.to_owned()) && verbs(2).contains(&"update".to_owned()));
        let labels = people[1]["metadata"]["labels"].as_object().unwrap();
        assert_eq!(labels["rbac.authorization.k8s.io/aggregate-to-edit"], "true");
    }
}
