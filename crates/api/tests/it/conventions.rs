//! Addresses, formats, errors, paging: what holds at every endpoint.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::server::{SHOP, Server};

#[tokio::test]
async fn every_spelling_of_an_address_is_the_same() {
    let server = Server::start().await;
    for path in [
        "/api/v1/gateways",
        "/api/v1/gateways/",
        "/default/api/v1/gateways",
        "/default/api/v1/gateways/",
        "/api/v1/gateways?page=1",
        "/api/v1/gateways?timestamp=%7B%22gte%22:%22now-12m%22%7D&only_reference=true",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.json(), json!([]), "{path}");
    }
    for path in ["/other/api/v1/gateways", "/a/b/api/v1/gateways", "/api/v2/gateways"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        answer.message();
    }
}

#[tokio::test]
async fn every_error_has_a_body_with_a_message() {
    let server = Server::start().await;
    let large = "x".repeat((1 << 20) + 1);
    let cases: Vec<(&str, &str, Option<&str>, u16, &str)> = vec![
        ("GET", "/nothing", None, 404, "Nothing here"),
        ("GET", "/api/v1/gateways/unknown", None, 404, "unknown"),
        ("GET", "/api/v1/nonsense", None, 400, "Unexpected resource: 'nonsense'."),
        ("GET", "/api/v1/nonsense/x", None, 400, "Unexpected resource: 'nonsense'."),
        ("POST", "/api/v1/nonsense", Some("{}"), 400, "Unexpected resource: 'nonsense'."),
        ("PATCH", "/api/v1/gateways/shop", Some("{}"), 405, "Method PATCH is not possible here"),
        ("POST", "/api/v1/info", Some("{}"), 405, "GET"),
        ("DELETE", "/livez", None, 405, "DELETE"),
        ("POST", "/api/v1/gateways", Some(&large), 413, "larger than 1048576 bytes"),
        ("GET", "/api/v1/gateways?page=x", None, 400, "'page'"),
        ("PUT", "/api/v1/gateways/shop?validate_only=maybe", Some(SHOP), 400, "'validate_only'"),
        ("PUT", "/api/v1/gateways/shop?wait=stored", Some(SHOP), 400, "'wait'"),
        ("PUT", "/api/v1/gateways/shop?wait=applied&timeout=5", Some(SHOP), 400, "'timeout'"),
        ("PUT", "/api/v1/gateways/shop?wait=applied&timeout=5m", Some(SHOP), 400, "at most '60s'"),
        ("POST", "/api/v1/gateways", Some("name: [unclosed"), 400, ""),
        ("POST", "/api/v1/gateways", Some(""), 400, ""),
        ("GET", "/api/v1/revisions/x", None, 400, "number"),
        ("GET", "/api/v1/revisions/999", None, 404, "999"),
    ];
    for (method, path, body, status, message) in cases {
        let mut call = server.call(method, path);
        if let Some(body) = body {
            call = call.body(body);
        }
        let answer = call.send().await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let got = answer.message();
        assert!(got.contains(message), "{method} {path}: {got}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {path}");
    }
    let answer = server.call("PATCH", "/api/v1/gateways").send().await;
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("POST")), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_or_is_no_text_is_refused() {
    let server = Server::start().await;
    let answer =
        server.call("POST", "/api/v1/gateways").header("content-length", "99999999").body("x").send().await;
    assert_eq!(answer.status, 413);
    answer.message();
    let chunked =
        server.call("POST", "/api/v1/gateways").body("y".repeat((1 << 20) + 1)).chunked().send().await;
    assert_eq!(chunked.status, 413);
    let binary = server.call("PUT", "/api/v1/gateways/shop").body(vec![b'a', 0xff]).send().await;
    assert_eq!(binary.status, 400);
    assert!(binary.message().contains("offset 1"));
}

#[tokio::test]
async fn a_body_that_does_not_arrive_times_out() {
    let mut settings = api::Settings::default();
    settings.limits.body_timeout = std::time::Duration::from_millis(50);
    let server = Server::with(settings).await;
    let answer =
        server.call("POST", "/api/v1/gateways").header("content-length", "10").body("half").send().await;
    assert_eq!(answer.status, 408, "{}", answer.text());
    answer.message();
}

#[tokio::test]
async fn formats_go_by_accept_and_never_by_content_type() {
    let server = Server::start().await.with_shop().await;
    for (accept, content_type) in [
        (None, "application/json"),
        (Some("*/*"), "application/json"),
        (Some("application/json;q=0.9"), "application/json"),
        (Some("text/html"), "application/json"),
        (Some("application/x-yaml"), "application/x-yaml"),
        (Some("text/yaml"), "application/x-yaml"),
    ] {
        let mut call = server.call("GET", "/api/v1/gateways/shop");
        if let Some(accept) = accept {
            call = call.header("accept", accept);
        }
        let answer = call.send().await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)), "{accept:?}");
        let value = model::yaml::read_one(answer.text()).expect("JSON and YAML are YAML").to_value();
        assert_eq!(value["name"], "shop");
        assert_eq!(value["sticky"], Value::Null);
    }
    let refused = server.call("GET", "/api/v1/gateways").header("accept", "image/png").send().await;
    assert_eq!(refused.status, 406);
    assert_eq!(
        refused.message(),
        "Only the following media types are supported: application/json, application/x-yaml, but not: image/png."
    );
    let unstored = server
        .call("PUT", "/api/v1/gateways/other")
        .header("accept", "image/png")
        .body("name: other")
        .send()
        .await;
    assert_eq!(unstored.status, 406);
    assert_eq!(server.get("/api/v1/gateways/other").await.status, 404, "a refused request changes nothing");
    let error =
        server.call("GET", "/api/v1/gateways/none").header("accept", "application/x-yaml").send().await;
    assert_eq!((error.status, error.header("content-type")), (404, Some("application/x-yaml")));
    assert!(model::yaml::read_one(error.text()).unwrap().to_value()["message"].is_string());
    for (content_type, status) in [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("application/x-yaml", 202),
        ("text/plain", 202),
        ("application/x-www-form-urlencoded", 202),
        ("application/xml", 415),
        ("multipart/form-data", 415),
    ] {
        let answer = server
            .call("PUT", "/api/v1/gateways/shop")
            .header("content-type", content_type)
            .body(SHOP)
            .send()
            .await;
        assert_eq!(answer.status, status, "{content_type}: {}", answer.text());
        if status == 415 {
            assert!(answer.message().contains("application/json"));
        }
    }
    // Some endpoints never looked at Accept.
    for path in ["/api/v1/config", "/api/v1/vga/embedded/1.0/configuration"] {
        assert_eq!(server.call("GET", path).header("accept", "image/png").send().await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn answers_are_not_cached_and_compressed_on_demand() {
    let server = Server::start().await.with_shop().await;
    let plain = server.get("/api/v1/gateways").await;
    assert_eq!(plain.header("cache-control"), Some("no-store"));
    assert_eq!(plain.header("pragma"), Some("no-cache"));
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(server.get("/api/v1/nonsense").await.header("cache-control"), Some("no-store"));
    for encoding in ["gzip", "deflate"] {
        let answer = server.call("GET", "/api/v1/gateways").header("accept-encoding", encoding).send().await;
        assert_eq!(answer.header("content-encoding"), Some(encoding));
        assert!(answer.body.len() < plain.body.len());
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let server = Server::start().await.with_shop().await;
    for path in [
        "/api/v1/gateways",
        "/api/v1/gateways/shop",
        "/api/v1/info",
        "/livez",
        "/",
        "/metrics",
        "/openapi.json",
    ] {
        let get = server.get(path).await;
        let head = server.call("HEAD", path).send().await;
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    assert_eq!(server.call("HEAD", "/api/v1/gateways/none").send().await.status, 404);
}

#[tokio::test]
async fn chunked_bodies_are_read() {
    let server = Server::start().await;
    let answer = server.call("PUT", "/api/v1/gateways/shop").body(SHOP).chunked().send().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Server::start().await;
    for i in 0..33 {
        let answer = server.put(&format!("/api/v1/gateways/g-{i:02}"), &format!("name: g-{i:02}")).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    let names = |value: Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = server.get("/api/v1/gateways").await;
    assert_eq!(first.header("x-total-count"), Some("33"));
    let all = names(first.json());
    assert_eq!(all.len(), 30);
    assert!(all.is_sorted());
    for (query, length) in [
        ("page=2", 3),
        ("page=3", 0),
        ("page=1000000", 0),
        ("page=0", 30),
        ("per_page=100", 30),
        ("per_page=10&page=4", 3),
        ("per_page=0", 1),
    ] {
        let answer = server.get(&format!("/api/v1/gateways?{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.json().as_array().map(Vec::len), Some(length), "{query}");
        assert_eq!(answer.header("x-total-count"), Some("33"), "{query}");
    }
    let paged = server.get("/default/api/v1/gateways?x=1&per_page=12&page=2").await;
    let base = format!("http://{}/default/api/v1/gateways?x=1&per_page=12", server.address);
    let expected = format!(
        "<{base}&page=1>; rel=first, <{base}&page=1>; rel=prev, <{base}&page=3>; rel=next, <{base}&page=3>; rel=last"
    );
    assert_eq!(paged.header("link"), Some(expected.as_str()));
    let single = server.get("/api/v1/gateways/g-01").await;
    assert_eq!((single.header("link"), single.header("x-total-count")), (None, None));
}

#[tokio::test]
async fn there_is_a_start_page_and_an_index_of_everything() {
    let server = Server::start().await;
    let page = server.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").is_some_and(|t| t.starts_with("text/html")));
    assert!(
        page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    assert!(!page.text().contains("http://") && !page.text().contains("https://"), "no third-party requests");
    let index = server.get("/api/v1/").await.json();
    assert_eq!(index["environment"], "default");
    assert!(index["endpoints"]["/api/v1/gateways/{name}"]["PUT"].is_string(), "{index}");
}

#[tokio::test]
async fn a_panic_is_a_500_without_detail_and_the_server_lives_on() {
    let server = Server::start().await;
    server.plane.broken.store(true, Ordering::Relaxed);
    let answer = server.get("/api/v1/status").await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.message(), "Internal server error.");
    assert_eq!(server.get("/api/v1/gateways").await.status, 200);
}
