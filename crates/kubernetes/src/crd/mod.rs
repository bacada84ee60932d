//! The custom resources of Vamp, defined once: manifests and tests are made from here.

mod records;

use serde_json::Value;

pub use records::records;

/// API group of all of them.
pub const GROUP: &str = "vamp.io";
/// Version of all of them.
pub const VERSION: &str = "v1";

/// Every CustomResourceDefinition that an installation needs, by name.
pub fn all() -> Vec<Value> {
    vec![records()]
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
