use std::sync::Arc;

use model::gateway::GatewayDocument;

use super::*;

fn object(generation: i64, status: Value) -> Resource {
    Resource {
        name: "shop".into(),
        uid: "u".into(),
        version: "1".into(),
        generation,
        deleting: false,
        created: String::new(),
        actor: "kubectl".into(),
        own: Default::default(),
        spec: Map::new(),
        status,
        gateway: None,
        document: GatewayDocument::read("name: shop").map(Arc::new),
    }
}

fn proxy(name: &str, revision: u64) -> Proxy {
    Proxy { name: name.into(), revision, problem: None }
}

fn live(proxies: Vec<Proxy>) -> Live {
    let route = |name: &str, weight: &str| Route {
        name: name.into(),
        weight: weight.into(),
        effective: weight.into(),
        ready: 2,
        total: 3,
        ..Route::default()
    };
    Live {
        port: "9070".into(),
        hosts: vec!["shop.vamp".into()],
        routes: vec![route("(1)", "90%"), route("(2)", "10%")],
        revision: 17,
        addresses: vec![Address { value: "10.96.0.7".into(), port: 9070, shared: false }],
        proxies,
        ..Live::default()
    }
}

fn condition(status: &Value, kind: &str) -> String {
    let all = status["conditions"].as_array().unwrap();
    let found = all.iter().find(|condition| condition["type"] == kind).unwrap();
    format!(
        "{} {}: {}",
        found["status"].as_str().unwrap(),
        found["reason"].as_str().unwrap(),
        found["message"].as_str().unwrap()
    )
}

#[test]
fn programmed_counts_the_proxies_that_serve_the_document() {
    let check = |proxies: Vec<Proxy>, expected: &str| {
        let status = status(&object(1, Value::Null), Some(&live(proxies)), None, "t");
        assert_eq!(condition(&status, "Programmed"), expected);
    };
    check(vec![], "False NoProxies: no proxy takes part, revision 17");
    check(vec![proxy("a", 17), proxy("b", 16)], "False Pending: 1/2 proxies, revision 17");
    check(vec![proxy("a", 17), proxy("b", 30)], "True Programmed: 2/2 proxies, revision 17");
    let broken = Proxy { problem: Some("port 9070 is taken".into()), ..proxy("b", 17) };
    check(vec![proxy("a", 17), broken], "False ProxyProblem: b: port 9070 is taken");
}

#[test]
fn a_refused_document_says_why_and_leaves_what_is_live() {
    let why =
        Refused { code: "gateway-port-taken".into(), message: "Gateway port '9070' is/was in use".into() };
    let shown = status(&object(4, Value::Null), Some(&live(vec![proxy("a", 17)])), Some(&why), "t");
    assert_eq!(condition(&shown, "Accepted"), "False GatewayPortTaken: Gateway port '9070' is/was in use");
    assert!(condition(&shown, "Programmed").starts_with("False NotAccepted"));
    assert_eq!(condition(&shown, "ResolvedRefs").split(' ').next(), Some("True"));
    assert_eq!((&shown["port"], &shown["observedGeneration"]), (&json!("9070"), &json!(4)));
    let why = Refused { code: "artifact-not-found".into(), message: "Artifact cannot be found: 'x'.".into() };
    let shown = status(&object(1, Value::Null), None, Some(&why), "t");
    assert_eq!(condition(&shown, "ResolvedRefs"), "False ArtifactNotFound: Artifact cannot be found: 'x'.");
    assert_eq!(shown.get("port"), None);
}

#[test]
fn times_change_with_the_status_of_a_condition_only() {
    let first = status(&object(1, Value::Null), Some(&live(vec![proxy("a", 16)])), None, "t1");
    let times = |status: &Value| -> Vec<String> {
        status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["lastTransitionTime"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(times(&first), ["t1", "t1", "t1"]);
    let second = status(&object(2, first), Some(&live(vec![proxy("a", 17)])), None, "t2");
    assert_eq!(times(&second), ["t1", "t2", "t1"]);
    let third = status(&object(2, second.clone()), Some(&live(vec![proxy("a", 18)])), None, "t3");
    assert_eq!(patch(&second, &third), None, "nothing to write");
}

#[test]
fn the_patch_holds_what_is_different() {
    let before = status(&object(1, Value::Null), Some(&live(vec![proxy("a", 17)])), None, "t1");
    let mut now = live(vec![proxy("a", 17)]);
    now.routes[0].ready = 1;
    let after = status(&object(1, before.clone()), Some(&now), None, "t2");
    let change = patch(&before, &after).unwrap();
    assert_eq!(change.as_object().unwrap().keys().collect::<Vec<_>>(), ["routes"]);
    assert!(!is_urgent(&change));
    now.routes[0].weight = "80%".into();
    now.warnings = vec!["look".into()];
    let later = status(&object(1, after.clone()), Some(&now), None, "t2");
    assert!(is_urgent(&patch(&after, &later).unwrap()));
    let gone = patch(&later, &after).unwrap();
    assert_eq!(gone["warnings"], Value::Null);
    assert_eq!(patch(&Value::Null, &after), Some(after.clone()));
}

#[test]
fn many_routes_make_a_short_column() {
    let mut many = live(vec![]);
    many.routes = vec![many.routes[0].clone(); 12];
    let shown = status(&object(1, Value::Null), Some(&many), None, "t");
    assert!(shown["summary"]["weights"].as_str().unwrap().ends_with(", and 4 more"));
    assert_eq!(shown["summary"]["routes"], 12);
}
