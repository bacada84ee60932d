//! Evictions, route tests, status, probes, Prometheus text.

use serde_json::{Value, json};

use crate::server::{Server, eventually};

#[tokio::test]
async fn an_eviction_raises_the_generation() {
    let server = Server::start().await.with_shop().await;
    let generation = || server.control.view().gateways.values().next().unwrap().sticky_generation;
    let before = generation();
    let answer = server.post("/api/v1/evictions?wait=applied", "gateway: shop").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(answer.header("vamp-revision").is_some() && answer.header("vamp-applied").is_some());
    assert!(generation() > before);
    for (body, status, message) in [
        ("gateway: none", 404, "none"),
        ("{}", 400, "Can't find any value for path: /gateway"),
        ("gateway: shop\nroute: x", 400, "Unexpected in DSL: {\"route\":\"x\"}"),
        ("- shop", 400, "map"),
        ("gateway: [a]", 400, "gateway"),
    ] {
        let answer = server.post("/api/v1/evictions", body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.message().contains(message), "{body}: {}", answer.message());
    }
}

#[tokio::test]
async fn a_route_test_says_which_route_and_why() {
    let server = Server::start().await.with_shop().await;
    let test = async |body: Value| -> Value {
        let answer = server.post("/api/v1/route-tests", &body.to_string()).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        answer.json()
    };
    let plain = test(json!({"gateway": "shop"})).await;
    assert_eq!(plain["reason"], "weight", "{plain}");
    assert_eq!(plain["matched_condition"], Value::Null);
    assert_eq!(plain["conditions"][0]["holds"], false);
    assert_eq!(plain["conditions"].as_array().map(Vec::len), Some(1));
    assert_eq!(plain["shares"], json!({"[10.1.0.7:8080]": "90%", "[10.1.0.8:8080]": "10%"}));
    assert_eq!(plain["revision"], json!(server.control.view().revision));
    for headers in [
        json!({"User-Agent": "Firefox/1"}),
        json!([["user-agent", "Firefox/1"]]),
        json!({"user-agent": ["x Firefox"]}),
    ] {
        let firefox =
            test(json!({"gateway": "shop", "method": "get", "path": "/x?y=1", "headers": headers})).await;
        assert_eq!(firefox["route"], "[10.1.0.8:8080]", "{firefox}");
        assert_eq!(firefox["reason"], "condition");
        assert_eq!(firefox["target"]["address"], "10.1.0.8:8080");
        assert_eq!(
            firefox["matched_condition"],
            json!({"route": "[10.1.0.8:8080]", "condition": "User-Agent == Firefox", "strength": "100%", "holds": true})
        );
        assert_eq!(firefox["shares"]["[10.1.0.8:8080]"], "100%");
    }
    for (body, status) in [
        (json!({"gateway": "none"}), 404),
        (json!({}), 400),
        (json!({"gateway": "shop", "source": "here"}), 400),
        (json!({"gateway": "shop", "headers": "x"}), 400),
        (json!({"gateway": "shop", "headers": [["a"]]}), 400),
    ] {
        let answer = server.post("/api/v1/route-tests", &body.to_string()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        answer.message();
    }
}

#[tokio::test]
async fn status_names_what_is_wrong() {
    let server = Server::start().await.with_shop().await;
    eventually("everything is as it should be", || async {
        server.get("/api/v1/status").await.json()["healthy"] == true
    })
    .await;
    let status = server.get("/api/v1/status").await.json();
    assert_eq!(status["problems"], json!([]));
    assert_eq!(status["gateways"][0]["route_states"][0]["effective_weight"], "90%");
    assert_eq!((&status["gateways"][0]["routes"], &status["gateways"][0]["serving"]), (&json!(2), &json!(2)));
    assert_eq!(status["platform"]["instances"], 2);
    assert_eq!(status["proxies"][0]["name"], "proxy-1");
    server.put("/api/v1/gateways/empty?wait=applied", "name: empty\nselector: label(app)(none)").await;
    let empty = server.get("/api/v1/status").await.json();
    assert_eq!(empty["problems"], json!(["gateway 'empty' has no routes: nothing matches its selector"]));
    server.delete("/api/v1/gateways/empty").await;
    // A stored condition changes no traffic, and still every proxy confirms the revision.
    let stored = server.put("/api/v1/conditions/c?wait=applied", "name: c\ncondition: has header c").await;
    assert_eq!(stored.header("vamp-applied"), Some("1/1"), "{}", stored.text());
    let status = server.get("/api/v1/status").await.json();
    assert_eq!(status["proxies"][0]["revision"], status["revision"]);
    let observation = model::instance::Observation {
        instances: server.control.view().observation.instances.clone(),
        problem: Some("connection refused".into()),
        complete: true,
    };
    server.observation.send_replace(std::sync::Arc::new(observation));
    eventually("the problem of the platform shows", || async {
        server.get("/api/v1/status").await.json()["problems"].to_string().contains("connection refused")
    })
    .await;
    assert_eq!(server.get("/api/v1/info?on=container_driver").await.status, 500);
}

#[tokio::test]
async fn probes_and_prometheus() {
    let server = Server::without_proxy(api::Settings::default()).await;
    let early = server.get("/readyz").await;
    assert_eq!((early.status, server.get("/livez").await.status), (503, 200));
    early.message();
    server.join().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    server.control.proxy_left("proxy-1");
    assert_eq!(server.get("/readyz").await.status, 200, "ready stays ready");
    let server = server.with_shop().await;
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").is_some_and(|t| t.starts_with("text/plain; version=0.0.4")));
    assert!(metrics.text().contains("shop"), "{}", metrics.text());
}
