//! What the platform tells about the workloads that it runs. Plain data, ready to be shown.

use serde::Serialize;

/// A Deployment and how it is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// Always `Deployment` today.
    pub kind: &'static str,
    /// Platform namespace.
    pub namespace: String,
    /// Name, unique in the namespace.
    pub name: String,
    /// The inventory file that it is from; `None` when it was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Replicas that are wanted.
    pub replicas: usize,
    /// Replicas of any version that are ready.
    pub ready: usize,
    /// Replicas of the present template.
    pub updated: usize,
    /// Restarts of all present processes together.
    pub restarts: u32,
    /// How the process that ended last did so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
    /// Why it does not run as declared, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Images, in container order.
    pub images: Vec<String>,
    /// The replicas, oldest first.
    pub instances: Vec<InstanceStatus>,
}

/// A replica and how it is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// Name; also the name of its log.
    pub name: String,
    /// Loopback address of its own.
    pub ip: String,
    /// Declared ports.
    pub ports: Vec<u16>,
    /// Process ids, one for each container that runs.
    pub pids: Vec<u32>,
    /// What it is doing.
    pub state: InstanceState,
    /// Gets traffic.
    pub ready: bool,
    /// Restarts of its processes.
    pub restarts: u32,
    /// How a process ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
    /// Why it is not ready, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a replica is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum InstanceState {
    /// Processes start or are not ready yet.
    Starting,
    /// All processes run and are ready.
    Running,
    /// A process ended, or cannot be started; the next try comes after a pause that doubles.
    CrashLoop,
    /// Asked to leave.
    Stopping,
}

/// An object that `apply` took in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// `Deployment`, `Pod` or `Service`.
    pub kind: &'static str,
    /// Platform namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What happened to it.
    pub outcome: Outcome,
}

/// What `apply` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is new.
    Created,
    /// It replaced what was applied before.
    Configured,
    /// It was there already.
    Unchanged,
}
