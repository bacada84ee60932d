//! Several environments behind one listener.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::{EnvironmentId, Settings, Standing};
use serde_json::{Value, json};

use crate::server::{Plane, SHOP, Server, environment, eventually};

fn acme(name: &str) -> EnvironmentId {
    EnvironmentId {
        namespace: format!("vampio-acme-{name}"),
        name: name.into(),
        organisation: Some("acme".into()),
    }
}

/// An environment whose proxies come and go, and none is there.
fn remote() -> Arc<Plane> {
    let plane = Plane::default();
    plane.agents.store(true, Ordering::Relaxed);
    Arc::new(plane)
}

async fn names(server: &Server) -> Vec<Value> {
    let list = server.get("/api/v1/environments").await;
    assert_eq!(list.status, 200, "{}", list.text());
    list.json().as_array().unwrap().iter().map(|each| each["namespace"].clone()).collect()
}

#[tokio::test]
async fn each_is_reached_by_its_names_and_nothing_is_shared() {
    let settings = Settings { default_namespace: Some("default".into()), ..Settings::default() };
    let server = Server::with(settings).await;
    let (prod, _seen) = environment(acme("prod"), remote()).await;
    server.api.put(prod);
    assert_eq!(server.put("/acme/prod/api/v1/gateways/shop", SHOP).await.status, 202);
    for path in ["/prod", "/acme-prod", "/vampio-acme-prod", "/acme/prod"] {
        let gateway = server.get(&format!("{path}/api/v1/gateways/shop")).await;
        assert_eq!(gateway.status, 200, "{path}: {}", gateway.text());
        let status = server.get(&format!("{path}/api/v1/status")).await.json();
        assert_eq!(status["environment"], "prod", "{path}");
        let namespace = server.get(&format!("{path}/api/v1/config/vamp.namespace")).await.json();
        assert_eq!(namespace, json!("vampio-acme-prod"), "{path}");
    }
    for path in ["", "/default"] {
        assert_eq!(server.get(&format!("{path}/api/v1/gateways/shop")).await.status, 404, "{path}");
    }
    let unknown = server.get("/nope/api/v1/gateways").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.message().contains("This server has 'default', 'acme/prod'."), "{}", unknown.message());
    let unknown = server.get("/nope/api/v1/environments").await;
    assert_eq!(unknown.status, 404);

    let list = server.get("/prod/api/v1/environments").await;
    assert_eq!(list.header("x-total-count"), Some("2"));
    let list = list.json();
    let field = |name: &str| [list[0][name].clone(), list[1][name].clone()];
    assert_eq!(field("name"), ["default", "prod"]);
    assert_eq!(field("organisation"), [Value::Null, json!("acme")]);
    assert_eq!(field("namespace"), ["default", "vampio-acme-prod"]);
    assert_eq!(field("prefix"), ["/default", "/acme/prod"]);
    assert_eq!(field("default"), [json!(true), json!(false)]);
    assert_eq!(field("gateways"), [json!(0), json!(1)]);
    assert_eq!(field("proxies"), [json!(1), json!(0)]);
    assert_eq!(field("healthy"), [json!(true), json!(false)]);
    let problem = list[1]["problems"].to_string();
    assert!(problem.contains("no proxy is connected"), "{problem}");

    let metrics = server.get("/metrics").await;
    for line in [
        "vamp_config_revision{environment=\"default\"} ",
        "vamp_config_revision{environment=\"acme/prod\"} ",
        "vamp_proxy_revision{proxy=\"proxy-1\",environment=\"default\"} ",
        "vamp_route_weight{gateway=\"shop\",route=\"[10.1.0.7:8080]\",kind=\"desired\",environment=\"acme/prod\"} 90",
    ] {
        assert!(metrics.text().contains(line), "{line}: {}", metrics.text());
    }
}

#[tokio::test]
async fn they_come_and_go_while_the_server_runs() {
    let server = Server::start().await;
    assert_eq!(names(&server).await, ["default"]);
    let (prod, _seen) = environment(acme("prod"), remote()).await;
    server.api.put(prod);
    assert_eq!(names(&server).await, ["default", "vampio-acme-prod"]);
    // With several, a plain path would be a guess.
    let plain = server.get("/api/v1/gateways").await;
    assert_eq!(plain.status, 404);
    assert_eq!(plain.json()["code"], "environment-needed");
    let mut stream = server.call("GET", "/prod/api/v1/events/stream").open().await;
    assert_eq!(stream.status, 200);
    server.api.remove("vampio-acme-prod");
    while stream.next().await.is_some() {}
    assert_eq!(names(&server).await, ["default"]);
    assert_eq!(server.get("/prod/api/v1/gateways").await.status, 404);
    assert_eq!(server.get("/api/v1/gateways").await.status, 200);
}

#[tokio::test]
async fn one_that_cannot_be_served_says_why_and_does_not_take_the_others_away() {
    let server = Server::start().await;
    server.api.fail(acme("prod"), "its records cannot be read");
    let refused = server.get("/prod/api/v1/gateways").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["code"], "environment-unavailable");
    assert!(refused.message().ends_with("its records cannot be read"), "{}", refused.message());
    assert_eq!(server.get("/readyz").await.status, 200);
    assert_eq!(server.get("/default/api/v1/gateways").await.status, 200);
    let list = server.get("/api/v1/environments").await.json();
    assert_eq!(list[1]["problems"], json!(["its records cannot be read"]));
    server.api.remove("default");
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.message().contains("'acme/prod'"), "{}", ready.message());
    let (prod, _seen) = environment(acme("prod"), remote()).await;
    server.api.put(prod);
    eventually("it is ready without a proxy", || async { server.get("/readyz").await.status == 200 }).await;
    assert_eq!(server.get("/prod/api/v1/gateways").await.status, 200);
}

#[tokio::test]
async fn a_replica_that_does_not_lead_names_the_leader() {
    let server = Server::start().await;
    let standby = |able| Standing::Standby { leader: Some("vamp-controller-7".into()), able };
    server.api.stand(standby(false));
    for (method, path) in [
        ("GET", "/api/v1/gateways"),
        ("PUT", "/api/v1/gateways/shop"),
        ("GET", "/nope/api/v1/gateways"),
        ("GET", "/api/v1/environments"),
        ("GET", "/api/v1/info"),
    ] {
        let refused = server.call(method, path).send().await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{method} {path}");
        assert_eq!(refused.json()["code"], "not-leader");
        assert!(refused.message().contains("'vamp-controller-7'"), "{}", refused.message());
    }
    for path in ["/livez", "/metrics", "/openapi.json", "/"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    assert_eq!(server.get("/readyz").await.status, 503);
    server.api.stand(standby(true));
    assert_eq!(server.get("/readyz").await.json(), json!({"status": "standby"}));
    server.api.stand(Standing::Starting);
    assert_eq!(server.get("/readyz").await.status, 503);
    let refused = server.get("/api/v1/gateways").await;
    assert_eq!((refused.status, refused.json()["code"].clone()), (503, json!("not-leader")));
    server.api.stand(Standing::Leader);
    assert_eq!(server.get("/readyz").await.status, 200);
    assert_eq!(server.get("/api/v1/gateways").await.status, 200);
}
