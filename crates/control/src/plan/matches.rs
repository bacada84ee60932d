//! Which instances each selector finds, kept up to date by looking only at what changed.
//!
//! ```text
//! Observation --update--> changed instances x all selectors --> selectors whose finds changed --> gateways to reconcile
//! new selector --require--> all instances x that selector
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::instance::{Instance, InstanceKind, Observation};
use model::selector::{Candidate, Group, Selector, group};
use routing::config::{TargetAddress, TargetConfig, TargetKind};

use super::targets;

/// The finds of all selectors in use.
#[derive(Debug)]
pub struct Matches {
    namespace: String,
    filter: Selector,
    instances: Arc<Vec<Instance>>,
    /// True once there was a complete observation.
    complete: bool,
    /// Why the platform cannot be read at the moment.
    problem: Option<String>,
    selectors: HashMap<String, Matched>,
}

#[derive(Debug)]
struct Matched {
    /// Behind the configured filter.
    selector: Selector,
    found: BTreeMap<Key, Found>,
}

/// Identity of an instance: namespace, name, kind. In this order targets are listed.
pub type Key = Arc<(String, String, InstanceKind)>;

/// An instance that a selector found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// It counts for the life of its groups.
    pub exists: bool,
    /// It may get traffic.
    pub ready: bool,
    /// The ports that the selector found; none when the instance matches but declares no port (R20).
    pub members: Vec<Member>,
}

/// One port of an instance that a selector found.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The group that it belongs to.
    pub group: Group,
    /// The target that it makes; `None` while the instance has no address.
    pub target: Option<TargetConfig>,
    /// For groups of several captures: the labels that hold each captured text. Only to notice merged groups (R21).
    pub sources: BTreeMap<String, BTreeSet<String>>,
}

impl Matches {
    /// Nothing is known yet.
    pub fn new(filter: Selector, namespace: String) -> Self {
        Self {
            namespace,
            filter,
            instances: Arc::default(),
            complete: false,
            problem: None,
            selectors: HashMap::new(),
        }
    }

    /// Takes an observation in and returns the texts of the selectors whose finds are different now.
    pub fn update(&mut self, observation: &Observation) -> BTreeSet<String> {
        self.problem.clone_from(&observation.problem);
        if !observation.complete {
            // An incomplete list would look like instances that are gone (R22 rule 7).
            return BTreeSet::new();
        }
        let first = !std::mem::replace(&mut self.complete, true);
        let before = std::mem::replace(&mut self.instances, observation.instances.clone());
        let mut changed: BTreeSet<String> =
            if first { self.selectors.keys().cloned().collect() } else { BTreeSet::new() };
        if Arc::ptr_eq(&before, &self.instances) {
            return changed;
        }
        let (gone, come) = difference(&before, &self.instances);
        for (text, matched) in &mut self.selectors {
            let mut different = false;
            for key in &gone {
                different |= matched.found.remove(key).is_some();
            }
            for (key, instance) in &come {
                let found = look(&matched.selector, instance, &self.namespace);
                different |= match found {
                    Some(found) => matched.found.insert(key.clone(), found.clone()) != Some(found),
                    None => matched.found.remove(key).is_some(),
                };
            }
            if different {
                changed.insert(text.clone());
            }
        }
        changed
    }

    /// Makes sure that the finds of a selector are known. The first time this looks at every instance.
    pub fn require(&mut self, selector: &Selector) {
        if self.selectors.contains_key(selector.text()) {
            return;
        }
        let filtered = selector.within(&self.filter);
        let found = self
            .instances
            .iter()
            .filter_map(|instance| Some((key(instance), look(&filtered, instance, &self.namespace)?)))
            .collect();
        self.selectors.insert(selector.text().to_owned(), Matched { selector: filtered, found });
    }

    /// The finds of a selector; `None` until the platform was completely read.
    pub fn found(&self, selector: &Selector) -> Option<&BTreeMap<Key, Found>> {
        let matched = self.selectors.get(selector.text()).filter(|_| self.complete)?;
        Some(&matched.found)
    }

    /// True while the platform cannot be read: what is shown are last known finds, and nothing may be removed on their
    /// strength (R22 rule 7).
    pub fn frozen(&self) -> bool {
        self.problem.is_some() || !self.complete
    }

    /// Forgets selectors that are not `used`.
    pub fn retain(&mut self, used: impl Fn(&str) -> bool) {
        self.selectors.retain(|text, _| used(text));
    }

    /// Number of selectors that are kept up to date.
    pub fn len(&self) -> usize {
        self.selectors.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.selectors.is_empty()
    }
}

fn key(instance: &Instance) -> Key {
    Arc::new((instance.namespace.clone(), instance.name.clone(), instance.kind))
}

/// Instances that are gone, and instances that are new or not as before.
fn difference<'a>(before: &[Instance], after: &'a [Instance]) -> (Vec<Key>, Vec<(Key, &'a Instance)>) {
    let identity = |i: &Instance| (i.kind, i.namespace.as_str().to_owned(), i.name.as_str().to_owned());
    // Most lists differ in one place: what is the same at both ends needs no look-up.
    let head = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[head..], &after[head..]);
    let tail = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[..before.len() - tail], &after[..after.len() - tail]);
    let mut old: HashMap<_, &Instance> = before.iter().map(|i| (identity(i), i)).collect();
    let mut come = Vec::new();
    for instance in after {
        if old.remove(&identity(instance)) != Some(instance) {
            come.push((key(instance), instance));
        }
    }
    (old.into_values().map(key).collect(), come)
}

/// What a selector finds of one instance.
fn look(selector: &Selector, instance: &Instance, namespace: &str) -> Option<Found> {
    let candidates = selector.candidates(instance, namespace);
    let portless = candidates.is_empty() && selector.portless_matches(instance, namespace);
    if candidates.is_empty() && !portless {
        return None;
    }
    let members = candidates.into_iter().map(|candidate| member(candidate, instance)).collect();
    // R41: ready and not being deleted.
    Some(Found { exists: instance.exists, ready: instance.ready && instance.exists, members })
}

fn member(candidate: Candidate, instance: &Instance) -> Member {
    let target = candidate.address.map(|address| TargetConfig {
        id: targets::id(&address.to_string(), &instance.name),
        name: instance.name.clone(),
        address: TargetAddress::Socket(address),
        kind: TargetKind::Instance,
    });
    let sources = if candidate.captures.len() < 2 {
        BTreeMap::new()
    } else {
        let labels = |text: &String| {
            let holding = instance.labels.iter().filter(|(_, value)| *value == text);
            holding.map(|(label, _)| label.clone()).collect::<BTreeSet<_>>()
        };
        candidate.captures.iter().map(|text| (text.clone(), labels(text))).collect()
    };
    Member { group: group(&candidate.captures), target, sources }
}
