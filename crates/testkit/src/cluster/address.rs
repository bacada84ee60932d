//! Paths of the API server.

/// What a path leads to.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// `pods`, or with a group `records.vamp.io`.
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    /// To the status subresource.
    pub(super) status: bool,
}

/// Resources of the API server itself; custom ones are defined by tests.
const BUILT_IN: [&str; 7] =
    ["pods", "services", "namespaces", "configmaps", "secrets", "events", "leases.coordination.k8s.io"];

/// Reads `v1/...` below `/api/` or `GROUP/VERSION/...` below `/apis/`; `None` for a path that leads nowhere.
pub(super) fn address(group: &str, path: &str, defined: impl Fn(&str) -> bool) -> Option<Address> {
    let parts: Vec<&str> = path.split('/').collect();
    let (resource, namespace, name, sub) = match parts.as_slice() {
        [resource] => (resource, None, None, None),
        ["namespaces", name] => (&"namespaces", None, Some(*name), None),
        ["namespaces", namespace, resource] => (resource, Some(*namespace), None, None),
        ["namespaces", namespace, resource, name] => (resource, Some(*namespace), Some(*name), None),
        ["namespaces", namespace, resource, name, sub] => {
            (resource, Some(*namespace), Some(*name), Some(*sub))
        }
        [resource, name] => (resource, None, Some(*name), None),
        _ => return None,
    };
    let resource = if group.is_empty() { (*resource).to_owned() } else { format!("{resource}.{group}") };
    let known = BUILT_IN.contains(&&*resource) || defined(&resource);
    (known && matches!(sub, None | Some("status"))).then(|| Address {
        resource,
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        status: sub.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let read = |group: &str, path: &str| {
            address(group, path, |resource| resource == "records.vamp.io")
                .map(|a| (a.resource, a.namespace, a.name, a.status))
        };
        let text = |text: &str| Some(text.to_owned());
        for (group, path, expected) in [
            ("", "pods", Some(("pods".into(), None, None, false))),
            ("", "namespaces/n", Some(("namespaces".into(), None, text("n"), false))),
            ("", "namespaces/n/pods", Some(("pods".into(), text("n"), None, false))),
            ("", "namespaces/n/pods/p", Some(("pods".into(), text("n"), text("p"), false))),
            ("", "namespaces/n/pods/p/status", Some(("pods".into(), text("n"), text("p"), true))),
            ("", "namespaces/n/pods/p/log", None),
            ("", "volumes", None),
            ("vamp.io", "namespaces/n/records", Some(("records.vamp.io".into(), text("n"), None, false))),
            ("vamp.io", "namespaces/n/others", None),
        ] {
            assert_eq!(read(group, path), expected, "{group} {path}");
        }
    }
}
