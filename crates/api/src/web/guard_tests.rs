use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Request;

use super::*;
use crate::web::token::{Authenticator, Token};

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
        authenticator: None,
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
    admit(&parts, &path, "prod", security)
        .now_or_never()
        .expect("an answer at once")
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

/// Knows tokens `NAME:ROLE`, in the namespace `prod` only.
#[derive(Debug)]
struct Users;

impl Authenticator for Users {
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Identity, Unauthenticated>> {
        let answer = match token.split_once(':') {
            _ if token == "away" => Err(Unauthenticated::Unavailable("Nobody answers".into())),
            None => Err(Unauthenticated::Unknown("Nobody knows it".into())),
            Some((name, role)) => {
                let role = match role {
                    "viewer" => Some(Role::Viewer),
                    "operator" => Some(Role::Operator),
                    _ => None,
                };
                Ok(Identity {
                    name: name.into(),
                    role: role.filter(|_| namespace == "prod"),
                    groups: Vec::new(),
                })
            }
        };
        Box::pin(async { answer })
    }

    fn rule(&self, role: Role, namespace: &str) -> String {
        format!("the verb of a {} in {namespace}", role.as_str())
    }
}

#[test]
fn users_of_the_platform_stand_beside_static_tokens() {
    let alone = Security { tokens: Vec::new(), authenticator: Some(Arc::new(Users)), ..security() };
    let both = Security { authenticator: Some(Arc::new(Users)), ..security() };
    for (token, method, expected) in [
        ("ann:viewer", "GET", Ok("ann")),
        ("ann:viewer", "PUT", Err(403)),
        ("bob:operator", "PUT", Ok("bob")),
        ("eve:nothing", "GET", Err(403)),
        ("wrong", "GET", Err(401)),
        ("", "GET", Err(401)),
        ("away", "GET", Err(503)),
    ] {
        let value = format!("Bearer {token}");
        for security in [&alone, &both] {
            let got =
                admit_with(method, "/api/v1/gateways/x", &[("authorization", value.as_str())], security);
            let expected = expected.map(|name| Some(name.to_owned()));
            assert_eq!(got.map_err(|status| status.as_u16()), expected, "{token} {method}");
        }
    }
    let known = |header| admit_with("PUT", "/api/v1/gateways/x", &[("authorization", header)], &both);
    assert_eq!(known("Bearer o"), Ok(Some("oscar".into())), "a static token is not asked about elsewhere");
    assert_eq!(admit_with("GET", "/readyz", &[("authorization", "Bearer away")], &alone), Ok(None));
    assert_eq!(admit_with("GET", "/api/v1/gateways", &[], &alone), Err(StatusCode::UNAUTHORIZED));
}

#[test]
fn a_refusal_names_the_rule_that_would_help() {
    let security = Security { tokens: Vec::new(), authenticator: Some(Arc::new(Users)), ..security() };
    let message = |token: &str| {
        let request = Request::put("/api/v1/gateways/x").header("authorization", format!("Bearer {token}"));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let answer = admit(&parts, "/api/v1/gateways/x", "prod", &security).now_or_never().unwrap();
        answer.unwrap_err().message().to_owned()
    };
    assert_eq!(
        message("ann:viewer"),
        "'ann' has the role viewer, but this needs the role operator: the verb of a operator in prod."
    );
    assert_eq!(
        message("eve:nothing"),
        "'eve' has no role here, but this needs the role operator: the verb of a operator in prod."
    );
    assert_eq!(message("wrong"), "Nobody knows it.");
    assert!(!message("s3cret-value").contains("s3cret"));
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

/// A page without TLS is another site for an API with TLS.
#[test]
fn pages_without_tls_are_another_site() {
    let security = Security { tokens: Vec::new(), ..security() };
    for (origin, encrypted, expected) in [
        ("https://localhost:8090", true, true),
        ("HTTPS://localhost:8090", true, true),
        ("http://localhost:8090", true, false),
        ("https:", true, false),
        ("http://localhost:8090", false, true),
        // TLS may end before Vamp.
        ("https://localhost:8090", false, true),
    ] {
        let headers = HeaderMap::from_iter([
            (HOST, HeaderValue::from_static("localhost:8090")),
            (ORIGIN, HeaderValue::from_static(origin)),
        ]);
        assert_eq!(check_site(&headers, &security, encrypted).is_ok(), expected, "{origin} {encrypted}");
    }
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
