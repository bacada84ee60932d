//! Notices a test program that hangs, and ends it: a run without an end says nothing, not even which test it was.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::process::{ChildStdout, Command};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::Context as _;

/// How long no test may end and no line be written before the test program that runs counts as hanging. The longest tests, those on
/// pods, take a few minutes.
pub(super) const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Kills what cargo runs, and says so. Returns how many programs that were.
pub(super) fn end(cargo: u32) -> anyhow::Result<usize> {
    let programs = children(cargo);
    for (pid, program) in &programs {
        eprintln!("== {program} hangs: nothing ended in {} minutes; it is killed", PATIENCE.as_secs() / 60);
        Command::new("kill").args(["-KILL", &pid.to_string()]).status().context("cannot run kill")?;
    }
    Ok(programs.len())
}

/// The lines that a program writes, as they come.
pub(super) fn lines(out: ChildStdout) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(1024);
    std::thread::spawn(move || {
        for line in BufReader::new(out).split(b'\n') {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Processes that a process started, with the names of their programs.
fn children(parent: u32) -> Vec<(u32, String)> {
    let status = |pid: u32| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(|pid| (pid, status(pid)))
        .filter(|(_, status)| field(status, "PPid") == parent.to_string())
        .map(|(pid, status)| (pid, field(&status, "Name")))
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{Duration, Instant};

    #[test]
    fn the_programs_that_a_process_started_are_found() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let expected = (child.id(), "sleep".to_owned());
        // It has the name of its parent until it has its own.
        let end = Instant::now() + Duration::from_secs(30);
        let found = loop {
            let found = super::children(std::process::id());
            if found.contains(&expected) || Instant::now() > end {
                break found;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&expected), "{found:?}");
    }
}
