//! As much of JSON Schema as the description uses.

use serde_json::Value;

/// Follows references.
pub(crate) fn resolve<'a>(document: &'a Value, mut value: &'a Value) -> &'a Value {
    while let Some(reference) = value["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        value = document.pointer(pointer).unwrap_or_else(|| panic!("nothing at {reference}"));
    }
    value
}

/// Checks a value against a schema.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = resolve(document, schema);
    if let Some(any) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        let errors: Vec<String> =
            any.iter().filter_map(|schema| check(document, schema, value, at).err()).collect();
        return if errors.len() < any.len() { Ok(()) } else { Err(errors.join(" | ")) };
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(document, part, value, at)?;
    }
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    };
    let right = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap())),
        _ => true,
    };
    if !right {
        return Err(format!("{at}: expected {}, found {value}", schema["type"]));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
            return Err(format!("{at}: {name} is missing"));
        }
    }
    if let Some(map) = value.as_object() {
        let properties = schema["properties"].as_object();
        for (key, value) in map {
            match properties.and_then(|properties| properties.get(key)) {
                Some(schema) => check(document, schema, value, &format!("{at}/{key}"))?,
                None if schema["additionalProperties"].is_object() => {
                    check(document, &schema["additionalProperties"], value, &format!("{at}/{key}"))?;
                }
                // Artifacts of several kinds share one schema.
                None if properties.is_some_and(|properties| properties.contains_key("lookup_name")) => {
                    return Err(format!("{at}: {key} is not described"));
                }
                None => {}
            }
        }
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        if schema["items"].is_object() {
            check(document, &schema["items"], item, &format!("{at}/{i}"))?;
        }
    }
    Ok(())
}

/// References that lead nowhere.
pub(crate) fn dangling(document: &Value) -> Vec<String> {
    fn walk(document: &Value, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(reference) = map.get("$ref").and_then(Value::as_str)
                    && document.pointer(reference.trim_start_matches('#')).is_none()
                {
                    found.push(reference.to_owned());
                }
                map.values().for_each(|value| walk(document, value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(document, value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(document, document, &mut found);
    found
}

#[test]
fn the_checker_can_fail() {
    use serde_json::json;
    let document = json!({"components": {"schemas": {"A": {"type": "object", "required": ["a"], "properties": {"a": {"type": ["string", "null"]}}}}}});
    let schema = json!({"type": "array", "items": {"$ref": "#/components/schemas/A"}});
    assert!(check(&document, &schema, &json!([{"a": null}, {"a": "x"}]), "").is_ok());
    for wrong in [json!({}), json!([1]), json!([{}]), json!([{"a": 1}])] {
        assert!(check(&document, &schema, &wrong, "").is_err(), "{wrong}");
    }
    assert_eq!(dangling(&json!({"$ref": "#/components/schemas/B"})), ["#/components/schemas/B"]);
}
