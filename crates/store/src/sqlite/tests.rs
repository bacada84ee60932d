use std::path::Path;

use model::event::NewEvent;
use serde_json::json;

use super::*;
use crate::{Expect, Put};

fn large(name: &str) -> Commit {
    let body = json!("x".repeat(100_000));
    let put = Put { kind: "gateways".into(), name: name.into(), body, expect: Expect::Any };
    let event = NewEvent {
        tags: ["gateways:a".to_owned()].into(),
        value: None,
        timestamp: Timestamp::UNIX_EPOCH,
        kind: "archive".into(),
        actor: None,
        version: None,
    };
    Commit { puts: vec![put], events: vec![event], ..Commit::default() }
}

/// Fills the store until there is no room, and checks that nothing is lost and nothing half written, then and after a restart.
async fn fill(store: &SqliteStore) -> usize {
    let mut kept = 0;
    let error = loop {
        match store.commit(large(&format!("g{kept:03}"))).await {
            Ok(done) => {
                kept += 1;
                assert_eq!(done.revision, kept as u64);
                assert!(kept < 1_000, "there is no end of room");
            }
            Err(error) => break error,
        }
    };
    let StoreError::Full(message) = &error else { panic!("{error:?}") };
    assert!(message.contains("default.db") && message.contains("free some space"), "{message}");
    let again = store.commit(large("other")).await.unwrap_err();
    assert!(matches!(again, StoreError::Full(_)), "still full: {again:?}");
    check(store, kept).await;
    kept
}

async fn check(store: &SqliteStore, kept: usize) {
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.revision, loaded.records.len()), (kept as u64, kept));
    assert_eq!(store.events(EventQuery::default(), Page::new(1, 1)).await.unwrap().total, kept as u64);
}

async fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, "default").await.unwrap()
}

/// The engine's own limit of pages fails in the same way as a disk without room.
#[tokio::test]
async fn no_room_loses_nothing_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).await;
    let roomy = store.inner.options.clone();
    let inner = Arc::get_mut(&mut store.inner).unwrap();
    inner.options = roomy.clone().pragma("max_page_count", "200");
    inner.writer.get_mut().connection = None;
    let kept = fill(&store).await;
    assert!(kept > 2, "{kept}");
    // Room again.
    Arc::get_mut(&mut store.inner).unwrap().options = roomy;
    assert_eq!(store.commit(large("later")).await.unwrap().revision, kept as u64 + 1);
    check(&store, kept + 1).await;
    drop(store);
    check(&open(folder.path()).await, kept + 1).await;
}

/// The same on a real file system without room: `mount -t tmpfs -o size=16m tmpfs DIR`.
#[tokio::test]
#[ignore = "needs a small file system in VAMP_TEST_SMALL_DISK"]
async fn a_full_disk_loses_nothing_and_passes() {
    let disk = std::env::var("VAMP_TEST_SMALL_DISK").expect("VAMP_TEST_SMALL_DISK names a directory");
    let disk = Path::new(&disk);
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; 6_000_000]).unwrap();
    let store = open(disk).await;
    let kept = fill(&store).await;
    drop(store);
    // A start without room either works or says why.
    match SqliteStore::open(disk, "default").await {
        Ok(store) => check(&store, kept).await,
        Err(error) => assert!(matches!(error, StoreError::Full(_)), "{error:?}"),
    }
    std::fs::remove_file(&ballast).unwrap();
    let store = open(disk).await;
    assert_eq!(store.commit(large("later")).await.unwrap().revision, kept as u64 + 1);
    check(&store, kept + 1).await;
    drop(store);
    check(&open(disk).await, kept + 1).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_tear_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for n in 0..20 {
        let commit = store.commit(large(&format!("g{n}")));
        // Polled once: handed to the store, then dropped.
        assert!(futures_util::future::FutureExt::now_or_never(commit).is_none());
    }
    // Commits are done in order, so this one comes after all of them.
    assert_eq!(store.commit(large("last")).await.unwrap().revision, 21);
    check(&store, 21).await;
}
