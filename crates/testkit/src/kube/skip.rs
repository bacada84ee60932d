//! Tests that need a cluster where there is none: reported as skipped, with the reason.
//!
//! The test harness of Rust knows no skipped tests: they pass. So each says so past the harness, and writes itself into the
//! file that [`SKIPPED`] names, where `cargo xtask test` counts them.

use std::io::Write as _;
use std::path::PathBuf;

/// Names the kubeconfig of the cluster that tests may use.
pub const CLUSTER: &str = "VAMP_TEST_KUBECONFIG";

/// Names a file that gets one line for each skipped test.
pub const SKIPPED: &str = "VAMP_TEST_SKIPPED";

/// Reports the running test as skipped.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("skipped: {}: {reason}\n", thread.name().unwrap_or("?"));
    // Only a message: the harness captures what is printed, not what is written.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os(SKIPPED) {
        let appended = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = appended {
            panic!("{SKIPPED}={}: {error}", file.display());
        }
    }
}

/// The kubeconfig of the test cluster; without one the running test is reported as skipped.
pub(super) fn kubeconfig() -> Option<PathBuf> {
    match std::env::var_os(CLUSTER) {
        Some(file) if !file.is_empty() => Some(file.into()),
        _ => {
            skip(&format!("{CLUSTER} is not set; see CONTRIBUTING.md, \"Tests on a cluster\""));
            None
        }
    }
}
