//! What the API is given: for each environment the control plane, the data plane and the workloads behind small traits; and its
//! settings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use control::Control;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use model::condition::Condition;
use model::name::{GatewayName, RoutePath};
use model::problem::Problems;
use model::selector::Selector;
use routing::table::RoutingTable;
use serde::Serialize;
use serde_json::Value;
use telemetry::Telemetry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::environments::EnvironmentId;
pub use crate::web::token::{Authenticator, Identity, Role, Token, Unauthenticated};

/// What all environments of a process share.
pub struct Process {
    /// What `/info` says.
    pub info: Info,
    /// The files of the web UI.
    pub ui: UiFiles,
    /// Settings of the API itself.
    pub settings: Settings,
    /// Cancelled when the server begins to drain: ends event and figure streams, which would otherwise hold it up.
    pub closing: CancellationToken,
}

/// The files of the web UI by their path, for example `index.html` or `assets/index.js`; [`no_ui`] where there is none. Names below
/// `assets/` hold a hash of the content, so a file never changes there.
pub type UiFiles = fn(&str) -> Option<&'static [u8]>;

/// No web UI.
pub fn no_ui(_: &str) -> Option<&'static [u8]> {
    None
}

/// Everything that the handlers of one environment reach. Cheap handles only.
pub struct Environment {
    /// How it is named and addressed. The namespace is also `$namespace` in selectors.
    pub id: EnvironmentId,
    /// The control plane: every decision is made there.
    pub control: Control,
    /// And-ed in front of every selector, as in the settings of [`Control`].
    pub gateway_filter: Selector,
    /// Counters and histograms.
    pub telemetry: Arc<Telemetry>,
    /// The proxies of this environment.
    pub data_plane: Arc<dyn DataPlane>,
    /// What the local platform runs.
    pub workloads: Arc<dyn Workloads>,
}

/// An environment with the state that is the API's own.
pub(crate) struct App {
    pub(crate) environment: Environment,
    pub(crate) process: Arc<Process>,
    /// Bounds the number of open streams.
    pub(crate) streams: Arc<Semaphore>,
    /// Ends the streams of this environment.
    pub(crate) closing: CancellationToken,
    /// Stays true: a proxy that goes away later is a problem to report, but no reason to stop asking this process.
    ready: AtomicBool,
}

impl App {
    pub(crate) fn new(environment: Environment, process: Arc<Process>, streams: Arc<Semaphore>) -> Self {
        let closing = process.closing.child_token();
        Self { environment, process, streams, closing, ready: AtomicBool::new(false) }
    }

    /// Name of the environment.
    pub(crate) fn name(&self) -> &str {
        &self.environment.id.name
    }

    /// Namespace of the environment on the platform.
    pub(crate) fn namespace(&self) -> &str {
        &self.environment.id.namespace
    }

    pub(crate) fn control(&self) -> &Control {
        &self.environment.control
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.process.settings.limits
    }

    /// True once the first table is applied: published, and confirmed by a proxy if one is to be waited for.
    pub(crate) fn ready(&self) -> bool {
        if !self.ready.load(Ordering::Relaxed) {
            let view = self.control().view();
            let data_plane = &self.environment.data_plane;
            let applied = view.proxies.iter().any(|proxy| proxy.revision.is_some());
            if !(view.started && (applied || data_plane.comes_and_goes()) && data_plane.ready()) {
                return false;
            }
            self.ready.store(true, Ordering::Relaxed);
        }
        true
    }
}

/// Settings of the API.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Namespace of the environment that plain paths mean. `None`: the only one there is.
    pub default_namespace: Option<String>,
    /// Namespace of the process itself: what belongs to no environment is for who may read there.
    pub home_namespace: String,
    /// Number of leading path segments to drop, when running behind a path.
    pub strip_path_segments: usize,
    /// Who may.
    pub security: Security,
    /// Bounds of requests.
    pub limits: Limits,
    /// The settings in force, by dotted key below `vamp.`, for `/config`. Values of keys that name secrets are hidden.
    pub applied: BTreeMap<String, Value>,
}

/// Who may call, and from where.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Static tokens.
    pub tokens: Vec<Token>,
    /// Knows other tokens. Without it and without static tokens there is no authentication.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// Origins of other sites whose pages may use the API (CORS), for example `https://ui.example`. None: CORS is off.
    pub allowed_origins: Vec<String>,
    /// Host names that are answered to besides loopback ones, when listening on loopback.
    pub allowed_hosts: Vec<String>,
    /// True when the API listens on loopback: then only known host names are answered to, against DNS rebinding.
    pub loopback_only: bool,
}

impl Security {
    /// True when everybody may do everything.
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.authenticator.is_none()
    }
}

/// Bounds of requests. Every number is generous for people and programs, and small for the process.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest request body.
    pub body_bytes: usize,
    /// Longest time for a request body to arrive.
    pub body_timeout: Duration,
    /// Longest time for the control plane to answer (503 after it).
    pub response_timeout: Duration,
    /// Pause between comment lines on idle event streams.
    pub keep_alive: Duration,
    /// Number of event and figure streams that may be open at once.
    pub streams: usize,
    /// Window of `/metrics/...` and `/health/...` unless asked for.
    pub metrics_window: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            body_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            streams: 1000,
            metrics_window: Duration::from_secs(120),
        }
    }
}

/// What `/info` says about this process.
#[derive(Debug, Clone)]
pub struct Info {
    /// Greeting.
    pub message: String,
    /// Version of Vamp.
    pub version: String,
    /// Unique for each start of the process; clients notice a restart by it.
    pub uuid: String,
    /// Start of the process.
    pub started: Timestamp,
    /// Type of the store: `memory`, `sqlite`, `kubernetes`.
    pub store: String,
    /// Type of the platform: `local`, `kubernetes`.
    pub platform: String,
}

/// The proxies of an environment, as far as the API looks at them.
pub trait DataPlane: Send + Sync + 'static {
    /// The routing table in force.
    fn table(&self) -> Arc<RoutingTable>;
    /// All targets and their state.
    fn targets(&self) -> Vec<TargetStatus>;
    /// True where proxies come and go by themselves: then the environment is ready without one, and can be set up before they are.
    fn comes_and_goes(&self) -> bool {
        false
    }
    /// False while there is a reason of its own not to be ready.
    fn ready(&self) -> bool {
        true
    }
    /// Which of the last requests of an http gateway would satisfy a condition. Proxies keep them from the first question on.
    fn try_condition<'a>(
        &'a self,
        gateway: &'a GatewayName,
        condition: &'a Condition,
    ) -> BoxFuture<'a, Tried>;
    /// Where virtual hosts are served.
    fn virtual_host_address(&self) -> Option<SocketAddr> {
        None
    }
    /// The retry budgets of the gateways: of the proxy of this process, or of the agents together.
    fn budgets(&self) -> Vec<telemetry::GatewayGauge> {
        Vec::new()
    }
    /// Idle connections to targets; `None` where this process has no proxy.
    fn idle_connections(&self) -> Option<u64> {
        None
    }
    /// Spans that were not exported; `None` without an exporter.
    fn spans_dropped(&self) -> Option<u64> {
        None
    }
    /// Lines of the access log that were lost; `None` without one.
    fn access_log_lost(&self) -> Option<u64> {
        None
    }
    /// Certificates of gateways: gateway, source, when it ends in seconds since 1970. Empty where this process loads none.
    fn certificates(&self) -> Vec<(GatewayName, String, i64)> {
        Vec::new()
    }
    /// TLS handshakes of clients by result.
    fn handshakes(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// A condition tried on the last requests of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tried {
    /// Newest first.
    pub requests: Vec<TriedRequest>,
    /// Proxies that told of their requests.
    pub answered: usize,
    /// Proxies that there are.
    pub proxies: usize,
}

/// One of the last requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriedRequest {
    /// Method.
    pub method: String,
    /// Path without the query, which may hold what is private.
    pub path: String,
    /// True when the condition holds.
    pub matches: bool,
}

/// One target as a proxy sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TargetStatus {
    /// Gateway.
    #[schema(value_type = String)]
    pub gateway: GatewayName,
    /// Route.
    #[schema(value_type = String)]
    pub route: RoutePath,
    /// Stable id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// False while the proxy holds it to be of no use: it accepts no connections, or is ejected.
    pub up: bool,
    /// True while the proxy leaves it out because it answers badly.
    pub ejected: bool,
    /// How often that was since the proxy began.
    pub ejections: u64,
    /// Requests or connections under way.
    pub in_flight: u64,
    /// Requests that wait because it has as many as it may.
    pub pending: u64,
}

/// Runs things on the local platform. [`NoWorkloads`] elsewhere.
pub trait Workloads: Send + Sync + 'static {
    /// What runs.
    fn list(&self) -> Vec<Workload>;
    /// Applies manifests (YAML, several documents).
    fn apply<'a>(&'a self, manifest: &'a str) -> BoxFuture<'a, Result<Vec<WorkloadChange>, Problems>>;
    /// Stops and forgets one; false when there is none of that name.
    fn delete<'a>(&'a self, kind: &'a str, name: &'a str) -> BoxFuture<'a, Result<bool, Problems>>;
    /// The last lines of an instance or of a whole workload; `None` when it is unknown.
    fn log(&self, name: &str, lines: usize) -> Option<Vec<String>>;
}

/// A workload that the local platform runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Workload {
    /// Kind of its manifest, for example `Deployment`.
    pub kind: String,
    /// Platform namespace.
    pub namespace: String,
    /// Name, unique in the namespace.
    pub name: String,
    /// The inventory file that it is from; absent when it was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Instances wanted.
    pub replicas: usize,
    /// Instances that are ready.
    pub ready: usize,
    /// Instances of the present template.
    pub updated: usize,
    /// Restarts of all present processes together.
    pub restarts: u32,
    /// Why it does not run as wanted, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Images, in container order.
    pub images: Vec<String>,
    /// Its instances, oldest first.
    pub instances: Vec<WorkloadInstance>,
}

/// One instance of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WorkloadInstance {
    /// Name, also of its log.
    pub name: String,
    /// Address.
    pub ip: String,
    /// Declared ports.
    pub ports: Vec<u16>,
    /// Process ids.
    pub pids: Vec<u32>,
    /// One word for people, for example `running`.
    pub state: String,
    /// Gets traffic.
    pub ready: bool,
    /// How often its processes were restarted.
    pub restarts: u32,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What happened to one document of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WorkloadChange {
    /// Kind.
    pub kind: String,
    /// Platform namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `created`, `configured` or `unchanged`.
    pub outcome: String,
}

/// A platform where Vamp runs nothing itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWorkloads;

impl Workloads for NoWorkloads {
    fn list(&self) -> Vec<Workload> {
        Vec::new()
    }

    fn apply<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<WorkloadChange>, Problems>> {
        Box::pin(async { Err(unsupported()) })
    }

    fn delete<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<bool, Problems>> {
        Box::pin(async { Err(unsupported()) })
    }

    fn log(&self, _: &str, _: usize) -> Option<Vec<String>> {
        None
    }
}

fn unsupported() -> Problems {
    model::problem::Problem::new(
        "unsupported-platform",
        "",
        "Workloads are run by the local platform only; use kubectl on this one.",
    )
    .into()
}
