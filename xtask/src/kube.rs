//! The cluster that tests run on: built and started by `xtask/kube/kube-up.sh`, side by side with cargo's own work.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context as _, bail};

/// Names the kubeconfig of a cluster that tests may use.
pub(crate) const CLUSTER: &str = "VAMP_TEST_KUBECONFIG";

/// Names a command that brings images to the nodes of that cluster.
pub(crate) const LOAD_IMAGE: &str = "VAMP_TEST_LOAD_IMAGE";

/// Says why that cluster has no node where pods run, when it might have had one.
pub(crate) const NO_NODE: &str = "VAMP_TEST_NO_NODE";

/// Longest time for building and starting it, in seconds: the first time it compiles Kubernetes.
const PATIENCE: &str = "2700";

/// A cluster for tests.
pub(crate) struct Cluster {
    /// Leads there, with all rights.
    pub(crate) kubeconfig: PathBuf,
    /// Brings images to its nodes; none when it has no nodes.
    pub(crate) load_image: Option<OsString>,
    /// Why it has no nodes, if so and if that is known.
    pub(crate) no_node: Option<String>,
    /// Whether it is to be stopped in the end.
    ours: bool,
}

impl Cluster {
    /// Begins to build and start one, unless the user named one or one is up. The answer is the cluster, or in one line
    /// why there is none.
    pub(crate) fn begin() -> JoinHandle<Result<Self, String>> {
        std::thread::spawn(|| {
            if let Some(file) = std::env::var_os(CLUSTER).filter(|file| !file.is_empty()) {
                return Ok(Self {
                    kubeconfig: file.into(),
                    load_image: std::env::var_os(LOAD_IMAGE),
                    no_node: None,
                    ours: false,
                });
            }
            if let Some(cluster) = Self::running() {
                return Ok(cluster);
            }
            let begin = Instant::now();
            let mut refusal = None;
            // Pods that really run need root and some of the kernel; without them much can be tested all the same.
            for node in [&["--node"][..], &[]] {
                match Self::start(node) {
                    Ok(mut cluster) => {
                        let what = if node.is_empty() { "without nodes" } else { "with a node" };
                        let why = refusal.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
                        eprintln!("== cluster {what}: {:.1} s{why}", begin.elapsed().as_secs_f64());
                        cluster.no_node = refusal;
                        return Ok(cluster);
                    }
                    Err(reason) => refusal = Some(reason),
                }
            }
            Err(refusal.unwrap_or_default())
        })
    }

    /// The one that `cargo xtask kube up` started.
    pub(crate) fn running() -> Option<Self> {
        let output =
            script(&[state().into_os_string(), "status".into()]).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| Self::here(false))
    }

    /// The one of this checkout.
    fn here(ours: bool) -> Self {
        let mode = std::fs::read_to_string(state().join("mode")).unwrap_or_default();
        let load =
            || [program().into_os_string(), state().into_os_string(), "load".into()].join(" ".as_ref());
        Self {
            kubeconfig: state().join("kubeconfig"),
            load_image: (mode.trim() == "--node").then(load),
            no_node: None,
            ours,
        }
    }

    fn start(node: &[&str]) -> Result<Self, String> {
        let words = |first: &[&str]| first.iter().chain(node).map(OsString::from).collect::<Vec<_>>();
        attempt(&mut script(&words(&["-", "check"])))?;
        let mut arguments = vec![state().into_os_string()];
        arguments.extend(words(&["up"]));
        let mut command = Command::new("timeout");
        command.arg(PATIENCE).arg(program()).args(arguments).current_dir(super::root());
        // Should this process be killed, the cluster goes too.
        attempt(command.env("KUBE_OWNER", std::process::id().to_string()))?;
        Ok(Self::here(true))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.ours {
            let stopped = attempt(&mut script(&[state().into_os_string(), "down".into()]));
            if let Err(reason) = stopped {
                eprintln!("the test cluster cannot be stopped: {reason}");
            }
        }
    }
}

/// `cargo xtask kube ...`: the script with a state directory of this checkout.
pub(crate) fn run(rest: &[OsString]) -> anyhow::Result<ExitCode> {
    let verb = rest.first().and_then(|verb| verb.to_str()).unwrap_or_default();
    if !matches!(verb, "up" | "down" | "status" | "image" | "load") {
        bail!(
            "cargo xtask kube up [--node] | down | status | load TAR | image REF BINARY [KEY=VALUE...] [-- ARGUMENT...]"
        );
    }
    let mut arguments = vec![state().into_os_string()];
    arguments.extend(rest.iter().cloned());
    let status = script(&arguments).status().context("cannot run xtask/kube/kube-up.sh")?;
    if verb == "up" && status.success() {
        let cluster = Cluster::here(false);
        eprintln!("export {CLUSTER}={}", cluster.kubeconfig.display());
        if let Some(load) = &cluster.load_image {
            eprintln!("export {LOAD_IMAGE}='{}'", load.display());
        }
    }
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where programs of the cluster are, kubectl among them, for machines that have none.
pub(crate) fn programs() -> PathBuf {
    let cache = || {
        let home = || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache");
        let base = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty());
        base.map_or_else(home, PathBuf::from).join("kube-up")
    };
    std::env::var_os("KUBE_CACHE").map_or_else(cache, PathBuf::from).join("bin")
}

/// A directory for this checkout. Not in the checkout: sockets allow only short paths.
fn state() -> PathBuf {
    let mut hash = DefaultHasher::new();
    super::root().hash(&mut hash);
    std::env::temp_dir().join(format!("vamp-kube-{:016x}", hash.finish()))
}

fn program() -> PathBuf {
    super::root().join("xtask/kube/kube-up.sh")
}

fn script(arguments: &[OsString]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(super::root());
    command
}

/// Runs it without its output; its last line when it fails.
fn attempt(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty() && !line.ends_with("undoing"));
    Err(lines.next().map_or_else(|| output.status.to_string(), str::to_owned))
}
