//! Several documents at once, on the root of the API.

use serde_json::{Value, json};

use crate::server::Server;

const BUNDLE: &str = "
kind: gateway
name: front
routes:
  \"[10.0.0.1:1]\": {condition: {reference: firefox}}
---
kind: condition
name: firefox
condition: User-Agent == Firefox
---
";

#[tokio::test]
async fn documents_may_refer_to_each_other_in_any_order() {
    let server = Server::start().await;
    let answer = server.put("/api/v1", BUNDLE).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let kinds: Vec<Value> = answer.json().as_array().unwrap().iter().map(|d| d["kind"].clone()).collect();
    assert_eq!(kinds, ["gateways", "conditions"], "answers in the order of the documents");
    assert!(answer.header("vamp-revision").is_some());
    let again = server.post("/api/v1/", BUNDLE).await;
    assert_eq!(again.status, 409, "{}", again.text());
    let archived = server.events("?tag=conditions:firefox&tag=archive").await;
    let source: Value =
        serde_json::from_str(archived[0]["value"].as_str().expect("text")).expect("that document as JSON");
    assert_eq!(source["condition"], "User-Agent == Firefox");

    let deleted = server.call("DELETE", "/api/v1").body(BUNDLE).send().await;
    assert_eq!(deleted.status, 202, "{}", deleted.text());
    assert_eq!(
        deleted.json(),
        json!([
            {"name": "front", "kind": "gateways", "deleted": true},
            {"name": "firefox", "kind": "conditions", "deleted": true},
        ])
    );
    assert_eq!(server.get("/api/v1/gateways").await.json(), json!([]));
    let again = server.call("DELETE", "/api/v1/").body(BUNDLE).send().await;
    assert_eq!((again.status, again.json()[0]["deleted"].clone()), (202, json!(false)));
}

#[tokio::test]
async fn lists_are_documents_too() {
    let server = Server::start().await;
    let body = json!([{"kind": "gateways", "name": "a"}, [{"kind": "gateways", "name": "b"}]]);
    let answer = server.post("/api/v1", &body.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.json().as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn one_bad_document_refuses_all() {
    let server = Server::start().await;
    let cases = [
        (format!("{BUNDLE}kind: gateway\nname: bad\nstickyy: route"), "gateways/bad: "),
        (format!("{BUNDLE}kind: nonsense\nname: bad"), "nonsense"),
        (format!("{BUNDLE}kind: breed\nname: bad"), "breed"),
        (format!("{BUNDLE}name: bad"), "kind"),
        (
            format!("{BUNDLE}kind: gateway\nname: second\nroutes: {{\"[10.0.0.1:1]\": {{weight: 7%}}}}"),
            "gateways/second: ",
        ),
    ];
    for (body, message) in cases {
        let answer = server.put("/api/v1", &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert!(answer.message().contains(message), "{body}: {}", answer.message());
        assert_eq!(server.get("/api/v1/gateways").await.json(), json!([]), "{body}");
        assert_eq!(server.get("/api/v1/conditions").await.json(), json!([]), "{body}");
    }
    let dry = server.put("/api/v1?validate_only=true", BUNDLE).await;
    assert_eq!(dry.status, 202, "{}", dry.text());
    assert_eq!(server.get("/api/v1/gateways").await.json(), json!([]));
}
