//! Automatic routes (gateways 9, R20 to R23, E1, E8, E9, E16): their names, order, first weights and settings.

use std::time::Instant;

use serde_json::{Value, json};

use super::selectors::inventory;
use super::{Report, keys, pause, weights_of};
use crate::harness::{PATIENCE, Vamp};

/// The gateway once it has so many routes with targets, or as it is at the deadline.
async fn settled(vamp: &Vamp, name: &str, routes: usize) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let body = vamp.get(&format!("/gateways/{name}")).await.body;
        let with_targets = body["routes"].as_object().map_or(0, |routes| {
            routes.values().filter(|route| route["targets"].as_array().is_some_and(|t| !t.is_empty())).count()
        });
        if with_targets >= routes || Instant::now() > deadline {
            return body;
        }
        pause().await;
    }
}

fn versions(app: &str, versions: &[&str]) -> String {
    let pods: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(index, version)| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("{app}-{index}"), "namespace": "default", "labels": {"app": app, "version": version}},
                "spec": {"containers": [{"name": "main", "image": "example/main:1", "ports": [{"containerPort": 8080}]}]},
                "status": {"phase": "Running", "podIP": format!("127.79.{}.{}", app.len(), index + 1),
                           "conditions": [{"type": "Ready", "status": "True"}]},
            })
        })
        .collect();
    json!({"apiVersion": "v1", "kind": "List", "items": pods}).to_string()
}

/// Rule, versions in the order of the inventory, routes with their weights.
const ORDER: &[(&str, &[&str], &[&str])] = &[
    ("R22.1 natural order: 1.9 before 1.10", &["1.10", "1.9"], &["(1.9)=100%", "(1.10)=0%"]),
    ("R22.1 numbers of any length", &["10", "9", "100", "1"], &["(1)=100%", "(9)=0%", "(10)=0%", "(100)=0%"]),
    (
        "R22.1 several parts",
        &["2.0.0", "1.10.0", "1.2.10", "1.2.9"],
        &["(1.2.9)=100%", "(1.2.10)=0%", "(1.10.0)=0%", "(2.0.0)=0%"],
    ),
    ("R22.1 with letters around", &["v2", "v10", "v1"], &["(v1)=100%", "(v2)=0%", "(v10)=0%"]),
    ("R22.1 text", &["beta", "alpha"], &["(alpha)=100%", "(beta)=0%"]),
    ("R22.2 one route", &["1.0.3"], &["(1.0.3)=100%"]),
    ("R22.2 one group of several pods", &["1.0.3", "1.0.3", "1.0.3"], &["(1.0.3)=100%"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn several_groups_at_once() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("order of groups");
    for (index, (_, list, _)) in ORDER.iter().enumerate() {
        // The length of the name makes the addresses of a row its own.
        let app = "a".repeat(index + 1);
        vamp.inventory(&format!("{app}.json"), &versions(&app, list));
    }
    // The groups must all be known before the gateway exists, so that they appear at once.
    let all = format!("label(app)({})", "a".repeat(ORDER.len()));
    let deadline = Instant::now() + PATIENCE;
    for index in 0..ORDER.len() {
        let query = all.replace(&"a".repeat(ORDER.len()), &"a".repeat(index + 1));
        while vamp
            .get(&format!("/scheduler/routing?selector={query}"))
            .await
            .body
            .as_array()
            .is_none_or(Vec::is_empty)
        {
            assert!(Instant::now() < deadline, "the inventory is not seen");
            pause().await;
        }
    }
    for (index, (rule, _, expected)) in ORDER.iter().enumerate() {
        let app = "a".repeat(index + 1);
        let name = format!("g{index}");
        let document =
            json!({"name": name, "selector": format!("label(app)({app}) && label(version)((.*))")});
        assert_eq!(vamp.post("/gateways", &document.to_string()).await.status, 202);
        let body = settled(&vamp, &name, expected.len()).await;
        let expected: Vec<String> = expected.iter().map(|e| (*e).to_owned()).collect();
        report.same(rule, weights_of(&body), expected);
    }
    report.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_discovered_routes() {
    let vamp = Vamp::start().await;
    vamp.inventory("fixed.json", &inventory());
    let mut report = Report::new("discovered routes");

    vamp.gateway("name: cart\nselector: label(app)(cart) && label(locale)((.*)) && label(version)((.*))")
        .await;
    let body = settled(&vamp, "cart", 3).await;
    // Natural order: digit runs as numbers, so (1.0.5) comes before (1.0.10).
    let order = ["(1.0.5),(IE)=100%", "(1.0.5),(UK)=0%", "(1.0.10),(UK)=0%"].map(str::to_owned).to_vec();
    report.same("E8, R22.1, R22.2", weights_of(&body), order);
    let route = &body["routes"]["(1.0.5),(IE)"];
    let fields = json!({
        "metadata": {"groups": "(1.0.5),(IE)", "title": "(1.0.5),(IE)"}, "lookup_name": route["lookup_name"], "selector": null,
        "weight": "100%", "balance": "default", "condition": null, "condition_strength": "0%", "rewrites": [],
        "targets": [{"url": "127.77.0.4:3000"}],
    });
    report.same("9.1 a new route; 4 fields in their order", route.to_string(), fields.to_string());
    let lookups: std::collections::BTreeSet<&str> = body["routes"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(|route| route["lookup_name"].as_str())
        .collect();
    report.same("api 7 lookup names are unique", lookups.len(), 3);

    vamp.gateway("name: all\nselector: label(app)(cart)").await;
    let body = settled(&vamp, "all", 1).await;
    report.same("E9", weights_of(&body), vec!["()=100%".to_owned()]);
    report.same("E9 targets", body["routes"]["()"]["targets"].as_array().map(Vec::len), Some(3));

    vamp.gateway("name: multi\nselector: label(app)(multi) && name(main) && label(version)((.*))").await;
    let body = settled(&vamp, "multi", 1).await;
    report.same(
        "E16 two targets for one pod",
        body["routes"]["(1)"]["targets"].as_array().map(Vec::len),
        Some(2),
    );
    vamp.gateway("name: one\nselector: label(app)(multi) && name(main) && label(version)((.*)) && index(0)")
        .await;
    let body = settled(&vamp, "one", 1).await;
    report.same(
        "E16 index(0)",
        body["routes"]["(1)"]["targets"].clone(),
        json!([{"url": "127.77.0.7:8080"}]),
    );

    vamp.gateway("name: digest\nselector: label(app)(product) && namespace(default) && image((.*))").await;
    let body = settled(&vamp, "digest", 2).await;
    let path = "3c4692f44bbe91ad172d8242951c532b006085180000";
    report.holds(
        "9.1 digest of (example/product:1.0.3)",
        keys(&body["routes"]).contains(&path.to_owned()),
        &body["routes"],
    );
    let readable = json!({"groups": "(example/product:1.0.3)", "title": "(example/product:1.0.3)"});
    report.same("R21 readable title", body["routes"][path]["metadata"].clone(), readable);

    // Nothing found: no routes, but the gateway and its port exist (E1).
    let body = vamp.gateway("name: empty\nselector: label(app)(nobody) && label(version)((.*))").await;
    report.same("E1 no routes yet", body["routes"].clone(), json!({}));
    report.same("19 deployed with a selector", body["deployed"].clone(), json!(true));
    report.holds(
        "E1 the port is there",
        body["port"].as_str().is_some_and(|p| p.ends_with("/http")),
        &body["port"],
    );
    report.finish();
}

/// Routes declared next to a selector (9.4, R23), on a gateway with groups (1.0.5) and (1.0.10).
#[tokio::test(flavor = "multi_thread")]
async fn declared_next_to_a_selector() {
    let vamp = Vamp::start_with(&["--route-retention", "60s"]).await;
    vamp.inventory("fixed.json", &inventory());
    let mut report = Report::new("declared routes next to a selector");
    let selector = "label(app)(cart) && label(version)((.*))";
    let document = |name: &str, routes: &Value| {
        json!({"name": name, "selector": selector, "routes": routes}).to_string()
    };
    vamp.gateway(&document("probe", &json!({}))).await;
    settled(&vamp, "probe", 2).await;

    // Rule, routes of the POST, weights afterwards.
    let created = [
        (
            "9.4 weights of known groups",
            json!({"(1.0.5)": {"weight": "30%"}, "(1.0.10)": {"weight": "70%"}}),
            vec!["(1.0.5)=30%", "(1.0.10)=70%"],
        ),
        (
            "9.4 declared order stays (R5)",
            json!({"(1.0.10)": {"weight": "70%"}, "(1.0.5)": {"weight": "30%"}}),
            vec!["(1.0.10)=70%", "(1.0.5)=30%"],
        ),
        (
            "9.4 no weights: section 7 over the named routes",
            json!({"(1.0.5)": {}, "(1.0.10)": {}}),
            vec!["(1.0.5)=50%", "(1.0.10)=50%"],
        ),
        (
            "R22.2 another route exists: a fresh one gets 0%",
            json!({"(1.0.10)": {}}),
            vec!["(1.0.10)=100%", "(1.0.5)=0%"],
        ),
    ];
    for (index, (rule, routes, expected)) in created.iter().enumerate() {
        let name = format!("c{index}");
        vamp.gateway(&document(&name, routes)).await;
        let body = settled(&vamp, &name, 2).await;
        report.same(rule, weights_of(&body), expected.iter().map(|e| (*e).to_owned()).collect());
    }

    // A key that matches no group is kept as an absent route.
    vamp.gateway(&document("absent", &json!({"(1.0.5)": {"weight": "40%"}, "(9)": {"weight": "60%"}}))).await;
    let body = settled(&vamp, "absent", 2).await;
    report.holds(
        "9.4 unknown group is kept",
        weights_of(&body).contains(&"(9)=60%".to_owned()),
        weights_of(&body),
    );
    report.same("9.4 absent routes have no targets", body["routes"]["(9)"]["targets"].clone(), json!([]));

    // R23, step by step on one gateway.
    vamp.gateway(&document("steps", &json!({}))).await;
    settled(&vamp, "steps", 2).await;
    let put = async |routes: Option<Value>| {
        let mut body = json!({"name": "steps", "selector": selector});
        if let Some(routes) = routes {
            body["routes"] = routes;
        }
        vamp.put("/gateways/steps", &body.to_string()).await
    };
    let both = |a: &str, b: &str| vec![format!("(1.0.5)={a}"), format!("(1.0.10)={b}")];
    let condition = json!({"condition": "has header X-Beta"});

    let answer = put(Some(json!({"(1.0.5)": {"weight": "25%"}, "(1.0.10)": {"weight": "75%", "condition": "has header X-Beta"}}))).await;
    report.same("R23 weights for all", weights_of(&answer.body), both("25%", "75%"));
    let answer = put(None).await;
    report.same("R23 missing routes keep all", weights_of(&answer.body), both("25%", "75%"));
    report.same(
        "R23 missing routes keep conditions",
        answer.body["routes"]["(1.0.10)"]["condition"].clone(),
        condition.clone(),
    );
    let answer = put(Some(json!({}))).await;
    report.same("R23 empty routes keep all", weights_of(&answer.body), both("25%", "75%"));
    report.same(
        "R23 empty routes keep conditions",
        answer.body["routes"]["(1.0.10)"]["condition"].clone(),
        condition.clone(),
    );
    let answer = put(Some(json!({"(1.0.5)": {"condition": "has header X-Old"}}))).await;
    report.same("R23 no weight at all: weights stay", weights_of(&answer.body), both("25%", "75%"));
    let old = json!({"condition": "has header X-Old"});
    report.same(
        "R23 settings of the named route",
        answer.body["routes"]["(1.0.5)"]["condition"].clone(),
        old,
    );
    report.same(
        "R23 the other keeps its settings",
        answer.body["routes"]["(1.0.10)"]["condition"].clone(),
        condition.clone(),
    );
    let answer = put(Some(json!({"(1.0.10)": {}}))).await;
    report.same(
        "R23 settings are replaced",
        answer.body["routes"]["(1.0.10)"]["condition"].clone(),
        Value::Null,
    );
    report.same("R23 weights stay", weights_of(&answer.body), both("25%", "75%"));
    let answer = put(Some(json!({"(1.0.5)": {"weight": "100%"}}))).await;
    report.same("R23 any weight: the ones not named get 0%", weights_of(&answer.body), both("100%", "0%"));
    let answer = put(Some(json!({"(1.0.10)": {"weight": "50%"}}))).await;
    report.same("R23 section 5 over the named routes", answer.status, 400);
    let body = vamp.get("/gateways/steps").await.body;
    report.same("5 a failure changes nothing", weights_of(&body), both("100%", "0%"));
    let answer = put(Some(json!({"(1.0.5)": {"weight": "0%"}, "(1.0.10)": {"weight": "0%"}}))).await;
    report.same("7 all at 0% is legal", (answer.status, weights_of(&answer.body)), (202, both("0%", "0%")));
    let answer = put(Some(json!({"(1.0.10)": {"weight": "100%"}, "(1.0.5)": {}}))).await;
    let mut seen = weights_of(&answer.body);
    seen.sort();
    report.same(
        "R23 section 7 over the named routes",
        seen,
        vec!["(1.0.10)=100%".to_owned(), "(1.0.5)=0%".to_owned()],
    );
    report.finish();
}
