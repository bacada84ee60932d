//! The engine without any waiting: state in memory, what of it is stored, timers, and what readers are shown.
//!
//! Every change goes through the same three steps, with the store's answer in between. The simulation takes them one by one.
//!
//! ```text
//! prepare(request) / prepare_automatic()  ->  Prepared { plan, commit }
//!                        store.commit(commit)
//! apply(prepared, revision)               |  postpone(prepared), when the store failed
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use model::event::Event;
use model::instance::Observation;
use model::name::{GatewayName, RoutePath};
use routing::config::RoutingConfig;
use store::Commit;

use super::records;
use crate::plan::accept::Done;
use crate::plan::matches::Matches;
use crate::plan::{self, Plan, Rules, reconcile, show};
use crate::request::{Outcome, Refusal, Request};
use crate::state::{Gateway, GatewayState, Sighting, State, StoredMirror};
use crate::view::{Counts, Entry, StoredArtifact};

pub(crate) struct Core {
    rules: Rules,
    /// What the store has.
    stored: State,
    /// What follows from the observation and is not kept yet because the store failed. Traffic follows it all the same.
    ahead: BTreeMap<GatewayName, Ahead>,
    matches: Matches,
    /// Which gateways use a selector.
    users: HashMap<String, BTreeSet<GatewayName>>,
    /// Gateways that a changed observation concerns.
    due: BTreeSet<GatewayName>,
    wake: BTreeMap<GatewayName, Timestamp>,
    counts: BTreeMap<GatewayName, BTreeMap<RoutePath, Counts>>,
    shown: Shown,
}

/// The parts of a gateway that change without anybody asking.
#[derive(Debug, Clone)]
struct Ahead {
    live: Arc<GatewayState>,
    sighted: Arc<Sighting>,
}

impl Ahead {
    fn of(gateway: &Gateway) -> Self {
        Self { live: gateway.live.clone(), sighted: gateway.sighted.clone() }
    }

    fn over(&self, gateway: &mut Gateway) {
        gateway.live = self.live.clone();
        gateway.sighted = self.sighted.clone();
    }
}

/// What readers and proxies are shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    pub(crate) gateways: Arc<BTreeMap<GatewayName, Arc<Entry>>>,
    pub(crate) artifacts: Arc<BTreeMap<(model::artifact::ArtifactKind, String), Arc<StoredArtifact>>>,
    pub(crate) mirrors: Arc<BTreeMap<GatewayName, Arc<StoredMirror>>>,
    pub(crate) config: Arc<RoutingConfig>,
}

/// A plan that waits for the store.
#[derive(Debug)]
pub(crate) struct Prepared {
    plan: Plan,
    pub(crate) commit: Commit,
}

/// Gateways in one automatic commit. A whole environment at once would make a commit of many megabytes of events, and users
/// would wait behind it.
const GATEWAYS_AT_ONCE: usize = 64;

/// Selectors of refused and tried changes that are kept before they are looked for.
const UNUSED_SELECTORS: usize = 64;

impl Core {
    pub(crate) fn new(rules: Rules, stored: State) -> Self {
        let matches = Matches::new(rules.gateway_filter.clone(), rules.namespace.clone());
        let mut core = Self {
            rules,
            stored: State::default(),
            ahead: BTreeMap::new(),
            matches,
            users: HashMap::new(),
            due: BTreeSet::new(),
            wake: BTreeMap::new(),
            counts: BTreeMap::new(),
            shown: Shown::default(),
        };
        core.reload(stored);
        core
    }

    /// Takes over what the store has now; everything is looked at again.
    pub(crate) fn reload(&mut self, stored: State) {
        let names = |state: &State| state.gateways.keys().cloned().collect::<BTreeSet<_>>();
        let all: BTreeSet<_> = names(&self.stored).union(&names(&stored)).cloned().collect();
        self.index(&all, &stored);
        self.stored = stored;
        self.ahead.clear();
        self.wake.clear();
        self.due.clone_from(&all);
        self.shown.artifacts = Arc::new(self.stored.artifacts.clone());
        self.shown.mirrors = Arc::new(self.stored.mirrors.clone());
        self.show(&all);
    }

    pub(crate) fn revision(&self) -> u64 {
        self.stored.revision
    }

    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Takes an observation in. What follows from it comes with [`Core::prepare_automatic`].
    pub(crate) fn observe(&mut self, observation: &Observation) {
        let was_frozen = self.matches.frozen();
        for text in self.matches.update(observation) {
            self.due.extend(self.users.get(&*text).into_iter().flatten().cloned());
        }
        if was_frozen && !self.matches.frozen() {
            // Retentions may have ended while nothing could be removed.
            let waiting = |gateway: &Gateway| show::absent(gateway).contains(&true);
            let current = current(&self.stored, &self.ahead);
            let waiting = current.gateways.iter().filter(|(_, gateway)| waiting(gateway));
            self.due.extend(waiting.map(|(name, _)| name.clone()));
        }
    }

    /// When something is to be done although nothing happens. Past times mean now.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        self.wake.values().min().copied()
    }

    /// True when gateways wait to be looked at.
    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// What was postponed is tried again with the next [`Core::prepare_automatic`].
    pub(crate) fn retry(&mut self) {
        self.due.extend(self.ahead.keys().cloned());
    }

    /// Plans a change that somebody asked for. With `dry_run` the answer is final: nothing is to be applied.
    pub(crate) fn prepare(&mut self, request: &Request, now: Timestamp) -> Result<Prepared, Refusal> {
        let current = current(&self.stored, &self.ahead);
        let planned = plan::change(&self.stored, &current, &mut self.matches, &self.rules, request, now);
        if planned.is_err() || request.dry_run {
            self.forget_unused_selectors();
        }
        let plan = planned?;
        let commit = records::commit(&self.stored, &plan);
        Ok(Prepared { plan, commit })
    }

    /// Plans what follows from the observation and the time, for a bounded number of gateways; `None` when there is nothing
    /// left to look at.
    pub(crate) fn prepare_automatic(&mut self, now: Timestamp) -> Option<Prepared> {
        self.due.extend(self.wake.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()));
        let mut due = std::mem::take(&mut self.due);
        if let Some(next) = due.iter().nth(GATEWAYS_AT_ONCE).cloned() {
            self.due = due.split_off(&next);
        }
        if due.is_empty() {
            return None;
        }
        let current = current(&self.stored, &self.ahead);
        let plan = plan::automatic(&self.stored, &current, &mut self.matches, &self.rules, due, now);
        let commit = records::commit(&self.stored, &plan);
        Some(Prepared { plan, commit })
    }

    /// The change is kept: `revision` is what the store answered. True when proxies have something new to serve.
    pub(crate) fn apply(&mut self, prepared: &mut Prepared, revision: u64) -> bool {
        let plan = &mut prepared.plan;
        let new_revision = prepared.commit.changes_records();
        if new_revision {
            records::committed(&self.stored, plan, revision);
        }
        for name in &plan.gateways {
            self.ahead.remove(name);
            self.due.remove(name);
        }
        self.index(&plan.gateways, &plan.state);
        if new_revision {
            // Gateways that are ahead and not part of this commit stay as the store has them.
            for name in self.ahead.keys() {
                if let (Some(gateway), Some(stored)) =
                    (plan.state.gateways.get_mut(name), self.stored.gateways.get(name))
                {
                    Ahead::of(stored).over(gateway);
                }
            }
            self.stored = std::mem::take(&mut plan.state);
        }
        if !plan.artifacts.is_empty() {
            self.shown.artifacts = Arc::new(self.stored.artifacts.clone());
        }
        if !plan.mirrors.is_empty() {
            self.shown.mirrors = Arc::new(self.stored.mirrors.clone());
        }
        self.see(plan);
        self.forget_unused_selectors();
        self.show(&plan.gateways) || new_revision
    }

    /// The store failed. The plan is in force all the same, so that no traffic goes where nobody is and new instances are
    /// used; it is kept, and its events told, when the store works again. True when proxies have something new to serve.
    pub(crate) fn postpone(&mut self, prepared: &Prepared) -> bool {
        let plan = &prepared.plan;
        for name in &plan.gateways {
            if let Some(gateway) = plan.state.gateways.get(name) {
                self.ahead.insert(name.clone(), Ahead::of(gateway));
            }
        }
        self.see(plan);
        self.show(&plan.gateways)
    }

    #[cfg(test)]
    pub(crate) fn selectors_kept(&self) -> usize {
        self.matches.len()
    }

    /// What the caller of a change is told. `events`: those that the store made of the commit's.
    pub(crate) fn outcomes(&self, prepared: &Prepared, dry_run: bool, events: &[Event]) -> Vec<Outcome> {
        let plan = &prepared.plan;
        let state = if dry_run { &plan.state } else { &self.stored };
        let outcome = |done: &Done| match done {
            Done::Gateway(name) => match state.gateways.get(name) {
                Some(gateway) => Outcome::Gateway(show::view(name, gateway, &self.rules), gateway.version()),
                // Written and deleted in one request.
                None => Outcome::Deleted(true),
            },
            Done::Artifact(kind, name) => match state.artifacts.get(&(*kind, name.clone())) {
                Some(stored) => Outcome::Artifact(stored.artifact.clone(), stored.version),
                None => Outcome::Deleted(true),
            },
            Done::Deleted(existed) => Outcome::Deleted(*existed),
            Done::Events(count) => Outcome::Events(events.iter().take(*count).cloned().collect()),
        };
        plan.done.iter().map(outcome).collect()
    }

    /// Keeps track of which gateway uses which selector. `after`: the state to come.
    fn index(&mut self, names: &BTreeSet<GatewayName>, after: &State) {
        for name in names {
            for selector in self.stored.gateways.get(name).into_iter().flat_map(reconcile::selectors) {
                if let Some(users) = self.users.get_mut(selector.text()) {
                    users.remove(name);
                    if users.is_empty() {
                        self.users.remove(selector.text());
                    }
                }
            }
            for selector in after.gateways.get(name).into_iter().flat_map(reconcile::selectors) {
                self.users.entry(selector.text().to_owned()).or_default().insert(name.clone());
            }
        }
    }

    fn forget_unused_selectors(&mut self) {
        if self.matches.len() > self.users.len() + UNUSED_SELECTORS {
            self.matches.retain(|text| self.users.contains_key(text));
        }
    }

    fn see(&mut self, plan: &Plan) {
        for name in &plan.gateways {
            match plan.seen.get(name) {
                Some(seen) => {
                    self.counts.insert(name.clone(), seen.counts.clone());
                    match seen.wake_at {
                        Some(at) => self.wake.insert(name.clone(), at),
                        None => self.wake.remove(name),
                    };
                }
                None => {
                    self.counts.remove(name);
                    self.wake.remove(name);
                }
            }
        }
    }

    /// Brings what is shown of these gateways up to date. True when the configuration for proxies is different.
    fn show(&mut self, names: &BTreeSet<GatewayName>) -> bool {
        let mut entries = BTreeMap::new();
        let mut configs = BTreeMap::new();
        for name in names {
            let mut gateway = self.stored.gateways.get(name).cloned();
            if let (Some(gateway), Some(ahead)) = (&mut gateway, self.ahead.get(name)) {
                ahead.over(gateway);
            }
            let entry = gateway.as_ref().map(|gateway| self.entry(name, gateway));
            if entry.as_ref() != self.shown.gateways.get(name).map(|entry| &**entry) {
                entries.insert(name, entry.map(Arc::new));
            }
            // The same `Arc` as before tells proxies that nothing changed.
            let config = gateway.as_ref().map(|gateway| show::config(name, gateway));
            if config.as_ref() != self.shown.config.gateways.get(name).map(|config| &**config) {
                configs.insert(name, config.map(Arc::new));
            }
        }
        if !entries.is_empty() {
            replace(Arc::make_mut(&mut self.shown.gateways), entries);
        }
        let different = !configs.is_empty();
        if different || self.shown.config.revision != self.stored.revision {
            let config = Arc::make_mut(&mut self.shown.config);
            replace(&mut config.gateways, configs);
            config.revision = self.stored.revision;
        }
        different
    }

    fn entry(&self, name: &GatewayName, gateway: &Gateway) -> Entry {
        let counts = self.counts.get(name);
        let count = |path| counts.and_then(|counts| counts.get(path)).copied().unwrap_or_default();
        Entry {
            version: gateway.version(),
            view: show::view(name, gateway, &self.rules),
            declared: gateway.declared.clone(),
            effective: show::effective(gateway),
            absent: show::absent(gateway),
            instances: gateway.live.routes.iter().map(|route| count(&route.path)).collect(),
            warnings: gateway.sighted.warnings.iter().map(|warning| warning.message()).collect(),
            service: gateway.sighted.service.clone(),
            sticky_generation: gateway.live.sticky_generation,
        }
    }
}

/// The state that is in force: what is stored, and what is ahead of it.
fn current<'a>(stored: &'a State, ahead: &BTreeMap<GatewayName, Ahead>) -> Cow<'a, State> {
    let mut state = Cow::Borrowed(stored);
    for (name, ahead) in ahead {
        if let Some(gateway) = state.to_mut().gateways.get_mut(name) {
            ahead.over(gateway);
        }
    }
    state
}

fn replace<T>(all: &mut BTreeMap<GatewayName, T>, some: BTreeMap<&GatewayName, Option<T>>) {
    for (name, value) in some {
        match value {
            Some(value) => all.insert(name.clone(), value),
            None => all.remove(name),
        };
    }
}
