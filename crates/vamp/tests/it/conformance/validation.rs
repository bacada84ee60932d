//! The validation table (gateways 5, with R4, R7 to R12, R37; api 5): status, gist of the message, and nothing changes.

use serde_json::json;

use super::Report;
use crate::harness::Vamp;

/// Rule, document, gist of the message in lower case (several parts separated by `…`).
const REFUSED: &[(&str, &str, &str)] = &[
    // Body.
    ("5 not parseable", "name: [", "error: "),
    ("5 not parseable, brace", "{name: x", "error: "),
    ("5 not parseable, indentation", "name: x\n  port: 1\n sticky: ~", "error: "),
    ("5 not a map: text", "hello", "unexpected type for path '/'"),
    ("5 not a map: number", "5", "unexpected type for path '/'"),
    ("5 empty body", "", ""),
    ("5 list of texts", "- a", ""),
    // Name and kind.
    ("5 no name", "port: 0", "can't find any value for path: /name"),
    ("5 no name, JSON", "{\"routes\": {}}", "can't find any value for path: /name"),
    ("5 name: null", "name: ~", "path: /name"),
    ("5 name: empty", "name: ''", ""),
    ("5 name: only slashes", "name: ///", "unsupported gateway name"),
    ("5 name: white space", "name: a b", "unsupported gateway name"),
    ("5 name: tab", "name: \"a\\tb\"", "unsupported gateway name"),
    ("5 name: [", "name: 'a[b'", "unsupported gateway name"),
    ("5 name: ]", "name: a]b", "unsupported gateway name"),
    ("5 name: five segments", "name: a/b/c/d/e", "unsupported gateway name"),
    ("5 name: a map", "name: {a: b}", ""),
    ("5 kind: other", "name: x\nkind: breeds", "inconsistent kind"),
    ("5 kind: typo", "name: x\nkind: gatewayz", "inconsistent kind"),
    ("5 internal gateway", "name: a/b/c", "internal deployment gateway"),
    // Unknown keys.
    ("5 unknown key", "name: x\nweigth: 1", "unexpected in dsl: {…\"weigth\""),
    ("5 unknown key in a route", "name: x\nroutes: {a: {weigth: 50%}}", "unexpected in dsl: {…\"weigth\""),
    (
        "5 unknown key in a condition",
        "name: x\nroutes: {a: {condition: {condition: has header A, foo: 1}}}",
        "unexpected in dsl: {…\"foo\"",
    ),
    (
        "5 unknown key in a rewrite",
        "name: x\nroutes: {a: {rewrites: [{path: /a if path /b, foo: 1}]}}",
        "unexpected in dsl: {…\"foo\"",
    ),
    ("5 unknown key, case", "name: x\nPort: 1", "unexpected in dsl: {…\"port\""),
    // Metadata.
    ("5 metadata: text", "name: x\nmetadata: a", "unsupported metadata"),
    ("5 metadata: list", "name: x\nmetadata: [a]", "unsupported metadata"),
    ("5 metadata: number", "name: x\nmetadata: 1", "unsupported metadata"),
    // Port.
    ("5 port: list", "name: x\nport: [1]", "unexpected type for path…port"),
    ("5 port: map", "name: x\nport: {a: 1}", "unexpected type for path…port"),
    ("5 port: boolean", "name: x\nport: true", "unexpected type for path…port"),
    ("5 port: negative", "name: x\nport: -1", "invalid gateway port"),
    ("5 port: too large", "name: x\nport: 65536", "invalid gateway port"),
    ("5 port: too large, text", "name: x\nport: 70000/http", "invalid gateway port"),
    ("5 port: far too large", "name: x\nport: 99999999999999999999", ""),
    ("R7 port: text", "name: x\nport: abc", ""),
    ("R7 port: text with type", "name: x\nport: abc/http", ""),
    ("R7 port: udp", "name: x\nport: 18080/udp", ""),
    ("R7 port: no type after the slash", "name: x\nport: 18080/", ""),
    ("R7 port: no number", "name: x\nport: /http", ""),
    ("R7 port: two types", "name: x\nport: 18080/http/tcp", ""),
    ("R7 port: blank inside", "name: x\nport: '180 80'", ""),
    ("R7 port: fraction", "name: x\nport: 18080.5", ""),
    ("R7 port: hexadecimal text", "name: x\nport: '0x50'", ""),
    // Stickiness and hosts.
    ("5 sticky: other", "name: x\nsticky: maybe", "illegal routing sticky value"),
    ("5 sticky: plural", "name: x\nsticky: routes", "illegal routing sticky value"),
    ("5 sticky: list", "name: x\nsticky: [route]", ""),
    (
        "5 sticky on tcp",
        "name: x\nport: 18081/tcp\nsticky: route",
        "sticky sessions are not allowed for tcp port",
    ),
    (
        "5 sticky instance on tcp",
        "name: x\nport: 18081/tcp\nsticky: instance",
        "sticky sessions are not allowed for tcp port",
    ),
    ("5 virtual_hosts: number", "name: x\nvirtual_hosts: 5", "illegal gateway virtual hosts"),
    ("5 virtual_hosts: map", "name: x\nvirtual_hosts: {a: b}", "illegal gateway virtual hosts"),
    (
        "5 virtual_hosts: number inside",
        "name: x\nvirtual_hosts: [a.example, 5]",
        "illegal gateway virtual hosts",
    ),
    (
        "5 virtual_hosts: list inside",
        "name: x\nvirtual_hosts: [[a.example]]",
        "illegal gateway virtual hosts",
    ),
    ("5 virtual_hosts: null inside", "name: x\nvirtual_hosts: [~]", "illegal gateway virtual hosts"),
    ("R11 blank", "name: x\nvirtual_hosts: ['a b']", ""),
    ("R11 empty", "name: x\nvirtual_hosts: ['']", ""),
    ("R11 hyphen in front", "name: x\nvirtual_hosts: ['-a.example']", ""),
    ("R11 hyphen at the end", "name: x\nvirtual_hosts: [a-.example]", ""),
    ("R11 empty label", "name: x\nvirtual_hosts: [a..example]", ""),
    ("R11 underscore", "name: x\nvirtual_hosts: [a_b.example]", ""),
    ("R11 asterisk", "name: x\nvirtual_hosts: ['*.example']", ""),
    ("R11 port", "name: x\nvirtual_hosts: ['a.example:80']", ""),
    ("R11 address", "name: x\nvirtual_hosts: ['http://a.example']", ""),
    ("R11 slash", "name: x\nvirtual_hosts: [a/b]", ""),
    (
        "R11 label of 64",
        "name: x\nvirtual_hosts: [aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg.example]",
        "",
    ),
    // Paths.
    ("5 path: five segments", "name: x\nroutes: {a/b/c/d/e: {}}", "unsupported route path"),
    ("5 path: five segments, text", "name: x\nroutes: a/b/c/d/e", "unsupported route path"),
    ("5 path: no segment", "name: x\nroutes: {/: {}}", "unsupported route path"),
    ("2 path: white space", "name: x\nroutes: {a b: {}}", ""),
    ("2 path: brackets inside", "name: x\nroutes: {'a[b]': {}}", ""),
    ("2 path: open bracket", "name: x\nroutes: {'[127.0.0.1:80': {}}", ""),
    ("R2 no port", "name: x\nroutes: {'[127.0.0.1]': {}}", ""),
    ("R2 empty", "name: x\nroutes: {'[]': {}}", ""),
    ("R2 empty port", "name: x\nroutes: {'[localhost:]': {}}", ""),
    ("R2 port 0", "name: x\nroutes: {'[localhost:0]': {}}", ""),
    ("R2 port 65536", "name: x\nroutes: {'[localhost:65536]': {}}", ""),
    ("R2 port is text", "name: x\nroutes: {'[localhost:http]': {}}", ""),
    ("R2 no host", "name: x\nroutes: {'[:80]': {}}", ""),
    ("R2 blank", "name: x\nroutes: {'[a b:80]': {}}", ""),
    ("R2 other scheme", "name: x\nroutes: {'[ftp://a:80]': {}}", ""),
    ("R2 scheme without a port", "name: x\nroutes: {'[http://a]': {}}", ""),
    ("R2 path", "name: x\nroutes: {'[127.0.0.1:80/x]': {}}", ""),
    ("R2 two addresses", "name: x\nroutes:\n  [127.0.0.1:80, 127.0.0.1:81]: {}", ""),
    (
        "5 route selector on two segments",
        "name: x\nroutes: {a/b: {selector: 'true'}}",
        "if route selector is defined, path must not contain '/'",
    ),
    (
        "5 route selector on an external path",
        "name: x\nroutes: {'[127.0.0.1:80]': {selector: 'true'}}",
        "selector cannot be defined for an external target",
    ),
    ("5 gateway selector", "name: x\nselector: label(a)", "invalid selector: '…label(a)"),
    ("5 gateway selector is a map", "name: x\nselector: {a: b}", ""),
    // Routes.
    ("5 route: null", "name: x\nroutes: {a: ~}", "can't find any value for path: /routes/a"),
    ("5 second route: null", "name: x\nroutes: {a: {}, b: ~}", "can't find any value for path: /routes/b"),
    ("5 route: number", "name: x\nroutes: {a: 5}", ""),
    ("5 route: list", "name: x\nroutes: {a: [1]}", ""),
    // Weights and strengths.
    ("5 weight: number", "name: x\nroutes: {a: {weight: 10}}", "unexpected type for path…weight"),
    ("5 weight: without a sign", "name: x\nroutes: {a: {weight: '100'}}", "weight"),
    ("5 weight: over 100", "name: x\nroutes: {a: {weight: 101%}}", "weight"),
    ("5 weight: far over 100", "name: x\nroutes: {a: {weight: 1000%}}", "weight"),
    ("5 weight: negative", "name: x\nroutes: {a: {weight: -1%}}", "weight"),
    ("5 weight: text", "name: x\nroutes: {a: {weight: half}}", "weight"),
    ("5 weight: only a sign", "name: x\nroutes: {a: {weight: '%'}}", "weight"),
    ("5 weight: two signs", "name: x\nroutes: {a: {weight: 10%%}}", "weight"),
    ("5 weight: boolean", "name: x\nroutes: {a: {weight: true}}", "weight"),
    ("R46 three decimals", "name: x\nroutes: {a: {weight: 99.999%}, b: {weight: 0.001%}}", "weight"),
    ("R46 over 100", "name: x\nroutes: {a: {weight: 100.01%}}", "weight"),
    ("R46 comma", "name: x\nroutes: {a: {weight: '99,5%'}, b: {weight: '0,5%'}}", "weight"),
    ("5 sum 10", "name: x\nroutes: {a: {weight: 10%}}", "total route weight must be either 0% or 100%: x."),
    (
        "5 sum 110",
        "name: x\nroutes: {a: {weight: 50%}, b: {weight: 60%}}",
        "total route weight must be either 0% or 100%: x.",
    ),
    (
        "5 sum 95",
        "name: x\nroutes: {a: {weight: 90%}, b: {weight: 5%}}",
        "total route weight must be either 0% or 100%: x.",
    ),
    (
        "E2 only one of two",
        "name: x\nroutes: {a: {weight: 50%}, b: {}}",
        "total route weight must be either 0% or 100%: x.",
    ),
    (
        "R46 sum 99.99",
        "name: x\nroutes: {a: {weight: 33.33%}, b: {weight: 33.33%}, c: {weight: 33.33%}}",
        "total route weight",
    ),
    ("R46 sum 100.01", "name: x\nroutes: {a: {weight: 50.01%}, b: {weight: 50%}}", "total route weight"),
    (
        "5 sum with a selector",
        "name: x\nselector: 'false'\nroutes: {(a): {weight: 50%}}",
        "total route weight",
    ),
    ("5 sum after references", "name: x\nroutes: {a: half}", "total route weight"),
    ("5 sum after references, two", "name: x\nroutes: {a: half, b: {weight: 60%}}", "total route weight"),
    (
        "5 strength: number",
        "name: x\nroutes: {a: {condition: has header A, condition_strength: 10}}",
        "strength",
    ),
    (
        "5 strength: over 100",
        "name: x\nroutes: {a: {condition: has header A, condition_strength: 101%}}",
        "strength",
    ),
    (
        "5 strength: negative",
        "name: x\nroutes: {a: {condition: has header A, condition_strength: -5%}}",
        "strength",
    ),
    (
        "5 strength: text",
        "name: x\nroutes: {a: {condition: has header A, condition_strength: all}}",
        "strength",
    ),
    // Conditions, rewrites, balance.
    ("R8 condition", "name: x\nroutes: {a: {condition: has heder A}}", ""),
    ("R8 condition: number", "name: x\nroutes: {a: {condition: 5}}", ""),
    ("R8 condition: list", "name: x\nroutes: {a: {condition: [has header A]}}", ""),
    ("5 rewrite without if", "name: x\nroutes: {a: {rewrites: [{path: /x}]}}", "unsupported path rewrite"),
    (
        "5 rewrite without a condition",
        "name: x\nroutes: {a: {rewrites: [{path: '/x if '}]}}",
        "unsupported path rewrite",
    ),
    (
        "5 rewrite without a path",
        "name: x\nroutes: {a: {rewrites: [{path: ' if path /x'}]}}",
        "unsupported path rewrite",
    ),
    ("5 rewrite: number", "name: x\nroutes: {a: {rewrites: [5]}}", ""),
    (
        "R34 rewrite with a bad condition",
        "name: x\nroutes: {a: {rewrites: [{path: /x if nonsense here}]}}",
        "",
    ),
    (
        "R34 rewrite with an unknown variable",
        "name: x\nroutes: {a: {rewrites: [{path: '/%[src] if path /x'}]}}",
        "src",
    ),
    (
        "R34 rewrite with an unknown fetch",
        "name: x\nroutes: {a: {rewrites: [{path: '/%[res.hdr(A)] if path /x'}]}}",
        "res.hdr",
    ),
    (
        "R34 rewrite with an open variable",
        "name: x\nroutes: {a: {rewrites: [{path: '/%[path if path /x'}]}}",
        "",
    ),
    ("R34 rewrite with an open brace", "name: x\nroutes: {a: {rewrites: [{path: '/y if { path /x'}]}}", ""),
    ("R9 condition on tcp", "name: x\nport: 18081/tcp\nroutes: {a: {condition: has header A}}", ""),
    ("R9 rewrites on tcp", "name: x\nport: 18081/tcp\nroutes: {a: {rewrites: [{path: /x if path /y}]}}", ""),
    ("R10 balance", "name: x\nroutes: {a: {balance: best}}", "best"),
    ("R10 balance: hdr without a name", "name: x\nroutes: {a: {balance: hdr}}", ""),
    ("R10 balance: hdr()", "name: x\nroutes: {a: {balance: hdr()}}", ""),
    ("R10 balance: url_param without a name", "name: x\nroutes: {a: {balance: url_param}}", ""),
    ("R10 balance: more words", "name: x\nroutes: {a: {balance: roundrobin fast}}", ""),
    ("R10 balance: number", "name: x\nroutes: {a: {balance: 1}}", ""),
    ("R10 tcp: uri", "name: x\nport: 18081/tcp\nroutes: {a: {balance: uri}}", ""),
    ("R10 tcp: hdr", "name: x\nport: 18081/tcp\nroutes: {a: {balance: hdr(X)}}", ""),
    ("R10 tcp: url_param", "name: x\nport: 18081/tcp\nroutes: {a: {balance: url_param x}}", ""),
    // References.
    (
        "5 condition with a name",
        "name: x\nroutes: {a: {condition: {name: c, condition: has header A}}}",
        "either a reference or an anonymous inline definition",
    ),
    (
        "5 route with a name",
        "name: x\nroutes: {a: {name: r, weight: 100%}}",
        "either a reference or an anonymous inline definition",
    ),
    (
        "5 unknown condition",
        "name: x\nroutes: {a: {condition: {reference: nobody}}}",
        "artifact cannot be found…nobody",
    ),
    (
        "5 unknown condition, ref",
        "name: x\nroutes: {a: {condition: {ref: nobody}}}",
        "artifact cannot be found…nobody",
    ),
    ("5 unknown route", "name: x\nroutes: {a: nobody}", "artifact cannot be found…nobody"),
    ("5 unknown rewrite", "name: x\nroutes: {a: {rewrites: [nobody]}}", "artifact cannot be found…nobody"),
    ("api 7 unknown import", "name: x\nimport: nobody", "reference 'templates/nobody' cannot be resolved"),
    // Duplicates (R4).
    ("R4 top level", "name: x\nsticky: route\nsticky: none", ""),
    ("R4 routes", "name: x\nroutes: {a: {}, a: {}}", ""),
    ("R4 route", "name: x\nroutes: {a: {weight: 100%, weight: 100%}}", ""),
    ("R4 metadata", "name: x\nmetadata: {a: 1, a: 2}", ""),
    ("R4 JSON", "{\"name\": \"x\", \"port\": 0, \"port\": 0}", ""),
    // Chains (R12, R37).
    ("R12 a gateway that names itself", "name: x\nroutes: [x]", ""),
    ("R12 among others", "name: x\nroutes: [other, x]", ""),
    ("R12 two gateways", "name: back\nroutes: [forth]", ""),
    ("R12 three gateways", "name: third\nroutes: [first]", ""),
    ("R37 an http route to a tcp gateway", "name: x\nroutes: [bytes]", ""),
    // Held by others.
    ("R11 host of another gateway", "name: x\nvirtual_hosts: [held.example]", "held.example"),
    ("R11 host of another gateway, case", "name: x\nvirtual_hosts: [HELD.Example]", ""),
    ("R11 automatic host of another gateway", "name: x\nvirtual_hosts: [holder.vamp]", "holder.vamp"),
];

#[tokio::test(flavor = "multi_thread")]
async fn refused_documents() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("validation");
    assert_eq!(vamp.put("/routes/half", "name: half\nweight: 50%").await.status, 200);
    for document in [
        "name: holder\nvirtual_hosts: [held.example]\nroutes: [a]".to_owned(),
        format!("name: bytes\nport: {}/tcp\nroutes: ['[127.0.0.1:9]']", vamp.first_port + 50),
        // Both ends of these chains are missing, so that the row closes them.
        "name: forth\nroutes: [back]".to_owned(),
        "name: second\nroutes: [third]".to_owned(),
        "name: first\nroutes: [second]".to_owned(),
    ] {
        vamp.gateway(&document).await;
    }
    let before = vamp.get("/gateways").await.body;
    let gist = |message: &str, parts: &str| {
        let message = message.to_lowercase();
        parts.split('…').all(|part| message.contains(part))
    };
    for (rule, document, parts) in REFUSED {
        let answer = vamp.post("/gateways", document).await;
        let row = format!("{rule}: {document:?} says {parts:?}");
        let fine = answer.status == 400 && !answer.message().is_empty() && gist(answer.message(), parts);
        report.holds(&format!("{row}, POST"), fine, (answer.status, &answer.body));
        // The same document is refused by PUT and by a trial.
        let name = ["back", "third"]
            .into_iter()
            .find(|name| document.contains(&format!("name: {name}\n")))
            .unwrap_or("x");
        let answer = vamp.put(&format!("/gateways/{name}"), document).await;
        report.holds(
            &format!("{row}, PUT"),
            answer.status == 400 && !answer.message().is_empty(),
            (answer.status, &answer.body),
        );
        let answer = vamp.post("/gateways?validate_only=true", document).await;
        report.holds(&format!("{row}, validate_only"), answer.status == 400, (answer.status, &answer.body));
    }
    report.same("5 failures change nothing", vamp.get("/gateways").await.body, before);
    let events = vamp.get("/events?tag=gateways:x").await.body;
    report.same("R43 no event of a refused document", events, json!([]));
    report.finish();
}

/// Refusals that need another call than POST, exact texts of api 5 and 8.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_other_calls() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("other refusals");
    let port = vamp.first_port + 40;
    vamp.gateway(&format!("name: front\nport: {port}/http\nroutes: [a, b]")).await;
    vamp.gateway("name: other\nroutes: [a]").await;
    let before = vamp.get("/gateways").await.body;
    let in_use = |message: &str| {
        let message = message.to_lowercase();
        message.contains("gateway port") && message.contains("is/was in use by") && message.contains("front")
    };

    let answer = vamp
        .put("/gateways/front?validate_only=true", "name: front\nroutes: {a: {weight: 90%}, b: {weight: 5%}}")
        .await;
    report.same(
        "api 8 weights",
        (answer.status, answer.body["message"].clone()),
        (400, json!("Total route weight must be either 0% or 100%: front.")),
    );
    let answer = vamp.put("/gateways/front", "name: back").await;
    report.same(
        "api 8 name",
        (answer.status, answer.body["message"].clone()),
        (400, json!("Inconsistent name: given 'front' but found 'back'.")),
    );
    let answer = vamp.post("/gateways", "port: 1").await;
    report.same(
        "api 5 no name",
        (answer.status, answer.message()),
        (400, "Can't find any value for path: /name"),
    );
    let answer = vamp.post("/gateways", "name: x\nroutes: {a: {weigth: 50%}}").await;
    report.same(
        "api 5 unknown key",
        (answer.status, answer.message()),
        (400, "Unexpected in DSL: {\"weigth\":\"50%\"}"),
    );
    let answer = vamp.post("/gateways", "name: x\nselector: label(a)").await;
    report.same(
        "api 5 selector",
        (answer.status, answer.message().split('.').next()),
        (400, Some("Invalid selector: 'label(a)'")),
    );
    let answer = vamp.post("/gateways", "name: x\nroutes: {a: nobody}").await;
    report.same(
        "api 5 reference",
        (answer.status, answer.message()),
        (400, "Artifact cannot be found: 'nobody'."),
    );

    let answer = vamp.post("/gateways", "name: front").await;
    report.holds(
        "R45 POST of an existing name",
        answer.status == 409 && !answer.message().is_empty(),
        (answer.status, &answer.body),
    );
    report.holds("R45 gist", answer.message().to_lowercase().contains("already exists"), &answer.body);
    for (rule, text) in
        [("", format!("{port}")), (" with its type", format!("{port}/http")), (" tcp", format!("{port}/tcp"))]
    {
        let answer = vamp.post("/gateways", &format!("name: x\nport: {text}")).await;
        report.holds(
            &format!("5 port in use{rule}"),
            answer.status == 400 && in_use(answer.message()),
            (answer.status, &answer.body),
        );
        let answer = vamp.post("/gateways?validate_only=true", &format!("name: x\nport: {text}")).await;
        report.holds(
            &format!("21 port in use{rule}, validate_only"),
            answer.status == 400,
            (answer.status, &answer.body),
        );
        let answer = vamp.put("/gateways/other", &format!("name: other\nport: {text}")).await;
        report.holds(
            &format!("R6 port in use{rule}, update"),
            answer.status == 400 && in_use(answer.message()),
            (answer.status, &answer.body),
        );
    }
    let answer = vamp.put("/gateways/front", &format!("name: front\nport: {port}\nroutes: [a, b]")).await;
    report.same("R6 a gateway's own port is no conflict", answer.status, 202);
    let answer =
        vamp.put("/gateways/front", &format!("name: front\nport: {port}/http\nroutes: [a, b]")).await;
    report.same("R6 and back", answer.status, 202);
    for (what, address) in [("API", vamp.api.trim_start_matches("http://")), ("shared listener", &vamp.hosts)]
    {
        let own = address.rsplit(':').next().unwrap();
        let answer = vamp.post("/gateways", &format!("name: x\nport: {own}")).await;
        report.holds(
            &format!("R6 port of the {what}"),
            answer.status == 400 && !answer.message().is_empty(),
            (answer.status, &answer.body),
        );
    }
    for (method, path, body) in [
        ("POST", "/api/v1/gateways", Some("name: a/b/c\nroutes: [a]")),
        ("PUT", "/api/v1/gateways/a/b/c", Some("name: a/b/c\nroutes: [a]")),
    ] {
        let answer = vamp.call(method, path, body, &[]).await;
        let gist = answer.message().to_lowercase().contains("internal deployment gateway");
        report.holds(
            &format!("1.4 {method} of an internal gateway"),
            answer.status == 400 && gist,
            (answer.status, &answer.body),
        );
    }
    // A chain that an update would close (R12).
    vamp.gateway("name: one\nroutes: [two]").await;
    vamp.gateway("name: two\nroutes: [three]").await;
    vamp.gateway("name: three\nroutes: [z]").await;
    for (rule, name, route) in [
        ("R12 back to the first", "three", "one"),
        ("R12 back to the second", "three", "two"),
        ("R12 itself", "three", "three"),
    ] {
        let answer =
            vamp.put(&format!("/gateways/{name}"), &format!("name: {name}\nroutes: [{route}]")).await;
        report.holds(
            rule,
            answer.status == 400 && !answer.message().is_empty(),
            (answer.status, &answer.body),
        );
    }
    // A diamond is no cycle.
    let answer = vamp.post("/gateways", "name: four\nroutes: [two, three]").await;
    report.same("R12 a diamond is no cycle", answer.status, 202);
    for name in ["one", "two", "three", "four"] {
        report.same("21 DELETE", vamp.delete(&format!("/gateways/{name}")).await.status, 202);
    }
    // Wording of the port may differ ("N" or "N/http"), so the documents are compared as they were before.
    report.same("5 failures change nothing", vamp.get("/gateways").await.body, before);
    report.finish();
}

/// What only looks wrong.
#[tokio::test(flavor = "multi_thread")]
async fn accepted_documents() {
    let vamp = Vamp::start_sized(&[], 100).await;
    let mut report = Report::new("accepted documents");
    let tcp = vamp.first_port + 80;
    let rows: Vec<(&str, String)> = [
        ("R11 upper case", "virtual_hosts: [A.Example]"),
        ("R11 one label", "virtual_hosts: [localhost]"),
        ("R11 digits", "virtual_hosts: [1.2.example]"),
        ("R11 hyphens", "virtual_hosts: [a--b.example]"),
        (
            "R11 label of 63",
            "virtual_hosts: [aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg.example]",
        ),
        ("11.1 all weights 0%", "routes: {a: {weight: 0%}, b: {weight: 0%}}"),
        ("1.2 strength 100%", "routes: {a: {condition: has header A, condition_strength: 100%}}"),
        ("9.4 routes next to a selector", "selector: 'false'\nroutes: {(a): {weight: 100%}}"),
        ("17 a gateway that does not exist yet", "routes: [nowhere]"),
        ("2 route path that looks like a group", "routes: {'(1.0),(b)': {}}"),
        ("10.4 the tutorial's condition", "routes: {a: {condition: hdr_sub(user-agent) Android}}"),
    ]
    .into_iter()
    .map(|(rule, text)| (rule, text.to_owned()))
    .chain(
        ["roundrobin", "static-rr", "leastconn", "first", "source", "random", "default"]
            .iter()
            .zip(tcp..)
            .map(|(balance, port)| {
                (
                    "R10 tcp balance",
                    format!("port: {port}/tcp\nroutes: {{'[127.0.0.1:9]': {{balance: {balance}}}}}"),
                )
            }),
    )
    .chain(
        ["HTTP", "Tcp"]
            .iter()
            .zip(tcp + 10..)
            .map(|(kind, port)| ("R7 type ignores case", format!("port: {port}/{kind}"))),
    )
    .collect();
    for (index, (rule, text)) in rows.iter().enumerate() {
        let answer = vamp.post("/gateways", &format!("name: ok{index}\n{text}")).await;
        report.holds(&format!("{rule}: {text}"), answer.status == 202, (answer.status, answer.body));
    }
    report.finish();
}
