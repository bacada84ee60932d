//! Two stores in one namespace on an API server that fails in every way: answers get lost, writes arrive long after anybody waits for them,
//! conflicts come for no reason. What was acknowledged is there exactly once, what was refused never, what was in doubt at
//! most once, and revisions are one order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kubernetes::records::{ClusterStore, Settings};
use store::{Store as _, StoreError};
use testkit::cluster::Faults;

use super::model::{State, random};
use super::{Place, settings};
use crate::chaos::Dice;

const COMMITS: usize = 60;
/// Longer than a store waits for a request, and than it tries a commit.
const LATENESS: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seed_1() {
    chaos(0x9e37_79b9_7f4a_7c15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seed_2() {
    chaos(0x1234_5678_9abc_def1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seed_3() {
    chaos(0xdead_beef_cafe_f00d).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seed_4() {
    chaos(0x0bad_cafe_5eed_0004).await;
}

/// What became of a commit, as far as its writer knows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Acknowledged(u64),
    Refused,
    InDoubt,
}

async fn chaos(seed: u64) {
    let place = Arc::new(Place::new(seed).await);
    let tokens = Arc::new(AtomicU64::new(0));
    let stores = [open(&place).await, open(&place).await];
    place.fake.set_faults(Faults {
        errors: 6,
        conflicts: 3,
        lost: 8,
        late: 5,
        lateness: LATENESS,
        slow_lists: 10,
        slowness: Duration::from_millis(30),
        ..Faults::default()
    });
    let writers = stores.into_iter().enumerate().map(|(number, store)| {
        let dice = Dice(seed.rotate_left(number as u32 + 1));
        tokio::spawn(write(store, dice, seed, Arc::clone(&tokens)))
    });
    let mut answers = BTreeMap::new();
    for writer in futures_util::future::join_all(writers).await {
        answers.extend(writer.unwrap());
    }
    place.fake.set_faults(Faults::default());
    // What is late may still arrive.
    tokio::time::sleep(LATENESS * 2).await;

    let state = State::of(&place.open().await.unwrap()).await;
    let revisions: Vec<u64> = state.events.iter().map(|(_, revision)| *revision).collect();
    assert_eq!(revisions, (1..=state.revision).collect::<Vec<_>>(), "one event for each revision, in order");
    let kept: BTreeMap<u64, u64> = state.events.iter().copied().collect();
    assert_eq!(kept.len(), state.events.len(), "nothing twice");
    let mut counts = [0; 3];
    for (token, answer) in &answers {
        match answer {
            Answer::Acknowledged(revision) => {
                counts[0] += 1;
                assert_eq!(kept.get(token), Some(revision), "seed {seed:#x}: {token} was acknowledged");
            }
            Answer::Refused => {
                counts[1] += 1;
                assert_eq!(kept.get(token), None, "seed {seed:#x}: {token} was refused");
            }
            Answer::InDoubt => counts[2] += 1,
        }
    }
    assert!(counts[0] > COMMITS / 4 && counts[1] > 0, "it was no quiet run: {counts:?}");
    // Every commit that is kept, made again in the order of revisions, adds up to what is there.
    let mut expected = State::default();
    for (token, _) in &state.events {
        expected.apply(&random(&mut Dice(seed ^ token), *token));
    }
    assert!(expected == state, "expected {}\nfound {}", expected.short(), state.short());
}

async fn open(place: &Place) -> ClusterStore {
    let settings = Settings {
        request_timeout: Duration::from_millis(150),
        patience: Duration::from_millis(350),
        fold_pause: Duration::from_millis(10),
        ..settings()
    };
    ClusterStore::open(&place.cluster, settings).await.unwrap()
}

async fn write(
    store: ClusterStore,
    mut dice: Dice,
    seed: u64,
    tokens: Arc<AtomicU64>,
) -> BTreeMap<u64, Answer> {
    let mut answers = BTreeMap::new();
    for _ in 0..COMMITS {
        let token = tokens.fetch_add(1, Ordering::SeqCst) + 1;
        let marked = random(&mut Dice(seed ^ token), token);
        let answer = match store.commit(marked.commit).await {
            Ok(committed) => Answer::Acknowledged(committed.revision),
            Err(StoreError::InDoubt(_)) => Answer::InDoubt,
            Err(StoreError::Conflict { .. } | StoreError::Unavailable(_)) => Answer::Refused,
            Err(error) => panic!("{error}"),
        };
        answers.insert(token, answer);
        if !matches!(answer, Answer::Acknowledged(_)) {
            // As the engine does.
            let mut refused = 0;
            while let Err(error) = store.load().await {
                refused += 1;
                assert!(refused < 100, "it cannot be loaded any more: {error}");
            }
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(10))).await;
    }
    answers
}
