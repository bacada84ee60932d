//! What is accepted, and what it means.

use serde_json::json;

use super::*;
use crate::port::Protocol;

/// Both texts are the same document.
#[track_caller]
fn same(short: &str, expanded: &str) {
    assert_eq!(document(short), document(expanded), "{short}");
}

/// The same for the part of a document that follows its name.
#[track_caller]
fn same_part(short: &str, expanded: &str) {
    same(&format!("name: g\n{short}\n"), &format!("name: g\n{expanded}\n"));
}

#[test]
fn short_forms() {
    for (short, expanded) in [
        // Section 3, row by row.
        ("routes: sava/web", "routes: {\"sava/web\": {}}"),
        ("routes: [a, b/c]", "routes: {a: {}, \"b/c\": {}}"),
        ("routes: [{a: {weight: 50%}}, {b: {weight: 50%}}]", "routes: {a: {weight: 50%}, b: {weight: 50%}}"),
        ("routes: [{a: {weight: 50%}, b: {weight: 50%}}]", "routes: {a: {weight: 50%}, b: {weight: 50%}}"),
        ("routes: [a, {b: {balance: uri}}, c]", "routes: {a: {}, b: {balance: uri}, c: {}}"),
        ("routes: {a: my-route}", "routes: {a: {reference: my-route}}"),
        ("routes: {a: {ref: my-route}}", "routes: {a: {reference: my-route}}"),
        ("routes: [{a: my-route}]", "routes: {a: {reference: my-route}}"),
        ("routes: {a: 1.0}", "routes: {a: {reference: '1.0'}}"),
        ("virtual_hosts: one.example", "virtual_hosts: [one.example]"),
        ("sticky: none", ""),
        ("sticky: ~", ""),
        ("sticky:", ""),
        ("sticky: null", ""),
        ("routes: {a: {condition: host == x}}", "routes: {a: {condition: {condition: host == x}}}"),
        ("routes: {a: {condition: {ref: n}}}", "routes: {a: {condition: {reference: n}}}"),
        ("routes: {a: {condition: ''}}", "routes: {a: {}}"),
        ("routes: {a: {condition: '  '}}", "routes: {a: {}}"),
        ("routes: {a: {condition: {condition: ''}}}", "routes: {a: {}}"),
        ("routes: {a: {condition: ~}}", "routes: {a: {}}"),
        (
            "routes: {a: {rewrites: {path: /p if path_beg /c}}}",
            "routes: {a: {rewrites: [{path: /p if path_beg /c}]}}",
        ),
        ("routes: {a: {rewrites: [name]}}", "routes: {a: {rewrites: [{reference: name}]}}"),
        ("routes: {a: {rewrites: [{ref: name}]}}", "routes: {a: {rewrites: [{reference: name}]}}"),
        ("routes: {a: {rewrites: name}}", "routes: {a: {rewrites: [{reference: name}]}}"),
        ("routes: {a: {rewrites: ~}}", "routes: {a: {}}"),
        ("routes: {a: {rewrites: []}}", "routes: {a: {}}"),
        ("selector: ~", ""),
        ("selector:", ""),
        ("port: 9070", "port: '9070'"),
        // Null counts as absent.
        ("metadata: ~", "metadata: {}"),
        ("port: ~", ""),
        ("port:", ""),
        ("routes: ~", "routes: {}"),
        ("routes: []", "routes: {}"),
        ("virtual_hosts: ~", "virtual_hosts: []"),
        ("service: ~", ""),
        ("kind: ~", ""),
        (
            "routes: {a: {weight: ~, balance: ~, selector: ~, metadata: ~, condition_strength: ~}}",
            "routes: {a: {}}",
        ),
        // Kinds, plural and singular (R1).
        ("kind: gateways", ""),
        ("kind: gateway", ""),
        ("routes: {a: {kind: routes}}", "routes: {a: {}}"),
        ("routes: {a: {kind: route}}", "routes: {a: {}}"),
        ("routes: {a: {name: ''}}", "routes: {a: {}}"),
        ("routes: {a: {name: ~}}", "routes: {a: {}}"),
        (
            "routes: {a: {condition: {kind: condition, condition: host == x}}}",
            "routes: {a: {condition: host == x}}",
        ),
        // Words.
        ("sticky: ROUTE", "sticky: route"),
        ("sticky: Instance", "sticky: instance"),
        ("routes: {a: {balance: default}}", "routes: {a: {}}"),
        // Paths: empty segments are dropped.
        ("routes: {a//b: {}}", "routes: {a/b: {}}"),
        ("routes: {/a/b/: {}}", "routes: {a/b: {}}"),
        // Unquoted external addresses are lists to YAML.
        ("routes:\n  [localhost:5050]: {weight: 100%}", "routes: {\"[localhost:5050]\": {weight: 100%}}"),
        (
            "routes:\n  [192.168.99.100:5050]: {}\n  [localhost:5050]: {}",
            "routes: ['[192.168.99.100:5050]', '[localhost:5050]']",
        ),
        ("routes:\n  [[::1]:8080]: {}", "routes: {\"[[::1]:8080]\": {}}"),
        ("routes:\n  9050: {}", "routes: {\"9050\": {}}"),
        ("routes:\n  1.0: {}", "routes: {\"1.0\": {}}"),
        // Hosts: lower case, once each.
        ("virtual_hosts: [A.Example, a.example]", "virtual_hosts: [a.example]"),
        // Blanks around a percentage.
        ("routes: {a: {weight: ' 100 % '}}", "routes: {a: {weight: 100%}}"),
        ("routes: {a: {weight: 100.00%}}", "routes: {a: {weight: 100%}}"),
    ] {
        same_part(short, expanded);
    }
}

#[test]
fn server_owned_fields_are_ignored() {
    for field in [
        "lookup_name: 8f0c",
        "internal: false",
        "internal: nonsense",
        "deployed: true",
        "deployed: nonsense",
        "proxy: {a: 1}",
        "targets: []",
        "status: x",
        "instances: []",
        "health: {}",
        "since: x",
        "phase: {}",
    ] {
        same_part(field, "");
        same_part(&format!("routes: {{a: {{{field}}}}}"), "routes: {a: {}}");
    }
    same_part("routes: {a: {targets: [{url: '10.1.0.7:8080'}]}}", "routes: {a: {}}");
    same_part("routes: {a: {lookup_name: 51aa}}", "routes: {a: {}}");
}

#[test]
fn json_and_yaml_are_equal() {
    same(
        "name: front\nport: 9070/http\nsticky: route\nroutes:\n  \"[10.1.0.7:8080]\": {weight: 90%}\n  \
         \"[10.1.0.8:8080]\": {weight: 10%, condition: \"User-Agent == Firefox\"}\n",
        "{\"name\":\"front\",\"port\":\"9070/http\",\"sticky\":\"route\",\"routes\":{\"[10.1.0.7:8080]\":{\"weight\":\"90%\"},\
         \"[10.1.0.8:8080]\":{\"weight\":\"10%\",\"condition\":\"User-Agent == Firefox\"}}}",
    );
    same("- name: g", "name: g");
    same("[{\"name\": \"g\"}]", "name: g");
    same("---\nname: g\n---\n", "name: g");
}

#[test]
fn names() {
    for (text, name) in [
        ("a", "a"),
        ("a/b", "a/b"),
        ("a/b/c", "a/b/c"),
        ("a/b/c/d", "a/b/c/d"),
        ("a//b", "a/b"),
        ("/a", "a"),
        ("a/", "a"),
        ("sava:1.0/9050", "sava:1.0/9050"),
        ("1.0", "1.0"),
        ("1.10", "1.10"),
        ("0123", "0123"),
        ("NO", "NO"),
        ("true", "true"),
        ("5", "5"),
        ("my_gw", "my_gw"),
        ("shöp", "shöp"),
        ("'(x)'", "(x)"),
        ("a,b;c=d", "a,b;c=d"),
    ] {
        assert_eq!(document(&format!("name: {text}")).name.as_str(), name, "{text}");
    }
}

#[test]
fn ports() {
    for (text, shown, protocol) in [
        ("9070", "9070", Protocol::Http),
        ("'9070'", "9070", Protocol::Http),
        ("9070/http", "9070/http", Protocol::Http),
        ("9070/tcp", "9070/tcp", Protocol::Tcp),
        ("9070/HTTP", "9070/http", Protocol::Http),
        ("9070/Tcp", "9070/tcp", Protocol::Tcp),
        ("1", "1", Protocol::Http),
        ("65535", "65535", Protocol::Http),
        ("0", "0", Protocol::Http),
        ("0/http", "0/http", Protocol::Http),
    ] {
        let port = document(&format!("name: g\nport: {text}")).port.unwrap();
        assert_eq!((port.to_string().as_str(), port.protocol()), (shown, protocol), "{text}");
    }
    assert_eq!(document("{\"name\": \"g\", \"port\": 9070}").port.unwrap().number(), 9070);
    assert_eq!(document("name: g").port, None);
}

#[test]
fn percentages() {
    for (text, shown) in [
        ("0%", "0%"),
        ("1%", "1%"),
        ("100%", "100%"),
        ("050%", "50%"),
        ("50 %", "50%"),
        ("0.5%", "0.5%"),
        ("0.50%", "0.5%"),
        ("99.95%", "99.95%"),
        ("12.05%", "12.05%"),
        ("33.00%", "33%"),
        (" 7% ", "7%"),
        ("\t7%", "7%"),
    ] {
        assert_eq!(Percent::parse(text).map(|p| p.to_string()), Ok(shown.to_owned()), "{text}");
    }
    for text in [
        "", "%", "50", "5 0%", "50%%", "%50", "a%", ".5%", "5.%", "0.555%", "1e2%", "+5%", "50 % x", "5,5%",
        "٥%", "-%",
    ] {
        assert_eq!(Percent::parse(text), Err(crate::percent::PercentError::NotAPercentage), "{text}");
    }
    for text in ["101%", "100.01%", "1000%", "-5%", "-0.5%", "999999999999999999999%"] {
        assert_eq!(Percent::parse(text), Err(crate::percent::PercentError::OutOfRange), "{text}");
    }
}

#[test]
fn balances() {
    for text in [
        "default",
        "roundrobin",
        "static-rr",
        "leastconn",
        "first",
        "source",
        "uri",
        "url_param userid",
        "hdr(User-Agent)",
        "random",
    ] {
        let balance = Balance::parse(text).unwrap();
        assert_eq!(balance.to_string(), text);
        assert_eq!(route(&format!("name: g\nroutes: {{a: {{balance: {text}}}}}")).balance, balance);
        let tcp = GatewayDocument::read(&format!("name: g\nport: 9/tcp\nroutes: {{a: {{balance: {text}}}}}"));
        let http_only = ["uri", "url_param userid", "hdr(User-Agent)"].contains(&text);
        assert_eq!(tcp.is_ok(), !http_only, "{text}");
    }
    assert_eq!(Balance::parse("url_param   id ").unwrap(), Balance::UrlParameter("id".into()));
    assert_eq!(Balance::parse("hdr( host )").unwrap(), Balance::Header("host".into()));
    for text in [
        "",
        "x",
        "RoundRobin",
        "url_param",
        "url_param ",
        "url_param a b",
        "hdr()",
        "hdr",
        "hdr(a b)",
        "hdr(a",
        "uri depth 2",
    ] {
        assert!(Balance::parse(text).is_err(), "{text}");
    }
}

#[test]
fn everything_that_a_route_holds() {
    let route = route(
        "name: g\nroutes:\n  a:\n    weight: 0.5%\n    condition: User-Agent == Firefox\n    condition_strength: 10%\n    \
         balance: leastconn\n    rewrites: [{path: \"/v2%[path] if path_beg /api\"}, stored]\n    selector: label(a)(b)\n    \
         metadata: {title: T, deep: {list: [1, yes, 0123]}}\n  b: {weight: 99.50%}\n",
    );
    assert_eq!(route.weight, Some(percent("0.5%")));
    assert!(
        matches!(&route.condition, Some(ConditionEntry::Inline(c)) if c.text() == "User-Agent == Firefox")
    );
    assert_eq!(route.condition_strength, Some(percent("10%")));
    assert_eq!(route.balance, Balance::LeastConnections);
    assert!(
        matches!(&route.rewrites[0], RewriteEntry::Inline(r) if r.text() == "/v2%[path] if path_beg /api")
    );
    assert_eq!(route.rewrites[1], RewriteEntry::Reference("stored".into()));
    assert_eq!(route.selector.unwrap().text(), "label(a)(b)");
    assert_eq!(json!(route.metadata), json!({"title": "T", "deep": {"list": [1, "yes", "0123"]}}));
}

#[test]
fn order_of_routes_is_kept() {
    let paths = |text: &str| -> Vec<String> {
        document(text).routes.iter().map(|(path, _)| path.to_string()).collect()
    };
    let expected = ["z", "a", "m", "b", "y", "c", "x"];
    assert_eq!(paths("name: g\nroutes: [z, a, m, b, y, c, x]"), expected);
    assert_eq!(paths("name: g\nroutes: {z: {}, a: {}, m: {}, b: {}, y: {}, c: {}, x: {}}"), expected);
    assert_eq!(
        paths("{\"name\":\"g\",\"routes\":{\"z\":{},\"a\":{},\"m\":{},\"b\":{},\"y\":{},\"c\":{},\"x\":{}}}"),
        expected
    );
    assert_eq!(paths("name: g\nroutes: [{z: {}}, a, {m: {}, b: {}}, y, c, x]"), expected);
}

#[test]
fn weights_that_add_up() {
    for routes in [
        "{a: {weight: 100%}}",
        "{a: {weight: 0%}}",
        "{a: {}}",
        "{}",
        "{a: {weight: 100%}, b: {}}",
        "{a: {weight: 0%}, b: {}, c: {}}",
        "{a: {weight: 0%}, b: {weight: 0%}}",
        "{a: {weight: 50%}, b: {weight: 50%}}",
        "{a: {weight: 0.5%}, b: {weight: 99.5%}}",
        "{a: {weight: 33.33%}, b: {weight: 33.33%}, c: {weight: 33.34%}}",
        // With a reference the sum is only known later.
        "{a: {weight: 50%}, b: stored}",
    ] {
        document(&format!("name: g\nroutes: {routes}"));
    }
}

#[test]
fn metadata_and_service() {
    let g = document(
        "name: g\nmetadata: {release.vamp.io/policy: p, release.vamp.io/current: \"(1.0.0)\", a: {b: [1, 2.5, null, true]}}\n\
         service: {host: 10.0.117.255, port: 32036/http}\n",
    );
    let expected = json!({
        "release.vamp.io/policy": "p", "release.vamp.io/current": "(1.0.0)", "a": {"b": [1, 2.5, null, true]}
    });
    assert_eq!(json!(g.metadata), expected);
    let service = g.service.unwrap();
    assert_eq!((service.host.as_str(), service.port.to_string().as_str()), ("10.0.117.255", "32036/http"));
    assert_eq!(document("name: g\nservice: {host: h, port: 80}").service.unwrap().port.number(), 80);
}

#[test]
fn tcp_gateways() {
    document(
        "name: g\nport: 9/tcp\nroutes: {a: {weight: 100%, condition: ~, condition_strength: 0%, rewrites: []}}",
    );
    document("name: g\nport: 9/tcp\nsticky: none");
    document("name: g\nport: 9/tcp\nvirtual_hosts: [a.example]");
    document("name: g\nport: 9/tcp\nselector: label(a)(b)");
}

#[test]
fn selectors_next_to_routes() {
    let g = document(
        "name: g\nselector: label(app)(x) && label(version)((.*))\nroutes:\n  \"(1.0.3)\": {weight: 50%}\n  \
         \"(1.0.5),(IE)\": {weight: 50%, selector: label(a)(b)}\n",
    );
    assert_eq!(g.routes.len(), 2);
    assert_eq!(document("name: g\nselector: true").selector.unwrap().text(), "true");
    assert_eq!(document("name: g\nselector: 1").selector.unwrap().text(), "1");
    document("name: g\nroutes: {a: {selector: label(a)(b)}}");
}

#[test]
fn the_document_of_the_tutorial() {
    let g = document(
        "name: sava-product\nport: 9070\nselector: label(app)(sava-product) && label(version)((.*))\n",
    );
    assert_eq!(g.name.as_str(), "sava-product");
    assert_eq!(g.port.unwrap().to_string(), "9070");
    assert!(g.routes.is_empty());
}
