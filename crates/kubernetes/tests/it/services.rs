//! What is written (R38-R40).

use std::sync::Arc;

use serde_json::json;
use testkit::cluster::Cluster;

use crate::world::{NAMESPACE, World, eventually, gateway, keep, service};

#[tokio::test]
async fn a_service_lives_with_its_gateway() {
    let cluster = Cluster::start(11).await.unwrap();
    let world = World::new(cluster).await;
    let (gateways, mut report) = keep(&world, vec![gateway("shop", 9050)]);
    let shop = gateway("shop", 9050).name;
    let address = |report: &mut crate::world::Report| {
        report.borrow_and_update().get(&shop).and_then(|service| service.address.clone())
    };
    eventually("created and reported", || match address(&mut report) {
        Some(address) if address.host.starts_with("10.96.") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let made = world.cluster.object("services", NAMESPACE, "shop").unwrap();
    let (node_port, cluster_ip) =
        (made["spec"]["ports"][0]["nodePort"].clone(), made["spec"]["clusterIP"].clone());
    assert_eq!(made["spec"]["selector"], json!({"io.vamp": "vamp-gateway-agent"}));
    assert_eq!(made["spec"]["ports"][0].get("name"), None, "R39");

    gateways.send_replace(Arc::new(vec![gateway("shop", 9060)]));
    eventually("the port follows, node port and cluster IP stay", || {
        let spec = &world.cluster.object("services", NAMESPACE, "shop").unwrap()["spec"];
        let port = &spec["ports"][0];
        let right = port["port"] == 9060 && port["nodePort"] == node_port && spec["clusterIP"] == cluster_ip;
        if right { Ok(()) } else { Err(spec.to_string()) }
    })
    .await;

    // Somebody damages it, somebody deletes it.
    let mut damaged = world.cluster.object("services", NAMESPACE, "shop").unwrap();
    damaged["spec"]["selector"] = json!({"app": "other"});
    world.cluster.apply("services", damaged);
    eventually("repaired", || {
        let selector =
            world.cluster.object("services", NAMESPACE, "shop").unwrap()["spec"]["selector"].clone();
        if selector == json!({"io.vamp": "vamp-gateway-agent"}) { Ok(()) } else { Err(selector.to_string()) }
    })
    .await;
    world.cluster.remove("services", NAMESPACE, "shop");
    let there = || world.cluster.object("services", NAMESPACE, "shop").is_some();
    eventually("made again", || if there() { Ok(()) } else { Err("gone".into()) }).await;

    gateways.send_replace(Arc::new(Vec::new()));
    eventually("removed with its gateway", || if there() { Err("there".into()) } else { Ok(()) }).await;
}

#[tokio::test]
async fn a_foreign_service_is_reported_and_never_touched() {
    let cluster = Cluster::start(12).await.unwrap();
    cluster.apply("services", service(NAMESPACE, "shop", json!({"io.vamp": "vamp-gateway-agent"})));
    let before = cluster.object("services", NAMESPACE, "shop");
    let world = World::new(cluster).await;
    let (_gateways, report) = keep(&world, vec![gateway("shop", 9050), gateway("other", 9051)]);
    let blocked = |name: &str| report.borrow().get(&gateway(name, 1).name).map(|service| service.blocked);
    eventually("reported", || match (blocked("shop"), blocked("other")) {
        (Some(true), Some(false)) if world.cluster.object("services", NAMESPACE, "other").is_some() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(world.cluster.object("services", NAMESPACE, "shop"), before);

    world.cluster.remove("services", NAMESPACE, "shop");
    eventually("made once the name is free", || match blocked("shop") {
        Some(false) if world.cluster.object("services", NAMESPACE, "shop").is_some() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

/// Without the right to write, everything else goes on; once given, the work is done.
#[tokio::test]
async fn a_missing_right_to_write_is_waited_for() {
    let cluster = Cluster::start(13).await.unwrap();
    cluster.forbid("create services");
    let mut world = World::new(cluster).await;
    let (_gateways, report) = keep(&world, vec![gateway("shop", 9050)]);
    world.until("pods are seen all the same", |seen| seen.complete && seen.problem.is_none()).await;
    eventually("planned", || if report.borrow().is_empty() { Err("no report".into()) } else { Ok(()) }).await;
    world.cluster.permit("create services");
    eventually("made", || {
        world.cluster.object("services", NAMESPACE, "shop").map(drop).ok_or_else(|| "not there".into())
    })
    .await;
}
