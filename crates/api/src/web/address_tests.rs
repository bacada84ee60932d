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

proptest::proptest! {
    #[test]
    fn any_address_is_refused_or_canonical(path in "(/[a-z0-9%/.:@()\\[\\]v]{0,40}|(/(api|v1|default|gateway|a%2Fb|)){0,6})", query in "[a-z=&%]{0,10}") {
        if let Ok(uri) = format!("/{path}?{query}").parse::<Uri>()
            && let Ok(once) = addresses(Some("acme"), 0).canonical(&uri)
        {
            proptest::prop_assert!(once.path() == "/" || !once.path().ends_with('/'));
            proptest::prop_assert_eq!(once.query(), uri.query());
            let decoded = |uri: &Uri| uri.path().matches('%').count();
            proptest::prop_assert!(decoded(&once) <= decoded(&uri), "nothing is encoded twice");
            if once.path().starts_with("/api/v1") {
                let twice = addresses(Some("acme"), 0).canonical(&once).unwrap();
                proptest::prop_assert_eq!(twice, once);
            }
        }
    }
}
