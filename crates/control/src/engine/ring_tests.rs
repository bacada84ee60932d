use std::collections::BTreeSet;

use serde_json::json;
use store::{Commit, MemoryStore};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn event(second: i64, value: f64) -> NewEvent {
    NewEvent {
        tags: BTreeSet::from(["metrics:rate".to_owned()]),
        value: Some(json!(value)),
        timestamp: at(second),
        kind: "metrics".into(),
        actor: None,
        version: None,
    }
}

async fn stored(events: Vec<NewEvent>) -> MemoryStore {
    let store = MemoryStore::new();
    store.commit(Commit { events, ..Commit::default() }).await.unwrap();
    store
}

/// Stored and transient events interleave in every way; each page is a slice of the one merged list.
#[tokio::test]
async fn pages_are_slices_of_the_merged_list() {
    let layouts: [(&[i64], &[i64]); 7] = [
        (&[], &[]),
        (&[1, 2, 3], &[]),
        (&[], &[1, 2, 3]),
        (&[1, 3, 5, 7], &[2, 4, 6]),
        (&[1, 2, 3, 4, 5], &[6, 7, 8, 9]),
        (&[6, 7, 8, 9], &[1, 2, 3, 4, 5]),
        (&[1, 2, 8, 9, 10, 11, 12], &[3, 4, 5, 6, 7, 13]),
    ];
    for (theirs, ours) in layouts {
        let store = stored(theirs.iter().map(|s| event(*s, 0.0)).collect()).await;
        let mut ring = Ring::new();
        ring.publish(ours.iter().map(|s| event(*s, 0.0)).collect(), at(20));
        let mut expected: Vec<_> = theirs.iter().chain(ours).map(|s| at(*s)).collect();
        expected.sort_by(|a, b| b.cmp(a));
        for size in 1..=6 {
            let mut seen = Vec::new();
            for number in 1..=14 {
                let query = EventQuery::default();
                let ours = ring.matching(&query);
                let page = merged_page(&store, query, Page::new(number, size), ours).await.unwrap();
                assert_eq!(page.total, expected.len() as u64);
                seen.extend(page.events.iter().map(|event| event.timestamp));
            }
            assert_eq!(seen, expected, "stored {theirs:?}, ours {ours:?}, pages of {size}");
        }
    }
}

#[tokio::test]
async fn aggregates_join_both() {
    let store = stored(vec![event(1, 1.0), event(2, 2.0)]).await;
    let mut ring = Ring::new();
    ring.publish(vec![event(3, 6.0)], at(3));
    let expected = [
        (Aggregation::Count, 3.0),
        (Aggregation::Average, 3.0),
        (Aggregation::Min, 1.0),
        (Aggregation::Max, 6.0),
        (Aggregation::Sum, 9.0),
    ];
    for (aggregation, result) in expected {
        let query = EventQuery::default();
        let stored = store.aggregate(query.clone(), aggregation).await.unwrap();
        let sum = store.aggregate(query.clone(), Aggregation::Sum).await.unwrap();
        assert_eq!(join(aggregation, stored, sum, ring.numbers(&query)), Some(result), "{aggregation:?}");
        let alone = if aggregation == Aggregation::Count { 1.0 } else { 6.0 };
        assert_eq!(join(aggregation, None, None, ring.numbers(&query)), Some(alone), "{aggregation:?} alone");
    }
    assert_eq!(join(Aggregation::Average, None, None, (Vec::new(), 0)), None);
}

#[test]
fn old_events_go() {
    let mut ring = Ring::new();
    ring.publish(vec![event(0, 1.0), event(10, 2.0)], at(10));
    ring.publish(vec![event(3605, 3.0)], at(3605));
    let left: Vec<_> = ring.matching(&EventQuery::default()).iter().map(|event| event.timestamp).collect();
    assert_eq!(left, [at(3605), at(10)]);
    ring.publish((0..60_000).map(|_| event(3606, 0.0)).collect(), at(3606));
    assert_eq!(ring.matching(&EventQuery::default()).len(), MAX_EVENTS);
}
