//! Settings that several commands have.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ::agent::Controller;
use clap::{ArgAction, Args};
use kubernetes::{Credentials, ServiceType};
use model::percent::Percent;
use model::selector::Selector;
use pki::ServerCertificate;

use super::{duration, listen, percent, port_range, workers};

/// The log.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogSettings {
    /// What is logged, for example info or proxy=debug,info
    #[arg(long = "log", env = "VAMP_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) filter: String,
    /// Form of the log
    #[arg(long = "log-format", env = "VAMP_LOG_FORMAT", default_value = "text", value_parser = ["text", "json"], value_name = "FORMAT")]
    pub(crate) format: String,
}

/// Where the API is, and for whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiSettings {
    /// Address of the API; port 0 takes a free one
    #[arg(long = "api-listen", env = "VAMP_API_LISTEN", default_value = "127.0.0.1:8090", value_name = "ADDRESS:PORT", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// Certificate of the API, PEM, followed by those between it and the authority: clients from other machines then have to use https.
    /// Read again when it changes
    #[arg(long, env = "VAMP_API_TLS_CERT", value_name = "FILE")]
    pub(crate) api_tls_cert: Option<PathBuf>,
    /// The private key to it, PEM
    #[arg(long, env = "VAMP_API_TLS_KEY", value_name = "FILE")]
    pub(crate) api_tls_key: Option<PathBuf>,
    /// Origin of another site whose pages may use the API, for example https://ui.example; repeatable
    #[arg(long, env = "VAMP_ALLOWED_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) allowed_origin: Vec<String>,
    /// Host name that an API on loopback answers to besides localhost, for example that of a proxy before it; repeatable
    #[arg(long, env = "VAMP_ALLOWED_HOST", value_name = "HOST", value_delimiter = ',')]
    pub(crate) allowed_host: Vec<String>,
}

impl ApiSettings {
    /// What the API shows to clients that come with TLS; `None` when it does without. Reads the files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn certificate(&self) -> anyhow::Result<Option<ServerCertificate>> {
        let files = match (self.api_tls_cert.clone(), self.api_tls_key.clone()) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => pki::Files { certificate, key },
            _ => anyhow::bail!("--api-tls-cert and --api-tls-key belong together: a certificate and its key"),
        };
        let certificate = ServerCertificate::open(files, api::PROTOCOLS);
        certificate.map(Some).map_err(|error| anyhow::anyhow!("--api-tls-cert, --api-tls-key: {error}"))
    }
}

/// Where the proxy listens. The defaults are those of a proxy that serves others; see [`super::Settings::arguments`].
#[derive(Debug, Clone, Args)]
pub(crate) struct ListenSettings {
    /// Address on which gateway ports are opened
    #[arg(long, env = "VAMP_GATEWAY_ADDRESS", default_value = "0.0.0.0", value_name = "ADDRESS")]
    pub(crate) gateway_address: IpAddr,
    /// Address of the shared listener that routes by virtual host; port 0 takes a free one
    #[arg(
        long,
        env = "VAMP_VIRTUAL_HOST_LISTEN",
        default_value = "0.0.0.0:8000",
        value_name = "ADDRESS:PORT",
        value_parser = listen
    )]
    pub(crate) virtual_host_listen: SocketAddr,
    /// Address of the shared listener for TLS, opened once a gateway with virtual hosts has a certificate; port 0 takes a free one
    #[arg(
        long,
        env = "VAMP_VIRTUAL_HOST_TLS_LISTEN",
        default_value = "0.0.0.0:8443",
        value_name = "ADDRESS:PORT",
        value_parser = listen
    )]
    pub(crate) virtual_host_tls_listen: SocketAddr,
}

/// Which cluster, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClusterSettings {
    /// Kubernetes cluster to work in: where it is and who asks [default: the one that the pod is in]
    #[arg(long, env = "VAMP_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, env = "VAMP_CONTEXT", value_name = "NAME", requires = "kubeconfig")]
    pub(crate) context: Option<String>,
}

impl ClusterSettings {
    /// How to get to it, unless it is the one that the pod is in.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        let file = self.kubeconfig.clone()?;
        Some(Credentials::Kubeconfig { file, context: self.context.clone() })
    }
}

/// Whom to follow.
#[derive(Debug, Clone, Args)]
pub(crate) struct TakeoverSettings {
    /// Follow the process that runs with this data directory: its sockets, then its state; nobody who connects meanwhile is refused.
    /// Without such a process, start as always
    #[arg(long, env = "VAMP_TAKEOVER")]
    pub(crate) takeover: bool,
}

/// How gateways come about.
#[derive(Debug, Clone, Args)]
pub(crate) struct GatewaySettings {
    /// Whether gateways get Services on Kubernetes
    #[arg(long, env = "VAMP_CREATE_SERVICES", default_value_t = true, action = ArgAction::Set, value_name = "true|false")]
    pub(crate) create_services: bool,
    /// Type of those Services: NodePort, LoadBalancer or ClusterIP
    #[arg(long, env = "VAMP_SERVICE_TYPE", default_value = "NodePort", value_name = "TYPE")]
    pub(crate) service_type: ServiceType,
    /// Selector that an instance must match besides that of its gateway [default: namespace($namespace) on Kubernetes, else true]
    #[arg(long, env = "VAMP_GATEWAY_SELECTOR", value_name = "SELECTOR")]
    pub(crate) gateway_selector: Option<String>,
    /// Ports to choose from for gateways without one
    #[arg(long, env = "VAMP_PORT_RANGE", default_value = "40000-45000", value_name = "FROM-TO", value_parser = port_range)]
    pub(crate) port_range: RangeInclusive<u16>,
    /// How long a route whose instances are gone keeps its settings
    #[arg(long, env = "VAMP_ROUTE_RETENTION", default_value = "30s", value_name = "TIME", value_parser = duration)]
    pub(crate) route_retention: Duration,
}

impl GatewaySettings {
    /// The selector that is in force for all gateways, as text and read.
    ///
    /// # Errors
    /// It is none: with the place.
    pub(crate) fn filter(&self, on_cluster: bool) -> anyhow::Result<(String, Selector)> {
        let default = if on_cluster { "namespace($namespace)" } else { "true" };
        let text = self.gateway_selector.clone().unwrap_or_else(|| default.to_owned());
        match Selector::parse(&text) {
            Ok(filter) => Ok((text, filter)),
            Err(error) => Err(anyhow::anyhow!(
                "--gateway-selector '{text}', at character {}: {}",
                error.offset + 1,
                error.message
            )),
        }
    }
}

/// What is published and kept about the past.
#[derive(Debug, Clone, Args)]
pub(crate) struct HistorySettings {
    /// Window of the published metrics and health
    #[arg(long, env = "VAMP_METRICS_WINDOW", default_value = "60s", value_name = "TIME", value_parser = duration)]
    pub(crate) metrics_window: Duration,
    /// How often metrics and health are published as events
    #[arg(long, env = "VAMP_METRICS_PERIOD", default_value = "10s", value_name = "TIME", value_parser = duration)]
    pub(crate) metrics_period: Duration,
    /// How long events are kept
    #[arg(long, env = "VAMP_EVENT_RETENTION", default_value = "2160h", value_name = "TIME", value_parser = duration)]
    pub(crate) event_retention: Duration,
}

/// A proxy, whichever process it is in.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProxySettings {
    /// Worker threads of the proxy; 0 means one for each core
    #[arg(long, env = "VAMP_WORKERS", default_value_t = 0, value_name = "N", value_parser = workers)]
    pub(crate) workers: usize,
    /// File that gets one JSON line for each request; `-` for standard output
    #[arg(long, env = "VAMP_ACCESS_LOG", value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,
    /// Share of the requests that the access log gets; those that failed come on top
    #[arg(long, env = "VAMP_ACCESS_LOG_SAMPLE", default_value = "100%", value_name = "PERCENT", value_parser = percent)]
    pub(crate) access_log_sample: Percent,
    /// Whether the proxy only passes W3C Trace Context on, or takes part in traces and begins them where there are none
    #[arg(long, env = "VAMP_TRACE_CONTEXT", default_value = "pass", value_parser = ["pass", "create"], value_name = "MODE")]
    pub(crate) trace_context: String,
    /// Share of the traces begun here that are sampled
    #[arg(long, env = "VAMP_TRACE_SAMPLE", default_value = "1%", value_name = "PERCENT", value_parser = percent)]
    pub(crate) trace_sample: Percent,
    /// OpenTelemetry collector that gets spans of sampled traces and all metrics by OTLP over HTTP, for example http://collector:4318 or https://collector:4318
    #[arg(long, env = "VAMP_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<otlp::Endpoint>,
    /// File with the certificates of the authorities that a collector with https is checked against, PEM [default: those of the system]
    #[arg(long, env = "VAMP_OTLP_CA", value_name = "FILE")]
    pub(crate) otlp_ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) care: CareSettings,
    /// Whether connections to the shared listeners begin with a header of the PROXY protocol, from a load balancer that says who the client is
    #[arg(
        long,
        env = "VAMP_VIRTUAL_HOST_PROXY_PROTOCOL",
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set,
        value_name = "true|false"
    )]
    pub(crate) virtual_host_proxy_protocol: bool,
    /// How long requests under way may take to finish when the proxy stops
    #[arg(long, env = "VAMP_DRAIN_TIMEOUT", default_value = "30s", value_name = "TIME", value_parser = duration)]
    pub(crate) drain_timeout: Duration,
}

/// How the proxy looks after targets.
#[derive(Debug, Clone, Args)]
pub(crate) struct CareSettings {
    /// Failed requests in a row after which a target is left out for a while; 0 means never
    #[arg(long, env = "VAMP_EJECT_AFTER", default_value_t = 5, value_name = "N")]
    pub(crate) eject_after: u32,
    /// How long a target is left out the first time; each time until it is forgotten twice as long, 10 times at most
    #[arg(long, env = "VAMP_EJECTION_TIME", default_value = "30s", value_name = "TIME", value_parser = duration)]
    pub(crate) ejection_time: Duration,
    /// Share of a route's targets that may be left out at a time, rounded down; never the last one
    #[arg(long, env = "VAMP_MOST_EJECTED", default_value = "50%", value_name = "PERCENT", value_parser = percent)]
    pub(crate) most_ejected: Percent,
    /// Time in which a new target, or one that is back, comes to its full part of a route's traffic, from a tenth on; 0s means at once
    #[arg(long, env = "VAMP_SLOW_START", default_value = "0s", value_name = "TIME", value_parser = duration)]
    pub(crate) slow_start: Duration,
    /// Requests, or tcp connections, that a proxy sends to a target at a time; 0 means no limit
    #[arg(long, env = "VAMP_TARGET_REQUESTS", default_value_t = 0, value_name = "N")]
    pub(crate) target_requests: u32,
    /// How many more wait for one of them to end, up to 5 s; those beyond are refused at once
    #[arg(long, env = "VAMP_TARGET_PENDING", default_value_t = 1000, value_name = "N")]
    pub(crate) target_pending: u32,
}

/// A proxy that follows a controller.
#[derive(Debug, Clone, Args)]
pub(crate) struct FollowerSettings {
    /// Where a controller is; repeatable: they are asked in turn
    #[arg(
        long,
        env = "VAMP_CONTROLLER",
        default_value = "vamp-controller:8092",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(crate) controller: Vec<Controller>,
    /// File with the token that proves to controllers who this is; read for every connection
    #[arg(
        long,
        env = "VAMP_TOKEN_FILE",
        default_value = "/var/run/secrets/vamp.io/token",
        value_name = "FILE"
    )]
    pub(crate) token_file: PathBuf,
    /// File with the certificates that vouch for controllers, PEM; may appear or change later
    #[arg(
        long,
        env = "VAMP_CA_FILE",
        default_value = "/var/run/secrets/vamp.io/ca.crt",
        value_name = "FILE"
    )]
    pub(crate) ca_file: PathBuf,
    /// Where the last routing table is kept, so that it is served without a controller
    #[arg(long, env = "VAMP_DATA_DIR", default_value = "vamp-agent-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) listen: ListenSettings,
    /// How long the proxy goes on serving when it is told to stop, for those who do not know yet that it will be gone
    #[arg(long, env = "VAMP_DRAIN_DELAY", default_value = "0s", value_name = "TIME", value_parser = duration)]
    pub(crate) drain_delay: Duration,
    #[command(flatten)]
    pub(crate) proxy: ProxySettings,
}
