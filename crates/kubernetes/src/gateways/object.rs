//! A custom resource as the door sees it: parsed once, when it comes in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::gateway::GatewayDocument;
use model::name::GatewayName;
use model::problem::Problems;
use model::yaml::Node;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::object::{Metadata, Object, nullable};

/// Who this program is in `managedFields`.
pub(crate) const MANAGER: &str = "vamp";
/// Who changed an object when it does not say.
const SOMEBODY: &str = "kubectl";

/// Custom resources of a namespace by name; `None` until they were completely read once.
pub type Resources = Option<Arc<BTreeMap<String, Arc<Resource>>>>;

/// A gateway as a custom resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Name of the object.
    pub name: String,
    /// Identity over time.
    pub uid: String,
    /// For preconditions.
    pub version: String,
    /// Number of the present `spec`.
    pub generation: i64,
    /// It is being deleted.
    pub deleting: bool,
    /// When it was made; of two that claim the same gateway the older one has it.
    pub created: String,
    /// Who changed `spec` last.
    pub actor: String,
    /// Fields of `spec` that this program wrote last.
    pub own: BTreeSet<String>,
    /// The document as it is there.
    pub spec: Map<String, Value>,
    /// What Vamp said about it last.
    pub status: Value,
    /// The gateway that it is about; `None` when its name is none.
    pub gateway: Option<GatewayName>,
    /// What `spec` says, or what is wrong with it.
    pub document: Result<Arc<GatewayDocument>, Problems>,
}

impl Resource {
    /// The generation that the status is about.
    pub fn observed(&self) -> Option<i64> {
        self.status.get("observedGeneration").and_then(Value::as_i64)
    }

    pub(crate) fn new(raw: RawGateway) -> Self {
        let RawGateway { metadata, spec, status } = raw;
        let RawMetadata { common: metadata, generation, creation_timestamp, managed_fields } = metadata;
        let mut document = spec.clone();
        let name = document.entry("name").or_insert_with(|| metadata.name.clone().into());
        let gateway = name.as_str().and_then(|name| GatewayName::parse(name).ok());
        let document = GatewayDocument::from_node(&Node::from_value(&Value::Object(document)));
        Self {
            actor: actor(&managed_fields),
            own: own(&managed_fields),
            name: metadata.name,
            uid: metadata.uid,
            version: metadata.resource_version,
            generation,
            deleting: metadata.deletion_timestamp.is_some(),
            created: creation_timestamp,
            spec,
            status,
            gateway,
            document: document.map(Arc::new),
        }
    }
}

/// The object as it comes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawGateway {
    metadata: RawMetadata,
    #[serde(deserialize_with = "nullable")]
    spec: Map<String, Value>,
    status: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawMetadata {
    #[serde(flatten)]
    common: Metadata,
    generation: i64,
    creation_timestamp: String,
    #[serde(deserialize_with = "nullable")]
    managed_fields: Vec<ManagedFields>,
}

impl Object for RawGateway {
    const API: &'static str = "/apis/vamp.io/v1";
    const RESOURCE: &'static str = "gateways";
    const FIELD_SELECTOR: Option<&'static str> = None;
    const UNKNOWN: Option<&'static str> = Some(
        "the cluster does not know gateways.vamp.io, so gateways cannot be written with kubectl; everything else works. To have \
         that: kubectl apply -f deploy/crds/gateways.yaml",
    );

    fn metadata(&self) -> &Metadata {
        &self.metadata.common
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ManagedFields {
    manager: String,
    time: String,
    #[serde(rename = "fieldsV1")]
    fields: Map<String, Value>,
}

/// Who changed `spec` last, other than this program.
fn actor(entries: &[ManagedFields]) -> String {
    let of_spec =
        entries.iter().filter(|entry| entry.fields.contains_key("f:spec") && entry.manager != MANAGER);
    // Times are in one form, which sorts as text; of the same second, the later entry.
    let last = of_spec.max_by(|a, b| a.time.cmp(&b.time));
    let name = last.map_or("", |entry| entry.manager.as_str());
    let plain: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
    if plain.is_empty() { SOMEBODY.to_owned() } else { plain }
}

/// Fields of `spec` that this program owns alone. Whoever changes a field, owns it from then on.
fn own(entries: &[ManagedFields]) -> BTreeSet<String> {
    let fields = |ours: bool| {
        let entries = entries.iter().filter(move |entry| (entry.manager == MANAGER) == ours);
        let specs = entries.filter_map(|entry| entry.fields.get("f:spec")?.as_object());
        specs.flat_map(|spec| spec.keys()).filter_map(|key| key.strip_prefix("f:")).map(str::to_owned)
    };
    let others: BTreeSet<String> = fields(false).collect();
    fields(true).filter(|field| !others.contains(field)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(object: Value) -> Resource {
        Resource::new(RawGateway::deserialize(object).unwrap())
    }

    #[test]
    fn an_object_is_a_document_with_the_name_of_the_object() {
        let found = read(json!({
            "metadata": {"name": "shop", "uid": "u", "generation": 3, "resourceVersion": "7", "managedFields": null},
            "spec": {"port": 9070},
        }));
        assert_eq!((found.generation, &*found.version, &*found.actor), (3, "7", "kubectl"));
        assert_eq!(found.document.unwrap().name.as_str(), "shop");
        let found = read(json!({"metadata": {"name": "shop-web-1"}, "spec": {"name": "shop/web"}}));
        assert_eq!(found.gateway.unwrap().as_str(), "shop/web");
        assert!(
            read(json!({"metadata": {"name": "shop"}, "spec": {"routes": {"a": {"weigth": 1}}}}))
                .document
                .is_err()
        );
        let nameless = read(json!({"metadata": {"name": "shop"}, "spec": {"name": "a b"}}));
        assert!(nameless.gateway.is_none() && nameless.document.is_err());
    }

    #[test]
    fn whoever_changed_the_spec_last_is_the_actor() {
        let entry = |manager: &str, time: &str, field: &str| json!({"manager": manager, "time": time, "fieldsV1": {field: {}}});
        let found = read(json!({"metadata": {"name": "shop", "managedFields": [
            entry("argocd-controller", "2026-03-01T10:00:00Z", "f:spec"),
            entry("kubectl-edit", "2026-03-01T11:00:00Z", "f:spec"),
            entry("vamp", "2026-03-01T12:00:00Z", "f:spec"),
            entry("other", "2026-03-01T13:00:00Z", "f:status"),
        ]}}));
        assert_eq!(found.actor, "kubectl-edit");
        assert!(found.own.is_empty());
    }

    #[test]
    fn a_field_is_ours_while_nobody_else_owns_it() {
        let found = read(json!({"metadata": {"name": "shop", "managedFields": [
            {"manager": "kubectl-edit", "fieldsV1": {"f:spec": {"f:sticky": {}, "f:routes": {"f:(1)": {}}}}},
            {"manager": "vamp", "fieldsV1": {"f:spec": {".": {}, "f:port": {}, "f:routes": {"f:(2)": {}}}}},
        ]}}));
        assert_eq!(found.own, ["port".to_owned()].into());
    }
}
