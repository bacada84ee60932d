//! Gateway documents (gateways 1 to 4, R1 to R5; api 7, 8): short forms, the expanded form, round trips.

use serde_json::{Value, json};

use super::{Report, keys, weights_of};
use crate::harness::Vamp;

/// The example of api 8, with its field order and published lookup names.
#[tokio::test(flavor = "multi_thread")]
async fn the_expanded_form() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("expanded form");
    let port = vamp.first_port + 7;
    let document = format!(
        "name: front\nport: {port}/http\nsticky: route\nroutes:\n  \"[10.1.0.7:8080]\": {{weight: 90%}}\n  \
         \"[10.1.0.8:8080]\": {{weight: 10%, condition: \"User-Agent == Firefox\"}}\n"
    );
    let expected = json!({
        "name": "front", "kind": "gateways", "metadata": {},
        "lookup_name": "eb07617f7220f64e222c2efdf5b8909ad33ff4b2",
        "internal": false,
        "service": {"host": "127.0.0.1", "port": format!("{port}/http")},
        "deployed": true,
        "port": format!("{port}/http"),
        "sticky": "route",
        "virtual_hosts": ["front.vamp"],
        "selector": null,
        "routes": {
            "[10.1.0.7:8080]": {
                "metadata": {}, "lookup_name": "903fb3178ea541d66d5c4c78901b6132e0446452",
                "selector": null, "weight": "90%", "balance": "default",
                "condition": null, "condition_strength": "0%", "rewrites": [],
                "targets": [{"url": "10.1.0.7:8080"}],
            },
            "[10.1.0.8:8080]": {
                "metadata": {}, "lookup_name": "ed6e7c9e1fb8e3f277dd7af081092311e9c87a0e",
                "selector": null, "weight": "10%", "balance": "default",
                "condition": {"condition": "User-Agent == Firefox"}, "condition_strength": "100%", "rewrites": [],
                "targets": [{"url": "10.1.0.8:8080"}],
            },
        },
    });
    let created = vamp.gateway(&document).await;
    report.same("api 8 POST, field order included", created.to_string(), expected.to_string());
    let read = vamp.get("/gateways/front").await.body;
    report.same("api 8 GET", read.to_string(), expected.to_string());
    let list = vamp.get("/gateways").await.body;
    report.same("api 8 list", list.to_string(), json!([expected]).to_string());

    // Lookup names (1.1, api 7).
    let lookups = [
        ("sava_gateway", "a", "ebcec0d294fc399c5ee972c43a854e3b643d5ece", None),
        (
            "shop",
            "1.1.0",
            "f2c5aee3e47aad6735933f42d41a2d4e6720eced",
            Some("33b1c81dbeeb49a47889e0196603d3a136f2d735"),
        ),
    ];
    for (name, path, gateway, route) in lookups {
        let answer = vamp.post("/gateways", &json!({"name": name, "routes": [path]}).to_string()).await;
        report.same(
            &format!("1.1 lookup name of {name}"),
            answer.body["lookup_name"].as_str(),
            Some(gateway),
        );
        if let Some(route) = route {
            let seen = answer.body["routes"][path]["lookup_name"].as_str();
            report.same(&format!("1.1 lookup name of {path} of {name}"), seen, Some(route));
        }
    }
    report.finish();
}

/// JSON pointers with what they show; `@` stands for the name of the gateway.
type Shown = &'static [(&'static str, &'static str)];

/// Rule, document without its name, what is shown.
const FORMS: &[(&str, &str, Shown)] = &[
    // Routes (3).
    (
        "3 routes: text",
        "routes: sava/web",
        &[("/routes/sava~1web/weight", "\"100%\""), ("/routes/sava~1web/targets", "[]")],
    ),
    (
        "3 routes: list",
        "routes: [a, b/c]",
        &[("/routes/a/weight", "\"50%\""), ("/routes/b~1c/weight", "\"50%\"")],
    ),
    (
        "3 routes: list of maps",
        "routes: [{a: {weight: 40%}}, {b: {weight: 60%}}]",
        &[("/routes/a/weight", "\"40%\""), ("/routes/b/weight", "\"60%\"")],
    ),
    ("3 {} is fine", "routes: {a: {}}", &[("/routes/a/weight", "\"100%\""), ("/routes/a/rewrites", "[]")]),
    ("1.1 no routes", "metadata: {}", &[("/routes", "{}")]),
    ("1.1 empty routes", "routes: {}", &[("/routes", "{}")]),
    (
        "R3 stored route",
        "routes: {a: stored}",
        &[
            ("/routes/a/weight", "\"100%\""),
            ("/routes/a/condition", "{\"condition\":\"has header X-Stored\"}"),
            ("/routes/a/condition_strength", "\"40%\""),
        ],
    ),
    ("2 empty segments are dropped", "routes: {a//b: {}}", &[("/routes/a~1b/weight", "\"100%\"")]),
    (
        "2 an unquoted external path",
        "routes:\n  [localhost:5050]: {}",
        &[("/routes/[localhost:5050]/weight", "\"100%\"")],
    ),
    (
        "2 unquoted external paths",
        "routes:\n  [localhost:5050]: {weight: 30%}\n  [127.0.0.1:5051]: {weight: 70%}",
        &[
            ("/routes/[localhost:5050]/weight", "\"30%\""),
            ("/routes/[127.0.0.1:5051]/targets", "[{\"url\":\"127.0.0.1:5051\"}]"),
        ],
    ),
    ("2 numeric keys become text", "routes: {404: {}}", &[("/routes/404/weight", "\"100%\"")]),
    ("2 four segments", "routes: {a/b/c/d: {}}", &[("/routes/a~1b~1c~1d/weight", "\"100%\"")]),
    (
        "R2 address",
        "routes: {'[127.0.0.1:80]': {}}",
        &[("/routes/[127.0.0.1:80]/targets", "[{\"url\":\"127.0.0.1:80\"}]")],
    ),
    ("R2 IPv6 address", "routes: {'[[::1]:8080]': {}}", &[("/routes/[[::1]:8080]/weight", "\"100%\"")]),
    (
        "R2 host name",
        "routes: {'[localhost:65535]': {}}",
        &[("/routes/[localhost:65535]/weight", "\"100%\"")],
    ),
    (
        "R2 with http://",
        "routes: {'[http://127.0.0.1:1]': {}}",
        &[("/routes/[http:~1~1127.0.0.1:1]/weight", "\"100%\"")],
    ),
    // Fields of routes (1.2, 1.3, 3).
    (
        "3 condition: text",
        "routes: {a: {condition: has header X-A}}",
        &[
            ("/routes/a/condition", "{\"condition\":\"has header X-A\"}"),
            ("/routes/a/condition_strength", "\"100%\""),
        ],
    ),
    (
        "3 condition: map",
        "routes: {a: {condition: {condition: has header X-A}}}",
        &[("/routes/a/condition", "{\"condition\":\"has header X-A\"}")],
    ),
    (
        "3 condition: ref",
        "routes: {a: {condition: {ref: stored}}}",
        &[
            ("/routes/a/condition", "{\"condition\":\"has cookie stored\"}"),
            ("/routes/a/condition_strength", "\"100%\""),
        ],
    ),
    (
        "3 condition: reference",
        "routes: {a: {condition: {reference: stored}}}",
        &[("/routes/a/condition", "{\"condition\":\"has cookie stored\"}")],
    ),
    (
        "3 condition: empty",
        "routes: {a: {condition: ''}}",
        &[("/routes/a/condition", "null"), ("/routes/a/condition_strength", "\"0%\"")],
    ),
    (
        "3 condition: empty map",
        "routes: {a: {condition: {condition: ''}}}",
        &[("/routes/a/condition", "null")],
    ),
    ("1.2 condition: null", "routes: {a: {condition: ~}}", &[("/routes/a/condition", "null")]),
    (
        "1.2 strength",
        "routes: {a: {condition: has header A, condition_strength: 30%}}",
        &[("/routes/a/condition_strength", "\"30%\"")],
    ),
    (
        "1.2 strength 0%",
        "routes: {a: {condition: has header A, condition_strength: 0%}}",
        &[("/routes/a/condition_strength", "\"0%\"")],
    ),
    (
        "3 rewrites: map",
        "routes: {a: {rewrites: {path: /b if path /a}}}",
        &[("/routes/a/rewrites", "[{\"path\":\"/b if path /a\"}]")],
    ),
    (
        "3 rewrites: list",
        "routes: {a: {rewrites: [{path: /b if path /a}, {path: /c if path /d}]}}",
        &[("/routes/a/rewrites", "[{\"path\":\"/b if path /a\"},{\"path\":\"/c if path /d\"}]")],
    ),
    (
        "R3 rewrites: reference",
        "routes: {a: {rewrites: [stored]}}",
        &[("/routes/a/rewrites", "[{\"path\":\"/b if path /stored\"}]")],
    ),
    ("1.2 rewrites: empty", "routes: {a: {rewrites: []}}", &[("/routes/a/rewrites", "[]")]),
    ("1.2 balance", "routes: {a: {balance: leastconn}}", &[("/routes/a/balance", "\"leastconn\"")]),
    ("1.2 balance default", "routes: {a: {balance: default}}", &[("/routes/a/balance", "\"default\"")]),
    ("R10 roundrobin", "routes: {a: {balance: roundrobin}}", &[("/routes/a/balance", "\"roundrobin\"")]),
    ("R10 static-rr", "routes: {a: {balance: static-rr}}", &[("/routes/a/balance", "\"static-rr\"")]),
    ("R10 first", "routes: {a: {balance: first}}", &[("/routes/a/balance", "\"first\"")]),
    ("R10 source", "routes: {a: {balance: source}}", &[("/routes/a/balance", "\"source\"")]),
    ("R10 uri", "routes: {a: {balance: uri}}", &[("/routes/a/balance", "\"uri\"")]),
    (
        "R10 url_param",
        "routes: {a: {balance: url_param user}}",
        &[("/routes/a/balance", "\"url_param user\"")],
    ),
    ("R10 hdr", "routes: {a: {balance: hdr(X-User)}}", &[("/routes/a/balance", "\"hdr(X-User)\"")]),
    ("R10 random", "routes: {a: {balance: random}}", &[("/routes/a/balance", "\"random\"")]),
    (
        "1.2 route metadata",
        "routes: {a: {metadata: {title: A, x: {y: [1, ~]}}}}",
        &[("/routes/a/metadata", "{\"title\":\"A\",\"x\":{\"y\":[1,null]}}")],
    ),
    (
        "1.2 route selector",
        "routes: {a: {selector: label(app)(nobody)}}",
        &[("/routes/a/selector", "\"label(app)(nobody)\"")],
    ),
    ("3 route selector: null", "routes: {a: {selector: ~}}", &[("/routes/a/selector", "null")]),
    (
        "1.3 blanks in percentages",
        "routes: {a: {weight: ' 50 % '}, b: {weight: '50 %'}}",
        &[("/routes/a/weight", "\"50%\""), ("/routes/b/weight", "\"50%\"")],
    ),
    (
        "1.3 leading zeros",
        "routes: {a: {weight: 040%}, b: {weight: 060%}}",
        &[("/routes/a/weight", "\"40%\"")],
    ),
    (
        "R46 decimals",
        "routes: {a: {weight: 0.5%}, b: {weight: 99.50%}}",
        &[("/routes/a/weight", "\"0.5%\""), ("/routes/b/weight", "\"99.5%\"")],
    ),
    ("R46 trailing zeros", "routes: {a: {weight: 100.00%}}", &[("/routes/a/weight", "\"100%\"")]),
    (
        "R46 two decimals",
        "routes: {a: {weight: 33.33%}, b: {weight: 33.33%}, c: {weight: 33.34%}}",
        &[("/routes/c/weight", "\"33.34%\"")],
    ),
    (
        "R46 strength",
        "routes: {a: {condition: has header A, condition_strength: 12.25%}}",
        &[("/routes/a/condition_strength", "\"12.25%\"")],
    ),
    // Fields of gateways (1.1, 3).
    (
        "3 virtual_hosts: text",
        "virtual_hosts: one.example",
        &[("/virtual_hosts", "[\"@.vamp\",\"one.example\"]")],
    ),
    (
        "1.1 virtual_hosts: list",
        "virtual_hosts: [two.example, three.example]",
        &[("/virtual_hosts", "[\"@.vamp\",\"two.example\",\"three.example\"]")],
    ),
    ("1.1 virtual_hosts: none", "virtual_hosts: []", &[("/virtual_hosts", "[\"@.vamp\"]")]),
    ("3 sticky: none", "sticky: none", &[("/sticky", "null")]),
    ("3 sticky: ~", "sticky: ~", &[("/sticky", "null")]),
    ("3 sticky:", "sticky:", &[("/sticky", "null")]),
    ("1.1 sticky: route", "sticky: route", &[("/sticky", "\"route\"")]),
    ("1.1 sticky: instance", "sticky: instance", &[("/sticky", "\"instance\"")]),
    ("5 sticky ignores case", "sticky: Route", &[("/sticky", "\"route\"")]),
    ("5 sticky ignores case, instance", "sticky: INSTANCE", &[("/sticky", "\"instance\"")]),
    ("3 selector: ~", "selector: ~", &[("/selector", "null")]),
    ("1.1 selector", "selector: label(app)(nobody)", &[("/selector", "\"label(app)(nobody)\"")]),
    ("1.1 kind", "kind: gateways", &[("/kind", "\"gateways\"")]),
    ("R1 kind", "kind: gateway", &[("/kind", "\"gateways\"")]),
    (
        "1.1 metadata",
        "metadata: {release.vamp.io/current: (1.0.0), a: {b: [1, 2.5, true, ~, x]}}",
        &[("/metadata", "{\"release.vamp.io/current\":\"(1.0.0)\",\"a\":{\"b\":[1,2.5,true,null,\"x\"]}}")],
    ),
    ("1.1 proxy is tolerated", "proxy: whatever", &[("/kind", "\"gateways\"")]),
    (
        "api 2 what the server adds is ignored",
        "lookup_name: x\ninternal: true\ndeployed: false",
        &[("/internal", "false")],
    ),
    (
        "1.2 what the server adds to routes is ignored",
        "routes: {a: {lookup_name: x, targets: [{url: '1.2.3.4:5'}]}}",
        &[("/routes/a/targets", "[]")],
    ),
    (
        "1.2 other targets are ignored too",
        "routes: {a: {targets: [{name: x, host: y, port: 1}]}}",
        &[("/routes/a/targets", "[]")],
    ),
    // YAML itself (api 2).
    ("api 2 JSON is YAML", "\"sticky\": \"route\"", &[("/sticky", "\"route\"")]),
    (
        "api 2 anchors",
        "metadata: {a: &x {b: 1}, c: *x}",
        &[("/metadata", "{\"a\":{\"b\":1},\"c\":{\"b\":1}}")],
    ),
    ("api 2 comments", "sticky: route # until the end of the line", &[("/sticky", "\"route\"")]),
    (
        "api 2 block text",
        "metadata:\n  a: |\n    one\n    two\n",
        &[("/metadata", "{\"a\":\"one\\ntwo\\n\"}")],
    ),
];

/// What the forms refer to.
async fn stored(vamp: &Vamp) {
    for (path, body) in [
        (
            "/routes/stored",
            "name: stored\nweight: 100%\ncondition: has header X-Stored\ncondition_strength: 40%",
        ),
        ("/conditions/stored", "name: stored\ncondition: has cookie stored"),
        ("/rewrites/stored", "name: stored\npath: /b if path /stored"),
    ] {
        let answer = vamp.put(path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn short_forms_and_round_trips() {
    let vamp = Vamp::start_sized(&[], u16::try_from(FORMS.len()).unwrap() + 20).await;
    stored(&vamp).await;
    let mut report = Report::new("short forms");
    for (index, (rule, text, expected)) in FORMS.iter().enumerate() {
        let name = format!("d{index}");
        let answer = vamp.post("/gateways", &with_name(&name, text)).await;
        report.holds(&format!("{rule}: accepted"), answer.status == 202, (answer.status, &answer.body));
        if answer.status != 202 {
            continue;
        }
        let read = vamp.get(&format!("/gateways/{name}")).await.body;
        for (pointer, shown) in *expected {
            let shown = shown.replace('@', &name);
            let what = format!("{rule}: {pointer}");
            report.same(
                &format!("{what} in the answer"),
                answer.body.pointer(pointer).map(Value::to_string),
                Some(shown.clone()),
            );
            report.same(&format!("{what} as read"), read.pointer(pointer).map(Value::to_string), Some(shown));
        }
        // A document that was read may be written back unchanged (4, api 2), as JSON and as YAML.
        let again = vamp.put(&format!("/gateways/{name}"), &read.to_string()).await;
        report.same(
            &format!("{rule}: round trip"),
            (again.status, again.body.to_string()),
            (202, read.to_string()),
        );
        let yaml = vamp
            .call("GET", &format!("/api/v1/gateways/{name}"), None, &[("accept", "application/x-yaml")])
            .await;
        let yaml = yaml.body.as_str().unwrap_or_default().to_owned();
        let again = vamp.put(&format!("/gateways/{name}"), &yaml).await;
        report.same(
            &format!("{rule}: round trip as YAML {yaml:?}"),
            (again.status, again.body.to_string()),
            (202, read.to_string()),
        );
        let last = vamp.get(&format!("/gateways/{name}")).await.body;
        report.same(&format!("{rule}: unchanged"), last.to_string(), read.to_string());
    }
    report.finish();
}

fn with_name(name: &str, text: &str) -> String {
    match text.starts_with('"') {
        true => format!("{{\"name\": \"{name}\", {text}}}"),
        false => format!("name: {name}\n{text}\n"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn order_names_and_references() {
    let vamp = Vamp::start().await;
    stored(&vamp).await;
    let mut report = Report::new("order, names, references");

    // R5: any number of routes keep their order, in storage and output.
    let order: Vec<String> = ["z", "y", "m", "b", "a", "x", "c", "q", "w"].map(str::to_owned).to_vec();
    let answer = vamp.post("/gateways", &json!({"name": "order", "routes": order}).to_string()).await;
    report.same("R5 POST of a list", keys(&answer.body["routes"]), order.clone());
    let read = vamp.get("/gateways/order").await.body;
    report.same("R5 GET", keys(&read["routes"]), order.clone());
    let map: Vec<String> = order.iter().rev().map(|path| format!("\"{path}\": {{}}")).collect();
    let answer = vamp.put("/gateways/order", &format!("name: order\nroutes: {{{}}}", map.join(", "))).await;
    let reversed: Vec<String> = order.iter().rev().cloned().collect();
    report.same("R5 PUT of a map in another order", keys(&answer.body["routes"]), reversed.clone());
    let yaml = vamp.call("GET", "/api/v1/gateways/order", None, &[("accept", "application/x-yaml")]).await;
    let text = yaml.body.as_str().unwrap_or_default();
    let place =
        |path: &String| text.find(&format!("\n  {path}:")).or_else(|| text.find(&format!("\n  \"{path}\":")));
    let at: Vec<Option<usize>> = reversed.iter().map(place).collect();
    report.holds("R5 YAML in the same order", at.iter().all(Option::is_some) && at.is_sorted(), text);

    // Names (2).
    for (rule, given, shown) in [
        ("2 two segments", "shop/9050", "shop/9050"),
        ("2 four segments", "a/b/c/d", "a/b/c/d"),
        ("2 empty segments are dropped", "x//y", "x/y"),
        ("2 any character but a few", "sava:1.0@x(y),z", "sava:1.0@x(y),z"),
    ] {
        let answer = vamp.post("/gateways", &json!({"name": given}).to_string()).await;
        report.same(rule, (answer.status, answer.body["name"].as_str()), (202, Some(shown)));
        report.same(&format!("{rule}: internal"), answer.body["internal"].as_bool(), Some(false));
        report.same(&format!("{rule}: GET"), vamp.get(&format!("/gateways/{shown}")).await.status, 200);
    }

    // Stored copies: later edits of what was referred to do not reach the gateway (3).
    let document = "name: copy\nroutes: {a: {condition: {reference: stored}, rewrites: [stored]}, b: stored}";
    vamp.gateway(document).await;
    for (path, body) in [
        ("/conditions/stored", "name: stored\ncondition: has cookie changed"),
        ("/rewrites/stored", "name: stored\npath: /changed if path /changed"),
        ("/routes/stored", "name: stored\nweight: 100%\ncondition: has cookie changed"),
    ] {
        report.same(&format!("api 7 PUT {path}"), vamp.put(path, body).await.status, 200);
    }
    let read = vamp.get("/gateways/copy").await.body;
    let routes = &read["routes"];
    report.same(
        "3 condition is a copy",
        routes["a"]["condition"].clone(),
        json!({"condition": "has cookie stored"}),
    );
    report.same(
        "3 rewrite is a copy",
        routes["a"]["rewrites"].clone(),
        json!([{"path": "/b if path /stored"}]),
    );
    report.same(
        "3 route is a copy",
        routes["b"]["condition"].clone(),
        json!({"condition": "has header X-Stored"}),
    );
    report.same(
        "7 weights with a reference",
        weights_of(&read),
        vec!["a=0%".to_owned(), "b=100%".to_owned()],
    );
    let answer = vamp.put("/gateways/copy", document).await;
    let seen = answer.body["routes"]["a"]["condition"].clone();
    report.same("3 the next write resolves again", seen, json!({"condition": "has cookie changed"}));

    // PUT is a replacement of the whole document (21).
    let full = "name: whole\nsticky: route\nvirtual_hosts: [w.example]\nmetadata: {a: 1}\nroutes: {a: {}}";
    vamp.gateway(full).await;
    let answer = vamp.put("/gateways/whole", "name: whole").await;
    let body = &answer.body;
    let seen = (
        body["sticky"].clone(),
        body["virtual_hosts"].clone(),
        body["metadata"].clone(),
        body["routes"].clone(),
    );
    report.same("21 PUT replaces", seen, (json!(null), json!(["whole.vamp"]), json!({}), json!({})));
    report.finish();
}

/// `validate_only` (7, 21, api 3): the computed document, nothing stored, no event.
#[tokio::test(flavor = "multi_thread")]
async fn validate_only() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("validate_only");
    let three = "name: x\nroutes: [a, b, c]";
    for (method, path) in [("POST", "/gateways"), ("PUT", "/gateways/x")] {
        let path = format!("/api/v1{path}?validate_only=true");
        let answer = vamp.call(method, &path, Some(three), &[]).await;
        report.same(&format!("21 {method} status"), answer.status, 202);
        report.same(
            &format!("7 {method} weights"),
            weights_of(&answer.body),
            ["a=33%", "b=33%", "c=34%"].map(str::to_owned).to_vec(),
        );
        let answer = vamp.call(method, &path, Some("name: x\nroutes: {a: {weight: 50%}}"), &[]).await;
        report.same(&format!("21 {method} of a bad document"), answer.status, 400);
    }
    report.same("21 nothing stored", vamp.get("/gateways/x").await.status, 404);
    vamp.gateway("name: y\nroutes: [a]").await;
    let before = vamp.get("/gateways/y").await.body;
    let answer = vamp.put("/gateways/y?validate_only=true", "name: y\nsticky: route\nroutes: [a, b]").await;
    report.same(
        "21 computed document",
        (answer.status, answer.body["sticky"].as_str()),
        (202, Some("route")),
    );
    report.same("21 unchanged", vamp.get("/gateways/y").await.body, before.clone());
    let answer = vamp.call("DELETE", "/api/v1/gateways/y?validate_only=true", None, &[]).await;
    report.same("21 DELETE status", answer.status, 202);
    report.same("21 still there", vamp.get("/gateways/y").await.body, before);
    let answer = vamp.post("/gateways?validate_only=false", "name: z").await;
    report.same(
        "api 3 false is no validation",
        (answer.status, vamp.get("/gateways/z").await.status),
        (202, 200),
    );
    let events = vamp.get("/events?tag=gateways:x").await.body;
    report.same("21 no event", events, json!([]));
    let events = vamp.get("/events?tag=gateways:y&tag=archive").await.body;
    report.same("21 no event but the creation's", events.as_array().map(Vec::len), Some(1));
    report.finish();
}
