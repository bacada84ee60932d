//! The local platform: what Kubernetes is to a cluster, this is to a laptop or a single machine.
//!
//! ```text
//!  --inventory files          applied manifests (data-dir/workloads)
//!        |  watched                  |
//!        +-----------+---------------+
//!                    v
//!              Snapshot of objects
//!        Pods, Services as they stand |  Deployments are run: one address, one process for each replica
//!                    |                            |
//!                    +------------+---------------+
//!                                 v
//!                           Observation  (what the control plane sees)
//! ```
//!
//! [`Platform`] is the door: [`Platform::observe`] for the control plane, `apply`, `delete`, `workloads` and `logs`
//! for people. Everything runs in one task that owns all state; the rest of the crate has no shared state beyond what
//! a replica reports about itself.
//!
//! Not done here, because one machine has no use for it: init containers, liveness and startup probes (a process that
//! ends is started again), volumes, resource limits.

mod inventory;
mod manifest;
mod platform;
mod run;
mod status;
mod workload;

pub use platform::{Platform, Settings};
pub use status::{Applied, InstanceState, InstanceStatus, Outcome, WorkloadStatus};
