//! Follows the inventory: file system events for speed, a regular scan as safety net.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::sleep;

use super::{Inventory, Snapshot, Trust};

/// From an event to the scan: several events come together, and a file has to be quiet this long.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Without any event, files are looked at (not read) this often. Some file systems send no events at all, and changes
/// must be in force within 2 s (R42).
const RESCAN: Duration = Duration::from_millis(1_500);

/// Handle of the task that follows the inventory. It ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    now: mpsc::Sender<oneshot::Sender<u64>>,
}

impl Watcher {
    /// Starts to follow. The first scan comes at once.
    pub(crate) fn start(inventory: Inventory) -> (Self, watch::Receiver<Snapshot>) {
        let (now, requests) = mpsc::channel(16);
        let (snapshots, latest) = watch::channel(Snapshot::default());
        tokio::spawn(follow(inventory, requests, snapshots));
        (Self { now }, latest)
    }

    /// Scans now, trusting what is on disk. Returns the number of the scan once its snapshot is out.
    pub(crate) async fn scan(&self) -> Option<u64> {
        let (reply, done) = oneshot::channel();
        self.now.send(reply).await.ok()?;
        done.await.ok()
    }
}

async fn follow(
    mut inventory: Inventory,
    mut requests: mpsc::Receiver<oneshot::Sender<u64>>,
    snapshots: watch::Sender<Snapshot>,
) {
    let events = Arc::new(Notify::new());
    let mut eyes = Eyes::new(&events);
    let mut trust = Trust::Now;
    let mut reply: Option<oneshot::Sender<u64>> = None;
    loop {
        // Watch first: what changes during the scan causes another one.
        let scanned = tokio::task::spawn_blocking(move || {
            eyes.look_at(&inventory.directories());
            let scan = inventory.scan(trust);
            (inventory, eyes, scan)
        });
        let Ok((back, kept, (snapshot, unsettled))) = scanned.await else {
            tracing::error!("the inventory can no longer be read; what was read last stays in force");
            return;
        };
        (inventory, eyes) = (back, kept);
        let number = snapshot.scan;
        if snapshots.send(snapshot).is_err() {
            return;
        }
        if let Some(reply) = reply.take() {
            let _ = reply.send(number);
        }
        trust = Trust::WhenQuiet;
        let quiet = async {
            let pause = if unsettled { DEBOUNCE } else { RESCAN };
            tokio::select! {
                () = events.notified() => sleep(DEBOUNCE).await,
                () = sleep(pause) => {}
            }
        };
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => {
                    reply = Some(request);
                    trust = Trust::Now;
                }
                None => return,
            },
            () = quiet => {}
        }
    }
}

/// The file system watches. Without them (too many watches, unusual file systems) the regular scan remains.
struct Eyes {
    watcher: Option<RecommendedWatcher>,
    /// Watched directories with their inode: a directory that is replaced has to be watched anew.
    watched: HashMap<PathBuf, u64>,
}

impl Eyes {
    fn new(events: &Arc<Notify>) -> Self {
        let events = events.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event, too: our own reads must not wake us.
            let matters = match event.map(|event| event.kind) {
                Ok(EventKind::Access(kind)) => kind == AccessKind::Close(AccessMode::Write),
                _ => true,
            };
            if matters {
                events.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(
                |error| tracing::warn!(%error, "no file system events; files are looked at regularly"),
            )
            .ok();
        Self { watcher, watched: HashMap::new() }
    }

    fn look_at(&mut self, directories: &[PathBuf]) {
        use notify::Watcher as _;
        use std::os::unix::fs::MetadataExt;
        let Some(watcher) = &mut self.watcher else { return };
        for directory in directories {
            let inode = std::fs::metadata(directory).ok().map(|metadata| metadata.ino());
            let known = self.watched.get(directory).copied();
            if known == inode {
                continue;
            }
            if known.is_some() {
                let _ = watcher.unwatch(directory);
                self.watched.remove(directory);
            }
            if let Some(inode) = inode
                && watcher.watch(directory, RecursiveMode::NonRecursive).is_ok()
            {
                self.watched.insert(directory.clone(), inode);
            }
        }
    }
}
