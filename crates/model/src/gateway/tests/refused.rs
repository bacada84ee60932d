//! What is refused: code, message, path and place.

use super::*;

/// Exactly one problem, with this code, path and part of the message.
#[track_caller]
fn check(text: &str, code: &str, path: &str, part: &str) {
    let found = problems(text);
    assert_eq!(found.0.len(), 1, "{text}\n{:#?}", found.0);
    let problem = &found.0[0];
    assert_eq!((problem.code, problem.path.as_str()), (code, path), "{text}\n{problem:#?}");
    assert!(problem.message.contains(part), "{text}\n{}", problem.message);
    assert!(problem.position.is_some(), "{text}: no position");
}

#[test]
fn whole_documents() {
    for (text, code, path, part) in [
        ("5", "not-a-map", "", "Unexpected type for path '/'"),
        ("text", "not-a-map", "", "Unexpected type for path '/': expected a map but found 'text'"),
        ("[]", "not-a-map", "", "Unexpected type for path '/'"),
        ("[{name: a}, {name: b}]", "not-a-map", "", "Unexpected type for path '/'"),
        ("[[{name: a}]]", "not-a-map", "", "Unexpected type for path '/'"),
        ("null", "not-a-map", "", "Unexpected type for path '/'"),
        ("", "not-a-map", "/", "Unexpected type for path '/'"),
        ("---\n", "not-a-map", "/", "Unexpected type for path '/'"),
        ("name: a\n---\nname: b", "invalid-yaml", "/", "exactly one document"),
        ("name: [", "invalid-yaml", "", "Error: "),
        ("name: !Foo g", "invalid-yaml", "", "Error: tag"),
        (
            "name: g\nname: h",
            "duplicate-key",
            "/name",
            "Duplicate key 'name' at line 2, column 1, already given at line 1",
        ),
        ("name: g\nroutes: {a: {}, a: {}}", "duplicate-key", "/a", "Duplicate key 'a'"),
        ("{}", "missing-value", "/name", "Can't find any value for path: /name"),
        ("name: ~", "missing-value", "/name", "Can't find any value for path: /name"),
        ("port: 9070", "missing-value", "/name", "Can't find any value for path: /name"),
    ] {
        check(text, code, path, part);
    }
    assert_eq!(problems("{}").message(), "Can't find any value for path: /name");
}

#[test]
fn names_and_kinds() {
    for (text, code, path, part) in [
        ("name: ''", "illegal-name", "/name", "Unsupported gateway name: ''"),
        ("name: a b", "illegal-name", "/name", "Unsupported gateway name: 'a b'"),
        ("name: '['", "illegal-name", "/name", "Unsupported gateway name"),
        ("name: 'a]'", "illegal-name", "/name", "Unsupported gateway name"),
        ("name: '[a:1]'", "illegal-name", "/name", "Unsupported gateway name"),
        ("name: a/b/c/d/e", "illegal-name", "/name", "Unsupported gateway name"),
        ("name: /", "illegal-name", "/name", "Unsupported gateway name"),
        ("name: //", "illegal-name", "/name", "Unsupported gateway name"),
        ("name: \"a\\tb\"", "illegal-name", "/name", "Unsupported gateway name"),
        ("name: \"a\\u00a0b\"", "illegal-name", "/name", "Unsupported gateway name"),
        ("name: \"a\\0b\"", "illegal-name", "/name", "Unsupported gateway name"),
        ("name: [a]", "wrong-type", "/name", "Unexpected type for path 'name'"),
        ("name: {a: b}", "wrong-type", "/name", "Unexpected type for path 'name'"),
        (
            "name: g\nkind: blueprints",
            "inconsistent-kind",
            "/kind",
            "Inconsistent kind: given 'gateways' but found 'blueprints'.",
        ),
        ("name: g\nkind: Gateways", "inconsistent-kind", "/kind", "Inconsistent kind"),
        ("name: g\nkind: ''", "inconsistent-kind", "/kind", "Inconsistent kind"),
        ("name: g\nkind: [gateways]", "wrong-type", "/kind", "Unexpected type for path 'kind'"),
        ("name: g\nmetadata: x", "unsupported-metadata", "/metadata", "Unsupported metadata"),
        ("name: g\nmetadata: [a]", "unsupported-metadata", "/metadata", "Unsupported metadata"),
        ("name: g\nmetadata: 5", "unsupported-metadata", "/metadata", "Unsupported metadata"),
        ("name: g\nmetadata: ''", "unsupported-metadata", "/metadata", "Unsupported metadata"),
        (
            "name: g\nroutes: {a: {metadata: x}}",
            "unsupported-metadata",
            "/routes/a/metadata",
            "Unsupported metadata",
        ),
        ("name: g\nimport: base", "import", "/import", "Reference 'templates/base' cannot be resolved."),
        ("name: g\nimport: gateways/x", "import", "/import", "Reference 'gateways/x' cannot be resolved."),
    ] {
        check(text, code, path, part);
    }
}

#[test]
fn unknown_keys() {
    for (text, path, message) in [
        ("name: g\nweigth: 50%", "/weigth", r#"Unexpected in DSL: {"weigth":"50%"}"#),
        ("name: g\nroutes: {a: {weigth: 50%}}", "/routes/a/weigth", r#"Unexpected in DSL: {"weigth":"50%"}"#),
        ("name: g\nx: 1\ny: {z: [1, no]}", "/x", r#"Unexpected in DSL: {"x":1,"y":{"z":[1,"no"]}}"#),
        ("name: g\nx: ~", "/x", r#"Unexpected in DSL: {"x":null}"#),
        ("name: g\nPort: 9070", "/Port", r#"Unexpected in DSL: {"Port":9070}"#),
        (
            "name: g\nroutes: {a: {condition: {condition: host == x, foo: 1}}}",
            "/routes/a/condition/foo",
            r#"Unexpected in DSL: {"foo":1}"#,
        ),
        (
            "name: g\nroutes: {a: {rewrites: [{path: /x if path_beg /y, foo: 1}]}}",
            "/routes/a/rewrites/foo",
            r#"Unexpected in DSL: {"foo":1}"#,
        ),
        ("name: g\nservice: {host: h, port: 80, foo: 1}", "/service/foo", r#"Unexpected in DSL: {"foo":1}"#),
        ("{\"name\":\"g\",\"ports\":\"9070\"}", "/ports", r#"Unexpected in DSL: {"ports":"9070"}"#),
        (
            "name: g\nvirtual-hosts: [a.b]",
            "/virtual-hosts",
            r#"Unexpected in DSL: {"virtual-hosts":["a.b"]}"#,
        ),
        ("name: g\n<<: {port: 1}", "/<<", r#"Unexpected in DSL: {"<<":{"port":1}}"#),
    ] {
        check(text, "unexpected-element", path, message);
        assert_eq!(problems(text).message(), message);
    }
    let example = |text| problems(text).0[0].example.clone();
    assert_eq!(example("name: g\nroutes: {a: {weigth: 50%}}").as_deref(), Some(r#"weight: "50%""#));
    assert_eq!(example("name: g\nnonsense: 1"), None);
    // Two maps, two problems; one message that clients can parse.
    let two = problems("name: g\nx: 1\nroutes: {a: {y: 2}}\nport: abc");
    assert_eq!(two.0.len(), 3);
    assert_eq!(two.message(), r#"Unexpected in DSL: {"y":2,"x":1}"#);
    // Long values are not repeated.
    let long = problems(&format!("name: g\nx: {}", "y".repeat(100_000)));
    assert_eq!(long.message(), r#"Unexpected in DSL: {"x":"..."}"#);
}

#[test]
fn ports() {
    for (port, code, part) in [
        ("abc", "gateway-port-range", "Invalid gateway port: 'abc'"),
        ("8080/udp", "gateway-port-range", "Invalid gateway port: '8080/udp'"),
        ("abc/http", "gateway-port-range", "Invalid gateway port: 'abc/http'"),
        ("-1", "gateway-port-range", "Invalid gateway port: '-1'"),
        ("65536", "gateway-port-range", "Invalid gateway port: '65536'"),
        ("70000/tcp", "gateway-port-range", "Invalid gateway port"),
        ("99999999999999999999", "gateway-port-range", "Invalid gateway port"),
        ("90.5", "gateway-port-range", "Invalid gateway port"),
        ("''", "gateway-port-range", "Invalid gateway port"),
        ("9070/", "gateway-port-range", "Invalid gateway port"),
        ("/http", "gateway-port-range", "Invalid gateway port"),
        ("9070/http/x", "gateway-port-range", "Invalid gateway port"),
        ("+9070", "gateway-port-range", "Invalid gateway port"),
        ("0x10", "gateway-port-range", "Invalid gateway port"),
        ("[9070]", "wrong-type", "Unexpected type for path 'port'"),
        ("{number: 9070}", "wrong-type", "Unexpected type for path 'port'"),
        ("true", "wrong-type", "Unexpected type for path 'port'"),
    ] {
        check(&format!("name: g\nport: {port}"), code, "/port", part);
    }
    check("{\"name\":\"g\",\"port\":65536}", "gateway-port-range", "/port", "Invalid gateway port");
    check("{\"name\":\"g\",\"port\":1e3}", "gateway-port-range", "/port", "Invalid gateway port");
}

#[test]
fn sticky_and_virtual_hosts() {
    for (text, code, path, part) in [
        ("sticky: yes", "sticky-value", "/sticky", "Illegal routing sticky value: 'yes'"),
        ("sticky: true", "sticky-value", "/sticky", "Illegal routing sticky value: 'true'"),
        ("sticky: ''", "sticky-value", "/sticky", "Illegal routing sticky value"),
        ("sticky: service", "sticky-value", "/sticky", "Illegal routing sticky value"),
        ("target_protocol: h3", "target-protocol", "/target_protocol", "Illegal target protocol: 'h3'"),
        (
            "target_protocol: [http2]",
            "wrong-type",
            "/target_protocol",
            "Unexpected type for path 'target_protocol'",
        ),
        ("sticky: 1", "sticky-value", "/sticky", "Illegal routing sticky value"),
        ("sticky: [route]", "wrong-type", "/sticky", "Unexpected type for path 'sticky'"),
        ("sticky: {}", "wrong-type", "/sticky", "Unexpected type for path 'sticky'"),
        (
            "sticky: route\nport: 9070/tcp",
            "sticky-on-tcp",
            "/sticky",
            "Sticky sessions are not allowed for TCP port",
        ),
        (
            "sticky: instance\nport: 9070/TCP",
            "sticky-on-tcp",
            "/sticky",
            "Sticky sessions are not allowed for TCP port",
        ),
        (
            "virtual_hosts: 5",
            "virtual-hosts",
            "/virtual_hosts",
            "Illegal gateway virtual hosts, only a list of strings",
        ),
        (
            "virtual_hosts: {a: b}",
            "virtual-hosts",
            "/virtual_hosts",
            "Illegal gateway virtual hosts, only a list of strings",
        ),
        (
            "virtual_hosts: true",
            "virtual-hosts",
            "/virtual_hosts",
            "Illegal gateway virtual hosts, only a list of strings",
        ),
        (
            "virtual_hosts: [1]",
            "virtual-hosts",
            "/virtual_hosts",
            "Illegal gateway virtual hosts, only a list of strings",
        ),
        (
            "virtual_hosts: [a.b, ~]",
            "virtual-hosts",
            "/virtual_hosts",
            "Illegal gateway virtual hosts, only a list of strings",
        ),
        (
            "virtual_hosts: [[a.b]]",
            "virtual-hosts",
            "/virtual_hosts",
            "Illegal gateway virtual hosts, only a list of strings",
        ),
        (
            "virtual_hosts: [{a: b}]",
            "virtual-hosts",
            "/virtual_hosts",
            "Illegal gateway virtual hosts, only a list of strings",
        ),
        ("virtual_hosts: [a_b]", "virtual-hosts", "/virtual_hosts", "Illegal gateway virtual host 'a_b'"),
        ("virtual_hosts: ['']", "virtual-hosts", "/virtual_hosts", "Illegal gateway virtual host ''"),
        (
            "virtual_hosts: ['a.example:80']",
            "virtual-hosts",
            "/virtual_hosts",
            "Illegal gateway virtual host",
        ),
        ("virtual_hosts: ['*.example']", "virtual-hosts", "/virtual_hosts", "Illegal gateway virtual host"),
        (
            "virtual_hosts: http://a.example",
            "virtual-hosts",
            "/virtual_hosts",
            "Illegal gateway virtual host",
        ),
        ("virtual_hosts: a b", "virtual-hosts", "/virtual_hosts", "Illegal gateway virtual host"),
    ] {
        check(&format!("name: g\n{text}"), code, path, part);
    }
}

#[test]
fn selectors() {
    for text in [
        "",
        "nonsense",
        "label(a)",
        "label(a)(b) &&",
        "label(a)([)",
        "label((a)(b))(c)",
        "label(a)((x)-(y))",
        "image(",
        "port(x)",
    ] {
        let message = format!("Invalid selector: '{text}'.");
        check(&format!("name: g\nselector: '{text}'"), "selector", "/selector", &message);
        check(
            &format!("name: g\nroutes: {{a: {{selector: '{text}'}}}}"),
            "selector",
            "/routes/a/selector",
            &message,
        );
    }
    check("name: g\nselector: [a]", "wrong-type", "/selector", "Unexpected type for path 'selector'");
    let found = problems("name: g\nselector: lable(app)(x)");
    assert_eq!(found.0[0].position.map(|p| (p.line, p.column)), Some((2, 11)));
    check(
        "name: g\nroutes: {a/b: {selector: label(a)(b)}}",
        "route-selector",
        "/routes/a/b/selector",
        "If route selector is defined, path must not contain '/'",
    );
    check(
        "name: g\nroutes: {\"[a:1]\": {selector: label(a)(b)}}",
        "route-selector",
        "/routes/[a:1]/selector",
        "Selector cannot be defined for an external target",
    );
}

#[test]
fn route_paths() {
    for path in ["", "/", "a/b/c/d/e", "a b", "a[b", "a]", "[", "[]", "]", "[a:1", "a:1]", "a/[b:1]", "a\tb"]
    {
        let key = serde_json::to_string(path).unwrap();
        let found = problems(&format!("name: g\nroutes: {{{key}: {{}}}}"));
        assert_eq!(found.0[0].code, "route-path", "{path}");
        assert!(found.message().contains("Unsupported route path"), "{path}: {}", found.message());
        let listed = problems(&format!("name: g\nroutes: [{key}]"));
        assert_eq!(listed.0[0].code, "route-path", "{path}");
    }
    for address in [
        "x",
        "localhost",
        "localhost:",
        ":80",
        "localhost:0",
        "localhost:65536",
        "localhost:http",
        "localhost:80/path",
        "10.0.0.1",
        "10.0.0.256:80",
        "10.0.0:80",
        "::1",
        "::1:80",
        "[::1]",
        "[::1]:0",
        "[zz]:80",
        "ftp://a:80",
        "a b:80",
        " a:80",
        "a:80 ",
        "a_b:80",
        "-a:80",
        "a..b:80",
        "http://",
        "http://a",
        "http://a:80/",
        "a:+80",
        "a:000080",
        "user@a:80",
    ] {
        let key = serde_json::to_string(&format!("[{address}]")).unwrap();
        let found = problems(&format!("name: g\nroutes: {{{key}: {{}}}}"));
        assert_eq!(found.0.len(), 1, "{address}");
        assert_eq!(found.0[0].code, "route-path", "{address}");
        assert!(found.message().contains("Unsupported route path"), "{address}: {}", found.message());
    }
    check("name: g\nroutes: [a, a]", "duplicate-key", "/routes/a", "Duplicate route path: 'a'");
    check(
        "name: g\nroutes: {a/b: {}, a//b: {}}",
        "duplicate-key",
        "/routes/a/b",
        "Duplicate route path: 'a/b'",
    );
    check("name: g\nroutes: [{a: {}}, {a: {}}]", "duplicate-key", "/routes/a", "Duplicate route path: 'a'");
}

#[test]
fn route_values() {
    for (routes, code, path, part) in [
        ("{x: }", "missing-value", "/routes/x", "Can't find any value for path: /routes/x"),
        ("{x: ~}", "missing-value", "/routes/x", "Can't find any value for path: /routes/x"),
        ("[{x: }]", "missing-value", "/routes/x", "Can't find any value for path: /routes/x"),
        ("{x: [a]}", "wrong-type", "/routes/x", "but found a list"),
        ("{x: ''}", "illegal-name", "/routes/x", "is no reference"),
        ("{x: a b}", "illegal-name", "/routes/x", "is no reference"),
        ("{x: a/b}", "illegal-name", "/routes/x", "is no reference"),
        ("[~]", "wrong-type", "/routes", "Unexpected type for path 'routes'"),
        ("[[a]]", "wrong-type", "/routes", "Unexpected type for path 'routes'"),
        (
            "{x: {name: y}}",
            "reference-or-inline",
            "/routes/x",
            "Either a reference or an anonymous inline definition",
        ),
        (
            "{x: {name: y, weight: 100%}}",
            "reference-or-inline",
            "/routes/x",
            "Either a reference or an anonymous inline definition",
        ),
        (
            "{x: {reference: y, weight: 100%}}",
            "reference-or-inline",
            "/routes/x",
            "Either a reference or an anonymous inline definition",
        ),
        (
            "{x: {reference: y, name: z}}",
            "reference-or-inline",
            "/routes/x",
            "Either a reference or an anonymous inline definition",
        ),
        (
            "{x: {reference: y, ref: z}}",
            "reference-or-inline",
            "/routes/x",
            "Either a reference or an anonymous inline definition",
        ),
        (
            "{x: {reference: [y]}}",
            "wrong-type",
            "/routes/x/reference",
            "Unexpected type for path 'reference'",
        ),
        ("{x: {reference: y z}}", "illegal-name", "/routes/x/reference", "is no reference"),
        (
            "{x: {kind: gateways}}",
            "inconsistent-kind",
            "/routes/x/kind",
            "Inconsistent kind: given 'routes' but found 'gateways'.",
        ),
        ("{x: {weight: 50}}", "wrong-type", "/routes/x/weight", "Unexpected type for path 'weight'"),
        ("{x: {weight: '50'}}", "wrong-type", "/routes/x/weight", "Unexpected type for path 'weight'"),
        ("{x: {weight: 0.5}}", "wrong-type", "/routes/x/weight", "Unexpected type for path 'weight'"),
        ("{x: {weight: 101%}}", "wrong-type", "/routes/x/weight", "Unexpected type for path 'weight'"),
        ("{x: {weight: -1%}}", "wrong-type", "/routes/x/weight", "Unexpected type for path 'weight'"),
        ("{x: {weight: 33.333%}}", "wrong-type", "/routes/x/weight", "Unexpected type for path 'weight'"),
        ("{x: {weight: a%}}", "wrong-type", "/routes/x/weight", "Unexpected type for path 'weight'"),
        ("{x: {weight: ''}}", "wrong-type", "/routes/x/weight", "Unexpected type for path 'weight'"),
        ("{x: {weight: [50%]}}", "wrong-type", "/routes/x/weight", "Unexpected type for path 'weight'"),
        ("{x: {weight: true}}", "wrong-type", "/routes/x/weight", "Unexpected type for path 'weight'"),
        (
            "{x: {condition_strength: 50}}",
            "wrong-type",
            "/routes/x/condition_strength",
            "Unexpected type for path 'condition_strength'",
        ),
        (
            "{x: {condition_strength: abc}}",
            "wrong-type",
            "/routes/x/condition_strength",
            "Unexpected type for path 'condition_strength'",
        ),
        (
            "{x: {condition_strength: {}}}",
            "wrong-type",
            "/routes/x/condition_strength",
            "Unexpected type for path 'condition_strength'",
        ),
        (
            "{x: {condition_strength: 101%}}",
            "condition-strength",
            "/routes/x/condition_strength",
            "Condition strength cannot be less than 0% or greater than 100%",
        ),
        (
            "{x: {condition_strength: -1%}}",
            "condition-strength",
            "/routes/x/condition_strength",
            "Condition strength cannot be less than 0% or greater than 100%",
        ),
        (
            "{x: {balance: nonsense}}",
            "balance",
            "/routes/x/balance",
            "Unsupported balance for http: 'nonsense'",
        ),
        ("{x: {balance: ''}}", "balance", "/routes/x/balance", "Unsupported balance"),
        (
            "{x: {balance: [roundrobin]}}",
            "wrong-type",
            "/routes/x/balance",
            "Unexpected type for path 'balance'",
        ),
        ("{x: {condition: nonsense}}", "condition", "/routes/x/condition", "Invalid condition: 'nonsense'."),
        (
            "{x: {condition: {condition: nonsense}}}",
            "condition",
            "/routes/x/condition/condition",
            "Invalid condition: 'nonsense'.",
        ),
        ("{x: {condition: < nosuch(x) y >}}", "condition", "/routes/x/condition", "Invalid condition"),
        ("{x: {condition: [a]}}", "wrong-type", "/routes/x/condition", "but found a list"),
        (
            "{x: {condition: {}}}",
            "missing-value",
            "/routes/x/condition/condition",
            "Can't find any value for path: /routes/x/condition/condition",
        ),
        (
            "{x: {condition: {name: n}}}",
            "reference-or-inline",
            "/routes/x/condition",
            "Either a reference or an anonymous inline definition",
        ),
        (
            "{x: {condition: {name: n, condition: host == x}}}",
            "reference-or-inline",
            "/routes/x/condition",
            "Either a reference or an anonymous inline definition",
        ),
        (
            "{x: {condition: {reference: n, condition: host == x}}}",
            "reference-or-inline",
            "/routes/x/condition",
            "Either a reference or an anonymous inline definition",
        ),
        (
            "{x: {rewrites: [{path: nonsense}]}}",
            "rewrite",
            "/routes/x/rewrites/path",
            "Unsupported path rewrite: 'nonsense'.",
        ),
        (
            "{x: {rewrites: {path: '/a if '}}}",
            "rewrite",
            "/routes/x/rewrites/path",
            "Unsupported path rewrite",
        ),
        (
            "{x: {rewrites: [{}]}}",
            "missing-value",
            "/routes/x/rewrites/path",
            "Can't find any value for path",
        ),
        ("{x: {rewrites: ['/a if path_beg /b']}}", "illegal-name", "/routes/x/rewrites", "is no reference"),
        (
            "{x: {rewrites: [{name: n, path: /a if path_beg /b}]}}",
            "reference-or-inline",
            "/routes/x/rewrites",
            "Either a reference or an anonymous inline definition",
        ),
        ("{x: {rewrites: [[a]]}}", "wrong-type", "/routes/x/rewrites", "but found a list"),
        ("{x: {rewrites: [~]}}", "wrong-type", "/routes/x/rewrites", "but found nothing"),
        ("{x: {selector: {}}}", "wrong-type", "/routes/x/selector", "Unexpected type for path 'selector'"),
    ] {
        check(&format!("name: g\nroutes: {routes}"), code, path, part);
    }
}

#[test]
fn weights() {
    for routes in [
        "{a: {weight: 50%}}",
        "{a: {weight: 50%}, b: {}}",
        "{a: {weight: 90%}, b: {weight: 5%}}",
        "{a: {weight: 60%}, b: {weight: 60%}}",
        "{a: {weight: 100%}, b: {weight: 100%}}",
        "{a: {weight: 99.99%}}",
        "{a: {weight: 33.33%}, b: {weight: 33.33%}, c: {weight: 33.33%}}",
        "[{a: {weight: 1%}}]",
    ] {
        let text = format!("name: front\nroutes: {routes}");
        check(&text, "weight", "/routes", "Total route weight must be either 0% or 100%: front.");
        assert_eq!(problems(&text).message(), "Total route weight must be either 0% or 100%: front.");
    }
    check(
        "name: g\nselector: true\nroutes: {\"(2.0.1)\": {weight: 50%}}",
        "weight",
        "/routes",
        "Total route weight",
    );
}

#[test]
fn tcp() {
    for (route, code, path, part) in [
        (
            "{condition: host == x}",
            "condition-on-tcp",
            "/routes/a/condition",
            "Condition is not allowed for TCP port",
        ),
        (
            "{condition: {reference: n}}",
            "condition-on-tcp",
            "/routes/a/condition",
            "Condition is not allowed for TCP port",
        ),
        (
            "{rewrites: [{path: /x if path_beg /y}]}",
            "rewrite-on-tcp",
            "/routes/a/rewrites",
            "Rewrites are not allowed for TCP port",
        ),
        ("{rewrites: [n]}", "rewrite-on-tcp", "/routes/a/rewrites", "Rewrites are not allowed for TCP port"),
        ("{balance: uri}", "balance", "/routes/a/balance", "Unsupported balance for tcp: 'uri'"),
        ("{balance: hdr(a)}", "balance", "/routes/a/balance", "Unsupported balance for tcp"),
        ("{balance: url_param a}", "balance", "/routes/a/balance", "Unsupported balance for tcp"),
    ] {
        check(&format!("name: g\nport: 9070/tcp\nroutes: {{a: {route}}}"), code, path, part);
        document(&format!("name: g\nport: 9070/http\nroutes: {{a: {route}}}"));
    }
}

#[test]
fn services() {
    for (service, code, path) in [
        ("x", "wrong-type", "/service"),
        ("[]", "wrong-type", "/service"),
        ("{host: h}", "missing-value", "/service/port"),
        ("{port: 80}", "missing-value", "/service/host"),
        ("{host: h, port: x}", "gateway-port-range", "/service/port"),
        ("{host: [h], port: 80}", "wrong-type", "/service/host"),
        ("{host: h, port: ~}", "missing-value", "/service/port"),
    ] {
        check(&format!("name: g\nservice: {service}"), code, path, "");
    }
    assert_eq!(problems("name: g\nservice: {}").0.len(), 2);
}

#[test]
fn everything_at_once_with_places() {
    let found = problems(
        "name: a b\nport: abc\nsticky: x\nroutes:\n  a: {weight: 50}\n  \"[x]\": {}\n  c: {condition: 'host == x and nonsense', wieght: 1%}\n",
    );
    let places: Vec<_> =
        found.0.iter().map(|p| (p.code, p.path.as_str(), p.position.map_or(0, |at| at.line))).collect();
    assert_eq!(
        places,
        [
            ("illegal-name", "/name", 1),
            ("gateway-port-range", "/port", 2),
            ("sticky-value", "/sticky", 3),
            ("wrong-type", "/routes/a/weight", 5),
            ("route-path", "/routes/[x]", 6),
            ("condition", "/routes/c/condition", 7),
            ("unexpected-element", "/routes/c/wieght", 7),
        ]
    );
    let weight = &found.0[3];
    assert_eq!(weight.example.as_deref(), Some("weight: 50%"));
    assert_eq!(weight.position.map(|p| p.column), Some(15));
    // A place inside a text.
    assert!(found.0[5].position.map(|p| p.column) > Some(18));
}

#[test]
fn many_problems_are_bounded() {
    let routes: Vec<String> = (0..5_000).map(|i| format!("r{i}: {{weight: 50}}")).collect();
    let found = problems(&format!("name: g\nroutes: {{{}}}", routes.join(", ")));
    assert_eq!(found.0.len(), 100);
    assert!(found.message().len() < 5_000);
    let long = problems(&format!("name: {}", "a b".repeat(100_000)));
    assert!(long.message().len() < 1_000);
}

#[test]
fn hostile_documents_fail_fast() {
    let routes =
        |count: usize, value: &str| -> String { (0..count).map(|i| format!("  r{i}: {value}\n")).collect() };
    for (text, part) in [
        (format!("name: g\nroutes:\n{}", routes(6_000, "{}")), "Too many routes"),
        (
            format!(
                "name: g\nmetadata: {{x: &s {{selector: \"label(a)((?:x{{50}}){{20}})\"}}}}\nroutes:\n{}",
                routes(20_000, "*s")
            ),
            "Too many routes",
        ),
        (format!("name: g\nroutes: {{a: {{rewrites: [{}]}}}}", "n,".repeat(20_000)), "Too many rewrites"),
        (format!("name: g\nselector: {}", "(".repeat(500_000)), "Invalid selector"),
        (format!("name: g\nroutes: {{a: {{condition: '{}'}}}}", "not ".repeat(200_000)), "Invalid condition"),
        (
            format!(
                "name: g\nvirtual_hosts: [{}]",
                (0..50_000).map(|i| format!("h{i},")).collect::<String>()
            ),
            "virtual hosts",
        ),
        (
            format!("name: g\n{}", (0..40_000).map(|i| format!("k{i}: 1\n")).collect::<String>()),
            "Unexpected in DSL",
        ),
        (format!("name: {}", "a/".repeat(400_000)), "Unsupported gateway name"),
        (format!("name: g\nport: {}", "9".repeat(500_000)), "Invalid gateway port"),
    ] {
        let started = std::time::Instant::now();
        let message = problems(&text).message();
        assert!(message.contains(part), "{message}");
        assert!(message.len() < 3_000, "{}", message.len());
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "{part}: {:?}", started.elapsed());
    }
    document(&format!("name: g\nroutes:\n{}", routes(1_500, "{selector: label(a)(b)}")));
}
