//! Between the crates: settings translated, and the small traits of the API fulfilled.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use control::{Control, PortCheck, View};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use local::{InstanceState, Outcome};
use model::event::NewEvent;
use model::name::GatewayName;
use model::problem::{Problem, Problems};
use model::selector::Selector;
use proxy::Proxy;
use routing::table::RoutingTable;
use serde_json::Value;
use telemetry::figures::{HealthMode, Instances, Subject, health, metric_events};
use telemetry::{Key, Telemetry, Window};
use tokio_util::sync::CancellationToken;

use crate::serve::Applied;
use crate::serve::callers::ClusterUsers;
use crate::serve::platform::Platform;
use crate::settings::Settings;

pub(super) fn control_settings(
    settings: &Settings,
    namespace: &str,
    filter: Selector,
    reserved: &[u16],
    proxy: Proxy,
) -> control::Settings {
    let mut control = control::Settings::new(settings.environment.clone());
    control.namespace = namespace.to_owned();
    control.gateway_filter = filter;
    control.port_range = settings.port_range.clone();
    control.port_check = PortCheck::new(move |port| proxy.can_listen(port));
    control.route_retention = settings.route_retention;
    control.gateway_address = settings.gateway_address;
    control.reserved_ports = reserved.to_vec();
    control.event_retention.max_age = settings.event_retention;
    control
}

/// What the API is made of.
pub(super) struct Parts<'a> {
    pub(super) settings: &'a Settings,
    pub(super) applied: Applied,
    pub(super) tokens: Vec<api::Token>,
    pub(super) api: SocketAddr,
    pub(super) control: Control,
    pub(super) filter: Selector,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) proxy: Proxy,
    pub(super) platform: Platform,
    pub(super) closing: CancellationToken,
}

/// The API with this one environment.
pub(super) fn api(parts: Parts<'_>) -> api::Api {
    let settings = parts.settings;
    let mut applied: std::collections::BTreeMap<String, Value> = parts
        .applied
        .iter()
        .map(|(name, value, _)| (format!("vamp.{name}"), Value::String(value.clone())))
        .collect();
    // Scripts written for the original ask where gateways can be reached.
    applied.insert("vamp.gateway-driver.host".into(), settings.gateway_address.to_string().into());
    let api = api::Api::new(api::Process {
        info: api::Info {
            message: "Vamp: release control for microservices".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            uuid: instance_id(),
            started: Timestamp::now(),
            store: "sqlite".into(),
            platform: parts.platform.name().to_owned(),
        },
        ui: ui::file,
        settings: api::Settings {
            security: api::Security {
                tokens: parts.tokens,
                authenticator: authenticator(&parts.platform, parts.api),
                allowed_origins: settings.allowed_origin.clone(),
                allowed_hosts: settings.allowed_host.clone(),
                loopback_only: parts.api.ip().is_loopback(),
            },
            applied,
            home_namespace: parts.platform.namespace().to_owned(),
            ..api::Settings::default()
        },
        closing: parts.closing,
    });
    api.put(api::Environment {
        id: api::EnvironmentId::new(&settings.environment, parts.platform.namespace()),
        control: parts.control,
        gateway_filter: parts.filter,
        telemetry: parts.telemetry,
        data_plane: Arc::new(DataPlane(parts.proxy)),
        workloads: workloads(parts.platform),
    });
    api
}

/// Where others can reach the API, users of the cluster are known by their own tokens. On loopback it stays as open as it is
/// without a cluster.
fn authenticator(platform: &Platform, api: SocketAddr) -> Option<Arc<dyn api::Authenticator>> {
    match platform {
        Platform::Kubernetes(platform) if !api.ip().is_loopback() => {
            Some(Arc::new(ClusterUsers(platform.callers())))
        }
        _ => None,
    }
}

/// Tells one start of the process from another: time and process id, mixed.
fn instance_id() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let word =
        |salt: u64| RandomState::new().hash_one((salt, std::process::id(), Timestamp::now().as_nanosecond()));
    format!("{:016x}{:016x}", word(1), word(2))
}

struct DataPlane(Proxy);

impl api::DataPlane for DataPlane {
    fn table(&self) -> Arc<RoutingTable> {
        self.0.table()
    }

    fn targets(&self) -> Vec<api::TargetStatus> {
        let targets = self.0.targets().into_iter().map(|target| api::TargetStatus {
            gateway: target.gateway,
            route: target.route,
            id: target.id,
            name: target.name,
            address: target.address.to_string(),
            up: target.up,
            in_flight: target.in_flight.into(),
        });
        targets.collect()
    }

    fn recent(&self, gateway: &GatewayName) -> Option<Vec<api::RecentRequest>> {
        let requests = self.0.recent(gateway).into_iter().map(|request| api::RecentRequest {
            method: request.method.clone(),
            target: request.target.clone(),
            host: request.host.clone(),
            fields: request.fields.clone(),
            source: request.source,
        });
        Some(requests.collect())
    }

    fn virtual_host_address(&self) -> Option<SocketAddr> {
        self.0.virtual_host_address()
    }

    fn access_log_lost(&self) -> Option<u64> {
        self.0.access_log_lost()
    }
}

fn workloads(platform: Platform) -> Arc<dyn api::Workloads> {
    match platform {
        Platform::Local(platform) => Arc::new(Workloads(platform)),
        Platform::Kubernetes(_) => Arc::new(NoWorkloads),
    }
}

/// Where the cluster runs what there is.
struct NoWorkloads;

fn elsewhere() -> Problems {
    let text =
        "Workloads are run by the Kubernetes cluster here: use kubectl, or the tool that deploys to it";
    Problem::new("unsupported", "", text).into()
}

impl api::Workloads for NoWorkloads {
    fn list(&self) -> Vec<api::Workload> {
        Vec::new()
    }

    fn apply<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<api::WorkloadChange>, Problems>> {
        Box::pin(async { Err(elsewhere()) })
    }

    fn delete<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<bool, Problems>> {
        Box::pin(async { Err(elsewhere()) })
    }

    fn log(&self, _: &str, _: usize) -> Option<Vec<String>> {
        None
    }
}

struct Workloads(local::Platform);

impl api::Workloads for Workloads {
    fn list(&self) -> Vec<api::Workload> {
        let workloads = self.0.workloads();
        workloads.iter().map(workload).collect()
    }

    fn apply<'a>(&'a self, manifest: &'a str) -> BoxFuture<'a, Result<Vec<api::WorkloadChange>, Problems>> {
        Box::pin(async move {
            let applied = self.0.apply(manifest).await?;
            let change = |applied: local::Applied| api::WorkloadChange {
                kind: applied.kind.to_owned(),
                namespace: applied.namespace,
                name: applied.name,
                outcome: match applied.outcome {
                    Outcome::Created => "created",
                    Outcome::Configured => "configured",
                    Outcome::Unchanged => "unchanged",
                }
                .to_owned(),
            };
            Ok(applied.into_iter().map(change).collect())
        })
    }

    fn delete<'a>(&'a self, kind: &'a str, name: &'a str) -> BoxFuture<'a, Result<bool, Problems>> {
        Box::pin(self.0.delete(kind, name))
    }

    fn log(&self, instance: &str, lines: usize) -> Option<Vec<String>> {
        self.0.logs(instance, lines)
    }
}

fn workload(status: &local::WorkloadStatus) -> api::Workload {
    let instances = status.instances.iter().map(|instance| api::WorkloadInstance {
        name: instance.name.clone(),
        ip: instance.ip.clone(),
        ports: instance.ports.clone(),
        pids: instance.pids.clone(),
        state: match instance.state {
            InstanceState::Starting => "starting",
            InstanceState::Running => "running",
            InstanceState::CrashLoop => "back-off",
            InstanceState::Stopping => "stopping",
        }
        .to_owned(),
        ready: instance.ready,
        restarts: instance.restarts,
        reason: instance.reason.clone().or_else(|| instance.last_exit.clone()),
    });
    api::Workload {
        kind: status.kind.to_owned(),
        namespace: status.namespace.clone(),
        name: status.name.clone(),
        source: status.source.clone(),
        replicas: status.replicas,
        ready: status.ready,
        updated: status.updated,
        restarts: status.restarts,
        problem: status.problem.clone(),
        images: status.images.clone(),
        instances: instances.collect(),
    }
}

/// The series of everything that can get traffic now.
pub(super) fn live_series(view: &View) -> BTreeSet<Key> {
    let mut live = BTreeSet::new();
    for gateway in view.config.gateways.values() {
        live.insert(Key::Gateway(gateway.name.clone()));
        for route in &gateway.routes {
            live.insert(Key::Route(gateway.name.clone(), route.path.clone()));
            for target in &route.targets {
                live.insert(Key::Instance(gateway.name.clone(), route.path.clone(), target.id.clone()));
            }
        }
    }
    live
}

/// Metrics and health of every gateway that had traffic in the window, and of its routes. The others have nothing new to say:
/// the API computes their figures when asked.
pub(super) fn metric_figures(
    telemetry: &Telemetry,
    view: &View,
    seconds: u32,
    now: Timestamp,
) -> Vec<NewEvent> {
    let mut events = Vec::new();
    let window = |key: &Key| telemetry.window(key, seconds).unwrap_or_else(|| Window::empty(seconds));
    let in_flight = |key: &Key| telemetry.series(key).map_or(0, |series| series.totals().in_flight);
    for (name, entry) in view.gateways.iter() {
        let key = Key::Gateway(name.clone());
        let whole = window(&key);
        if whole.requests == 0 {
            continue;
        }
        let judged = health(&whole, None, HealthMode::Ratio);
        events.extend(metric_events(Subject::Gateway(name), &whole, in_flight(&key), judged, now));
        for ((path, _), counts) in entry.view.routes.iter().zip(&entry.instances) {
            let key = Key::Route(name.clone(), path.clone());
            let part = window(&key);
            let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            let instances = Instances { ready: number(counts.ready), wanted: number(counts.existing) };
            let judged = health(&part, Some(instances), HealthMode::Ratio);
            events.extend(metric_events(Subject::Route(name, path), &part, in_flight(&key), judged, now));
        }
    }
    events
}
