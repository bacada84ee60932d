//! What only a file can go through: restarts, other owners, damage, and what a commit costs.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::event::EventQuery;
use serde_json::json;
use store::{Commit, Expect, Page, Retention, SqliteStore, Store, StoreError};

use testkit::conformance::{event, put};

async fn open(folder: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(folder, "default").await
}

fn file(folder: &Path) -> PathBuf {
    folder.join("environments/default.db")
}

#[tokio::test]
async fn a_restart_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = String::new();
    for run in 1..=3_u64 {
        let store = open(folder.path()).await.unwrap();
        assert_eq!(store.load().await.unwrap().revision, run - 1);
        let mut commit = put("a", json!(run), Expect::Any);
        commit.events.push(event(0, "event", &["t"], None));
        let done = store.commit(commit).await.unwrap();
        assert_eq!(done.revision, run);
        assert!(done.events[0].id > last, "ids grow across restarts");
        last.clone_from(&done.events[0].id);
        // Even when no event is left, no id comes twice.
        store
            .prune(Retention { max_age: Duration::MAX, max_events: 0 }, done.events[0].timestamp)
            .await
            .unwrap();
        if run == 2 {
            store.close().await;
            assert!(store.commit(Commit::default()).await.is_err() && store.load().await.is_err());
        }
    }
}

#[tokio::test]
async fn a_second_owner_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).await.unwrap();
    let error = open(folder.path()).await.unwrap_err();
    let StoreError::InUse(message) = &error else { panic!("{error:?}") };
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert!(
        message.contains("--data-dir") && message.contains(&*folder.path().to_string_lossy()),
        "{message}"
    );
    SqliteStore::open(folder.path(), "other").await.expect("another environment has another file");
    drop(first);
    open(folder.path()).await.expect("free again");
}

#[tokio::test]
async fn environments_are_names_not_paths() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["", "a/b", "..", ".hidden", "a b", "ü", &"x".repeat(101)] {
        let error = SqliteStore::open(folder.path(), name).await.unwrap_err();
        assert!(matches!(error, StoreError::Name(_)), "{name}: {error}");
    }
    SqliteStore::open(folder.path(), "team-1.prod_eu").await.unwrap();
}

/// A good file of some size, closed, as bytes.
async fn good_file(folder: &Path) -> Vec<u8> {
    let store = open(folder).await.unwrap();
    for n in 0..50 {
        let mut commit = put(&format!("g{n}"), json!("x".repeat(3_000)), Expect::Any);
        commit.events.push(event(n, "event", &["t:x"], None));
        store.commit(commit).await.unwrap();
    }
    store.close().await;
    drop(store);
    fs::read(file(folder)).unwrap()
}

#[tokio::test]
async fn foreign_and_torn_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let good = good_file(folder.path()).await;
    let page = 4096;
    assert!(good.len() > 20 * page);
    let mut other_program = good.clone();
    other_program[68..72].copy_from_slice(&[0; 4]);
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&9_u32.to_be_bytes());
    let mut hole = good.clone();
    hole[2 * page..12 * page].fill(0);
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("text", b"{\"not\": \"a database\"}".repeat(20), "is not a store of Vamp"),
        ("another program's", other_program, "SQLite file of another program"),
        ("a newer Vamp's", newer, "written by a newer Vamp"),
        ("empty", Vec::new(), "the file is empty"),
        ("a few bytes", good[..10].to_vec(), "is not a store of Vamp"),
        ("cut in the header", good[..50].to_vec(), "is damaged"),
        ("cut in the middle", good[..good.len() / 2].to_vec(), "is damaged"),
        ("cut within a page", good[..good.len() - 100].to_vec(), "is damaged"),
        ("with a hole", hole, "is damaged"),
    ];
    for (what, bytes, message) in cases {
        fs::write(file(folder.path()), &bytes).unwrap();
        let error = open(folder.path()).await.map(|_| what).expect_err("refused");
        assert!(matches!(error, StoreError::Foreign(_) | StoreError::Corrupt(_)), "{what}: {error:?}");
        assert!(error.to_string().contains(message), "{what}: {error}");
        assert!(error.to_string().contains("default.db"), "{what}: {error}");
        assert_eq!(fs::read(file(folder.path())).unwrap(), bytes, "{what} was changed");
    }
    fs::write(file(folder.path()), &good).unwrap();
    assert_eq!(open(folder.path()).await.unwrap().load().await.unwrap().revision, 50);
}

#[tokio::test]
async fn a_log_without_its_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    good_file(folder.path()).await;
    fs::remove_file(file(folder.path())).unwrap();
    let log = folder.path().join("environments/default.db-wal");
    fs::write(&log, b"the last changes").unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(m) if m.contains("default.db-wal")), "{error:?}");
    assert_eq!(fs::read(&log).unwrap(), b"the last changes");
}

#[tokio::test]
async fn a_creation_that_was_interrupted_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("environments")).unwrap();
    fs::write(folder.path().join("environments/default.db.new"), b"half").unwrap();
    let store = open(folder.path()).await.unwrap();
    assert_eq!(store.commit(put("a", json!(1), Expect::Any)).await.unwrap().revision, 1);
}

#[tokio::test]
async fn pruning_shrinks_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    for _ in 0..10 {
        let events = (0..200).map(|n| event(n, "event", &["t:x"], Some(json!("x".repeat(1_000))))).collect();
        store.commit(Commit { events, ..Commit::default() }).await.unwrap();
    }
    let keep = Retention { max_age: Duration::MAX, max_events: 0 };
    store.close().await;
    drop(store);
    let before = fs::metadata(file(folder.path())).unwrap().len();
    let store = open(folder.path()).await.unwrap();
    while store.prune(keep, jiff::Timestamp::now()).await.unwrap().more {}
    store.close().await;
    let after = fs::metadata(file(folder.path())).unwrap().len();
    assert!(after * 2 < before, "{before} bytes before, {after} after");
}

/// A change of one gateway is two records and a few events. The bound is generous (unoptimised, a busy machine), and what a disk
/// takes to keep a few bytes is the disk's; the figures are printed.
#[tokio::test]
async fn a_commit_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let other = folder.path().join("other");
    let (mut times, mut disk): (Vec<Duration>, Vec<Duration>) = Default::default();
    for n in 0..200_i64 {
        let mut commit = put("shop", json!({"n": n, "body": "x".repeat(2_000)}), Expect::Any);
        let mut state = put("shop", json!({"n": n}), Expect::Any).puts;
        state[0].kind = "gateway-states".into();
        commit.puts.extend(state);
        for tags in [
            ["gateways:shop", "archive:update", "x:y"],
            ["gateways:shop", "routes:(1.0)", "route:weightupdated"],
            ["gateways:shop", "routes:(1.1)", "route:weightupdated"],
        ] {
            commit.events.push(event(n, "event", &tags, Some(json!({"name": "shop", "n": "x".repeat(500)}))));
        }
        let start = Instant::now();
        store.commit(commit).await.unwrap();
        times.push(start.elapsed());
        let start = Instant::now();
        fs::File::create(&other)
            .and_then(|mut file| file.write_all(b"bytes").and_then(|()| file.sync_all()))
            .unwrap();
        disk.push(start.elapsed());
    }
    times.sort_unstable();
    disk.sort_unstable();
    println!("commit: median {:?}, p99 {:?}; the disk: median {:?}", times[100], times[198], disk[100]);
    let bound = Duration::from_millis(100) + 4 * disk[100];
    assert!(times[100] < bound, "median {:?}, of the disk {:?}", times[100], disk[100]);
    let start = Instant::now();
    let tags = ["gateways:shop", "route:weightupdated"].map(str::to_owned).into();
    let page = store.events(EventQuery { tags, ..EventQuery::default() }, Page::new(1, 30)).await.unwrap();
    println!("newest 30 of {} with two tags: {:?}", page.total, start.elapsed());
    assert_eq!(page.total, 400);
}
