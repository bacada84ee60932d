//! What the platform shows, applied to one gateway (spec: gateways 9.3, R22; 17; 18.3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use model::name::{GatewayName, RoutePath};
use model::percent::Percent;
use model::selector::{Selector, natural_order};
use routing::config::TargetConfig;
use serde_json::{Map, Value};

use super::matches::{Found, Key, Matches};
use super::{Rules, targets, weights};
use crate::state::{
    Absence, Gateway, GatewayState, LiveRoute, Origin, RouteSighting, Sighting, State, Warning, WarningKind,
};
use crate::view::Counts;

/// One gateway after a look at the platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconciled {
    /// The gateway; unchanged parts are the same `Arc`s.
    pub gateway: Gateway,
    /// Instances behind the routes.
    pub counts: BTreeMap<RoutePath, Counts>,
    /// When to look again although nothing may have changed: the end of a retention.
    pub wake_at: Option<Timestamp>,
}

/// Applies what `matches` show to a gateway. Its selectors must be known there ([`selectors`]).
pub fn reconcile(
    name: &GatewayName,
    gateway: &Gateway,
    state: &State,
    matches: &Matches,
    rules: &Rules,
    now: Timestamp,
) -> Reconciled {
    debug_assert!(state.gateways.contains_key(name), "a gateway of this state");
    let mut work = Work {
        live: GatewayState::clone(&gateway.live),
        sighted: Sighting::default(),
        warnings: BTreeSet::new(),
        counts: BTreeMap::new(),
        wake_at: None,
    };
    match &gateway.declared.selector {
        Some(selector) => match matches.found(selector) {
            Some(found) => work.automatic(found, &gateway.sighted, matches.frozen(), rules, now),
            None => work.unknown(gateway),
        },
        None => work.explicit(gateway, state, matches, rules),
    }
    let Work { live, mut sighted, mut warnings, counts, wake_at } = work;
    sighted.service = gateway.sighted.service.clone();
    let blocked = Warning { kind: WarningKind::ForeignService, route: None };
    if sighted.service.blocked {
        warnings.insert(blocked);
    } else {
        warnings.remove(&blocked);
    }
    sighted.warnings = warnings.into_iter().collect();
    let mut gateway = gateway.clone();
    replace(&mut gateway.live, live);
    replace(&mut gateway.sighted, sighted);
    Reconciled { gateway, counts, wake_at }
}

/// Every selector that a gateway is planned with. Route selectors play no role next to a gateway selector (9.4).
pub fn selectors(gateway: &Gateway) -> impl Iterator<Item = &Selector> {
    let declared = &gateway.declared;
    let routes = declared.routes.iter().filter_map(|(_, route)| route.selector.as_ref());
    declared.selector.iter().chain(routes.filter(|_| declared.selector.is_none()))
}

/// Equal values keep their `Arc`: whether anything changed is seen by comparing pointers.
fn replace<T: PartialEq>(old: &mut Arc<T>, new: T) {
    if **old != new {
        *old = Arc::new(new);
    }
}

struct Work {
    live: GatewayState,
    sighted: Sighting,
    warnings: BTreeSet<Warning>,
    counts: BTreeMap<RoutePath, Counts>,
    wake_at: Option<Timestamp>,
}

/// A group of candidates.
#[derive(Default)]
struct Group<'a> {
    title: &'a str,
    targets: Vec<TargetConfig>,
    counts: Counts,
    several_targets: bool,
    merged: bool,
    /// Of the members so far, to notice merged groups.
    sources: Option<&'a BTreeMap<String, BTreeSet<String>>>,
}

impl Work {
    /// The platform was never completely read: keep what is known (R22 rule 7).
    fn unknown(&mut self, gateway: &Gateway) {
        self.sighted = Sighting::clone(&gateway.sighted);
        self.warnings.extend(gateway.sighted.warnings.iter().cloned());
        let known: BTreeSet<&RoutePath> = self.live.routes.iter().map(|route| &route.path).collect();
        self.sighted.routes.retain(|path, _| known.contains(path));
        let count = |route: &LiveRoute| (route.path.clone(), counted(self.sighted.targets(&route.path)));
        self.counts = self.live.routes.iter().map(count).collect();
    }

    /// A gateway with a selector: each group is a route.
    fn automatic(
        &mut self,
        found: &BTreeMap<Key, Found>,
        before: &Sighting,
        frozen: bool,
        rules: &Rules,
        now: Timestamp,
    ) {
        let mut groups = self.groups(found);
        self.add_fresh(&groups);
        self.complete_metadata(&groups);
        // Rule 3: which routes wait for their group. While no group at all is there, their time does not run (rule 6).
        let gone = |path: &RoutePath| groups.get(path).is_none_or(|group| group.counts.existing == 0);
        let absent: Vec<bool> = self.live.routes.iter().map(|route| gone(&route.path)).collect();
        let any_present = absent.contains(&false);
        let retention = SignedDuration::try_from(rules.route_retention).unwrap_or(SignedDuration::MAX);
        let mut removed = vec![false; absent.len()];
        for (index, route) in self.live.routes.iter().enumerate().filter(|(index, _)| absent[*index]) {
            let earlier = before.routes.get(&route.path).and_then(|route| route.absent?.since);
            let since = any_present.then(|| earlier.unwrap_or(now));
            let end = since.map(|since| since.checked_add(retention).unwrap_or(Timestamp::MAX));
            // Rule 7: nothing is removed while the platform cannot be read.
            match end.filter(|_| !frozen) {
                Some(end) if end <= now => removed[index] = true,
                end => self.wake_at = self.wake_at.into_iter().chain(end).min(),
            }
            let sighting = RouteSighting { targets: Vec::new(), absent: Some(Absence { since }) };
            self.sighted.routes.insert(route.path.clone(), sighting);
        }
        self.remove(&removed, &absent);
        for route in &self.live.routes {
            let path = &route.path;
            let group = groups.remove(path).unwrap_or_default();
            let warn = |kind| Warning { kind, route: Some(path.clone()) };
            self.warnings.extend(group.several_targets.then(|| warn(WarningKind::SeveralTargets)));
            self.warnings.extend(group.merged.then(|| warn(WarningKind::MergedGroups)));
            self.counts.insert(path.clone(), group.counts);
            self.sighted.routes.entry(path.clone()).or_default().targets = group.targets;
        }
    }

    fn groups<'a>(&mut self, found: &'a BTreeMap<Key, Found>) -> BTreeMap<RoutePath, Group<'a>> {
        let mut groups: BTreeMap<RoutePath, Group<'a>> = BTreeMap::new();
        for found in found.values() {
            if found.exists && found.members.is_empty() {
                self.warnings.insert(Warning { kind: WarningKind::NoPort, route: None });
            }
            let mut touched: BTreeMap<&RoutePath, usize> = BTreeMap::new();
            for member in &found.members {
                if !groups.contains_key(&member.group.path) {
                    groups.insert(member.group.path.clone(), Group::default());
                }
                let group = groups.get_mut(&member.group.path).expect("inserted above");
                group.title = &member.group.title;
                group.targets.extend(member.target.iter().filter(|_| found.ready).cloned());
                if found.exists {
                    *touched.entry(&member.group.path).or_default() += 1;
                    group.merged |= group.sources.is_some_and(|sources| disjoint(sources, &member.sources));
                    group.sources.get_or_insert(&member.sources);
                }
            }
            for (path, members) in touched {
                let group = groups.get_mut(path).expect("touched above");
                group.counts.existing += 1;
                group.counts.ready += usize::from(found.ready);
                group.several_targets |= members > 1;
            }
        }
        groups
    }

    /// Rules 1 and 2: a group becomes a route once it has a ready target, in natural order, at 0 % unless there is no other.
    fn add_fresh(&mut self, groups: &BTreeMap<RoutePath, Group<'_>>) {
        let known: BTreeSet<&RoutePath> = self.live.routes.iter().map(|route| &route.path).collect();
        let mut fresh: Vec<_> = groups
            .iter()
            .filter(|(path, group)| !group.targets.is_empty() && !known.contains(path))
            .collect();
        fresh.sort_by(|(_, a), (_, b)| natural_order(a.title, b.title));
        let mut weight = if self.live.routes.is_empty() { Percent::FULL } else { Percent::ZERO };
        for (path, _) in fresh {
            self.live.routes.push(LiveRoute {
                path: path.clone(),
                weight,
                condition: None,
                strength: Percent::ZERO,
                balance: Default::default(),
                rewrites: Vec::new(),
                metadata: Map::new(),
                origin: Origin::Discovered,
            });
            weight = Percent::ZERO;
        }
    }

    /// Discovered routes say which group they are, in words that people can read (R21).
    fn complete_metadata(&mut self, groups: &BTreeMap<RoutePath, Group<'_>>) {
        for route in &mut self.live.routes {
            let Some(group) = groups.get(&route.path) else { continue };
            for key in ["groups", "title"] {
                if !route.metadata.contains_key(key) {
                    route.metadata.insert(key.to_owned(), Value::from(group.title));
                }
            }
        }
    }

    /// Rule 5.
    fn remove(&mut self, removed: &[bool], absent: &[bool]) {
        if !removed.contains(&true) {
            return;
        }
        let configured: Vec<Percent> = self.live.routes.iter().map(|route| route.weight).collect();
        let weights = weights::after_removal(&configured, removed, absent);
        for ((route, weight), removed) in
            std::mem::take(&mut self.live.routes).into_iter().zip(weights).zip(removed)
        {
            if *removed {
                self.sighted.routes.remove(&route.path);
            } else {
                self.live.routes.push(LiveRoute { weight, ..route });
            }
        }
    }

    /// A gateway without a selector: routes are as declared, only their targets come and go.
    fn explicit(&mut self, gateway: &Gateway, state: &State, matches: &Matches, rules: &Rules) {
        let declared: BTreeMap<_, _> =
            gateway.declared.routes.iter().map(|(path, route)| (path, route)).collect();
        for route in &self.live.routes {
            let selector = declared.get(&route.path).and_then(|declared| declared.selector.as_ref());
            let (targets, counts) = match selector.map(|selector| matches.found(selector)) {
                None => {
                    let targets: Vec<_> = targets::explicit(&route.path, state, rules).into_iter().collect();
                    let counts = counted(&targets);
                    (targets, counts)
                }
                Some(None) => {
                    let targets = gateway.sighted.targets(&route.path).to_vec();
                    let counts = counted(&targets);
                    (targets, counts)
                }
                Some(Some(found)) => selected(&route.path, found, &mut self.warnings),
            };
            self.counts.insert(route.path.clone(), counts);
            self.sighted.routes.insert(route.path.clone(), RouteSighting { targets, absent: None });
        }
    }
}

/// Where there are only targets to count.
fn counted(targets: &[TargetConfig]) -> Counts {
    Counts { ready: targets.len(), existing: targets.len() }
}

/// Everything that a route selector finds, without grouping.
fn selected(
    path: &RoutePath,
    found: &BTreeMap<Key, Found>,
    warnings: &mut BTreeSet<Warning>,
) -> (Vec<TargetConfig>, Counts) {
    let (mut targets, mut counts) = (Vec::new(), Counts::default());
    for found in found.values() {
        let mut warn = |kind| warnings.insert(Warning { kind, route: Some(path.clone()) });
        match (found.exists, found.members.len()) {
            (false, _) | (true, 1) => {}
            (true, 0) => drop(warn(WarningKind::NoPort)),
            (true, _) => drop(warn(WarningKind::SeveralTargets)),
        }
        counts.existing += usize::from(found.exists && !found.members.is_empty());
        counts.ready += usize::from(found.ready && !found.members.is_empty());
        targets
            .extend(found.members.iter().filter(|_| found.ready).filter_map(|member| member.target.clone()));
    }
    (targets, counts)
}

/// True when some captured text comes from entirely different labels here and there.
fn disjoint(a: &BTreeMap<String, BTreeSet<String>>, b: &BTreeMap<String, BTreeSet<String>>) -> bool {
    a.iter().any(|(text, labels)| {
        let others = b.get(text);
        others.is_some_and(|others| !labels.is_empty() && !others.is_empty() && labels.is_disjoint(others))
    })
}
