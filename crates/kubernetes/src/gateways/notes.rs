//! Kubernetes Events about gateways: what happened, in one line, told once and counted when it happens again. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

/// The same thing within this time is counted, not told again.
const SAME: Duration = Duration::from_secs(600);
/// Notes about one gateway that may come at once; more are dropped until some time has passed.
const BURST: u32 = 25;
/// How long it takes for one more.
const REFILL: Duration = Duration::from_secs(5);
/// Events that are remembered for counting, and gateways whose budgets are.
const REMEMBERED: usize = 4096;
/// The longest message that the API server takes.
const LONGEST: usize = 1024;

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// It is.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Something that happened to a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    /// Name of the object.
    pub object: String,
    /// Identity of the object.
    pub uid: String,
    /// Whether it is good.
    pub severity: Severity,
    /// What, in one word.
    pub reason: String,
    /// What, for people.
    pub message: String,
}

/// One request to the API server.
#[derive(Debug, Clone, PartialEq)]
pub struct Telling {
    /// Name of the Event to change; `None` for a new one.
    pub event: Option<String>,
    /// The Event, or a merge patch for it.
    pub body: Value,
}

/// What was told before. Times are those since some fixed start.
#[derive(Debug, Default)]
pub struct Notes {
    told: HashMap<Note, Told>,
    order: VecDeque<Note>,
    budgets: HashMap<String, Budget>,
    /// Distinguishes Events of one process.
    number: u64,
    /// Notes that were dropped because there were too many.
    pub dropped: u64,
}

#[derive(Debug)]
struct Told {
    event: String,
    count: u64,
    last: Duration,
}

#[derive(Debug)]
struct Budget {
    left: u32,
    since: Duration,
}

impl Notes {
    /// How a note is to be told; `None` when there were too many about its gateway. `start` makes names of Events unique among
    /// processes, `date` is the time as Kubernetes writes it.
    pub fn tell(
        &mut self,
        note: Note,
        namespace: &str,
        start: u64,
        now: Duration,
        date: &str,
    ) -> Option<Telling> {
        if !self.spend(&note.uid, now) {
            self.dropped += 1;
            return None;
        }
        if let Some(told) = self.told.get_mut(&note)
            && now.saturating_sub(told.last) < SAME
        {
            told.count += 1;
            told.last = now;
            let body = json!({"count": told.count, "lastTimestamp": date});
            return Some(Telling { event: Some(told.event.clone()), body });
        }
        self.number += 1;
        let short: String = note.object.chars().take(200).collect();
        let event = format!("{short}.{start:x}.{:x}", self.number);
        let body = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": event, "namespace": namespace},
            "involvedObject": {
                "apiVersion": "vamp.io/v1", "kind": "Gateway",
                "namespace": namespace, "name": note.object, "uid": note.uid,
            },
            "type": match note.severity { Severity::Normal => "Normal", Severity::Warning => "Warning" },
            "reason": note.reason,
            "message": shortened(&note.message),
            "source": {"component": "vamp"},
            "reportingComponent": "vamp.io/vamp",
            "reportingInstance": format!("vamp-{start:x}"),
            "firstTimestamp": date,
            "lastTimestamp": date,
            "count": 1,
        });
        if self.told.insert(note.clone(), Told { event, count: 1, last: now }).is_none() {
            self.order.push_back(note);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.told.remove(&oldest);
        }
        Some(Telling { event: None, body })
    }

    /// An Event that was to be counted is gone: the next one is new.
    pub fn forget(&mut self, event: &str) {
        self.told.retain(|_, told| told.event != event);
        let told = &self.told;
        self.order.retain(|note| told.contains_key(note));
    }

    fn spend(&mut self, uid: &str, now: Duration) -> bool {
        if self.budgets.len() > REMEMBERED {
            // Whoever had a rest for so long has a full budget anyway.
            self.budgets.retain(|_, budget| now.saturating_sub(budget.since) < REFILL * BURST);
        }
        let budget = self.budgets.entry(uid.to_owned()).or_insert(Budget { left: BURST, since: now });
        let earned = now.saturating_sub(budget.since).as_secs() / REFILL.as_secs();
        if earned > 0 {
            budget.left = budget.left.saturating_add(u32::try_from(earned).unwrap_or(BURST)).min(BURST);
            budget.since = now;
        }
        let enough = budget.left > 0;
        budget.left = budget.left.saturating_sub(1);
        enough
    }
}

fn shortened(message: &str) -> String {
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let mut end = LONGEST - 3;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(message: &str) -> Note {
        Note {
            object: "shop".into(),
            uid: "u".into(),
            severity: Severity::Normal,
            reason: "WeightsChanged".into(),
            message: message.into(),
        }
    }

    #[test]
    fn the_same_again_is_counted() {
        let mut notes = Notes::default();
        let mut tell = |message: &str, seconds| {
            notes.tell(note(message), "prod", 7, Duration::from_secs(seconds), "t").unwrap()
        };
        let first = tell("a", 0);
        assert_eq!(first.event, None);
        let again = tell("a", 60);
        assert_eq!(again.event.as_deref(), first.body["metadata"]["name"].as_str());
        assert_eq!(again.body["count"], 2);
        assert_eq!(tell("b", 61).event, None, "something else");
        assert_eq!(tell("a", 700).event, None, "long after");
        assert!(tell(&"ä".repeat(2000), 800).body["message"].as_str().unwrap().len() <= LONGEST);
    }

    #[test]
    fn a_gateway_that_never_rests_is_not_told_for_ever() {
        let mut notes = Notes::default();
        let told = |notes: &mut Notes, seconds: u64, from: usize| {
            (0..100)
                .filter(|n| {
                    notes
                        .tell(note(&format!("{}", from + n)), "prod", 7, Duration::from_secs(seconds), "t")
                        .is_some()
                })
                .count()
        };
        assert_eq!(told(&mut notes, 0, 0), 25);
        assert_eq!(told(&mut notes, 10, 1000), 2);
        assert_eq!(told(&mut notes, 10_000, 2000), 25);
        assert_eq!(notes.dropped, 248);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut notes = Notes::default();
        for n in 0..10_000_u64 {
            let mut note = note("x");
            note.uid = n.to_string();
            notes.tell(note, "prod", 7, Duration::from_secs(n), "t");
        }
        assert!(notes.told.len() <= REMEMBERED && notes.budgets.len() <= REMEMBERED + 1);
    }
}
