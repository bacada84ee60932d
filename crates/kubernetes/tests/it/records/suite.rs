//! What every store has to do.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use kubernetes::records::ClusterStore;
use model::event::{Event, EventQuery};
use store::{Aggregation, Commit, Committed, EventPage, Loaded, Page, Pruned, Retention, Store, StoreError};

use super::Place;

async fn place() -> (ClusterStore, Place) {
    let place = Place::new(21).await;
    (place.open().await.unwrap(), place)
}

mod as_it_runs {
    use super::place;
    testkit::conformance!(place);
}

/// Reads everything anew from the cluster before each answer: nothing is in memory only.
struct Reopened {
    store: ClusterStore,
    place: Place,
    /// What is pruned comes back until it is folded, so from then on only memory is asked.
    pruned: AtomicBool,
}

impl Reopened {
    async fn fresh(&self) -> ClusterStore {
        if self.pruned.load(Ordering::SeqCst) { self.store.clone() } else { self.place.open().await.unwrap() }
    }
}

impl Store for Reopened {
    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        async {
            let fresh = self.fresh().await.load().await?;
            assert_eq!(self.store.load().await?, fresh);
            Ok(fresh)
        }
        .boxed()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, StoreError>> {
        self.store.commit(commit)
    }

    fn events(&self, query: EventQuery, page: Page) -> BoxFuture<'_, Result<EventPage, StoreError>> {
        async move { self.fresh().await.events(query, page).await }.boxed()
    }

    fn aggregate(
        &self,
        query: EventQuery,
        aggregation: Aggregation,
    ) -> BoxFuture<'_, Result<Option<f64>, StoreError>> {
        async move { self.fresh().await.aggregate(query, aggregation).await }.boxed()
    }

    fn events_after<'a>(
        &'a self,
        id: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, StoreError>> {
        async move { self.fresh().await.events_after(id, limit).await }.boxed()
    }

    fn prune(&self, keep: Retention, now: Timestamp) -> BoxFuture<'_, Result<Pruned, StoreError>> {
        self.pruned.store(true, Ordering::SeqCst);
        self.store.prune(keep, now)
    }
}

async fn reopened() -> (Reopened, ()) {
    let (store, place) = place().await;
    (Reopened { store, place, pruned: AtomicBool::new(false) }, ())
}

mod reopened_before_each_answer {
    use super::reopened;
    testkit::conformance!(reopened);
}
