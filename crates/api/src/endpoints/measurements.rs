//! `/metrics/...` and `/health/...` below `/api`: the newest event of a kind within a window, as a bare number (section 15).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use jiff::{SignedDuration, Timestamp};
use model::event::{EventQuery, TimeBound};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::events::within;
use crate::context::App;
use crate::web::failure::Failure;
use crate::web::parameters::Parameters;
use crate::web::reply::{Answer, Reply};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(gateway_metric))
        .routes(routes!(route_metric))
        .routes(routes!(port_metric))
        .routes(routes!(service_metric))
        .routes(routes!(gateway_health))
        .routes(routes!(route_health))
        .routes(routes!(deployment_health))
        .routes(routes!(cluster_health))
        .routes(routes!(service_health))
}

/// A metric of a gateway: `rate`, `responseTime`, or whatever is published.
#[utoipa::path(get, path = "/api/v1/metrics/gateways/{gateway}/{metric}", tag = "figures",
    params(("gateway" = String, Path, description = "Name, slashes as %2F."), ("metric" = String, Path, description = "Name of the metric.", example = "rate"),
        ("window" = Option<u64>, Query, description = "Seconds, 120 unless given.")),
    responses((status = 200, description = "A bare number.", body = f64, content_type = "application/json"), (status = 404, description = "No value within the window.", body = crate::schema::Error)))]
pub(crate) async fn gateway_metric(
    State(app): State<Arc<App>>,
    Path((gateway, metric)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    newest(
        &app,
        &parameters,
        "metrics",
        [format!("gateways:{gateway}"), "gateway".into(), format!("metrics:{metric}")],
    )
    .await
}

/// A metric of a route.
#[utoipa::path(get, path = "/api/v1/metrics/gateways/{gateway}/routes/{route}/{metric}", tag = "figures",
    params(("gateway" = String, Path, description = "Name, slashes as %2F."), ("route" = String, Path, description = "Path, slashes as %2F."),
        ("metric" = String, Path, description = "Name of the metric.", example = "rate"), ("window" = Option<u64>, Query, description = "Seconds, 120 unless given.")),
    responses((status = 200, description = "A bare number.", body = f64, content_type = "application/json"), (status = 404, description = "No value within the window.", body = crate::schema::Error)))]
pub(crate) async fn route_metric(
    State(app): State<Arc<App>>,
    Path((gateway, route, metric)): Path<(String, String, String)>,
    parameters: Parameters,
) -> Answer {
    let tags = [
        format!("gateways:{gateway}"),
        format!("routes:{route}"),
        "route".into(),
        format!("metrics:{metric}"),
    ];
    newest(&app, &parameters, "metrics", tags).await
}

/// A metric of a port of a cluster: the gateway `deployment/cluster/port`.
#[utoipa::path(get, path = "/api/v1/metrics/deployments/{deployment}/clusters/{cluster}/ports/{port}/{metric}", tag = "figures",
    params(("deployment" = String, Path, description = "Deployment."), ("cluster" = String, Path, description = "Cluster."), ("port" = String, Path, description = "Name of the port."),
        ("metric" = String, Path, description = "Name of the metric.", example = "rate"), ("window" = Option<u64>, Query, description = "Seconds, 120 unless given.")),
    responses((status = 200, description = "A bare number.", body = f64, content_type = "application/json"), (status = 404, description = "No value within the window.", body = crate::schema::Error)))]
pub(crate) async fn port_metric(
    app: State<Arc<App>>,
    Path((deployment, cluster, port, metric)): Path<(String, String, String, String)>,
    parameters: Parameters,
) -> Answer {
    gateway_metric(app, Path((format!("{deployment}/{cluster}/{port}"), metric)), parameters).await
}

/// A metric of a service: the route `deployment/cluster/service/port` of its gateway.
#[utoipa::path(get, path = "/api/v1/metrics/deployments/{deployment}/clusters/{cluster}/services/{service}/ports/{port}/{metric}", tag = "figures",
    params(("deployment" = String, Path, description = "Deployment."), ("cluster" = String, Path, description = "Cluster."), ("service" = String, Path, description = "Service."),
        ("port" = String, Path, description = "Name of the port."), ("metric" = String, Path, description = "Name of the metric.", example = "rate"),
        ("window" = Option<u64>, Query, description = "Seconds, 120 unless given.")),
    responses((status = 200, description = "A bare number.", body = f64, content_type = "application/json"), (status = 404, description = "No value within the window.", body = crate::schema::Error)))]
pub(crate) async fn service_metric(
    app: State<Arc<App>>,
    Path((deployment, cluster, service, port, metric)): Path<(String, String, String, String, String)>,
    parameters: Parameters,
) -> Answer {
    let gateway = format!("{deployment}/{cluster}/{port}");
    let route = format!("{deployment}/{cluster}/{service}/{port}");
    route_metric(app, Path((gateway, route, metric)), parameters).await
}

/// Health of a gateway, 0 to 1.
#[utoipa::path(get, path = "/api/v1/health/gateways/{gateway}", tag = "figures",
    params(("gateway" = String, Path, description = "Name, slashes as %2F."), ("window" = Option<u64>, Query, description = "Seconds, 120 unless given.")),
    responses((status = 200, description = "A bare number.", body = f64, content_type = "application/json"), (status = 404, description = "No value within the window.", body = crate::schema::Error)))]
pub(crate) async fn gateway_health(
    State(app): State<Arc<App>>,
    Path(gateway): Path<String>,
    parameters: Parameters,
) -> Answer {
    newest(&app, &parameters, "health", [format!("gateways:{gateway}"), "gateway".into(), "health".into()])
        .await
}

/// Health of a route, 0 to 1.
#[utoipa::path(get, path = "/api/v1/health/gateways/{gateway}/routes/{route}", tag = "figures",
    params(("gateway" = String, Path, description = "Name, slashes as %2F."), ("route" = String, Path, description = "Path, slashes as %2F."),
        ("window" = Option<u64>, Query, description = "Seconds, 120 unless given.")),
    responses((status = 200, description = "A bare number.", body = f64, content_type = "application/json"), (status = 404, description = "No value within the window.", body = crate::schema::Error)))]
pub(crate) async fn route_health(
    State(app): State<Arc<App>>,
    Path((gateway, route)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    let tags = [format!("gateways:{gateway}"), format!("routes:{route}"), "route".into(), "health".into()];
    newest(&app, &parameters, "health", tags).await
}

/// Health of a deployment, 0 to 1.
#[utoipa::path(get, path = "/api/v1/health/deployments/{deployment}", tag = "figures",
    params(("deployment" = String, Path, description = "Deployment."), ("window" = Option<u64>, Query, description = "Seconds, 120 unless given.")),
    responses((status = 200, description = "A bare number.", body = f64, content_type = "application/json"), (status = 404, description = "No value within the window.", body = crate::schema::Error)))]
pub(crate) async fn deployment_health(
    State(app): State<Arc<App>>,
    Path(deployment): Path<String>,
    parameters: Parameters,
) -> Answer {
    newest(
        &app,
        &parameters,
        "health",
        [format!("deployments:{deployment}"), "deployment".into(), "health".into()],
    )
    .await
}

/// Health of a cluster, 0 to 1.
#[utoipa::path(get, path = "/api/v1/health/deployments/{deployment}/clusters/{cluster}", tag = "figures",
    params(("deployment" = String, Path, description = "Deployment."), ("cluster" = String, Path, description = "Cluster."),
        ("window" = Option<u64>, Query, description = "Seconds, 120 unless given.")),
    responses((status = 200, description = "A bare number.", body = f64, content_type = "application/json"), (status = 404, description = "No value within the window.", body = crate::schema::Error)))]
pub(crate) async fn cluster_health(
    State(app): State<Arc<App>>,
    Path((deployment, cluster)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    let tags = [
        format!("deployments:{deployment}"),
        format!("clusters:{cluster}"),
        "cluster".into(),
        "health".into(),
    ];
    newest(&app, &parameters, "health", tags).await
}

/// Health of a service, 0 to 1.
#[utoipa::path(get, path = "/api/v1/health/deployments/{deployment}/clusters/{cluster}/services/{service}", tag = "figures",
    params(("deployment" = String, Path, description = "Deployment."), ("cluster" = String, Path, description = "Cluster."), ("service" = String, Path, description = "Service."),
        ("window" = Option<u64>, Query, description = "Seconds, 120 unless given.")),
    responses((status = 200, description = "A bare number.", body = f64, content_type = "application/json"), (status = 404, description = "No value within the window.", body = crate::schema::Error)))]
pub(crate) async fn service_health(
    State(app): State<Arc<App>>,
    Path((deployment, cluster, service)): Path<(String, String, String)>,
    parameters: Parameters,
) -> Answer {
    let tags = [
        format!("deployments:{deployment}"),
        format!("clusters:{cluster}"),
        format!("services:{service}"),
        "service".into(),
        "health".into(),
    ];
    newest(&app, &parameters, "health", tags).await
}

async fn newest<const N: usize>(app: &App, parameters: &Parameters, kind: &str, tags: [String; N]) -> Answer {
    let window = window(parameters.text("window"), app.limits().metrics_window);
    let from =
        SignedDuration::try_from(window).ok().and_then(|window| Timestamp::now().checked_sub(window).ok());
    let query = EventQuery {
        tags: BTreeSet::from(tags),
        kind: Some(kind.to_owned()),
        from: Some(TimeBound { at: from.unwrap_or(Timestamp::MIN), inclusive: true }),
        until: None,
    };
    let found = within(app, app.control().query_events(query, store::Page::new(1, 1))).await?;
    match found.events.first().and_then(|event| event.value.as_ref()).and_then(number) {
        Some(value) => Ok(Reply::ok(value)),
        None => Err(Failure::not_found(format!("No value within the last {} s.", window.as_secs()))),
    }
}

/// Missing, negative or unreadable: the default.
fn window(text: Option<&str>, default: Duration) -> Duration {
    text.and_then(|text| text.trim().parse::<u32>().ok())
        .map_or(default, |seconds| Duration::from_secs(seconds.into()))
}

/// A number, also one that was published as text.
fn number(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => {
            text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| json!(number))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        let default = Duration::from_secs(120);
        for (text, seconds) in [
            (None, 120),
            (Some("60"), 60),
            (Some("-1"), 120),
            (Some("x"), 120),
            (Some(""), 120),
            (Some("0"), 0),
        ] {
            assert_eq!(window(text, default).as_secs(), seconds, "{text:?}");
        }
    }

    #[test]
    fn numbers() {
        for (value, expected) in [
            (json!(12.5), Some(json!(12.5))),
            (json!(3), Some(json!(3))),
            (json!("12.5"), Some(json!(12.5))),
            (json!("NaN"), None),
            (json!("x"), None),
            (json!(null), None),
            (json!({"a": 1}), None),
        ] {
            assert_eq!(number(&value), expected, "{value}");
        }
    }
}
