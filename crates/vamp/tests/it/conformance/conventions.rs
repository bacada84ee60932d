//! Conventions of the REST API (api 1 to 8, 12): paths, formats, parameters, paging, status codes, several documents.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Echo, Reply, Report, send_with};
use crate::harness::Vamp;

/// The API as raw HTTP, so that a header can be missing.
struct Api {
    /// Ends with the test.
    _vamp: Vamp,
    address: String,
}

impl Api {
    async fn start() -> Self {
        let vamp = Vamp::start_sized(&[], 100).await;
        let address = vamp.api.trim_start_matches("http://").to_owned();
        Self { _vamp: vamp, address }
    }

    async fn call(&self, request: &str) -> Reply {
        send_with(&*self.address, request, None).await
    }

    async fn send(&self, request: &str, body: &str) -> Reply {
        send_with(&*self.address, &format!("{request} | Content-Type: application/x-yaml"), Some(body)).await
    }
}

fn body(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or(Value::Null)
}

fn message(reply: &Reply) -> String {
    body(reply)["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_codes() {
    let api = Api::start().await;
    let mut report = Report::new("status codes");
    // Rule, request, body, status.
    let rows: &[(&str, &str, Option<&str>, u16)] = &[
        ("5 empty list", "GET /api/v1/gateways", None, 200),
        ("5 nothing there", "GET /api/v1/gateways/x", None, 404),
        ("5 POST of a gateway", "POST /api/v1/gateways", Some("name: x"), 202),
        ("5 GET", "GET /api/v1/gateways/x", None, 200),
        ("R45 POST again", "POST /api/v1/gateways", Some("name: x"), 409),
        ("5 PUT", "PUT /api/v1/gateways/x", Some("name: x"), 202),
        ("5 PUT that creates", "PUT /api/v1/gateways/y", Some("name: y"), 202),
        ("5 DELETE", "DELETE /api/v1/gateways/y", None, 202),
        ("5 DELETE again", "DELETE /api/v1/gateways/y", None, 202),
        ("api 7 DELETE with a body", "DELETE /api/v1/gateways/x", Some("name: x"), 202),
        ("5 and gone", "GET /api/v1/gateways/x", None, 404),
        ("5 POST of a condition", "POST /api/v1/conditions", Some("name: c\ncondition: has header A"), 201),
        ("A16 POST again", "POST /api/v1/conditions", Some("name: c\ncondition: has header A"), 409),
        ("5 PUT of a condition", "PUT /api/v1/conditions/c", Some("name: c\ncondition: has header B"), 200),
        (
            "5 PUT that creates a condition",
            "PUT /api/v1/conditions/d",
            Some("name: d\ncondition: has header B"),
            200,
        ),
        ("5 GET of a condition", "GET /api/v1/conditions/c", None, 200),
        ("5 DELETE of a condition", "DELETE /api/v1/conditions/c", None, 204),
        ("5 DELETE of a condition again", "DELETE /api/v1/conditions/c", None, 204),
        ("api 7 DELETE of a condition with a body", "DELETE /api/v1/conditions/d", Some("name: d"), 204),
        ("5 GET of a condition that is gone", "GET /api/v1/conditions/c", None, 404),
        ("5 POST of a rewrite", "POST /api/v1/rewrites", Some("name: r\npath: /a if path /b"), 201),
        ("5 POST of a route", "POST /api/v1/routes", Some("name: r\nweight: 50%"), 201),
        ("5 DELETE of a rewrite", "DELETE /api/v1/rewrites/r", None, 204),
        ("5 DELETE of a route", "DELETE /api/v1/routes/r", None, 204),
        ("5 PUT on the root", "PUT /api/v1", Some("kind: gateway\nname: z"), 202),
        ("5 DELETE on the root", "DELETE /api/v1", Some("kind: gateway\nname: z"), 202),
        ("5 POST on the root", "POST /api/v1", Some("kind: gateway\nname: z"), 202),
        ("5 POST of an event", "POST /api/v1/events", Some("tags: [a]"), 201),
        ("5 bad document", "POST /api/v1/gateways", Some("name: a b"), 400),
        (
            "api 7 inconsistent name, passive",
            "PUT /api/v1/conditions/c",
            Some("name: d\ncondition: has header A"),
            400,
        ),
        ("R8 bad condition stored", "PUT /api/v1/conditions/c", Some("name: c\ncondition: hello world"), 400),
        ("R34 bad rewrite stored", "PUT /api/v1/rewrites/c", Some("name: c\npath: /x"), 400),
        ("1.3 bad route stored", "PUT /api/v1/routes/c", Some("name: c\nweight: 10"), 400),
        (
            "5 inconsistent kind",
            "PUT /api/v1/conditions/c",
            Some("name: c\nkind: gateways\ncondition: has header A"),
            400,
        ),
        ("5 unknown kind", "GET /api/v1/nonsense", None, 400),
        ("5 unknown kind, name", "GET /api/v1/nonsense/x", None, 400),
        ("5 unknown kind, POST", "POST /api/v1/nonsense", Some("name: x"), 400),
        ("5 unknown kind, PUT", "PUT /api/v1/nonsense/x", Some("name: x"), 400),
        ("5 unknown kind, DELETE", "DELETE /api/v1/nonsense/x", None, 400),
        ("5 verb not possible", "PATCH /api/v1/gateways", Some("name: x"), 405),
        ("5 verb not possible, name", "PATCH /api/v1/gateways/z", Some("name: z"), 405),
        ("5 verb not possible, POST with a name", "POST /api/v1/gateways/z", Some("name: z"), 405),
        ("5 verb not possible, info", "DELETE /api/v1/info", None, 405),
        ("A1 unknown namespace", "GET /elsewhere/api/v1/gateways", None, 404),
        ("A15 index", "GET /api/v1", None, 200),
        ("A8 parameter that cannot be read", "GET /api/v1/gateways?page=x", None, 400),
        ("A8 parameter that cannot be read, size", "GET /api/v1/gateways?per_page=many", None, 400),
        (
            "A8 parameter that cannot be read, flag",
            "POST /api/v1/gateways?validate_only=maybe",
            Some("name: x"),
            400,
        ),
        ("A11 metrics of nothing", "GET /api/v1/metrics/gateways/nobody/rate", None, 404),
        ("A11 health of nothing", "GET /api/v1/health/gateways/nobody", None, 404),
    ];
    for (rule, request, text, status) in rows {
        let reply = match text {
            Some(text) => api.send(request, text).await,
            None => api.call(request).await,
        };
        report.same(&format!("{rule}: {request}"), reply.status, *status);
        if reply.status >= 400 {
            report.holds(
                &format!("api 5 every error has a message: {request}"),
                !message(&reply).is_empty(),
                &reply,
            );
            report.holds(&format!("api 5 as JSON: {request}"), is_json(&reply), &reply);
        }
        if *status == 204 {
            report.same(&format!("api 5 no body: {request}"), reply.body.as_str(), "");
        }
        let cache = (reply.header("cache-control"), reply.header("pragma"));
        report.same(
            &format!("api 1 headers of everything under /api: {request}"),
            cache,
            (Some("no-store"), Some("no-cache")),
        );
    }
    let reply = api.call("GET /api/v1/nonsense").await;
    report.same("5 text", message(&reply), "Unexpected resource: 'nonsense'.".to_owned());
    report.finish();
}

fn is_json(reply: &Reply) -> bool {
    reply.header("content-type").is_some_and(|kind| kind.starts_with("application/json"))
}

/// Paths (api 1): slashes, encoding, namespaces, HEAD, and headers that play no role.
#[tokio::test(flavor = "multi_thread")]
async fn paths() {
    let api = Api::start().await;
    let mut report = Report::new("paths");
    for name in ["x", "shop/web", "a/b/c/d", "sava:1.0@y", "(v),w"] {
        let reply = api.send("POST /api/v1/gateways", &json!({"name": name}).to_string()).await;
        report.same(&format!("POST {name}"), reply.status, 202);
    }
    let rows = [
        ("1 plain", "x", "x"),
        ("1 trailing slash", "x/", "x"),
        ("1 raw slashes", "shop/web", "shop/web"),
        ("1 encoded slash", "shop%2Fweb", "shop/web"),
        ("1 encoded slash, lower case", "shop%2fweb", "shop/web"),
        ("1 four segments raw", "a/b/c/d", "a/b/c/d"),
        ("1 four segments encoded", "a%2Fb%2Fc%2Fd", "a/b/c/d"),
        ("1 mixed", "a/b%2Fc/d", "a/b/c/d"),
        ("1 raw : and @", "sava:1.0@y", "sava:1.0@y"),
        ("1 encoded : and @", "sava%3A1.0%40y", "sava:1.0@y"),
        ("1 raw parentheses", "(v),w", "(v),w"),
        ("1 encoded parentheses", "%28v%29%2Cw", "(v),w"),
    ];
    for (rule, path, name) in rows {
        let reply = api.call(&format!("GET /api/v1/gateways/{path}")).await;
        report.same(
            &format!("{rule}: GET {path}"),
            (reply.status, body(&reply)["name"].as_str()),
            (200, Some(name)),
        );
        // A2: on every verb and kind.
        let text = json!({"name": name, "metadata": {"from": path}}).to_string();
        let reply = api.send(&format!("PUT /api/v1/gateways/{path}"), &text).await;
        report.same(
            &format!("A2 {rule}: PUT {path}"),
            (reply.status, body(&reply)["name"].as_str()),
            (202, Some(name)),
        );
        let reply = api.call(&format!("HEAD /api/v1/gateways/{path}")).await;
        report.same(&format!("1 HEAD {path}"), (reply.status, reply.body.as_str()), (200, ""));
    }
    for path in ["shop%2Fweb", "a/b%2Fc/d"] {
        let reply = api.call(&format!("DELETE /api/v1/gateways/{path}")).await;
        let after = api.call(&format!("GET /api/v1/gateways/{path}")).await;
        report.same(&format!("A2 DELETE {path}"), (reply.status, after.status), (202, 404));
    }
    for (rule, request) in [
        ("1 trailing slash of a list", "GET /api/v1/gateways/"),
        ("1 plain list", "GET /api/v1/gateways"),
        ("1 namespace", "GET /default/api/v1/gateways"),
        ("1 namespace and slash", "GET /default/api/v1/gateways/"),
        ("A13 singular endpoint", "GET /api/v1/gateway"),
        ("A3 a token", "GET /api/v1/gateways | Authorization: token abc"),
        ("A3 the bare word", "GET /api/v1/gateways | Authorization: token"),
        ("A3 an empty value", "GET /api/v1/gateways | Authorization:"),
    ] {
        let reply = api.call(request).await;
        let names: Vec<String> = body(&reply)
            .as_array()
            .into_iter()
            .flatten()
            .map(|g| g["name"].as_str().unwrap_or("?").to_owned())
            .collect();
        report.same(
            &format!("{rule}: {request}"),
            (reply.status, names),
            (200, ["(v),w", "sava:1.0@y", "x"].map(str::to_owned).to_vec()),
        );
    }
    for (rule, request) in [
        ("A15 index", "GET /api/v1"),
        ("A15 index, slash", "GET /api/v1/"),
        ("A15 index, namespace", "GET /default/api/v1"),
    ] {
        report.same(&format!("{rule}: {request}"), api.call(request).await.status, 200);
    }
    let reply = api.call("HEAD /api/v1/gateways").await;
    report.same(
        "1 HEAD of a list",
        (reply.status, reply.header("x-total-count"), reply.body.as_str()),
        (200, Some("3"), ""),
    );
    report.same("1 HEAD of nothing", api.call("HEAD /api/v1/gateways/nobody").await.status, 404);
    let reply = api.call("GET /api/v1/gateways | Origin: http://evil.example").await;
    report.same("A4 CORS is off", reply.header("access-control-allow-origin"), None);

    // Chunked bodies (N sends all of them so).
    let chunked =
        "PUT /api/v1/gateways/chunked | Content-Type: application/json | Transfer-Encoding: chunked";
    let reply = chunked_request(&api, chunked, &["{\"name\":", " \"chunked\"}"]).await;
    report.same("1 chunked body", (reply.status, body(&reply)["name"].as_str()), (202, Some("chunked")));

    // Compression when the request accepts it, on something that is worth it.
    let long = json!({"name": "long", "metadata": {"text": "x".repeat(5000)}}).to_string();
    report.same("long document", api.send("POST /api/v1/gateways", &long).await.status, 202);
    for coding in ["gzip", "deflate"] {
        let reply = api.call(&format!("GET /api/v1/gateways/long | Accept-Encoding: {coding}")).await;
        report.same(
            &format!("1 {coding}"),
            (reply.status, reply.header("content-encoding")),
            (200, Some(coding)),
        );
        report.holds(&format!("1 {coding} is smaller"), reply.body.len() < 2000, reply.body.len());
    }
    report.same(
        "1 no compression unless asked for",
        api.call("GET /api/v1/gateways/long").await.header("content-encoding"),
        None,
    );
    report.finish();
}

async fn chunked_request(api: &Api, request: &str, parts: &[&str]) -> Reply {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut lines = request.split(" | ");
    let mut text =
        format!("{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", lines.next().unwrap(), api.address);
    lines.for_each(|line| text.push_str(&format!("{line}\r\n")));
    text.push_str("\r\n");
    parts.iter().for_each(|part| text.push_str(&format!("{:x}\r\n{part}\r\n", part.len())));
    text.push_str("0\r\n\r\n");
    let mut stream = tokio::net::TcpStream::connect(&api.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    super::parse(&answer)
}

/// Formats in (api 2, A5, A6).
#[tokio::test(flavor = "multi_thread")]
async fn formats_in() {
    let api = Api::start().await;
    let mut report = Report::new("formats in");
    let yaml = "name: x\nsticky: route # YAML\nroutes:\n  a: {weight: 100%}\n";
    let json = "{\"name\": \"x\", \"sticky\": \"route\", \"routes\": {\"a\": {\"weight\": \"100%\"}}}";
    let accepted = [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
        "application/x-yaml",
        "application/x-yaml;charset=utf-8",
        "application/yaml",
        "text/yaml",
        "text/x-yaml",
        "text/plain",
        "text/plain; charset=utf-8",
        "application/x-www-form-urlencoded",
        "",
    ];
    for kind in accepted {
        for (form, text) in [("YAML", yaml), ("JSON", json)] {
            let header = if kind.is_empty() { String::new() } else { format!(" | Content-Type: {kind}") };
            let reply =
                send_with(&*api.address, &format!("PUT /api/v1/gateways/x{header}"), Some(text)).await;
            let seen = (reply.status, body(&reply)["sticky"].as_str().map(str::to_owned));
            report.same(&format!("A5, A6 {form} as {kind:?}"), seen, (202, Some("route".to_owned())));
            let reply = send_with(
                &*api.address,
                &format!("POST /api/v1/gateways?validate_only=true{header}"),
                Some(&text.replace('x', "y")),
            )
            .await;
            report.holds(&format!("A6 POST of {form} as {kind:?}"), reply.status != 415, &reply);
        }
    }
    for kind in [
        "application/xml",
        "text/html",
        "application/octet-stream",
        "multipart/form-data; boundary=x",
        "image/png",
        "application/javascript",
    ] {
        for request in ["PUT /api/v1/gateways/x", "POST /api/v1/gateways"] {
            let reply =
                send_with(&*api.address, &format!("{request} | Content-Type: {kind}"), Some(yaml)).await;
            let named = message(&reply).contains("application/json")
                && message(&reply).contains("application/x-yaml");
            report.holds(&format!("A6 {request} as {kind}"), reply.status == 415 && named, &reply);
        }
    }
    // YAML 1.1 scalars (2): what looks like text stays text where text is expected.
    for (rule, text, pointer, expected) in [
        ("2 quoted number", "name: x\nmetadata: {a: '1'}", "/metadata/a", json!("1")),
        ("2 number", "name: x\nmetadata: {a: 1}", "/metadata/a", json!(1)),
        ("2 boolean", "name: x\nmetadata: {a: true}", "/metadata/a", json!(true)),
        ("2 null", "name: x\nmetadata: {a: ~}", "/metadata/a", json!(null)),
        ("2 text", "name: x\nmetadata: {a: b c}", "/metadata/a", json!("b c")),
        ("2 non-ASCII", "name: x\nmetadata: {a: grün}", "/metadata/a", json!("grün")),
        (
            "2 escapes of JSON",
            "{\"name\": \"x\", \"metadata\": {\"a\": \"\\u00fc\\n\\\"\"}}",
            "/metadata/a",
            json!("ü\n\""),
        ),
        (
            "2 keys are never renamed",
            "name: x\nmetadata: {camelCase: 1, snake_case: 2, with.dot/slash: 3}",
            "/metadata",
            json!({"camelCase": 1, "snake_case": 2, "with.dot/slash": 3}),
        ),
        ("2 a document start", "---\nname: x\nmetadata: {a: 1}\n", "/metadata/a", json!(1)),
    ] {
        let reply = api.send("PUT /api/v1/gateways/x", text).await;
        report.same(
            &format!("{rule}: {text:?}"),
            (reply.status, body(&reply).pointer(pointer).cloned()),
            (202, Some(expected)),
        );
    }
    report.finish();
}

/// Formats out (api 2, A7).
#[tokio::test(flavor = "multi_thread")]
async fn formats_out() {
    let api = Api::start().await;
    let mut report = Report::new("formats out");
    report.same("POST", api.send("POST /api/v1/gateways", "name: x\nroutes: [b, a]").await.status, 202);
    let rows = [
        ("missing", "", "json"),
        ("anything", "*/*", "json"),
        ("JSON", "application/json", "json"),
        ("JSON with a weight", "application/json;q=0.9", "json"),
        ("any application", "application/*", "json"),
        ("YAML", "application/x-yaml", "yaml"),
        ("YAML with parameters", "application/x-yaml;charset=utf-8", "yaml"),
        ("application/yaml", "application/yaml", "yaml"),
        ("text/yaml", "text/yaml", "yaml"),
        ("a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("text/html alone", "text/html", "json"),
        ("JSON before YAML", "application/x-yaml;q=0.5, application/json", "json"),
        ("YAML before JSON", "application/json;q=0.1, application/x-yaml", "yaml"),
        ("the one that fits", "image/png, application/x-yaml", "yaml"),
        ("client N", "application/json, text/plain, */*", "json"),
        ("nothing fits", "image/png", "406"),
        ("nothing fits, XML", "application/xml", "406"),
    ];
    for (rule, accept, expected) in rows {
        let header = if accept.is_empty() { String::new() } else { format!(" | Accept: {accept}") };
        for path in ["/api/v1/gateways", "/api/v1/gateways/x"] {
            let reply = api.call(&format!("GET {path}{header}")).await;
            let row = format!("A7 {rule}: {accept:?} {path}");
            let kind = reply.header("content-type").unwrap_or_default();
            match expected {
                "json" => report.holds(
                    &row,
                    reply.status == 200 && kind.starts_with("application/json") && !body(&reply).is_null(),
                    &reply,
                ),
                "yaml" => {
                    let yaml = kind.starts_with("application/x-yaml")
                        && reply.body.contains("name: x\n")
                        && reply.body.contains("sticky: null");
                    report.holds(&row, reply.status == 200 && yaml, &reply);
                }
                _ => report.holds(&row, reply.status == 406 && !message(&reply).is_empty(), &reply),
            }
        }
    }
    let reply = api.call("GET /api/v1/gateways/x").await;
    report.holds(
        "2 JSON is compact",
        !reply.body.contains('\n') && !reply.body.contains("\": "),
        &reply.body,
    );
    let yaml = api.call("GET /api/v1/gateways/x | Accept: application/x-yaml").await.body;
    let top: Vec<&str> = yaml
        .lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    let keys: Vec<String> = super::keys(&body(&reply));
    report.same(
        "2 YAML: block style, keys in the order of the JSON",
        top,
        keys.iter().map(String::as_str).collect(),
    );
    let list = api.call("GET /api/v1/gateways | Accept: application/x-yaml").await.body;
    report.holds("2 a list is a YAML sequence", list.starts_with("- name: x"), &list);
    let reply = api.call("GET /api/v1/gateways/nobody | Accept: application/x-yaml").await;
    report.holds(
        "5 errors in the format asked for",
        reply.status == 404 && reply.body.starts_with("message: "),
        &reply,
    );
    let reply = api.send("POST /api/v1/gateways | Accept: application/x-yaml", "name: a b").await;
    report.holds(
        "5 errors of writes in the format asked for",
        reply.status == 400 && reply.body.starts_with("message: "),
        &reply,
    );
    let reply = api.send("PUT /api/v1/gateways/written | Accept: application/x-yaml", "name: written").await;
    report.holds(
        "2 answers of writes",
        reply.status == 202 && reply.body.starts_with("name: written\n"),
        &reply,
    );
    report.finish();
}

/// Paging (api 4, A9, A10).
#[tokio::test(flavor = "multi_thread")]
async fn paging() {
    let api = Api::start().await;
    let mut report = Report::new("paging");
    let empty = api.call("GET /api/v1/conditions").await;
    report.same(
        "4 empty list",
        (empty.status, body(&empty), empty.header("x-total-count")),
        (200, json!([]), Some("0")),
    );
    report.same(
        "A9 Link of an empty list",
        pages(&empty),
        Some(vec![("first".into(), 1), ("prev".into(), 1), ("next".into(), 1), ("last".into(), 1)]),
    );

    // Written in another order than they are listed.
    let documents: Vec<Value> = (0..65)
        .map(|n| (n * 37) % 65)
        .map(|n| json!({"kind": "condition", "name": format!("c{n:02}"), "condition": "has header A"}))
        .collect();
    report.same("6 65 at once", api.send("PUT /api/v1", &json!(documents).to_string()).await.status, 202);
    let rows = [
        ("4 defaults", "", 0, 30),
        ("4 first page", "?page=1", 0, 30),
        ("4 second page", "?page=2", 30, 30),
        ("4 last page", "?page=3", 60, 5),
        ("4 past the end", "?page=4", 0, 0),
        ("4 far past the end", "?page=1000000", 0, 0),
        ("4 page below 1 is 1", "?page=0", 0, 30),
        ("4 negative page is 1", "?page=-3", 0, 30),
        ("4 size", "?per_page=12", 0, 12),
        ("4 size and page", "?per_page=12&page=2", 12, 12),
        ("4 size and last page", "?per_page=12&page=6", 60, 5),
        ("4 30 is the maximum", "?per_page=100", 0, 30),
        ("4 30 is the maximum, second page", "?per_page=100&page=2", 30, 30),
        ("4 size below 1 is 1", "?per_page=0", 0, 1),
        ("3 the first of repeated parameters counts", "?page=3&page=1", 60, 5),
        ("3 unknown parameters", "?foo=bar&page=2&only_reference=true", 30, 30),
    ];
    for (rule, query, from, size) in rows {
        let reply = api.call(&format!("GET /api/v1/conditions{query}")).await;
        let names: Vec<String> = body(&reply)
            .as_array()
            .into_iter()
            .flatten()
            .map(|c| c["name"].as_str().unwrap_or("?").to_owned())
            .collect();
        let expected: Vec<String> = (from..from + size).map(|n| format!("c{n:02}")).collect();
        report.same(&format!("A10 {rule}: {query}"), (reply.status, names), (200, expected));
        report.same(&format!("4 total {query}"), reply.header("x-total-count"), Some("65"));
    }
    let links = [
        ("4 Link", "?per_page=12&page=2", [1, 1, 3, 6]),
        ("4 Link of the first page", "?per_page=12", [1, 1, 2, 6]),
        ("4 Link of the last page", "?per_page=12&page=6", [1, 5, 6, 6]),
        ("4 Link of defaults", "", [1, 1, 2, 3]),
    ];
    for (rule, query, expected) in links {
        let reply = api.call(&format!("GET /api/v1/conditions{query}")).await;
        let expected = ["first", "prev", "next", "last"]
            .map(str::to_owned)
            .into_iter()
            .zip(expected)
            .collect::<Vec<_>>();
        report.same(&format!("{rule}: {query}"), pages(&reply), Some(expected));
    }
    let reply = api.call("GET /api/v1/conditions?per_page=12&page=2 | Host: localhost:99").await;
    let expected = "<http://localhost:99/api/v1/conditions?per_page=12&page=1>; rel=first";
    report.holds(
        "1, 4 the request's own URL",
        reply.header("link").is_some_and(|link| link.starts_with(expected)),
        reply.header("link"),
    );
    let reply = api.call("GET /api/v1/events?tag=a&tag=b&per_page=5").await;
    let link = reply.header("link").unwrap_or_default();
    report.holds(
        "A9 all other parameters are repeated",
        link.matches("tag=a").count() == 4 && link.matches("tag=b").count() == 4,
        link,
    );
    let reply = api.call("GET /api/v1/conditions/c00").await;
    report.same(
        "4 a single resource has neither",
        (reply.header("link"), reply.header("x-total-count")),
        (None, None),
    );
    report.same(
        "3 page on a single resource is ignored",
        api.call("GET /api/v1/conditions/c00?page=1").await.status,
        200,
    );
    report.finish();
}

/// Relations and pages of a `Link` header, in order.
fn pages(reply: &Reply) -> Option<Vec<(String, u32)>> {
    reply
        .header("link")?
        .split(", ")
        .map(|part| {
            let (url, relation) = part.split_once(">; rel=")?;
            let query = url.split_once('?')?.1;
            let page = query.split('&').find_map(|pair| pair.strip_prefix("page="))?;
            Some((relation.trim_matches('"').to_owned(), page.parse().ok()?))
        })
        .collect()
}

/// Several documents at once (api 6, A12 to A14).
#[tokio::test(flavor = "multi_thread")]
async fn several_documents() {
    let api = Api::start().await;
    let mut report = Report::new("several documents");
    let names = |reply: &Reply| -> Vec<String> {
        let list = body(reply);
        list.as_array()
            .into_iter()
            .flatten()
            .map(|d| format!("{}/{}", d["kind"].as_str().unwrap_or("?"), d["name"].as_str().unwrap_or("?")))
            .collect()
    };
    let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let status = async |path: &str| api.call(&format!("GET /api/v1/{path}")).await.status;

    // A document may refer to another one of the same request, whatever their order.
    let text = "kind: gateway\nname: g\nroutes: {a: {condition: {reference: c}}}\n---\nkind: condition\nname: c\ncondition: has header A\n";
    let reply = api.send("PUT /api/v1", text).await;
    report.same(
        "A12 references in any order, answers in order",
        (reply.status, names(&reply)),
        (202, list(&["gateways/g", "conditions/c"])),
    );
    report.same(
        "6 an element is what the single call answers",
        body(&reply)[1].clone(),
        body(&api.call("GET /api/v1/conditions/c").await),
    );
    report.same(
        "A12 resolved",
        body(&reply)[0]["routes"]["a"]["condition"].clone(),
        json!({"condition": "has header A"}),
    );

    let rows = [
        ("6 one document", "PUT /api/v1", "kind: gateways\nname: one", vec!["gateways/one"]),
        ("6 slash", "PUT /api/v1/", "kind: gateways\nname: slash", vec!["gateways/slash"]),
        ("6 namespace", "PUT /default/api/v1", "kind: gateways\nname: space", vec!["gateways/space"]),
        (
            "6 JSON list",
            "PUT /api/v1",
            "[{\"kind\": \"gateway\", \"name\": \"j1\"}, {\"kind\": \"gateways\", \"name\": \"j2\"}]",
            vec!["gateways/j1", "gateways/j2"],
        ),
        (
            "6 YAML list",
            "PUT /api/v1",
            "- kind: gateway\n  name: y1\n- kind: rewrite\n  name: y2\n  path: /a if path /b",
            vec!["gateways/y1", "rewrites/y2"],
        ),
        (
            "6 nested lists",
            "PUT /api/v1",
            "[[{kind: gateway, name: n1}], [[{kind: gateway, name: n2}], {kind: gateway, name: n3}]]",
            vec!["gateways/n1", "gateways/n2", "gateways/n3"],
        ),
        (
            "6 empty documents are dropped",
            "PUT /api/v1",
            "---\n---\nkind: gateway\nname: e1\n---\n---\nkind: gateway\nname: e2\n---\n",
            vec!["gateways/e1", "gateways/e2"],
        ),
        (
            "A13 singular and plural",
            "PUT /api/v1",
            "kind: condition\nname: s1\ncondition: has header A\n---\nkind: conditions\nname: s2\ncondition: has header A",
            vec!["conditions/s1", "conditions/s2"],
        ),
        (
            "6 POST",
            "POST /api/v1",
            "kind: gateway\nname: p1\n---\nkind: route\nname: p2\nweight: 10%",
            vec!["gateways/p1", "routes/p2"],
        ),
    ];
    for (rule, request, text, expected) in rows {
        let reply = api.send(request, text).await;
        report.same(&format!("{rule}: {text:?}"), (reply.status, names(&reply)), (202, list(&expected)));
        for path in expected {
            report.same(&format!("6 stored: {path}"), status(path).await, 200);
        }
    }
    // A kind endpoint takes several in POST (A14); PUT with a name takes exactly one.
    let reply = api
        .send(
            "POST /api/v1/conditions",
            "name: k1\ncondition: has header A\n---\nname: k2\ncondition: has header B",
        )
        .await;
    report.same(
        "A14 several in POST",
        (reply.status / 100, names(&reply)),
        (2, list(&["conditions/k1", "conditions/k2"])),
    );
    let reply = api
        .send(
            "PUT /api/v1/conditions/k1",
            "name: k1\ncondition: has header A\n---\nname: k2\ncondition: has header B",
        )
        .await;
    report.same("A14 PUT with a name", reply.status, 400);
    let reply = api.send("POST /api/v1/conditions", "name: k3\ncondition: has header A").await;
    report.same("A17 one document in, one object out", body(&reply)["name"].as_str(), Some("k3"));

    // All or nothing.
    let bad = [
        (
            "A12 a bad one",
            "kind: gateway\nname: good\n---\nkind: gateway\nname: bad\nroutes: {a: {weight: 10%}}",
            "gateways/bad: ",
        ),
        (
            "A12 a bad one first",
            "kind: gateway\nname: bad\nport: abc\n---\nkind: gateway\nname: good",
            "gateways/bad: ",
        ),
        (
            "A12 a bad condition",
            "kind: gateway\nname: good\n---\nkind: condition\nname: bad\ncondition: hello world",
            "conditions/bad: ",
        ),
        ("6 no kind", "kind: gateway\nname: good\n---\nname: bad", ""),
        ("6 no name", "kind: gateway\nname: good\n---\nkind: gateway", ""),
        ("6 unknown kind", "kind: gateway\nname: good\n---\nkind: nonsense\nname: bad", ""),
        ("6 not a map", "- {kind: gateway, name: good}\n- hello", ""),
    ];
    for (rule, text, prefix) in bad {
        for method in ["PUT", "POST"] {
            let reply = api.send(&format!("{method} /api/v1"), text).await;
            report.holds(
                &format!("{rule}, {method}: {text:?}"),
                reply.status == 400 && message(&reply).starts_with(prefix),
                (reply.status, message(&reply)),
            );
        }
        report.same(
            &format!("{rule}: nothing is stored"),
            (status("gateways/good").await, status("gateways/bad").await),
            (404, 404),
        );
    }
    let reply = api.send("POST /api/v1", "kind: gateway\nname: fresh\n---\nkind: gateway\nname: g").await;
    report.same("R45 POST of an existing one", (reply.status, status("gateways/fresh").await), (409, 404));
    let reply =
        api.send("PUT /api/v1?validate_only=true", "kind: gateway\nname: trial\nroutes: [a, b]").await;
    let weights = super::weights_of(&body(&reply)[0]);
    report.same(
        "6 validate_only",
        (reply.status, weights, status("gateways/trial").await),
        (202, list(&["a=50%", "b=50%"]), 404),
    );

    // DELETE.
    let reply = api
        .send(
            "DELETE /api/v1",
            "kind: condition\nname: c\n---\nkind: gateway\nname: g\n---\nkind: gateway\nname: nobody",
        )
        .await;
    report.same(
        "6 DELETE",
        (reply.status, status("gateways/g").await, status("conditions/c").await),
        (202, 404, 404),
    );
    let reply = api.send("DELETE /api/v1", "kind: gateway\nname: p1\nroutes: {some: {weight: 100%}}").await;
    report.same("6 DELETE with a whole document", (reply.status, status("gateways/p1").await), (202, 404));
    report.finish();
}

/// Passive artifacts (api 7, 12): shapes, events.
#[tokio::test(flavor = "multi_thread")]
async fn passive_artifacts() {
    let api = Api::start().await;
    let mut report = Report::new("passive artifacts");
    let rows = [
        (
            "conditions",
            "firefox",
            "name: firefox\ncondition: User-Agent == Firefox",
            json!({"name": "firefox", "kind": "conditions", "metadata": {}, "condition": "User-Agent == Firefox"}),
        ),
        (
            "rewrites",
            "images",
            "name: images\npath: /i/%[path] if path_end .png",
            json!({"name": "images", "kind": "rewrites", "metadata": {}, "path": "/i/%[path] if path_end .png"}),
        ),
        (
            "conditions",
            "tagged",
            "name: tagged\nkind: condition\nmetadata: {team: shop}\ncondition: has header A",
            json!({"name": "tagged", "kind": "conditions", "metadata": {"team": "shop"}, "condition": "has header A"}),
        ),
    ];
    for (kind, name, text, expected) in rows {
        let created = api.send(&format!("POST /api/v1/{kind}"), text).await;
        report.same(
            &format!("12 POST {kind}/{name}"),
            (created.status, created.body.clone()),
            (201, expected.to_string()),
        );
        let read = api.call(&format!("GET /api/v1/{kind}/{name}")).await;
        report.same(
            &format!("12 GET {kind}/{name}"),
            (read.status, read.body.clone()),
            (200, expected.to_string()),
        );
        let again = api.send(&format!("PUT /api/v1/{kind}/{name}"), &read.body).await;
        report.same(
            &format!("2 round trip {kind}/{name}"),
            (again.status, again.body),
            (200, expected.to_string()),
        );
        let deleted = api.call(&format!("DELETE /api/v1/{kind}/{name}")).await;
        report.same(&format!("12 DELETE {kind}/{name}"), deleted.status, 204);
        api.call(&format!("DELETE /api/v1/{kind}/{name}")).await;
        // Archive events (7): the body as text, absent for delete; a second delete tells nothing.
        let events = body(&api.call(&format!("GET /api/v1/events?tag={kind}:{name}&type=archive")).await);
        let mut told = Vec::new();
        for event in events.as_array().into_iter().flatten() {
            let tags: BTreeSet<&str> =
                event["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let what = tags.iter().find(|tag| tag.starts_with("archive:")).copied().unwrap_or("?").to_owned();
            let expected: BTreeSet<String> =
                ["archive".into(), what.clone(), kind.into(), format!("{kind}:{name}")].into();
            report.same(
                &format!("7 tags of {what}"),
                tags.iter().map(|t| (*t).to_owned()).collect::<BTreeSet<_>>(),
                expected,
            );
            told.push((what, event.get("value").cloned().unwrap_or(Value::Null)));
        }
        let expected = vec![
            ("archive:delete".to_owned(), json!(null)),
            ("archive:update".to_owned(), json!(read.body)),
            ("archive:create".to_owned(), json!(text)),
        ];
        report.same(&format!("7 archive events of {kind}/{name}"), told, expected);
    }
    let route = "name: half\nweight: 50%\ncondition: has header A\nbalance: leastconn\nrewrites: [{path: /a if path /b}]";
    let created = api.send("POST /api/v1/routes", route).await;
    let seen = body(&created);
    for (field, expected) in [
        ("name", json!("half")),
        ("kind", json!("routes")),
        ("metadata", json!({})),
        ("weight", json!("50%")),
        ("condition", json!({"condition": "has header A"})),
        ("balance", json!("leastconn")),
        ("rewrites", json!([{"path": "/a if path /b"}])),
    ] {
        report.same(&format!("12 stored route: {field}"), seen[field].clone(), expected);
    }
    let again = api.send("PUT /api/v1/routes/half", &created.body).await;
    report.same("2 round trip of a route", (again.status, again.body), (200, created.body));
    report.finish();
}

/// Revisions, preconditions and acknowledgement (design 5; api 3).
#[tokio::test(flavor = "multi_thread")]
async fn revisions() {
    let api = Api::start().await;
    let target = Echo::start("a").await;
    let mut report = Report::new("revisions");
    let document = |sticky: &str| format!("name: x\nsticky: {sticky}\nroutes: [\"{}\"]", target.path());
    let number = |reply: &Reply, name: &str| reply.header(name).and_then(|value| value.parse::<u64>().ok());

    let first = api.send("POST /api/v1/gateways", &document("none")).await;
    let revision = number(&first, "vamp-revision");
    report.holds("3 Vamp-Revision", first.status == 202 && revision.is_some(), &first);
    let tag = first.header("etag").unwrap_or_default().to_owned();
    report.holds("3 ETag", !tag.is_empty(), &first);
    let read = api.call("GET /api/v1/gateways/x").await;
    report.same("3 ETag of a GET", read.header("etag"), Some(tag.as_str()));
    let second = api.send(&format!("PUT /api/v1/gateways/x | If-Match: {tag}"), &document("route")).await;
    report.same("3 If-Match", second.status, 202);
    report.holds("3 revisions grow", number(&second, "vamp-revision") > revision, (revision, &second));
    let stale = api.send(&format!("PUT /api/v1/gateways/x | If-Match: {tag}"), &document("instance")).await;
    report.holds("3 stale If-Match", stale.status == 412 && !message(&stale).is_empty(), &stale);
    let stale = api.call(&format!("DELETE /api/v1/gateways/x | If-Match: {tag}")).await;
    report.same("3 stale If-Match, DELETE", stale.status, 412);
    report.same(
        "3 and nothing changed",
        body(&api.call("GET /api/v1/gateways/x").await)["sticky"].clone(),
        json!("route"),
    );
    let any = api.send("PUT /api/v1/gateways/x | If-Match: *", &document("none")).await;
    report.same("3 If-Match: *", any.status, 202);

    let waited = api.send("PUT /api/v1/gateways/x?wait=applied&timeout=60s", &document("route")).await;
    report.same("3 wait=applied", (waited.status, waited.header("vamp-applied")), (202, Some("1/1")));
    report.holds(
        "3 Vamp-Applied-Ms",
        waited.header("vamp-applied-ms").is_some_and(|ms| ms.parse::<f64>().is_ok()),
        &waited,
    );
    let revision = number(&waited, "vamp-revision").unwrap_or(0);
    let receipt = api.call(&format!("GET /api/v1/revisions/{revision}")).await;
    report.same("design 5 receipt", receipt.status, 200);
    report.same("design 5 unknown revision", api.call("GET /api/v1/revisions/99999999").await.status, 404);
    let trial = api.send("PUT /api/v1/gateways/x?validate_only=true", &document("none")).await;
    report.same("3 validate_only has the status of the real call", trial.status, 202);
    report.finish();
}
