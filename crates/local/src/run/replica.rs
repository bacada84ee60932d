//! One replica: an address, and one supervised process for each container.
//!
//! ```text
//!            +--------------------------- back-off ----------------------------+
//!            v                                                                 |
//! start -> Running (probed: ready or not) -> exited: kept as `last exit` -> Waiting
//!            |
//!            +-- asked to leave: (no traffic any more) -> SIGTERM -> grace -> SIGKILL -> Gone
//! ```

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::instance::{Container as InstanceContainer, Instance, InstanceKind};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::address::Claim;
use super::command::{self, Launch, PodFacts};
use super::logs::{Log, Logs};
use super::probe;
use super::spawn::{Process, Spawner};
use crate::manifest::{Container, Template};

/// Wait before the first restart; doubles with each one.
const FIRST_BACK_OFF: Duration = Duration::from_millis(500);
/// Longest wait.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);
/// A process that ran this long starts again with the first back-off.
const STEADY: Duration = Duration::from_secs(60);
/// How long output of a process that has ended is still waited for. Only descendants can keep it open.
const OUTPUT_GRACE: Duration = Duration::from_millis(200);

/// What every replica needs from the platform.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) spawner: Spawner,
    pub(crate) logs: Logs,
    /// Our own program, for built-in images.
    pub(crate) program: PathBuf,
    /// Variables for every child.
    pub(crate) environment: Vec<(String, String)>,
    /// Told whenever anything about a replica changed.
    pub(crate) changed: Arc<Notify>,
}

/// How a replica is asked to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leave {
    /// Time for the data plane to look elsewhere, before anything is stopped.
    pub(crate) drain: Duration,
    /// From SIGTERM to SIGKILL, at most; the template may want less.
    pub(crate) grace: Duration,
}

/// The phase of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not started yet.
    Starting,
    /// The process runs.
    Running {
        /// Its process id.
        pid: u32,
    },
    /// Ended or could not be started; waits for the next try.
    Waiting,
    /// Over for good.
    Gone,
}

/// What is known of a container's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerState {
    pub(crate) phase: Phase,
    pub(crate) ready: bool,
    pub(crate) restarts: u32,
    /// How the last process ended, or why it could not be started.
    pub(crate) last_exit: Option<String>,
    /// What the last failed probe said.
    pub(crate) probe: Option<String>,
}

/// A replica. Dropping it kills its processes.
#[derive(Debug)]
pub(crate) struct Replica {
    name: String,
    namespace: String,
    template: Arc<Template>,
    ip: Ipv4Addr,
    states: Arc<Mutex<Vec<ContainerState>>>,
    leave: watch::Sender<Option<Leave>>,
    tasks: JoinSet<()>,
    logs: Logs,
    _claim: Claim,
}

impl Replica {
    /// Starts the processes of a replica on the claimed address.
    pub(crate) fn start(
        name: String,
        namespace: &str,
        template: Arc<Template>,
        claim: Claim,
        surroundings: &Surroundings,
    ) -> Self {
        let ip = claim.ip();
        let fresh = ContainerState {
            phase: Phase::Starting,
            ready: false,
            restarts: 0,
            last_exit: None,
            probe: None,
        };
        let states = Arc::new(Mutex::new(vec![fresh; template.containers.len()]));
        let (leave, asked) = watch::channel(None);
        let log = surroundings.logs.open(&name);
        let mut tasks = JoinSet::new();
        for (index, container) in template.containers.iter().enumerate() {
            let pod = PodFacts { namespace, name: &name, ip, labels: &template.labels };
            let supervisor = Supervisor {
                container: container.clone(),
                launch: command::launch(container, &pod, &surroundings.program, &surroundings.environment),
                ip,
                grace: template.grace,
                log: log.clone(),
                surroundings: surroundings.clone(),
                report: Report { index, states: states.clone(), changed: surroundings.changed.clone() },
                leave: asked.clone(),
            };
            tasks.spawn(supervisor.run());
        }
        Self {
            name,
            namespace: namespace.to_owned(),
            template,
            ip,
            states,
            leave,
            tasks,
            logs: surroundings.logs.clone(),
            _claim: claim,
        }
    }

    /// Name, unique in its namespace.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it runs.
    pub(crate) fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// Its address.
    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The states of its containers, in order.
    pub(crate) fn states(&self) -> Vec<ContainerState> {
        lock(&self.states).clone()
    }

    /// Asks it to leave. It gets no traffic from now on.
    pub(crate) fn leave(&self, how: Leave) {
        self.leave.send_if_modified(|asked| {
            // Asked again, only the more urgent wish counts.
            let urgent = asked.is_none_or(|before| how.drain < before.drain || how.grace < before.grace);
            if urgent {
                *asked = Some(how);
            }
            urgent
        });
    }

    /// True when it was asked to leave.
    pub(crate) fn leaving(&self) -> bool {
        self.leave.borrow().is_some()
    }

    /// True while every container is ready and nobody asked it to leave.
    pub(crate) fn ready(&self) -> bool {
        !self.leaving() && lock(&self.states).iter().all(|state| state.ready)
    }

    /// True once every process has ended for good.
    pub(crate) fn gone(&self) -> bool {
        lock(&self.states).iter().all(|state| state.phase == Phase::Gone)
    }

    /// The replica as the rest of Vamp sees it.
    pub(crate) fn instance(&self) -> Instance {
        let containers = &self.template.containers;
        Instance {
            kind: InstanceKind::Pod,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            labels: self.template.labels.clone(),
            ip: Some(self.ip.into()),
            ready: self.ready(),
            exists: !self.leaving(),
            containers: containers
                .iter()
                .map(|container| InstanceContainer {
                    name: container.name.clone(),
                    image: Some(container.image.clone()).filter(|image| !image.is_empty()),
                    ports: container.ports.clone(),
                })
                .collect(),
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.tasks.abort_all();
        self.logs.close(&self.name);
    }
}

/// Where a container's supervisor writes what it knows.
struct Report {
    index: usize,
    states: Arc<Mutex<Vec<ContainerState>>>,
    changed: Arc<Notify>,
}

impl Report {
    fn set(&self, change: impl FnOnce(&mut ContainerState)) {
        if let Some(state) = lock(&self.states).get_mut(self.index) {
            change(state);
        }
        self.changed.notify_one();
    }
}

/// Keeps one container running.
struct Supervisor {
    container: Container,
    launch: Result<Launch, String>,
    ip: Ipv4Addr,
    grace: Duration,
    log: Log,
    surroundings: Surroundings,
    report: Report,
    leave: watch::Receiver<Option<Leave>>,
}

impl Supervisor {
    async fn run(mut self) {
        let mut back_off = FIRST_BACK_OFF;
        while self.leave.borrow().is_none() {
            let started = Instant::now();
            let end = match self.start().await {
                Ok(process) => match self.watch(process).await {
                    Some(end) => end,
                    None => break,
                },
                Err(why) => why,
            };
            if started.elapsed() >= STEADY {
                back_off = FIRST_BACK_OFF;
            }
            self.log.note(format_args!("{}: {end}; next start in {back_off:?}", self.container.name));
            self.report.set(|state| {
                state.phase = Phase::Waiting;
                state.ready = false;
                state.restarts += 1;
                state.last_exit = Some(end);
            });
            tokio::select! {
                () = sleep(back_off) => {}
                () = asked(&mut self.leave) => {}
            }
            back_off = (back_off * 2).min(MAX_BACK_OFF);
        }
        self.report.set(|state| {
            state.phase = Phase::Gone;
            state.ready = false;
        });
    }

    async fn start(&self) -> Result<Process, String> {
        let launch = self.launch.as_ref().map_err(Clone::clone)?;
        let process = self
            .surroundings
            .spawner
            .spawn(launch)
            .await
            .map_err(|error| format!("'{}' cannot be started: {error}", launch.program))?;
        let pid = process.pid().unwrap_or_default();
        self.report.set(|state| state.phase = Phase::Running { pid });
        Ok(process)
    }

    /// Watches a process to its end, which is returned; `None` when it was asked to leave.
    async fn watch(&mut self, mut process: Process) -> Option<String> {
        let mut output = JoinSet::new();
        if let Some(stdout) = process.child.stdout.take() {
            output.spawn(self.log.clone().copy(stdout));
        }
        if let Some(stderr) = process.child.stderr.take() {
            output.spawn(self.log.clone().copy(stderr));
        }
        let mut leave = self.leave.clone();
        let ended = tokio::select! {
            status = process.child.wait() => Some(status),
            () = self.probe() => None,
            () = asked(&mut leave) => None,
        };
        let end = match ended {
            Some(status) => Some(status.map_or_else(|error| format!("lost: {error}"), describe)),
            None => {
                self.dismiss(&mut process).await;
                None
            }
        };
        // The group first: a descendant that holds the output open ends with it.
        drop(process);
        let _ = timeout(OUTPUT_GRACE, async { while output.join_next().await.is_some() {} }).await;
        end
    }

    /// Reports readiness until it is dropped.
    async fn probe(&self) {
        let report = |ready: bool, why: Option<&str>| {
            if !ready && let Some(why) = why {
                self.log.note(format_args!("{}: not ready: {why}", self.container.name));
            }
            self.report.set(|state| {
                state.ready = ready;
                state.probe = why.map(str::to_owned);
            });
        };
        match (probe::of(&self.container), &self.launch) {
            (Some(probe), Ok(launch)) => {
                probe::run(&probe, self.ip, launch, &self.surroundings.spawner, report).await;
            }
            _ => report(true, None),
        }
        std::future::pending::<()>().await;
    }

    /// Ends a process that was asked to leave: gently, then not.
    async fn dismiss(&mut self, process: &mut Process) {
        let begin = Instant::now();
        // A more urgent wish may come at any time, so deadlines are computed anew.
        let drained = until(&mut self.leave, |leave| begin + leave.drain);
        tokio::select! {
            () = drained => {}
            _ = process.child.wait() => return,
        }
        let begin = Instant::now();
        let own = self.grace;
        process.terminate();
        tokio::select! {
            _ = process.child.wait() => return,
            () = until(&mut self.leave, |leave| begin + leave.grace.min(own)) => {}
        }
        self.log.note(format_args!("{}: did not end in time and is killed", self.container.name));
        process.kill();
        let _ = process.child.wait().await;
    }
}

/// Waits until somebody asks to leave. A platform that is gone asks, too.
async fn asked(leave: &mut watch::Receiver<Option<Leave>>) {
    let _ = leave.wait_for(Option::is_some).await;
}

/// Waits for a deadline that depends on the present wish.
async fn until(leave: &mut watch::Receiver<Option<Leave>>, deadline: impl Fn(Leave) -> Instant) {
    loop {
        let Some(wish) = *leave.borrow_and_update() else { return };
        tokio::select! {
            () = sleep_until(deadline(wish)) => return,
            changed = leave.changed() => if changed.is_err() { return },
        }
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
