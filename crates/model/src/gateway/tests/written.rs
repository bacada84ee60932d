//! The output form, to the letter.

use super::*;

fn view() -> GatewayView {
    let route = RouteView {
        metadata: Map::new(),
        weight: percent("90%"),
        condition: None,
        condition_strength: Percent::ZERO,
        balance: Balance::Default,
        rewrites: Vec::new(),
        selector: None,
        targets: vec![TargetView::Url("10.1.0.7:8080".into())],
    };
    let conditional = RouteView {
        weight: percent("10%"),
        condition: Some(Condition::parse("User-Agent == Firefox").unwrap()),
        condition_strength: Percent::FULL,
        rewrites: vec![Rewrite::parse("/v2%[path] if path_beg /api").unwrap()],
        targets: vec![TargetView::Named { name: "blue".into(), host: "10.0.12.7".into(), port: 40000 }],
        ..route.clone()
    };
    GatewayView {
        name: GatewayName::parse("front").unwrap(),
        metadata: Map::new(),
        service: ServiceAddress { host: "10.0.12.7".into(), port: Port::parse("9070").unwrap() },
        deployed: true,
        port: Port::parse("9070").unwrap(),
        sticky: Some(Sticky::Route),
        target_protocol: None,
        virtual_hosts: vec!["front.vamp".into()],
        tls: None,
        target_tls: None,
        target_care: None,
        proxy_protocol: false,
        selector: None,
        routes: vec![
            (RoutePath::parse("[10.1.0.7:8080]").unwrap(), route),
            (RoutePath::parse("blue").unwrap(), conditional),
        ],
    }
}

#[test]
fn fields_and_their_order() {
    let expected = concat!(
        r#"{"name":"front","kind":"gateways","metadata":{},"lookup_name":"eb07617f7220f64e222c2efdf5b8909ad33ff4b2","#,
        r#""internal":false,"service":{"host":"10.0.12.7","port":"9070/http"},"deployed":true,"port":"9070","sticky":"route","#,
        r#""virtual_hosts":["front.vamp"],"selector":null,"routes":{"#,
        r#""[10.1.0.7:8080]":{"metadata":{},"lookup_name":"903fb3178ea541d66d5c4c78901b6132e0446452","selector":null,"#,
        r#""weight":"90%","balance":"default","condition":null,"condition_strength":"0%","rewrites":[],"#,
        r#""targets":[{"url":"10.1.0.7:8080"}]},"#,
        r#""blue":{"metadata":{},"lookup_name":"LOOKUP","selector":null,"#,
        r#""weight":"10%","balance":"default","condition":{"condition":"User-Agent == Firefox"},"condition_strength":"100%","#,
        r#""rewrites":[{"path":"/v2%[path] if path_beg /api"}],"targets":[{"name":"blue","host":"10.0.12.7","port":40000}]}}}"#,
    );
    let id = crate::lookup::route(&GatewayName::parse("front").unwrap(), &RoutePath::parse("blue").unwrap());
    assert_eq!(view().to_json().to_string(), expected.replace("LOOKUP", &id));
}

#[test]
fn variants() {
    let mut view = view();
    view.name = GatewayName::parse("a/b/c").unwrap();
    view.port = Port::assigned(40000, crate::port::Protocol::Http);
    view.sticky = None;
    view.selector = Some(Selector::parse("label(app)(x)").unwrap());
    let json = view.to_json();
    assert_eq!(json["internal"], true);
    assert_eq!(json["port"], "40000/http");
    assert_eq!(json["sticky"], Value::Null);
    assert_eq!(json["selector"], "label(app)(x)");
    view.sticky = Some(Sticky::Instance);
    assert_eq!(view.to_json()["sticky"], "instance");
}

#[test]
fn stored_form() {
    let spec = GatewaySpec {
        name: GatewayName::parse("g").unwrap(),
        metadata: Map::new(),
        port: None,
        selector: None,
        routes: Vec::new(),
        sticky: None,
        target_protocol: None,
        virtual_hosts: Vec::new(),
        service: None,
        tls: None,
        target_tls: None,
        target_care: None,
        proxy_protocol: false,
    };
    assert_eq!(spec.to_stored().to_string(), r#"{"format":1,"gateway":{"name":"g"}}"#);
    for (text, part) in [
        ("{}", "without format"),
        ("5", "without format"),
        (r#"{"format":2,"gateway":{"name":"g"}}"#, "format 2"),
        (r#"{"format":1}"#, "without content"),
        (r#"{"format":1,"gateway":{}}"#, "name"),
        (r#"{"format":1,"gateway":{"name":"g","selector":"("}}"#, "cannot be read"),
    ] {
        let error = GatewaySpec::from_stored(&serde_json::from_str(text).unwrap()).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}
