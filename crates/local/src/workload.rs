//! One Deployment and its replicas, moved step by step towards what is declared.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::manifest::{Deployment, Template};
use crate::run::address::{Addresses, fnv};
use crate::run::command;
use crate::run::replica::{ContainerState, Leave, Phase, Replica, Surroundings};
use crate::run::rollout::{self, Member};
use crate::status::{InstanceState, InstanceStatus, WorkloadStatus};

/// More replicas of one Deployment are refused: this is one machine.
pub(crate) const MAX_REPLICAS: usize = 100;

/// From "gets no traffic" to SIGTERM. The data plane needs a moment to take a table without the replica, and requests
/// that it sent before may still arrive (in a cluster, a `preStop` sleep is there for the same reason).
const DRAIN: Duration = Duration::from_secs(1);

/// A Deployment that is run.
#[derive(Debug)]
pub(crate) struct Workload {
    namespace: String,
    name: String,
    source: Option<PathBuf>,
    replicas: usize,
    recreate: bool,
    /// What new replicas run: the newest template that can be run here.
    template: Option<Arc<Template>>,
    images: Vec<String>,
    members: Vec<Replica>,
    /// No longer declared.
    withdrawn: bool,
    /// The declaration is not usable.
    refused: Option<String>,
    /// A replica could not be placed.
    stuck: Option<String>,
}

impl Workload {
    /// Without replicas yet.
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            source: None,
            replicas: 0,
            recreate: false,
            template: None,
            images: Vec::new(),
            members: Vec::new(),
            withdrawn: false,
            refused: None,
            stuck: None,
        }
    }

    /// Takes in what is declared. A template that cannot be run leaves the replicas of the last good one in place.
    pub(crate) fn declare(&mut self, deployment: &Deployment, source: Option<&Path>) {
        self.source = source.map(Path::to_owned);
        self.recreate = deployment.recreate;
        self.withdrawn = false;
        self.images =
            deployment.template.containers.iter().map(|container| container.image.clone()).collect();
        self.refused = verdict(deployment).err();
        if self.refused.is_none() {
            self.replicas = deployment.replicas;
            if self.template.as_deref() != Some(&deployment.template) {
                self.template = Some(Arc::new(deployment.template.clone()));
            }
        }
    }

    /// It is no longer declared: all replicas leave.
    pub(crate) fn withdraw(&mut self) {
        (self.replicas, self.template, self.refused, self.withdrawn) = (0, None, None, true);
    }

    /// Asks every replica to end now.
    pub(crate) fn halt(&mut self, grace: Duration) {
        for replica in &self.members {
            replica.leave(Leave { drain: Duration::ZERO, grace });
        }
    }

    /// True when nothing declares it and nothing of it is left.
    pub(crate) fn is_over(&self) -> bool {
        self.withdrawn && self.members.is_empty()
    }

    /// True when something could not be done that may work later.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// Removes replicas that are gone; true when none is left.
    pub(crate) fn sweep(&mut self) -> bool {
        self.members.retain(|replica| !replica.gone());
        self.members.is_empty()
    }

    /// Starts and stops what is due.
    pub(crate) fn reconcile(&mut self, addresses: &Addresses, surroundings: &Surroundings) {
        self.sweep();
        let members: Vec<Member> = self
            .members
            .iter()
            .map(|replica| Member {
                current: self.template.as_ref().is_some_and(|template| template == replica.template()),
                ready: replica.ready(),
                leaving: replica.leaving(),
            })
            .collect();
        let steps = rollout::plan(self.replicas, self.recreate, &members);
        for at in steps.stop {
            let drain = if members[at].ready { DRAIN } else { Duration::ZERO };
            self.members[at].leave(Leave { drain, grace: Duration::MAX });
        }
        self.stuck = None;
        for _ in 0..steps.start {
            if let Err(problem) = self.add(addresses, surroundings) {
                self.stuck = Some(problem);
                break;
            }
        }
    }

    fn add(&mut self, addresses: &Addresses, surroundings: &Surroundings) -> Result<(), String> {
        let Some(template) = self.template.clone() else { return Ok(()) };
        // The same template gives the same names again, and names give addresses: restarts change nothing.
        let text = serde_json::to_vec(&*template).map_err(|error| error.to_string())?;
        let hash = (fnv(&text) ^ fnv(self.namespace.as_bytes())) & 0xffff_ffff;
        let name = (1..)
            .map(|ordinal| format!("{}-{hash:08x}-{ordinal}", self.name))
            .find(|name| self.members.iter().all(|replica| replica.name() != name))
            .unwrap_or_default();
        let ports: Vec<u16> = ports(&template).collect();
        let claim = addresses.claim(&name, &ports).map_err(|error| error.to_string())?;
        self.members.push(Replica::start(name, &self.namespace, template, claim, surroundings));
        Ok(())
    }

    /// Its replicas, oldest first.
    pub(crate) fn members(&self) -> &[Replica] {
        &self.members
    }

    /// How it is doing.
    pub(crate) fn status(&self) -> WorkloadStatus {
        let instances: Vec<InstanceStatus> = self.members.iter().map(instance_status).collect();
        let current = |replica: &&Replica| {
            !replica.leaving()
                && self.template.as_ref().is_some_and(|template| template == replica.template())
        };
        WorkloadStatus {
            kind: "Deployment",
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            source: self.source.as_ref().map(|path| path.display().to_string()),
            replicas: self.replicas,
            ready: instances.iter().filter(|instance| instance.ready).count(),
            updated: self.members.iter().filter(current).count(),
            restarts: instances.iter().map(|instance| instance.restarts).sum(),
            last_exit: instances.iter().rev().find_map(|instance| instance.last_exit.clone()),
            problem: self.refused.clone().or_else(|| self.stuck.clone()),
            images: self.images.clone(),
            instances,
        }
    }
}

/// Why a Deployment cannot be run here.
pub(crate) fn verdict(deployment: &Deployment) -> Result<(), String> {
    if deployment.replicas > MAX_REPLICAS {
        return Err(format!(
            "{} replicas are more than one machine should run; ask for at most {MAX_REPLICAS}",
            deployment.replicas
        ));
    }
    command::check(&deployment.template)
}

fn ports(template: &Template) -> impl Iterator<Item = u16> + '_ {
    template
        .containers
        .iter()
        .flat_map(|container| &container.ports)
        .filter(|port| port.tcp)
        .map(|port| port.number)
}

fn instance_status(replica: &Replica) -> InstanceStatus {
    let states = replica.states();
    let waiting = |state: &ContainerState| state.phase == Phase::Waiting;
    // A process that ended moments ago and runs again is not in a loop.
    let state = if replica.leaving() {
        InstanceState::Stopping
    } else if states.iter().any(waiting) {
        InstanceState::CrashLoop
    } else if replica.ready() {
        InstanceState::Running
    } else {
        InstanceState::Starting
    };
    let last_exit = states.iter().find_map(|state| state.last_exit.clone());
    let reason = match state {
        InstanceState::Running => None,
        InstanceState::Stopping => Some("asked to leave".to_owned()),
        InstanceState::CrashLoop => last_exit.clone(),
        InstanceState::Starting => states.iter().find_map(|state| state.probe.clone()),
    };
    InstanceStatus {
        name: replica.name().to_owned(),
        ip: replica.ip().to_string(),
        ports: ports(replica.template()).collect(),
        pids: states
            .iter()
            .filter_map(|state| match state.phase {
                Phase::Running { pid } => Some(pid),
                _ => None,
            })
            .collect(),
        state,
        ready: replica.ready(),
        restarts: states.iter().map(|state| state.restarts).sum(),
        last_exit,
        reason,
    }
}
