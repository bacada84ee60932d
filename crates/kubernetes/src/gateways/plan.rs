//! What is to be done so that custom resources and the control plane say the same. Pure.
//!
//! ```text
//! custom resources ----+
//! gateways declared ---+--> plan --> steps: Declare, Remove, Remember (control) | Create, Update, Delete (cluster)
//! mirrors -------------+             claims: which object has which gateway, and who is refused
//! ```
//!
//! A mirror remembers the document that both sides had last. Whoever differs from it has been edited:
//!
//! | object | control plane | step |
//! |---|---|---|
//! | edited, or new | - | `Declare`: control applies what the edit touched, field by field |
//! | as remembered | edited | `Update`, and with its echo `Declare`, which finds nothing to do |
//! | gone | as remembered | `Remove` |
//! | gone | edited | `Create`: an edit wins over a deletion that did not know it |
//! | as remembered | gone | `Delete` |
//! | edited | gone | `Declare`, for the same reason |
//! | - | new | `Create` |
//!
//! What this program wrote into an object is told from edits by the object itself, which knows who owns its fields; so a process
//! that ends in the middle leaves no riddle. Each step is small, is planned on what is there, and carries what it was planned on; after it everything is planned anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::gateway::{GatewayDocument, GatewaySpec, Mirror};
use model::lookup;
use model::name::GatewayName;
use serde_json::{Map, Value, json};

use super::object::Resource;
use super::refused::Refused;

/// The longest name of an object.
const LONGEST: usize = 253;
/// Digits that tell apart gateways whose names become the same.
const DIGITS: usize = 8;

/// A gateway as the control plane has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// Version that a deletion is meant for.
    pub version: u64,
    /// What is declared.
    pub spec: Arc<GatewaySpec>,
}

/// One step towards agreement.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// To control: the document of this object is new or edited.
    Declare {
        /// Name of the object.
        object: String,
        /// Its document.
        document: Arc<GatewayDocument>,
        /// Its identity.
        uid: String,
        /// Number of the document.
        generation: i64,
        /// Who changed it.
        actor: String,
        /// Fields that this program wrote.
        own: BTreeSet<String>,
        /// The document as it is there.
        body: String,
    },
    /// To control: the object is gone, and its gateway goes with it.
    Remove {
        /// The gateway.
        gateway: GatewayName,
        /// What the deletion is meant for.
        version: u64,
    },
    /// To control: what is known of the object.
    Remember {
        /// The gateway.
        gateway: GatewayName,
        /// What is to be remembered.
        mirror: Option<Mirror>,
    },
    /// To the cluster: a gateway has no object.
    Create {
        /// Name of the object.
        object: String,
        /// The whole object.
        body: Value,
    },
    /// To the cluster: the document was changed through the API.
    Update {
        /// Name of the object.
        object: String,
        /// A JSON merge patch, with the version that it is meant for.
        patch: Value,
    },
    /// To the cluster: the gateway was deleted through the API.
    Delete {
        /// Name of the object.
        object: String,
        /// Identity that is meant.
        uid: String,
        /// Version that is meant.
        version: String,
    },
}

/// What an object has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It has this gateway, and its document is in force.
    Accepted(GatewayName),
    /// Its document is not in force.
    Refused {
        /// The gateway that keeps its earlier document, if there is one.
        gateway: Option<GatewayName>,
        /// Why.
        why: Refused,
    },
    /// It is about to be looked at.
    Pending,
}

/// What is to be done, and what each object has come to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// At most one for each gateway; in no order that matters.
    pub steps: Vec<Step>,
    /// By name of the object.
    pub claims: BTreeMap<String, Claim>,
}

/// Everything that is known.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The custom resources of the namespace, by name.
    pub resources: &'a BTreeMap<String, Arc<Resource>>,
    /// The gateways of the control plane.
    pub gateways: &'a BTreeMap<GatewayName, Declared>,
    /// What is remembered.
    pub mirrors: &'a BTreeMap<GatewayName, Mirror>,
    /// Documents that control refused, by name of the object: to be left alone until something is different.
    pub refused: &'a BTreeMap<String, (String, i64, Refused)>,
}

/// Compares both sides.
pub fn plan(known: Known<'_>) -> Plan {
    let mut plan = Plan::default();
    let owners = owners(known, &mut plan.claims);
    let names: BTreeSet<&GatewayName> =
        owners.keys().chain(known.gateways.keys()).chain(known.mirrors.keys()).collect();
    for name in names {
        let object = owners.get(name).copied();
        let step = step(name, object, known);
        if let Some(object) = object {
            let claim = claim(name, object, known, step.as_ref());
            plan.claims.insert(object.name.clone(), claim);
        }
        plan.steps.extend(step);
    }
    plan
}

/// The object of each gateway: the one that is remembered, else the oldest that claims it.
fn owners<'a>(known: Known<'a>, claims: &mut BTreeMap<String, Claim>) -> BTreeMap<GatewayName, &'a Resource> {
    let remembered: BTreeMap<&str, &GatewayName> =
        known.mirrors.iter().map(|(name, mirror)| (mirror.uid.as_str(), name)).collect();
    let mut all: Vec<(&Arc<Resource>, Option<&GatewayName>)> = known
        .resources
        .values()
        .filter(|object| !object.deleting)
        .map(|object| (object, remembered.get(object.uid.as_str()).copied()))
        .collect();
    all.sort_by_key(|(object, own)| (own.is_none(), &object.created, &object.name));
    let mut owners = BTreeMap::new();
    for (object, own) in all {
        let Some(name) = own.or(object.gateway.as_ref()) else {
            claims.insert(object.name.clone(), refused(None, invalid(object)));
            continue;
        };
        if owners.contains_key(name) {
            let why = Refused {
                code: "artifact-exists".into(),
                message: format!("Artifact already exists: '{name}'."),
            };
            claims.insert(object.name.clone(), refused(None, why));
        } else {
            owners.insert(name.clone(), object.as_ref());
        }
    }
    owners
}

fn refused(gateway: Option<GatewayName>, why: Refused) -> Claim {
    Claim::Refused { gateway, why }
}

fn invalid(object: &Resource) -> Refused {
    match &object.document {
        Err(problems) => Refused::from(problems),
        Ok(document) => Refused {
            code: "illegal-name".into(),
            message: format!("Unsupported gateway name: '{}'", document.name),
        },
    }
}

/// Why the present document of an object is not to be given to control, as far as is known.
fn refusal(name: &GatewayName, object: &Resource, known: Known<'_>) -> Option<Refused> {
    let document = match &object.document {
        Err(problems) => return Some(Refused::from(problems)),
        Ok(document) => document,
    };
    if document.name != *name {
        let message = format!("Inconsistent name: given '{name}' but found '{}'.", document.name);
        return Some(Refused { code: "inconsistent-name".into(), message });
    }
    let (uid, generation, why) = known.refused.get(&object.name)?;
    (*uid == object.uid && *generation == object.generation).then(|| why.clone())
}

fn claim(name: &GatewayName, object: &Resource, known: Known<'_>, step: Option<&Step>) -> Claim {
    if let Some(why) = refusal(name, object, known) {
        return refused(known.gateways.contains_key(name).then(|| name.clone()), why);
    }
    match (known.mirrors.get(name), step) {
        (Some(mirror), step)
            if is_taken_in(object, mirror)
                && known.gateways.contains_key(name)
                && !matches!(step, Some(Step::Declare { .. })) =>
        {
            Claim::Accepted(name.clone())
        }
        _ => Claim::Pending,
    }
}

fn is_taken_in(object: &Resource, mirror: &Mirror) -> bool {
    object.uid == mirror.uid && object.generation == mirror.generation
}

fn step(name: &GatewayName, object: Option<&Resource>, known: Known<'_>) -> Option<Step> {
    let remember = |mirror: Option<Mirror>| Some(Step::Remember { gateway: name.clone(), mirror });
    let mirror = known.mirrors.get(name);
    let gateway = known.gateways.get(name);
    match (object, gateway, mirror) {
        (None, None, None) => None,
        (None, None, Some(_)) => remember(None),
        (None, Some(gateway), Some(mirror)) if gateway.spec == mirror.base => {
            Some(Step::Remove { gateway: name.clone(), version: gateway.version })
        }
        (None, Some(gateway), _) => {
            let object = object_name(name);
            // A name that is taken by an object that goes, or is about something else, comes free or never.
            let free = !known.resources.contains_key(&object);
            free.then(|| Step::Create { body: body(name, &object, &gateway.spec), object })
        }
        (Some(object), None, Some(mirror)) if was_looked_at(name, object, mirror, known) => {
            Some(Step::Delete {
                object: object.name.clone(),
                uid: object.uid.clone(),
                version: object.version.clone(),
            })
        }
        (Some(object), gateway, mirror) => match mirror.filter(|mirror| is_taken_in(object, mirror)) {
            Some(mirror) => gateway.and_then(|gateway| forth(name, object, gateway, mirror)),
            None if refusal(name, object, known).is_none() => declare(object),
            // What was changed through the API goes there all the same; the rest of what was refused stays as it is.
            None => forth(name, object, gateway?, mirror?),
        },
    }
}

/// True when the present document of the object was taken in, or refused: then a gateway that is gone was deleted later.
fn was_looked_at(name: &GatewayName, object: &Resource, mirror: &Mirror, known: Known<'_>) -> bool {
    object.uid == mirror.uid
        && (object.generation == mirror.generation
            || object.observed() == Some(object.generation)
            || refusal(name, object, known).is_some())
}

fn declare(object: &Resource) -> Option<Step> {
    let document = object.document.as_ref().ok()?.clone();
    Some(Step::Declare {
        object: object.name.clone(),
        document,
        uid: object.uid.clone(),
        generation: object.generation,
        actor: object.actor.clone(),
        own: object.own.clone(),
        body: Value::Object(object.spec.clone()).to_string(),
    })
}

/// Brings what was declared through the API to the object.
fn forth(name: &GatewayName, object: &Resource, gateway: &Declared, mirror: &Mirror) -> Option<Step> {
    if gateway.spec == mirror.base {
        return None;
    }
    let patch = patch(&object.spec, &mirror.base, &gateway.spec);
    if patch.is_empty() {
        // It says so already, in words of its own.
        let mirror = Mirror { base: gateway.spec.clone(), ..mirror.clone() };
        return is_taken_in(object, &mirror)
            .then(|| Step::Remember { gateway: name.clone(), mirror: Some(mirror) });
    }
    Some(Step::Update {
        object: object.name.clone(),
        patch: json!({"metadata": {"resourceVersion": object.version}, "spec": patch}),
    })
}

/// The merge patch that brings into `current` what is different between `base` and `wanted`; fields that are not stay as somebody
/// wrote them.
fn patch(current: &Map<String, Value>, base: &GatewaySpec, wanted: &GatewaySpec) -> Map<String, Value> {
    let (base, wanted) = (base.to_document(), wanted.to_document());
    let keys: BTreeSet<&String> = base.keys().chain(wanted.keys()).collect();
    let mut patch = Map::new();
    for key in keys.into_iter().filter(|key| base.get(*key) != wanted.get(*key)) {
        if let Some(change) = merge_patch(current.get(key), wanted.get(key)) {
            patch.insert(key.clone(), change);
        }
    }
    patch
}

/// RFC 7396: what makes `wanted` of `current`; `None` when that is nothing.
fn merge_patch(current: Option<&Value>, wanted: Option<&Value>) -> Option<Value> {
    match (current, wanted) {
        (None | Some(Value::Null), None) => None,
        (Some(_), None) => Some(Value::Null),
        (Some(Value::Object(current)), Some(Value::Object(wanted))) => {
            let keys: BTreeSet<&String> = current.keys().chain(wanted.keys()).collect();
            let changes = keys
                .into_iter()
                .filter_map(|key| Some((key.clone(), merge_patch(current.get(key), wanted.get(key))?)));
            let changes: Map<String, Value> = changes.collect();
            (!changes.is_empty()).then_some(Value::Object(changes))
        }
        (current, Some(wanted)) => (current != Some(wanted)).then(|| wanted.clone()),
    }
}

fn body(name: &GatewayName, object: &str, spec: &GatewaySpec) -> Value {
    let mut document = Map::new();
    if object != name.as_str() {
        document.insert("name".into(), name.as_str().into());
    }
    document.extend(spec.to_document());
    json!({
        "apiVersion": "vamp.io/v1",
        "kind": "Gateway",
        "metadata": {"name": object},
        "spec": document,
    })
}

/// The gateway's name if an object may have it; else what is left of it, with digits of the gateway's id.
pub fn object_name(gateway: &GatewayName) -> String {
    let text = gateway.as_str();
    if is_object_name(text) {
        return text.to_owned();
    }
    let id = lookup::gateway(gateway);
    let digits = &id[id.len().saturating_sub(DIGITS)..];
    let plain: String = text
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(LONGEST - DIGITS - 1)
        .collect();
    let plain = plain.trim_matches('-');
    let plain = if plain.is_empty() { "gateway" } else { plain };
    format!("{plain}-{digits}")
}

/// RFC 1123: labels of lower-case letters, digits and `-`, joined by dots.
fn is_object_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= LONGEST
        && text.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
        })
}
