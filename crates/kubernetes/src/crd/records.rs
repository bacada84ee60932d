use serde_json::{Value, json};

use super::{GROUP, VERSION};

/// `records.vamp.io`: where the control plane keeps what it must not forget. Nobody else writes these.
pub fn records() -> Value {
    let column = |name: &str, kind: &str, path: &str, description: &str| json!({"name": name, "type": kind, "jsonPath": path, "description": description});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("records.{GROUP}"), "labels": {"app.kubernetes.io/name": "vamp"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": "Record", "listKind": "RecordList", "singular": "record", "plural": "records",
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "additionalPrinterColumns": [
                    column("Kind", "string", ".record.kind", "Which sort of document"),
                    column("Record", "string", ".record.name", "Its name"),
                    column("Revision", "integer", ".record.revision", "Revision that wrote it"),
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": "A record of Vamp's control plane. Private to Vamp: change gateways instead.",
                    "required": ["record", "body"],
                    // A newer Vamp may keep more; an older one must not make it lose that.
                    "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {
                        "record": {
                            "type": "object",
                            "description": "Which document it is.",
                            "required": ["kind", "name", "revision"],
                            "x-kubernetes-preserve-unknown-fields": true,
                            "properties": {
                                "kind": {"type": "string", "description": "Which sort of document."},
                                "name": {"type": "string", "description": "Unique within its kind."},
                                "revision": {
                                    "type": "integer", "format": "int64", "minimum": 0,
                                    "description": "Revision that wrote it.",
                                },
                                "deleted": {
                                    "type": "boolean",
                                    "description": "It is deleted, and only kept for a while so that nobody who is late brings it back.",
                                },
                            },
                        },
                        "body": {
                            "type": "string",
                            "description": "The document, as JSON text: numbers stay as they are to the last digit.",
                        },
                    },
                }},
            }],
        },
    })
}
