//! Selectors (gateways 8, 9.1, R15 to R20, 18.3): which candidates a text finds and how they are grouped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};

use super::{Report, pause};
use crate::harness::{PATIENCE, Vamp};

/// A pod of the fixed inventory. Number n has the address 127.77.0.n.
fn pod(number: u8, namespace: &str, labels: &Value, containers: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{number}"), "namespace": namespace, "labels": labels},
        "spec": {"containers": containers},
        "status": {"phase": "Running", "podIP": format!("127.77.0.{number}"), "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// A pod with one container and one port.
fn plain(number: u8, labels: &Value, container: &str, image: &str, port: u16) -> Value {
    pod(
        number,
        "default",
        labels,
        &json!([{"name": container, "image": image, "ports": [{"containerPort": port}]}]),
    )
}

fn service(number: u8, name: &str, namespace: &str, labels: &Value, ports: &[(u16, &str)]) -> Value {
    let ports: Vec<Value> = ports
        .iter()
        .map(|(port, protocol)| json!({"name": format!("p{port}"), "port": port, "targetPort": 8080, "protocol": protocol}))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"clusterIP": format!("127.78.0.{number}"), "selector": {"app": "product"}, "ports": ports},
    })
}

/// The fixed inventory as one `List`.
pub(super) fn inventory() -> String {
    let product = |version: &str| json!({"app": "product", "version": version, "tier": "web"});
    let cart = |version: &str, locale: &str| json!({"app": "cart", "version": version, "locale": locale});
    let mut items = vec![
        plain(1, &product("1.0.3"), "web", "example/product:1.0.3", 8080),
        plain(2, &product("1.0.3"), "web", "example/product:1.0.3", 8080),
        plain(3, &product("2.0.1"), "web", "example/product:2.0.1", 8080),
        plain(4, &cart("1.0.5", "IE"), "cart", "example/cart:1.0.5", 3000),
        plain(5, &cart("1.0.5", "UK"), "cart", "example/cart:1.0.5", 3000),
        plain(6, &cart("1.0.10", "UK"), "cart", "example/cart:1.0.10", 3000),
        pod(
            7,
            "default",
            &json!({"app": "multi", "version": "1"}),
            &json!([
                {"name": "main", "image": "example/multi:1", "ports": [
                    {"containerPort": 8080}, {"containerPort": 9090, "protocol": "TCP"}, {"containerPort": 5353, "protocol": "UDP"}]},
                {"name": "sidecar", "image": "example/side:3", "ports": [{"containerPort": 15000}]},
            ]),
        ),
        pod(
            8,
            "shop",
            &product("9.0"),
            &json!([{"name": "web", "image": "example/product:9.0", "ports": [{"containerPort": 8080}]}]),
        ),
        plain(11, &json!({}), "plain", "example/plain:1", 7000),
        pod(
            16,
            "default",
            &json!({"app": "noport"}),
            &json!([{"name": "noport", "image": "example/noport:1"}]),
        ),
        plain(18, &json!({"app": "order", "b-x": "2", "a-x": "1"}), "order", "example/order:1", 8080),
        plain(19, &json!({"app": "opt", "version": "1"}), "opt", "example/opt:1", 8080),
        plain(20, &json!({"app": "opt", "version": "1.5"}), "opt", "example/opt:1", 8080),
        plain(21, &json!({"app": "swap", "a": "1", "b": "2"}), "swap", "example/swap:1", 8080),
        plain(22, &json!({"app": "swap", "a": "2", "b": "1"}), "swap", "example/swap:1", 8080),
        plain(23, &json!({"app": "twin", "a": "x", "b": "x"}), "twin", "example/twin:1", 8080),
        plain(
            24,
            &json!({"app": "odd", "example.com/part-of": "suite", "team": "Blue"}),
            "odd",
            "registry.example:5000/odd:1",
            8080,
        ),
        service(1, "product-svc", "default", &json!({"app": "product", "version": "1.0.3"}), &[(80, "TCP")]),
        service(3, "managed", "default", &json!({"io.vamp": "gateway", "app": "product"}), &[(80, "TCP")]),
        service(4, "two", "default", &json!({"app": "two"}), &[(80, "TCP"), (443, "TCP"), (53, "UDP")]),
        service(5, "product-svc", "shop", &json!({"app": "product"}), &[(80, "TCP")]),
    ];
    let mut unready = plain(9, &json!({"app": "lazy", "version": "1"}), "lazy", "example/lazy:1", 8080);
    unready["status"]["conditions"][0]["status"] = json!("False");
    let mut sick = plain(10, &product("1.0.3"), "web", "example/product:1.0.3", 8080);
    sick["status"]["conditions"][0]["status"] = json!("False");
    let mut leaving = plain(12, &json!({"app": "leaving"}), "leaving", "example/leaving:1", 8080);
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut done = plain(13, &json!({"app": "done"}), "done", "example/done:1", 8080);
    done["status"]["phase"] = json!("Succeeded");
    let mut failed = plain(14, &json!({"app": "done"}), "done", "example/done:1", 8080);
    failed["status"]["phase"] = json!("Failed");
    let mut waiting = plain(15, &json!({"app": "noip"}), "noip", "example/noip:1", 8080);
    waiting["status"] = json!({"phase": "Pending"});
    let mut side = plain(17, &json!({"app": "side"}), "app", "example/app:1", 8080);
    side["spec"]["initContainers"] = json!([{"name": "proxy", "image": "example/side:3", "restartPolicy": "Always", "ports": [{"containerPort": 7777}]}]);
    side["spec"]["ephemeralContainers"] =
        json!([{"name": "debug", "image": "example/debug:1", "ports": [{"containerPort": 9999}]}]);
    let mut headless = service(2, "headless", "default", &json!({"app": "product"}), &[(80, "TCP")]);
    headless["spec"]["clusterIP"] = json!("None");
    items.extend([unready, sick, leaving, done, failed, waiting, side, headless]);
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// `7:8080` is port 8080 of pod 7, `s4:443` port 443 of Service 4.
fn address(short: &str) -> String {
    match short.strip_prefix('s') {
        Some(service) => format!("127.78.0.{service}"),
        None => format!("127.77.0.{short}"),
    }
}

/// Route paths with their targets, in any order.
pub(super) type Groups = BTreeMap<String, BTreeSet<String>>;

/// Reads `(1.0.5) 4:3000 5:3000; (1.0.10) 6:3000`; targets without a port are those of port 8080.
fn groups(text: &str) -> Groups {
    let target = |short: &str| match short.contains(':') {
        true => address(short),
        false => format!("{}:8080", address(short)),
    };
    text.split("; ")
        .filter(|group| !group.is_empty())
        .map(|group| {
            let mut words = group.split(' ');
            let name = words.next().unwrap_or_default().to_owned();
            (name, words.map(target).collect())
        })
        .collect()
}

/// The routes of a gateway as groups.
pub(super) fn seen(gateway: &Value) -> Groups {
    let routes = gateway["routes"].as_object().cloned().unwrap_or_default();
    routes
        .iter()
        .map(|(path, route)| {
            let targets = route["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
            (path.clone(), targets.iter().map(|t| t["url"].as_str().unwrap_or("?").to_owned()).collect())
        })
        .collect()
}

const PRODUCTS: &str = "() 1 2 3 8";
const CARTS: &str = "() 4:3000 5:3000 6:3000";
const EVERYTHING: &str = "() 1 2 3 4:3000 5:3000 6:3000 7:8080 7:9090 7:15000 8 17 18 19 20 21 22 23 24";

/// Rule, selector, routes with their targets.
const FOUND: &[(&str, &str, &str)] = &[
    // Constants (8.1: any case; 8.3).
    ("8.1 true", "true", EVERYTHING),
    ("8.1 TRUE", "TRUE", EVERYTHING),
    ("8.1 t", "t", EVERYTHING),
    ("8.1 T", "T", EVERYTHING),
    ("8.1 1", "1", EVERYTHING),
    ("8.1 false", "false", ""),
    ("8.1 False", "False", ""),
    ("8.1 f", "f", ""),
    ("8.1 0", "0", ""),
    ("8.3 not false", "!false", EVERYTHING),
    ("8.3 true and", "true && label(app)(cart)", CARTS),
    ("8.3 false or", "0 || label(app)(cart)", CARTS),
    // Labels (8.2: whole text, case-sensitive, some label).
    ("8.2 label", "label(app)(product)", PRODUCTS),
    ("8.2 label, key is a pattern", "label(ap.)(product)", PRODUCTS),
    ("8.2 label, any key", "label(.*)(product)", PRODUCTS),
    ("8.2 label, any key, other value", "label(.*)(IE)", "() 4:3000"),
    ("8.2 label, key anchored at its end", "label(ap)(product)", ""),
    ("8.2 label, key anchored at its beginning", "label(pp)(product)", ""),
    ("8.2 label, value anchored at its end", "label(app)(produ)", ""),
    ("8.2 label, value anchored at its beginning", "label(app)(roduct)", ""),
    ("8.2 label, value case-sensitive", "label(app)(Product)", ""),
    ("8.2 label, key case-sensitive", "label(App)(product)", ""),
    ("8.2 label, upper case in the value", "label(team)(Blue)", "() 24"),
    ("8.2 anchoring covers an alternation", "label(app)(car|product)", PRODUCTS),
    ("8.2 anchoring covers an alternation, other side", "label(app)(cart|roduct)", CARTS),
    ("8.2 alternation", "label(app)(cart|twin)", "() 4:3000 5:3000 6:3000 23"),
    ("8.2 label, key with a slash", r"label(example\.com/part-of)(suite)", "() 24"),
    ("8.2 key and value belong to one label", "label(app)(IE)", ""),
    ("8.2 dot is any character", "label(version)(1.0.3)", "() 1 2"),
    ("8.2 classes", r"label(app)(cart) && label(version)(\d+\.\d+\.\d{2})", "() 6:3000"),
    ("8.2 negated class", "label(app)([^po].*t)", CARTS),
    ("8.1 blanks belong to the pattern", "label(app)( product)", ""),
    ("8.1 blanks belong to the pattern, end", "label(app)(product )", ""),
    // The other operands.
    ("8.2 name is the container", "name(web)", PRODUCTS),
    ("8.2 name, one of two containers", "name(main)", "() 7:8080 7:9090"),
    ("8.2 name, side-car", "name(sidecar)", "() 7:15000"),
    ("8.2 id is name", "id(web)", PRODUCTS),
    ("8.2 name is not the pod", "name(pod-1)", ""),
    ("8.2 name anchored", "name(we)", ""),
    ("8.2 name case-sensitive", "name(WEB)", ""),
    ("8.2 name, pattern", "name(.*eb)", PRODUCTS),
    ("8.2 kind", "kind(container) && label(app)(cart)", CARTS),
    ("8.2 type is kind", "type(container) && label(app)(cart)", CARTS),
    ("R16 pod", "kind(pod) && label(app)(cart)", CARTS),
    ("R16 pod, type", "type(pod) && label(app)(cart)", CARTS),
    ("8.2 kind, nothing of the name", "kind(deployment) && label(app)(cart)", ""),
    ("8.2 namespace", "namespace(shop)", "() 8"),
    ("8.2 group is namespace", "group(shop)", "() 8"),
    ("8.2 namespace, pattern", "namespace(sh.*)", "() 8"),
    ("8.2 namespace anchored", "namespace(sho)", ""),
    ("8.2 namespace and label", "label(app)(product) && namespace(default)", "() 1 2 3"),
    ("8.2 own namespace", "namespace($namespace) && label(app)(product)", "() 1 2 3"),
    ("8.2 own namespace, group", "group($namespace) && label(app)(product)", "() 1 2 3"),
    ("R16 own namespace in braces", "namespace(${namespace}) && label(app)(product)", "() 1 2 3"),
    ("8.2 image", "image(example/product:.*)", PRODUCTS),
    ("8.2 image, exact", r"image(example/product:1\.0\.3)", "() 1 2"),
    ("8.2 image anchored", "image(example/product)", ""),
    ("8.2 image of a side-car", "image(example/side:3)", "() 7:15000"),
    ("8.2 image with a registry", "image(registry.example:5000/.*)", "() 24"),
    ("8.2 ip", r"ip(127\.77\.0\.4)", "() 4:3000"),
    ("8.2 host is ip", r"host(127\.77\.0\.[45])", "() 4:3000 5:3000"),
    ("8.2 ip anchored", r"ip(127\.77\.0)", ""),
    ("8.2 port", "port(3000)", CARTS),
    ("8.2 port and label", "label(app)(multi) && port(8080)", "() 7:8080"),
    ("8.2 port is equality", "port(300)", ""),
    ("8.2 port, leading zero", "port(03000)", CARTS),
    ("8.2 port, white space before the parenthesis", "port (3000)", CARTS),
    ("8.2 index 0 of each container", "label(app)(multi) && index(0)", "() 7:8080 7:15000"),
    ("8.2 index 1", "label(app)(multi) && index(1)", "() 7:9090"),
    ("8.2 port_index is index", "label(app)(multi) && port_index(1)", "() 7:9090"),
    ("8.2 index out of the list", "label(app)(multi) && index(9)", ""),
    ("8.2 large number that fits 32 bits", "port(2147483647)", ""),
    // What is a candidate.
    ("8.2 all declared ports of all containers", "label(app)(multi)", "() 7:8080 7:9090 7:15000"),
    ("R20 other protocols are ignored", "port(5353)", ""),
    ("8.2 no declared port, no candidate", "label(app)(noport)", ""),
    ("18.3 a pod without labels gives nothing", "name(plain)", ""),
    ("R41 unready", "label(app)(lazy)", ""),
    ("R41 being deleted", "label(app)(leaving)", ""),
    ("9.3 ended", "label(app)(done)", ""),
    ("18.3 no address", "label(app)(noip)", ""),
    ("18.3 native side-cars and ephemeral containers", "label(app)(side)", "() 17"),
    ("18.3 native side-car by name", "name(proxy)", ""),
    ("18.3 ephemeral container by name", "name(debug)", ""),
    // Services (R18).
    ("R18 services", "kind(service) && label(app)(product)", "() s1:80 s5:80"),
    ("R18 type", "type(service) && label(app)(product)", "() s1:80 s5:80"),
    ("R18 all, headless and managed ones skipped", "kind(service)", "() s1:80 s4:80 s4:443 s5:80"),
    ("R18 only with a kind operand", "name(product-svc)", ""),
    ("R18 only with a kind operand that matches service", "kind(container) && label(app)(product)", PRODUCTS),
    ("R18 service name", "kind(service) && name(product-svc)", "() s1:80 s5:80"),
    ("R18 service namespace", "kind(service) && namespace(shop)", "() s5:80"),
    ("R18 service port", "kind(service) && port(443)", "() s4:443"),
    ("R18 service port, not the target port", "kind(service) && port(8080)", ""),
    ("R18 service port index", "kind(service) && index(1)", "() s4:443"),
    ("R18 cluster IP", r"kind(service) && host(127\.78\.0\.4)", "() s4:80 s4:443"),
    ("8.2 services have no image", "kind(service) && image(.*)", ""),
    ("R18 pods and services", "kind(service|container) && label(app)(product)", "() 1 2 3 8 s1:80 s5:80"),
    ("R18 kind of any text", "kind(.*) && label(app)(product)", "() 1 2 3 8 s1:80 s5:80"),
    ("R18 negated", "!kind(service) && label(app)(product)", PRODUCTS),
    ("R18 operand anywhere", "label(app)(two) && (kind(service) || false)", "() s4:80 s4:443"),
    ("R18 services by version", "kind(service) && label(version)((.*))", "(1.0.3) s1:80"),
    // Operators (8.1: precedence, association, spelling; R15).
    (
        "8.1 and before or",
        r"label(app)(cart) || label(app)(product) && label(version)(2\.0\.1)",
        "() 3 4:3000 5:3000 6:3000",
    ),
    (
        "8.1 and before or, other order",
        r"label(app)(product) && label(version)(2\.0\.1) || label(app)(cart)",
        "() 3 4:3000 5:3000 6:3000",
    ),
    (
        "8.1 parentheses",
        r"(label(app)(cart) || label(app)(product)) && label(version)(1\.0\.5)",
        "() 4:3000 5:3000",
    ),
    ("8.1 not before and", r"!label(app)(product) && label(version)(1\.0\.5)", "() 4:3000 5:3000"),
    (
        "8.1 not of parentheses",
        "!(label(app)(product) || label(locale)(UK)) && label(version)(1.*5)",
        "() 4:3000 20",
    ),
    ("8.1 nested parentheses", "((label(app)(cart)))", CARTS),
    ("8.1 not keeps the others", "label(app)(cart) && !label(locale)(UK)", "() 4:3000"),
    ("8.1 word and", "label(app)(cart) and label(locale)(UK)", "() 5:3000 6:3000"),
    ("8.1 word AND", "label(app)(cart) AND label(locale)(UK)", "() 5:3000 6:3000"),
    ("8.1 word And", "label(app)(cart) And label(locale)(UK)", "() 5:3000 6:3000"),
    ("8.1 word or", "label(app)(cart) or name(sidecar)", "() 4:3000 5:3000 6:3000 7:15000"),
    ("8.1 word OR", "label(app)(cart) OR name(sidecar)", "() 4:3000 5:3000 6:3000 7:15000"),
    ("8.1 word not", "not label(locale)(UK) and label(app)(cart)", "() 4:3000"),
    ("R15 word NOT", "NOT label(locale)(UK) AND label(app)(cart)", "() 4:3000"),
    ("R15 word Not", "Not label(locale)(UK) and label(app)(cart)", "() 4:3000"),
    ("8.1 single &", "label(app)(cart) & label(locale)(UK)", "() 5:3000 6:3000"),
    ("8.1 single |", "label(app)(cart) | name(sidecar)", "() 4:3000 5:3000 6:3000 7:15000"),
    (
        "8.1 mixed spellings",
        "label(app)(cart) and label(locale)(UK) | name(sidecar)",
        "() 5:3000 6:3000 7:15000",
    ),
    ("R15 no white space, &&", "label(app)(cart)&&label(locale)(IE)", "() 4:3000"),
    ("R15 no white space, &", "label(app)(cart)&label(locale)(IE)", "() 4:3000"),
    ("R15 no white space, ||", "label(app)(cart)||name(sidecar)", "() 4:3000 5:3000 6:3000 7:15000"),
    ("R15 no white space, |", "label(app)(cart)|name(sidecar)", "() 4:3000 5:3000 6:3000 7:15000"),
    ("R15 not(", "label(app)(cart) and not(label(locale)(UK))", "() 4:3000"),
    ("R15 NOT(", "label(app)(cart) and NOT(label(locale)(UK))", "() 4:3000"),
    ("R15 and( delimited by a parenthesis", "(label(app)(cart))and(label(locale)(IE))", "() 4:3000"),
    (
        "R15 or( delimited by a parenthesis",
        "(label(app)(cart))OR(name(sidecar))",
        "() 4:3000 5:3000 6:3000 7:15000",
    ),
    ("R15 !!", "!!label(app)(cart)", CARTS),
    ("R15 ! !", "! ! label(app)(cart)", CARTS),
    ("R15 not not", "not not label(app)(cart)", CARTS),
    ("R15 !not", "!not label(app)(cart)", CARTS),
    ("R15 three times", "label(app)(cart) && !!!label(locale)(UK)", "() 4:3000"),
    ("8.1 white space between keyword and pattern", "label (app) (cart)", CARTS),
    ("8.1 white space of every kind", "\t label\t(app)\r\n(cart)\u{c}&&\n label(locale) (IE) ", "() 4:3000"),
    ("8.1 white space inside parentheses", "( label(app)(cart) )", CARTS),
    ("R15 non-ASCII in a pattern", "label(app)(grün|cart)", CARTS),
    // Patterns with parentheses (8.1, R15).
    (
        "R15 non-capturing",
        "label(app)((?:cart|product)) && namespace(default)",
        "() 1 2 3 4:3000 5:3000 6:3000",
    ),
    ("R15 nested, balanced", "label(app)((?:c(?:a)r)t)", CARTS),
    ("R15 capturing around non-capturing", "label(app)(((?:ca)rt))", "(cart) 4:3000 5:3000 6:3000"),
    ("R15 escaped parentheses are literals", r"label(app)(cart\)?)", CARTS),
    ("R15 escaped opening parenthesis", r"label(app)(\(?cart)", CARTS),
    ("R15 parentheses in a class are literals", "label(app)(cart[(]?)", CARTS),
    ("R15 closing parenthesis in a class", "label(app)(cart[)]?)", CARTS),
    ("R15 both in a class", "label(app)([(]?cart[)(]?)", CARTS),
    // Captures and groups (8.3, 9.1).
    ("9.1 one capture", "label(app)(cart) && label(version)((.*))", "(1.0.5) 4:3000 5:3000; (1.0.10) 6:3000"),
    (
        "E8 two captures",
        "label(app)(cart) && label(locale)((.*)) && label(version)((.*))",
        "(1.0.5),(IE) 4:3000; (1.0.5),(UK) 5:3000; (1.0.10),(UK) 6:3000",
    ),
    (
        "9.1 in whatever operand order",
        "label(version)((.*)) && label(locale)((.*)) && label(app)(cart)",
        "(1.0.5),(IE) 4:3000; (1.0.5),(UK) 5:3000; (1.0.10),(UK) 6:3000",
    ),
    (
        "9.1 part of a value",
        r"label(app)(cart) && label(version)(1\.0\.(.*))",
        "(5) 4:3000 5:3000; (10) 6:3000",
    ),
    (
        "9.1 filter without becoming part of the name (25.7)",
        "label(app)(cart) && label(locale)(IE) && label(version)((.*))",
        "(1.0.5) 4:3000",
    ),
    (
        "9.1 alternation",
        "label(app)((cart|product)) && namespace(default)",
        "(cart) 4:3000 5:3000 6:3000; (product) 1 2 3",
    ),
    ("9.1 name", "name((.*)) && label(app)(multi)", "(main) 7:8080 7:9090; (sidecar) 7:15000"),
    ("9.1 namespace", "namespace((.*)) && label(app)(product)", "(default) 1 2 3; (shop) 8"),
    ("9.1 ip", "ip((.*)) && label(locale)(UK)", "(127.77.0.5) 5:3000; (127.77.0.6) 6:3000"),
    ("9.1 kind", "kind((.*)) && label(app)(product)", "(container) 1 2 3 8; (service) s1:80 s5:80"),
    (
        "9.1 part of the image",
        "image(example/(.*)) && label(app)(cart)",
        "(cart:1.0.5) 4:3000 5:3000; (cart:1.0.10) 6:3000",
    ),
    (
        "9.1 unusable name becomes a digest",
        "label(app)(cart) && image((.*))",
        "182534c3d70c56879eca40bed5f7f8cddf03e9d60000 4:3000 5:3000; a3e7a7a84c5df2a23837ca206df22474664c23cf0000 6:3000",
    ),
    (
        "9.1 digest of key=value",
        "label((example.*))((.*))",
        "42c9778fa2784b9034a083d0412d9073fd7b86710000 24",
    ),
    ("8.3 group in the key", "label(a(p)p)(cart)", "(p) 4:3000 5:3000 6:3000"),
    ("8.3 group in both parts", "label((app))((cart))", "(app=cart) 4:3000 5:3000 6:3000"),
    (
        "8.3 or: union of what each side captured",
        "label(app)((cart)) || label(locale)((IE))",
        "(IE),(cart) 4:3000; (cart) 5:3000 6:3000",
    ),
    (
        "8.3 or: one side captures",
        "label(app)((twin)) || label(app)(cart)",
        "(twin) 23; () 4:3000 5:3000 6:3000",
    ),
    ("8.3 not drops captures", "label(app)(cart) && !label(locale)((UK))", "() 4:3000"),
    ("8.3 not not drops captures", "!(!label(app)((cart)))", CARTS),
    ("9.1 the same text twice", "label(app)(twin) && label(a)((.*)) && label(b)((.*))", "(x) 23"),
    (
        "R21 different tuples in one route",
        "label(app)(swap) && label(a)((.*)) && label(b)((.*))",
        "(1),(2) 21 22",
    ),
    (
        "R17 optional group that takes no part",
        r"label(app)(opt) && label(version)(1(\.5)?)",
        "() 19; (.5) 20",
    ),
    ("R17 first matching label", "label(.-x)((.*))", "(1) 18"),
    ("R17 first matching label, key too", "label((.-x))((.*))", "(a-x=1) 18"),
    ("R17 first label whose value matches too", "label(.-x)((2))", "(2) 18"),
    ("E9 no capture", "label(app)(cart)", CARTS),
    ("R41 the unready pod of a group", "label(app)(product) && label(version)((1.*))", "(1.0.3) 1 2"),
    (
        "8.3 same capture by two operands of different sets",
        "label(tier)((web)) && name((web))",
        "(web) 1 2 3 8",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn found_candidates_and_groups() {
    let vamp = Vamp::start_sized(&[], u16::try_from(FOUND.len()).unwrap() + 20).await;
    vamp.inventory("fixed.json", &inventory());
    let mut report = Report::new("selectors");
    for (index, (rule, selector, _)) in FOUND.iter().enumerate() {
        let body = json!({"name": format!("s{index}"), "selector": selector}).to_string();
        let answer = vamp.post("/gateways", &body).await;
        if answer.status != 202 {
            report.holds(&format!("{rule}: {selector}"), false, answer.body);
        }
    }
    // What a selector finds arrives after the write; the last look counts, and so does one that has too much.
    let deadline = Instant::now() + PATIENCE;
    let mut looks: BTreeMap<usize, Value> = BTreeMap::new();
    let mut missing: Vec<usize> = (0..FOUND.len()).collect();
    while !missing.is_empty() && Instant::now() < deadline {
        let mut still = Vec::new();
        for index in missing {
            let body = vamp.get(&format!("/gateways/s{index}")).await.body;
            if seen(&body) != groups(FOUND[index].2) {
                still.push(index);
            }
            looks.insert(index, body);
        }
        missing = still;
        pause().await;
    }
    // Empty results are looked at once more at the end: everything else is there by now.
    for (index, (rule, selector, expected)) in FOUND.iter().enumerate() {
        let body = vamp.get(&format!("/gateways/s{index}")).await.body;
        report.same(&format!("{rule}: {selector}"), seen(&body), groups(expected));
        report.same(
            &format!("4 selector is shown: {selector}"),
            body["selector"].as_str().map(str::trim),
            Some(selector.trim()),
        );
        let title = body["routes"]
            .as_object()
            .and_then(|routes| routes.values().next())
            .map(|route| route["metadata"].clone());
        if *rule == "9.1 digest of key=value" {
            let name = "(example.com/part-of=suite)";
            report.same(
                "R21 readable groups and title of a digest",
                title,
                Some(json!({"groups": name, "title": name})),
            );
        }
    }
    scheduler(&vamp, &mut report).await;
    report.finish();
}

/// `GET /scheduler/routing` finds the same candidates (api 18).
///
/// Whether it also lists what is not ready is open, so additional pods that no route can have are allowed.
async fn scheduler(vamp: &Vamp, report: &mut Report) {
    let never_routed: BTreeSet<String> = [9, 10, 12, 13, 14, 15].map(|n| format!("127.77.0.{n}:8080")).into();
    for (rule, selector, expected) in FOUND {
        let query: String = selector.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = vamp.get(&format!("/scheduler/routing?selector={query}")).await;
        let mut found = BTreeSet::new();
        for group in answer.body.as_array().map(Vec::as_slice).unwrap_or_default() {
            for instance in group["instances"].as_array().map(Vec::as_slice).unwrap_or_default() {
                for port in instance["ports"].as_array().map(Vec::as_slice).unwrap_or_default() {
                    let ip = instance["ip"].as_str().unwrap_or("?");
                    found.insert(format!("{ip}:{}", port["container"]));
                }
            }
        }
        let found: BTreeSet<String> = found.difference(&never_routed).cloned().collect();
        let expected: BTreeSet<String> = groups(expected).into_values().flatten().collect();
        report.same(
            &format!("api 18 scheduler, {rule}: {selector}"),
            (answer.status, found),
            (200, expected),
        );
    }
}

/// Texts that are refused (8.1, R15, 5).
const REFUSED: &[(&str, &str)] = &[
    ("5 empty text", ""),
    ("5 blank text", "  "),
    ("8.1 label needs two patterns", "label(app)"),
    ("8.1 name takes one pattern", "name(a)(b)"),
    ("8.1 unknown operand", "app(a)"),
    ("8.1 operand keywords are lower case", "Label(app)(a)"),
    ("8.1 operand keywords are lower case, all", "NAME(a)"),
    ("8.1 no operand", "hello"),
    ("8.1 keyword alone", "name"),
    ("8.1 keyword without parentheses", "name web"),
    ("8.1 constant with a tail", "truex"),
    ("8.1 number with a tail", "10"),
    ("8.1 unbalanced pattern", "label(app)(cart"),
    ("8.1 one parenthesis too many", "label(app)(cart))"),
    ("R15 unbalanced group in a pattern", "label(app)((cart)"),
    ("8.1 empty pattern", "name()"),
    ("8.1 empty expression", "()"),
    ("8.1 open expression", "(true"),
    ("8.1 closing without opening", "true)"),
    ("8.1 dangling and", "true &&"),
    ("8.1 dangling or", "true or"),
    ("8.1 leading and", "&& true"),
    ("8.1 two operators", "true && && true"),
    ("8.1 and or", "true && || true"),
    ("8.1 triple &", "true &&& true"),
    ("8.1 triple |", "true ||| true"),
    ("8.1 no operator", "true true"),
    ("8.1 no operator between operands", "name(a) name(b)"),
    ("8.1 unknown operator", "true xor true"),
    ("8.1 comma", "name(a), name(b)"),
    ("8.1 lone not", "!"),
    ("8.1 lone word not", "not"),
    ("8.1 not after its operand", "true !"),
    ("8.1 word not undelimited", "nottrue"),
    ("8.1 word and undelimited", "name(a) andname(b)"),
    ("8.1 word and undelimited at a constant", "true andtrue"),
    ("8.1 port is not a pattern", "port(80.*)"),
    ("8.1 no white space in a number", "port( 80)"),
    ("8.1 no white space in a number, end", "port(80 )"),
    ("8.1 empty number", "port()"),
    ("8.1 negative number", "index(-1)"),
    ("8.1 signed number", "index(+1)"),
    ("8.1 number beyond 32 bits", "port(99999999999)"),
    ("8.1 number far beyond", "index(99999999999999999999999999)"),
    ("8.1 two capture groups in an operand", "name((a)(b))"),
    ("8.1 two capture groups in an image", "image((a)(b))"),
    ("R15 nested capture groups", "name((a(b)))"),
    ("R15 two capture groups in a label's key", "label((a)(b))(c)"),
    ("R15 two capture groups in a label's value", "label(a)((b)(c))"),
    ("R15 look-ahead", "name((?=a)b)"),
    ("R15 negative look-ahead", "name((?!a)b)"),
    ("R15 look-behind", "name((?<=a)b)"),
    ("R15 back-reference", r"name((a)\1)"),
    ("5 invalid expression, class", "name([a)"),
    ("5 invalid expression, repetition", "name(*a)"),
    ("5 invalid expression, range", "name(a{2,1})"),
    ("5 invalid expression, key", "label(*)(a)"),
    ("8.1 quotes", "name('a')x"),
    ("8.1 equality", "label(app) == cart"),
];

#[tokio::test(flavor = "multi_thread")]
async fn refused_texts() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("refused selectors");
    for (rule, selector) in REFUSED {
        let row = format!("{rule}: {selector:?}");
        let on_gateway = json!({"name": "g", "selector": selector}).to_string();
        let answer = vamp.post("/gateways", &on_gateway).await;
        let gist = answer.message().to_lowercase().contains("invalid selector");
        report.holds(&format!("{row}, gateway"), answer.status == 400 && gist, (answer.status, &answer.body));
        let on_route = json!({"name": "g", "routes": {"a": {"selector": selector}}}).to_string();
        let answer = vamp.post("/gateways", &on_route).await;
        let gist = answer.message().to_lowercase().contains("invalid selector");
        report.holds(&format!("{row}, route"), answer.status == 400 && gist, (answer.status, &answer.body));
        if !selector.trim().is_empty() {
            let query: String = selector.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let answer = vamp.get(&format!("/scheduler/routing?selector={query}")).await;
            let gist = answer.message().to_lowercase().contains("invalid selector");
            report.holds(
                &format!("{row}, scheduler (api 18)"),
                answer.status == 400 && gist,
                (answer.status, &answer.body),
            );
        }
    }
    report.same("5 a failure changes nothing", vamp.get("/gateways").await.body, json!([]));
    report.finish();
}

/// The configured filter is and-ed in front (8.2); route-level selectors do not group (1.2).
#[tokio::test(flavor = "multi_thread")]
async fn filter_and_route_selectors() {
    let vamp = Vamp::start_with(&["--gateway-selector", "namespace(default) || label(app)(nothing)"]).await;
    vamp.inventory("fixed.json", &inventory());
    let mut report = Report::new("filter and route selectors");
    let rows = [
        ("8.2 filter", json!({"selector": "label(app)(product)"}), "() 1 2 3"),
        (
            "8.2 filter, or on the user's side",
            json!({"selector": "label(app)(product) || name(web)"}),
            "() 1 2 3",
        ),
        (
            "8.2 filter with captures",
            json!({"selector": "namespace((.*)) && label(app)(product)"}),
            "(default) 1 2 3",
        ),
        (
            "1.2 route selector",
            json!({"routes": {"all": {"selector": "label(app)(cart)"}}}),
            "all 4:3000 5:3000 6:3000",
        ),
        (
            "1.2 no grouping",
            json!({"routes": {"all": {"selector": "label(app)(cart) && label(version)((.*))"}}}),
            "all 4:3000 5:3000 6:3000",
        ),
        (
            "1.2 two route selectors",
            json!({"routes": {"ie": {"selector": "label(locale)(IE)"}, "uk": {"selector": "label(locale)(UK)"}}}),
            "ie 4:3000; uk 5:3000 6:3000",
        ),
        (
            "8.2 filter on route level",
            json!({"routes": {"all": {"selector": "label(app)(product)"}}}),
            "all 1 2 3",
        ),
        (
            "R41 route selector, nothing ready",
            json!({"routes": {"all": {"selector": "label(app)(lazy)"}}}),
            "all",
        ),
        ("R18 the filter admits no services", json!({"selector": "name(product-svc)"}), ""),
        (
            "9.4 route selectors are ignored next to one",
            json!({"selector": "label(app)(cart)", "routes": {"()": {"selector": "label(app)(product)"}}}),
            CARTS,
        ),
    ];
    for (index, (rule, document, _)) in rows.iter().enumerate() {
        let mut document = document.clone();
        document["name"] = json!(format!("f{index}"));
        let answer = vamp.post("/gateways", &document.to_string()).await;
        report.holds(rule, answer.status == 202, (answer.status, answer.body));
    }
    for (index, (rule, _, expected)) in rows.iter().enumerate() {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let body = vamp.get(&format!("/gateways/f{index}")).await.body;
            if seen(&body) == groups(expected) || Instant::now() > deadline {
                report.same(rule, seen(&body), groups(expected));
                break;
            }
            pause().await;
        }
    }
    report.finish();
}
