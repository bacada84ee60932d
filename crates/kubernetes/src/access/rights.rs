//! Every right that Vamp needs in a cluster, in one table.
//!
//! The Roles of an installation, the message about a missing right and the documentation come from it, so they cannot say
//! different things. **To use something new of the API server, add a row**: until then debug builds, and so all tests,
//! refuse to send the request and name the row that is missing. Afterwards `VAMP_UPDATE=1 cargo test -p kubernetes rights`
//! writes the table in `docs/user/security.md` anew.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Group of Vamp's own resources.
pub const VAMP_GROUP: &str = "vamp.io";

/// Where a right is needed, and so which object grants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// In the namespace of every environment: Role `vamp-environment`.
    Environment,
    /// In the controller's own namespace: Role `vamp-controller`.
    Installation,
    /// In all namespaces, when environments are found by label: ClusterRole `vamp-discovery`. Optional.
    Discovery,
    /// In all namespaces, when `--gateway-selector` looks beyond the environment: ClusterRole `vamp-elsewhere`. Optional.
    Elsewhere,
    /// To ask the API server who somebody is and what they may: the ClusterRole `system:auth-delegator` that every
    /// cluster has. Optional.
    Delegation,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Environment, Self::Installation, Self::Discovery, Self::Elsewhere, Self::Delegation];

    /// Name of the Role or ClusterRole that grants the rights of the scope.
    pub const fn role(self) -> &'static str {
        match self {
            Self::Environment => "vamp-environment",
            Self::Installation => "vamp-controller",
            Self::Discovery => "vamp-discovery",
            Self::Elsewhere => "vamp-elsewhere",
            Self::Delegation => "system:auth-delegator",
        }
    }

    /// Whether it holds in one namespace only.
    pub const fn is_namespaced(self) -> bool {
        matches!(self, Self::Environment | Self::Installation)
    }
}

/// One row: verbs on one resource, who uses them and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// Where.
    pub scope: Scope,
    /// API group; empty for the core one.
    pub group: &'static str,
    /// Resource in the plural, with its subresource: `gateways/status`.
    pub resource: &'static str,
    /// Only objects of these names; all when empty. Never together with `create`: a new object has no name yet when the
    /// API server decides.
    pub names: &'static [&'static str],
    /// Verbs of RBAC.
    pub verbs: &'static [&'static str],
    /// Module of this crate.
    pub module: &'static str,
    /// What for, to follow "to".
    pub why: &'static str,
}

/// Every right of the controller. The agent has none but [`CERTIFICATES`]: what it mounts (its token, the CA) the kubelet fetches.
pub const RIGHTS: &[Right] = &[
    Right {
        scope: Scope::Environment,
        group: "",
        resource: "pods",
        names: &[],
        verbs: &["list", "watch"],
        module: "follow",
        why: "find the instances of gateways",
    },
    Right {
        scope: Scope::Environment,
        group: "",
        resource: "services",
        names: &[],
        verbs: &["list", "watch", "create", "patch", "delete"],
        module: "services",
        why: "find instances behind Services, and keep a Service for each gateway with a port",
    },
    Right {
        scope: Scope::Environment,
        group: VAMP_GROUP,
        resource: "gateways",
        names: &[],
        verbs: &["get", "list", "watch", "create", "update", "patch", "delete"],
        module: "gateways",
        why: "follow the gateways that kubectl writes, and write those of the API",
    },
    Right {
        scope: Scope::Environment,
        group: VAMP_GROUP,
        resource: "gateways/status",
        names: &[],
        verbs: &["get", "update", "patch"],
        module: "gateways",
        why: "show the live half of gateways",
    },
    Right {
        scope: Scope::Environment,
        group: VAMP_GROUP,
        resource: "records",
        names: &[],
        verbs: &["get", "list", "create", "update", "delete"],
        module: "records",
        why: "keep artifacts, live state and events",
    },
    Right {
        scope: Scope::Environment,
        group: "",
        resource: "events",
        names: &[],
        verbs: &["create", "patch"],
        module: "gateways",
        why: "tell what happened to a gateway as Kubernetes Events",
    },
    Right {
        scope: Scope::Environment,
        group: "",
        resource: "configmaps",
        names: &[],
        verbs: &["create"],
        module: "authority",
        why: "publish the certificate that agents check the controller by",
    },
    Right {
        scope: Scope::Environment,
        group: "",
        resource: "configmaps",
        names: &["vamp-ca"],
        verbs: &["get", "update"],
        module: "authority",
        why: "keep that certificate fresh",
    },
    Right {
        scope: Scope::Installation,
        group: "coordination.k8s.io",
        resource: "leases",
        names: &[],
        verbs: &["create"],
        module: "lease",
        why: "elect a leader for the first time",
    },
    Right {
        scope: Scope::Installation,
        group: "coordination.k8s.io",
        resource: "leases",
        names: &["vamp-controller"],
        verbs: &["get", "watch", "update"],
        module: "lease",
        why: "elect a leader",
    },
    Right {
        scope: Scope::Installation,
        group: "",
        resource: "pods",
        names: &[],
        verbs: &["list", "patch"],
        module: "lease",
        why: "label the leader's own pod, which Services lead to, and no other",
    },
    Right {
        scope: Scope::Installation,
        group: "",
        resource: "secrets",
        names: &[],
        verbs: &["create"],
        module: "authority",
        why: "make the certificate authority of the installation",
    },
    Right {
        scope: Scope::Installation,
        group: "",
        resource: "secrets",
        names: &["vamp-ca"],
        verbs: &["get", "update"],
        module: "authority",
        why: "share and renew the certificate authority",
    },
    Right {
        scope: Scope::Discovery,
        group: "",
        resource: "namespaces",
        names: &[],
        verbs: &["list", "watch"],
        module: "namespaces",
        why: "find environments by their label",
    },
    Right {
        scope: Scope::Elsewhere,
        group: "",
        resource: "pods",
        names: &[],
        verbs: &["list", "watch"],
        module: "follow",
        why: "find instances in other namespaces",
    },
    Right {
        scope: Scope::Elsewhere,
        group: "",
        resource: "services",
        names: &[],
        verbs: &["list", "watch"],
        module: "follow",
        why: "find instances behind Services in other namespaces",
    },
    Right {
        scope: Scope::Delegation,
        group: "authentication.k8s.io",
        resource: "tokenreviews",
        names: &[],
        verbs: &["create"],
        module: "access",
        why: "learn whose token it is that a caller sends",
    },
    Right {
        scope: Scope::Delegation,
        group: "authorization.k8s.io",
        resource: "subjectaccessreviews",
        names: &[],
        verbs: &["create"],
        module: "access",
        why: "learn which role a caller has",
    },
];

/// Role that lets proxies read certificates, in the namespace of an environment. An installation grants it for the Secrets and ConfigMaps that
/// it lists, since which they are is for gateways to say.
pub const CERTIFICATES: &str = "vamp-certificates";
const CERTIFICATE_VERBS: &[&str] = &["get", "watch"];

/// The rule of that Role in one line.
pub(crate) fn certificate_rule_text(resource: &str, names: &[&str]) -> String {
    rule_text("", resource, names, CERTIFICATE_VERBS)
}

/// The rights that one scope needs.
pub fn of(scope: Scope) -> impl Iterator<Item = &'static Right> {
    RIGHTS.iter().filter(move |right| right.scope == scope)
}

/// The rows about a resource, with its subresource, in one namespace or in all of them.
pub(crate) fn about(resource: &str, namespaced: bool) -> impl Iterator<Item = &'static Right> + use<'_> {
    RIGHTS.iter().filter(move |right| right.resource == resource && right.scope.is_namespaced() == namespaced)
}

impl Right {
    /// As an object of RBAC.
    pub fn rule(&self) -> Value {
        let mut rule = json!({"apiGroups": [self.group], "resources": [self.resource], "verbs": self.verbs});
        if !self.names.is_empty() {
            rule["resourceNames"] = json!(self.names);
        }
        rule
    }

    /// As people write it: `{apiGroups: [""], resources: [pods], verbs: [list, watch]}`.
    pub fn rule_text(&self) -> String {
        rule_text(self.group, self.resource, self.names, self.verbs)
    }

    /// True when it permits a request.
    fn permits(&self, usage: &Usage<'_>) -> bool {
        let name = usage.name.unwrap_or_default();
        self.group == usage.group
            && self.resource == usage.resource
            && self.scope.is_namespaced() == usage.namespaced
            && self.verbs.contains(&usage.verb)
            && (self.names.is_empty() || self.names.contains(&name))
    }
}

/// A rule of RBAC in one line.
pub(crate) fn rule_text(group: &str, resource: &str, names: &[&str], verbs: &[&str]) -> String {
    let mut text = format!("{{apiGroups: [\"{group}\"], resources: [{resource}], ");
    if !names.is_empty() {
        let _ = write!(text, "resourceNames: [{}], ", names.join(", "));
    }
    let _ = write!(text, "verbs: [{}]}}", verbs.join(", "));
    text
}

/// A request as the API server's authorizer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage<'a> {
    /// Verb of RBAC.
    pub verb: &'a str,
    /// API group; empty for the core one.
    pub group: &'a str,
    /// With its subresource.
    pub resource: String,
    /// False for all namespaces, and for resources that are in none.
    pub namespaced: bool,
    /// Of the object, where the request is about one.
    pub name: Option<&'a str>,
}

impl Usage<'_> {
    /// Whether a row of [`RIGHTS`] permits it.
    pub fn is_permitted(&self) -> bool {
        RIGHTS.iter().any(|right| right.permits(self)) || self.is_of_certificate()
    }

    /// A Secret or a ConfigMap by its name, as [`CERTIFICATES`] permits it.
    fn is_of_certificate(&self) -> bool {
        self.group.is_empty()
            && matches!(self.resource.as_str(), "secrets" | "configmaps")
            && self.namespaced
            && self.name.is_some()
            && CERTIFICATE_VERBS.contains(&self.verb)
    }
}

/// What a request asks for; `None` when it is about no resource (`/version`, `/readyz`, discovery).
///
/// Follows the rules of the API server: the name of a list or a watch comes from a field selector on `metadata.name`.
pub fn usage<'a>(method: &str, path: &'a str, query: &'a str) -> Option<Usage<'a>> {
    let parts: Vec<&'a str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _version, rest @ ..] => ("", rest),
        ["apis", group, _version, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (namespaced, rest) = match rest {
        // The object itself, not something in it.
        ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (false, rest),
        ["namespaces", _, rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let (resource, mut name) = match rest {
        [] => return None,
        [resource] => ((*resource).to_owned(), None),
        [resource, name] => ((*resource).to_owned(), Some(*name)),
        // What comes after a subresource is for the object behind it.
        [resource, name, subresource, ..] => (format!("{resource}/{subresource}"), Some(*name)),
    };
    let parameter = |wanted: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == wanted)
            .map(|(_, v)| v)
    };
    let watches = parameter("watch").is_some_and(|value| matches!(value, "true" | "1" | ""));
    if name.is_none() {
        name = parameter("fieldSelector").and_then(|selector| {
            selector.strip_prefix("metadata.name%3D").or_else(|| selector.strip_prefix("metadata.name="))
        });
    }
    let single = rest.len() > 1;
    let verb = match method {
        "GET" | "HEAD" if watches => "watch",
        "GET" | "HEAD" if single => "get",
        "GET" | "HEAD" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if single => "delete",
        "DELETE" => "deletecollection",
        _ => return None,
    };
    Some(Usage { verb, group, resource, namespaced, name })
}

/// The table as Markdown, for the documentation.
pub fn table() -> String {
    let mut text = "| granted by | API group | resource | verbs | to |\n|---|---|---|---|---|\n".to_owned();
    for scope in Scope::ALL {
        for right in of(scope) {
            let group = if right.group.is_empty() { "core" } else { right.group };
            let mut resource = format!("`{}`", right.resource);
            if !right.names.is_empty() {
                let _ = write!(resource, " named `{}`", right.names.join("`, `"));
            }
            let verbs = right.verbs.join(", ");
            let _ = writeln!(text, "| `{}` | {group} | {resource} | {verbs} | {} |", scope.role(), right.why);
        }
    }
    text
}

#[cfg(test)]
#[path = "rights_tests.rs"]
mod tests;
