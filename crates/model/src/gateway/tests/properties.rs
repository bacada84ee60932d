//! Properties: what is written reads back as the same, and stored is exactly what was declared.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::*;
use crate::yaml;

/// No stored artifacts.
struct Nothing;

impl References for Nothing {
    fn route(&self, _: &str) -> Option<RouteDocument> {
        None
    }
    fn condition(&self, _: &str) -> Option<Condition> {
        None
    }
    fn rewrite(&self, _: &str) -> Option<Rewrite> {
        None
    }
}

fn metadata() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        select(vec!["", "NO", "0123", "1.0", "a: b", "é\n", "(1.0.0)", "null"]).prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[a-z./]{1,8}", inner), 0..3)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    });
    prop::collection::vec(("[a-zA-Z0-9./_ -]{0,12}", value), 0..3)
        .prop_map(|entries| entries.into_iter().collect())
}

fn selector() -> impl Strategy<Value = Option<Selector>> {
    prop::option::of(select(vec!["true", "label(app)(x) && label(version)((.*))", "not name(a) or port(80)"]))
        .prop_map(|text| text.map(|text| Selector::parse(text).unwrap()))
}

fn condition() -> impl Strategy<Value = Option<Condition>> {
    prop::option::of(select(vec![
        "User-Agent == Firefox",
        "< url_beg /2 >",
        "hdr_sub(user-agent) Android",
        "has cookie 'a b'",
    ]))
    .prop_map(|text| text.map(|text| Condition::parse(text).unwrap()))
}

fn rewrites() -> impl Strategy<Value = Vec<Rewrite>> {
    let one = select(vec!["/v2%[path] if path_beg /api", "/x if has header y"]);
    prop::collection::vec(one.prop_map(|text| Rewrite::parse(text).unwrap()), 0..3)
}

fn balance() -> impl Strategy<Value = Balance> {
    select(vec![
        "default",
        "roundrobin",
        "static-rr",
        "leastconn",
        "first",
        "source",
        "uri",
        "url_param id",
        "hdr(Host)",
        "random",
    ])
    .prop_map(|text| Balance::parse(text).unwrap())
}

fn hundredths() -> impl Strategy<Value = Percent> {
    (0_u16..=10_000).prop_map(|h| Percent::from_hundredths(h).unwrap())
}

fn paths() -> impl Strategy<Value = Vec<RoutePath>> {
    let all = vec!["a", "b", "(1.0.3)", "(1.0.5),(IE)", "()", "1.0", "x:1", "c"];
    prop::sample::subsequence(all.clone(), 0..=all.len())
        .prop_shuffle()
        .prop_map(|paths| paths.into_iter().map(|path| RoutePath::parse(path).unwrap()).collect())
}

fn routes() -> impl Strategy<Value = Vec<(RoutePath, RouteSpec)>> {
    let route = (
        prop::option::of(hundredths()),
        condition(),
        prop::option::of(hundredths()),
        balance(),
        rewrites(),
        selector(),
        metadata(),
    )
        .prop_map(|(weight, condition, condition_strength, balance, rewrites, selector, metadata)| {
            RouteSpec { weight, condition, condition_strength, balance, rewrites, selector, metadata }
        });
    (paths(), prop::collection::vec(route, 8))
        .prop_map(|(paths, routes)| paths.into_iter().zip(routes).collect())
}

fn tls() -> impl Strategy<Value = Option<Tls>> {
    let files = |name: &str| CertificateSource::Files {
        certificate: format!("/etc/{name}.crt"),
        key: format!("/etc/{name}.key"),
    };
    let sources = vec![files("a"), files("b"), CertificateSource::Secret { secret: "shop-tls".into() }];
    let tls = (
        prop::sample::subsequence(sources, 1..=3),
        select(vec![TlsVersion::V12, TlsVersion::V13]),
        any::<bool>(),
    )
        .prop_map(|(certificates, minimum_version, redirect)| Tls {
            certificates,
            minimum_version,
            redirect,
        });
    prop::option::of(tls)
}

fn target_tls() -> impl Strategy<Value = Option<TargetTls>> {
    let name = prop::option::of(Just("shop.internal".to_owned()));
    let tls = (0..5, name).prop_map(|(place, server_name)| TargetTls {
        ca_file: (place == 1).then(|| "/etc/ca.crt".to_owned()),
        ca_secret: (place == 2).then(|| "shop-ca".to_owned()),
        ca_config_map: (place == 3).then(|| "shop-ca".to_owned()),
        server_name,
        insecure_skip_verification: place == 4,
    });
    prop::option::of(tls)
}

fn target_care() -> impl Strategy<Value = Option<TargetCare>> {
    let number = || prop::option::of(select(vec![0, 1, 1_000_000]));
    let time = || prop::option::of(select(vec!["1ms", "30s", "24h"]).prop_map(|t| Period::parse(t).unwrap()));
    let share = prop::option::of((0..=10_000_u16).prop_map(|h| Percent::from_hundredths(h).unwrap()));
    let care = (number(), time(), share, time(), number(), number()).prop_map(
        |(eject_after, ejection_time, most_ejected, slow_start, requests, pending)| TargetCare {
            eject_after,
            ejection_time,
            most_ejected,
            slow_start,
            requests,
            pending,
        },
    );
    prop::option::of(care).prop_map(|care| care.filter(|care| *care != TargetCare::default()))
}

fn spec() -> impl Strategy<Value = GatewaySpec> {
    let port = prop::option::of(select(vec!["9070", "9070/http", "0", "0/http"]))
        .prop_map(|p| p.map(|p| Port::parse(p).unwrap()));
    let service =
        prop::option::of(Just(ServiceAddress { host: "h".into(), port: Port::parse("80/http").unwrap() }));
    let sticky = prop::option::of(select(vec![Sticky::Route, Sticky::Instance]));
    let spoken = prop::option::of(select(vec![TargetProtocol::Http1, TargetProtocol::Http2]));
    let hosts = prop::sample::subsequence(vec!["a.example".to_owned(), "b.example".to_owned()], 0..=2);
    let name =
        select(vec!["g", "a/b", "a/b/c", "1.0", "NO"]).prop_map(|name| GatewayName::parse(name).unwrap());
    (
        name,
        metadata(),
        port,
        selector(),
        routes(),
        sticky,
        hosts,
        service,
        (tls(), target_tls(), target_care(), any::<bool>(), spoken),
    )
        .prop_map(
            |(
                name,
                metadata,
                port,
                selector,
                routes,
                sticky,
                virtual_hosts,
                service,
                (tls, target_tls, target_care, proxy_protocol, target_protocol),
            )| GatewaySpec {
                name,
                metadata,
                port,
                selector,
                routes,
                sticky,
                target_protocol,
                virtual_hosts,
                service,
                tls,
                target_tls,
                target_care,
                proxy_protocol,
            },
        )
}

/// What a gateway shows that was declared so, with weights that add up.
fn view(spec: &GatewaySpec) -> GatewayView {
    let weights = complete_weights(&vec![None; spec.routes.len()]);
    let routes = spec.routes.iter().zip(weights).map(|((path, route), weight)| {
        let view = RouteView {
            metadata: route.metadata.clone(),
            weight,
            condition: route.condition.clone(),
            condition_strength: route.strength(),
            balance: route.balance.clone(),
            rewrites: route.rewrites.clone(),
            selector: route.selector.clone(),
            targets: vec![TargetView::Url("10.0.0.1:80".into())],
        };
        (path.clone(), view)
    });
    GatewayView {
        name: spec.name.clone(),
        metadata: spec.metadata.clone(),
        service: ServiceAddress { host: "127.0.0.1".into(), port: Port::parse("9070").unwrap() },
        deployed: true,
        port: spec.port.unwrap_or(Port::assigned(40000, crate::port::Protocol::Http)),
        sticky: spec.sticky,
        target_protocol: spec.target_protocol,
        virtual_hosts: spec.virtual_hosts.clone(),
        tls: spec.tls.clone(),
        target_tls: spec.target_tls.clone(),
        target_care: spec.target_care.clone(),
        proxy_protocol: spec.proxy_protocol,
        selector: spec.selector.clone(),
        routes: routes.collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A document that was read may be sent back unchanged, as JSON and as YAML, and keeps everything that a user may set.
    #[test]
    fn what_is_shown_is_accepted_and_means_the_same(spec in spec()) {
        let view = view(&spec);
        let json = view.to_json();
        for text in [json.to_string(), yaml::to_string(&json)] {
            let document = GatewayDocument::read(&text).map_err(|p| TestCaseError::fail(format!("{text}\n{p}")))?;
            let back = document.resolve(&Nothing).map_err(|p| TestCaseError::fail(p.to_string()))?;
            prop_assert_eq!(&back.name, &view.name);
            prop_assert_eq!(&back.metadata, &view.metadata);
            prop_assert_eq!(back.port.map(|p| p.to_string()), Some(view.port.to_string()));
            prop_assert_eq!(&back.sticky, &view.sticky);
            prop_assert_eq!(&back.virtual_hosts, &view.virtual_hosts);
            prop_assert_eq!(&back.selector, &view.selector);
            prop_assert_eq!(&back.tls, &view.tls);
            prop_assert_eq!(&back.target_tls, &view.target_tls);
            prop_assert_eq!(&back.target_care, &view.target_care);
            prop_assert_eq!(back.proxy_protocol, view.proxy_protocol);
            prop_assert_eq!(back.routes.len(), view.routes.len());
            for ((path, route), (shown_path, shown)) in back.routes.iter().zip(&view.routes) {
                prop_assert_eq!(path, shown_path);
                prop_assert_eq!(route.weight, Some(shown.weight));
                prop_assert_eq!(&route.condition, &shown.condition);
                prop_assert_eq!(route.condition_strength, Some(shown.condition_strength));
                prop_assert_eq!(&route.balance, &shown.balance);
                prop_assert_eq!(&route.rewrites, &shown.rewrites);
                prop_assert_eq!(&route.selector, &shown.selector);
                prop_assert_eq!(&route.metadata, &shown.metadata);
            }
        }
    }

    /// Stored is exactly what was declared, whatever it was.
    #[test]
    fn stored_reads_back_exactly(spec in spec()) {
        let text = spec.to_stored().to_string();
        let value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(GatewaySpec::from_stored(&value).unwrap(), spec);
    }

    /// Given weights are never touched, and whenever something is missing the result is all of the traffic.
    #[test]
    fn completed_weights_add_up(given in prop::collection::vec(prop::option::of(hundredths()), 0..12)) {
        let sum: u32 = given.iter().flatten().map(|w| u32::from(w.hundredths())).sum();
        prop_assume!(sum <= 10_000);
        let completed = complete_weights(&given);
        prop_assert_eq!(completed.len(), given.len());
        for (before, after) in given.iter().zip(&completed) {
            prop_assert!(before.is_none_or(|before| before == *after));
        }
        let total: u32 = completed.iter().map(|w| u32::from(w.hundredths())).sum();
        prop_assert_eq!(total, if given.iter().any(Option::is_none) { 10_000 } else { sum });
    }

    /// No tree of values makes the reader panic.
    #[test]
    fn any_document_is_read_or_refused(metadata in metadata(), key in select(vec![
        "name", "kind", "port", "selector", "routes", "sticky", "virtual_hosts", "service", "metadata", "import",
    ])) {
        let mut map = metadata.clone();
        map.insert("name".into(), json!("g"));
        map.insert(key.into(), Value::Object(metadata));
        let _ = GatewayDocument::read(&Value::Object(map).to_string());
    }
}
