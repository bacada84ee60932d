//! What a store means, as checks that every store has to pass: `testkit::conformance!(open)` makes a test of each, where
//! `async fn open()` gives an empty store, and something that lives as long as it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use model::event::{Event, EventQuery, NewEvent, TimeBound, expand};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use store::{Aggregation, Commit, Delete, Expect, Page, Pruned, Put, Record, Retention, Store, StoreError};

/// Tests of one kind of store, to be used in a module of its own.
#[macro_export]
macro_rules! conformance {
    ($open:path) => {
        $crate::conformance!(@list @tests $open);
        #[test]
        fn agrees_with_the_definition() {
            $crate::conformance::agrees_with_the_definition(async || $open().await);
        }
    };
    (@list $($then:tt)+) => {
        $crate::conformance!($($then)+:
            starts_empty,
            revision_grows_with_changes_only,
            records_are_read_back,
            expectations_guard_against_lost_updates,
            a_conflict_leaves_no_trace,
            deletes_need_nothing_unless_told,
            events_get_ids_tags_and_revision,
            tags_are_whole_strings_and_all_needed,
            newest_first_in_pages,
            time_window_of_the_specification,
            aggregates,
            resumes_after_an_id,
            prunes_by_age_and_number_in_bounded_steps,
            concurrent_commits_are_all_kept,
        );
    };
    (@tests $open:path: $($name:ident),+ $(,)?) => {
        $(#[tokio::test] async fn $name() {
            let (store, _alive) = $open().await;
            $crate::conformance::$name(&store).await;
        })+
    };
    (@run $open:ident: $($name:ident),+ $(,)?) => {
        $($crate::conformance::$name(&$open(stringify!($name)).await).await;)+
    };
}

/// All checks but the property, one after the other, for stores that are slow to open. `open` is told which check is next.
pub async fn every_check<S: Store>(open: impl AsyncFn(&'static str) -> S) {
    crate::conformance!(@list @run open);
}

/// A commit that writes one gateway.
pub fn put(name: &str, body: Value, expect: Expect) -> Commit {
    Commit {
        puts: vec![Put { kind: "gateways".into(), name: name.into(), body, expect }],
        ..Commit::default()
    }
}

/// A commit that deletes one gateway.
pub fn delete(name: &str, expect: Expect) -> Commit {
    Commit {
        deletes: vec![Delete { kind: "gateways".into(), name: name.into(), expect }],
        ..Commit::default()
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_770_000_000 + second).unwrap()
}

/// An event by `ann`, a number of seconds after some moment in 2026.
pub fn event(second: i64, kind: &str, tags: &[&str], value: Option<Value>) -> NewEvent {
    NewEvent {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        value,
        timestamp: at(second),
        kind: kind.into(),
        actor: Some("ann".into()),
        version: None,
    }
}

/// A commit of events only.
pub fn publish(events: Vec<NewEvent>) -> Commit {
    Commit { events, ..Commit::default() }
}

fn tagged(tags: &[&str]) -> EventQuery {
    EventQuery { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), ..EventQuery::default() }
}

fn bound(second: i64, inclusive: bool) -> Option<TimeBound> {
    Some(TimeBound { at: at(second), inclusive })
}

async fn values(store: &dyn Store, query: EventQuery) -> Vec<Value> {
    let page = store.events(query, Page::new(1, 100)).await.unwrap();
    assert_eq!(page.total, page.events.len() as u64);
    page.events.into_iter().map(|event| event.value.unwrap_or(Value::Null)).collect()
}

/// A new store holds nothing.
pub async fn starts_empty(store: &dyn Store) {
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.revision, loaded.records.len()), (0, 0));
    let page = store.events(EventQuery::default(), Page::new(1, 30)).await.unwrap();
    assert_eq!((page.total, page.events.len()), (0, 0));
    assert_eq!(store.commit(Commit::default()).await.unwrap().revision, 0);
}

/// Events alone make no revision.
pub async fn revision_grows_with_changes_only(store: &dyn Store) {
    let revision = async |commit| store.commit(commit).await.unwrap().revision;
    assert_eq!(revision(put("a", json!(1), Expect::Any)).await, 1);
    assert_eq!(revision(publish(vec![event(0, "audit", &["x"], None)])).await, 1);
    assert_eq!(revision(delete("nothing", Expect::Any)).await, 2);
    assert_eq!(revision(Commit::default()).await, 2);
    let mut many = put("a", json!(2), Expect::Any);
    many.puts.extend(put("b", json!(3), Expect::Any).puts);
    many.events.push(event(0, "archive", &["gateways:a"], None));
    assert_eq!(revision(many).await, 3);
    assert_eq!(store.load().await.unwrap().revision, 3);
}

/// Any JSON comes back as it was, to the last digit.
pub async fn records_are_read_back(store: &dyn Store) {
    let body =
        json!({"z": 1, "a": [1.5, null, "ü\n\u{1F600}", {"b": false}], "n": 18_446_744_073_709_551_615_u64});
    store.commit(put("b/c", body.clone(), Expect::Any)).await.unwrap();
    store.commit(put("a", json!("old"), Expect::Any)).await.unwrap();
    store.commit(put("a", json!("new"), Expect::Any)).await.unwrap();
    let record =
        |name: &str, version, body| Record { kind: "gateways".into(), name: name.into(), version, body };
    assert_eq!(store.load().await.unwrap().records, [record("a", 3, json!("new")), record("b/c", 1, body)]);
}

/// A commit goes through only when its records are as it expects.
pub async fn expectations_guard_against_lost_updates(store: &dyn Store) {
    let attempt = async |commit: Commit| store.commit(commit).await.is_ok();
    let cases = [
        (put("a", json!(1), Expect::Version(0)), false),
        (put("a", json!(2), Expect::Absent), true), // revision 1
        (put("a", json!(3), Expect::Absent), false),
        (put("a", json!(4), Expect::Version(1)), true), // revision 2
        (put("a", json!(5), Expect::Version(1)), false),
        (put("b", json!(6), Expect::Version(2)), false), // the version is that of the record, not of the store
        (put("a", json!(7), Expect::Any), true),         // revision 3
        (delete("a", Expect::Version(2)), false),
        (delete("a", Expect::Absent), false),
        (delete("b", Expect::Absent), true), // revision 4
        (delete("a", Expect::Version(3)), true),
        (put("a", json!(8), Expect::Absent), true),
    ];
    for (row, (commit, succeeds)) in cases.into_iter().enumerate() {
        assert_eq!(attempt(commit).await, succeeds, "row {row}");
    }
    let records = store.load().await.unwrap().records;
    assert_eq!((records.len(), &records[0].body), (1, &json!(8)));
}

/// All or nothing.
pub async fn a_conflict_leaves_no_trace(store: &dyn Store) {
    store.commit(put("kept", json!(1), Expect::Any)).await.unwrap();
    let before = store.load().await.unwrap();
    let mut commit = put("new", json!(1), Expect::Any);
    commit.puts.extend(put("kept", json!(2), Expect::Any).puts);
    commit.deletes.extend(delete("other", Expect::Version(9)).deletes);
    commit.events.push(event(0, "archive", &["x"], None));
    let error = store.commit(commit).await.unwrap_err();
    assert_eq!(error, StoreError::Conflict { kind: "gateways".into(), name: "other".into() });
    assert_eq!(store.load().await.unwrap(), before);
    assert_eq!(store.events(EventQuery::default(), Page::new(1, 30)).await.unwrap().total, 0);
    assert_eq!(store.commit(put("next", json!(1), Expect::Any)).await.unwrap().revision, 2);
}

/// Deleting what is not there is fine; puts come before deletes.
pub async fn deletes_need_nothing_unless_told(store: &dyn Store) {
    store.commit(put("a", json!(1), Expect::Any)).await.unwrap();
    // Puts come first, so what a commit both writes and deletes is gone.
    let mut both = put("a", json!(2), Expect::Any);
    both.deletes.extend(delete("a", Expect::Version(2)).deletes);
    assert_eq!(store.commit(both).await.unwrap().revision, 2);
    assert_eq!(store.load().await.unwrap().records, []);
    assert_eq!(store.commit(delete("a", Expect::Any)).await.unwrap().revision, 3);
}

/// What is added to an event when it is stored.
pub async fn events_get_ids_tags_and_revision(store: &dyn Store) {
    let mut commit = put("shop", json!(1), Expect::Any);
    let precise: Timestamp = "2026-03-01T10:00:00.123456789Z".parse().unwrap();
    commit.events = vec![
        NewEvent {
            timestamp: precise,
            ..event(0, "archive", &["gateways:shop/9050", "x", "a:b:c"], Some(Value::Null))
        },
        NewEvent { version: Some("2.0".into()), ..event(-60, "archive", &["late"], None) },
    ];
    let stored = store.commit(commit).await.unwrap().events;
    let expected: BTreeSet<String> =
        ["gateways", "gateways:shop/9050", "x", "a", "a:b:c"].map(str::to_owned).into();
    assert_eq!(stored[0].tags, expected);
    assert_eq!((stored[0].revision, stored[0].version.as_str()), (Some(1), "1.0"));
    assert_eq!(stored[1].version, "2.0", "as published");
    assert_eq!(stored[0].timestamp, "2026-03-01T10:00:00.123456Z".parse().unwrap());
    assert!(stored[0].id < stored[1].id, "in the order of the commit, whatever the times are");
    let alone =
        store.commit(publish(vec![event(0, "audit", &["x"], Some(json!({"a": [1]})))])).await.unwrap();
    assert_eq!(alone.events[0].revision, None);
    let mut all = stored;
    all.extend(alone.events);
    assert_eq!(store.events_after("0000000000000000", 10).await.unwrap(), all, "read back as answered");
}

/// How tags match.
pub async fn tags_are_whole_strings_and_all_needed(store: &dyn Store) {
    let events = vec![
        event(1, "event", &["gateways:shop/9050", "x", "a:b:c"], Some(json!(1))),
        event(2, "event", &["gateways:other", "x"], Some(json!(2))),
        event(3, "audit", &["gateways:shop/9050"], Some(json!(3))),
    ];
    store.commit(publish(events)).await.unwrap();
    let many: Vec<String> = (0..200).map(|n| format!("no:{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (tags, expected) in [
        (&["gateways", "x"][..], json!([2, 1])),
        (&["gateways"], json!([3, 2, 1])),
        (&["a:b"], json!([])),
        (&["a", "x", "a:b:c", "gateways:shop/9050"], json!([1])),
        (&["gateways:Shop/9050"], json!([])),
        (&["gateways:shop"], json!([])),
        (&["gateways:shop/9050", "gateways:other"], json!([])),
        (&[], json!([3, 2, 1])),
        (&["'; drop table events; --"], json!([])),
        (&many, json!([])),
    ] {
        assert_eq!(Value::from(values(store, tagged(tags)).await), expected, "{tags:?}");
        let audit = EventQuery { kind: Some("audit".into()), ..tagged(tags) };
        let expected = if expected.as_array().unwrap().contains(&json!(3)) { json!([3]) } else { json!([]) };
        assert_eq!(Value::from(values(store, audit).await), expected, "{tags:?} of type audit");
    }
}

/// The order of events.
pub async fn newest_first_in_pages(store: &dyn Store) {
    // Stored out of order; two of the same second keep the order of storing.
    for (second, value) in [(10, 1), (30, 2), (20, 3), (30, 4), (5, 5)] {
        store.commit(publish(vec![event(second, "event", &["t"], Some(json!(value)))])).await.unwrap();
    }
    for query in [tagged(&[]), tagged(&["t"])] {
        let page = async |number, size| {
            let page = store.events(query.clone(), Page::new(number, size)).await.unwrap();
            assert_eq!(page.total, 5);
            page.events.into_iter().map(|event| event.value.unwrap().as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(page(1, 30).await, [4, 2, 3, 1, 5]);
        assert_eq!(page(1, 2).await, [4, 2]);
        assert_eq!(page(3, 2).await, [5]);
        assert_eq!(page(4, 2).await, [0; 0]);
        assert_eq!(page(0, 2).await, [4, 2], "page 0 is page 1");
        assert_eq!(page(u32::MAX, u32::MAX).await, [0; 0]);
    }
}

/// How times match.
pub async fn time_window_of_the_specification(store: &dyn Store) {
    let events = [(0, 4), (300, 8)]
        .map(|(second, value)| event(second, "metrics", &["metrics:rate"], Some(json!(value))));
    store.commit(publish(events.into())).await.unwrap();
    let just_after =
        Some(TimeBound { at: at(300).checked_add(Duration::from_nanos(1)).unwrap(), inclusive: true });
    for (from, until, expected) in [
        (bound(0, false), bound(300, true), json!([8])),
        (bound(0, true), bound(300, true), json!([8, 4])),
        (bound(0, true), bound(300, false), json!([4])),
        (bound(301, true), None, json!([])),
        (None, bound(0, true), json!([4])),
        (bound(300, true), bound(0, true), json!([])),
        (just_after, None, json!([])),
        (None, just_after, json!([8, 4])),
    ] {
        let query = EventQuery { from, until, ..tagged(&["metrics:rate"]) };
        assert_eq!(Value::from(values(store, query.clone()).await), expected, "{from:?} {until:?}");
        assert_eq!(Value::from(values(store, EventQuery { tags: BTreeSet::new(), ..query }).await), expected);
    }
}

/// Numbers over events.
pub async fn aggregates(store: &dyn Store) {
    let events = vec![
        event(1, "metrics", &["m"], Some(json!(4))),
        event(2, "metrics", &["m"], Some(json!(-8.5))),
        event(3, "metrics", &["m"], Some(json!("12"))),
        event(4, "metrics", &["m"], None),
        event(5, "health", &["m"], Some(json!(1))),
        event(6, "text", &["only text"], Some(json!("x"))),
    ];
    store.commit(publish(events)).await.unwrap();
    let check = async |query: EventQuery, aggregation: Aggregation, field: &str, expected: Option<f64>| {
        let result = match aggregation.narrow(query.clone(), field) {
            Some(query) => store.aggregate(query, aggregation).await.unwrap(),
            None => None,
        };
        assert_eq!(result, expected, "{aggregation:?} of {field} in {query:?}");
    };
    let kind = |kind: &str| EventQuery { kind: Some(kind.into()), ..tagged(&["m"]) };
    check(tagged(&["m"]), Aggregation::Count, "value", Some(5.0)).await;
    check(tagged(&["m"]), Aggregation::Count, "whatever", Some(5.0)).await;
    check(tagged(&["none"]), Aggregation::Count, "value", Some(0.0)).await;
    check(tagged(&["m"]), Aggregation::Sum, "value", Some(-3.5)).await;
    check(tagged(&["m"]), Aggregation::Sum, "metrics", Some(-4.5)).await;
    check(tagged(&["m"]), Aggregation::Average, "metrics", Some(-2.25)).await;
    check(tagged(&["m"]), Aggregation::Min, "value", Some(-8.5)).await;
    check(tagged(&["m"]), Aggregation::Max, "value", Some(4.0)).await;
    check(kind("metrics"), Aggregation::Max, "metrics", Some(4.0)).await;
    check(kind("metrics"), Aggregation::Max, "health", None).await;
    check(kind("health"), Aggregation::Max, "value", Some(1.0)).await;
    check(tagged(&["only text"]), Aggregation::Average, "value", None).await;
    check(EventQuery::default(), Aggregation::Sum, "value", Some(-3.5)).await;
    check(EventQuery { from: bound(2, true), ..tagged(&["m"]) }, Aggregation::Sum, "value", Some(-7.5)).await;
}

/// The order of ids.
pub async fn resumes_after_an_id(store: &dyn Store) {
    let mut ids = Vec::new();
    for second in [5, 4, 3] {
        let stored = store.commit(publish(vec![event(second, "event", &["t"], None)])).await.unwrap();
        ids.push(stored.events[0].id.clone());
    }
    let after = async |id: &str, limit| -> Vec<String> {
        store.events_after(id, limit).await.unwrap().into_iter().map(|event| event.id).collect()
    };
    assert_eq!(after(&ids[0], 10).await, ids[1..]);
    assert_eq!(after(&ids[0], 1).await, ids[1..2]);
    assert_eq!(after(&ids[2], 10).await, [""; 0]);
    for foreign in ["", "5b1e0c", "not an id", "ffffffffffffffff"] {
        assert_eq!(after(foreign, 10).await, [""; 0], "{foreign}");
    }
}

/// What pruning leaves.
pub async fn prunes_by_age_and_number_in_bounded_steps(store: &dyn Store) {
    let events = (0..500).map(|second| event(second, "event", &["t", "g:x"], Some(json!(second)))).collect();
    store.commit(publish(events)).await.unwrap();
    let count = async || store.events(tagged(&["g"]), Page::new(1, 1)).await.unwrap().total;
    let keep = |age, number| Retention { max_age: Duration::from_secs(age), max_events: number };
    let prune = async |keep| store.prune(keep, at(500)).await.unwrap();

    assert_eq!(prune(keep(500, 500)).await, Pruned { events: 0, more: false });
    assert_eq!(prune(keep(490, u64::MAX)).await, Pruned { events: 10, more: false });
    let first = prune(keep(10_000, 100)).await;
    assert!(first.more && first.events > 0 && first.events < 390, "{first:?}");
    while prune(keep(10_000, 100)).await.more {}
    assert_eq!(count().await, 100);
    let newest = values(store, tagged(&["t"])).await;
    assert_eq!((&newest[0], &newest[99]), (&json!(499), &json!(400)), "the newest stay");
    while prune(keep(0, 100)).await.more {}
    assert_eq!(count().await, 0);
    assert_eq!(store.events(EventQuery::default(), Page::new(1, 1)).await.unwrap().total, 0);
    assert_eq!(prune(keep(0, 0)).await, Pruned::default());
    let age = Retention { max_age: Duration::MAX, max_events: 1 };
    assert_eq!(store.prune(age, Timestamp::MIN).await.unwrap(), Pruned::default());
}

/// Callers need no lock of their own.
pub async fn concurrent_commits_are_all_kept(store: &dyn Store) {
    let commits = (0..20).map(|n| {
        let mut commit = put(&format!("g{n}"), json!(n), Expect::Absent);
        commit.events.push(event(n, "event", &["t"], None));
        store.commit(commit)
    });
    let done = futures_util::future::join_all(commits).await;
    let revisions: BTreeSet<u64> = done.iter().map(|done| done.as_ref().unwrap().revision).collect();
    assert_eq!(revisions, (1..=20).collect());
    assert_eq!(store.load().await.unwrap().records.len(), 20);
    let log = store.events_after("0000000000000000", 100).await.unwrap();
    assert!(
        log.is_sorted_by(|a, b| a.id < b.id && a.revision < b.revision),
        "ids and revisions have one order"
    );
    assert_eq!(log.len(), 20);
}

/// Small alphabets, so that tags and times meet.
fn any_event() -> impl Strategy<Value = NewEvent> {
    let tags = prop::collection::btree_set(prop::sample::select(vec!["a", "b:1", "b:2", "c:1:x", "c"]), 1..4);
    let value = prop::option::of(prop_oneof![(-5..5_i64).prop_map(Value::from), Just(json!("text"))]);
    (tags, value, 0..20_i64, prop::sample::select(vec!["event", "metrics"])).prop_map(
        |(tags, value, second, kind)| event(second, kind, &tags.into_iter().collect::<Vec<_>>(), value),
    )
}

fn any_query() -> impl Strategy<Value = EventQuery> {
    let tags = prop::collection::btree_set(prop::sample::select(vec!["a", "b", "b:1", "c", "c:1:x"]), 0..3);
    let bounds = || prop::option::of((0..20_i64, any::<bool>()));
    (tags, prop::option::of(Just("metrics")), bounds(), bounds()).prop_map(|(tags, kind, from, until)| {
        EventQuery {
            kind: kind.map(str::to_owned),
            from: from.and_then(|(second, inclusive)| bound(second, inclusive)),
            until: until.and_then(|(second, inclusive)| bound(second, inclusive)),
            ..tagged(&tags.into_iter().collect::<Vec<_>>())
        }
    })
}

/// A store answers every query as [`EventQuery::matches`] says.
pub fn agrees_with_the_definition<S: Store, A>(open: impl AsyncFn() -> (S, A)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inputs =
        (prop::collection::vec(any_event(), 0..40), prop::collection::vec(any_query(), 20), 1..3_u32);
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&inputs, |(events, queries, page)| {
        runtime.block_on(async {
            let (store, _alive) = open().await;
            answers_as_defined(&store, events, queries, page).await;
        });
        Ok(())
    });
    result.unwrap();
}

async fn answers_as_defined(store: &dyn Store, events: Vec<NewEvent>, queries: Vec<EventQuery>, page: u32) {
    store.commit(publish(events.clone())).await.unwrap();
    let paper = |event: &NewEvent| Event {
        id: String::new(),
        version: String::new(),
        tags: expand(&event.tags),
        value: event.value.clone(),
        timestamp: event.timestamp,
        kind: event.kind.clone(),
        actor: None,
        revision: None,
    };
    for query in queries {
        let mut expected: Vec<(usize, Event)> =
            events.iter().map(paper).enumerate().filter(|(_, event)| query.matches(event)).collect();
        expected.sort_by_key(|(index, event)| std::cmp::Reverse((event.timestamp, *index)));
        let numbers: Vec<f64> =
            expected.iter().filter_map(|(_, event)| event.value.as_ref()?.as_f64()).collect();
        let sum = (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>());
        let on_page: Vec<(BTreeSet<String>, Option<Value>)> = expected
            .iter()
            .skip((page as usize - 1) * 7)
            .take(7)
            .map(|(_, event)| (event.tags.clone(), event.value.clone()))
            .collect();
        let found = store.events(query.clone(), Page::new(page, 7)).await.unwrap();
        let shown: Vec<_> = found.events.into_iter().map(|event| (event.tags, event.value)).collect();
        assert_eq!((found.total, &shown), (expected.len() as u64, &on_page), "{query:?}");
        assert_eq!(store.aggregate(query.clone(), Aggregation::Sum).await.unwrap(), sum, "{query:?}");
        let count = store.aggregate(query.clone(), Aggregation::Count).await.unwrap();
        assert_eq!(count, Some(expected.len() as f64), "{query:?}");
    }
}
