//! Gateways whose document has its owner elsewhere: edits there act once, what is live stays, and what is written through the API
//! changes the document only where it is no live setting.

use model::gateway::{GatewayDocument, GatewaySpec, Mirror};
use serde_json::Value;

use super::world::{SHOP, World, document, name};
use crate::request::{Change, RefusalKind};

/// A world with a mirrored shop of two versions, and how often its document was written so far.
struct Mirrored {
    world: World,
    generation: i64,
}

impl Mirrored {
    fn shop(yaml: &str) -> Self {
        let mut it = Self { world: World::new(), generation: 0 };
        it.declare(yaml).unwrap();
        it.world.version("1");
        it.world.version("2");
        it
    }

    /// A document without a selector.
    fn plain(yaml: &str) -> Self {
        let mut it = Self { world: World::new(), generation: 0 };
        it.declare(yaml).unwrap();
        it
    }

    fn declare(&mut self, yaml: &str) -> Result<String, String> {
        self.declare_with(yaml, &[])
    }

    /// With fields that Vamp wrote there itself.
    fn declare_with(&mut self, yaml: &str, own: &[&str]) -> Result<String, String> {
        self.generation += 1;
        let own = own.iter().map(|field| (*field).to_owned()).collect();
        let document = GatewayDocument::read(yaml).map_err(|problems| problems.message())?;
        let gateway = document.name.to_string();
        let change = Change::Declare { document, uid: "u".into(), generation: self.generation, own };
        self.world.change(change).map_err(|refusal| refusal.message())?;
        Ok(self.world.show(&gateway))
    }

    fn declared(&self, gateway: &str) -> Value {
        Value::Object(self.world.entry(gateway).declared.to_document())
    }

    fn mirror(&self, gateway: &str) -> Mirror {
        self.world.core.shown().mirrors[&name(gateway)].mirror.clone()
    }

    /// Reads the gateway, changes a part of what was read, and writes all of it, as the command line does.
    fn edit(&mut self, gateway: &str, edit: impl FnOnce(&mut Value)) -> String {
        let mut shown = self.world.entry(gateway).view.to_json();
        edit(&mut shown);
        self.world.put(&shown.to_string()).unwrap()
    }
}

fn routes(yaml: &str) -> String {
    format!("{SHOP}routes: {yaml}")
}

/// What Argo CD and Flux do.
#[test]
fn the_same_document_changes_nothing_ever() {
    for yaml in [SHOP.to_owned(), routes("{'(1)': {weight: 100%}, '(2)': {weight: 0%}}")] {
        let mut it = Mirrored::shop(&yaml);
        it.edit("shop", |shown| {
            shown["routes"]["(1)"]["weight"] = "30%".into();
            shown["routes"]["(2)"]["weight"] = "70%".into();
            shown["routes"]["(2)"]["condition"] = "has header x".into();
        });
        let (before, mark) = (it.world.show("shop"), it.world.events.len());
        assert_eq!(before, "(1) 30% x1 | (2) 70% x1 if has header x 0%");
        for _ in 0..3 {
            assert_eq!(it.declare(&yaml).unwrap(), before);
        }
        assert!(it.world.events_since(mark).is_empty(), "{:?}", it.world.events_since(mark));
        assert_eq!(
            it.declared("shop"),
            Value::Object(spec(&yaml).to_document()),
            "what was written stays as it was"
        );
        it.world.restart();
        assert_eq!(it.declare(&yaml).unwrap(), before);
    }
}

fn spec(yaml: &str) -> GatewaySpec {
    document(yaml).resolve(&crate::state::State::default()).unwrap()
}

/// What a document names comes first; here the order does not matter.
fn sorted(shown: &str) -> Vec<&str> {
    let mut routes: Vec<&str> = shown.split(" | ").collect();
    routes.sort_unstable();
    routes
}

/// Live before: (1) 30, (2) 70 with a condition. Each row: what was declared, what is now, what that makes of it.
#[test]
fn an_edit_acts_on_what_it_touches() {
    let check = |before: &str, after: &str, expected: &str| {
        let mut it = Mirrored::shop(&routes(before));
        it.edit("shop", |shown| {
            shown["routes"]["(1)"]["weight"] = "30%".into();
            shown["routes"]["(2)"]["weight"] = "70%".into();
            shown["routes"]["(2)"]["condition"] = "has header x".into();
            shown["routes"]["(2)"]["condition_strength"] = "100%".into();
        });
        match it.declare(&routes(after)) {
            Ok(shown) => assert_eq!(sorted(&shown), sorted(expected), "{before} -> {after}"),
            Err(message) => assert_eq!(message, expected, "{before} -> {after}"),
        }
    };
    let live = "(1) 30% x1 | (2) 70% x1 if has header x 100%";
    let even = "{'(1)': {weight: 50%}, '(2)': {weight: 50%}}";
    check(even, even, live);
    check(
        even,
        "{'(2)': {weight: 50%}, '(1)': {weight: 50%}}",
        "(2) 70% x1 if has header x 100% | (1) 30% x1",
    );
    check(
        even,
        "{'(1)': {weight: 90%}, '(2)': {weight: 10%}}",
        "(1) 90% x1 | (2) 10% x1 if has header x 100%",
    );
    check(even, "{'(1)': {weight: 50%, balance: first}, '(2)': {weight: 50%}}", live);
    check(
        even,
        "{'(1)': {weight: 50%, condition: has cookie c}, '(2)': {weight: 50%}}",
        "(1) 30% x1 if has cookie c 100% | (2) 70% x1 if has header x 100%",
    );
    check(
        even,
        "{'(1)': {weight: 50%}, '(2)': {weight: 40%}}",
        "Total route weight must be either 0% or 100%: shop.",
    );
    // A condition that is taken out of the document goes; one that was never in it stays.
    let own = "{'(2)': {condition: has header own}}";
    check(own, "{'(2)': {}}", "(1) 30% x1 | (2) 70% x1");
    check("{'(2)': {}}", "{'(2)': {balance: first}}", live);
    check(own, "{'(2)': {condition: has header other}}", "(1) 30% x1 | (2) 70% x1 if has header other 100%");
    check("{}", "{'(2)': {condition_strength: 5%}}", "(1) 30% x1 | (2) 70% x1");
    check("{}", "{'(2)': {weight: 100%}}", "(1) 0% x1 | (2) 100% x1");
    check("{'(2)': {weight: 100%}}", "{}", live);
}

#[test]
fn an_edit_of_something_else_leaves_explicit_routes_as_they_are_live() {
    let edge = |rest: &str| format!("name: edge\n{rest}");
    let targets = "routes: {'[10.1.0.1:80]': {weight: 90%}, '[10.1.0.2:80]': {weight: 10%}}";
    let mut it = Mirrored::plain(&edge(&format!("port: 9070\n{targets}")));
    it.edit("edge", |shown| {
        shown["routes"]["[10.1.0.1:80]"]["weight"] = "25%".into();
        shown["routes"]["[10.1.0.2:80]"]["weight"] = "75%".into();
    });
    let live = "[10.1.0.1:80] 25% x1 | [10.1.0.2:80] 75% x1";
    assert_eq!(it.declare(&edge(&format!("port: 9071\n{targets}"))).unwrap(), live);
    assert_eq!(it.world.entry("edge").view.port.number(), 9071);
    let with =
        "routes: {'[10.1.0.1:80]': {weight: 90%}, '[10.1.0.2:80]': {weight: 10%}, '[10.1.0.3:80]': {}}";
    assert_eq!(
        it.declare(&edge(&format!("port: 9071\n{with}"))).unwrap(),
        format!("{live} | [10.1.0.3:80] 0% x1"),
        "whoever comes gets nothing yet"
    );
    // Without the route that has it all, the rest as the document says.
    let without = "routes: {'[10.1.0.1:80]': {weight: 100%}}";
    assert_eq!(it.declare(&edge(&format!("port: 9071\n{without}"))).unwrap(), "[10.1.0.1:80] 100% x1");
}

/// Through the API: settings of routes are live and the document is left alone, anything else changes just that in it.
#[test]
fn the_api_changes_the_document_only_where_it_must() {
    let yaml = "name: shop\nselector: label(app)(shop) && label(version)((.*))\nvirtual_hosts: [a.example]";
    let check = |field: &str, value: Value, expected: &[(&str, Value)]| {
        let mut it = Mirrored::shop(yaml);
        let mut wanted = it.declared("shop");
        it.edit("shop", |shown| shown[field] = value.clone());
        for (field, value) in expected {
            wanted[*field] = value.clone();
        }
        assert_eq!(it.declared("shop"), wanted, "{field}: {value}");
        assert_eq!(*it.mirror("shop").base, spec(yaml), "what the object says is remembered as it was");
    };
    check("metadata", serde_json::json!({}), &[]);
    check("metadata", serde_json::json!({"a": 1}), &[("metadata", serde_json::json!({"a": 1}))]);
    check("sticky", "route".into(), &[("sticky", "route".into())]);
    check("port", 9099.into(), &[("port", 9099.into())]);
    check(
        "virtual_hosts",
        serde_json::json!(["shop.vamp", "a.example", "b.example"]),
        &[("virtual_hosts", serde_json::json!(["a.example", "b.example"]))],
    );
    check("selector", "label(app)(shop)".into(), &[("selector", "label(app)(shop)".into())]);
    check("service", serde_json::json!({"host": "x", "port": 1}), &[]);
    check("port", Value::Null, &[]);
}

#[test]
fn routes_that_come_and_go_through_the_api_are_declared() {
    let mut it = Mirrored::plain("{name: edge, port: 9070, routes: {'[10.1.0.1:80]': {weight: 100%}}}");
    it.world.put("{name: edge, port: 9070, routes: {'[10.1.0.1:80]': {weight: 40%}, '[10.1.0.2:80]': {weight: 60%}}}").unwrap();
    assert_eq!(
        it.declared("edge")["routes"],
        serde_json::json!({"[10.1.0.1:80]": {"weight": "40%"}, "[10.1.0.2:80]": {"weight": "60%"}})
    );
}

/// Both sides change at once: what each touched is in force, and where both touched the same the edit is.
#[test]
fn edits_on_both_sides_meet_field_by_field() {
    let mut it = Mirrored::plain("{name: edge, port: 9070, routes: {'[10.1.0.1:80]': {}}}");
    it.world.put("{name: edge, port: 9080, sticky: route, routes: {'[10.1.0.1:80]': {}}}").unwrap();
    it.declare("{name: edge, port: 9070, sticky: instance, virtual_hosts: [a.example], routes: {'[10.1.0.1:80]': {}}}")
        .unwrap();
    let shown = it.world.entry("edge");
    assert_eq!(shown.view.port.number(), 9080);
    assert_eq!(
        it.declared("edge"),
        serde_json::json!({"port": 9080, "routes": {"[10.1.0.1:80]": {}}, "sticky": "instance", "virtual_hosts": ["a.example"]})
    );
    // What Vamp wrote there is no edit, also when it has gone on since.
    it.world
        .put("{name: edge, port: 9090, sticky: instance, virtual_hosts: [a.example], routes: {'[10.1.0.1:80]': {}}}")
        .unwrap();
    let there =
        "{name: edge, port: 9080, sticky: route, virtual_hosts: [a.example], routes: {'[10.1.0.1:80]': {}}}";
    it.declare_with(there, &["port"]).unwrap();
    assert_eq!(it.world.entry("edge").view.port.number(), 9090);
    assert_eq!(it.declared("edge")["sticky"], "route");
    assert_eq!(it.mirror("edge").base.port, spec("{name: edge, port: 9080}").port);
}

#[test]
fn a_refused_edit_changes_nothing_and_says_what_the_api_says() {
    let mut it = Mirrored::plain("{name: edge, port: 9070, routes: {'[10.1.0.1:80]': {}}}");
    it.declare("{name: other, port: 9071, routes: {'[10.1.0.1:80]': {}}}").unwrap();
    let (before, revision) = (it.declared("edge"), it.world.core.revision());
    let message = it.declare("{name: edge, port: 9071, routes: {'[10.1.0.1:80]': {}}}").unwrap_err();
    assert_eq!(
        message,
        it.world
            .put("{name: edge, port: 9071, routes: {'[10.1.0.1:80]': {}}}")
            .unwrap_err()
            .replace("Invalid: ", "")
    );
    assert_eq!((it.declared("edge"), it.world.core.revision()), (before, revision));
    assert_eq!(it.mirror("edge").generation, 1);
}

#[test]
fn a_mirror_outlives_its_gateway_until_it_is_taken_away() {
    let mut it = Mirrored::plain("{name: edge, port: 9070, routes: {'[10.1.0.1:80]': {}}}");
    it.world.change(Change::DeleteGateway(name("edge"))).unwrap();
    it.world.restart();
    assert_eq!(it.mirror("edge").uid, "u");
    let parts = [Change::DeleteGateway(name("edge")), Change::Mirror { gateway: name("edge"), mirror: None }];
    it.world.change(Change::Many(parts.map(Into::into).into())).unwrap();
    assert!(it.world.core.shown().mirrors.is_empty());
    let revision = it.world.core.revision();
    it.world.change(Change::Mirror { gateway: name("edge"), mirror: None }).unwrap();
    assert_eq!(it.world.core.revision(), revision, "twice is as good as once");
    it.world.restart();
    assert!(it.world.core.shown().mirrors.is_empty());
}

#[test]
fn of_a_deletion_and_an_edit_only_one_happens() {
    let mut it = Mirrored::plain("{name: edge, port: 9070, routes: {'[10.1.0.1:80]': {}}}");
    let seen = it.world.entry("edge").version;
    it.world.put("{name: edge, port: 9080, routes: {'[10.1.0.1:80]': {}}}").unwrap();
    let parts = [Change::DeleteGateway(name("edge")), Change::Mirror { gateway: name("edge"), mirror: None }];
    let request = crate::request::Request {
        if_match: Some(seen),
        ..crate::request::Request::new(Change::Many(parts.map(Into::into).into()), "ann")
    };
    assert_eq!(it.world.request(&request).unwrap_err().kind, RefusalKind::Conflict);
    assert_eq!(it.mirror("edge").uid, "u");
}
