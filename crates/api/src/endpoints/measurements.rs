//! `/metrics/...` and `/health/...` below `/api`: the newest event of a kind within a window, as a bare number (section 15).
//! Nothing is published about gateways and routes without traffic; their figures are computed when somebody asks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use jiff::{SignedDuration, Timestamp};
use model::event::{EventQuery, TimeBound};
use model::name::GatewayName;
use serde_json::{Value, json};
use telemetry::figures::{self, HealthMode, Instances};
use telemetry::{Key, Window};
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
    let tags = [format!("gateways:{gateway}"), "gateway".into(), format!("metrics:{metric}")];
    newest(&app, &parameters, "metrics", tags, |seconds| {
        Quiet::find(&app, &gateway, None, seconds)?.metric(&metric)
    })
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
    let quiet = |seconds| Quiet::find(&app, &gateway, Some(&route), seconds)?.metric(&metric);
    newest(&app, &parameters, "metrics", tags, quiet).await
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
    let tags = [format!("gateways:{gateway}"), "gateway".into(), "health".into()];
    newest(&app, &parameters, "health", tags, |seconds| Quiet::find(&app, &gateway, None, seconds)?.health())
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
    let quiet = |seconds| Quiet::find(&app, &gateway, Some(&route), seconds)?.health();
    newest(&app, &parameters, "health", tags, quiet).await
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
        |_| None,
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
    newest(&app, &parameters, "health", tags, |_| None).await
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
    newest(&app, &parameters, "health", tags, |_| None).await
}

/// The newest event with these tags; without one what `quiet` computes for so many seconds.
async fn newest<const N: usize>(
    app: &App,
    parameters: &Parameters,
    kind: &str,
    tags: [String; N],
    quiet: impl FnOnce(u32) -> Option<Value>,
) -> Answer {
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
    let published = found.events.first().and_then(|event| event.value.as_ref()).and_then(number);
    let seconds = u32::try_from(window.as_secs()).unwrap_or(u32::MAX);
    match published.or_else(|| quiet(seconds)) {
        Some(value) => Ok(Reply::ok(value)),
        None => Err(Failure::not_found(format!("No value within the last {seconds} s."))),
    }
}

/// What is known of a gateway, or of one of its routes, without any event.
struct Quiet {
    window: Window,
    in_flight: u64,
    /// Of a route.
    instances: Option<Instances>,
}

impl Quiet {
    /// `None` when there is no such gateway or route.
    fn find(app: &App, gateway: &str, route: Option<&str>, seconds: u32) -> Option<Self> {
        let view = app.control().view();
        let name = GatewayName::parse(gateway).ok()?;
        let entry = view.gateways.get(&name)?;
        let (key, instances) = match route {
            None => (Key::Gateway(name), None),
            Some(route) => {
                let mut routes = entry.view.routes.iter().zip(&entry.instances);
                let ((path, _), counts) = routes.find(|((path, _), _)| path.as_str() == route)?;
                let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
                let instances = Instances { ready: number(counts.ready), wanted: number(counts.existing) };
                (Key::Route(name, path.clone()), Some(instances))
            }
        };
        let telemetry = &app.environment.telemetry;
        let window = telemetry.window(&key, seconds).unwrap_or_else(|| Window::empty(seconds));
        let in_flight = telemetry.series(&key).map_or(0, |series| series.totals().in_flight);
        Some(Self { window, in_flight, instances })
    }

    fn metric(&self, name: &str) -> Option<Value> {
        figures::metric(name, &self.window, self.in_flight)
    }

    fn health(&self) -> Option<Value> {
        figures::health(&self.window, self.instances, HealthMode::Ratio).map(|health| json!(health))
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
