//! Two writers, a cluster that is seen late, writes that get lost or whose answer does, and a process that ends at any moment.
//!
//! Between moments of rest each side writes some fields. At rest both sides must agree, and for each field: where one side wrote
//! it, its last value is in force; where both did, the last value of one of them; else nothing moved. Weights are such a field.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use control::{Control, ManualClock, Settings};
use kubernetes::gateways::{Refusals, Refused, Resource, Step};
use model::gateway::GatewayDocument;
use model::instance::Observation;
use model::name::GatewayName;
use serde_json::{Map, Value, json};
use store::{MemoryStore, Store};
use tokio::sync::watch;

use super::{planned, request};

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// The cluster: one object, as the API server keeps it.
#[derive(Clone, Default)]
struct Cluster {
    object: Option<Resource>,
    made: u64,
    version: u64,
}

impl Cluster {
    fn create(&mut self, spec: Map<String, Value>, actor: &str) -> bool {
        if self.object.is_some() {
            return false;
        }
        self.made += 1;
        self.version += 1;
        let (uid, version) = (format!("u{}", self.made), self.version.to_string());
        let own = if actor == "vamp" { spec.keys().cloned().collect() } else { BTreeSet::new() };
        self.object = Some(resource(uid, version, 1, actor, own, spec));
        true
    }

    /// A merge patch of the spec; with a version, only for that one.
    fn patch(&mut self, patch: &Value, version: Option<&str>, actor: &str) -> bool {
        let Some(object) = self.object.as_ref().filter(|object| version.is_none_or(|v| v == object.version))
        else {
            return false;
        };
        let mut spec = object.spec.clone();
        merge(&mut spec, patch);
        if spec != object.spec {
            self.version += 1;
            // Whoever changes a field owns it from then on.
            let mut own = object.own.clone();
            for field in spec.keys().chain(object.spec.keys()).filter(|f| spec.get(*f) != object.spec.get(*f))
            {
                if actor == "vamp" {
                    own.insert(field.clone())
                } else {
                    own.remove(field)
                };
            }
            let (uid, generation) = (object.uid.clone(), object.generation + 1);
            self.object = Some(resource(uid, self.version.to_string(), generation, actor, own, spec));
        }
        true
    }

    fn delete(&mut self, version: Option<&str>) -> bool {
        let meant = self.object.as_ref().is_some_and(|object| version.is_none_or(|v| v == object.version));
        if meant {
            self.object = None;
        }
        meant
    }
}

fn merge(into: &mut Map<String, Value>, patch: &Value) {
    for (key, value) in patch.as_object().into_iter().flatten() {
        match (into.get_mut(key), value) {
            (_, Value::Null) => drop(into.remove(key)),
            (Some(Value::Object(inner)), Value::Object(_)) => merge(inner, value),
            _ => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

fn resource(
    uid: String,
    version: String,
    generation: i64,
    actor: &str,
    own: BTreeSet<String>,
    spec: Map<String, Value>,
) -> Resource {
    let mut document = spec.clone();
    document.insert("name".into(), "shop".into());
    Resource {
        name: "shop".into(),
        uid,
        version,
        generation,
        deleting: false,
        created: String::new(),
        actor: actor.into(),
        own,
        spec,
        status: Value::Null,
        gateway: GatewayName::parse("shop").ok(),
        document: GatewayDocument::read(&Value::Object(document).to_string()).map(Arc::new),
    }
}

const FIELDS: [&str; 3] = ["port", "sticky", "weights"];

struct World {
    dice: Dice,
    store: Arc<MemoryStore>,
    control: Control,
    _observation: watch::Sender<Arc<Observation>>,
    cluster: Cluster,
    /// What the door knows of it; nothing right after a start.
    seen: Option<Cluster>,
    refusals: Refusals,
    trace: Vec<String>,
}

async fn control(store: &Arc<MemoryStore>) -> (Control, watch::Sender<Arc<Observation>>) {
    let (sender, observation) =
        watch::channel(Arc::new(Observation { complete: true, ..Observation::default() }));
    let clock = Arc::new(ManualClock::new("2026-03-01T10:00:00Z".parse().unwrap()));
    let store = Arc::clone(store) as Arc<dyn Store>;
    (Control::start(Settings::new("default"), store, observation, clock).await.unwrap(), sender)
}

fn shop() -> GatewayName {
    GatewayName::parse("shop").unwrap()
}

fn routes(weight: u64) -> Value {
    json!({"[10.0.0.1:80]": {"weight": format!("{weight}%")}, "[10.0.0.2:80]": {"weight": format!("{}%", 100 - weight)}})
}

impl World {
    async fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let (control, observation) = control(&store).await;
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let seen = None;
        let (cluster, refusals, trace) = (Cluster::default(), Refusals::default(), Vec::new());
        Self { dice, store, control, _observation: observation, cluster, seen, refusals, trace }
    }

    fn say(&mut self, text: impl Into<String>) {
        self.trace.push(text.into());
    }

    async fn crash(&mut self) {
        self.say("crash");
        let (control, observation) = control(&self.store).await;
        (self.control, self._observation) = (control, observation);
        (self.seen, self.refusals) = (None, Refusals::default());
    }

    /// Weights as the document in the cluster gives them.
    fn routes_there(&self) -> Value {
        self.cluster.object.as_ref().map_or(Value::Null, |object| object.spec["routes"].clone())
    }

    /// One field through the API, as the command line does it. False when there is nothing to change.
    async fn put(&mut self, field: &str, value: u64) -> bool {
        let Some(entry) = self.control.view().gateways.get(&shop()).cloned() else { return false };
        let mut document = entry.view.to_json();
        set(document.as_object_mut().unwrap(), field, value);
        self.say(format!("api {field} {value}"));
        let document = GatewayDocument::read(&document.to_string()).unwrap();
        let change = control::Change::Gateway { document, mode: control::Mode::Put };
        self.control.submit(control::Request::new(change, "ann")).await.unwrap();
        true
    }

    fn edit(&mut self, field: &str, value: u64) -> bool {
        let mut patch = Map::new();
        set(&mut patch, field, value);
        let before = self.cluster.version;
        self.cluster.patch(&Value::Object(patch), None, "kubectl");
        let done = self.cluster.version != before;
        if done {
            self.say(format!("kubectl {field} {value}"));
        }
        done
    }

    /// Plans, and carries one of the steps out. Nothing, or only the answer, may get lost. False when there is nothing to do.
    async fn step(&mut self, reliable: bool) -> bool {
        if self.seen.is_none() {
            self.seen = Some(self.cluster.clone());
        }
        let objects: BTreeMap<String, Arc<Resource>> = (self.seen.iter())
            .filter_map(|cluster| cluster.object.clone())
            .map(|object| (object.name.clone(), Arc::new(object)))
            .collect();
        let plan = planned(&objects, &self.control.view(), &self.refusals);
        assert!(plan.steps.len() <= 1, "{:?}", plan.steps);
        let Some(step) = plan.steps.into_iter().next() else { return false };
        if !reliable && self.dice.below(4) == 0 {
            self.say(format!("lost: {}", super::word(&step)));
            return true;
        }
        self.say(super::word(&step));
        match &step {
            Step::Create { body, .. } => {
                self.cluster.create(body["spec"].as_object().cloned().unwrap_or_default(), "vamp");
            }
            Step::Update { patch, .. } => {
                let version = patch["metadata"]["resourceVersion"].as_str();
                self.cluster.patch(&patch["spec"], version, "vamp");
            }
            Step::Delete { version, .. } => drop(self.cluster.delete(Some(version))),
            Step::Remember { gateway, mirror } => {
                let change = control::Change::Mirror { gateway: gateway.clone(), mirror: mirror.clone() };
                self.control.submit(control::Request::new(change, "vamp")).await.unwrap();
            }
            Step::Declare { object, uid, generation, .. } => {
                if let Err(refusal) = self.control.submit(request(&step).unwrap()).await {
                    let why = Refused { code: refusal.code.clone(), message: refusal.message() };
                    let revision = self.control.view().revision;
                    self.refusals.refused(object, uid, *generation, why, revision, std::time::Duration::ZERO);
                }
            }
            Step::Remove { .. } => {
                // Refused when somebody was faster.
                let _ = self.control.submit(request(&step).unwrap()).await;
            }
        }
        if !reliable && self.dice.below(6) == 0 {
            self.crash().await;
        }
        true
    }

    async fn rest(&mut self) {
        for _ in 0..50 {
            self.seen = Some(self.cluster.clone());
            if !self.step(true).await {
                return;
            }
        }
        panic!("no rest:\n{}", self.trace.join("\n"));
    }

    /// What is in force, by field.
    fn values(&self) -> Option<BTreeMap<&'static str, String>> {
        let view = self.control.view();
        let entry = view.gateways.get(&shop())?;
        let weights = entry.view.routes.iter().map(|(_, route)| route.weight.to_string()).collect::<Vec<_>>();
        let sticky = entry.view.sticky.map_or_else(|| "none".into(), |sticky| format!("{sticky:?}"));
        Some(
            [("port", entry.view.port.to_string()), ("sticky", sticky), ("weights", weights.join("/"))]
                .into(),
        )
    }

    fn check_agreement(&self) {
        let view = self.control.view();
        let trace = || self.trace.join("\n");
        match (view.gateways.get(&shop()), &self.cluster.object) {
            (None, None) => assert!(view.mirrors.is_empty(), "{}", trace()),
            (Some(entry), Some(object)) => {
                let mirror = &view.mirrors[&shop()].mirror;
                assert_eq!((&mirror.uid, mirror.generation), (&object.uid, object.generation), "{}", trace());
                assert_eq!(mirror.base, entry.declared, "{}", trace());
                let declared = entry.declared.to_document();
                for field in ["port", "sticky"] {
                    assert_eq!(declared.get(field), object.spec.get(field), "{field}\n{}", trace());
                }
            }
            (here, there) => panic!("here {}, there {}\n{}", here.is_some(), there.is_some(), trace()),
        }
    }
}

fn set(document: &mut Map<String, Value>, field: &str, value: u64) {
    match field {
        "port" => drop(document.insert("port".into(), (9000 + value).into())),
        "sticky" => drop(
            document
                .insert("sticky".into(), if value.is_multiple_of(2) { "route" } else { "instance" }.into()),
        ),
        _ => merge(document, &json!({"routes": routes(value)})),
    }
}

/// As [`World::values`] shows it.
fn shown(field: &str, value: u64) -> String {
    match field {
        "port" => (9000 + value).to_string(),
        "sticky" => if value.is_multiple_of(2) { "Route" } else { "Instance" }.into(),
        _ => format!("{value}%/{}%", 100 - value),
    }
}

async fn run(seed: u64) {
    let mut world = World::new(seed).await;
    let mut first = Map::new();
    first.insert("port".into(), 9000.into());
    first.insert("routes".into(), routes(100));
    if world.dice.below(2) == 0 {
        world.cluster.create(first, "kubectl");
    } else {
        first.insert("name".into(), "shop".into());
        let document = GatewayDocument::read(&Value::Object(first).to_string()).unwrap();
        let change = control::Change::Gateway { document, mode: control::Mode::Create };
        world.control.submit(control::Request::new(change, "ann")).await.unwrap();
    }
    world.rest().await;
    for _ in 0..12 {
        let before = world.values().unwrap();
        let routes_before = world.routes_there();
        let mut written: BTreeMap<&str, [Option<String>; 2]> = BTreeMap::new();
        for _ in 0..world.dice.below(12) {
            let field = FIELDS[usize::try_from(world.dice.below(3)).unwrap()];
            let value = world.dice.below(101);
            match world.dice.below(8) {
                0 | 1 if world.put(field, value).await => {
                    written.entry(field).or_default()[0] = Some(shown(field, value));
                }
                2 | 3 if world.edit(field, value) => {
                    written.entry(field).or_default()[1] = Some(shown(field, value));
                }
                4 => world.seen = Some(world.cluster.clone()),
                5 => world.crash().await,
                _ => drop(world.step(false).await),
            }
        }
        if world.routes_there() == routes_before
            && let Some(values) = written.get_mut("weights")
        {
            // Edited and taken back may be no edit at all.
            values[1] = Some(before["weights"].clone());
        }
        world.rest().await;
        world.check_agreement();
        let after = world.values().unwrap();
        for field in FIELDS {
            let trace = world.trace.join("\n");
            match written.get(field) {
                None => assert_eq!(after[field], before[field], "seed {seed}: {field} moved\n{trace}"),
                Some(values) => assert!(
                    values.iter().flatten().any(|value| *value == after[field]),
                    "seed {seed}: {field} is {}, {values:?} were written\n{trace}",
                    after[field]
                ),
            }
        }
        // Deletions: gone on both sides, unless an edit came in between.
        if world.dice.below(4) == 0 {
            if world.dice.below(2) == 0 {
                world.say("kubectl delete");
                world.cluster.delete(None);
            } else {
                world.say("api delete");
                let change = control::Change::DeleteGateway(shop());
                world.control.submit(control::Request::new(change, "ann")).await.unwrap();
            }
            if world.dice.below(3) == 0 {
                world.crash().await;
            }
            world.rest().await;
            world.check_agreement();
            assert!(world.values().is_none(), "seed {seed}\n{}", world.trace.join("\n"));
            let mut again = Map::new();
            again.insert("port".into(), 9000.into());
            again.insert("routes".into(), routes(100));
            world.cluster.create(again, "kubectl");
            world.rest().await;
        }
        world.trace.clear();
    }
}

#[tokio::test]
async fn two_writers_agree_and_lose_nothing() {
    match std::env::var("VAMP_SIM_SEED") {
        Ok(seed) => run(seed.parse().unwrap()).await,
        Err(_) => {
            for seed in 0..48 {
                run(seed).await;
            }
        }
    }
}
