//! What the local platform runs.

use serde_json::json;

use crate::server::Server;

const MANIFEST: &str = "kind: Deployment\nmetadata: {name: one}\n---\nkind: Deployment\nmetadata: {name: two, namespace: default}\n";

#[tokio::test]
async fn apply_list_log_and_delete() {
    let server = Server::start().await;
    assert_eq!(server.get("/api/v1/workloads").await.json(), json!([]));
    let applied = server.post("/api/v1/workloads", MANIFEST).await;
    assert_eq!(applied.status, 202, "{}", applied.text());
    assert_eq!(applied.json()[1]["name"], "two");
    let list = server.get("/api/v1/workloads").await.json();
    assert_eq!(list[0]["instances"][0]["ready"], true, "{list}");
    let log = server.get("/api/v1/workloads/one-0/log?lines=2").await;
    assert_eq!((log.status, log.json()), (200, json!(["line 0", "line 1"])));
    assert_eq!(server.get("/api/v1/workloads/none/log").await.status, 404);
    assert_eq!(server.get("/api/v1/workloads/one/log?lines=-1").await.status, 400);
    let deleted = server.delete("/api/v1/workloads/one").await;
    assert_eq!((deleted.status, deleted.json()["deleted"].clone()), (202, json!(true)));
    let by_manifest = server
        .call("DELETE", "/api/v1/workloads")
        .body("kind: List\nitems:\n- {kind: Deployment, metadata: {name: two}}")
        .send()
        .await;
    assert_eq!(by_manifest.status, 202, "{}", by_manifest.text());
    assert_eq!(by_manifest.json(), json!([{"name": "two", "kind": "Deployment", "deleted": true}]));
    assert_eq!(server.get("/api/v1/workloads").await.json(), json!([]));
    for body in ["", "kind: Deployment", "metadata: {name: x}", "- a"] {
        let answer = server.call("DELETE", "/api/v1/workloads").body(body).send().await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        answer.message();
    }
    let wrong = server.post("/api/v1/workloads", "kind: Deployment").await;
    assert_eq!(wrong.status, 400);
    wrong.message();
}
