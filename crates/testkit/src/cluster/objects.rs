//! The objects and the log of what happened to them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Something that was written over HTTP.
#[derive(Debug, Clone)]
pub struct Write {
    /// `create`, `update`, `patch` or `delete`.
    pub verb: &'static str,
    /// `services`, or with a group `records.vamp.io`.
    pub resource: String,
    /// Name of the object.
    pub name: String,
    /// The object before, null for a new one.
    pub before: Value,
}

/// Resource, namespace, name.
type Key = (String, String, String);

#[derive(Debug, Default)]
pub(super) struct Objects {
    version: u64,
    objects: BTreeMap<Key, Value>,
    log: Vec<Event>,
    /// Events up to here are forgotten.
    compacted: u64,
    pub(super) writes: Vec<Write>,
}

#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) version: u64,
    resource: String,
    namespace: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) object: Value,
}

impl Objects {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn is_forgotten(&self, version: u64) -> bool {
        version < self.compacted
    }

    pub(super) fn compact(&mut self) {
        // What comes after a version that everybody may still have is kept.
        self.version += 1;
        self.compacted = self.version;
        self.log.clear();
    }

    pub(super) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(resource.to_owned(), namespace.to_owned(), name.to_owned()))
    }

    pub(super) fn all(&self, resource: &str, namespace: Option<&str>) -> Vec<Value> {
        let wanted = |(r, n, _): &Key| r == resource && namespace.is_none_or(|namespace| n == namespace);
        self.objects.iter().filter(|(key, _)| wanted(key)).map(|(_, object)| object.clone()).collect()
    }

    pub(super) fn since(&self, version: u64, resource: &str, namespace: Option<&str>) -> Vec<Event> {
        let wanted = |event: &&Event| {
            event.version > version
                && event.resource == resource
                && namespace.is_none_or(|namespace| event.namespace == namespace)
        };
        self.log.iter().filter(wanted).cloned().collect()
    }

    /// Creates or replaces; what the API server fills in is filled in.
    pub(super) fn apply(&mut self, resource: &str, mut object: Value) -> Value {
        let text = |object: &Value, path: &str| {
            object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let key =
            (resource.to_owned(), text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        self.version += 1;
        let before = self.objects.get(&key);
        let uid =
            before.map_or_else(|| format!("uid-{}", self.version), |before| text(before, "/metadata/uid"));
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        object["metadata"]["uid"] = uid.into();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        if resource == "services" {
            complete_service(&mut object, self.version);
        }
        self.record(key.clone(), kind, object.clone());
        self.objects.insert(key, object.clone());
        object
    }

    pub(super) fn remove(&mut self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        let mut object = self.objects.remove(&key)?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.record(key, "DELETED", object.clone());
        Some(object)
    }

    fn record(&mut self, (resource, namespace, name): Key, kind: &'static str, object: Value) {
        self.log.push(Event { version: self.version, resource, namespace, name, kind, object });
    }
}

/// Addresses and ports as the API server gives them out.
fn complete_service(object: &mut Value, version: u64) {
    let spec = &mut object["spec"];
    if spec["clusterIP"].is_null() {
        spec["clusterIP"] = format!("10.96.{}.{}", version / 250 % 250, version % 250 + 1).into();
    }
    let has_node_port = matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer"));
    if let Some(ports) = spec["ports"].as_array_mut() {
        for port in ports {
            if port["targetPort"].is_null() {
                port["targetPort"] = port["port"].clone();
            }
            if has_node_port && port["nodePort"].is_null() {
                port["nodePort"] = (30_000 + version % 2_000).into();
            }
        }
    }
}

/// RFC 7396.
pub(super) fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else { return *into = patch };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            if let Some(object) = into.as_object_mut() {
                object.remove(&key);
            }
        } else {
            merge(&mut into[&key], value);
        }
    }
}
