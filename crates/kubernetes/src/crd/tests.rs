//! The definitions keep the rules of structural schemas, and are the same as the files.

use std::fs;
use std::path::Path;

use model::yaml;
use serde_json::Value;

use super::{GROUP, all};

const HEAD: &str = "# Made from crates/kubernetes/src/crd by `VAMP_UPDATE=1 cargo test -p kubernetes crd`.\n";

#[test]
fn files_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
    for definition in all() {
        let plural = definition["spec"]["names"]["plural"].as_str().unwrap();
        let file = folder.join(format!("{plural}.yaml"));
        let text = format!("{HEAD}{}", yaml::to_string(&definition));
        if std::env::var_os("VAMP_UPDATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(found, text, "{} is stale: run the tests with VAMP_UPDATE=1", file.display());
    }
}

/// What the API server checks of every definition, from 1.20 on.
#[test]
fn definitions_are_well_formed() {
    for definition in all() {
        let (metadata, spec) = (&definition["metadata"], &definition["spec"]);
        assert_eq!(definition["apiVersion"], "apiextensions.k8s.io/v1");
        assert_eq!(spec["group"], GROUP);
        let plural = spec["names"]["plural"].as_str().expect("a plural");
        assert_eq!(metadata["name"], format!("{plural}.{GROUP}"));
        let versions = spec["versions"].as_array().expect("versions");
        let stored = versions.iter().filter(|version| version["storage"] == true).count();
        assert_eq!(stored, 1, "exactly one version is stored");
        for version in versions {
            assert_eq!(version["schema"]["openAPIV3Schema"]["type"], "object");
            for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
                let path = column["jsonPath"].as_str().expect("a path");
                assert!(path.starts_with('.') && column["type"].is_string(), "{column}");
            }
        }
    }
}

/// What the API server asks of a structural schema, as far as it is easily got wrong.
#[test]
fn schemas_are_structural_and_described() {
    for definition in all() {
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert_eq!(schema["type"], "object", "{name}");
        check(schema, &name, 0);
    }
}

fn check(schema: &Value, path: &str, depth: usize) {
    let known = [
        "type",
        "format",
        "description",
        "properties",
        "items",
        "additionalProperties",
        "required",
        "enum",
        "maxLength",
        "maxItems",
        "maxProperties",
        "pattern",
        "minimum",
        "maximum",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
    ];
    for key in schema.as_object().unwrap().keys() {
        assert!(known.contains(&key.as_str()), "{path}: {key}");
    }
    let loose = schema["x-kubernetes-int-or-string"] == true
        || schema["x-kubernetes-preserve-unknown-fields"] == true;
    assert!(schema["type"].is_string() || loose, "{path}: no type");
    if schema["x-kubernetes-int-or-string"] == true {
        assert!(schema["type"].is_null(), "{path}: a type next to int-or-string");
    }
    // What every object has needs no words of ours.
    let common = depth == 1 && path.ends_with(".metadata");
    assert!(
        common || schema["description"].as_str().is_some_and(|text| !text.is_empty()),
        "{path}: not described"
    );
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let message = rule["message"].as_str().unwrap();
        // Limits of the API server.
        assert!(!message.is_empty() && !message.contains('\n') && message.len() < 2048, "{path}: {message}");
        assert!(!rule["rule"].as_str().unwrap().is_empty(), "{path}");
    }
    let properties = schema["properties"].as_object();
    for (name, inner) in properties.into_iter().flatten() {
        check(inner, &format!("{path}.{name}"), depth + 1);
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap();
        assert!(
            properties.is_some_and(|fields| fields.contains_key(name)),
            "{path}: {name} is required but unknown"
        );
    }
    if schema["items"].is_object() {
        check(&schema["items"], &format!("{path}[]"), depth + 1);
        for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
            let required = schema["items"]["required"].as_array().is_some_and(|fields| fields.contains(key));
            assert!(required, "{path}: entries are told apart by {key}, so it must be required");
        }
    }
}
