//! What a selector finds (sections 8.2 and 8.3, R16 to R20).

use std::collections::BTreeMap;

use crate::instance::{Container, ContainerPort, Instance, InstanceKind};
use crate::selector::Selector;

const NAMESPACE: &str = "shop";

fn container(name: &str, image: Option<&str>, ports: &[(u16, bool)]) -> Container {
    let port = |&(number, tcp): &(u16, bool)| ContainerPort { number, name: None, tcp, app_protocol: None };
    Container {
        name: name.to_owned(),
        image: image.map(str::to_owned),
        ports: ports.iter().map(port).collect(),
    }
}

fn instance(
    kind: InstanceKind,
    namespace: &str,
    name: &str,
    ip: Option<&str>,
    labels: &[(&str, &str)],
    containers: Vec<Container>,
) -> Instance {
    Instance {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels: labels
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect::<BTreeMap<_, _>>(),
        ip: ip.map(|ip| ip.parse().unwrap()),
        ready: true,
        exists: true,
        containers,
    }
}

/// The world of these tests. `cart` declares UDP between two TCP ports; `job` declares nothing; `bare` has no labels and is never
/// found (18.3).
fn world() -> Vec<Instance> {
    use InstanceKind::{Pod, Service};
    let cart = |tag: &str| {
        container("cart", Some(&format!("sava/cart:{tag}")), &[(8080, true), (9090, false), (9091, true)])
    };
    let proxy = || container("proxy", Some("proxy:2"), &[(15000, true)]);
    vec![
        instance(
            Pod,
            "shop",
            "ie",
            Some("10.0.0.1"),
            &[("app", "cart"), ("locale", "IE"), ("version", "1.0.5")],
            vec![cart("1.0.5"), proxy()],
        ),
        instance(
            Pod,
            "shop",
            "uk",
            Some("10.0.0.2"),
            &[("app", "cart"), ("locale", "UK"), ("version", "1.0.6")],
            vec![cart("1.0.6")],
        ),
        instance(
            Pod,
            "other",
            "dns",
            Some("fd00::3"),
            &[("app", "dns"), ("note", "a\nb")],
            vec![container("dns", Some("dns"), &[(53, false), (53, true)])],
        ),
        instance(
            Pod,
            "shop",
            "job",
            Some("10.0.0.4"),
            &[("app", "job")],
            vec![container("job", Some("job"), &[])],
        ),
        instance(
            Pod,
            "shop",
            "new",
            None,
            &[("stage", "new")],
            vec![container("new", Some("new"), &[(80, true)])],
        ),
        instance(
            Pod,
            "shop",
            "bare",
            Some("10.0.0.5"),
            &[],
            vec![container("bare", Some("bare"), &[(80, true)])],
        ),
        instance(
            Service,
            "shop",
            "cart-svc",
            Some("10.96.0.1"),
            &[("app", "cart")],
            vec![container("cart-svc", None, &[(80, true), (443, true)])],
        ),
        instance(
            Service,
            "shop",
            "headless",
            None,
            &[("app", "cart")],
            vec![container("headless", None, &[(80, true)])],
        ),
        instance(
            Service,
            "shop",
            "gateway",
            Some("10.96.0.2"),
            &[("app", "cart"), ("io.vamp", "gateway")],
            vec![container("gateway", None, &[(80, true)])],
        ),
    ]
}

/// What a selector finds, as `instance:port` with captures in braces.
fn found(selector: &Selector) -> String {
    let mut all = Vec::new();
    for instance in world() {
        for candidate in selector.candidates(&instance, NAMESPACE) {
            let captures: Vec<&str> = candidate.captures.iter().map(String::as_str).collect();
            let braces =
                if captures.is_empty() { String::new() } else { format!("{{{}}}", captures.join(",")) };
            assert_eq!(candidate.instance, instance.name);
            assert_eq!(candidate.address.map(|address| address.ip()), instance.ip);
            assert!(candidate.address.is_none_or(|address| address.port() == candidate.port));
            assert!(instance.containers.iter().any(|container| container.name == candidate.container));
            all.push(format!("{}:{}{braces}", candidate.instance, candidate.port));
        }
    }
    all.join(" ")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let selector = Selector::parse(text).unwrap_or_else(|error| panic!("{}", error.render(text)));
    assert_eq!(found(&selector), expected, "of {text}");
    let canonical = Selector::parse(&selector.canonical()).unwrap();
    assert_eq!(found(&canonical), expected, "of the canonical text of {text}");
}

const ALL: &str = "ie:8080 ie:9091 ie:15000 uk:8080 uk:9091 dns:53 new:80";
const CARTS: &str = "ie:8080 ie:9091 ie:15000 uk:8080 uk:9091";

#[test]
fn operands() {
    for (text, expected) in [
        ("true", ALL),
        ("false", ""),
        ("name(cart)", "ie:8080 ie:9091 uk:8080 uk:9091"),
        ("id(proxy)", "ie:15000"),
        ("name(car)", ""),
        ("name(ar)", ""),
        ("name(CART)", ""),
        ("name((?i)CART)", "ie:8080 ie:9091 uk:8080 uk:9091"),
        ("name(cart|dns)", "ie:8080 ie:9091 uk:8080 uk:9091 dns:53"),
        ("name(c|cart)", "ie:8080 ie:9091 uk:8080 uk:9091"),
        ("name( cart)", ""),
        ("namespace(other)", "dns:53"),
        ("group(o.*)", "dns:53"),
        ("namespace($namespace)", "ie:8080 ie:9091 ie:15000 uk:8080 uk:9091 new:80"),
        ("namespace(${namespace})", "ie:8080 ie:9091 ie:15000 uk:8080 uk:9091 new:80"),
        ("!namespace($namespace)", "dns:53"),
        ("namespace( $namespace)", ""),
        ("label(app)($namespace)", ""),
        ("image(sava/cart:1.0.5)", "ie:8080 ie:9091"),
        ("image(sava/.*)", "ie:8080 ie:9091 uk:8080 uk:9091"),
        ("label(app)(cart)", CARTS),
        ("label(app)(c)", ""),
        ("label(ap)(cart)", ""),
        ("label(app)(.*)", "ie:8080 ie:9091 ie:15000 uk:8080 uk:9091 dns:53"),
        ("label(.*)(IE)", "ie:8080 ie:9091 ie:15000"),
        ("label(version)(1.0.5)", "ie:8080 ie:9091 ie:15000"),
        ("label(version)(1\\.0\\.5)", "ie:8080 ie:9091 ie:15000"),
        ("label(missing)(.*)", ""),
        ("ip(10\\.0\\.0\\.1)", "ie:8080 ie:9091 ie:15000"),
        ("host(10\\..*)", CARTS),
        ("ip(fd00::3)", "dns:53"),
        ("ip(.*)", "ie:8080 ie:9091 ie:15000 uk:8080 uk:9091 dns:53"),
        ("port(8080)", "ie:8080 uk:8080"),
        ("port(53)", "dns:53"),
        ("port(9090)", ""),
        ("port(73616)", ""),
        ("index(0)", "ie:8080 ie:15000 uk:8080 new:80"),
        ("index(1)", "dns:53"),
        ("port_index(2)", "ie:9091 uk:9091"),
        ("index(3)", ""),
        // `.` does not match a line feed.
        ("label(note)(a.b)", ""),
        ("label(note)(a\nb)", "dns:53"),
        ("label(note)((?s)a.b)", "dns:53"),
        ("label(note)(a)", ""),
        ("label(note)(a$)", ""),
        // `\d`, `\w` and `\s` are ASCII.
        (r"label(version)(\d\.\d\.[\d])", CARTS),
        (r"label(version)([^\d]*)", ""),
        (r"label(app)(\w+)", "ie:8080 ie:9091 ie:15000 uk:8080 uk:9091 dns:53"),
        (r"label(note)(a\sb)", "dns:53"),
        (r"label(note)(\S+)", ""),
        (r"label(app)([\w&&[^c]].*)", "dns:53"),
        (r"label(app)(\D{3})", "dns:53"),
    ] {
        check(text, expected);
    }
}

#[test]
fn kinds_and_services() {
    for (text, expected) in [
        ("kind(container)", ALL),
        ("kind(pod)", ALL),
        ("type(pod)", ALL),
        ("kind(Container)", ""),
        ("kind(service)", "cart-svc:80 cart-svc:443"),
        ("type(service) && port(80)", "cart-svc:80"),
        ("kind(service) && index(1)", "cart-svc:443"),
        ("kind(service) && name(cart-svc)", "cart-svc:80 cart-svc:443"),
        ("kind(service) && ip(10\\.96\\..*)", "cart-svc:80 cart-svc:443"),
        ("kind(service) && image(.*)", ""),
        ("kind(service) && !image(.*)", "cart-svc:80 cart-svc:443"),
        ("kind(.*) && label(app)(cart)", "ie:8080 ie:9091 ie:15000 uk:8080 uk:9091 cart-svc:80 cart-svc:443"),
        ("label(app)(cart) && (kind(service) || port(8080))", "ie:8080 uk:8080 cart-svc:80 cart-svc:443"),
        // Without a kind operand that matches services they are no candidates, also not by negation.
        ("label(app)(cart)", CARTS),
        ("!name(cart)", "ie:15000 dns:53 new:80"),
        ("!kind(container)", ""),
        ("!kind(service)", ALL),
        ("!kind(service) && kind(service)", ""),
        ("kind(service|pod) && port(80)", "new:80 cart-svc:80"),
        ("kind((.*)) && port(80)", "new:80{container} cart-svc:80{service}"),
        ("kind((pod)) && port(80)", "new:80{pod}"),
    ] {
        check(text, expected);
    }
}

#[test]
fn combinations() {
    for (text, expected) in [
        ("name(cart) && port(8080)", "ie:8080 uk:8080"),
        ("name(dns) || port(8080)", "ie:8080 uk:8080 dns:53"),
        ("!label(app)(cart)", "dns:53 new:80"),
        ("not label(app)(cart) and not label(app)(dns)", "new:80"),
        ("!!label(app)(cart)", CARTS),
        ("!true", ""),
        ("!false", ALL),
        ("true && false || name(dns)", "dns:53"),
        ("name(dns) || true && false", "dns:53"),
        ("(name(dns) || true) && false", ""),
        ("!name(dns) && !label(app)(cart)", "new:80"),
        ("!(name(dns) || label(app)(cart))", "new:80"),
        ("!(name(cart) && port(8080)) && label(app)(cart)", "ie:9091 ie:15000 uk:9091"),
    ] {
        check(text, expected);
    }
}

#[test]
fn captures() {
    for (text, expected) in [
        ("label(app)(dns)", "dns:53"),
        ("label(app)((dns))", "dns:53{dns}"),
        ("label(app)((d)ns)", "dns:53{d}"),
        ("label(app)(d(.*))", "dns:53{ns}"),
        ("label((.*))(dns)", "dns:53{app}"),
        ("label((a.*))((.*)) && port(53)", "dns:53{app=dns}"),
        ("label((a)pp)((d)ns)", "dns:53{a=d}"),
        ("label(app)(d(?:n)s)", "dns:53"),
        // An optional group that takes no part captures the empty text.
        ("label(app)(dns(x)?)", "dns:53{}"),
        ("label(app)((x)|dns)", "dns:53{}"),
        ("label(app(x)?)((dns))", "dns:53{=dns}"),
        ("label(app)((.*)) && label(version)((.*)) && port(8080)", "ie:8080{1.0.5,cart} uk:8080{1.0.6,cart}"),
        ("label(locale)((.*)) && label(locale)((.*)) && port(8080)", "ie:8080{IE} uk:8080{UK}"),
        (
            "(label(locale)((.*)) || label(version)((.*))) && port(8080)",
            "ie:8080{1.0.5,IE} uk:8080{1.0.6,UK}",
        ),
        ("(label(locale)((IE)) || label(version)((.*))) && port(8080)", "ie:8080{1.0.5,IE} uk:8080{1.0.6}"),
        ("(label(locale)((IE)) || label(locale)(UK)) && port(8080)", "ie:8080{IE} uk:8080"),
        ("(name((dns)) || true) && !label(app)(cart)", "dns:53{dns} new:80"),
        // Captures inside `not` are dropped, those of a side that does not hold too.
        ("!label(app)((cart))", "dns:53 new:80"),
        ("!!label(locale)((.*)) && port(8080)", "ie:8080 uk:8080"),
        ("!(!label(locale)((.*))) && port(8080)", "ie:8080 uk:8080"),
        ("label(locale)((.*)) && !name((proxy)) && port(8080)", "ie:8080{IE} uk:8080{UK}"),
        ("(label(locale)((.*)) && port(8080)) || port(9091)", "ie:8080{IE} ie:9091 uk:8080{UK} uk:9091"),
        ("(label(locale)((.*)) && false) || port(8080)", "ie:8080 uk:8080"),
        // The other operands capture as well.
        ("name((.*)) && index(0)", "ie:8080{cart} ie:15000{proxy} uk:8080{cart} new:80{new}"),
        ("image(sava/cart:(.*)) && index(0)", "ie:8080{1.0.5} uk:8080{1.0.6}"),
        ("namespace((.*)) && port(53)", "dns:53{other}"),
        ("ip(10\\.0\\.0\\.(.*)) && port(8080)", "ie:8080{1} uk:8080{2}"),
        // Greedy as usual.
        ("image((.*)/.*) && port(8080)", "ie:8080{sava} uk:8080{sava}"),
        ("label(version)((.*?)\\..*) && port(8080)", "ie:8080{1} uk:8080{1}"),
        ("label(version)((.*)\\..*) && port(8080)", "ie:8080{1.0} uk:8080{1.0}"),
    ] {
        check(text, expected);
    }
}

/// The first label in ascending byte order of the keys counts (R17).
#[test]
fn first_label() {
    let pod = instance(
        InstanceKind::Pod,
        "shop",
        "pod",
        Some("10.0.0.1"),
        &[("b", "2"), ("a", "1"), ("B", "3"), ("c10", "x"), ("c9", "y")],
        vec![container("main", None, &[(80, true)])],
    );
    for (text, expected) in [
        ("label(.*)((.*))", "3"),
        ("label((.*))(.*)", "B"),
        ("label([a-z])((.*))", "1"),
        ("label((?i)b)((.*))", "3"),
        ("label(.*)((2|1))", "1"),
        ("label((.*))(2)", "b"),
        ("label(c.*)((.*))", "x"),
        ("label((.*))((y))", "c9=y"),
    ] {
        let candidates = Selector::parse(text).unwrap().candidates(&pod, NAMESPACE);
        let captures: Vec<&String> = candidates.iter().flat_map(|candidate| &candidate.captures).collect();
        assert_eq!(captures, [expected], "of {text}");
    }
}

#[test]
fn behind_a_filter() {
    for (filter, text, expected) in [
        ("true", "port(80)", "new:80"),
        ("namespace($namespace)", "port(53) || port(80)", "new:80"),
        ("false", "true", ""),
        ("name(cart) || name(dns)", "index(0) || index(1)", "ie:8080 uk:8080 dns:53"),
        // The filter cannot make services candidates, only the selector itself can (R18).
        ("kind(service)", "port(80)", ""),
        ("kind(.*)", "port(80)", "new:80"),
        ("true", "kind(service) && port(80)", "cart-svc:80"),
        ("kind(pod)", "kind(service)", ""),
        ("namespace(other)", "kind(service)", ""),
        // Captures of the filter count like those of any other part of the conjunction.
        ("namespace((.*))", "port(53)", "dns:53{other}"),
    ] {
        let whole = Selector::parse(text).unwrap().within(&Selector::parse(filter).unwrap());
        assert_eq!(found(&whole), expected, "of {text} within {filter}");
        let again = Selector::parse(whole.text()).unwrap();
        if !filter.contains("kind") {
            assert_eq!(found(&again), expected, "of {}", whole.text());
            assert_eq!(again.canonical(), Selector::parse(&whole.canonical()).unwrap().canonical());
        }
    }
}

#[test]
fn containers_without_port() {
    let portless = |text: &str| -> String {
        let selector = Selector::parse(text).unwrap();
        let mut names = world();
        names.retain(|instance| selector.portless_matches(instance, NAMESPACE));
        names.iter().map(|instance| instance.name.clone()).collect::<Vec<_>>().join(" ")
    };
    for (text, expected) in [
        ("true", "job"),
        ("label(app)(job)", "job"),
        ("label(app)(cart)", ""),
        ("name(job)", "job"),
        ("label(app)(job) && port(80)", ""),
        ("label(app)(job) && index(0)", ""),
        ("label(app)(job) && !port(80)", "job"),
        ("kind(service)", ""),
        ("false", ""),
    ] {
        assert_eq!(portless(text), expected, "of {text}");
    }
}

#[test]
fn hints_travel() {
    let mut pod = world().remove(1);
    pod.containers[0].ports[0].app_protocol = Some("h2c".to_owned());
    let found = Selector::parse("index(0)").unwrap().candidates(&pod, NAMESPACE);
    assert_eq!(found[0].app_protocol.as_deref(), Some("h2c"));
    assert_eq!(found[0].container, "cart");
}

#[test]
fn labels_that_a_selector_demands() {
    for (text, expected) in [
        ("label(app)(cart) && label(version)((.*))", vec![("app", "cart")]),
        ("kind(pod) && (label(app)(cart) && label(locale)((IE)))", vec![("app", "cart"), ("locale", "IE")]),
        (r"label(app)(a\.b)", vec![("app", "a.b")]),
        ("label(app)(cart) || label(app)(product)", vec![]),
        ("!label(app)(cart)", vec![]),
        ("label(a.p)(cart)", vec![]),
        ("label(app)(c.*)", vec![]),
        ("true", vec![]),
    ] {
        let filter = Selector::parse("namespace($namespace)").unwrap();
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.required_labels(), expected, "{text}");
        let filtered = selector.within(&filter);
        assert_eq!(filtered.required_labels(), expected, "{text}");
    }
}
