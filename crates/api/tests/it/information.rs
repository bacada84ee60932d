//! Info, configuration, scheduler, VGA stand-in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::server::Server;

#[tokio::test]
async fn info_has_what_clients_dereference() {
    let server = Server::start().await.with_shop().await;
    for path in ["/api/v1/info", "/api/v1/information", "/api/v1/info?page=1"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let info = answer.json();
        for pointer in [
            "/message",
            "/version",
            "/uuid",
            "/running_since",
            "/jvm/operating_system/name",
            "/persistence/database/type",
            "/key_value/type",
            "/pulse/type",
            "/container_driver/type",
            "/gateway_driver/marshallers/1.0/type",
        ] {
            assert!(info.pointer(pointer).is_some_and(Value::is_string), "{pointer} of {info}");
        }
        assert!(info.pointer("/jvm/operating_system/system_load_average").is_some_and(Value::is_number));
        let heap = info.pointer("/jvm/memory/heap").unwrap();
        assert!(heap["used"].as_u64() > Some(0) && heap["max"].as_u64() >= heap["used"].as_u64(), "{heap}");
        assert!(info["workflow_driver"].is_object());
        assert_eq!(info.pointer("/persistence/database/artifacts/gateways"), Some(&json!(1)));
    }
    let keys = async |query: &str| -> Vec<String> {
        server
            .get(&format!("/api/v1/info{query}"))
            .await
            .json()
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(keys("?on=jvm").await, ["message", "version", "uuid", "running_since", "jvm"]);
    assert_eq!(
        keys("?on=pulse&on=key_value").await,
        ["message", "version", "uuid", "running_since", "key_value", "pulse"]
    );
    assert_eq!(server.get("/api/v1/stats").await.status, 200);
}

#[tokio::test]
async fn configuration_is_flat_nested_and_without_secrets() {
    let applied = BTreeMap::from([
        ("vamp.gateway-driver.host".to_owned(), json!("10.0.12.7")),
        ("vamp.http-api.tokens".to_owned(), json!("very secret")),
        ("other.key".to_owned(), json!(1)),
    ]);
    let server = Server::with(api::Settings { applied, ..api::Settings::default() }).await;
    let flat = json!({"vamp.gateway-driver.host": "10.0.12.7", "vamp.http-api.tokens": "***", "vamp.namespace": "default"});
    for path in ["config", "configuration"] {
        assert_eq!(server.get(&format!("/api/v1/{path}?flatten=true&page=1")).await.json(), flat);
        let nested = server.get(&format!("/api/v1/{path}?type=applied&flatten=false")).await.json();
        assert_eq!(nested["vamp"]["gateway-driver"]["host"], "10.0.12.7");
        assert_eq!(
            server.get(&format!("/api/v1/{path}/vamp.gateway-driver.host")).await.json(),
            json!("10.0.12.7")
        );
        assert_eq!(
            server.get(&format!("/api/v1/{path}/vamp.gateway-driver")).await.json(),
            json!({"host": "10.0.12.7"})
        );
        assert_eq!(server.get(&format!("/api/v1/{path}/vamp.none")).await.status, 404);
        assert_eq!(server.get(&format!("/api/v1/{path}/other.key")).await.status, 404);
        assert_eq!(server.get(&format!("/api/v1/{path}?type=dynamic")).await.json(), json!({}));
        for method in ["PUT", "POST"] {
            let refused = server
                .call(method, &format!("/api/v1/{path}"))
                .header("content-type", "text/hocon")
                .body("a = 1")
                .send()
                .await;
            assert_eq!(refused.status, 400);
            refused.message();
        }
    }
    let yaml = server
        .call("GET", "/api/v1/config?type=applied&flatten=false")
        .header("accept", "application/x-yaml")
        .send()
        .await;
    assert!(yaml.text().starts_with("vamp:\n  gateway-driver:\n    host: "), "{}", yaml.text());
}

#[tokio::test]
async fn the_scheduler_shows_what_a_selector_finds() {
    let server = Server::start().await;
    let find =
        async |selector: &str| server.get(&format!("/api/v1/scheduler/routing?selector={selector}")).await;
    let all = server.get("/api/v1/scheduler/routing").await;
    assert_eq!((all.status, all.header("x-total-count")), (200, Some("2")), "{}", all.text());
    let one = find("label(version)(1.0.3)").await.json();
    assert_eq!(
        one,
        json!([{
            "name": "web", "kind": "container", "namespace": "default", "labels": {"app": "shop", "version": "1.0.3"},
            "image": "example/shop:1.0.3", "instances": [{"ip": "10.1.0.7", "ports": [{"host": 8080, "container": 8080}]}]
        }])
    );
    assert_eq!(find("label(app)(none)").await.json(), json!([]));
    assert_eq!(find("false").await.json(), json!([]));
    let bad = find("label(").await;
    assert_eq!(bad.status, 400);
    assert!(bad.message().starts_with("Invalid selector: 'label('."), "{}", bad.message());
    let nodes = server.get("/api/v1/scheduler/nodes").await;
    assert_eq!((nodes.status, nodes.json()), (200, json!([])));
}

#[tokio::test]
async fn the_stand_in_for_proxy_templates() {
    let server = Server::start().await.with_shop().await;
    for path in ["configuration", "config"] {
        let answer = server
            .call("GET", &format!("/api/v1/vga/embedded/1.0/{path}"))
            .header("accept", "application/x-yaml")
            .send()
            .await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
        let table = model::yaml::read_one(answer.text()).unwrap().to_value();
        assert_eq!(table["gateways"][0]["name"], "shop", "{table}");
    }
    for path in ["haproxy/1.7/configuration", "embedded/1.0/template"] {
        let answer = server.get(&format!("/api/v1/vga/{path}")).await;
        assert_eq!((answer.status, answer.text()), (200, ""), "{path}");
    }
    for method in ["PUT", "POST"] {
        let answer = server
            .call(method, "/api/v1/vga/embedded/1.0/template")
            .header("content-type", "text/x-any")
            .body("x")
            .send()
            .await;
        assert_eq!(answer.status, 400);
        answer.message();
    }
    let deleted = server.delete("/api/v1/vga/embedded/1.0/template").await;
    assert_eq!((deleted.status, deleted.text()), (200, "true"));
}
