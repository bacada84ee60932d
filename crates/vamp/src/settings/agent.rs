//! The settings of `agent`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{FollowerSettings, LogSettings, TakeoverSettings, environment, listen};

/// Where every pod with a service account finds its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// Settings of an agent.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentSettings {
    /// File with settings, YAML: a key is a flag's name without the dashes in front
    #[arg(long, env = "VAMP_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Environment to serve; on Kubernetes the namespace [default: that of the pod, else default]
    #[arg(long, visible_alias = "namespace", env = "VAMP_ENVIRONMENT", value_name = "NAME", value_parser = environment)]
    pub(crate) environment: Option<String>,
    /// Name of this agent, unique in its environment [default: the host's, which is the pod's on Kubernetes]
    #[arg(long, env = "VAMP_NAME", value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<String>,
    /// Address of the probes and of this agent's own metrics; port 0 takes a free one
    #[arg(
        long,
        env = "VAMP_ADMIN_LISTEN",
        default_value = "0.0.0.0:8091",
        value_name = "ADDRESS:PORT",
        value_parser = listen
    )]
    pub(crate) admin_listen: SocketAddr,
    #[command(flatten)]
    pub(crate) follower: FollowerSettings,
    #[command(flatten)]
    pub(crate) successor: TakeoverSettings,
    #[command(flatten)]
    pub(crate) log: LogSettings,
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
