//! Which object holds which events.
//!
//! A chunk holds the events from its first id up to the first id of the next one. New events have the greatest ids, so only
//! the last chunk grows; when it is large enough, a new one begins. Old chunks go whole.

use std::ops::Range;

use model::event::Event;
use store::Contents;

use super::head;
use super::layout::escaped;
use super::limits;

/// The chunks, by first id.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunks: Vec<Chunk>,
    /// Objects that hold nothing any more, with their versions.
    removed: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunk {
    /// Also its name.
    pub(super) first: String,
    /// Version of its object, when there is one.
    pub(super) version: Option<String>,
    size: usize,
    /// Grows with every change.
    pub(super) edits: u64,
    /// `edits` as of what the object holds.
    written: u64,
}

impl Chunks {
    /// From what is in the cluster: first ids with versions and the events found there. `contents` has all events that there
    /// are, also those that are in the journal only.
    pub(super) fn load(mut found: Vec<(String, String, Vec<Event>)>, contents: &Contents) -> Self {
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let mut chunks = Self::default();
        let last = found.iter().flat_map(|(_, _, events)| events.last()).map(|event| event.id.clone()).max();
        for (first, version, _) in &found {
            chunks.chunks.push(Chunk {
                first: first.clone(),
                version: Some(version.clone()),
                size: 0,
                edits: 0,
                written: 0,
            });
        }
        // What is newer than all objects know comes as if it were new.
        let events = contents.all_events();
        let old = events.partition_point(|event| last.as_ref().is_some_and(|last| event.id <= *last));
        for (index, (_, _, there)) in found.iter().enumerate() {
            let range = chunks.range(index, &events[..old]);
            let held = &events[range];
            let chunk = &mut chunks.chunks[index];
            chunk.size = held.iter().map(size).sum();
            if held != there.as_slice() {
                chunk.edits += 1;
            }
        }
        for event in &events[old..] {
            chunks.add(event);
        }
        chunks.drop_empty(contents);
        chunks
    }

    /// Takes in an event that is newer than all others.
    pub(super) fn add(&mut self, event: &Event) {
        let size = size(event);
        match self.chunks.last_mut() {
            Some(last) if last.size + size <= limits::CHUNK => {
                last.size += size;
                last.edits += 1;
            }
            _ => {
                self.chunks.push(Chunk { first: event.id.clone(), version: None, size, edits: 1, written: 0 })
            }
        }
    }

    /// Lets the oldest chunks go while there is too much.
    pub(super) fn enforce_limits(&mut self, contents: &mut Contents) {
        let mut total: usize = self.chunks.iter().map(|chunk| chunk.size).sum();
        while self.chunks.len() > 1
            && (total > limits::EVENTS_SIZE || contents.all_events().len() > limits::EVENTS)
        {
            contents.forget_first(self.range(0, contents.all_events()).end);
            let oldest = self.chunks.remove(0);
            total -= oldest.size;
            self.removed.extend(oldest.version.map(|version| (oldest.first, version)));
        }
    }

    /// Events are gone from `contents`.
    pub(super) fn pruned(&mut self, ids: &[String], contents: &Contents) {
        let mut touched: Vec<usize> = ids.iter().map(|id| self.of(id)).collect();
        touched.dedup();
        for index in touched {
            let size = contents.all_events()[self.range(index, contents.all_events())].iter().map(size).sum();
            if let Some(chunk) = self.chunks.get_mut(index) {
                chunk.size = size;
                chunk.edits += 1;
            }
        }
        self.drop_empty(contents);
    }

    fn drop_empty(&mut self, contents: &Contents) {
        for index in (0..self.chunks.len()).rev() {
            if self.range(index, contents.all_events()).is_empty() {
                let empty = self.chunks.remove(index);
                self.removed.extend(empty.version.map(|version| (empty.first, version)));
            }
        }
    }

    /// Chunks whose objects are not up to date, with what they are to hold.
    pub(super) fn dirty<'a>(
        &'a self,
        contents: &'a Contents,
    ) -> impl Iterator<Item = (&'a Chunk, &'a [Event])> {
        let events = contents.all_events();
        self.chunks
            .iter()
            .enumerate()
            .filter(|(_, chunk)| chunk.edits != chunk.written)
            .map(move |(index, chunk)| (chunk, &events[self.range(index, events)]))
    }

    pub(super) fn removed(&self) -> &[(String, String)] {
        &self.removed
    }

    /// The object of a chunk was written, as of `edits`.
    pub(super) fn wrote(&mut self, first: &str, version: Option<String>, edits: u64) {
        match self.chunks.iter_mut().find(|chunk| chunk.first == first) {
            Some(chunk) => {
                chunk.version = version;
                chunk.written = edits;
            }
            // It became empty meanwhile.
            None => {
                self.removed.retain(|(name, _)| name != first);
                self.removed.extend(version.map(|version| (first.to_owned(), version)));
            }
        }
    }

    /// The object of a chunk is gone.
    pub(super) fn deleted(&mut self, first: &str) {
        self.removed.retain(|(name, _)| name != first);
    }

    fn of(&self, id: &str) -> usize {
        self.chunks.partition_point(|chunk| chunk.first.as_str() <= id).saturating_sub(1)
    }

    /// Where the events of a chunk are among all.
    fn range(&self, index: usize, events: &[Event]) -> Range<usize> {
        let place = |id: &str| events.partition_point(|event| event.id.as_str() < id);
        let start =
            if index == 0 { 0 } else { self.chunks.get(index).map_or(0, |chunk| place(&chunk.first)) };
        let end = self.chunks.get(index + 1).map_or(events.len(), |next| place(&next.first));
        start..end
    }
}

/// Room that an event takes, with the end of its line.
fn size(event: &Event) -> usize {
    escaped(&head::row_text(event)) + 2
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};
    use store::{Change, Loaded, Retention};

    use super::*;

    fn event(number: usize, bytes: usize) -> Event {
        Event {
            id: format!("{number:016x}"),
            version: "1.0".into(),
            tags: ["t".to_owned()].into(),
            value: Some(json!("x".repeat(bytes))),
            timestamp: jiff::Timestamp::from_second(number as i64).unwrap(),
            kind: "event".into(),
            actor: None,
            revision: None,
        }
    }

    /// Chunks with the contents they belong to and a pretend cluster.
    #[derive(Default)]
    struct World {
        contents: Contents,
        chunks: Chunks,
        cluster: BTreeMap<String, (String, Vec<Event>)>,
        versions: usize,
    }

    impl World {
        fn add(&mut self, event: Event) {
            self.chunks.add(&event);
            self.contents.apply(Change { events: vec![event], ..Change::default() });
            self.chunks.enforce_limits(&mut self.contents);
        }

        fn fold(&mut self) {
            let dirty: Vec<_> =
                self.chunks.dirty(&self.contents).map(|(chunk, e)| (chunk.clone(), e.to_vec())).collect();
            for (chunk, events) in dirty {
                self.versions += 1;
                let version = self.versions.to_string();
                let before = self.cluster.insert(chunk.first.clone(), (version.clone(), events));
                assert_eq!(before.map(|(version, _)| version), chunk.version);
                self.chunks.wrote(&chunk.first, Some(version), chunk.edits);
            }
            for (first, version) in self.chunks.removed().to_vec() {
                assert_eq!(self.cluster.remove(&first).map(|(version, _)| version), Some(version));
                self.chunks.deleted(&first);
            }
        }

        fn stored(&self) -> Vec<Event> {
            self.cluster.values().flat_map(|(_, events)| events.clone()).collect()
        }

        fn reload(&mut self, journal: Vec<Event>) {
            let found: Vec<_> = (self.cluster.iter())
                .map(|(first, (version, events))| (first.clone(), version.clone(), events.clone()))
                .collect();
            let events = self.stored().into_iter().chain(journal).collect();
            self.contents = Contents::restore(Loaded::default(), events, None);
            self.chunks = Chunks::load(found, &self.contents);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Whatever is added and pruned: after a fold the cluster holds exactly what memory holds, in chunks that are not too
        /// large, and a chunk that did not change is not written again.
        #[test]
        fn folding_keeps_the_cluster_in_step(
            steps in prop::collection::vec((0..10_u8, 1..40_000_usize), 1..60),
        ) {
            let mut world = World::default();
            let mut number = 0;
            let mut unfolded = Vec::new();
            for (action, size) in steps {
                match action {
                    0..6 => {
                        number += 1;
                        world.add(event(number, size));
                        unfolded.push(event(number, size));
                    }
                    6 => {
                        let keep = Retention { max_age: std::time::Duration::MAX, max_events: (size % 7) as u64 };
                        let (_, ids) = world.contents.prune(keep, jiff::Timestamp::MAX);
                        world.chunks.pruned(&ids, &world.contents);
                        unfolded.retain(|event| ids.binary_search(&event.id).is_err());
                    }
                    7 => {
                        // Killed: what was not folded is in the journal.
                        let before = world.contents.all_events().to_vec();
                        if world.stored().iter().all(|event| before.contains(event)) {
                            world.reload(unfolded.clone());
                            assert_eq!(world.contents.all_events(), before);
                        }
                    }
                    _ => {
                        world.fold();
                        unfolded.clear();
                        assert_eq!(world.stored(), world.contents.all_events());
                        assert_eq!(world.chunks.dirty(&world.contents).count(), 0);
                    }
                }
            }
            world.fold();
            assert_eq!(world.stored(), world.contents.all_events());
            for (_, events) in world.cluster.values() {
                let size: usize = events.iter().map(super::size).sum();
                assert!(!events.is_empty() && (size <= limits::CHUNK || events.len() == 1), "{size}");
            }
        }
    }

    #[test]
    fn old_chunks_go_when_there_is_too_much() {
        let mut world = World::default();
        for number in 0..limits::EVENTS + 2_000 {
            let event = event(number, 10);
            world.chunks.add(&event);
            world.contents.apply(Change { events: vec![event], ..Change::default() });
            if number % 500 == 0 {
                world.chunks.enforce_limits(&mut world.contents);
                world.fold();
            }
        }
        world.chunks.enforce_limits(&mut world.contents);
        world.fold();
        let kept = world.contents.all_events();
        assert!(kept.len() <= limits::EVENTS && kept.len() > limits::EVENTS - 1_000, "{}", kept.len());
        assert_eq!(kept.last().unwrap().id, event(limits::EVENTS + 1_999, 0).id);
        assert_eq!(world.stored(), kept);

        let mut world = World::default();
        for number in 0..40 {
            world.add(event(number, 400_000));
        }
        world.fold();
        let size: usize = world.stored().iter().map(super::size).sum();
        assert!(size <= limits::EVENTS_SIZE && size > limits::EVENTS_SIZE / 2, "{size}");
    }

    /// Two objects were to be written, and only the newer one was.
    #[test]
    fn a_fold_that_was_cut_off_loses_nothing() {
        let mut world = World::default();
        world.add(event(1, 10));
        world.fold();
        let journal: Vec<Event> = (2..6).map(|number| event(number, 30_000)).collect();
        for event in &journal {
            world.add(event.clone());
        }
        let newest = world.chunks.dirty(&world.contents).last().map(|(c, e)| (c.first.clone(), e.to_vec()));
        let (first, events) = newest.unwrap();
        world.cluster.insert(first, ("x".into(), events));
        world.reload(journal.clone());
        let values: Vec<Option<Value>> =
            world.contents.all_events().iter().skip(1).map(|event| event.value.clone()).collect();
        assert_eq!(values, journal.iter().map(|event| event.value.clone()).collect::<Vec<_>>());
        world.versions = 100;
        world.fold();
        assert_eq!(world.stored(), world.contents.all_events());
    }
}
