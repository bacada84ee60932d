//! `/scheduler`: what the platform runs, to try a selector on (section 18).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use model::instance::{Instance, InstanceKind};
use model::selector::Selector;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::App;
use crate::schema;
use crate::web::failure::Failure;
use crate::web::origin::Origin;
use crate::web::paging::Page;
use crate::web::parameters::Parameters;
use crate::web::reply::Answer;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(routing)).routes(routes!(nodes))
}

/// What a selector, combined with the configured one, finds. Without a selector: everything.
#[utoipa::path(get, path = "/api/v1/scheduler/routing", tag = "information",
    params(("selector" = Option<String>, Query, description = "A selector.", example = "label(app)(shop)"), schema::PageParameters),
    responses((status = 200, description = "Groups of like containers with their addresses and ports.", body = Vec<Object>)))]
pub(crate) async fn routing(State(app): State<Arc<App>>, origin: Origin, parameters: Parameters) -> Answer {
    let page = Page::from(&parameters)?;
    let text = parameters.text("selector").filter(|text| !text.trim().is_empty()).unwrap_or("true");
    let selector = Selector::parse(text).map_err(|error| {
        Failure::bad_request(
            "invalid-selector",
            format!("Invalid selector: '{text}'. At offset {}: {}.", error.offset, error.message),
        )
    })?;
    let selector = selector.within(&app.context.gateway_filter);
    let view = app.control().view();
    let groups = groups(&view.observation.instances, &selector, &app.context.namespace);
    Ok(page.of(&groups, &origin, &parameters, Clone::clone))
}

/// Machines of the platform; none on the local one.
#[utoipa::path(get, path = "/api/v1/scheduler/nodes", tag = "information", params(schema::PageParameters),
    responses((status = 200, description = "Machines.", body = Vec<Object>)))]
pub(crate) async fn nodes(origin: Origin, parameters: Parameters) -> Answer {
    let page = Page::from(&parameters)?;
    Ok(page.of::<Value>(&[], &origin, &parameters, Clone::clone))
}

/// Like containers: those of the same name, namespace, image and labels.
fn groups(instances: &[Instance], selector: &Selector, namespace: &str) -> Vec<Value> {
    type Key<'a> = (&'a str, &'a str, &'static str, Option<&'a str>, Vec<(&'a str, &'a str)>);
    let mut groups: BTreeMap<Key<'_>, BTreeMap<String, Vec<u16>>> = BTreeMap::new();
    for instance in instances {
        let kind = match instance.kind {
            InstanceKind::Pod => "container",
            InstanceKind::Service => "service",
        };
        for candidate in selector.candidates(instance, namespace) {
            let Some(address) = candidate.address else { continue };
            let image = instance
                .containers
                .iter()
                .find(|container| container.name == candidate.container)
                .and_then(|container| container.image.as_deref());
            let name = instance
                .containers
                .iter()
                .find(|container| container.name == candidate.container)
                .map_or(instance.name.as_str(), |container| container.name.as_str());
            // Names of pods and hashes of templates would make every pod a group of its own.
            let labels = instance.labels.iter().filter(|(key, _)| key.as_str() != "pod-template-hash");
            let labels = labels.map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let key = (name, instance.namespace.as_str(), kind, image, labels);
            groups.entry(key).or_default().entry(address.ip().to_string()).or_default().push(address.port());
        }
    }
    let show = |((name, namespace, kind, image, labels), instances): (
        Key<'_>,
        BTreeMap<String, Vec<u16>>,
    )| {
        let labels: BTreeMap<&str, &str> = labels.into_iter().collect();
        let instances: Vec<Value> = instances
            .into_iter()
            .map(|(ip, ports)| {
                let ports: Vec<Value> =
                    ports.iter().map(|port| json!({ "host": port, "container": port })).collect();
                json!({ "ip": ip, "ports": ports })
            })
            .collect();
        json!({ "name": name, "kind": kind, "namespace": namespace, "labels": labels, "image": image, "instances": instances })
    };
    groups.into_iter().map(show).collect()
}
