//! Running Deployments as local processes.
//!
//! ```text
//! Deployment --rollout::plan--> which replicas start and leave
//! replica = address + one supervised process for each container
//!   command: container -> argv and environment      spawn: child processes that never outlive us
//!   probe: ready or not                             logs: the last lines of each
//! ```

pub(crate) mod address;
pub(crate) mod command;
pub(crate) mod expand;
pub(crate) mod logs;
pub(crate) mod probe;
pub(crate) mod reaper;
pub(crate) mod replica;
pub(crate) mod rollout;
pub(crate) mod spawn;

#[cfg(test)]
mod tests;
