//! The task that owns everything, and the handle to it.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::instance::Observation;
use model::problem::{Position, Problem, Problems};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, interval, timeout_at};

use crate::inventory::{Inventory, Snapshot, Watcher};
use crate::manifest::{Format, ManifestError, Node, Object, parse, read};
use crate::run::address::Addresses;
use crate::run::logs::Logs;
use crate::run::replica::Surroundings;
use crate::run::spawn::Spawner;
use crate::status::{Applied, Outcome, WorkloadStatus};
use crate::workload::{Workload, verdict};

/// Between SIGTERM and SIGKILL when the platform itself stops. Short: the data plane has drained before.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// What could not be done is tried again this often.
const RETRY: Duration = Duration::from_secs(1);
/// Larger manifests are refused by [`Platform::apply`].
const MAX_MANIFEST: usize = 4 * 1024 * 1024;

/// How a platform is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Files and directories that are read and watched.
    pub inventory: Vec<PathBuf>,
    /// Where logs and applied manifests are kept.
    pub data_dir: PathBuf,
    /// Namespace of objects that name none.
    pub namespace: String,
    /// The program that runs built-in images, as `PROGRAM sava-product --version TAG --listen IP:PORT`.
    pub program: PathBuf,
    /// Start of the loopback addresses for replicas; `None`: derived from `data_dir`.
    pub loopback_base: Option<Ipv4Addr>,
    /// Variables that every process gets, unless its manifest says otherwise.
    pub environment: Vec<(String, String)>,
}

/// Handle of a running platform. Cheap to clone; when the last one is dropped, every process is killed.
/// [`Platform::stop`] is the gentle way.
#[derive(Debug, Clone)]
pub struct Platform {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    namespace: String,
    directory: PathBuf,
    stop: mpsc::Sender<oneshot::Sender<()>>,
    watcher: Watcher,
    observation: watch::Receiver<Arc<Observation>>,
    workloads: watch::Receiver<Arc<Vec<WorkloadStatus>>>,
    /// Number of the newest scan that is in force.
    handled: watch::Receiver<u64>,
    logs: Logs,
    /// One change of applied manifests at a time.
    writing: tokio::sync::Mutex<()>,
}

impl Platform {
    /// Starts the platform inside the present runtime. Never fails as a whole: what cannot be read or run is a problem
    /// of the observation or of a workload.
    pub fn start(settings: Settings) -> Self {
        let directory = settings.data_dir.join("workloads");
        let logs = Logs::new(settings.data_dir.join("logs"));
        let inventory =
            Inventory::new(settings.inventory.clone(), directory.clone(), settings.namespace.clone());
        let (watcher, snapshots) = Watcher::start(inventory);
        let (stop, stopped) = mpsc::channel(4);
        let (observations, observation) = watch::channel(Arc::default());
        let (statuses, workloads) = watch::channel(Arc::default());
        let (done, handled) = watch::channel(0);
        let inner = Inner {
            namespace: settings.namespace.clone(),
            directory,
            stop,
            watcher,
            observation,
            workloads,
            handled,
            logs: logs.clone(),
            writing: tokio::sync::Mutex::new(()),
        };
        match Spawner::start() {
            Ok(spawner) => {
                let engine = Engine {
                    directory: inner.directory.clone(),
                    addresses: Addresses::new(settings.loopback_base, &settings.data_dir),
                    surroundings: Surroundings {
                        spawner,
                        logs,
                        program: settings.program,
                        environment: settings.environment,
                        changed: Arc::new(Notify::new()),
                    },
                    workloads: BTreeMap::new(),
                    snapshots,
                    declared: Snapshot::default(),
                    observations,
                    statuses,
                    done,
                };
                tokio::spawn(engine.run(stopped));
            }
            Err(error) => {
                let problem = Some(format!("the local platform cannot start a thread: {error}"));
                observations.send_replace(Arc::new(Observation { problem, ..Observation::default() }));
            }
        }
        Self { inner: Arc::new(inner) }
    }

    /// What the control plane sees; always the newest.
    pub fn observe(&self) -> watch::Receiver<Arc<Observation>> {
        self.inner.observation.clone()
    }

    /// Namespace of objects that name none.
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// Takes in manifests (YAML or JSON, several documents, Lists) and keeps them across restarts. All or nothing.
    /// Returns once they are in force: replicas are being started.
    ///
    /// # Errors
    /// Everything that is wrong with the manifests, with lines.
    pub async fn apply(&self, manifest: &str) -> Result<Vec<Applied>, Problems> {
        let objects = self.inner.accept(manifest)?;
        let _turn = self.inner.writing.lock().await;
        let directory = self.inner.directory.clone();
        let written = tokio::task::spawn_blocking(move || write_all(&directory, objects)).await;
        let applied = written.map_err(|error| failure(&error))?.map_err(|error| failure(&error))?;
        self.inner.refresh().await?;
        Ok(applied)
    }

    /// Removes an applied object; `name` may be `NAMESPACE/NAME`. `Ok(false)` when there is none. Processes get their
    /// time to end after this returns.
    ///
    /// # Errors
    /// The object comes from an inventory file, or the data directory cannot be written.
    pub async fn delete(&self, kind: &str, name: &str) -> Result<bool, Problems> {
        let (namespace, name) = name.split_once('/').unwrap_or((&self.inner.namespace, name));
        let kind = ["Deployment", "Pod", "Service"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(kind.strip_suffix('s').unwrap_or(kind)))
            .ok_or_else(|| unsupported(kind, 0))?;
        if !is_plain(namespace) || !is_plain(name) {
            return Ok(false);
        }
        let _turn = self.inner.writing.lock().await;
        let path = self.inner.directory.join(file_name(kind, namespace, name));
        match std::fs::remove_file(path) {
            Ok(()) => {
                self.inner.refresh().await?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let statuses = self.workloads();
                let declared = statuses.iter().find(|status| {
                    status.kind == kind && status.namespace == namespace && status.name == name
                });
                match declared.and_then(|status| status.source.as_ref()) {
                    Some(source) => Err(Problem::new(
                        "unsupported",
                        "",
                        format!("{kind} '{name}' is declared in {source}; remove it there"),
                    )
                    .into()),
                    None => Ok(false),
                }
            }
            Err(error) => Err(failure(&error)),
        }
    }

    /// The Deployments that are run, by namespace and name.
    pub fn workloads(&self) -> Arc<Vec<WorkloadStatus>> {
        self.inner.workloads.borrow().clone()
    }

    /// The same, for those who wait for a change.
    pub fn watch_workloads(&self) -> watch::Receiver<Arc<Vec<WorkloadStatus>>> {
        self.inner.workloads.clone()
    }

    /// The last lines of a replica, or of all replicas of a Deployment, oldest first within each.
    pub fn logs(&self, instance: &str, lines: usize) -> Option<Vec<String>> {
        if let Some(tail) = self.inner.logs.tail(instance, lines) {
            return Some(tail);
        }
        let statuses = self.workloads();
        let workload = statuses.iter().find(|status| status.name == instance)?;
        let mut all = Vec::new();
        for replica in &workload.instances {
            let tail = self.inner.logs.tail(&replica.name, lines).unwrap_or_default();
            all.extend(tail.into_iter().map(|line| match workload.instances.len() {
                1 => line,
                _ => format!("{}: {line}", replica.name),
            }));
        }
        Some(all)
    }

    /// Ends every process: gently, and after a short grace by force. The observation stays as it was, so that a
    /// shutdown does not look like an outage.
    pub async fn stop(&self) {
        let (reply, done) = oneshot::channel();
        if self.inner.stop.send(reply).await.is_ok() {
            let _ = done.await;
        }
    }
}

impl Inner {
    /// Checks manifests for `apply`.
    fn accept(&self, manifest: &str) -> Result<Vec<(Object, Node)>, Problems> {
        if manifest.len() > MAX_MANIFEST {
            let text = format!(
                "The manifest is larger than {} MiB; put it into an --inventory file",
                MAX_MANIFEST >> 20
            );
            return Err(Problem::new("too-large", "", text).into());
        }
        let documents = parse(manifest, Format::Yaml).map_err(located)?;
        let mut problems = Problems::default();
        let mut objects = Vec::new();
        for document in &documents {
            let mut seen = Vec::new();
            if let Err(error) = read(document, &self.namespace, &mut |object, node| seen.push((object, node)))
            {
                problems.push(problem_of(error));
            }
            for (object, node) in seen {
                match object {
                    Some(object) => objects.push((object, node.clone())),
                    None => problems.0.extend(unsupported_node(node).0),
                }
            }
        }
        for (object, node) in &objects {
            let (kind, namespace, name) = object.identity();
            if !is_plain(namespace) || !is_plain(name) {
                let text = format!(
                    "{kind} '{name}': names consist of lower case letters, digits, '-' and '.', and begin and end with a letter or digit"
                );
                problems.push(at(Problem::new("invalid-name", "/metadata/name", text), node.line));
            }
            if let Object::Deployment(deployment) = object
                && let Err(why) = verdict(deployment)
            {
                let text = format!("Deployment '{name}' cannot be run here: {why}");
                problems.push(at(Problem::new("unsupported", "/spec", text), node.line));
            }
        }
        if problems.0.is_empty() && objects.is_empty() {
            let text = "The manifest holds no object";
            problems.push(Problem::new("missing-value", "", text).example(EXAMPLE));
        }
        problems.into_result(objects)
    }

    /// Waits until what is on disk now is in force.
    async fn refresh(&self) -> Result<(), Problems> {
        let stopped = || Problems::from(Problem::new("unavailable", "", "The local platform has stopped"));
        let scan = self.watcher.scan().await.ok_or_else(stopped)?;
        self.handled.clone().wait_for(|handled| *handled >= scan).await.map_err(|_| stopped())?;
        Ok(())
    }
}

const EXAMPLE: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: hello}
spec:
  template:
    metadata: {labels: {app: hello, version: '1.0'}}
    spec:
      containers:
      - name: hello
        image: hello
        command: [./hello, --listen, '$(POD_IP):8080']
        ports: [{containerPort: 8080}]
";

/// Owns the workloads.
struct Engine {
    /// Where applied manifests are.
    directory: PathBuf,
    addresses: Addresses,
    surroundings: Surroundings,
    workloads: BTreeMap<(String, String), Workload>,
    snapshots: watch::Receiver<Snapshot>,
    /// The snapshot that is in force.
    declared: Snapshot,
    observations: watch::Sender<Arc<Observation>>,
    statuses: watch::Sender<Arc<Vec<WorkloadStatus>>>,
    done: watch::Sender<u64>,
}

impl Engine {
    async fn run(mut self, mut stopped: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut retry = interval(RETRY);
        let changed = self.surroundings.changed.clone();
        let reply = loop {
            tokio::select! {
                snapshot = self.snapshots.changed() => match snapshot {
                    Ok(()) if self.declare() => {}
                    // Regular scans mostly find nothing new, and an inventory may be large.
                    Ok(()) => continue,
                    // The watcher ends with the last handle.
                    Err(_) => break None,
                },
                () = changed.notified() => {}
                _ = retry.tick() => {
                    if !self.workloads.values().any(Workload::is_stuck) {
                        continue;
                    }
                }
                reply = stopped.recv() => break reply,
            }
            self.reconcile();
            self.publish();
        };
        if let Some(reply) = reply {
            self.halt().await;
            let _ = reply.send(());
        }
    }

    /// Takes in what the inventory says; false when that is nothing new.
    fn declare(&mut self) -> bool {
        let snapshot = self.snapshots.borrow_and_update().clone();
        let same = Arc::ptr_eq(&self.declared.objects, &snapshot.objects)
            && self.declared.problem == snapshot.problem;
        if same && self.declared.scan > 0 {
            self.done.send_replace(snapshot.scan);
            return false;
        }
        let objects = snapshot.objects.clone();
        self.declared = snapshot;
        let mut missing: Vec<_> = self.workloads.keys().cloned().collect();
        for (object, path) in objects.iter() {
            let Object::Deployment(deployment) = object else { continue };
            let key = (deployment.namespace.clone(), deployment.name.clone());
            missing.retain(|other| *other != key);
            let source = Some(&**path).filter(|path| path.parent() != Some(&self.directory));
            self.workloads
                .entry(key)
                .or_insert_with(|| Workload::new(&deployment.namespace, &deployment.name))
                .declare(deployment, source);
        }
        for key in missing {
            if let Some(workload) = self.workloads.get_mut(&key) {
                workload.withdraw();
            }
        }
        true
    }

    fn reconcile(&mut self) {
        for workload in self.workloads.values_mut() {
            workload.reconcile(&self.addresses, &self.surroundings);
        }
        self.workloads.retain(|_, workload| !workload.is_over());
    }

    fn publish(&self) {
        let snapshot = &self.declared;
        if snapshot.scan == 0 {
            return;
        }
        let standing = snapshot.objects.iter().filter_map(|(object, _)| match object {
            Object::Pod(instance) | Object::Service(instance) => Some(instance.clone()),
            Object::Deployment(_) => None,
        });
        let replicas =
            self.workloads.values().flat_map(Workload::members).map(|replica| Arc::new(replica.instance()));
        let observation = Observation {
            instances: Arc::new(standing.chain(replicas).collect()),
            problem: snapshot.problem.clone(),
            complete: true,
        };
        self.observations.send_if_modified(|old| {
            let differs = **old != observation;
            if differs {
                *old = Arc::new(observation);
            }
            differs
        });
        let statuses: Vec<WorkloadStatus> = self.workloads.values().map(Workload::status).collect();
        self.statuses.send_if_modified(|old| {
            let differs = **old != statuses;
            if differs {
                *old = Arc::new(statuses);
            }
            differs
        });
        self.done.send_replace(snapshot.scan);
    }

    /// Ends all replicas, by force when the grace is over.
    async fn halt(&mut self) {
        let deadline = Instant::now() + STOP_GRACE + Duration::from_secs(1);
        for workload in self.workloads.values_mut() {
            workload.halt(STOP_GRACE);
        }
        let changed = self.surroundings.changed.clone();
        loop {
            self.workloads.retain(|_, workload| !workload.sweep());
            if self.workloads.is_empty() || timeout_at(deadline, changed.notified()).await.is_err() {
                break;
            }
        }
        // Whatever is left is killed as it is dropped.
        self.workloads.clear();
        self.statuses.send_replace(Arc::default());
    }
}

/// Writes objects as one file each; says what was new.
fn write_all(directory: &Path, objects: Vec<(Object, Node)>) -> io::Result<Vec<Applied>> {
    std::fs::create_dir_all(directory)?;
    let mut applied = Vec::new();
    for (object, node) in objects {
        let (kind, namespace, name) = object.identity();
        let path = directory.join(file_name(kind, namespace, name));
        let mut json = node.to_json();
        // A default namespace that changes later must not move what was applied before.
        json["kind"] = kind.into();
        json["metadata"]["namespace"] = namespace.into();
        let text = format!("{json:#}\n");
        let before = std::fs::read_to_string(&path).ok();
        let outcome = match &before {
            None => Outcome::Created,
            Some(before) if *before == text => Outcome::Unchanged,
            Some(_) => Outcome::Configured,
        };
        if outcome != Outcome::Unchanged {
            replace(&path, text.as_bytes())?;
        }
        applied.push(Applied { kind, namespace: namespace.to_owned(), name: name.to_owned(), outcome });
    }
    Ok(applied)
}

/// Writes a file so that a crash leaves the old or the new content.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let temporary = path.with_added_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    if let Some(directory) = path.parent() {
        std::fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

fn file_name(kind: &str, namespace: &str, name: &str) -> String {
    // Neither kind nor namespace holds a dot, so no two objects share a file.
    format!("{}.{namespace}.{name}.json", kind.to_ascii_lowercase())
}

/// A name as Kubernetes allows it.
fn is_plain(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.len() <= 200
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
}

fn unsupported(kind: &str, line: usize) -> Problems {
    let text = format!(
        "The local platform does not run objects of kind '{kind}'; it knows Deployment, Pod and Service"
    );
    at(Problem::new("unsupported", "/kind", text), line).into()
}

fn unsupported_node(node: &Node) -> Problems {
    match node.get("kind").map(Node::to_json) {
        Some(serde_json::Value::String(kind)) if kind == "Service" => at(
            Problem::new(
                "unsupported",
                "/spec/clusterIP",
                "A Service without 'spec.clusterIP' has no address here",
            ),
            node.line,
        )
        .into(),
        Some(serde_json::Value::String(kind)) => unsupported(&kind, node.line),
        _ => unsupported("", node.line),
    }
}

fn at(problem: Problem, line: usize) -> Problem {
    if line == 0 { problem } else { problem.at(Position { line, column: 1 }) }
}

fn problem_of(error: ManifestError) -> Problem {
    let line = error.line;
    at(Problem::new("invalid-manifest", "", error.message), line)
}

fn located(error: ManifestError) -> Problems {
    problem_of(error).into()
}

fn failure(error: &dyn std::error::Error) -> Problems {
    Problem::new("io", "", format!("The manifest cannot be kept: {error}")).into()
}

#[cfg(test)]
mod tests;
