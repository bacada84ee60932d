//! Starting child processes so that none outlives us.
//!
//! Several nets, because each has a hole: every child leads a process group that is killed as a whole when its handle
//! is dropped; on Linux the kernel kills the child when our process dies, even by SIGKILL; and the [`Reaper`] ends what
//! such a child leaves behind.
//!
//! The kernel's signal is tied to the *thread* that forked, not to the process. Threads of an async runtime come and
//! go, so one thread that lives as long as the platform does nothing but start children.

use std::io;
use std::process::Stdio;
use std::sync::{Arc, mpsc};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::command::Launch;
use super::reaper::Reaper;

type Job = (Command, oneshot::Sender<io::Result<Child>>);

/// Handle of the thread that starts children. The thread ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    jobs: mpsc::Sender<Job>,
    reaper: Option<Arc<Reaper>>,
}

impl Spawner {
    /// Starts the thread. Must be called inside a runtime, which then watches over the children.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let runtime = Handle::current();
        std::thread::Builder::new().name("vamp-spawn".into()).spawn(move || {
            let _context = runtime.enter();
            while let Ok((mut command, reply)) = queue.recv() {
                // A caller that has gone away drops the child, which kills it.
                let _ = reply.send(command.spawn());
            }
        })?;
        let reaper = Reaper::start()
            .inspect_err(|error| tracing::warn!(%error, "descendants of local processes may survive a kill -9 of this one"))
            .ok()
            .map(Arc::new);
        Ok(Self { jobs, reaper })
    }

    /// Starts a process with piped output, as leader of its own group.
    pub(crate) async fn spawn(&self, launch: &Launch) -> io::Result<Process> {
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.arguments)
            .env_clear()
            .envs(&launch.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(directory) = &launch.directory {
            command.current_dir(directory);
        }
        death_signal::arm(&mut command);
        let (reply, child) = oneshot::channel();
        let gone = || io::Error::other("the local platform is shutting down");
        self.jobs.send((command, reply)).map_err(|_| gone())?;
        let child = child.await.map_err(|_| gone())??;
        let group = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let (Some(reaper), Some(group)) = (&self.reaper, group) {
            reaper.add(group.as_raw_nonzero().get());
        }
        Ok(Process { child, group, reaper: self.reaper.clone() })
    }
}

/// A running child and its process group. Dropping it kills the group.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    group: Option<Pid>,
    reaper: Option<Arc<Reaper>>,
}

impl Process {
    /// Process id, until the process has been waited for.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Asks the group to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends the group.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // "No such process" only says that it has ended by itself.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also after the leader has ended: what it left behind in its group goes with it.
        self.kill();
        if let (Some(reaper), Some(group)) = (&self.reaper, self.group) {
            reaper.remove(group.as_raw_nonzero().get());
        }
    }
}

/// The kernel's own net: SIGKILL for the child when the thread that forked it dies.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod death_signal {
    use std::io;

    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
    use tokio::process::Command;

    pub(super) fn arm(command: &mut Command) {
        let parent = getpid();
        // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe work is allowed.
        // It makes two system calls (prctl, getppid) and touches no memory but its own copy of a number: no
        // allocation, no lock, no panic. `ErrorKind::into` builds an error without allocating.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // The parent may have died before the call above: then nobody would send the signal.
                if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
            });
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod death_signal {
    pub(super) fn arm(_: &mut tokio::process::Command) {}
}
