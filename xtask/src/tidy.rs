//! The invariants of ARCHITECTURE.md that can be read off the sources and the dependency graph.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    super::root().to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())).flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {}", folder.display());
    found
}

/// Crates that a crate needs at run time, itself left out.
fn dependencies(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            package,
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    text.lines().skip(1).filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Invariant 1: the pure crates have no way to reach a clock, a socket, a file or a runtime through a dependency ...
#[test]
fn pure_crates_depend_on_nothing_that_does_io() {
    let banned = [
        "tokio",
        "hyper",
        "axum",
        "kube",
        "k8s-openapi",
        "sqlx",
        "rand",
        "socket2",
        "reqwest",
        "mio",
        "notify",
    ];
    for package in ["model", "routing", "x509"] {
        let found: Vec<String> =
            dependencies(package).into_iter().filter(|d| banned.contains(&d.as_str())).collect();
        assert!(found.is_empty(), "{package} depends on {found:?}");
    }
}

/// ... and none through the standard library.
#[test]
fn pure_code_names_no_clock_randomness_socket_or_file() {
    let banned = [
        "std::time::Instant",
        "SystemTime",
        "Timestamp::now",
        "Zoned::now",
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::process",
        "std::thread",
        "std::env",
        "tokio",
        "rand::",
        "RandomState::new",
    ];
    let mut files: Vec<PathBuf> =
        ["crates/model/src", "crates/routing/src", "crates/x509/src", "crates/control/src/plan"]
            .iter()
            .flat_map(|folder| sources(&root().join(folder)))
            .collect();
    files.retain(|file| !file.components().any(|c| c.as_os_str() == "tests") && !file.ends_with("tests.rs"));
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable source");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in
            code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for word in banned {
                assert!(!names(line, word), "{}:{}: {word} in pure code", file.display(), number + 1);
            }
        }
    }
}

/// Whether a line of code holds a path, not only as the end of a longer word.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path)
        .any(|(start, _)| !line[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The arrows between crates only point down (ARCHITECTURE.md, "Crates").
#[test]
fn arrows_point_down() {
    let forbidden = [
        (
            "model",
            vec![
                "routing",
                "control",
                "store",
                "proxy",
                "telemetry",
                "agent",
                "api",
                "cli",
                "local",
                "kubernetes",
                "vamp",
            ],
        ),
        (
            "routing",
            vec![
                "control",
                "store",
                "proxy",
                "telemetry",
                "agent",
                "api",
                "cli",
                "local",
                "kubernetes",
                "vamp",
            ],
        ),
        ("proxy", vec!["control", "store", "agent", "api", "cli", "local", "kubernetes", "vamp"]),
        (
            "telemetry",
            vec!["control", "store", "proxy", "agent", "api", "cli", "local", "kubernetes", "vamp"],
        ),
        ("agent", vec!["control", "store", "proxy", "api", "cli", "local", "kubernetes", "vamp"]),
        ("control", vec!["proxy", "agent", "api", "cli", "local", "kubernetes", "vamp"]),
        ("store", vec!["routing", "control", "proxy", "agent", "api", "cli", "local", "kubernetes", "vamp"]),
        ("local", vec!["routing", "control", "store", "proxy", "agent", "api", "cli", "kubernetes", "vamp"]),
        (
            "kubernetes",
            vec!["routing", "control", "proxy", "telemetry", "agent", "api", "cli", "local", "vamp"],
        ),
        (
            "cli",
            vec![
                "routing",
                "control",
                "store",
                "proxy",
                "telemetry",
                "agent",
                "api",
                "local",
                "kubernetes",
                "vamp",
            ],
        ),
        (
            "x509",
            vec!["model", "routing", "pki", "store", "proxy", "telemetry", "agent", "kubernetes", "vamp"],
        ),
        (
            "pki",
            vec![
                "model",
                "routing",
                "store",
                "control",
                "proxy",
                "telemetry",
                "agent",
                "api",
                "cli",
                "kubernetes",
                "vamp",
            ],
        ),
        ("otlp", vec!["control", "store", "agent", "api", "cli", "local", "kubernetes", "vamp"]),
        ("api", vec!["proxy", "otlp", "agent", "cli", "local", "kubernetes", "ui", "vamp"]),
    ];
    for (package, banned) in forbidden {
        let found: Vec<String> =
            dependencies(package).into_iter().filter(|d| banned.contains(&d.as_str())).collect();
        assert!(found.is_empty(), "{package} must not know {found:?}");
    }
}

/// One crate speaks to clusters; the others speak of instances and gateways.
#[test]
fn only_kubernetes_knows_the_kube_library() {
    for entry in fs::read_dir(root().join("crates")).expect("crates/").flatten() {
        let manifest = fs::read_to_string(entry.path().join("Cargo.toml")).expect("a manifest");
        let knows =
            manifest.lines().any(|line| line.starts_with("kube.") || line.starts_with("k8s-openapi."));
        assert_eq!(knows, entry.file_name() == "kubernetes", "{}", entry.path().display());
    }
}

/// Every crate is on the map.
#[test]
fn architecture_names_every_crate() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for entry in fs::read_dir(root().join("crates")).expect("crates/").flatten() {
        let name = entry.file_name().into_string().expect("UTF-8 crate names");
        assert!(map.contains(&format!("`{name}`")), "ARCHITECTURE.md does not mention the crate `{name}`");
    }
}

/// No mark of unfinished work.
#[test]
fn no_unfinished_marks() {
    let marks = [
        "FIX".to_owned() + "ME",
        "XX".to_owned() + "X",
        "todo".to_owned() + "!(",
        "#[ign".to_owned() + "ore]",
    ];
    for file in sources(&root().join("crates")) {
        let text = fs::read_to_string(&file).expect("a readable source");
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{} holds {mark}", file.display());
        }
    }
}
