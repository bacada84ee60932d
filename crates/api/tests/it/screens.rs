//! What the web UI needs besides the resources: its files, who is calling, and everything that changes on one connection.

use api::{Role, Security, Settings, Token};
use serde_json::{Value, json};

use crate::server::Server;

#[tokio::test]
async fn every_address_below_ui_is_the_page_and_asks_nobody_else() {
    let server = Server::start().await;
    for path in ["/", "/ui", "/ui/", "/ui/default", "/ui/default/gateways/a/b"] {
        let page = server.get(path).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("cache-control"), Some("no-cache"), "a new version is seen at once");
    }
    let asset = server.get("/assets/app.js").await;
    assert_eq!((asset.status, asset.text()), (200, "start()"));
    assert!(asset.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(asset.header("content-type"), Some("text/javascript; charset=utf-8"));
    for path in ["/assets/", "/assets/none.js", "/assets/../index.html", "/assets/%2e%2e/index.html"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_screen_learns_what_its_user_may_do() {
    let open = Server::start().await.get("/api/v1/whoami").await.json();
    assert_eq!((&open["role"], &open["authenticated"]), (&json!("admin"), &json!(false)));

    let tokens = vec![Token::new("eve", Role::Viewer, "v-secret")];
    let security = Security { tokens, ..Security::default() };
    let server = Server::with(Settings { security, ..Settings::default() }).await;
    assert_eq!(server.get("/ui/default/events").await.status, 200, "the page asks for the token itself");
    assert_eq!(server.get("/assets/app.js").await.status, 200);
    assert_eq!(server.get("/api/v1/whoami").await.status, 401);
    let known = server.call("GET", "/api/v1/whoami").header("authorization", "Bearer v-secret").send().await;
    let expected = json!({"name": "eve", "role": "viewer", "authenticated": true, "environment": "default"});
    assert_eq!(known.json(), expected);
}

#[tokio::test]
async fn one_connection_tells_everything_that_changes() {
    let server = Server::start().await.with_shop().await;
    let mut live = server.call("GET", "/api/v1/live").open().await;
    let mut state: Option<Value> = None;
    let mut figures: Option<Value> = None;
    while state.is_none() || figures.is_none() {
        let sent = live.next().await.unwrap();
        let data = serde_json::from_str(&sent.data).unwrap();
        match sent.event.as_deref() {
            Some("state") => state = Some(data),
            Some("figures") => figures = Some(data),
            other => panic!("{other:?}"),
        }
    }
    let (state, figures) = (state.unwrap(), figures.unwrap());
    assert_eq!((&state["complete"], &state["gateways"][0]["name"]), (&json!(true), &json!("shop")));
    assert_eq!(state["gateways"][0]["route_states"][0]["weight"], "90%");
    assert_eq!(
        (&figures["gateways"][0]["name"], &figures["gateways"][0]["rate"]),
        (&json!("shop"), &json!(0.0))
    );

    let other = "name: other\nselector: label(app)(shop) && label(version)((.*))";
    let put = server.put("/api/v1/gateways/other?wait=applied", other).await;
    assert_eq!(put.status, 202, "{}", put.text());
    let changed = until(&mut live, "state", |state| !state["gateways"].as_array().unwrap().is_empty()).await;
    assert_eq!(changed["complete"], false);
    let names: Vec<&Value> = changed["gateways"].as_array().unwrap().iter().map(|g| &g["name"]).collect();
    assert_eq!(names, ["other"], "what did not change is not sent again");
    assert_eq!(changed["overall"]["revision"].as_u64(), put.header("vamp-revision").unwrap().parse().ok());

    server.delete("/api/v1/gateways/other").await;
    let gone = until(&mut live, "state", |state| state["gone"] != json!([])).await;
    assert_eq!(gone["gone"], json!(["other"]));
}

#[tokio::test]
async fn a_connection_brings_the_events_and_those_that_were_missed() {
    let server = Server::start().await;
    let first = server.post("/api/v1/events", "tags: first").await.json();
    let second = server.post("/api/v1/events", "{tags: second, type: audit}").await.json();
    let id = first["id"].as_str().unwrap();
    let mut live = server.call("GET", "/api/v1/live").header("last-event-id", id).open().await;
    assert_eq!(until(&mut live, "event", |_| true).await, second, "by the name `event`, whatever its type");
    let third = server.post("/api/v1/events", "tags: third").await.json();
    assert_eq!(until(&mut live, "event", |_| true).await, third);
}

async fn until(live: &mut crate::client::Stream, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
    loop {
        let sent = live.next().await.expect("the stream goes on");
        if sent.event.as_deref() != Some(name) {
            continue;
        }
        let data = serde_json::from_str(&sent.data).unwrap();
        if holds(&data) {
            return data;
        }
    }
}

#[tokio::test]
async fn a_history_has_every_route_in_order() {
    let server = Server::start().await.with_shop().await;
    let history = server.get("/api/v1/figures/history?gateway=shop&window=300").await.json();
    assert_eq!((&history["step"], &history["gateway"]), (&json!(5), &json!("shop")));
    let routes: Vec<&Value> = history["series"].as_array().unwrap().iter().map(|s| &s["route"]).collect();
    assert_eq!(routes, [&Value::Null, &json!("[10.1.0.7:8080]"), &json!("[10.1.0.8:8080]")]);

    let one = server.get("/api/v1/figures?gateway=shop").await.json();
    assert_eq!(one["gateways"].as_array().unwrap().len(), 1);
    let instance = &one["gateways"][0]["routes"][0]["instances"][0];
    assert_eq!((&instance["address"], &instance["up"]), (&json!("10.1.0.7:8080"), &json!(true)));
}

#[tokio::test]
async fn a_condition_is_tried_on_the_last_requests() {
    let server = Server::start().await.with_shop().await;
    let request = |path: &str| api::TriedRequest { method: "GET".into(), path: path.into(), matches: false };
    let ask = |condition: &str| {
        server
            .call("POST", "/api/v1/condition-tests")
            .body(format!("gateway: shop\ncondition: \"{condition}\""))
            .send()
    };
    // Nobody to ask.
    let none = ask("has header x").await;
    assert_eq!((none.status, &none.json()["available"]), (200, &json!(false)), "{}", none.text());

    let requests = vec![request("/2"), request("/1")];
    *server.plane.tried.lock().unwrap() = api::Tried { requests, answered: 2, proxies: 3 };
    let answer = ask("< path_beg /1 >").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = json!({
        "gateway": "shop",
        "available": true,
        "proxies": {"answered": 2, "all": 3},
        "matched": 1,
        "requests": [
            {"method": "GET", "path": "/2", "matches": false},
            {"method": "GET", "path": "/1", "matches": true},
        ],
    });
    assert_eq!(answer.json(), told);
    let wrong = ask("User-Agent ==").await;
    assert_eq!((wrong.status, &wrong.json()["code"]), (400, &json!("condition")), "{}", wrong.text());
}
