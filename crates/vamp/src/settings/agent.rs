//! The settings of `agent`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ::agent::Controller;
use clap::Args;

use super::{duration, environment, listen, workers};

/// Where every pod with a service account finds its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// Settings of an agent.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentSettings {
    /// File with settings, YAML: a key is a flag's name without the dashes in front
    #[arg(long, env = "VAMP_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where a controller is; repeatable: they are asked in turn
    #[arg(
        long,
        env = "VAMP_CONTROLLER",
        default_value = "vamp-controller:8092",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(crate) controller: Vec<Controller>,
    /// Environment to serve; on Kubernetes the namespace [default: that of the pod, else default]
    #[arg(long, visible_alias = "namespace", env = "VAMP_ENVIRONMENT", value_name = "NAME", value_parser = environment)]
    pub(crate) environment: Option<String>,
    /// Name of this agent, unique in its environment [default: the host's, which is the pod's on Kubernetes]
    #[arg(long, env = "VAMP_NAME", value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<String>,
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
    /// Address of the probes and of this agent's own metrics; port 0 takes a free one
    #[arg(
        long,
        env = "VAMP_ADMIN_LISTEN",
        default_value = "0.0.0.0:8091",
        value_name = "ADDRESS:PORT",
        value_parser = listen
    )]
    pub(crate) admin_listen: SocketAddr,
    /// Worker threads of the proxy; 0 means one for each core
    #[arg(long, env = "VAMP_WORKERS", default_value_t = 0, value_name = "N", value_parser = workers)]
    pub(crate) workers: usize,
    /// File that gets one JSON line for each request; `-` for standard output
    #[arg(long, env = "VAMP_ACCESS_LOG", value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,
    /// How long the agent goes on serving when it is told to stop, for those who do not know yet that it will be gone
    #[arg(long, env = "VAMP_DRAIN_DELAY", default_value = "0s", value_name = "TIME", value_parser = duration)]
    pub(crate) drain_delay: Duration,
    /// How long requests under way may take to finish when the agent stops
    #[arg(long, env = "VAMP_DRAIN_TIMEOUT", default_value = "30s", value_name = "TIME", value_parser = duration)]
    pub(crate) drain_timeout: Duration,
    /// What is logged, for example info or proxy=debug,info
    #[arg(long, env = "VAMP_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
    /// Form of the log
    #[arg(long, env = "VAMP_LOG_FORMAT", default_value = "text", value_parser = ["text", "json"], value_name = "FORMAT")]
    pub(crate) log_format: String,
}

impl AgentSettings {
    /// The environment to serve. `POD_NAMESPACE` and `POD_NAME` are what pods commonly call their own.
    pub(crate) fn environment(&self) -> String {
        let of_pod = || found(std::env::var("POD_NAMESPACE").ok(), environment);
        let of_account = || found(std::fs::read_to_string(NAMESPACE_FILE).ok(), environment);
        self.environment.clone().or_else(of_pod).or_else(of_account).unwrap_or_else(|| "default".into())
    }

    /// Name of the agent.
    pub(crate) fn name(&self) -> String {
        let of_pod = || found(std::env::var("POD_NAME").ok(), name);
        let of_host = || found(std::fs::read_to_string(HOST_NAME_FILE).ok(), name);
        self.name.clone().or_else(of_pod).or_else(of_host).unwrap_or_else(|| "agent".into())
    }
}

fn found(text: Option<String>, check: impl Fn(&str) -> Result<String, String>) -> Option<String> {
    check(text?.trim()).ok()
}

fn name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if !text.is_empty() && text.len() <= 253 && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("use letters, digits, '-', '.' and '_', at most 253".into())
    }
}
