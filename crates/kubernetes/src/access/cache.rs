//! Answers that hold for a short time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// Bounded; when it is full, what ends first makes room.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    entries: HashMap<K, (V, Instant)>,
    capacity: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity: capacity.max(1) }
    }

    pub(super) fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.entries.get(key).filter(|(_, end)| *end > now).map(|(value, _)| value.clone())
    }

    pub(super) fn put(&mut self, key: K, value: V, end: Instant, now: Instant) {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.entries.retain(|_, (_, end)| *end > now);
            if self.entries.len() >= self.capacity {
                let first = self.entries.iter().min_by_key(|(_, (_, end))| *end).map(|(key, _)| key.clone());
                first.and_then(|key| self.entries.remove(&key));
            }
        }
        self.entries.insert(key, (value, end));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn entries_end_and_make_room() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut cache = Cache::new(2);
        cache.put("a", 1, at(60), at(0));
        cache.put("b", 2, at(5), at(0));
        assert_eq!((cache.get(&"a", at(0)), cache.get(&"b", at(4))), (Some(1), Some(2)));
        assert_eq!(cache.get(&"b", at(5)), None, "over");
        cache.put("c", 3, at(70), at(4));
        assert_eq!(
            (cache.get(&"a", at(4)), cache.get(&"b", at(4))),
            (Some(1), None),
            "the first to end made room"
        );
        cache.put("c", 4, at(80), at(4));
        assert_eq!((cache.get(&"a", at(4)), cache.get(&"c", at(4))), (Some(1), Some(4)), "replaced in place");
        for n in 0..1000 {
            cache.put(Box::leak(n.to_string().into_boxed_str()), n, at(90), at(4));
        }
        assert_eq!(cache.entries.len(), 2);
    }
}
