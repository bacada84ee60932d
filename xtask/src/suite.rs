//! Runs all tests and counts them.

mod again;
mod hang;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

use anyhow::{Context as _, bail};

use self::again::Failures;
use super::kube::{CLUSTER, Cluster, LOAD_IMAGE, NO_NODE, programs};
use super::{cargo, step, ui};

/// Names the file where tests that were skipped enter themselves.
const SKIPPED: &str = "VAMP_TEST_SKIPPED";

/// Format, lints and all tests, on a cluster too; with a filter only the tests that match, on a cluster that is up.
pub(crate) fn run(filter: &[OsString]) -> anyhow::Result<ExitCode> {
    let cluster = if filter.is_empty() {
        let cluster = Cluster::begin();
        ui::build()?;
        step("format", cargo(["fmt", "--all", "--check"]))?;
        step("lints", cargo(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
        ui::check()?;
        step("build the tests", cargo(["test", "--workspace", "--no-run", "--quiet"]))?;
        let cluster = cluster.join().map_err(|_| anyhow::anyhow!("starting the cluster panicked"))?;
        cluster.inspect_err(|reason| eprintln!("== no cluster, its tests are skipped: {reason}")).ok()
    } else {
        step("build the tests", cargo(["test", "--workspace", "--no-run", "--quiet"]))?;
        Cluster::running()
    };
    let start = Instant::now();
    let skipped = std::env::temp_dir().join(format!("vamp-skipped-{}", std::process::id()));
    let tests = |arguments: &[OsString]| {
        let mut command = cargo(["test", "--workspace", "--no-fail-fast"]);
        command.args(arguments).env(SKIPPED, &skipped);
        if let Some(cluster) = &cluster {
            command.env(CLUSTER, &cluster.kubeconfig).env("PATH", path());
            if let Some(load) = &cluster.load_image {
                command.env(LOAD_IMAGE, load);
            }
            if let Some(reason) = &cluster.no_node {
                command.env(NO_NODE, reason);
            }
        }
        command
    };
    let Outcome { mut status, mut counts, failures } = count(tests(filter))?;
    if filter.is_empty()
        && let Some(few) = failures.few()
    {
        eprintln!("== failed, and run once more: {}", few.join(", "));
        let again = count(tests(&again::arguments(few)))?;
        if again.status.success() && again.counts.passed >= few.len() {
            status = again.status;
            counts.hold(few);
        }
    }
    let mut reasons = fs::read_to_string(&skipped).unwrap_or_default();
    if filter.is_empty()
        && let Some(reason) = ui::browser_tests()?
    {
        counts.passed += 1;
        reasons.push_str(&format!("skipped: web UI in a browser: {reason}\n"));
    }
    let _ = fs::remove_file(&skipped);
    counts.skip(&reasons);
    eprintln!("== tests: {counts}, {:.1} s", start.elapsed().as_secs_f64());
    drop(cluster);
    if !status.success() {
        bail!("tests failed ({status})");
    }
    Ok(ExitCode::SUCCESS)
}

/// How a run of `cargo test` ended.
struct Outcome {
    status: ExitStatus,
    counts: Counts,
    failures: Failures,
}

/// Runs it, passes on what it writes and counts.
fn count(mut command: Command) -> anyhow::Result<Outcome> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let (mut counts, mut failures) = (Counts::default(), Failures::default());
    let lines = hang::lines(child.stdout.take().context("piped")?);
    let mut out = io::stdout().lock();
    loop {
        match lines.recv_timeout(hang::PATIENCE) {
            Ok(line) => {
                let line = line?;
                let text = String::from_utf8_lossy(&line);
                counts.add(&text);
                failures.add(&text);
                out.write_all(&line)?;
                out.write_all(b"\n")?;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // cargo goes on with the next one.
            Err(RecvTimeoutError::Timeout) => counts.failed += hang::end(child.id())?,
        }
    }
    Ok(Outcome { status: child.wait()?, counts, failures })
}

/// The machine's own programs first.
fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(programs());
    path
}

/// What the harnesses of all test programs said.
#[derive(Debug, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: BTreeMap<String, usize>,
    /// Tests that failed and held when they were run again.
    unsteady: Vec<String>,
}

impl Counts {
    /// Takes in a line such as `test result: ok. 3 passed; 0 failed; 0 ignored; ...`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let number = |what: &str| {
            let before = result.split_once(what).map_or("", |(before, _)| before).trim_end();
            before.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
        let ignored = number("ignored");
        if ignored > 0 {
            *self.skipped.entry("marked so".into()).or_default() += ignored;
        }
    }

    /// These tests failed, and held when they were run again.
    fn hold(&mut self, names: &[String]) {
        self.failed = self.failed.saturating_sub(names.len());
        self.passed += names.len();
        self.unsteady.extend_from_slice(names);
    }

    /// Takes in lines `skipped: TEST: REASON`; those tests passed, as far as their harness knows.
    fn skip(&mut self, lines: &str) {
        for line in lines.lines() {
            let mut parts = line.splitn(3, ": ");
            let reason = parts.nth(2).unwrap_or("no reason");
            *self.skipped.entry(reason.to_owned()).or_default() += 1;
            self.passed = self.passed.saturating_sub(1);
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let skipped: usize = self.skipped.values().sum();
        write!(f, "{} passed, {} failed, {skipped} skipped", self.passed, self.failed)?;
        for (number, (reason, count)) in self.skipped.iter().enumerate() {
            write!(f, "{}{count}: {reason}", if number == 0 { " (" } else { "; " })?;
        }
        if skipped > 0 {
            f.write_str(")")?;
        }
        if !self.unsteady.is_empty() {
            write!(f, ", of the passed unsteady, they failed once: {}", self.unsteady.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn skipped_tests_are_not_counted_as_passed() {
        let mut counts = Counts::default();
        for line in [
            "running 5 tests",
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 9 filtered out",
        ] {
            counts.add(line);
        }
        counts.skip("skipped: a::b: no cluster; see there\nskipped: c: no cluster; see there\n");
        assert_eq!(counts.to_string(), "5 passed, 1 failed, 2 skipped (2: no cluster; see there)");
    }
    #[test]
    fn unsteady_tests_are_named() {
        let mut counts = Counts::default();
        counts.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 9 filtered out");
        counts.hold(&["a::b".to_owned()]);
        assert_eq!(
            counts.to_string(),
            "3 passed, 0 failed, 0 skipped, of the passed unsteady, they failed once: a::b"
        );
    }
}
