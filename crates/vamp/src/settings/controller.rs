//! The settings of `controller`.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use agent::Controller;
use clap::{ArgAction, Args};
use kubernetes::lease::Timing;
use kubernetes::{Cluster, ServiceType};

use super::{duration, environment, listen, port_range, workers};

/// Settings of a controller.
#[derive(Debug, Clone, Args)]
pub(crate) struct ControllerSettings {
    /// File with settings, YAML: a key is a flag's name without the dashes in front
    #[arg(long, env = "VAMP_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Kubernetes cluster to work in: where it is and who asks [default: the one that the pod is in]
    #[arg(long, env = "VAMP_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, env = "VAMP_CONTEXT", value_name = "NAME", requires = "kubeconfig")]
    pub(crate) context: Option<String>,
    /// Namespace that is an environment; repeatable; the first is the default one [default: the controller's own]
    #[arg(long, env = "VAMP_NAMESPACE", value_name = "NAME", value_delimiter = ',', value_parser = environment)]
    pub(crate) namespace: Vec<String>,
    /// Whether every namespace with the label vamp.io/environment is an environment; needs rights in the whole cluster
    #[arg(
        long,
        env = "VAMP_ENVIRONMENTS_FROM_LABEL",
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set,
        value_name = "true|false"
    )]
    pub(crate) environments_from_label: bool,
    /// Address of the API; port 0 takes a free one
    #[arg(long, env = "VAMP_API_LISTEN", default_value = "127.0.0.1:8090", value_name = "ADDRESS:PORT", value_parser = listen)]
    pub(crate) api_listen: SocketAddr,
    /// Address that agents connect to; port 0 takes a free one
    #[arg(long, env = "VAMP_AGENT_LISTEN", default_value = "127.0.0.1:8092", value_name = "ADDRESS:PORT", value_parser = listen)]
    pub(crate) agent_listen: SocketAddr,
    /// Name of this replica; that of its pod, if it is in one [default: POD_NAME, else the host's]
    #[arg(long, env = "VAMP_REPLICA", value_name = "NAME")]
    pub(crate) replica: Option<String>,
    /// Namespace of the installation: of the Lease, the certificate authority and this pod [default: POD_NAMESPACE, else that of the credentials]
    #[arg(long, env = "VAMP_HOME_NAMESPACE", value_name = "NAME", value_parser = environment)]
    pub(crate) home_namespace: Option<String>,
    /// How long a leader that is not heard of is still held to lead; whole seconds
    #[arg(long, env = "VAMP_LEASE_DURATION", default_value = "15s", value_name = "TIME", value_parser = duration)]
    pub(crate) lease_duration: Duration,
    /// How long the leader goes on without a renewal; shorter than the lease
    #[arg(long, env = "VAMP_RENEW_DEADLINE", default_value = "10s", value_name = "TIME", value_parser = duration)]
    pub(crate) renew_deadline: Duration,
    /// Pause between two renewals, and between two looks of the other replicas
    #[arg(long, env = "VAMP_RETRY_PERIOD", default_value = "2s", value_name = "TIME", value_parser = duration)]
    pub(crate) retry_period: Duration,
    /// Whether gateways get Services
    #[arg(long, env = "VAMP_CREATE_SERVICES", default_value_t = true, action = ArgAction::Set, value_name = "true|false")]
    pub(crate) create_services: bool,
    /// Type of those Services: NodePort, LoadBalancer or ClusterIP
    #[arg(long, env = "VAMP_SERVICE_TYPE", default_value = "NodePort", value_name = "TYPE")]
    pub(crate) service_type: ServiceType,
    /// Selector that an instance must match besides that of its gateway [default: namespace($namespace)]
    #[arg(long, env = "VAMP_GATEWAY_SELECTOR", value_name = "SELECTOR")]
    pub(crate) gateway_selector: Option<String>,
    /// Ports to choose from for gateways without one
    #[arg(long, env = "VAMP_PORT_RANGE", default_value = "40000-45000", value_name = "FROM-TO", value_parser = port_range)]
    pub(crate) port_range: RangeInclusive<u16>,
    /// Ports that the agents themselves listen on, which no gateway gets
    #[arg(
        long,
        env = "VAMP_RESERVED_PORTS",
        default_value = "8000,8091",
        value_name = "PORT",
        value_delimiter = ','
    )]
    pub(crate) reserved_ports: Vec<u16>,
    /// How long a route whose instances are gone keeps its settings
    #[arg(long, env = "VAMP_ROUTE_RETENTION", default_value = "30s", value_name = "TIME", value_parser = duration)]
    pub(crate) route_retention: Duration,
    /// File with tokens for the API, lines `ROLE NAME TOKEN`; roles: viewer, operator, admin. They stand beside users of the cluster
    #[arg(long, env = "VAMP_API_TOKEN_FILE", value_name = "FILE")]
    pub(crate) api_token_file: Option<PathBuf>,
    /// File with tokens of agents, lines `TOKEN` or `NAMESPACE TOKEN`. Without it agents are known by their service accounts
    #[arg(long, env = "VAMP_AGENT_TOKENS", value_name = "FILE")]
    pub(crate) agent_tokens: Option<PathBuf>,
    /// Name of the agents' service account
    #[arg(long, env = "VAMP_AGENT_ACCOUNT", default_value = "vamp-gateway-agent", value_name = "NAME")]
    pub(crate) agent_account: String,
    /// Origin of another site whose pages may use the API, for example https://ui.example; repeatable
    #[arg(long, env = "VAMP_ALLOWED_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) allowed_origin: Vec<String>,
    /// Host name that an API on loopback answers to besides localhost, for example that of a proxy before it; repeatable
    #[arg(long, env = "VAMP_ALLOWED_HOST", value_name = "HOST", value_delimiter = ',')]
    pub(crate) allowed_host: Vec<String>,
    /// Window of the published metrics and health
    #[arg(long, env = "VAMP_METRICS_WINDOW", default_value = "60s", value_name = "TIME", value_parser = duration)]
    pub(crate) metrics_window: Duration,
    /// How often metrics and health are published as events
    #[arg(long, env = "VAMP_METRICS_PERIOD", default_value = "10s", value_name = "TIME", value_parser = duration)]
    pub(crate) metrics_period: Duration,
    /// How long events are kept
    #[arg(long, env = "VAMP_EVENT_RETENTION", default_value = "2160h", value_name = "TIME", value_parser = duration)]
    pub(crate) event_retention: Duration,
    /// What is logged, for example info or kubernetes=debug,info
    #[arg(long, env = "VAMP_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
    /// Form of the log
    #[arg(long, env = "VAMP_LOG_FORMAT", default_value = "text", value_parser = ["text", "json"], value_name = "FORMAT")]
    pub(crate) log_format: String,
    #[command(flatten)]
    pub(crate) small: SmallForm,
}

/// An agent in the same process.
#[derive(Debug, Clone, Args)]
pub(crate) struct SmallForm {
    /// Whether an agent of the default environment runs in this process too; it follows the leader as any other does
    #[arg(
        long,
        env = "VAMP_WITH_AGENT",
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set,
        value_name = "true|false"
    )]
    pub(crate) with_agent: bool,
    /// Of that agent: where a controller is; repeatable: they are asked in turn
    #[arg(
        long,
        env = "VAMP_CONTROLLER",
        default_value = "vamp-controller:8092",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(crate) controller: Vec<Controller>,
    /// Of that agent: file with the token that proves to controllers who it is
    #[arg(
        long,
        env = "VAMP_TOKEN_FILE",
        default_value = "/var/run/secrets/vamp.io/token",
        value_name = "FILE"
    )]
    pub(crate) token_file: PathBuf,
    /// Of that agent: file with the certificates that vouch for controllers, PEM
    #[arg(
        long,
        env = "VAMP_CA_FILE",
        default_value = "/var/run/secrets/vamp.io/ca.crt",
        value_name = "FILE"
    )]
    pub(crate) ca_file: PathBuf,
    /// Of that agent: where the last routing table is kept
    #[arg(long, env = "VAMP_DATA_DIR", default_value = "vamp-agent-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Of that agent: address on which gateway ports are opened
    #[arg(long, env = "VAMP_GATEWAY_ADDRESS", default_value = "0.0.0.0", value_name = "ADDRESS")]
    pub(crate) gateway_address: IpAddr,
    /// Of that agent: address of the shared listener that routes by virtual host
    #[arg(
        long,
        env = "VAMP_VIRTUAL_HOST_LISTEN",
        default_value = "0.0.0.0:8000",
        value_name = "ADDRESS:PORT",
        value_parser = listen
    )]
    pub(crate) virtual_host_listen: SocketAddr,
    /// Of that agent: worker threads of the proxy; 0 means one for each core
    #[arg(long, env = "VAMP_WORKERS", default_value_t = 0, value_name = "N", value_parser = workers)]
    pub(crate) workers: usize,
    /// Of that agent: file that gets one JSON line for each request; `-` for standard output
    #[arg(long, env = "VAMP_ACCESS_LOG", value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,
    /// Of that agent: how long it goes on serving when the process is told to stop, for those who do not know yet that it will be gone
    #[arg(long, env = "VAMP_DRAIN_DELAY", default_value = "0s", value_name = "TIME", value_parser = duration)]
    pub(crate) drain_delay: Duration,
    /// Of that agent: how long requests under way may take to finish when the process stops
    #[arg(long, env = "VAMP_DRAIN_TIMEOUT", default_value = "30s", value_name = "TIME", value_parser = duration)]
    pub(crate) drain_timeout: Duration,
}

impl ControllerSettings {
    /// How long things take in the election.
    ///
    /// # Errors
    /// The times do not fit together.
    pub(crate) fn timing(&self) -> anyhow::Result<Timing> {
        let timing = Timing {
            lease: self.lease_duration,
            renew_deadline: self.renew_deadline,
            retry: self.retry_period,
        };
        timing.checked().map_err(|problem| {
            anyhow::anyhow!("--lease-duration, --renew-deadline, --retry-period: {problem}")
        })
    }

    /// Name of this replica.
    pub(crate) fn replica(&self) -> String {
        let of_host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let known = self.replica.clone().or_else(|| variable("POD_NAME")).or_else(of_host);
        known.map_or_else(|| "controller".into(), |name| name.trim().to_owned())
    }

    /// Namespace of the installation.
    pub(crate) fn home(&self, cluster: &Cluster) -> String {
        let known = self.home_namespace.clone().or_else(|| variable("POD_NAMESPACE"));
        known.unwrap_or_else(|| cluster.default_namespace().to_owned())
    }
}

/// What pods are commonly told about themselves.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
