//! `vamp` under the names by which kubectl finds plug-ins.

use std::os::unix::fs::symlink;
use std::process::{Command, Output};

fn called(name: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join(name);
    symlink(env!("CARGO_BIN_EXE_vamp"), &link).unwrap();
    Command::new(link).args(arguments).output().unwrap()
}

#[test]
fn help_calls_it_as_the_user_did() {
    for (name, expected) in [("kubectl-vamp", "Usage: kubectl vamp get"), ("vamp", "Usage: vamp get")] {
        let output = called(name, &["get", "--help"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains(expected), "{name}: {text}");
        let output = called(name, &["get"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && text.contains(expected), "{name}: {text}");
    }
}

#[test]
fn kubectl_is_told_how_to_complete() {
    let output = called("kubectl_complete-vamp", &["get", "gateways", "-o", "y"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).split('\t').next(), Some("yaml"));
    assert!(output.status.success() && output.stdout.ends_with(b":4\n"));
}
