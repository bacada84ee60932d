use super::*;

fn gateway(name: &str, port: u16) -> Gateway {
    Gateway { name: GatewayName::parse(name).unwrap(), port, protocol: Protocol::Http }
}

/// A Service as the API server would have it after `Create`.
fn made(name: &str, port: u16) -> Service {
    let gateway = gateway(name, port);
    let mut body = body(&gateway, &service_name(&gateway.name), &Rules::default());
    body["metadata"]["uid"] = format!("uid-{name}").into();
    body["metadata"]["resourceVersion"] = "7".into();
    body["metadata"]["namespace"] = "prod".into();
    body["spec"]["clusterIP"] = "10.96.0.9".into();
    body["spec"]["ports"][0]["nodePort"] = 30_123.into();
    serde_json::from_value(body).unwrap()
}

fn changed(service: &Service, change: impl FnOnce(&mut Service)) -> Service {
    let mut service = service.clone();
    change(&mut service);
    service
}

fn planned(gateways: &[Gateway], existing: &[Service], rules: &Rules) -> Plan {
    let existing = existing.iter().map(|s| (s.metadata.name.clone(), s.clone())).collect();
    plan(gateways, &existing, rules)
}

/// R38.
#[test]
fn names() {
    for name in ["a", "sava", "sava-product", "a2-3", &"x".repeat(63)] {
        assert_eq!(service_name(&GatewayName::parse(name).unwrap()), name);
    }
    let changed = [
        ("sava_gateway", "sava-gateway-"),
        ("Shop", "shop-"),
        ("1shop", "shop-"),
        ("shop-", "shop-"),
        ("sava/sava/webport", "sava-sava-webport-"),
        ("9080", "gateway-"),
        ("läden", "l-den-"),
        (&"x".repeat(64), &format!("{}-", "x".repeat(54))),
    ];
    let mut seen = BTreeSet::new();
    for (name, start) in changed {
        let name = GatewayName::parse(name).unwrap();
        let service = service_name(&name);
        let digits = service.strip_prefix(start).unwrap_or_else(|| panic!("{service} begins with {start}"));
        assert!(digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{service}");
        assert!(is_label(&service), "{service}");
        assert_eq!(service, service_name(&name), "always the same");
        assert!(seen.insert(service), "{name} has a name of its own");
    }
}

#[test]
fn label_values() {
    let rows = [
        ("shop", Some("shop")),
        ("sava/sava/webport", Some("sava_sava_webport")),
        ("a", None),
        ("-a", None),
        ("a b:c", Some("a_b_c")),
        (&"x".repeat(63), Some(&*"x".repeat(63))),
        (&"x".repeat(64), None),
    ];
    for (text, expected) in rows {
        assert_eq!(label_value(text).as_deref(), expected, "{text}");
    }
}

/// R39, and the table of 18.2.
#[test]
fn a_missing_service_is_created_whole() {
    let plan = planned(&[gateway("sava/shop", 9050)], &[], &Rules::default());
    let [Action::Create { name, body }] = plan.actions.as_slice() else { panic!("{:?}", plan.actions) };
    let gateway = GatewayName::parse("sava/shop").unwrap();
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "labels": {
                "io.vamp": "gateway", "io.vamp.gateway": "sava_shop", "io.vamp.lookup_name": lookup::gateway(&gateway),
                "io.vamp.owner": "vamp",
            },
        },
        "spec": {
            "type": "NodePort",
            "selector": {"io.vamp": "vamp-gateway-agent"},
            "ports": [{"port": 9050, "targetPort": 9050, "protocol": "TCP"}],
        },
    });
    assert_eq!(*body, expected);
    assert_eq!(plan.services[&gateway], GatewayService::default());
}

/// R40: what there is -> the `spec` and `labels` of the patch, null for none.
#[test]
fn services_are_brought_back_to_what_they_should_be() {
    let shop = made("shop", 9050);
    let right = json!({"port": 9050, "targetPort": 9050, "protocol": "TCP", "nodePort": 30_123});
    let rows = [
        ("as it should be", shop.clone(), Value::Null, Value::Null),
        (
            "others add labels",
            changed(&shop, |s| drop(s.metadata.labels.insert("team".into(), "red".into()))),
            Value::Null,
            Value::Null,
        ),
        (
            "the port changed",
            changed(&shop, |s| s.spec.ports[0].port = 1),
            json!({"ports": [right]}),
            Value::Null,
        ),
        (
            "another target port",
            changed(&shop, |s| s.spec.ports[0].target_port = Some(json!("web"))),
            json!({"ports": [right]}),
            Value::Null,
        ),
        (
            "a port name, as the original wrote it",
            changed(&shop, |s| s.spec.ports[0].name = Some("port".into())),
            json!({"ports": [right]}),
            Value::Null,
        ),
        (
            "one port too many",
            changed(&shop, |s| s.spec.ports.push(s.spec.ports[0].clone())),
            json!({"ports": [right]}),
            Value::Null,
        ),
        (
            "another type",
            changed(&shop, |s| s.spec.kind = Some("LoadBalancer".into())),
            json!({"type": "NodePort"}),
            Value::Null,
        ),
        (
            "another selector",
            changed(&shop, |s| drop(s.spec.selector.insert("app".into(), "x".into()))),
            json!({"selector": {"app": null, "io.vamp": "vamp-gateway-agent"}}),
            Value::Null,
        ),
        (
            "a label is wrong",
            changed(&shop, |s| drop(s.metadata.labels.insert(GATEWAY.into(), "x".into()))),
            Value::Null,
            json!({GATEWAY: "shop"}),
        ),
        (
            "the label that names the gateway is gone",
            changed(&shop, |s| drop(s.metadata.labels.remove(LOOKUP))),
            Value::Null,
            json!({LOOKUP: lookup::gateway(&GatewayName::parse("shop").unwrap())}),
        ),
    ];
    for (what, service, spec, labels) in rows {
        let plan = planned(&[gateway("shop", 9050)], &[service], &Rules::default());
        let patch = match plan.actions.as_slice() {
            [] => json!({}),
            [Action::Update { name, patch }] if name == "shop" => patch.clone(),
            other => panic!("{what}: {other:?}"),
        };
        assert_eq!(patch.get("spec").unwrap_or(&Value::Null), &spec, "{what}");
        assert_eq!(patch.pointer("/metadata/labels").unwrap_or(&Value::Null), &labels, "{what}");
        if !spec.is_null() || !labels.is_null() {
            assert_eq!(patch["metadata"]["resourceVersion"], "7", "{what}");
        }
    }
}

/// Type -> (patch of the Service that was a NodePort, address).
#[test]
fn types_and_addresses() {
    let port = |node_port| port(&gateway("shop", 9050), node_port);
    let rows = [
        (ServiceType::NodePort, Value::Null, "30123/http"),
        (ServiceType::LoadBalancer, json!({"type": "LoadBalancer"}), "9050/http"),
        (ServiceType::ClusterIp, json!({"type": "ClusterIP", "ports": [port(None)]}), "9050/http"),
    ];
    for (service_type, spec, expected) in rows {
        let rules = Rules { service_type, ..Rules::default() };
        let plan = planned(&[gateway("shop", 9050)], &[made("shop", 9050)], &rules);
        let patch = match plan.actions.as_slice() {
            [Action::Update { patch, .. }] => patch["spec"].clone(),
            _ => Value::Null,
        };
        assert_eq!(patch, spec, "{service_type}");
        let address = plan.services.values().next().unwrap().address.clone().unwrap();
        assert_eq!((address.host.as_str(), &*address.port.to_string()), ("10.96.0.9", expected));
    }
    let none_yet = changed(&made("shop", 9050), |s| s.spec.ports[0].node_port = None);
    let plan = planned(&[gateway("shop", 9050)], &[none_yet], &Rules::default());
    assert_eq!(plan.services.values().next().unwrap().address, None);
}

#[test]
fn only_marked_services_are_deleted_and_only_by_identity() {
    let foreign = changed(&made("old", 1), |s| drop(s.metadata.labels.remove(MARK)));
    let other_mark = changed(&made("agent", 1), |s| {
        s.metadata.labels.insert(MARK.into(), "vamp-gateway-agent".into());
    });
    let going = changed(&made("going", 1), |s| s.metadata.deletion_timestamp = Some("now".into()));
    let plan = planned(&[], &[made("gone", 1), foreign, other_mark, going], &Rules::default());
    let expected = Action::Delete { name: "gone".into(), uid: "uid-gone".into(), version: "7".into() };
    assert_eq!(plan.actions, [expected]);
}

#[test]
fn a_foreign_service_is_left_alone() {
    let foreign = changed(&made("shop", 1), |s| s.metadata.labels.clear());
    let plan = planned(&[gateway("shop", 9050)], &[foreign], &Rules::default());
    let shop = GatewayName::parse("shop").unwrap();
    assert_eq!(plan.actions, [Action::Foreign { gateway: shop.clone(), name: "shop".into() }]);
    assert_eq!(plan.services[&shop], GatewayService { address: None, blocked: true });
}

#[test]
fn another_installation_keeps_what_is_its_own() {
    let other = Rules { owner: "other".into(), ..Rules::default() };
    let of_other = |name: &str| {
        changed(&made(name, 1), |s| drop(s.metadata.labels.insert(OWNER.into(), "other".into())))
    };
    let plan = planned(&[gateway("shop", 9050)], &[of_other("shop"), of_other("gone")], &Rules::default());
    let shop = GatewayName::parse("shop").unwrap();
    assert_eq!(plan.actions, [Action::Foreign { gateway: shop.clone(), name: "shop".into() }]);
    assert!(plan.services[&shop].blocked);
    // What has no owner yet is taken over, and says so.
    let old = changed(&made("shop", 9050), |s| drop(s.metadata.labels.remove(OWNER)));
    let plan = planned(&[gateway("shop", 9050)], &[old], &other);
    let [Action::Update { patch, .. }] = plan.actions.as_slice() else { panic!("{:?}", plan.actions) };
    assert_eq!(patch["metadata"]["labels"], json!({OWNER: "other"}));
}

/// Services are matched by label; the name decides only among several.
#[test]
fn odd_cases() {
    let renamed = changed(&made("shop", 9050), |s| s.metadata.name = "hex123".into());
    let plan = planned(&[gateway("shop", 9050)], std::slice::from_ref(&renamed), &Rules::default());
    assert_eq!(plan.actions, [], "the original's names stay, and with them node ports");

    let plan = planned(&[gateway("shop", 9050)], &[renamed, made("shop", 9050)], &Rules::default());
    assert!(matches!(plan.actions.as_slice(), [Action::Delete { name, .. }] if name == "hex123"), "{plan:?}");

    let going = changed(&made("shop", 9050), |s| s.metadata.deletion_timestamp = Some("now".into()));
    let plan = planned(&[gateway("shop", 9050)], &[going], &Rules::default());
    assert_eq!(plan.actions, [], "its name is free only once it is gone");

    // A Service of a gateway that is gone has the name of a new one.
    let leftover = changed(&made("old", 1), |s| s.metadata.name = "shop".into());
    let plan = planned(&[gateway("shop", 9050)], &[leftover], &Rules::default());
    assert!(matches!(plan.actions.as_slice(), [Action::Update { name, .. }] if name == "shop"), "{plan:?}");

    // A gateway whose name is what becomes of another's.
    let odd = gateway("Shop", 1);
    let taken = gateway(&service_name(&odd.name), 2);
    let plan = planned(&[odd, taken.clone()], &[], &Rules::default());
    assert!(
        matches!(plan.actions.as_slice(), [Action::Create { .. }, Action::Foreign { gateway, .. }] if *gateway == taken.name),
        "{plan:?}"
    );
}

/// What is planned, once done, needs nothing more.
#[test]
fn plans_settle() {
    let gateways = [
        gateway("shop", 9050),
        gateway("sava/x", 9051),
        gateway("Odd Name".replace(' ', "_").as_str(), 9052),
    ];
    let made: Vec<Service> = gateways.iter().map(|g| made(g.name.as_str(), g.port)).collect();
    assert_eq!(planned(&gateways, &made, &Rules::default()).actions, []);
}
