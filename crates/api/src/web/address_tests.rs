use super::*;

#[test]
fn one_spelling() {
    let cases = [
        ("/api/v1/gateways", "/api/v1/gateways", ""),
        ("/api/v1/gateways/", "/api/v1/gateways", ""),
        ("/api/v1/", "/api/v1", ""),
        ("/api/v1", "/api/v1", ""),
        ("/", "/", ""),
        ("//api//v1///gateways", "/api/v1/gateways", ""),
        ("/default/api/v1/gateways", "/api/v1/gateways", "default"),
        ("/d%65fault/api/v1/gateways", "/api/v1/gateways", "default"),
        ("/default/api/v1/gateways/?page=2", "/api/v1/gateways?page=2", "default"),
        ("/api/v1/gateways/shop%2Fstore%2Fweb/", "/api/v1/gateways/shop%2Fstore%2Fweb", ""),
        ("/api/v1/gateways/a/api/v1", "/api/v1/gateways/a/api/v1", ""),
        ("/api/v1/gateway/gateway", "/api/v1/gateways/gateway", ""),
        ("/livez/", "/livez", ""),
        ("/acme/default/api/v1/info", "/api/v1/info", "acme default"),
        ("/acme-default/api/v1/info", "/api/v1/info", "acme-default"),
        ("/a/b/c/api/v1/info", "/a/b/c/api/v1/info", ""),
    ];
    for (given, expected, place) in cases {
        let (uri, found) = canonical(&given.parse().unwrap(), 0).unwrap();
        assert_eq!(
            (uri.to_string().as_str(), found.names().join(" ").as_str()),
            (expected, place),
            "{given}"
        );
    }
}

#[test]
fn leading_segments_are_dropped_when_running_behind_a_path() {
    let read = |path: &str| canonical(&path.parse().unwrap(), 2).unwrap();
    let (uri, place) = read("/tools/vamp/default/api/v1/info/?on=jvm");
    assert_eq!(
        (uri.to_string().as_str(), place.names()),
        ("/api/v1/info?on=jvm", &["default".to_owned()][..])
    );
    assert_eq!(read("/tools").0.to_string(), "/");
}

#[test]
fn unknown_versions_are_not_found() {
    let failure = canonical(&"/api/v2/gateways".parse().unwrap(), 0).unwrap_err();
    assert_eq!(failure.status(), http::StatusCode::NOT_FOUND);
    assert!(failure.message().contains("'v2'"), "{}", failure.message());
}

proptest::proptest! {
    #[test]
    fn any_address_is_refused_or_canonical(path in "(/[a-z0-9%/.:@()\\[\\]v]{0,40}|(/(api|v1|default|gateway|a%2Fb|)){0,6})", query in "[a-z=&%]{0,10}") {
        if let Ok(uri) = format!("/{path}?{query}").parse::<Uri>()
            && let Ok((once, _)) = canonical(&uri, 0)
        {
            proptest::prop_assert!(once.path() == "/" || !once.path().ends_with('/'));
            proptest::prop_assert_eq!(once.query(), uri.query());
            let decoded = |uri: &Uri| uri.path().matches('%').count();
            proptest::prop_assert!(decoded(&once) <= decoded(&uri), "nothing is encoded twice");
            if once.path().starts_with("/api/v1") {
                let (twice, place) = canonical(&once, 0).unwrap();
                proptest::prop_assert_eq!((twice, place), (once, Place::default()));
            }
        }
    }
}
