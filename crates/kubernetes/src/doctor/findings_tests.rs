use super::super::facts::{GatewayFact, Server, ServiceFact};
use super::*;
use crate::access::rights::RIGHTS;

fn healthy() -> Facts {
    let pods = |name: &str| Pods { ready: vec![name.to_owned()], ..Pods::default() };
    Facts {
        environment: "shop".into(),
        installation: "vamp".into(),
        server: Ok(Server { version: "v1.32.1".into(), number: (1, 32), ahead_seconds: Some(1) }),
        definitions: vec![("gateways.vamp.io".into(), Ok(Definition::Same))],
        own_rights: Vec::new(),
        controller_rights: RIGHTS
            .iter()
            .map(|right| Checked { right: *right, namespace: Some("shop".into()), missing: Ok(Vec::new()) })
            .collect(),
        controller: Ok(Some(Controller { kind: "Deployment", wanted: 2, ready: 2 })),
        controller_pods: Ok(Pods { leaders: vec!["c-1".into()], ..pods("c-1") }),
        lease: Ok(Some(Lease { holder: "c-1".into(), age_seconds: Some(1), duration_seconds: 15 })),
        agents: Ok(pods("a-1")),
        gateways: Ok(vec![GatewayFact { name: "shop".into(), service: "shop".into(), failing: Vec::new() }]),
        services: Ok(vec![ServiceFact { name: "shop".into(), own: true, leads_to_agents: true }]),
        authority: Ok(Some("QUJDCg==".into())),
        published: Ok(Some("ABC\n".into())),
        webhooks: Ok(Vec::new()),
    }
}

#[test]
fn nothing_is_wrong_with_a_healthy_installation() {
    let all = findings(&healthy());
    assert!(all.iter().all(|finding| finding.level == Level::Fine && finding.mend.is_none()), "{all:#?}");
}

/// Each thing that can be wrong is found, once, with a way out.
#[test]
fn what_is_wrong_is_found_with_the_way_out() {
    type Damage = fn(&mut Facts);
    let cases: &[(Level, &str, &str, Damage)] = &[
        (Level::Error, "cannot be reached: refused", "kubectl version", |f| f.server = Err("refused".into())),
        (Level::Error, "Kubernetes v1.19", "1.20 or later", |f| {
            f.server = Ok(Server { version: "v1.19.3".into(), number: (1, 19), ahead_seconds: None });
        }),
        (Level::Warning, "are 90 s apart", "set the clocks", |f| {
            f.server = Ok(Server { version: "v1.20.0".into(), number: (1, 20), ahead_seconds: Some(-90) });
        }),
        (Level::Error, "gateways.vamp.io is not defined", "kubectl apply", |f| {
            f.definitions[0].1 = Ok(Definition::Missing);
        }),
        (Level::Warning, "first at spec.names", "kubectl apply", |f| {
            f.definitions[0].1 = Ok(Definition::Different("spec.names".into()));
        }),
        (Level::Warning, "you may not keep artifacts", "or the rule {apiGroups", |f| {
            let right = *RIGHTS.iter().find(|right| right.resource == "records").unwrap();
            let missing = Ok(vec!["get".into()]);
            f.own_rights.push(Checked { right, namespace: Some("shop".into()), missing });
        }),
        (Level::Error, "scaled to nothing", "--replicas 1", |f| {
            f.controller = Ok(Some(Controller { kind: "Deployment", wanted: 0, ready: 0 }));
        }),
        (Level::Error, "0 of 2 controllers are ready", "describe deployment", |f| {
            f.controller = Ok(Some(Controller { kind: "Deployment", wanted: 2, ready: 0 }));
        }),
        (Level::Warning, "1 of 2 controllers", "describe deployment", |f| {
            f.controller = Ok(Some(Controller { kind: "Deployment", wanted: 2, ready: 1 }));
        }),
        (Level::Error, "no Deployment 'vamp-controller'", "--installation", |f| f.controller = Ok(None)),
        (Level::Warning, "the controller cannot be checked: you may not see", "administers", |f| {
            f.controller = Err("you may not see /x".into());
        }),
        (Level::Warning, "controller pod c-2 is not ready: ImagePullBackOff", "describe pod c-2", |f| {
            f.controller_pods.as_mut().unwrap().waiting.insert("c-2".into(), "ImagePullBackOff".into());
        }),
        (Level::Error, "nobody holds the Lease", "logs deployment/vamp-controller", |f| {
            f.lease = Ok(Some(Lease { holder: "c-1".into(), age_seconds: Some(300), duration_seconds: 15 }));
        }),
        (Level::Error, "no controller ever led", "logs deployment/vamp-controller", |f| f.lease = Ok(None)),
        (Level::Error, "0 pods carry the label vamp.io/leader", "it should be one", |f| {
            f.controller_pods.as_mut().unwrap().leaders.clear();
        }),
        (Level::Error, "may not get secrets in namespace 'shop'", "resourceNames: [vamp-ca]", |f| {
            let secrets = |c: &&mut Checked| c.right.resource == "secrets" && !c.right.names.is_empty();
            f.controller_rights.iter_mut().find(secrets).unwrap().missing = Ok(vec!["get".into()]);
        }),
        (
            Level::Warning,
            "may not ask the API server who callers are",
            "kubectl create clusterrolebinding",
            |f| {
                let reviews = |c: &&mut Checked| c.right.resource == "tokenreviews";
                f.controller_rights.iter_mut().find(reviews).unwrap().missing = Ok(vec!["create".into()]);
            },
        ),
        (Level::Warning, "rights of vamp-environment cannot be checked", "administers", |f| {
            f.controller_rights[0].missing = Err("you may not ask about the rights of others".into());
        }),
        (Level::Error, "no Secret 'vamp-ca' in namespace 'vamp'", "rollout restart", |f| {
            f.authority = Ok(None)
        }),
        (Level::Error, "no ConfigMap 'vamp-ca' in namespace 'shop'", "rollout restart", |f| {
            f.published = Ok(None)
        }),
        (Level::Error, "is not the certificate in the Secret", "rollout restart", |f| {
            f.published = Ok(Some("other".into()));
        }),
        (Level::Error, "there is no agent", "install the Deployment or DaemonSet", |f| {
            f.agents = Ok(Pods::default())
        }),
        (Level::Error, "no agent is ready", "describe pods", |f| {
            f.agents = Ok(Pods { waiting: BTreeMap::from([("a".into(), "x".into())]), ..Pods::default() });
        }),
        (Level::Error, "gateway shop is not Accepted: port 1", "kubectl -n shop describe", |f| {
            let failing = vec![("Accepted".into(), "port 1 is taken".into())];
            f.gateways.as_mut().unwrap()[0].failing = failing;
        }),
        (Level::Warning, "gateway shop is not Programmed", "kubectl -n shop describe", |f| {
            f.gateways.as_mut().unwrap()[0].failing = vec![("Programmed".into(), "no agent".into())];
        }),
        (Level::Error, "does not lead to pods with the label", "controller mends it", |f| {
            f.services.as_mut().unwrap()[0].leads_to_agents = false;
        }),
        (Level::Error, "is not Vamp's and has the name", "rename", |f| {
            f.services.as_mut().unwrap()[0].own = false
        }),
        (Level::Warning, "webhooks may refuse", "leave the group vamp.io out", |f| {
            f.webhooks = Ok(vec!["policy".into()]);
        }),
    ];
    for (level, message, mend, damage) in cases {
        let mut facts = healthy();
        damage(&mut facts);
        let all = findings(&facts);
        let found: Vec<_> = all.iter().filter(|finding| finding.message.contains(message)).collect();
        assert_eq!(found.len(), 1, "{message}: {all:#?}");
        assert_eq!(found[0].level, *level, "{message}");
        let way_out = found[0].mend.as_deref().unwrap_or_default();
        assert!(way_out.contains(mend), "{message}: {way_out}");
    }
}

/// An installation without the optional rights is a good one.
#[test]
fn optional_rights_are_optional() {
    let mut facts = healthy();
    for checked in &mut facts.controller_rights {
        if matches!(checked.right.scope, Scope::Discovery | Scope::Elsewhere) {
            checked.missing = Ok(vec!["list".into()]);
        }
    }
    assert!(findings(&facts).iter().all(|finding| finding.level == Level::Fine));
}

#[test]
fn secrets_are_read_as_text() {
    for (text, expected) in
        [("QUJDCg==", Some("ABC\n")), ("QUI=", Some("AB")), ("", Some("")), ("*", None), ("/w==", None)]
    {
        assert_eq!(base64(text).as_deref(), expected, "{text}");
    }
}
