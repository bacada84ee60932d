//! The crate stays pure: no clock, chance, socket, file or runtime in its sources or its dependencies.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the crate has sources").map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn sources_know_no_outside() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = sources(&root.join("src"));
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in [
            "std::time",
            "std::fs",
            "std::io",
            "std::env",
            "std::thread",
            "std::process",
            "TcpStream",
            "UdpSocket",
            "Instant",
            "SystemTime",
            "async fn",
            "tokio",
            " rand::",
        ] {
            assert!(!text.contains(word), "{} mentions {word}", file.display());
        }
    }
}

#[test]
fn dependencies_are_few_and_pure() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section =
        manifest.split("\n[dependencies]\n").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    let names: Vec<&str> = section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .collect();
    for name in names {
        assert!(["model", "serde", "regex", "ipnet", "percent-encoding", "memchr"].contains(&name), "{name}");
    }
}
