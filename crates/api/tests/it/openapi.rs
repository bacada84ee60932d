//! The description of the API against the API: every operation is called, every answer is as described, every method that is not
//! described is refused, and the committed copy is fresh.

mod schema;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::client::Answer;
use crate::server::{SHOP, Server};

const CONDITION: &str = "name: firefox\ncondition: User-Agent == Firefox";
const BUNDLE: &str =
    "kind: gateway\nname: bundled\n---\nkind: condition\nname: bundled\ncondition: has header x";
const MANIFEST: &str = "kind: Deployment\nmetadata: {name: one}";

/// Calls in an order that makes each of them meaningful: operation, path, body.
const CALLS: &[(&str, &str, &str, &str)] = &[
    ("GET", "/", "/", ""),
    ("GET", "/ui", "/ui", ""),
    ("GET", "/ui/{screen}", "/ui/default/gateways/shop", ""),
    ("GET", "/assets/{name}", "/assets/app.js", ""),
    ("GET", "/assets/{name}", "/assets/none.js", ""),
    ("GET", "/favicon.svg", "/favicon.svg", ""),
    ("GET", "/livez", "/livez", ""),
    ("GET", "/readyz", "/readyz", ""),
    ("GET", "/metrics", "/metrics", ""),
    ("GET", "/openapi.json", "/openapi.json", ""),
    ("GET", "/api/v1", "/api/v1", ""),
    ("POST", "/api/v1/gateways", "/api/v1/gateways", SHOP),
    ("POST", "/api/v1/gateways", "/api/v1/gateways", SHOP),
    ("POST", "/api/v1/gateways", "/api/v1/gateways", "name: a\n---\nname: b"),
    ("POST", "/api/v1/gateways", "/api/v1/gateways", "weight: 1"),
    ("PUT", "/api/v1/gateways/{name}", "/api/v1/gateways/shop?wait=applied", SHOP),
    ("PUT", "/api/v1/gateways/{name}", "/api/v1/gateways/other", SHOP),
    ("GET", "/api/v1/gateways", "/api/v1/gateways", ""),
    ("GET", "/api/v1/gateways", "/api/v1/gateways?page=x", ""),
    ("GET", "/api/v1/gateways/{name}", "/api/v1/gateways/shop", ""),
    ("GET", "/api/v1/gateways/{name}", "/api/v1/gateways/none", ""),
    ("POST", "/api/v1/route-tests", "/api/v1/route-tests", "gateway: shop"),
    ("POST", "/api/v1/route-tests", "/api/v1/route-tests", "gateway: none"),
    ("POST", "/api/v1/condition-tests", "/api/v1/condition-tests", "gateway: shop\ncondition: has header x"),
    ("POST", "/api/v1/condition-tests", "/api/v1/condition-tests", "gateway: none\ncondition: has header x"),
    ("POST", "/api/v1/condition-tests", "/api/v1/condition-tests", "gateway: shop\ncondition: has"),
    ("POST", "/api/v1/evictions", "/api/v1/evictions", "gateway: shop"),
    ("POST", "/api/v1/evictions", "/api/v1/evictions", "gateway: none"),
    ("POST", "/api/v1/{kind}", "/api/v1/conditions", CONDITION),
    ("POST", "/api/v1/{kind}", "/api/v1/conditions", CONDITION),
    ("POST", "/api/v1/{kind}", "/api/v1/breeds", CONDITION),
    ("PUT", "/api/v1/{kind}/{name}", "/api/v1/conditions/firefox", CONDITION),
    ("PUT", "/api/v1/{kind}/{name}", "/api/v1/conditions/other", CONDITION),
    ("GET", "/api/v1/{kind}", "/api/v1/conditions", ""),
    ("GET", "/api/v1/{kind}", "/api/v1/breeds", ""),
    ("GET", "/api/v1/{kind}", "/api/v1/nonsense", ""),
    ("GET", "/api/v1/{kind}/{name}", "/api/v1/conditions/firefox", ""),
    ("GET", "/api/v1/{kind}/{name}", "/api/v1/conditions/none", ""),
    ("DELETE", "/api/v1/{kind}/{name}", "/api/v1/conditions/firefox", ""),
    ("DELETE", "/api/v1/{kind}/{name}", "/api/v1/workflows/none", ""),
    ("POST", "/api/v1", "/api/v1", BUNDLE),
    ("POST", "/api/v1", "/api/v1", BUNDLE),
    ("PUT", "/api/v1", "/api/v1", BUNDLE),
    ("PUT", "/api/v1", "/api/v1", "name: x"),
    ("DELETE", "/api/v1", "/api/v1", BUNDLE),
    ("POST", "/api/v1/events", "/api/v1/events", "tags: [gateways:shop]\nvalue: 3"),
    ("POST", "/api/v1/events", "/api/v1/events", "tags: []"),
    ("GET", "/api/v1/events", "/api/v1/events", ""),
    ("POST", "/api/v1/events/query", "/api/v1/events/query", "tags: []"),
    ("POST", "/api/v1/events/query", "/api/v1/events/query", "tags: []\naggregator: {type: count}"),
    ("GET", "/api/v1/figures", "/api/v1/figures", ""),
    ("GET", "/api/v1/figures", "/api/v1/figures?window=0", ""),
    ("GET", "/api/v1/figures", "/api/v1/figures?gateway=none", ""),
    ("GET", "/api/v1/figures/history", "/api/v1/figures/history?gateway=shop", ""),
    ("GET", "/api/v1/figures/history", "/api/v1/figures/history?gateway=none", ""),
    ("GET", "/api/v1/figures/history", "/api/v1/figures/history", ""),
    ("GET", "/api/v1/metrics/gateways/{gateway}/{metric}", "/api/v1/metrics/gateways/shop/rate", ""),
    (
        "GET",
        "/api/v1/metrics/gateways/{gateway}/routes/{route}/{metric}",
        "/api/v1/metrics/gateways/shop/routes/r/rate",
        "",
    ),
    (
        "GET",
        "/api/v1/metrics/deployments/{deployment}/clusters/{cluster}/ports/{port}/{metric}",
        "/api/v1/metrics/deployments/d/clusters/c/ports/p/rate",
        "",
    ),
    (
        "GET",
        "/api/v1/metrics/deployments/{deployment}/clusters/{cluster}/services/{service}/ports/{port}/{metric}",
        "/api/v1/metrics/deployments/d/clusters/c/services/s/ports/p/rate",
        "",
    ),
    ("GET", "/api/v1/health/gateways/{gateway}", "/api/v1/health/gateways/shop", ""),
    ("GET", "/api/v1/health/gateways/{gateway}/routes/{route}", "/api/v1/health/gateways/shop/routes/r", ""),
    ("GET", "/api/v1/health/deployments/{deployment}", "/api/v1/health/deployments/d", ""),
    (
        "GET",
        "/api/v1/health/deployments/{deployment}/clusters/{cluster}",
        "/api/v1/health/deployments/d/clusters/c",
        "",
    ),
    (
        "GET",
        "/api/v1/health/deployments/{deployment}/clusters/{cluster}/services/{service}",
        "/api/v1/health/deployments/d/clusters/c/services/s",
        "",
    ),
    ("GET", "/api/v1/revisions/{revision}", "/api/v1/revisions/1", ""),
    ("GET", "/api/v1/revisions/{revision}", "/api/v1/revisions/999999", ""),
    ("GET", "/api/v1/status", "/api/v1/status", ""),
    ("POST", "/api/v1/workloads", "/api/v1/workloads", MANIFEST),
    ("POST", "/api/v1/workloads", "/api/v1/workloads", "kind: Deployment"),
    ("GET", "/api/v1/workloads", "/api/v1/workloads", ""),
    ("GET", "/api/v1/workloads/{name}/log", "/api/v1/workloads/one/log", ""),
    ("GET", "/api/v1/workloads/{name}/log", "/api/v1/workloads/none/log", ""),
    ("DELETE", "/api/v1/workloads/{name}", "/api/v1/workloads/one", ""),
    ("DELETE", "/api/v1/workloads", "/api/v1/workloads", MANIFEST),
    ("GET", "/api/v1/whoami", "/api/v1/whoami", ""),
    ("GET", "/api/v1/info", "/api/v1/info", ""),
    ("GET", "/api/v1/information", "/api/v1/information", ""),
    ("GET", "/api/v1/environments", "/api/v1/environments?per_page=1", ""),
    ("GET", "/api/v1/stats", "/api/v1/stats", ""),
    ("GET", "/api/v1/statistics", "/api/v1/statistics", ""),
    ("GET", "/api/v1/config", "/api/v1/config", ""),
    ("GET", "/api/v1/configuration", "/api/v1/configuration?flatten=true", ""),
    ("GET", "/api/v1/config/{key}", "/api/v1/config/vamp.namespace", ""),
    ("GET", "/api/v1/config/{key}", "/api/v1/config/none", ""),
    ("GET", "/api/v1/configuration/{key}", "/api/v1/configuration/vamp.namespace", ""),
    ("PUT", "/api/v1/config", "/api/v1/config", "{}"),
    ("POST", "/api/v1/config", "/api/v1/config", "{}"),
    ("PUT", "/api/v1/configuration", "/api/v1/configuration", "{}"),
    ("POST", "/api/v1/configuration", "/api/v1/configuration", "{}"),
    ("GET", "/api/v1/scheduler/routing", "/api/v1/scheduler/routing", ""),
    ("GET", "/api/v1/scheduler/routing", "/api/v1/scheduler/routing?selector=(", ""),
    ("GET", "/api/v1/scheduler/nodes", "/api/v1/scheduler/nodes", ""),
    ("GET", "/api/v1/vga/{type}/{name}/configuration", "/api/v1/vga/embedded/1.0/configuration", ""),
    ("GET", "/api/v1/vga/{type}/{name}/config", "/api/v1/vga/embedded/1.0/config", ""),
    ("GET", "/api/v1/vga/{type}/{name}/template", "/api/v1/vga/embedded/1.0/template", ""),
    ("PUT", "/api/v1/vga/{type}/{name}/template", "/api/v1/vga/embedded/1.0/template", "x"),
    ("POST", "/api/v1/vga/{type}/{name}/template", "/api/v1/vga/embedded/1.0/template", "x"),
    ("DELETE", "/api/v1/vga/{type}/{name}/template", "/api/v1/vga/embedded/1.0/template", ""),
    ("DELETE", "/api/v1/gateways/{name}", "/api/v1/gateways/shop", ""),
];

/// Streams do not end; their heads are looked at.
const STREAMS: &[&str] = &["/api/v1/events/stream", "/api/v1/figures/stream", "/api/v1/live"];

fn operations() -> BTreeSet<(String, String)> {
    let document = api::openapi();
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

#[tokio::test]
async fn every_operation_answers_as_described() {
    let document = api::openapi();
    let server = Server::start().await;
    let mut called = BTreeSet::new();
    for (method, operation, path, body) in CALLS {
        let mut call = server.call(method, path);
        if !body.is_empty() {
            call = call.body(*body);
        }
        check(&document, method, operation, &call.send().await);
        called.insert(((*method).to_owned(), (*operation).to_owned()));
        let yaml = server.call(method, path).header("accept", "application/x-yaml");
        if *method == "GET" {
            check(&document, method, operation, &yaml.send().await);
        }
        let refused = server
            .call(method, path)
            .header("sec-fetch-site", "cross-site")
            .header("accept", "image/png")
            .body("a: b");
        check(&document, method, operation, &refused.send().await);
    }
    for path in STREAMS {
        let stream = server.call("GET", path).open().await;
        let answer = Answer { status: stream.status, headers: stream.headers, body: Vec::new() };
        check(&document, "GET", path, &answer);
        called.insert(("GET".into(), (*path).into()));
    }
    let described = operations();
    assert_eq!(
        described.difference(&called).collect::<Vec<_>>(),
        Vec::<&(String, String)>::new(),
        "described but not called here"
    );
    assert_eq!(
        called.difference(&described).collect::<Vec<_>>(),
        Vec::<&(String, String)>::new(),
        "called here but not described"
    );
}

fn check(document: &Value, method: &str, path: &str, answer: &Answer) {
    let what = format!("{method} {path} -> {}", answer.status);
    let operation = &document["paths"][path][method.to_lowercase()];
    assert!(operation.is_object(), "{what}: not described");
    let response = &operation["responses"][answer.status.to_string()];
    let response = schema::resolve(document, response);
    assert!(
        response.is_object(),
        "{what}: this status is not described: {}",
        String::from_utf8_lossy(&answer.body)
    );
    let content_type = answer.header("content-type").and_then(|value| value.split(';').next());
    let Some(content) = response["content"].as_object() else {
        assert!(answer.body.is_empty(), "{what}: no body is described");
        return;
    };
    let content_type = content_type.unwrap_or_else(|| panic!("{what}: no content type"));
    let schema = content
        .get(content_type)
        .unwrap_or_else(|| panic!("{what}: {content_type} is not described"))
        .get("schema");
    let value = match content_type {
        "application/json" if !answer.body.is_empty() => answer.json(),
        "application/x-yaml" if !answer.body.is_empty() => {
            model::yaml::read_one(answer.text()).expect("YAML").to_value()
        }
        _ => return,
    };
    if let Err(error) = schema::check(document, schema.unwrap_or(&Value::Null), &value, "") {
        panic!("{what}: {error}: {value}");
    }
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        if name.starts_with("Vamp-Applied") || content_type == "application/x-yaml" {
            continue;
        }
        let optional = path == "/api/v1/events";
        assert!(answer.header(name).is_some() || optional, "{what}: header {name} is described: {header}");
    }
}

#[tokio::test]
async fn methods_that_are_not_described_are_refused() {
    let server = Server::start().await;
    let described = operations();
    let paths: BTreeSet<&String> = described.iter().map(|(_, path)| path).collect();
    for path in paths {
        let address = path.replace("{kind}", "conditions").replace("{revision}", "1").replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            if described.contains(&(method.to_owned(), path.clone())) {
                continue;
            }
            let answer = server.call(method, &address).send().await;
            assert_eq!(answer.status, 405, "{method} {address} is a route that is not described");
        }
    }
}

/// Routes are made by `routes!` only, which describes them. Nothing else may add one.
#[test]
fn no_route_is_made_behind_the_back_of_the_description() {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut seen = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        // What agents listen for is not the API, and in no description.
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("src/admin.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for word in [".route(", ".nest(", ".route_service(", ".nest_service("] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
        seen += 1;
    }
    assert!(seen > 20, "the sources were found");
}

#[test]
fn every_operation_is_complete() {
    let document = api::openapi();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut ids = BTreeSet::new();
    for (method, path) in operations() {
        let operation = &document["paths"][&path][method.to_lowercase()];
        let what = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|summary| summary.len() > 3), "{what}: no summary");
        assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{what}: no tag");
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        assert!(ids.insert(id.clone()), "{what}: {id} is taken");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: BTreeSet<&str> =
            parameters.iter().filter(|p| p["in"] == "path").filter_map(|p| p["name"].as_str()).collect();
        let expected: BTreeSet<&str> =
            path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(in_path, expected, "{what}: path parameters");
        for parameter in &parameters {
            assert!(
                parameter["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{what}: {parameter}"
            );
        }
        if matches!(method.as_str(), "POST" | "PUT") {
            assert!(operation["requestBody"]["content"].is_object(), "{what}: no body");
        }
        let responses = operation["responses"].as_object().expect("responses");
        for status in ["500", "503"] {
            assert!(responses.contains_key(status), "{what}: {status}");
        }
        for (status, response) in responses {
            if status.starts_with(['4', '5']) && !(status == "500" && path.contains("info")) {
                let response = schema::resolve(&document, response);
                assert_eq!(
                    response["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/Error",
                    "{what} {status}: every error has the same form"
                );
            }
        }
    }
    assert_eq!(schema::dangling(&document), Vec::<String>::new(), "references to nothing");
}

/// Set `VAMP_UPDATE=1` to write it.
#[test]
fn the_committed_description_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let fresh = serde_json::to_string_pretty(&api::openapi()).unwrap() + "\n";
    if std::env::var_os("VAMP_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == fresh, "docs/openapi.json is stale: run VAMP_UPDATE=1 cargo test -p api openapi");
}
