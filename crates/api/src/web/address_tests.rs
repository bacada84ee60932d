use super::*;

fn addresses(organisation: Option<&str>, strip_segments: usize) -> Addresses {
    Addresses { environment: "default".into(), organisation: organisation.map(str::to_owned), strip_segments }
}

#[test]
fn one_spelling() {
    let cases = [
        ("/api/v1/gateways", "/api/v1/gateways"),
        ("/api/v1/gateways/", "/api/v1/gateways"),
        ("/api/v1/", "/api/v1"),
        ("/api/v1", "/api/v1"),
        ("/", "/"),
        ("//api//v1///gateways", "/api/v1/gateways"),
        ("/default/api/v1/gateways", "/api/v1/gateways"),
        ("/d%65fault/api/v1/gateways", "/api/v1/gateways"),
        ("/default/api/v1/gateways/?page=2", "/api/v1/gateways?page=2"),
        ("/api/v1/gateways/shop%2Fstore%2Fweb/", "/api/v1/gateways/shop%2Fstore%2Fweb"),
        ("/api/v1/gateways/a/api/v1", "/api/v1/gateways/a/api/v1"),
        ("/api/v1/gateway/gateway", "/api/v1/gateways/gateway"),
        ("/livez/", "/livez"),
        ("/acme/default/api/v1/info", "/api/v1/info"),
        ("/acme-default/api/v1/info", "/api/v1/info"),
    ];
    for (given, expected) in cases {
        let uri = addresses(Some("acme"), 0).canonical(&given.parse().unwrap()).unwrap();
        assert_eq!(uri.to_string(), expected, "{given}");
    }
}

#[test]
fn leading_segments_are_dropped_when_running_behind_a_path() {
    let uri =
        addresses(None, 2).canonical(&"/tools/vamp/default/api/v1/info/?on=jvm".parse().unwrap()).unwrap();
    assert_eq!(uri.to_string(), "/api/v1/info?on=jvm");
    let uri = addresses(None, 2).canonical(&"/tools".parse().unwrap()).unwrap();
    assert_eq!(uri.to_string(), "/");
}

#[test]
fn unknown_namespaces_and_versions_are_not_found() {
    for (organisation, path) in [
        (None, "/other/api/v1/gateways"),
        (None, "/acme/default/api/v1/gateways"),
        (None, "/acme-default/api/v1/gateways"),
        (Some("acme"), "/acme/other/api/v1/gateways"),
        (Some("acme"), "/other/default/api/v1/gateways"),
        (None, "/api/v2/gateways"),
    ] {
        let failure = addresses(organisation, 0).canonical(&path.parse().unwrap()).unwrap_err();
        assert_eq!(failure.status(), http::StatusCode::NOT_FOUND, "{path}");
        assert!(!failure.message().is_empty());
    }
}
