//! Documents that were refused, and when to look at them again.
//!
//! What one document was refused for may be mended by another: a port that becomes free, a stored condition that is created. So
//! it is tried again when something has changed, with growing pauses.

use std::collections::BTreeMap;
use std::time::Duration;

use model::problem::Problems;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a document is not in force, in the words of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Stable class of the first problem.
    pub code: String,
    /// What is wrong, for people.
    pub message: String,
}

impl From<&Problems> for Refused {
    fn from(problems: &Problems) -> Self {
        let code = problems.0.first().map_or("invalid", |problem| problem.code);
        Self { code: code.to_owned(), message: problems.message() }
    }
}

/// All that were refused by control, by name of the object. Times are those since some fixed start.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    /// Identity, generation and reason.
    current: BTreeMap<String, (String, i64, Refused)>,
    tries: BTreeMap<String, Try>,
}

#[derive(Debug, Clone)]
struct Try {
    uid: String,
    generation: i64,
    revision: u64,
    pause: Duration,
    not_before: Duration,
}

impl Refusals {
    /// What plans go by.
    pub fn current(&self) -> &BTreeMap<String, (String, i64, Refused)> {
        &self.current
    }

    /// Control refused a document, looking at `revision`.
    pub fn refused(
        &mut self,
        object: &str,
        uid: &str,
        generation: i64,
        why: Refused,
        revision: u64,
        now: Duration,
    ) {
        let same = |t: &&Try| t.uid == uid && t.generation == generation;
        let pause =
            self.tries.get(object).filter(same).map_or(FIRST_PAUSE, |t| (t.pause * 2).min(LONGEST_PAUSE));
        let not_before = now + pause;
        let uid = uid.to_owned();
        self.tries
            .insert(object.to_owned(), Try { uid: uid.clone(), generation, revision, pause, not_before });
        self.current.insert(object.to_owned(), (uid, generation, why));
    }

    /// Control took a document of this object in.
    pub fn accepted(&mut self, object: &str) {
        self.current.remove(object);
        self.tries.remove(object);
    }

    /// Forgets objects that are gone.
    pub fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.current.retain(|object, _| exists(object));
        self.tries.retain(|object, _| exists(object));
    }

    /// Lets documents be tried again whose time has come and after whose last try something changed. The time of the next one, if
    /// there is one.
    pub fn release(&mut self, revision: u64, now: Duration) -> Option<Duration> {
        let mut next = None;
        for (object, t) in &self.tries {
            if t.revision == revision || !self.current.contains_key(object) {
                continue;
            }
            if t.not_before <= now {
                self.current.remove(object);
            } else {
                next = Some(next.map_or(t.not_before, |next: Duration| next.min(t.not_before)));
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_document_is_tried_again_when_something_changed_and_ever_later() {
        let mut refusals = Refusals::default();
        let why = || Refused { code: "x".into(), message: "no".into() };
        let seconds = Duration::from_secs;
        let held = |refusals: &Refusals| refusals.current().contains_key("shop");
        refusals.refused("shop", "u", 1, why(), 5, seconds(0));
        assert_eq!(refusals.release(5, seconds(100)), None);
        assert!(held(&refusals), "nothing changed");
        assert_eq!(refusals.release(6, seconds(0)), Some(seconds(1)));
        assert!(held(&refusals), "too soon");
        assert_eq!(refusals.release(6, seconds(1)), None);
        assert!(!held(&refusals));
        refusals.refused("shop", "u", 1, why(), 6, seconds(1));
        assert_eq!(refusals.release(7, seconds(1)), Some(seconds(3)), "twice as long");
        refusals.refused("shop", "u", 2, why(), 7, seconds(1));
        assert_eq!(refusals.release(8, seconds(1)), Some(seconds(2)), "another document begins anew");
        refusals.accepted("shop");
        assert_eq!(refusals.release(9, seconds(1)), None);
        assert!(!held(&refusals));
    }
}
