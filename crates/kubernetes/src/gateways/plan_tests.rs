use std::collections::BTreeMap;
use std::sync::Arc;

use model::gateway::{GatewayDocument, GatewaySpec, Mirror, References, RouteDocument};
use model::name::GatewayName;
use serde_json::{Value, json};

use super::object::Resource;
use super::plan::*;
use super::refused::Refused;

struct Nothing;

impl References for Nothing {
    fn route(&self, _: &str) -> Option<RouteDocument> {
        None
    }
    fn condition(&self, _: &str) -> Option<model::condition::Condition> {
        None
    }
    fn rewrite(&self, _: &str) -> Option<model::rewrite::Rewrite> {
        None
    }
}

fn name(text: &str) -> GatewayName {
    GatewayName::parse(text).unwrap()
}

fn spec(yaml: &str) -> Arc<GatewaySpec> {
    Arc::new(GatewayDocument::read(&format!("name: shop\n{yaml}")).unwrap().resolve(&Nothing).unwrap())
}

/// Both sides of one gateway `shop`.
#[derive(Default)]
struct Sides {
    resources: BTreeMap<String, Arc<Resource>>,
    gateways: BTreeMap<GatewayName, Declared>,
    mirrors: BTreeMap<GatewayName, Mirror>,
    refused: BTreeMap<String, (String, i64, Refused)>,
}

impl Sides {
    fn plan(&self) -> Plan {
        let Self { resources, gateways, mirrors, refused } = self;
        plan(Known { resources, gateways, mirrors, refused })
    }

    fn object(mut self, name: &str, uid: &str, generation: i64, yaml: &str) -> Self {
        let document = GatewayDocument::read(yaml).map(Arc::new);
        let text: Value = match &document {
            Ok(document) => {
                let mut spec = document.as_ref().clone().resolve(&Nothing).unwrap().to_document();
                if document.name.as_str() != name {
                    spec.insert("name".into(), document.name.as_str().into());
                }
                Value::Object(spec)
            }
            Err(_) => json!({"port": "x"}),
        };
        let resource = Resource {
            name: name.into(),
            uid: uid.into(),
            version: format!("v{generation}"),
            generation,
            deleting: false,
            created: format!("{generation}"),
            actor: "kubectl".into(),
            own: Default::default(),
            spec: text.as_object().cloned().unwrap_or_default(),
            status: Value::Null,
            gateway: document
                .as_ref()
                .map(|document| document.name.clone())
                .ok()
                .or(GatewayName::parse(name).ok()),
            document,
        };
        self.resources.insert(name.into(), Arc::new(resource));
        self
    }

    /// The object `shop`.
    fn shop(self, uid: &str, generation: i64, yaml: &str) -> Self {
        self.object("shop", uid, generation, &format!("name: shop\n{yaml}"))
    }

    fn change(mut self, change: impl FnOnce(&mut Resource)) -> Self {
        change(Arc::make_mut(self.resources.get_mut("shop").unwrap()));
        self
    }

    fn gateway(mut self, yaml: &str) -> Self {
        self.gateways.insert(name("shop"), Declared { version: 7, spec: spec(yaml) });
        self
    }

    fn mirror(mut self, uid: &str, generation: i64, base: &str) -> Self {
        self.mirrors.insert(name("shop"), Mirror { uid: uid.into(), generation, base: spec(base) });
        self
    }

    fn refuse(mut self, uid: &str, generation: i64) -> Self {
        let why = Refused { code: "x".into(), message: "no".into() };
        self.refused.insert("shop".into(), (uid.into(), generation, why));
        self
    }
}

/// What is done, in one word, with what tells it apart.
fn step(sides: Sides) -> String {
    let plan = sides.plan();
    let words: Vec<String> = plan
        .steps
        .iter()
        .map(|step| match step {
            Step::Declare { uid, generation, .. } => format!("declare {uid} {generation}"),
            Step::Remove { version, .. } => format!("remove {version}"),
            Step::Remember { mirror: None, .. } => "forget".into(),
            Step::Remember { mirror: Some(mirror), .. } => {
                let base = Value::Object(mirror.base.to_document());
                format!("remember {:?} {} {base}", mirror.uid, mirror.generation)
            }
            Step::Create { object, body } => format!("create {object} {}", body["spec"]),
            Step::Update { object, patch } => format!("update {object} {}", patch["spec"]),
            Step::Delete { object, uid, version } => format!("delete {object} {uid} {version}"),
        })
        .collect();
    words.join("; ")
}

#[test]
fn every_case_has_one_step() {
    let none = Sides::default;
    let check = |sides: Sides, expected: &str| assert_eq!(step(sides), expected);
    // Agreement.
    check(none(), "");
    check(none().shop("u", 1, "port: 1").gateway("port: 1").mirror("u", 1, "port: 1"), "");
    // Edited or new in the cluster.
    check(none().shop("u", 1, "port: 1"), "declare u 1");
    check(none().shop("u", 1, "port: 1").gateway("port: 2"), "declare u 1");
    check(none().shop("u", 2, "port: 2").gateway("port: 1").mirror("u", 1, "port: 1"), "declare u 2");
    check(none().shop("v", 1, "port: 1").gateway("port: 1").mirror("u", 9, "port: 1"), "declare v 1");
    check(none().shop("u", 2, "port: 1").mirror("u", 1, "port: 1"), "declare u 2");
    // Refused, and left alone until something changes.
    check(none().shop("u", 1, "port: 1").refuse("u", 1), "");
    check(none().shop("u", 2, "port: 1").refuse("u", 1), "declare u 2");
    check(none().shop("u", 2, "port: 3").gateway("port: 1").mirror("u", 1, "port: 1").refuse("u", 2), "");
    check(none().object("shop", "u", 1, "port: x"), "");
    // Deleted there.
    check(none().gateway("port: 1").mirror("u", 1, "port: 1"), "remove 7");
    check(none().mirror("u", 1, "port: 1"), "forget");
    check(none().gateway("port: 2").mirror("u", 1, "port: 1"), "create shop {\"port\":2}");
    // New through the API.
    check(none().gateway("port: 1"), "create shop {\"port\":1}");
    // Changed through the API.
    let base = "port: 1\nsticky: route";
    let changed = none().shop("u", 1, base).gateway("port: 2\nsticky: route").mirror("u", 1, base);
    check(changed, "update shop {\"port\":2}");
    check(
        none().shop("u", 1, base).gateway("sticky: route").mirror("u", 1, base),
        "update shop {\"port\":null}",
    );
    // It says so already.
    check(
        none().shop("u", 1, "port: 2").gateway("port: 2").mirror("u", 1, "port: 1"),
        "remember \"u\" 1 {\"port\":2}",
    );
    // What is refused stays, what was changed through the API goes there all the same.
    let both = none().shop("u", 2, "port: 1\nsticky: instance").gateway("port: 2").refuse("u", 2);
    check(both.mirror("u", 1, "port: 1"), "update shop {\"port\":2}");
    // Deleted through the API.
    check(none().shop("u", 1, "port: 1").mirror("u", 1, "port: 1"), "delete shop u v1");
    check(none().shop("u", 2, "port: 1").mirror("u", 1, "port: 1").refuse("u", 2), "delete shop u v2");
    let told = |sides: Sides| sides.change(|object| object.status = json!({"observedGeneration": 2}));
    check(told(none().shop("u", 2, "port: 1").mirror("u", 1, "port: 1")), "delete shop u v2");
    // An object that goes is as good as gone, and its name is not free yet.
    let going = || none().shop("u", 1, "port: 1").change(|object| object.deleting = true);
    check(going().gateway("port: 1").mirror("u", 1, "port: 1"), "remove 7");
    check(going(), "");
    check(going().gateway("port: 1"), "");
}

#[test]
fn routes_are_patched_so_that_those_that_are_gone_go() {
    let current = "routes: {'[10.0.0.1:80]': {weight: 50%}, '[10.0.0.2:80]': {weight: 50%}}";
    let wanted = "routes: {'[10.0.0.1:80]': {weight: 100%}, '[10.0.0.3:80]': {weight: 0%}}";
    let sides = Sides::default().shop("u", 1, current).gateway(wanted).mirror("u", 1, current);
    assert_eq!(
        step(sides),
        "update shop {\"routes\":{\"[10.0.0.1:80]\":{\"weight\":\"100%\"},\"[10.0.0.2:80]\":null,\"[10.0.0.3:80]\":{\"weight\":\"0%\"}}}"
    );
}

#[test]
fn of_two_objects_for_one_gateway_the_known_one_or_the_older_has_it() {
    let two = || Sides::default().object("b", "b", 1, "name: shop").object("a", "a", 2, "name: shop");
    let claims = |sides: Sides| -> Vec<String> {
        let plan = sides.plan();
        plan.claims
            .values()
            .map(|claim| match claim {
                Claim::Accepted(_) => "accepted".into(),
                Claim::Pending => "pending".into(),
                Claim::Refused { why, .. } => why.message.clone(),
            })
            .collect()
    };
    let exists = "Artifact already exists: 'shop'.";
    assert_eq!(claims(two()), [exists, "pending"], "b is older");
    assert_eq!(claims(two().gateway("").mirror("a", 2, "")), ["accepted", exists], "a is known");
    let renamed = Sides::default().object("x", "u", 2, "name: other").gateway("").mirror("u", 1, "");
    assert_eq!(claims(renamed), ["Inconsistent name: given 'shop' but found 'other'."]);
}

#[test]
fn object_names() {
    for (gateway, object) in [
        ("shop", "shop"),
        ("shop-1.example", "shop-1.example"),
        ("1.0", "1.0"),
        ("Shop", "shop-"),
        ("shop/web", "shop-web-"),
        ("sava:1.0/9050", "sava-1-0-9050-"),
        ("my_gw", "my-gw-"),
        ("(x)", "x-"),
        ("ä", "gateway-"),
        ("a..b", "a--b-"),
    ] {
        let made = object_name(&name(gateway));
        assert!(
            made == object || made.starts_with(object) && made.len() == object.len() + 8,
            "{gateway}: {made}"
        );
        assert!(made.len() <= 253 && !made.starts_with('-') && !made.ends_with('-'), "{made}");
    }
    assert_ne!(object_name(&name("a/b")), object_name(&name("a_b")));
    assert!(object_name(&name(&"x_".repeat(300))).len() <= 253);
    let body = Sides {
        gateways: [(name("a/b"), Declared { version: 1, spec: spec("") })].into(),
        ..Sides::default()
    };
    let steps = body.plan().steps;
    assert!(matches!(&steps[..], [Step::Create { body, .. }] if body["spec"]["name"] == "a/b"), "{steps:?}");
}
