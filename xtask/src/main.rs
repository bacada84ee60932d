//! The project's own commands. They need nothing but cargo; for the web UI also Node.js.
//!
//! ```text
//! cargo xtask demo [flags of vamp demo]   build and run the guided release
//! cargo xtask test [filter]               everything that must pass: format, lints, all tests
//! cargo xtask kube up|down|...            a real Kubernetes for tests
//! cargo xtask images                      static binaries and container images, without a container engine
//! cargo xtask ui [test]                   build the web UI (and test it alone)
//! cargo xtask manifests                   write deploy/install.yaml from the Helm chart
//! cargo xtask soak [--minutes N]          the proxy under seeded faults on both sides
//! cargo xtask bench                       footprint and latency of the management side
//! ```
#![allow(clippy::print_stderr, reason = "a command line tool talks to its user")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, bail};

mod bench;
mod chart;
mod images;
mod kube;
mod suite;
#[cfg(test)]
mod tidy;
mod ui;

const HELP: &str = "\
cargo xtask demo [flags]   build the release binary and run `vamp demo` (flags are passed on)
cargo xtask test [filter]  format, lints and all tests; with a filter only the tests that match
cargo xtask kube up        a Kubernetes for tests, `up --node` with pods that really run (root); then down, status
cargo xtask images         static binaries and container images (target/images.tar), without a container engine
cargo xtask ui [test]      build the web UI into ui/dist; with `test` also test it, in a browser too
cargo xtask manifests      write deploy/install.yaml from the Helm chart
cargo xtask soak           the proxy under seeded faults on both sides for 10 minutes, or `--minutes N`; `--seed N` for others
cargo xtask bench          footprint and latency of the management side, on the release binary";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let verb = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    let result = match verb.to_str() {
        Some("demo") => demo(&rest),
        Some("test") => suite::run(&rest),
        Some("kube") => kube::run(&rest),
        Some("images") => images::run(&rest),
        Some("ui") => ui::run(rest.first().map(OsString::as_os_str)),
        Some("manifests") => manifests(),
        Some("soak") => soak(&rest),
        Some("bench") => bench(),
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the release binary, so that the figures of the demo are those of the product, and becomes it.
fn demo(rest: &[OsString]) -> anyhow::Result<ExitCode> {
    let binary = release()?;
    let mut command = Command::new(&binary);
    command.arg("demo").args(rest);
    // Ctrl-C goes to the demo, which stops in order; this process only waits.
    let status = command.status().with_context(|| format!("cannot run {}", binary.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The long form of a test that the suite runs for some seconds.
fn soak(rest: &[OsString]) -> anyhow::Result<ExitCode> {
    let (mut minutes, mut seed) = (10_u64, 1_u64);
    let mut words = rest.iter().map(|word| word.to_str().unwrap_or_default());
    while let Some(word) = words.next() {
        let number = words.next().and_then(|number| number.parse().ok());
        match (word, number) {
            ("--minutes", Some(number)) => minutes = number,
            ("--seed", Some(number)) => seed = number,
            _ => bail!("cargo xtask soak [--minutes N] [--seed N]"),
        }
    }
    let name = "soak::faults_on_both_sides_leave_nothing_behind";
    let mut soak =
        cargo(["test", "--package", "proxy", "--test", "it", "--", "--exact", name, "--nocapture"]);
    soak.env("VAMP_SOAK_SECONDS", (minutes * 60).to_string()).env("VAMP_SOAK_SEED", seed.to_string());
    step(&format!("soak for {minutes} min"), soak)?;
    Ok(ExitCode::SUCCESS)
}

/// The management side, then a large cluster.
fn bench() -> anyhow::Result<ExitCode> {
    bench::run(&release()?)?;
    let mut scale = cargo(["bench", "--quiet", "--package", "vamp", "--bench", "scale"]);
    if let Some(cluster) = kube::Cluster::running() {
        scale.env(kube::CLUSTER, &cluster.kubeconfig);
    }
    step("a large cluster", scale)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the release binary, with the web UI where that can be built: a demo without it is better than none.
fn release() -> anyhow::Result<PathBuf> {
    if let Err(error) = ui::build() {
        eprintln!("== no web UI is built in: {error:#}");
    }
    step(
        "build vamp (the first time takes a few minutes)",
        cargo(["build", "--release", "--package", "vamp"]),
    )?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("release").join("vamp"))
}

/// Writes the plain manifests from the chart.
fn manifests() -> anyhow::Result<ExitCode> {
    eprintln!("{}", chart::write_manifests(root())?.display());
    Ok(ExitCode::SUCCESS)
}

fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

fn step(name: &str, mut command: Command) -> anyhow::Result<()> {
    eprintln!("== {name}");
    let start = Instant::now();
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    eprintln!("== {name}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
