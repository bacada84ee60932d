//! Everything at once, from a seed: whatever goes wrong on the way, in the end what is shown is what there is, the Services are as
//! planned, and nothing foreign was ever written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kubernetes::{Action, Gateway, Rules, Service, plan};
use serde_json::{Value, json};
use testkit::cluster::{Cluster, Faults};

use crate::world::{NAMESPACE, World, eventually, gateway, keep, pod, service, shape};

const STEPS: usize = 80;

pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seed_1() {
    chaos(0x9e37_79b9_7f4a_7c15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seed_2() {
    chaos(0x1234_5678_9abc_def1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seed_3() {
    chaos(0xdead_beef_cafe_f00d).await;
}

async fn chaos(seed: u64) {
    let mut dice = Dice(seed);
    let cluster = Cluster::start(seed).await.unwrap();
    // Two that have names of gateways to come, one with a label of Vamp's that is no mark.
    for (name, labels) in [
        ("gate-1", json!({})),
        ("gate-2", json!({"io.vamp": "vamp-gateway-agent"})),
        ("db", json!({"app": "db"})),
    ] {
        cluster.apply("services", service(NAMESPACE, name, labels));
    }
    let mut foreign: BTreeMap<String, Value> = (cluster.objects("services").into_iter())
        .map(|object| (object["metadata"]["name"].as_str().unwrap().to_owned(), object))
        .collect();
    let world = World::new(cluster).await;
    let (gateways, report) = keep(&world, Vec::new());
    let mut wanted: Vec<Gateway> = Vec::new();

    world.cluster.set_faults(Faults {
        errors: 15,
        conflicts: 15,
        drops: 15,
        duplicates: 20,
        swaps: 30,
        gone: 3,
        slow_lists: 30,
        slowness: Duration::from_millis(50),
        ..Faults::default()
    });
    for _ in 0..STEPS {
        let pod_name = format!("pod-{}", dice.roll(12));
        match dice.roll(12) {
            0..=3 => world.cluster.apply("pods", pod(NAMESPACE, &pod_name, dice.roll(3) > 0)),
            4 => drop(world.cluster.remove("pods", NAMESPACE, &pod_name)),
            5 | 6 => {
                let name = format!("gate-{}", dice.roll(8));
                wanted.retain(|gateway| gateway.name.as_str() != name);
                let port = 9000 + u16::try_from(dice.roll(100)).unwrap();
                wanted.push(gateway(&name, port));
                gateways.send_replace(Arc::new(wanted.clone()));
            }
            7 => {
                let name = format!("gate-{}", dice.roll(8));
                wanted.retain(|gateway| gateway.name.as_str() != name);
                gateways.send_replace(Arc::new(wanted.clone()));
            }
            8 => {
                // Somebody edits or deletes one of Vamp's.
                let name = format!("gate-{}", dice.roll(8));
                if let Some(mut object) = world.cluster.object("services", NAMESPACE, &name)
                    && !foreign.contains_key(&name)
                {
                    object["spec"]["ports"][0]["port"] = json!(dice.roll(1000) + 1);
                    world.cluster.apply("services", object);
                }
            }
            9 => {
                // Somebody edits their own.
                let name = if dice.roll(2) == 0 { "db" } else { "gate-1" };
                let mut object = world.cluster.object("services", NAMESPACE, name).unwrap();
                object["metadata"]["labels"]["edit"] = json!(dice.roll(1000).to_string());
                world.cluster.apply("services", object);
                foreign.insert(name.into(), world.cluster.object("services", NAMESPACE, name).unwrap());
            }
            10 => world.cluster.drop_watches(),
            _ => world.cluster.compact(),
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(15))).await;
    }
    world.cluster.set_faults(Faults::default());

    let observation = world.observation.clone();
    eventually("what is shown is what there is", || {
        let seen = observation.borrow().clone();
        let pods = world.cluster.objects("pods");
        let expected: Vec<_> = pods.iter().map(expected_pod).collect();
        let shown: Vec<_> = seen
            .instances
            .iter()
            .filter(|i| i.kind == model::instance::InstanceKind::Pod)
            .map(shape)
            .collect();
        if shown == expected && seen.problem.is_none() && seen.complete {
            Ok(())
        } else {
            Err(format!("shown {shown:?}, there {expected:?}, problem {:?}", seen.problem))
        }
    })
    .await;
    eventually("the Services are as planned", || {
        let existing: BTreeMap<String, Service> = (world.cluster.objects("services").into_iter())
            .map(|object| serde_json::from_value::<Service>(object).unwrap())
            .map(|service| (service.metadata.name.clone(), service))
            .collect();
        let plan = plan(&wanted, &existing, &Rules::default());
        let left: Vec<_> =
            plan.actions.iter().filter(|action| !matches!(action, Action::Foreign { .. })).collect();
        if !left.is_empty() {
            return Err(format!("left to do: {left:?}"));
        }
        if **report.borrow() == plan.services { Ok(()) } else { Err(format!("{:?}", report.borrow())) }
    })
    .await;
    for write in world.cluster.writes() {
        let before = &write.before;
        assert!(before.is_null() || before["metadata"]["labels"]["io.vamp"] == "gateway", "{write:?}");
    }
    for (name, object) in foreign {
        assert_eq!(world.cluster.object("services", NAMESPACE, &name), Some(object));
    }
    world.platform.stop().await;
}

fn expected_pod(pod: &Value) -> (String, String, bool, bool) {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap().to_owned();
    let ready = pod["status"]["conditions"][0]["status"] == "True";
    (text("namespace"), text("name"), ready, true)
}
