//! Runs the few tests that failed once more. Most tests use real time, real sockets and real processes, and once in some thousand runs a
//! busy machine is slower than one of them allows. Such a test is named as unsteady, with everything that it said when it failed: it is
//! to be mended, but nobody has to wait for it. A test that is broken fails again.

use std::ffi::OsString;

/// So many tests are not a busy machine any more.
const FEW: usize = 3;

/// What a run told about tests that failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    names: Vec<String>,
    begun: usize,
    ended: usize,
    failed: usize,
}

impl Failures {
    /// Takes in a line of the harness: `running 3 tests`, `test a::b ... FAILED`, `test result: ...`.
    pub(super) fn add(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.names.push(name.to_owned());
        } else if line.starts_with("running ") && (line.ends_with(" tests") || line.ends_with(" test")) {
            self.begun += 1;
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.ended += 1;
            let before = result.split_once(" failed").map_or("", |(before, _)| before);
            self.failed += before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        }
    }

    /// The tests to run again. None when something else went wrong than tests that failed, such as a test program that crashed.
    pub(super) fn few(&self) -> Option<&[String]> {
        let whole = self.begun == self.ended && self.failed == self.names.len();
        (whole && (1..=FEW).contains(&self.names.len())).then_some(self.names.as_slice())
    }
}

/// Arguments for `cargo test` that run these tests and no other, one at a time.
pub(super) fn arguments(names: &[String]) -> Vec<OsString> {
    let fixed = ["--", "--exact", "--test-threads=1"];
    fixed.iter().map(OsString::from).chain(names.iter().map(OsString::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Failures, arguments};

    fn told(lines: &[&str]) -> Failures {
        let mut failures = Failures::default();
        lines.iter().for_each(|line| failures.add(line));
        failures
    }

    #[test]
    fn a_few_tests_that_failed_are_run_again() {
        let failures = told(&[
            "running 2 tests",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored",
            "running 1 test",
            "test src/lib.rs - d (line 3) ... FAILED",
            "test result: FAILED. 0 passed; 1 failed; 0 ignored",
        ]);
        assert_eq!(failures.few().unwrap(), ["a::c", "src/lib.rs - d (line 3)"]);
        assert_eq!(arguments(failures.few().unwrap())[1..4], ["--exact", "--test-threads=1", "a::c"]);
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        let ok = ["running 1 test", "test a ... ok", "test result: ok. 1 passed; 0 failed"];
        assert_eq!(told(&ok).few(), None);
        let crashed = ["running 2 tests", "test a ... FAILED"];
        assert_eq!(told(&crashed).few(), None);
        let unnamed = ["running 2 tests", "test a ... FAILED", "test result: FAILED. 0 passed; 2 failed"];
        assert_eq!(told(&unnamed).few(), None);
        let many = [
            "running 4 tests",
            "test a ... FAILED",
            "test b ... FAILED",
            "test c ... FAILED",
            "test d ... FAILED",
            "test result: FAILED. 0 passed; 4 failed",
        ];
        assert_eq!(told(&many).few(), None);
    }
}
