//! Host names, external addresses and automatic virtual hosts.

use super::*;

#[test]
fn host_names() {
    for (text, expected) in [
        ("a", "a"),
        ("A.Example", "a.example"),
        ("sava-product.vamp", "sava-product.vamp"),
        ("1.2.3.4", "1.2.3.4"),
        ("9050.sava-1-0.vamp", "9050.sava-1-0.vamp"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a--b", "a--b"),
    ] {
        assert_eq!(host_name(text), Ok(expected.to_owned()));
    }
    let (label, name) = (
        "a".repeat(63),
        format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)),
    );
    assert!(host_name(&label).is_ok());
    assert!(host_name(&name).is_ok());
    for text in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a",
        "a-",
        "a.-b",
        "a-.b",
        "a_b",
        "a b",
        "a:80",
        "*.a",
        "bücher.example",
        "a/b",
        "http://a",
        "a\0",
        &"a".repeat(64),
        &format!("{name}a"),
        "[::1]",
    ] {
        assert!(host_name(text).is_err(), "{text}");
    }
}

#[test]
fn external_addresses() {
    let name = |host: &str, port| Ok(External::Name { host: host.into(), port, tls: false });
    let ip = |ip: &str, port| Ok(External::Ip { ip: ip.parse().unwrap(), port, tls: false });
    for (text, expected) in [
        ("localhost:5050", name("localhost", 5050)),
        ("LocalHost:1", name("localhost", 1)),
        ("a.example.com:65535", name("a.example.com", 65535)),
        ("http://a.example:80", name("a.example", 80)),
        ("HTTP://a.example:80", name("a.example", 80)),
        ("192.168.99.100:5050", ip("192.168.99.100", 5050)),
        ("http://10.0.0.1:80", ip("10.0.0.1", 80)),
        ("[::1]:8080", ip("::1", 8080)),
        ("http://[2001:db8::1]:8080", ip("2001:db8::1", 8080)),
        ("a:00080", name("a", 80)),
        ("https://a.example:443", Ok(External::Name { host: "a.example".into(), port: 443, tls: true })),
        ("HTTPS://[::1]:1", Ok(External::Ip { ip: "::1".parse().unwrap(), port: 1, tls: true })),
    ] {
        assert_eq!(external(text), expected, "{text}");
    }
}

#[test]
fn automatic_hosts() {
    let formats = HostFormats::default();
    for (name, expected) in [
        ("sava-product", Some("sava-product.vamp")),
        ("my_gw", Some("my-gw.vamp")),
        ("front", Some("front.vamp")),
        ("Front", Some("front.vamp")),
        ("sava:1.0/9050", Some("9050.sava-1-0.vamp")),
        ("sava/web", Some("web.sava.vamp")),
        ("catalog/api/web", Some("web.api.catalog.vamp")),
        ("a/b/c/d", None),
        ("1.0", Some("1-0.vamp")),
        // What is no host name is left out: it could not be sent back.
        ("_x", None),
        ("(x)", None),
        ("x-", None),
        ("x_", None),
        ("shöp", Some("sh-p.vamp")),
        ("öl", None),
        (&"a".repeat(64), None),
    ] {
        let name = GatewayName::parse(name).unwrap();
        assert_eq!(automatic_host(&name, &formats).as_deref(), expected, "{name}");
    }
    let name = GatewayName::parse("shop/store/web").unwrap();
    let custom = HostFormats {
        deployment_cluster_port: "${port}-$cluster.$deployment.$x.example".into(),
        ..formats.clone()
    };
    assert_eq!(automatic_host(&name, &custom), None);
    let custom = HostFormats {
        deployment_cluster_port: "${port}-$cluster.$deployment.example".into(),
        ..formats.clone()
    };
    assert_eq!(automatic_host(&name, &custom).as_deref(), Some("web-store.shop.example"));
    let off = HostFormats { enabled: false, ..formats };
    assert_eq!(automatic_host(&name, &off), None);
}
