use std::path::Path;

use super::*;

fn of_path<'a>(method: &str, path: &'a str) -> Option<Usage<'a>> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    usage(method, path, query)
}

#[test]
fn requests_are_read_as_the_api_server_reads_them() {
    for (method, path, expected) in [
        ("GET", "/api/v1/namespaces/a/pods", "list pods a -"),
        ("GET", "/api/v1/pods?limit=1", "list pods * -"),
        ("GET", "/api/v1/namespaces/a/pods?watch=true&x=y", "watch pods a -"),
        ("GET", "/api/v1/namespaces/a/pods?watch=false", "list pods a -"),
        ("GET", "/api/v1/namespaces/a/pods/p", "get pods a p"),
        (
            "GET",
            "/api/v1/namespaces/a/secrets?watch=1&fieldSelector=metadata.name%3Dvamp-ca",
            "watch secrets a vamp-ca",
        ),
        ("PATCH", "/api/v1/namespaces/a/pods/p", "patch pods a p"),
        ("POST", "/api/v1/namespaces/a/services", "create services a -"),
        ("DELETE", "/api/v1/namespaces/a/services/s", "delete services a s"),
        ("DELETE", "/api/v1/namespaces/a/services", "deletecollection services a -"),
        ("GET", "/api/v1/namespaces", "list namespaces * -"),
        ("GET", "/api/v1/namespaces/a", "get namespaces * a"),
        ("PUT", "/apis/vamp.io/v1/namespaces/a/gateways/g/status", "update vamp.io:gateways/status a g"),
        ("GET", "/api/v1/namespaces/a/services/http:x:api/proxy/api/v1", "get services/proxy a http:x:api"),
        (
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            "create authentication.k8s.io:tokenreviews * -",
        ),
    ] {
        let usage = of_path(method, path).unwrap_or_else(|| panic!("{path}"));
        let group = if usage.group.is_empty() { String::new() } else { format!("{}:", usage.group) };
        let place = if usage.namespaced { "a" } else { "*" };
        let name = usage.name.unwrap_or("-");
        assert_eq!(format!("{} {group}{} {place} {name}", usage.verb, usage.resource), expected, "{path}");
    }
    for path in ["/version", "/readyz", "/api", "/api/v1", "/apis/vamp.io/v1", "/openapi/v2"] {
        assert_eq!(of_path("GET", path), None, "{path}");
    }
}

#[test]
fn what_is_in_the_table_is_permitted_and_nothing_else() {
    for (method, path, expected) in [
        ("GET", "/api/v1/namespaces/a/pods", true),
        ("GET", "/api/v1/pods", true),
        ("GET", "/api/v1/namespaces/a/secrets", false),
        ("GET", "/api/v1/namespaces/a/secrets/vamp-ca", true),
        ("GET", "/api/v1/namespaces/a/secrets/other", true),
        ("PUT", "/api/v1/namespaces/a/secrets/other", false),
        ("GET", "/api/v1/secrets/other", false),
        ("GET", "/api/v1/namespaces/a/secrets?watch=1", false),
        ("POST", "/api/v1/namespaces/a/secrets", true),
        ("POST", "/api/v1/namespaces/a/pods", false),
        ("GET", "/apis/vamp.io/v1/gateways", false),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/other", false),
        ("DELETE", "/api/v1/namespaces/a", false),
    ] {
        assert_eq!(of_path(method, path).unwrap().is_permitted(), expected, "{method} {path}");
    }
}

#[test]
fn the_table_makes_sense() {
    const VERBS: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];
    for (at, right) in RIGHTS.iter().enumerate() {
        let text = right.rule_text();
        assert!(!right.verbs.is_empty() && right.verbs.iter().all(|verb| VERBS.contains(verb)), "{text}");
        assert!(
            right.names.is_empty() || !right.verbs.contains(&"create"),
            "{text}: new objects have no name yet"
        );
        assert!(!right.why.is_empty() && !right.why.ends_with('.'), "{text}");
        let file = format!("{}/src/{}", env!("CARGO_MANIFEST_DIR"), right.module);
        let landed = ["follow", "services", "access"].contains(&right.module);
        assert!(!landed || Path::new(&file).exists() || Path::new(&format!("{file}.rs")).exists(), "{file}");
        let twice = RIGHTS[..at].iter().any(|other| {
            (other.scope, other.group, other.resource, other.names)
                == (right.scope, right.group, right.resource, right.names)
        });
        assert!(!twice, "{text} is there twice");
        // What is read in the environment and in the installation is never a wildcard.
        assert!(!text.contains('*'), "{text}");
    }
    // Secrets: one, by name. Nobody accepts a release tool that reads all of them.
    for right in RIGHTS.iter().filter(|right| right.resource == "secrets") {
        assert!(right.names == ["vamp-ca"] || right.verbs == ["create"], "{}", right.rule_text());
    }
}

#[test]
fn rules_read_well() {
    let pods = RIGHTS.iter().find(|right| right.resource == "pods").unwrap();
    assert_eq!(pods.rule_text(), "{apiGroups: [\"\"], resources: [pods], verbs: [list, watch]}");
    let lease = RIGHTS.iter().find(|right| right.resource == "leases" && !right.names.is_empty()).unwrap();
    assert_eq!(
        lease.rule(),
        json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "watch", "update"], "resourceNames": ["vamp-controller"]})
    );
    assert!(lease.rule_text().contains("resourceNames: [vamp-controller], verbs"), "{}", lease.rule_text());
}

/// Set `VAMP_UPDATE=1` to write it.
#[test]
fn the_table_of_rights_in_the_documentation_is_fresh() {
    const BEGIN: &str = "<!-- rights -->\n";
    const END: &str = "<!-- /rights -->";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user/security.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let fresh = format!("{head}{BEGIN}{}{END}{tail}", table());
    if std::env::var_os("VAMP_UPDATE").is_some() {
        std::fs::write(&file, &fresh).unwrap();
    }
    let now = std::fs::read_to_string(&file).unwrap();
    assert!(now == fresh, "docs/user/security.md is stale: VAMP_UPDATE=1 cargo test -p kubernetes rights");
}
