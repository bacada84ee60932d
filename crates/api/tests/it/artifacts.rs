//! Stored conditions, rewrites and routes; kinds that are not built yet.

use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn passive_artifacts_answer_201_200_204() {
    let server = Server::start().await;
    let cases = [
        (
            "conditions",
            "name: one\ncondition: User-Agent == Firefox",
            "/condition",
            json!("User-Agent == Firefox"),
        ),
        (
            "rewrites",
            "name: one\npath: \"/v2%[path] if path_beg /api\"",
            "/path",
            json!("/v2%[path] if path_beg /api"),
        ),
        ("routes", "name: one\nweight: 30%", "/weight", json!("30%")),
    ];
    for (kind, body, pointer, value) in cases {
        let list = format!("/api/v1/{kind}");
        let one = format!("{list}/one");
        assert_eq!(server.get(&list).await.json(), json!([]), "{kind}");
        assert_eq!(server.get(&one).await.status, 404);
        let created = server.post(&list, body).await;
        assert_eq!(created.status, 201, "{kind}: {}", created.text());
        assert_eq!(created.json()["kind"], kind);
        assert_eq!(created.json().pointer(pointer), Some(&value));
        let taken = server.post(&list, body).await;
        assert_eq!(taken.status, 409, "{kind}: {}", taken.text());
        let read = server.get(&one).await;
        assert_eq!((read.status, read.json()), (200, created.json()));
        assert_eq!(read.header("etag"), created.header("etag"));
        let put = server.put(&one, &read.json().to_string()).await;
        assert_eq!(put.status, 200, "{kind}: {}", put.text());
        let other = server.put(&format!("{list}/other"), body).await;
        assert_eq!(other.status, 400);
        assert_eq!(other.message(), "Inconsistent name: given 'other' but found 'one'.");
        let stale = server.call("DELETE", &one).header("if-match", "\"0\"").send().await;
        assert_eq!(stale.status, 412);
        for _ in 0..2 {
            let deleted = server.delete(&one).await;
            assert_eq!((deleted.status, deleted.body.len()), (204, 0));
        }
        assert_eq!(server.get(&one).await.status, 404);
    }
}

#[tokio::test]
async fn singular_kinds_and_several_documents() {
    let server = Server::start().await;
    let answer = server
        .post(
            "/api/v1/conditions",
            "name: a\nkind: condition\ncondition: has header a\n---\nname: b\ncondition: has header b",
        )
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json().as_array().map(Vec::len), Some(2));
    assert_eq!(server.get("/api/v1/condition").await.json(), server.get("/api/v1/conditions").await.json());
}

#[tokio::test]
async fn a_gateway_takes_a_copy_of_what_it_refers_to() {
    let server = Server::start().await;
    server.put("/api/v1/conditions/firefox", "name: firefox\ncondition: User-Agent == Firefox").await;
    let body = "name: g\nroutes:\n  \"[10.0.0.1:1]\": {condition: {reference: firefox}}";
    let answer = server.put("/api/v1/gateways/g", body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(
        answer.json()["routes"]["[10.0.0.1:1]"]["condition"],
        json!({"condition": "User-Agent == Firefox"})
    );
    let unknown = server.put("/api/v1/gateways/g", &body.replace("firefox", "nobody")).await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.message().contains("Artifact cannot be found: 'nobody'"), "{}", unknown.message());
}

#[tokio::test]
async fn kinds_that_are_not_built_are_empty_and_say_so_on_writes() {
    let server = Server::start().await;
    for (kind, delete) in [
        ("breeds", 204),
        ("blueprints", 204),
        ("scales", 204),
        ("slas", 204),
        ("escalations", 204),
        ("templates", 204),
        ("workflows", 202),
        ("deployments", 202),
    ] {
        let list = server.get(&format!("/api/v1/{kind}/")).await;
        assert_eq!((list.status, list.json()), (200, json!([])), "{kind}");
        assert_eq!(list.header("x-total-count"), Some("0"));
        let one = format!("/api/v1/{kind}/x");
        assert_eq!(server.get(&one).await.status, 404);
        assert_eq!(server.get(&format!("{one}/status")).await.status, 404);
        assert_eq!(server.delete(&one).await.status, delete, "{kind}");
        for (method, path) in [("POST", format!("/api/v1/{kind}")), ("PUT", one)] {
            let refused = server.call(method, &path).body("name: x").send().await;
            assert_eq!(refused.status, 400, "{method} {path}");
            assert!(refused.message().contains(kind) && refused.message().contains("Supported: gateways"));
        }
    }
}
