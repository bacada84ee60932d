use http::Request;

use super::*;
use crate::web::token::Token;

fn security() -> Security {
    Security {
        tokens: vec![
            Token::new("eve", Role::Viewer, "v"),
            Token::new("oscar", Role::Operator, "o"),
            Token::new("ada", Role::Admin, "a"),
        ],
        allowed_origins: vec!["https://ui.example".into()],
        allowed_hosts: vec!["vamp.internal".into()],
        loopback_only: true,
    }
}

fn admit_with(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    security: &Security,
) -> Result<Option<String>, StatusCode> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let path = parts.uri.path().to_owned();
    admit(&parts, &path, security)
        .map(|identity| identity.map(|i| i.name))
        .map_err(|failure| failure.status())
}

#[test]
fn tokens_and_roles() {
    let check =
        |method: &str, path: &str, authorization: Option<&str>, expected: Result<Option<&str>, u16>| {
            let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
            let got = admit_with(method, path, &headers, &security());
            let expected =
                expected.map(|n| n.map(str::to_owned)).map_err(|s| StatusCode::from_u16(s).unwrap());
            assert_eq!(got, expected, "{method} {path} {authorization:?}");
        };
    check("GET", "/api/v1/gateways", None, Err(401));
    check("GET", "/api/v1/gateways", Some("token"), Err(401));
    check("GET", "/api/v1/gateways", Some("token "), Err(401));
    check("GET", "/api/v1/gateways", Some("Bearer wrong"), Err(401));
    check("GET", "/api/v1/gateways", Some("Basic dg=="), Err(401));
    check("GET", "/api/v1/gateways", Some("Bearer v"), Ok(Some("eve")));
    check("GET", "/api/v1/gateways", Some("token v"), Ok(Some("eve")));
    check("HEAD", "/metrics", Some("BEARER  v "), Ok(Some("eve")));
    check("PUT", "/api/v1/gateways/x", Some("Bearer v"), Err(403));
    check("PUT", "/api/v1/gateways/x", Some("Bearer o"), Ok(Some("oscar")));
    check("POST", "/api/v1/events/query", Some("Bearer v"), Ok(Some("eve")));
    check("POST", "/api/v1/events", Some("Bearer v"), Err(403));
    check("POST", "/api/v1/route-tests", Some("Bearer v"), Ok(Some("eve")));
    check("POST", "/api/v1/workloads", Some("Bearer o"), Err(403));
    check("POST", "/api/v1/workloads", Some("Bearer a"), Ok(Some("ada")));
    check("DELETE", "/api/v1", Some("Bearer o"), Ok(Some("oscar")));
    check("GET", "/livez", None, Ok(None));
    check("GET", "/readyz", None, Ok(None));
    check("GET", "/", None, Ok(None));
    check("GET", "/metrics", None, Err(401));
    check("GET", "/openapi.json", None, Err(401));
}

#[test]
fn without_tokens_everyone_is_admitted() {
    let security = Security { tokens: Vec::new(), ..security() };
    assert_eq!(admit_with("PUT", "/api/v1/gateways/x", &[("authorization", "token")], &security), Ok(None));
    assert_eq!(admit_with("PUT", "/api/v1/gateways/x", &[("authorization", "token x")], &security), Ok(None));
}

#[test]
fn writes_from_other_sites_are_refused() {
    let security = Security { tokens: Vec::new(), ..security() };
    let check = |method: &str, headers: &[(&str, &str)], expected: bool| {
        let got = admit_with(method, "/api/v1/gateways/x", headers, &security);
        assert_eq!(got.is_ok(), expected, "{method} {headers:?} {got:?}");
    };
    let host = ("host", "localhost:8090");
    check("PUT", &[host], true);
    check("PUT", &[host, ("origin", "http://localhost:8090")], true);
    check("PUT", &[("host", "localhost"), ("origin", "http://localhost:80")], true);
    check("PUT", &[host, ("origin", "http://localhost:9070")], false);
    check("PUT", &[host, ("origin", "https://evil.example")], false);
    check("PUT", &[host, ("origin", "null")], false);
    check("PUT", &[host, ("origin", "https://ui.example"), ("sec-fetch-site", "cross-site")], true);
    check("DELETE", &[host, ("sec-fetch-site", "cross-site")], false);
    check("POST", &[host, ("sec-fetch-site", "same-site")], false);
    check("POST", &[host, ("sec-fetch-site", "same-origin"), ("origin", "http://localhost:8090")], true);
    check("POST", &[host, ("sec-fetch-site", "none")], true);
    check("GET", &[host, ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")], true);
}

#[test]
fn hosts_on_loopback() {
    let security = Security { tokens: Vec::new(), ..security() };
    for (host, expected) in [
        ("localhost", true),
        ("LOCALHOST:8090", true),
        ("localhost.", true),
        ("demo.localhost:1", true),
        ("127.0.0.1:8090", true),
        ("127.1.2.3", true),
        ("[::1]:8090", true),
        ("vamp.internal:8090", true),
        ("evil.example", false),
        ("evil.example:8090", false),
        ("127.0.0.1.evil.example", false),
        ("10.0.0.1", false),
        ("localhost.evil.example", false),
        ("", false),
    ] {
        let got = admit_with("GET", "/", &[("host", host)], &security);
        assert_eq!(got.is_ok(), expected, "{host} {got:?}");
    }
    // Several names are as good as the worst of them.
    for (path, headers, expected) in [
        ("/", &[("host", "localhost"), ("host", "evil.example")][..], false),
        ("/", &[("host", "evil.example"), ("host", "localhost")], false),
        ("http://evil.example/", &[("host", "localhost")], false),
        ("http://localhost:8090/", &[("host", "localhost")], true),
    ] {
        let got = admit_with("GET", path, headers, &security);
        assert_eq!(got.is_ok(), expected, "{path} {headers:?} {got:?}");
    }
    let anywhere = Security { loopback_only: false, ..security };
    assert!(admit_with("GET", "/", &[("host", "evil.example")], &anywhere).is_ok());
}
