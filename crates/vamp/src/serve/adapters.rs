//! Between the crates, for `serve`: settings translated, and the small traits of the API fulfilled by what is in this process.

use std::net::SocketAddr;
use std::sync::Arc;

use control::{Control, PortCheck};
use futures_util::future::BoxFuture;
use local::{InstanceState, Outcome};
use model::condition::Condition;
use model::name::GatewayName;
use model::problem::Problems;
use model::selector::Selector;
use proxy::Proxy;
use routing::table::RoutingTable;
use telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use crate::adapters::{self, Applied, NoWorkloads};
use crate::process;
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
    control.port_range = settings.gateways.port_range.clone();
    control.port_check = PortCheck::new(move |port| proxy.can_listen(port));
    control.route_retention = settings.gateways.route_retention;
    control.gateway_address = settings.listen.gateway_address;
    control.reserved_ports = reserved.to_vec();
    control.event_retention.max_age = settings.history.event_retention;
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
    let mut applied = adapters::applied(&parts.applied);
    // Scripts written for the original ask where gateways can be reached.
    applied.insert("vamp.gateway-driver.host".into(), settings.listen.gateway_address.to_string().into());
    let api = api::Api::new(api::Process {
        info: adapters::info("sqlite", parts.platform.name()),
        ui: ui::file,
        settings: api::Settings {
            security: api::Security {
                tokens: parts.tokens,
                authenticator: authenticator(&parts.platform, parts.api),
                allowed_origins: settings.api.allowed_origin.clone(),
                allowed_hosts: settings.api.allowed_host.clone(),
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
            Some(adapters::cluster_users(platform.callers()))
        }
        _ => None,
    }
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
            ejected: target.condition == proxy::TargetCondition::Ejected,
            ejections: target.ejections,
            in_flight: target.in_flight.into(),
            pending: target.pending.into(),
        });
        targets.collect()
    }

    fn budgets(&self) -> Vec<telemetry::GatewayGauge> {
        crate::process::budgets(&self.0)
    }

    fn spans_dropped(&self) -> Option<u64> {
        self.0.spans_dropped()
    }

    fn idle_connections(&self) -> Option<u64> {
        u64::try_from(self.0.idle_connections()).ok()
    }

    fn try_condition<'a>(
        &'a self,
        gateway: &'a GatewayName,
        condition: &'a Condition,
    ) -> BoxFuture<'a, api::Tried> {
        let requests = self.0.try_condition(gateway, condition, usize::MAX);
        let answered = usize::from(requests.is_some());
        let request = |request: proxy::TriedRequest| api::TriedRequest {
            method: request.method,
            path: request.path,
            matches: request.matches,
        };
        let requests = requests.into_iter().flatten().map(request).collect();
        Box::pin(std::future::ready(api::Tried { requests, answered, proxies: 1 }))
    }

    fn virtual_host_address(&self) -> Option<SocketAddr> {
        self.0.virtual_host_address()
    }

    fn access_log_lost(&self) -> Option<u64> {
        self.0.access_log_lost()
    }

    fn certificates(&self) -> Vec<(GatewayName, String, i64)> {
        process::certificates(&self.0)
    }

    fn handshakes(&self) -> Vec<(&'static str, u64)> {
        process::handshakes(&self.0)
    }
}

fn workloads(platform: Platform) -> Arc<dyn api::Workloads> {
    match platform {
        Platform::Local(platform) => Arc::new(Workloads(platform)),
        Platform::Kubernetes(_) => Arc::new(NoWorkloads),
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
