//! Which instances each selector finds, kept up to date by looking only at what changed.
//!
//! ```text
//! Observation --update--> new instances x selectors ---------+--> selectors whose finds changed --> gateways to reconcile
//!                         instances that turned unready      |
//!                         or are gone x their selectors -----+
//! new selector --require--> instances x that selector
//! ```
//!
//! Thousands of selectors and tens of thousands of instances must not meet each with each. Nearly every selector demands some
//! label with a fixed value: it is *anchored* there, and meets only instances that carry the label.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::instance::{Instance, InstanceKind, Observation};
use model::selector::{Candidate, Group, Selector, group};
use routing::config::{TargetAddress, TargetConfig, TargetKind, TargetProtocol};

use super::targets;

/// The finds of all selectors in use.
#[derive(Debug)]
pub struct Matches {
    namespace: String,
    filter: Selector,
    instances: Arc<Vec<Arc<Instance>>>,
    /// True once there was a complete observation.
    complete: bool,
    /// Why the platform cannot be read at the moment.
    problem: Option<String>,
    selectors: HashMap<Arc<str>, Matched>,
    /// Selectors by the label that they are anchored at, key then value.
    anchored: ByLabel<BTreeSet<Arc<str>>>,
    /// Selectors that demand no one label.
    unanchored: BTreeSet<Arc<str>>,
    /// Positions of instances by value, for labels that were asked for since the instances last changed.
    by_label: ByLabel<Vec<usize>>,
    /// Which selectors found an instance. Most changes are of readiness, and need no look at any selector.
    finders: HashMap<Key, BTreeSet<Arc<str>>>,
}

#[derive(Debug)]
struct Matched {
    /// Behind the configured filter.
    selector: Selector,
    anchor: Option<Label>,
    found: BTreeMap<Key, Found>,
}

/// Key and value.
type Label = (Box<str>, Box<str>);

/// Something for each value of each label.
type ByLabel<T> = HashMap<Box<str>, HashMap<Box<str>, T>>;

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
            anchored: HashMap::new(),
            unanchored: BTreeSet::new(),
            by_label: HashMap::new(),
            finders: HashMap::new(),
        }
    }

    /// Takes an observation in and returns the texts of the selectors whose finds are different now.
    pub fn update(&mut self, observation: &Observation) -> BTreeSet<Arc<str>> {
        self.problem.clone_from(&observation.problem);
        if !observation.complete {
            // An incomplete list would look like instances that are gone (R22 rule 7).
            return BTreeSet::new();
        }
        let first = !std::mem::replace(&mut self.complete, true);
        let before = std::mem::replace(&mut self.instances, observation.instances.clone());
        let mut changed: BTreeSet<Arc<str>> =
            if first { self.selectors.keys().cloned().collect() } else { BTreeSet::new() };
        if Arc::ptr_eq(&before, &self.instances) {
            return changed;
        }
        self.by_label.clear();
        let after = self.instances.clone();
        for (key, was, is) in difference(&before, &after) {
            match (was, is) {
                (_, None) => self.forget(&key, &mut changed),
                (Some(was), Some(is)) if same_but_readiness(was, is) => self.refresh(&key, is, &mut changed),
                (_, Some(is)) => self.look_at(&key, is, &mut changed),
            }
        }
        changed
    }

    /// An instance is gone.
    fn forget(&mut self, key: &Key, changed: &mut BTreeSet<Arc<str>>) {
        for text in self.finders.remove(key).unwrap_or_default() {
            if let Some(matched) = self.selectors.get_mut(&text) {
                matched.found.remove(key);
            }
            changed.insert(text);
        }
    }

    /// An instance is more or less ready than it was; the same selectors find it.
    fn refresh(&mut self, key: &Key, instance: &Instance, changed: &mut BTreeSet<Arc<str>>) {
        for text in self.finders.get(key).into_iter().flatten() {
            if let Some(found) = self.selectors.get_mut(text).and_then(|matched| matched.found.get_mut(key)) {
                (found.exists, found.ready) = (instance.exists, ready(instance));
                changed.insert(text.clone());
            }
        }
    }

    /// An instance is new, or not what it was.
    fn look_at(&mut self, key: &Key, instance: &Instance, changed: &mut BTreeSet<Arc<str>>) {
        // Those that found it as it was may not find it any more.
        let mut texts = self.finders.remove(key).unwrap_or_default();
        texts.extend(self.unanchored.iter().cloned());
        for (label, value) in &instance.labels {
            let there = self.anchored.get(label.as_str()).and_then(|values| values.get(value.as_str()));
            texts.extend(there.into_iter().flatten().cloned());
        }
        let mut finders = BTreeSet::new();
        for text in texts {
            let Some(matched) = self.selectors.get_mut(&text) else { continue };
            let found = look(&matched.selector, instance, &self.namespace);
            let different = match found {
                Some(found) => {
                    finders.insert(text.clone());
                    matched.found.insert(key.clone(), found.clone()) != Some(found)
                }
                None => matched.found.remove(key).is_some(),
            };
            if different {
                changed.insert(text);
            }
        }
        if !finders.is_empty() {
            self.finders.insert(key.clone(), finders);
        }
    }

    /// Makes sure that the finds of a selector are known. The first time this looks at instances.
    pub fn require(&mut self, selector: &Selector) {
        if self.selectors.contains_key(selector.text()) {
            return;
        }
        let filtered = selector.within(&self.filter);
        let text: Arc<str> = selector.text().into();
        let mut found = BTreeMap::new();
        let instances = self.instances.clone();
        let mut look_at = |instance: &Instance| {
            if let Some(one) = look(&filtered, instance, &self.namespace) {
                let key = key(instance);
                self.finders.entry(key.clone()).or_default().insert(text.clone());
                found.insert(key, one);
            }
        };
        let required = filtered.required_labels();
        match fewest(&mut self.by_label, &instances, &required) {
            Some(positions) => positions.iter().for_each(|position| look_at(&instances[*position])),
            None => instances.iter().for_each(|instance| look_at(instance)),
        }
        let anchor = self.anchor(&required);
        match &anchor {
            Some((label, value)) => {
                let values = self.anchored.entry(label.clone()).or_default();
                values.entry(value.clone()).or_default().insert(text.clone());
            }
            None => drop(self.unanchored.insert(text.clone())),
        }
        self.selectors.insert(text, Matched { selector: filtered, anchor, found });
    }

    /// The label among those that a selector demands at which the fewest are anchored: one that all of them demand says little.
    fn anchor(&self, required: &[(&str, &str)]) -> Option<Label> {
        let there = |(label, value): &(&str, &str)| {
            self.anchored.get(*label).and_then(|values| values.get(*value)).map_or(0, BTreeSet::len)
        };
        let (label, value) = required.iter().min_by_key(|label| there(label))?;
        Some(((*label).into(), (*value).into()))
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
        self.selectors.retain(|text, matched| {
            let kept = used(text);
            match &matched.anchor {
                _ if kept => {}
                None => drop(self.unanchored.remove(text)),
                Some((label, value)) => {
                    let Some(values) = self.anchored.get_mut(label) else { return false };
                    if let Some(texts) = values.get_mut(value) {
                        texts.remove(text);
                    }
                    values.retain(|_, texts| !texts.is_empty());
                }
            }
            kept
        });
        self.anchored.retain(|_, values| !values.is_empty());
        let selectors = &self.selectors;
        self.finders.retain(|_, finders| {
            finders.retain(|text| selectors.contains_key(text));
            !finders.is_empty()
        });
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

/// The instances that carry one of the labels, the one that the fewest carry; `None` without labels.
fn fewest<'a>(
    by_label: &'a mut ByLabel<Vec<usize>>,
    instances: &[Arc<Instance>],
    labels: &[(&str, &str)],
) -> Option<&'a [usize]> {
    for (label, _) in labels {
        by_label.entry((*label).into()).or_insert_with(|| {
            let mut values: HashMap<Box<str>, Vec<usize>> = HashMap::new();
            for (position, instance) in instances.iter().enumerate() {
                if let Some(value) = instance.labels.get(*label) {
                    values.entry(value.as_str().into()).or_default().push(position);
                }
            }
            values
        });
    }
    let there = |(label, value): &(&str, &str)| {
        by_label.get(*label).and_then(|values| values.get(*value)).map_or(&[][..], Vec::as_slice)
    };
    labels.iter().map(there).min_by_key(|positions| positions.len())
}

fn key(instance: &Instance) -> Key {
    Arc::new((instance.namespace.clone(), instance.name.clone(), instance.kind))
}

/// Instances that are not in both lists in the same way, as they were and as they are.
fn difference<'a>(
    before: &'a [Arc<Instance>],
    after: &'a [Arc<Instance>],
) -> Vec<(Key, Option<&'a Instance>, Option<&'a Instance>)> {
    let identity = |i: &'a Instance| (i.kind, i.namespace.as_str(), i.name.as_str());
    // Most lists differ in one place: what is the same at both ends needs no look-up.
    let head = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[head..], &after[head..]);
    let tail = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[..before.len() - tail], &after[..after.len() - tail]);
    let mut old: HashMap<_, &Arc<Instance>> = before.iter().map(|i| (identity(i), i)).collect();
    let mut changes = Vec::new();
    for is in after {
        let was = old.remove(&identity(is));
        if was != Some(is) {
            changes.push((key(is), was.map(|was| &**was), Some(&**is)));
        }
    }
    changes.extend(old.into_values().map(|was| (key(was), Some(&**was), None)));
    changes
}

fn same_but_readiness(was: &Instance, is: &Instance) -> bool {
    let Instance { kind, namespace, name, labels, ip, ready: _, exists: _, containers } = was;
    (kind, namespace, name, labels, ip, containers)
        == (&is.kind, &is.namespace, &is.name, &is.labels, &is.ip, &is.containers)
}

/// R41: ready and not being deleted.
fn ready(instance: &Instance) -> bool {
    instance.ready && instance.exists
}

/// What a selector finds of one instance.
fn look(selector: &Selector, instance: &Instance, namespace: &str) -> Option<Found> {
    let candidates = selector.candidates(instance, namespace);
    if candidates.is_empty() {
        let portless =
            instance.containers.iter().any(|container| container.ports.iter().all(|port| !port.tcp));
        if !portless || !selector.portless_matches(instance, namespace) {
            return None;
        }
    }
    let members = candidates.into_iter().map(|candidate| member(candidate, instance)).collect();
    Some(Found { exists: instance.exists, ready: ready(instance), members })
}

fn member(candidate: Candidate, instance: &Instance) -> Member {
    let target = candidate.address.map(|address| TargetConfig {
        id: targets::id(&address.to_string(), &instance.name),
        name: instance.name.clone(),
        address: TargetAddress::Socket(address),
        kind: TargetKind::Instance,
        protocol: TargetProtocol::of_hint(candidate.app_protocol.as_deref()),
        tls: None,
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

#[cfg(test)]
#[path = "matches_tests.rs"]
mod tests;
