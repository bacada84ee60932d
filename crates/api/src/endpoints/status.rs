//! `/status`: is everything as it should be, and if not, what is not?

use std::sync::Arc;

use axum::extract::State;
use control::ProxyStatus;
use model::percent::Percent;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::App;
use crate::web::reply::{Answer, Reply};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(status))
}

/// A summary for people and pipelines. `healthy` says whether `problems` is empty.
#[utoipa::path(get, path = "/api/v1/status", tag = "operations",
    responses((status = 200, description = "The summary, also when something is wrong.", body = Object)))]
pub(crate) async fn status(State(app): State<Arc<App>>) -> Answer {
    let view = app.control().view();
    let ready = app.ready();
    let mut problems: Vec<String> = Vec::new();
    if !ready {
        problems.push("the first routing table is not applied yet".into());
    }
    let observation = &view.observation;
    if !observation.complete {
        problems.push("the platform is not completely read yet".into());
    }
    if let Some(problem) = &observation.problem {
        problems
            .push(format!("the platform cannot be read, what is shown is the last known state: {problem}"));
    }
    if let Some(problem) = &view.store_problem {
        problems.push(format!("automatic changes cannot be stored: {problem}"));
    }
    let behind = view.proxies.iter().filter(|proxy| proxy.revision < Some(view.config.revision));
    problems.extend(
        behind.map(|proxy| {
            format!("proxy '{}' does not serve revision {} yet", proxy.name, view.config.revision)
        }),
    );
    for proxy in view.proxies.iter() {
        problems.extend(
            proxy
                .problems
                .iter()
                .map(|(gateway, problem)| format!("proxy '{}', gateway '{gateway}': {problem}", proxy.name)),
        );
    }
    let mut gateways = Vec::new();
    for (name, entry) in view.gateways.iter() {
        if !entry.view.deployed {
            problems.push(format!("gateway '{name}' is not served"));
        }
        problems.extend(entry.warnings.iter().map(|warning| format!("gateway '{name}': {warning}")));
        let routes: Vec<Value> = entry
            .view
            .routes
            .iter()
            .enumerate()
            .map(|(i, (path, route))| {
                let effective = entry.effective.get(i).copied().unwrap_or(Percent::ZERO);
                let instances = entry.instances.get(i).copied().unwrap_or_default();
                json!({
                    "path": path,
                    "weight": route.weight.to_string(),
                    "effective_weight": effective.to_string(),
                    "condition": route.condition.as_ref().map(|condition| condition.text()),
                    "condition_strength": route.condition_strength.to_string(),
                    "absent": entry.absent.get(i).copied().unwrap_or_default(),
                    "instances": instances.existing,
                    "ready": instances.ready,
                    "targets": route.targets.len(),
                })
            })
            .collect();
        gateways.push(json!({
            "name": name,
            "version": entry.version,
            "port": entry.view.port.to_string(),
            "service": { "host": entry.view.service.host, "port": entry.view.service.port.with_protocol() },
            "deployed": entry.view.deployed,
            "sticky_generation": entry.sticky_generation,
            "warnings": entry.warnings,
            "routes": routes,
        }));
    }
    let proxy = |proxy: &ProxyStatus| {
        let problems: Vec<Value> = proxy
            .problems
            .iter()
            .map(|(gateway, problem)| json!({ "gateway": gateway, "problem": problem }))
            .collect();
        json!({ "name": proxy.name, "revision": proxy.revision, "problems": problems })
    };
    let proxies: Vec<Value> = view.proxies.iter().map(proxy).collect();
    Ok(Reply::ok(json!({
        "environment": app.context.environment,
        "version": app.context.info.version,
        "revision": view.revision,
        "ready": ready,
        "healthy": problems.is_empty(),
        "problems": problems,
        "platform": {
            "type": app.context.info.platform,
            "complete": observation.complete,
            "problem": observation.problem,
            "instances": observation.instances.len(),
            "ready": observation.instances.iter().filter(|instance| instance.ready).count(),
        },
        "proxies": proxies,
        "targets": app.context.data_plane.targets(),
        "virtual_hosts": app.context.data_plane.virtual_host_address().map(|address| address.to_string()),
        "gateways": gateways,
    })))
}
