//! What writes do to the objects: preconditions, the status subresource, and what the API server fills in.

use serde_json::{Map, Value, json};

use super::State;
use super::address::Address;
use super::objects::{Write, merge};

/// Status code and body.
pub(super) type Answer = (u16, Value);

pub(super) fn failure(code: u16, reason: &str, message: &str, name: Option<&str>) -> Answer {
    let details = name.map_or_else(|| json!({}), |name| json!({"name": name}));
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "details": details, "code": code}),
    )
}

/// Carries out `create`, `update`, `patch` or `delete`.
pub(super) fn write(state: &mut State, verb: &'static str, address: &Address, body: &[u8]) -> Answer {
    let body = if body.is_empty() && verb == "delete" { b"{}" } else { body };
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return failure(400, "BadRequest", "no JSON", None);
    };
    let namespace = address.namespace.as_deref().unwrap_or_default();
    let name = match &address.name {
        Some(name) => name.clone(),
        None => body["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
    };
    let before = state.objects.get(&address.resource, namespace, &name).cloned();
    let conflicts = state.faults.conflicts;
    if state.happens(conflicts) {
        return failure(409, "Conflict", "the object has been modified", Some(&name));
    }
    let definition = state.defined.get(&address.resource).copied();
    let (custom, status) = (definition.is_some(), definition.is_some_and(|d| d.status));
    let answer = match (verb, &before) {
        ("create", Some(_)) => {
            failure(409, "AlreadyExists", &format!("\"{name}\" already exists"), Some(&name))
        }
        ("create", None) => {
            let mut object = body;
            object["metadata"]["namespace"] = namespace.into();
            if custom {
                if let (true, Some(object)) = (status, object.as_object_mut()) {
                    object.remove("status");
                }
                object["metadata"]["generation"] = 1.into();
                object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            (201, state.objects.apply(&address.resource, object))
        }
        (_, None) => failure(404, "NotFound", &format!("\"{name}\" not found"), Some(&name)),
        ("update" | "patch", Some(before)) => {
            let wanted = match verb {
                "patch" => {
                    let mut object = before.clone();
                    // The version in a patch is a precondition.
                    merge(&mut object, body.clone());
                    object
                }
                _ => body.clone(),
            };
            let version = &body["metadata"]["resourceVersion"];
            let given = version.as_str().is_some_and(|version| !version.is_empty());
            if verb == "update" && custom && !given {
                failure(
                    422,
                    "Invalid",
                    "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update",
                    Some(&name),
                )
            } else if given && *version != before["metadata"]["resourceVersion"] {
                failure(409, "Conflict", "the object has been modified", Some(&name))
            } else if wanted["spec"]["type"] == "ClusterIP" && has_node_port(&wanted) {
                failure(422, "Invalid", "may not be used when `type` is 'ClusterIP'", Some(&name))
            } else {
                let object = merged(before, wanted, custom, status, address.status);
                if custom && object == *before {
                    // Nothing is different: the API server writes nothing.
                    (200, object)
                } else {
                    (200, state.objects.apply(&address.resource, object))
                }
            }
        }
        (_, Some(before)) => {
            let wanted = &body["preconditions"];
            let holds = |field: &str| wanted[field].is_null() || before["metadata"][field] == wanted[field];
            if holds("uid") && holds("resourceVersion") {
                state.objects.remove(&address.resource, namespace, &name);
                (200, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
            } else {
                failure(409, "Conflict", "the precondition does not hold", Some(&name))
            }
        }
    };
    if answer.0 < 300 {
        let resource = address.resource.clone();
        state.objects.writes.push(Write { verb, resource, name, before: before.unwrap_or_default() });
    }
    answer
}

fn has_node_port(service: &Value) -> bool {
    service["spec"]["ports"]
        .as_array()
        .is_some_and(|ports| ports.iter().any(|port| !port["nodePort"].is_null()))
}

/// The object after an update: identity stays; with a status subresource each of the two ways changes its own half only.
fn merged(before: &Value, wanted: Value, custom: bool, status: bool, to_status: bool) -> Value {
    let mut object = if status && to_status {
        let mut object = before.clone();
        set(&mut object, "status", wanted.get("status").cloned());
        object
    } else {
        let mut object = wanted;
        if status {
            set(&mut object, "status", before.get("status").cloned());
        }
        object
    };
    let kept = ["namespace", "name", "uid", "resourceVersion", "creationTimestamp", "generation"];
    for field in kept {
        if let Some(value) = before["metadata"].get(field) {
            object["metadata"][field] = value.clone();
        }
    }
    if custom && content(before) != content(&object) {
        let generation = before["metadata"]["generation"].as_u64().unwrap_or(0) + 1;
        object["metadata"]["generation"] = generation.into();
    }
    object
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(object) = object.as_object_mut() else { return };
    match value {
        Some(value) => object.insert(field.to_owned(), value),
        None => object.remove(field),
    };
}

/// What the generation counts changes of.
fn content(object: &Value) -> Map<String, Value> {
    let mut content = object.as_object().cloned().unwrap_or_default();
    content.remove("metadata");
    content.remove("status");
    content
}
