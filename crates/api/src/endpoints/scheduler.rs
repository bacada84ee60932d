//! `/scheduler`: what the platform runs, to try a selector on (section 18).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use model::instance::{Instance, InstanceKind};
use model::selector::Selector;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
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
    responses((status = 200, description = "Groups of like containers with their addresses and ports.", body = Vec<Group>)))]
pub(crate) async fn routing(State(app): State<Arc<App>>, origin: Origin, parameters: Parameters) -> Answer {
    let page = Page::from(&parameters)?;
    let text = parameters.text("selector").filter(|text| !text.trim().is_empty()).unwrap_or("true");
    let selector = Selector::parse(text).map_err(|error| {
        Failure::bad_request(
            "invalid-selector",
            format!("Invalid selector: '{text}'. At offset {}: {}.", error.offset, error.message),
        )
    })?;
    let selector = selector.within(&app.environment.gateway_filter);
    let view = app.control().view();
    let groups = groups(&view.observation.instances, &selector, app.namespace());
    Ok(page.of(&groups, &origin, &parameters, |group| serde_json::to_value(group).unwrap_or_default()))
}

/// Machines of the platform; none on the local one.
#[utoipa::path(get, path = "/api/v1/scheduler/nodes", tag = "information", params(schema::PageParameters),
    responses((status = 200, description = "Machines.", body = Vec<Object>)))]
pub(crate) async fn nodes(origin: Origin, parameters: Parameters) -> Answer {
    let page = Page::from(&parameters)?;
    Ok(page.of::<Value>(&[], &origin, &parameters, Clone::clone))
}

/// Like containers: those of the same name, namespace, image and labels.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Group {
    /// Name of the containers, or of the service.
    name: String,
    /// `container` or `service`.
    kind: &'static str,
    /// Namespace of the platform.
    namespace: String,
    /// Labels of the pods.
    labels: BTreeMap<String, String>,
    /// Image; null for services.
    #[schema(required = true)]
    image: Option<String>,
    /// Where they listen.
    instances: Vec<GroupInstance>,
}

/// Where one instance listens.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct GroupInstance {
    /// Address.
    ip: String,
    /// Ports that the selector matches.
    ports: Vec<GroupPort>,
}

/// A port, outside and inside: always the same here.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct GroupPort {
    /// Outside.
    host: u16,
    /// Inside.
    container: u16,
}

fn groups(instances: &[Arc<Instance>], selector: &Selector, namespace: &str) -> Vec<Group> {
    type Key = (String, String, &'static str, Option<String>, BTreeMap<String, String>);
    let mut groups: BTreeMap<Key, BTreeMap<IpAddr, Vec<u16>>> = BTreeMap::new();
    for instance in instances {
        let kind = match instance.kind {
            InstanceKind::Pod => "container",
            InstanceKind::Service => "service",
        };
        // A hash of the template makes no difference to a person.
        let labels = instance.labels.iter().filter(|(key, _)| key.as_str() != "pod-template-hash");
        let labels: BTreeMap<String, String> =
            labels.map(|(key, value)| (key.clone(), value.clone())).collect();
        for candidate in selector.candidates(instance, namespace) {
            let Some(address) = candidate.address else { continue };
            let container =
                instance.containers.iter().find(|container| container.name == candidate.container);
            let image = container.and_then(|container| container.image.clone());
            let key = (candidate.container, instance.namespace.clone(), kind, image, labels.clone());
            groups.entry(key).or_default().entry(address.ip()).or_default().push(address.port());
        }
    }
    let show =
        |((name, namespace, kind, image, labels), instances): (Key, BTreeMap<IpAddr, Vec<u16>>)| Group {
            name,
            kind,
            namespace,
            labels,
            image,
            instances: instances
                .into_iter()
                .map(|(ip, ports)| GroupInstance {
                    ip: ip.to_string(),
                    ports: ports.into_iter().map(|port| GroupPort { host: port, container: port }).collect(),
                })
                .collect(),
        };
    groups.into_iter().map(show).collect()
}
