//! Killed at every step: whatever request is the last one that a store makes, and whether or not it is carried out, the next store finds
//! all that was acknowledged, and of what was under way all or nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubernetes::records::{ClusterStore, Settings};
use store::Store as _;
use testkit::cluster::Cluster;
use tokio::sync::oneshot;

use super::model::{Marked, State, random};
use super::{NAMESPACE, Place, connect, objects, settings};
use crate::chaos::Dice;

/// Kills of one place, one after the other.
const KILLS: u64 = 8;
/// Requests after which a store is killed, at most.
const REQUESTS: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_0_to_15() {
    seeds(0..16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_16_to_31() {
    seeds(16..32).await;
}

async fn seeds(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut dice = Dice((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let place = Place::new(seed).await;
        let mut state = State::default();
        let mut token = 0;
        for kill in 0..KILLS {
            let context = format!("seed {seed}, kill {kill}");
            let kubeconfig = place.fake.kubeconfig(NAMESPACE);
            place.fake.fall_silent(dice.roll(REQUESTS) + 1, dice.roll(2) == 0);
            // Half of the stores fold as soon as they can, the others only under pressure or never.
            let pause = [Duration::ZERO, Duration::from_millis(3), Duration::from_secs(60)];
            let victim = Victim::start(kubeconfig, pause[dice.roll(3) as usize], Dice(dice.0), token);
            let silence = tokio::time::timeout(Duration::from_secs(60), place.fake.silence()).await;
            silence.unwrap_or_else(|_| panic!("{context}: the store stopped by itself"));
            let history = victim.kill();
            place.fake.speak();
            token = history.last_token;
            for marked in &history.acknowledged {
                state.apply(marked);
            }
            let found = State::of(&place.open().await.unwrap()).await;
            if found != state {
                let begun = history.begun.as_ref().unwrap_or_else(|| {
                    panic!("{context}: {}\nfound {}", state.short(), found.short());
                });
                let state_after = state.after(begun);
                assert!(
                    found == state_after,
                    "{context}: expected {}\nor {}\nfound {}",
                    state.short(),
                    state_after.short(),
                    found.short()
                );
                state = found;
            }
        }
        settles(&place, &state).await;
        dice.roll(2);
    }
}

/// In the end a store that is left alone brings everything to its place, and leaves nothing behind.
async fn settles(place: &Place, state: &State) {
    let store = place.open().await.unwrap();
    let last = Marked { token: 1_000_000, commit: random(&mut Dice(1), 1_000_000).commit };
    store.commit(last.commit.clone()).await.unwrap();
    let expected = state.after(&last);
    crate::world::eventually("parts are gone and every record has its object", || {
        let objects = objects(&place.fake);
        let parts = objects.keys().filter(|name| name.starts_with("commit-")).count();
        if parts == 0 { Ok(()) } else { Err(format!("{parts} parts: {:?}", objects.keys())) }
    })
    .await;
    assert_eq!(State::of(&place.open().await.unwrap()).await, expected);
}

/// A process that commits as fast as it can, until it is killed.
struct Victim {
    kill: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
    history: Arc<Mutex<History>>,
}

#[derive(Debug, Default, Clone)]
struct History {
    acknowledged: Vec<Marked>,
    /// What was under way.
    begun: Option<Marked>,
    last_token: u64,
}

impl Victim {
    fn start(kubeconfig: String, fold_pause: Duration, mut dice: Dice, token: u64) -> Self {
        let history = Arc::new(Mutex::new(History { last_token: token, ..History::default() }));
        let (kill, killed) = oneshot::channel();
        let shared = Arc::clone(&history);
        // A runtime of its own: what is dropped with it stops wherever it is, as with a process.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let work = async {
                    let (cluster, _folder) = connect(&kubeconfig).await;
                    let settings = Settings {
                        fold_pause,
                        request_timeout: Duration::from_secs(60),
                        patience: Duration::from_secs(120),
                        ..settings()
                    };
                    let store = ClusterStore::open(&cluster, settings).await.unwrap();
                    loop {
                        let marked = {
                            let mut history = shared.lock().unwrap();
                            history.last_token += 1;
                            let marked = random(&mut dice, history.last_token);
                            history.begun = Some(marked.clone());
                            marked
                        };
                        store.commit(marked.commit.clone()).await.unwrap();
                        let mut history = shared.lock().unwrap();
                        history.begun = None;
                        history.acknowledged.push(marked);
                    }
                };
                tokio::select! {
                    () = work => {}
                    _ = killed => {}
                }
            });
            runtime.shutdown_background();
        });
        Self { kill, thread, history }
    }

    fn kill(self) -> History {
        let _ = self.kill.send(());
        self.thread.join().unwrap();
        self.history.lock().unwrap().clone()
    }
}

/// The fake falls silent when it is told to.
#[tokio::test]
async fn silence_is_silence() {
    let place = Place::new(1).await;
    place.fake.fall_silent(1, true);
    let fake: &Cluster = &place.fake;
    let open = tokio::time::timeout(Duration::from_millis(100), place.open());
    assert!(open.await.is_err());
    fake.silence().await;
    fake.speak();
    place.open().await.unwrap();
}
