//! Words for structural schemas (OpenAPI v3 as custom resources use it). Everything is described: `kubectl explain` shows it.

use serde_json::{Map, Value, json};

/// A text.
pub(super) fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

/// A text of at most so many characters; rules need to know how long they may have to read.
pub(super) fn short_text(description: &str, longest: u32) -> Value {
    json!({"type": "string", "maxLength": longest, "description": description})
}

/// A number without fraction.
pub(super) fn integer(description: &str) -> Value {
    json!({"type": "integer", "format": "int64", "description": description})
}

/// The same number, from and to.
pub(super) fn from_to(mut schema: Value, least: u32, most: u32) -> Value {
    schema["minimum"] = least.into();
    schema["maximum"] = most.into();
    schema
}

/// Yes or no.
pub(super) fn boolean(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

/// A number or a text.
pub(super) fn number_or_text(description: &str) -> Value {
    json!({"x-kubernetes-int-or-string": true, "description": description})
}

/// A map of which nothing more is said.
pub(super) fn free_form(description: &str) -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": description})
}

/// Something that may be written in several forms. What it is, is checked by Vamp.
pub(super) fn several_forms(description: &str) -> Value {
    json!({"x-kubernetes-preserve-unknown-fields": true, "description": description})
}

/// A map with these fields and no others.
pub(super) fn object<const N: usize>(description: &str, fields: [(&str, Value); N]) -> Value {
    let fields: Map<String, Value> =
        fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({"type": "object", "description": description, "properties": fields})
}

/// A list.
pub(super) fn list(description: &str, items: Value) -> Value {
    json!({"type": "array", "description": description, "items": items})
}

/// A list of maps, told apart by this field: appliers merge it entry by entry.
pub(super) fn list_by(key: &str, description: &str, items: Value) -> Value {
    let mut schema = list(description, items);
    schema["x-kubernetes-list-type"] = "map".into();
    schema["x-kubernetes-list-map-keys"] = json!([key]);
    schema
}

/// The same schema, with fields that must be there.
pub(super) fn required(mut schema: Value, fields: &[&str]) -> Value {
    schema["required"] = json!(fields);
    schema
}

/// The same schema, with a rule in CEL. API servers before 1.25 do not know these and skip them.
pub(super) fn rule(mut schema: Value, rule: &str, message: &str) -> Value {
    push(&mut schema, json!({"rule": rule, "message": message}));
    schema
}

/// As [`rule`], with a message that is computed; API servers before 1.27 show the plain one.
pub(super) fn rule_with(mut schema: Value, rule: &str, message: &str, expression: &str) -> Value {
    push(&mut schema, json!({"rule": rule, "message": message, "messageExpression": expression}));
    schema
}

fn push(schema: &mut Value, rule: Value) {
    match schema["x-kubernetes-validations"].as_array_mut() {
        Some(rules) => rules.push(rule),
        None => schema["x-kubernetes-validations"] = json!([rule]),
    }
}
