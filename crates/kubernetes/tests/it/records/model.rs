//! What a store must hold, kept by a test: commits that it can tell apart, and what they add up to.

use std::collections::BTreeMap;

use model::event::EventQuery;
use serde_json::{Value, json};
use store::{Commit, Delete, Expect, Page, Put, Revision, Store};
use testkit::conformance::event;

use crate::chaos::Dice;

/// A commit with a token that is in everything it writes.
#[derive(Debug, Clone)]
pub(crate) struct Marked {
    pub(crate) token: u64,
    pub(crate) commit: Commit,
}

/// A random commit: some records written or deleted, and always an event.
pub(crate) fn random(dice: &mut Dice, token: u64) -> Marked {
    let mut commit = Commit::default();
    let kind = |dice: &mut Dice| ["gateways", "gateway-states"][dice.roll(2) as usize].to_owned();
    let name = |dice: &mut Dice| ["a", "b", "c/d", "E", "f"][dice.roll(5) as usize].to_owned();
    for _ in 0..=dice.roll(3) {
        // Now and then more than the head holds.
        let padding = if dice.roll(100) == 0 { 400_000 } else { dice.roll(1_500) as usize };
        let body = json!({"token": token, "padding": "\"<é".repeat(padding / 12)});
        commit.puts.push(Put { kind: kind(dice), name: name(dice), body, expect: Expect::Any });
    }
    if dice.roll(3) == 0 {
        commit.deletes.push(Delete { kind: kind(dice), name: name(dice), expect: Expect::Any });
    }
    commit.events.push(event(token as i64, "event", &["t"], Some(json!(token))));
    Marked { token, commit }
}

/// What there is after a number of commits. Equal means equal in everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct State {
    pub(crate) revision: Revision,
    records: BTreeMap<(String, String), (Revision, Value)>,
    /// Tokens and revisions, oldest first.
    pub(crate) events: Vec<(u64, Revision)>,
}

impl State {
    pub(crate) fn apply(&mut self, marked: &Marked) {
        self.revision += 1;
        for put in &marked.commit.puts {
            let value = (self.revision, put.body.clone());
            self.records.insert((put.kind.clone(), put.name.clone()), value);
        }
        for delete in &marked.commit.deletes {
            self.records.remove(&(delete.kind.clone(), delete.name.clone()));
        }
        self.events.push((marked.token, self.revision));
    }

    pub(crate) fn after(&self, marked: &Marked) -> Self {
        let mut state = self.clone();
        state.apply(marked);
        state
    }

    /// What a store holds. It must have been loaded.
    pub(crate) async fn of(store: &dyn Store) -> Self {
        let loaded = store.load().await.unwrap();
        let records = loaded.records.into_iter().map(|r| ((r.kind, r.name), (r.version, r.body))).collect();
        let log = store.events_after("0000000000000000", usize::MAX).await.unwrap();
        let page = store.events(EventQuery::default(), Page::new(1, 1)).await.unwrap();
        assert_eq!(page.total, log.len() as u64);
        let token = |value: Option<Value>| value.and_then(|value| value.as_u64()).unwrap();
        let events = log.into_iter().map(|event| (token(event.value), event.revision.unwrap()));
        Self { revision: loaded.revision, records, events: events.collect() }
    }

    /// A short form for messages: bodies are large.
    pub(crate) fn short(&self) -> String {
        let records: Vec<String> = (self.records.iter())
            .map(|((kind, name), (revision, body))| format!("{kind}/{name}@{revision}={}", body["token"]))
            .collect();
        format!("revision {}, records {records:?}, events {:?}", self.revision, self.events)
    }
}
