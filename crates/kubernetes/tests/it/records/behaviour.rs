//! What is special about a store in a cluster: what the objects look like, two stores in one namespace, large commits, missing
//! definitions and rights.

use std::time::Duration;

use kubernetes::records::{ClusterStore, Settings};
use model::event::EventQuery;
use serde_json::{Value, json};
use store::{Commit, Expect, Page, Put, Store, StoreError};
use testkit::cluster::{Cluster, Faults};
use testkit::conformance::{delete, event, put};

use super::{NAMESPACE, Place, connect, objects, settings};
use crate::world::eventually;

#[tokio::test]
async fn records_come_to_have_objects_of_their_own() {
    let place = Place::new(31).await;
    let store = place.open().await.unwrap();
    assert_eq!(objects(&place.fake).len(), 0, "opening writes nothing");
    let mut commit = put("shop", json!({"port": 9050}), Expect::Absent);
    commit.puts.extend(put("Web/Shop", json!(1), Expect::Absent).puts);
    commit.events.push(event(0, "archive", &["gateways:shop"], None));
    store.commit(commit).await.unwrap();
    assert!(objects(&place.fake).contains_key("head"), "the commit itself is one write");
    eventually("folded", || {
        let objects = objects(&place.fake);
        let Some(shop) = objects.get("gateways.shop") else { return Err(format!("{:?}", objects.keys())) };
        let about = json!({"kind": "gateways", "name": "shop", "revision": 1});
        assert_eq!((&shop["record"], &shop["body"]), (&about, &json!("{\"port\":9050}")));
        let (odd, chunk) = (|name: &&String| name.starts_with("gateways.web-shop."), "events-");
        let all = objects.keys().any(|name| odd(&name)) && objects.keys().any(|name| name.starts_with(chunk));
        if all { Ok(()) } else { Err(format!("{:?}", objects.keys())) }
    })
    .await;

    store.commit(delete("shop", Expect::Version(1))).await.unwrap();
    eventually("a deleted record is marked", || {
        let shop = objects(&place.fake).remove("gateways.shop");
        let shop = shop.ok_or("gone at once")?;
        if shop["record"]["deleted"] == true { Ok(()) } else { Err(shop.to_string()) }
    })
    .await;
    store.commit(put("shop", json!(2), Expect::Absent)).await.unwrap();
    let fresh = place.open().await.unwrap().load().await.unwrap();
    assert_eq!((fresh.revision, fresh.records.len()), (3, 2));
}

#[tokio::test]
async fn a_commit_is_one_request() {
    let place = Place::new(32).await;
    let settings = Settings { fold_pause: Duration::from_secs(60), ..settings() };
    let store = ClusterStore::open(&place.cluster, settings).await.unwrap();
    for number in 0..10 {
        store.commit(put("shop", json!(number), Expect::Any)).await.unwrap();
    }
    let writes = place.fake.writes();
    assert_eq!(writes.len(), 10);
    assert!(writes.iter().all(|write| write.name == "head"), "{writes:?}");
}

/// Two controllers that both believe to be the leader.
#[tokio::test]
async fn of_two_stores_one_wins_and_the_other_has_to_load() {
    let place = Place::new(33).await;
    let (a, b) = (place.open().await.unwrap(), place.open().await.unwrap());
    assert_eq!(a.commit(put("shop", json!("a"), Expect::Any)).await.unwrap().revision, 1);
    let late = b.commit(put("other", json!("b"), Expect::Any)).await.unwrap_err();
    assert_eq!(late, StoreError::Conflict { kind: "gateways".into(), name: "other".into() });
    let late = b.commit(put("other", json!("b"), Expect::Any)).await.unwrap_err();
    assert!(matches!(late, StoreError::Conflict { .. }), "until it loads: {late}");
    assert_eq!(b.load().await.unwrap().revision, 1);
    assert_eq!(b.commit(put("other", json!("b"), Expect::Any)).await.unwrap().revision, 2);
    let events = Commit { events: vec![event(0, "event", &["t"], None)], ..Commit::default() };
    assert!(matches!(a.commit(events.clone()).await, Err(StoreError::Conflict { .. })), "events too");
    assert_eq!(a.load().await.unwrap().records.len(), 2);
    a.commit(events).await.unwrap();
}

fn large(names: usize, bytes: usize) -> Commit {
    let body = |number: usize| json!({"number": number, "text": "\"<x>\"".repeat(bytes / 6)});
    let put = |number| Put {
        kind: "gateways".into(),
        name: format!("g{number}"),
        body: body(number),
        expect: Expect::Any,
    };
    Commit { puts: (0..names).map(put).collect(), ..Commit::default() }
}

#[tokio::test]
async fn a_commit_larger_than_an_object_is_kept_whole() {
    let place = Place::new(34).await;
    let store = place.open().await.unwrap();
    store.commit(put("first", json!(1), Expect::Any)).await.unwrap();
    // Several times what an object holds.
    store.commit(large(100, 10_000)).await.unwrap();
    let fresh = place.open().await.unwrap().load().await.unwrap();
    assert_eq!((fresh.revision, fresh.records.len()), (2, 101));
    eventually("parts go once they are folded", || {
        let objects = objects(&place.fake);
        let parts = objects.keys().filter(|name| name.starts_with("commit-")).count();
        if objects.contains_key("gateways.g99") && parts == 0 {
            Ok(())
        } else {
            Err(format!("{parts} parts"))
        }
    })
    .await;
    for object in objects(&place.fake).values() {
        assert!(object.to_string().len() < 900_000, "{}", object["metadata"]["name"]);
    }
    assert_eq!(place.open().await.unwrap().load().await.unwrap(), store.load().await.unwrap());

    let error = store.commit(large(2, 1 << 20)).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge(_)) && error.to_string().contains("KiB"), "{error}");
    let error = store.commit(large(400, 20_000)).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge(_)) && error.to_string().contains("several"), "{error}");
    assert_eq!(store.load().await.unwrap().revision, 2, "nothing of them was kept");
}

/// More than the head holds, faster than it is folded.
#[tokio::test]
async fn many_commits_wait_for_folding_rather_than_grow_without_bound() {
    let place = Place::new(35).await;
    let store = place.open().await.unwrap();
    for round in 0..30 {
        let mut commit = large(20, 8_000);
        commit.puts.iter_mut().for_each(|put| put.body["round"] = json!(round));
        commit.events.push(event(round, "event", &["t"], Some(json!(round))));
        store.commit(commit).await.unwrap();
        let head = objects(&place.fake).remove("head").unwrap();
        assert!(head.to_string().len() < 900_000);
    }
    let fresh = place.open().await.unwrap();
    let loaded = fresh.load().await.unwrap();
    assert_eq!((loaded.revision, loaded.records.len()), (30, 20));
    assert!(loaded.records.iter().all(|record| record.body["round"] == 29));
    assert_eq!(fresh.events(EventQuery::default(), Page::new(1, 1)).await.unwrap().total, 30);
}

#[tokio::test]
async fn a_missing_definition_or_right_is_named() {
    let fake = Cluster::start(36).await.unwrap();
    let (cluster, _folder) = connect(&fake.kubeconfig(NAMESPACE)).await;
    let error = ClusterStore::open(&cluster, settings()).await.unwrap_err().to_string();
    for part in ["no matches for records.vamp.io", "kubectl apply -f"] {
        assert!(error.contains(part), "{error}");
    }
    let place = Place::new(37).await;
    place.fake.forbid("list records.vamp.io");
    let error = place.open().await.unwrap_err().to_string();
    for part in ["list records in namespace 'prod'", "Role", "records"] {
        assert!(error.contains(part), "{error}");
    }
    place.fake.permit("list records.vamp.io");
    place.fake.forbid("create records.vamp.io");
    let store = place.open().await.unwrap();
    let error = store.commit(put("shop", json!(1), Expect::Any)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("create records")), "{error}");
    place.fake.permit("create records.vamp.io");
    assert_eq!(store.commit(put("shop", json!(1), Expect::Any)).await.unwrap().revision, 1);
}

#[tokio::test]
async fn an_api_server_that_fails_refuses_nothing_for_good() {
    let place = Place::new(38).await;
    let store =
        ClusterStore::open(&place.cluster, Settings { patience: Duration::from_secs(2), ..settings() })
            .await
            .unwrap();
    store.commit(put("shop", json!(1), Expect::Any)).await.unwrap();
    place.fake.set_faults(Faults { errors: 100, ..Faults::default() });
    let error = store.commit(put("shop", json!(2), Expect::Any)).await.unwrap_err();
    assert!(matches!(error, StoreError::InDoubt(_)), "an answer of 500 says nothing: {error}");
    assert!(matches!(store.load().await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.events(EventQuery::default(), Page::new(1, 1)).await.unwrap().total, 0, "from memory");
    place.fake.set_faults(Faults::default());
    assert_eq!(store.commit(put("shop", json!(3), Expect::Version(1))).await.unwrap().revision, 2);
}

/// Accepts connections and never answers: worse than one that is away.
#[tokio::test]
async fn an_api_server_that_hangs_holds_a_commit_no_longer_than_its_patience() {
    let place = Place::new(40).await;
    // One request alone might take longer than all of it.
    let settings = Settings {
        patience: Duration::from_secs(2),
        request_timeout: Duration::from_secs(60),
        fold_pause: Duration::from_secs(60),
        ..settings()
    };
    let store = ClusterStore::open(&place.cluster, settings).await.unwrap();
    store.commit(put("shop", json!(1), Expect::Any)).await.unwrap();
    for carried_out in [false, true] {
        place.fake.fall_silent(1, carried_out);
        let begin = tokio::time::Instant::now();
        // The second waits for the first.
        let (first, second) = tokio::join!(
            store.commit(put("shop", json!(2), Expect::Any)),
            store.commit(put("web", json!(2), Expect::Any))
        );
        let took = begin.elapsed();
        assert!(matches!(first, Err(StoreError::InDoubt(_))), "{first:?}");
        let second = second.unwrap_err();
        assert!(matches!(second, StoreError::Unavailable(_) | StoreError::InDoubt(_)), "{second}");
        assert!(took < Duration::from_secs(30), "{took:?}");
        place.fake.speak();
        let loaded = store.load().await.unwrap();
        assert_eq!(loaded.revision, if carried_out { 2 } else { 1 }, "what is known is what is kept");
    }
}

/// Damage is told, and nothing is written over it.
#[tokio::test]
async fn what_is_damaged_is_left_alone() {
    let place = Place::new(39).await;
    let store = place.open().await.unwrap();
    store.commit(put("shop", json!(1), Expect::Any)).await.unwrap();
    eventually("folded", || {
        objects(&place.fake).contains_key("gateways.shop").then_some(()).ok_or_else(|| "not yet".into())
    })
    .await;
    let whole = objects(&place.fake);
    let damage = |name: &str, field: &str, value: Value| {
        for object in whole.values() {
            place.fake.apply("records.vamp.io", object.clone());
        }
        let mut object = whole[name].clone();
        object[field] = value;
        place.fake.apply("records.vamp.io", object);
    };
    for (name, field, value, expected) in [
        ("gateways.shop", "body", json!("{"), "gateways.shop"),
        ("head", "body", json!("no head"), "'head'"),
        ("head", "body", json!("{\"format\":9}"), "newer Vamp"),
        ("gateways.shop", "record", json!({"kind": "gateways", "name": "shop", "revision": 7}), "revision 7"),
    ] {
        damage(name, field, value);
        let before = objects(&place.fake);
        let error = place.open().await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_) | StoreError::Foreign(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(objects(&place.fake), before);
    }
    damage("gateways.shop", "body", json!("1"));
    place.fake.remove("records.vamp.io", NAMESPACE, "head");
    let error = place.open().await.unwrap_err();
    assert!(error.to_string().contains("the head") && error.to_string().contains("missing"), "{error}");
}

/// An API server answers a new object with a conflict also when it is not there, for example when a quota is changed at the same time.
#[tokio::test]
async fn a_conflict_is_no_proof_that_a_part_is_there() {
    let place = Place::new(45).await;
    let store = place.open().await.unwrap();
    let (mut kept, mut refused) = (0, 0);
    for number in 0..40 {
        // More than the head holds.
        let body = json!({"number": number, "padding": "x".repeat(500_000)});
        place.fake.set_faults(Faults { conflicts: 40, ..Faults::default() });
        let result = store.commit(put("large", body, Expect::Any)).await;
        place.fake.set_faults(Faults::default());
        match result {
            Ok(_) => kept += 1,
            Err(StoreError::Conflict { .. } | StoreError::Unavailable(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        let loaded = store.load().await.expect("what was committed is there");
        assert_eq!(loaded.revision, kept);
    }
    assert!(kept > 0 && refused > 0, "{kept} kept, {refused} refused");
}
