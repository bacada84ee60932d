//! An acknowledged write survives `kill -9`.
//!
//! This test binary starts itself again as the writer (the test `writer`, which does nothing without the variable below). The
//! writer commits as fast as it can and prints each revision once the store has acknowledged it; the parent kills it at a random
//! moment, opens the file and compares.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use model::event::EventQuery;
use serde_json::json;
use store::{Expect, Page, Put, Retention, SqliteStore, Store};

use testkit::conformance::{event, put};

const FOLDER: &str = "VAMP_STORE_CRASH_TEST";
const KILLS: u32 = 40;
const NAMES: u64 = 7;

/// Two records and two events for each revision, all of which say which revision wrote them.
async fn write(store: &SqliteStore, revision: u64) {
    let name = format!("g{}", revision % NAMES);
    let mut commit = put(&name, json!({"revision": revision, "padding": "x".repeat(2_000)}), Expect::Any);
    commit.puts.push(Put {
        kind: "gateway-states".into(),
        name,
        body: json!({"revision": revision}),
        expect: Expect::Any,
    });
    commit.events.push(event(0, "archive", &["gateways:g", "archive:update"], Some(json!(revision))));
    commit.events.push(event(0, "event", &["gateways:g", "route:added"], Some(json!(revision))));
    assert_eq!(store.commit(commit).await.unwrap().revision, revision);
}

#[tokio::test]
async fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let store = SqliteStore::open(Path::new(&folder), "default").await.unwrap();
    let mut out = std::io::stdout();
    let mut revision = store.load().await.unwrap().revision;
    loop {
        revision += 1;
        write(&store, revision).await;
        writeln!(out, "ack {revision}").unwrap();
        out.flush().unwrap();
        if revision % 50 == 0 {
            let keep = Retention { max_age: Duration::MAX, max_events: 300 };
            while store.prune(keep, jiff::Timestamp::now()).await.unwrap().more {}
        }
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let seed = RandomState::new().hash_one(0);
    let (mut acknowledged, mut at_least) = (0, 0);
    for kill in 0..KILLS {
        let moment = Duration::from_micros(RandomState::new().hash_one((seed, kill)) % 120_000);
        at_least += u64::from(after_the_first(moment));
        acknowledged = run_and_kill(folder.path(), moment).unwrap_or(acknowledged);
        acknowledged = verify(folder.path(), acknowledged, &format!("kill {kill} after {moment:?}")).await;
    }
    assert!(acknowledged >= at_least, "the writer got somewhere: {acknowledged} of {at_least}");
}

/// Whether the writer is waited for, or killed at any moment of its start.
fn after_the_first(moment: Duration) -> bool {
    !moment.as_micros().is_multiple_of(5)
}

/// Starts the writer, kills it `moment` after its first acknowledgement (every fifth time at any moment of its start), and
/// returns the last revision that it printed whole.
fn run_and_kill(folder: &Path, moment: Duration) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::writer", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut last = None;
    let mut note = |line: &str| {
        let number = line.strip_suffix('\n').and_then(|line| line.rsplit_once("ack ")?.1.parse().ok());
        last = number.or(last);
        number.is_some()
    };
    let mut line = String::new();
    if after_the_first(moment) {
        while lines.read_line(&mut line).unwrap() > 0 && !note(&line) {
            line.clear();
        }
    }
    // The writer goes on meanwhile; what it prints waits in the pipe.
    let start = Instant::now();
    while start.elapsed() < moment {
        std::thread::sleep(moment.saturating_sub(start.elapsed()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    line.clear();
    while lines.read_line(&mut line).unwrap() > 0 {
        note(&line);
        line.clear();
    }
    last
}

/// Everything up to `acknowledged` is there, at most one commit more, and each commit is whole.
async fn verify(folder: &Path, acknowledged: u64, context: &str) -> u64 {
    let store = SqliteStore::open(folder, "default").await.unwrap();
    let loaded = store.load().await.unwrap();
    let revision = loaded.revision;
    assert!(
        (acknowledged..=acknowledged + 1).contains(&revision) || acknowledged == 0,
        "{context}: revision {revision}, acknowledged {acknowledged}"
    );
    let mut expected = BTreeMap::new();
    for written in 1..=revision {
        expected.insert(format!("g{}", written % NAMES), written);
    }
    for kind in ["gateways", "gateway-states"] {
        let found: BTreeMap<String, u64> = loaded
            .records
            .iter()
            .filter(|record| record.kind == kind)
            .map(|record| {
                assert_eq!(record.body["revision"], json!(record.version), "{context}");
                (record.name.clone(), record.version)
            })
            .collect();
        assert_eq!(found, expected, "{context}: {kind}");
    }
    let newest = store.events(EventQuery::default(), Page::new(1, 200)).await.unwrap().events;
    let written: Vec<u64> = newest.iter().map(|event| event.revision.unwrap()).collect();
    let wanted: Vec<u64> = (1..=revision).rev().flat_map(|revision| [revision, revision]).take(200).collect();
    assert_eq!(written, wanted, "{context}: events");
    store.close().await;
    revision
}
