//! The settings of `controller`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use kubernetes::Cluster;
use kubernetes::lease::Timing;

use super::{
    ApiSettings, ClusterSettings, FollowerSettings, GatewaySettings, HistorySettings, LogSettings, duration,
    environment, listen,
};

/// Settings of a controller.
#[derive(Debug, Clone, Args)]
pub(crate) struct ControllerSettings {
    /// File with settings, YAML: a key is a flag's name without the dashes in front
    #[arg(long, env = "VAMP_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: ClusterSettings,
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
    #[command(flatten)]
    pub(crate) api: ApiSettings,
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
    #[command(flatten)]
    pub(crate) gateways: GatewaySettings,
    /// Ports that the agents themselves listen on, which no gateway gets
    #[arg(
        long,
        env = "VAMP_RESERVED_PORTS",
        default_value = "8000,8091,8443",
        value_name = "PORT",
        value_delimiter = ','
    )]
    pub(crate) reserved_ports: Vec<u16>,
    /// File with tokens for the API, lines `ROLE NAME TOKEN`; roles: viewer, operator, admin. They stand beside users of the cluster
    #[arg(long, env = "VAMP_API_TOKEN_FILE", value_name = "FILE")]
    pub(crate) api_token_file: Option<PathBuf>,
    /// File with tokens of agents, lines `TOKEN` or `NAMESPACE TOKEN`. Without it agents are known by their service accounts
    #[arg(long, env = "VAMP_AGENT_TOKENS", value_name = "FILE")]
    pub(crate) agent_tokens: Option<PathBuf>,
    /// Name of the agents' service account
    #[arg(long, env = "VAMP_AGENT_ACCOUNT", default_value = "vamp-gateway-agent", value_name = "NAME")]
    pub(crate) agent_account: String,
    #[command(flatten)]
    pub(crate) history: HistorySettings,
    #[command(flatten)]
    pub(crate) log: LogSettings,
    #[command(flatten, next_help_heading = "The agent in the same process")]
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
    #[command(flatten)]
    pub(crate) follower: FollowerSettings,
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
