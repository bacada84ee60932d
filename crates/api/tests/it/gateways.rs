//! `/gateways` and what every write shares.

use serde_json::{Value, json};

use crate::server::{Proxy, SHOP, Server, edited};

#[tokio::test]
async fn a_gateway_is_created_read_replaced_and_deleted() {
    let server = Server::start().await;
    let created = server.post("/api/v1/gateways", SHOP).await;
    assert_eq!(created.status, 202, "{}", created.text());
    let document = created.json();
    let expected = [
        ("/name", json!("shop")),
        ("/kind", json!("gateways")),
        ("/metadata", json!({})),
        ("/lookup_name", json!("f2c5aee3e47aad6735933f42d41a2d4e6720eced")),
        ("/internal", json!(false)),
        ("/service", json!({"host": "127.0.0.1", "port": "9070/http"})),
        ("/port", json!("9070/http")),
        ("/sticky", json!(null)),
        ("/virtual_hosts", json!(["shop.vamp"])),
        ("/selector", json!(null)),
        ("/routes/[10.1.0.7:8080]/weight", json!("90%")),
        ("/routes/[10.1.0.7:8080]/condition", json!(null)),
        ("/routes/[10.1.0.7:8080]/condition_strength", json!("0%")),
        ("/routes/[10.1.0.7:8080]/balance", json!("default")),
        ("/routes/[10.1.0.7:8080]/rewrites", json!([])),
        ("/routes/[10.1.0.7:8080]/targets", json!([{"url": "10.1.0.7:8080"}])),
        ("/routes/[10.1.0.8:8080]/condition", json!({"condition": "User-Agent == Firefox"})),
        ("/routes/[10.1.0.8:8080]/condition_strength", json!("100%")),
    ];
    for (pointer, value) in expected {
        assert_eq!(document.pointer(pointer), Some(&value), "{pointer} of {document}");
    }
    let read = server.get("/api/v1/gateways/shop").await;
    assert_eq!(read.status, 200);
    assert_eq!(read.json()["routes"], document["routes"]);
    let listed = server.get("/api/v1/gateways").await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));

    let changed = edited(read.json(), "/routes/[10.1.0.7:8080]/weight", json!("50%"));
    let changed = edited(changed, "/routes/[10.1.0.8:8080]/weight", json!("50%"));
    let replaced = server.put("/api/v1/gateways/shop", &changed.to_string()).await;
    assert_eq!(replaced.status, 202, "{}", replaced.text());
    assert_eq!(replaced.json()["routes"]["[10.1.0.7:8080]"]["weight"], "50%");

    let deleted = server.delete("/api/v1/gateways/shop").await;
    assert_eq!(deleted.status, 202);
    assert_eq!(deleted.json(), json!({"name": "shop", "kind": "gateways", "deleted": true}));
    let again = server.delete("/api/v1/gateways/shop").await;
    assert_eq!((again.status, again.json()["deleted"].clone()), (202, json!(false)));
    assert_eq!(server.get("/api/v1/gateways/shop").await.status, 404);
}

#[tokio::test]
async fn a_document_that_was_read_may_be_sent_back() {
    let server = Server::start().await.with_shop().await;
    let auto = "name: auto\nselector: label(app)(shop) && label(version)((.*))\n";
    assert_eq!(server.put("/api/v1/gateways/auto?wait=applied", auto).await.status, 202);
    for name in ["shop", "auto"] {
        for accept in ["application/json", "application/x-yaml"] {
            let path = format!("/api/v1/gateways/{name}");
            let read = server.call("GET", &path).header("accept", accept).send().await;
            let before = server.get(&path).await.json();
            let written =
                server.call("PUT", &path).header("content-type", accept).body(read.body).send().await;
            assert_eq!(written.status, 202, "{name} {accept}: {}", written.text());
            let mut after = server.get(&path).await.json();
            after["deployed"] = before["deployed"].clone();
            assert_eq!(after, before, "{name} {accept}");
        }
    }
}

#[tokio::test]
async fn names_with_slashes_come_raw_and_encoded_on_every_verb() {
    let server = Server::start().await;
    let put = server.put("/api/v1/gateways/shop%2F9050", "name: shop/9050").await;
    assert_eq!(put.status, 202, "{}", put.text());
    for path in
        ["/api/v1/gateways/shop/9050", "/api/v1/gateways/shop%2F9050", "/api/v1/gateways/shop%2f9050/"]
    {
        let read = server.get(path).await;
        assert_eq!((read.status, read.json()["name"].clone()), (200, json!("shop/9050")), "{path}");
        let put = server.put(path, "name: shop/9050").await;
        assert_eq!(put.status, 202, "{path}: {}", put.text());
    }
    assert_eq!(server.delete("/api/v1/gateways/shop%2F9050").await.json()["deleted"], true);
    assert_eq!(server.get("/api/v1/gateways/shop/9050").await.status, 404);
    for (path, name) in [
        ("/api/v1/gateways/a:b@c", "a:b@c"),
        ("/api/v1/gateways/a%3Ab%40c", "a:b@c"),
        ("/api/v1/gateways/(x)", "(x)"),
    ] {
        let put = server.put(path, &format!("name: \"{name}\"")).await;
        assert_eq!(put.status, 202, "{path}: {}", put.text());
    }
}

#[tokio::test]
async fn wrong_documents_are_refused_and_change_nothing() {
    let server = Server::start().await.with_shop().await;
    let before = server.control.view().revision;
    let cases = [
        (
            "PUT",
            "/api/v1/gateways/front",
            "name: back",
            400,
            "Inconsistent name: given 'front' but found 'back'.",
        ),
        (
            "PUT",
            "/api/v1/gateways/front",
            "name: front\nroutes: {\"[10.0.0.1:1]\": {weight: 90%}, \"[10.0.0.2:1]\": {weight: 5%}}",
            400,
            "Total route weight must be either 0% or 100%: front.",
        ),
        ("PUT", "/api/v1/gateways/front", "port: 9071", 400, "Can't find any value for path: /name"),
        ("PUT", "/api/v1/gateways/front", "name: front\nkind: breeds", 400, "Inconsistent kind"),
        ("PUT", "/api/v1/gateways/front", "name: front\nweigth: 50%", 400, "Unexpected in DSL: {"),
        ("PUT", "/api/v1/gateways/front", "name: front\nport: 9070", 400, "9070"),
        ("PUT", "/api/v1/gateways/front", "name: front\nport: 8090", 400, "8090"),
        ("PUT", "/api/v1/gateways/front", "name: front\nselector: label(", 400, "label("),
        ("PUT", "/api/v1/gateways/front", "name: front\nsticky: maybe", 400, "sticky"),
        ("PUT", "/api/v1/gateways/front", "- a\n- b", 400, ""),
        ("PUT", "/api/v1/gateways/front", "name: front\n---\nname: front", 400, ""),
        ("PUT", "/api/v1/gateways/front", "{\"name\": \"front\", \"name\": \"front\"}", 400, ""),
        ("PUT", "/api/v1/gateways/a%20b", "name: a b", 400, "a b"),
        ("POST", "/api/v1/gateways", SHOP, 409, "shop"),
        ("POST", "/api/v1/gateways?validate_only=true", SHOP, 409, "shop"),
    ];
    for (method, path, body, status, message) in cases {
        let answer = server.call(method, path).body(body).send().await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
        let got = answer.message();
        assert!(got.contains(message), "{method} {path} {body}: {got}");
        assert_eq!(answer.header("vamp-revision"), None);
    }
    assert_eq!(server.control.view().revision, before);
    // The prefix that a client parses the rest of as JSON.
    let typo = server.put("/api/v1/gateways/front", "name: front\nweigth: 50%").await.message();
    let keys = typo.strip_prefix("Unexpected in DSL: ").expect("the prefix");
    assert_eq!(
        serde_json::from_str::<Value>(keys).expect("JSON and nothing after it"),
        json!({"weigth": "50%"})
    );
}

#[tokio::test]
async fn problems_carry_path_and_position() {
    let server = Server::start().await;
    let answer = server
        .put("/api/v1/gateways/front", "name: front\nroutes:\n  \"[10.0.0.1:1]\": {weight: 200%}\n")
        .await;
    assert_eq!(answer.status, 400);
    let body = answer.json();
    let problem = &body["problems"][0];
    assert!(problem["path"].as_str().is_some_and(|path| path.contains("weight")), "{body}");
    assert_eq!(problem["position"]["line"], 3, "{body}");
}

#[tokio::test]
async fn validate_only_computes_and_stores_nothing() {
    let server = Server::start().await;
    let body = "name: front\nroutes: [\"[10.0.0.1:1]\", \"[10.0.0.2:1]\", \"[10.0.0.3:1]\"]";
    for (method, path) in [("POST", "/api/v1/gateways"), ("PUT", "/api/v1/gateways/front")] {
        let answer = server.call(method, &format!("{path}?validate_only=true")).body(body).send().await;
        assert_eq!(answer.status, 202, "{method}: {}", answer.text());
        assert_eq!(answer.json()["routes"]["[10.0.0.3:1]"]["weight"], "34%");
        assert_eq!((answer.header("vamp-revision"), answer.header("etag")), (None, None));
        assert_eq!(server.get("/api/v1/gateways/front").await.status, 404);
    }
    let server = server.with_shop().await;
    let kept = server.delete("/api/v1/gateways/shop?validate_only=true").await;
    assert_eq!((kept.status, kept.json()["deleted"].clone()), (202, json!(true)));
    assert_eq!(server.get("/api/v1/gateways/shop").await.status, 200);
    assert_eq!(server.events("?tag=archive").await.len(), 1, "only the one real write is archived");
}

#[tokio::test]
async fn several_documents_in_one_post() {
    let server = Server::start().await;
    let answer = server.post("/api/v1/gateways", "name: a\n---\nname: b\nkind: gateway\n---\n").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let names: Vec<Value> = answer.json().as_array().unwrap().iter().map(|g| g["name"].clone()).collect();
    assert_eq!(names, ["a", "b"]);
    let one_bad = server.post("/api/v1/gateways", "name: c\n---\nname: d\nstickyy: route\n").await;
    assert_eq!(one_bad.status, 400);
    assert_eq!(server.get("/api/v1/gateways/c").await.status, 404, "all or nothing");
}

#[tokio::test]
async fn writes_tell_revision_version_and_how_they_were_applied() {
    let server = Server::start().await;
    let first = server.put("/api/v1/gateways/shop?wait=applied&timeout=5s", SHOP).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let revision: u64 = first.header("vamp-revision").expect("a revision").parse().expect("a number");
    assert_eq!(first.header("etag"), server.get("/api/v1/gateways/shop").await.header("etag"));
    assert_eq!(first.header("vamp-applied"), Some("1/1"));
    assert!(first.header("vamp-applied-ms").expect("ms").parse::<f64>().expect("a number") >= 0.0);
    let receipt = server.get(&format!("/api/v1/revisions/{revision}")).await;
    assert_eq!(receipt.status, 200, "{}", receipt.text());
    let receipt = receipt.json();
    assert_eq!(
        (&receipt["complete"], &receipt["applied"], &receipt["total"]),
        (&json!(true), &json!(1), &json!(1))
    );
    assert_eq!(receipt["proxies"][0]["name"], "proxy-1");
    assert!(server.get("/api/v1/gateways/shop").await.json()["deployed"].as_bool().unwrap());
    let plain = server.put("/api/v1/gateways/shop", SHOP).await;
    assert_eq!(plain.header("vamp-applied"), None);
}

#[tokio::test]
async fn a_proxy_that_does_not_confirm_is_named_and_the_change_stays() {
    let server = Server::start().await;
    Proxy::mute("proxy-mute", &server.control);
    let answer = server.put("/api/v1/gateways/shop?wait=applied&timeout=100ms", SHOP).await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(answer.message().contains("proxy-mute"));
    assert_eq!(answer.json()["code"], "not-applied");
    assert_eq!(answer.header("vamp-applied"), Some("1/2"));
    assert!(answer.header("vamp-revision").is_some());
    assert_eq!(server.get("/api/v1/gateways/shop").await.status, 200);
}

#[tokio::test]
async fn if_match_guards_against_lost_updates() {
    let server = Server::start().await.with_shop().await;
    let etag = server.get("/api/v1/gateways/shop").await.header("etag").expect("an ETag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "strong: {etag}");
    let put = |tag: &str| {
        let sticky = SHOP.replace("port: 9070/http", "port: 9070/http\nsticky: route");
        server.call("PUT", "/api/v1/gateways/shop").header("if-match", tag).body(sticky).send()
    };
    for stale in ["\"0\"", "\"x\"", "W/\"1\"", "1", ""] {
        let answer = put(stale).await;
        assert_eq!(answer.status, 412, "{stale}: {}", answer.text());
        assert!(answer.message().contains(&etag), "the message tells the present ETag");
    }
    let good = put(&format!("\"0\", {etag}")).await;
    assert_eq!(good.status, 202, "{}", good.text());
    assert_ne!(good.header("etag"), Some(etag.as_str()));
    assert_eq!(put(&etag).await.status, 412, "the same ETag a second time");
    assert_eq!(put("*").await.status, 202);
    let missing =
        server.call("PUT", "/api/v1/gateways/new").header("if-match", "*").body("name: new").send().await;
    assert_eq!(missing.status, 412);
    let delete = server.call("DELETE", "/api/v1/gateways/shop").header("if-match", &etag).send().await;
    assert_eq!(delete.status, 412);
    let several = server
        .call("PUT", "/api/v1")
        .header("if-match", &etag)
        .body(format!("kind: gateway{SHOP}"))
        .send()
        .await;
    assert_eq!(several.status, 400);
}

#[tokio::test]
async fn every_change_says_who_and_why() {
    let server = Server::start().await;
    let put = |actor: Option<&'static str>| {
        let mut call =
            server.call("PUT", "/api/v1/gateways/shop").header("vamp-reason", "error budget").body(SHOP);
        if let Some(actor) = actor {
            call = call.header("vamp-actor", actor);
        }
        call.send()
    };
    put(None).await;
    put(Some("ada")).await;
    let events = server.events("?tag=archive&tag=gateways:shop").await;
    let actors: Vec<&Value> = events.iter().map(|event| &event["actor"]).collect();
    assert_eq!(actors, ["ada", "anonymous@127.0.0.1"]);
    assert_eq!(events[0]["type"], "archive");
    assert_eq!(events[0]["value"], SHOP, "the text of the request, unchanged");
    let tags = events[0]["tags"].as_array().unwrap();
    for tag in ["archive", "archive:update", "gateways", "gateways:shop"] {
        assert!(tags.contains(&json!(tag)), "{tag} in {tags:?}");
    }
}

#[tokio::test]
async fn a_read_modify_write_by_many_loses_nothing() {
    let server = std::sync::Arc::new(Server::start().await.with_shop().await);
    let tasks: Vec<_> = (0..8)
        .map(|i| {
            let server = server.clone();
            tokio::spawn(async move {
                loop {
                    let read = server.get("/api/v1/gateways/shop").await;
                    let etag = read.header("etag").unwrap().to_owned();
                    let mut document = read.json();
                    document["metadata"][format!("k{i}")] = json!(i);
                    let call = server.call("PUT", "/api/v1/gateways/shop").header("if-match", &etag);
                    match call.body(document.to_string()).send().await.status {
                        202 => return,
                        412 => {}
                        other => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let metadata = server.get("/api/v1/gateways/shop").await.json()["metadata"].clone();
    assert_eq!(metadata.as_object().map(serde_json::Map::len), Some(8), "{metadata}");
}
