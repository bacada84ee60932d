//! Tokens, roles, browsers of other sites, host names.

use api::{Role, Security, Settings, Token};
use serde_json::json;

use crate::server::{SHOP, Server};

#[tokio::test]
async fn with_tokens_everything_but_the_probes_needs_one() {
    let tokens =
        vec![Token::new("eve", Role::Viewer, "v-secret"), Token::new("oscar", Role::Operator, "o-secret")];
    let server = Server::with(Settings {
        security: Security { tokens, ..Security::default() },
        ..Settings::default()
    })
    .await;
    for path in ["/livez", "/readyz", "/"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    for path in
        ["/api/v1/gateways", "/api/v1", "/metrics", "/openapi.json", "/api/v1/events/stream", "/nothing"]
    {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 401, "{path}");
        answer.message();
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    // Whoever sends a token that is wrong must not be told to send one; `token` alone is none.
    for (header, part) in
        [("Bearer wrong", "not known"), ("token wrong", "not known"), ("token", "is needed")]
    {
        let answer = server.call("GET", "/api/v1/gateways").header("authorization", header).send().await;
        assert_eq!(answer.status, 401, "{header}");
        assert!(answer.message().contains(part), "{header}: {}", answer.message());
    }
    let read = server.call("GET", "/api/v1/gateways").header("authorization", "token v-secret").send().await;
    assert_eq!(read.status, 200);
    let put = |token: &'static str| {
        server
            .call("PUT", "/api/v1/gateways/shop")
            .header("authorization", token)
            .header("vamp-actor", "boss")
            .body(SHOP)
            .send()
    };
    let forbidden = put("Bearer v-secret").await;
    assert_eq!(forbidden.status, 403);
    assert!(forbidden.message().contains("operator"));
    assert_eq!(put("Bearer o-secret").await.status, 202);
    let events = server
        .call("GET", "/api/v1/events?tag=archive")
        .header("authorization", "Bearer v-secret")
        .send()
        .await
        .json();
    assert_eq!(events[0]["actor"], "boss (oscar)", "a claim does not hide who it was");
    let admin = server
        .call("POST", "/api/v1/workloads")
        .header("authorization", "Bearer o-secret")
        .body("kind: Pod")
        .send()
        .await;
    assert_eq!(admin.status, 403);
    let encoded = server
        .call("POST", "/api/v1/work%6Coads")
        .header("authorization", "Bearer o-secret")
        .body("kind: Pod")
        .send()
        .await;
    assert_ne!(encoded.status, 202, "an encoded spelling opens no other door");
}

#[tokio::test]
async fn a_header_without_a_token_is_no_header() {
    let server = Server::start().await;
    for value in ["token", "token ", "Bearer", "nonsense", "token whatever"] {
        let answer = server.call("GET", "/api/v1/gateways").header("authorization", value).send().await;
        assert_eq!((answer.status, answer.json()), (200, json!([])), "{value}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_cannot_write() {
    let server = Server::start().await;
    let own = format!("http://{}", server.address);
    for (name, value, status) in [
        ("origin", own.as_str(), 202),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "same-origin", 202),
        ("sec-fetch-site", "cross-site", 403),
    ] {
        let put = server.call("PUT", "/api/v1/gateways/shop").header(name, value).body(SHOP).send().await;
        assert_eq!(put.status, status, "{name}: {value}");
        if status == 403 {
            put.message();
        }
        let read = server.call("GET", "/api/v1/gateways").header(name, value).send().await;
        assert_eq!(read.status, 200);
        assert_eq!(read.header("access-control-allow-origin"), None, "CORS is off");
    }
}

#[tokio::test]
async fn cors_for_configured_origins() {
    let security = Security { allowed_origins: vec!["https://ui.example".into()], ..Security::default() };
    let server = Server::with(Settings { security, ..Settings::default() }).await;
    let preflight = |origin: &'static str| {
        server
            .call("OPTIONS", "/api/v1/gateways/shop")
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "content-type")
            .send()
    };
    let allowed = preflight("https://ui.example").await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://ui.example"));
    assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(allowed.header("access-control-max-age"), Some("1800"));
    assert!(allowed.header("access-control-allow-methods").is_some_and(|methods| methods.contains("DELETE")));
    assert_eq!(preflight("https://evil.example").await.header("access-control-allow-origin"), None);
    let put = server
        .call("PUT", "/api/v1/gateways/shop")
        .header("origin", "https://ui.example")
        .body(SHOP)
        .send()
        .await;
    assert_eq!(put.status, 202, "{}", put.text());
    let list = server.call("GET", "/api/v1/gateways").header("origin", "https://ui.example").send().await;
    let exposed = list.header("access-control-expose-headers").unwrap_or_default().to_ascii_lowercase();
    assert!(exposed.contains("link") && exposed.contains("x-total-count"), "{exposed}");
    let error =
        server.call("GET", "/api/v1/gateways/none").header("origin", "https://ui.example").send().await;
    assert_eq!(
        error.header("access-control-allow-origin"),
        Some("https://ui.example"),
        "pages can read errors too"
    );
}

#[tokio::test]
async fn on_loopback_only_known_host_names_are_answered() {
    let security =
        Security { loopback_only: true, allowed_hosts: vec!["vamp.test".into()], ..Security::default() };
    let server = Server::with(Settings { security, ..Settings::default() }).await;
    for (host, status) in [
        ("localhost:8090", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("vamp.test", 200),
        ("rebound.example", 403),
    ] {
        let answer = server.call("GET", "/api/v1/gateways").header("host", host).send().await;
        assert_eq!(answer.status, status, "{host}");
    }
}
