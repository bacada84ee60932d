//! Health of targets (spec: gateways 13, R32): a second opinion beside the platform's readiness, and the only one for
//! external addresses.
//!
//! ```text
//! requests  --connect failed / worked, answer good / bad-->  Health  <--checks, time--  maintenance (every 2 s)
//!                                                              |   (what it means: outlier)
//!                                                    TargetState.portion   (read by every decision)
//! ```
//!
//! External targets are checked all the time: three failures in a row take one down, two successes bring it back. Other
//! targets are taken down by failing requests only, never the last one of a route, and then checked until they are back. What
//! answers, but badly, is ejected for a while ([`crate::outlier`]).

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::gateway::TargetCare;
use model::name::{GatewayName, RoutePath};
use routing::config::TargetKind;
use routing::decide::Chosen;
use routing::table::{Target, TargetState};

use crate::budget::RetryBudget;
use crate::care::CareRules;
use crate::descriptors::Descriptors;
use crate::dial::{dial, is_own_fault};
use crate::outlier::{self, OutlierRules, Peer, Sample, Standing, Turn};
use crate::slots::Slots;
use crate::table::{Served, ServedRoute, Table};

/// Incidents kept until somebody asks for them.
const MOST_INCIDENTS: usize = 256;

/// How a target stands with the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetCondition {
    /// It takes all that falls to it.
    Up,
    /// It takes a portion, and more of it as time goes.
    Starting,
    /// It answers badly and is left out for a while.
    Ejected,
    /// It accepts no connections.
    Down,
}

impl TargetCondition {
    /// The word in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Starting => "starting",
            Self::Ejected => "ejected",
            Self::Down => "down",
        }
    }
}

/// Something that somebody should hear of: a target was ejected, or is trusted again. Flaps in between are not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Gateway.
    pub gateway: GatewayName,
    /// Route.
    pub route: RoutePath,
    /// Stable id of the target.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// True: it was ejected; false: it is trusted again.
    pub ejected: bool,
}

/// What all targets share.
#[derive(Debug)]
pub(crate) struct Care {
    /// For gateways that say nothing else.
    rules: Arc<CareRules>,
    started: Instant,
    /// Held while targets are ejected, taken down or brought back, so that two at a time cannot take the last two of a route. Requests
    /// that go well never come here.
    gate: Mutex<()>,
    incidents: Mutex<VecDeque<Incident>>,
}

impl Care {
    pub(crate) fn new(rules: CareRules) -> Arc<Self> {
        let rules = Arc::new(rules);
        Arc::new(Self { rules, started: Instant::now(), gate: Mutex::new(()), incidents: Mutex::default() })
    }

    /// Time since the start, which is what all of this counts in.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// What happened since the last call, oldest first.
    pub(crate) fn incidents(&self) -> Vec<Incident> {
        lock(&self.incidents).drain(..).collect()
    }

    fn note(&self, served: &Served, chosen: Chosen, turn: Turn) {
        let target = &served.compiled(chosen).config;
        let (gateway, route) =
            (&served.gateway.config.name, &served.gateway.config.routes[chosen.route].path);
        match turn {
            Turn::Ejected | Turn::EjectedAgain => tracing::warn!(
                %gateway, %route, target = target.name,
                "a target fails where others do not, and is left out for a while"
            ),
            Turn::Back => tracing::info!(%gateway, %route, target = target.name, "a target is let in again"),
            Turn::Calm => {}
        }
        if !matches!(turn, Turn::Ejected | Turn::Calm) {
            return;
        }
        let mut incidents = lock(&self.incidents);
        if incidents.len() == MOST_INCIDENTS {
            incidents.pop_front();
        }
        incidents.push_back(Incident {
            gateway: gateway.clone(),
            route: route.clone(),
            id: target.id.clone(),
            name: target.name.clone(),
            ejected: turn == Turn::Ejected,
        });
    }
}

/// What is known about one target; lives as long as its [`TargetState`].
#[derive(Debug)]
pub(crate) struct Health {
    state: Arc<TargetState>,
    care: Arc<Care>,
    standing: Mutex<Standing>,
    /// Some connect failed since the last that worked.
    troubled: AtomicBool,
    /// Requests that failed in a row.
    failing: AtomicU32,
    /// Requests of the current window, and those that failed.
    requests: AtomicU32,
    failures: AtomicU32,
    /// A check is under way.
    checking: AtomicBool,
    /// There was at least one check.
    known: AtomicBool,
    /// Room for its requests.
    pub(crate) slots: Slots,
}

impl Health {
    fn new(state: Arc<TargetState>, care: Arc<Care>, standing: Standing, rules: &CareRules) -> Self {
        let health = Self {
            state,
            care,
            standing: Mutex::new(standing),
            troubled: AtomicBool::new(false),
            failing: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            checking: AtomicBool::new(false),
            known: AtomicBool::new(false),
            slots: Slots::new(rules.requests, rules.pending),
        };
        health.publish(&health.standing(), &rules.outliers);
        health
    }

    /// A connection for a request could be made.
    pub(crate) fn connected(&self) {
        if self.troubled.load(Relaxed) {
            self.troubled.store(false, Relaxed);
            self.standing().connected();
        }
    }

    /// How it stands, and how often it was ever ejected.
    pub(crate) fn condition(&self) -> (TargetCondition, u64) {
        let standing = self.standing();
        let condition = match (standing.is_down(), standing.is_ejected()) {
            (true, _) => TargetCondition::Down,
            (_, true) => TargetCondition::Ejected,
            _ if self.state.portion() < TargetState::FULL => TargetCondition::Starting,
            _ => TargetCondition::Up,
        };
        (condition, standing.ejections())
    }

    /// The result of a connect check.
    fn checked(&self, works: bool, rules: &OutlierRules) {
        let _gate = lock(&self.care.gate);
        let mut standing = self.standing();
        standing.checked(works, self.care.now());
        self.troubled.store(!works, Relaxed);
        self.publish(&standing, rules);
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        lock(&self.standing)
    }

    fn publish(&self, standing: &Standing, rules: &OutlierRules) {
        self.state.set_portion(standing.portion(self.care.now(), rules));
    }

    fn is_failing(&self, rules: &OutlierRules) -> bool {
        outlier::is_failing(self.failing.load(Relaxed), rules)
    }
}

impl Served {
    /// A connection for a request could not be made. The last target of a route that is up stays up: a refused request
    /// now and then says more than "no target" for all.
    pub(crate) fn refused(&self, chosen: Chosen) {
        let route = &self.routes[chosen.route];
        let health = &route.targets[chosen.target].health;
        let others = || {
            let others = route.targets.iter().enumerate().filter(|(index, _)| *index != chosen.target);
            others.into_iter().any(|(_, target)| !target.health.state.is_down())
        };
        health.troubled.store(true, Relaxed);
        let enough = health.standing().refused();
        if enough && others() {
            let _gate = lock(&health.care.gate);
            if others() {
                let mut standing = health.standing();
                standing.take_down();
                health.publish(&standing, &self.rules.outliers);
            }
        }
    }

    /// A target answered, or failed to.
    pub(crate) fn answered(&self, chosen: Chosen, good: bool) {
        let route = &self.routes[chosen.route];
        let health = &route.targets[chosen.target].health;
        health.requests.fetch_add(1, Relaxed);
        if good {
            if health.failing.load(Relaxed) != 0 {
                health.failing.store(0, Relaxed);
            }
            return;
        }
        health.failures.fetch_add(1, Relaxed);
        let failing = health.failing.fetch_add(1, Relaxed).saturating_add(1);
        let rules = &self.rules.outliers;
        // Not at every further failure: a route whose targets all fail would come here with every request.
        if rules.failures > 0 && failing.is_multiple_of(rules.failures) {
            self.consider(chosen);
        }
    }

    /// Ejects a target, if that is allowed. If somebody else is at it, the next failures will do.
    #[cold]
    fn consider(&self, chosen: Chosen) {
        let route = &self.routes[chosen.route];
        let health = &route.targets[chosen.target].health;
        if let Ok(_gate) = health.care.gate.try_lock() {
            self.eject(chosen);
        }
    }

    /// Ejects a target, if that is allowed. The caller holds the gate.
    fn eject(&self, chosen: Chosen) {
        let route = &self.routes[chosen.route];
        let health = &route.targets[chosen.target].health;
        let rules = &self.rules.outliers;
        if outlier::may_eject(&route.peers(rules), chosen.target, rules) {
            let turn = {
                let mut standing = health.standing();
                let turn = standing.eject(health.care.now(), rules);
                health.publish(&standing, rules);
                turn
            };
            // What is under way there does not count against it once it is back.
            health.failing.store(0, Relaxed);
            health.care.note(self, chosen, turn);
        }
    }

    /// Time passes, or targets went: ejections end, slow starts go on. With `compare`, a window is over.
    fn settle(&self, care: &Care, compare: bool) {
        let (now, rules) = (care.now(), &self.rules.outliers);
        for (index, route) in self.routes.iter().enumerate() {
            let chosen = |target| Chosen { route: index, target };
            for (target, turn) in route.pass(now, rules) {
                care.note(self, chosen(target), turn);
            }
            if compare && let Some(target) = route.outlier() {
                self.eject(chosen(target));
            }
            for target in &route.targets {
                target.health.publish(&target.health.standing(), rules);
            }
        }
    }
}

impl ServedRoute {
    fn peers(&self, rules: &OutlierRules) -> Vec<Peer> {
        let peer = |health: &Health| Peer { held: health.state.is_down(), failing: health.is_failing(rules) };
        self.targets.iter().map(|target| peer(&target.health)).collect()
    }

    /// Lets time pass, and answers what became of whom.
    fn pass(&self, now: Duration, rules: &OutlierRules) -> Vec<(usize, Turn)> {
        let mut turns = Vec::new();
        let mut standings = Vec::with_capacity(self.targets.len());
        for (index, target) in self.targets.iter().enumerate() {
            let mut standing = target.health.standing();
            turns.extend(standing.pass(now, rules).map(|turn| (index, turn)));
            standings.push(standing.clone());
        }
        for index in outlier::to_release(&standings, rules) {
            let turn = self.targets[index].health.standing().release(now);
            turns.extend(turn.map(|turn| (index, turn)));
        }
        turns
    }

    /// Ends the window, and answers who stood out in it.
    fn outlier(&self) -> Option<usize> {
        let sample = |health: &Health| Sample {
            requests: health.requests.swap(0, Relaxed),
            failures: health.failures.swap(0, Relaxed),
        };
        let samples: Vec<Sample> = self.targets.iter().map(|target| sample(&target.health)).collect();
        outlier::outlier(&samples)
    }
}

/// The health of every target that some table still holds, and the retry budgets of the gateways.
#[derive(Debug)]
pub(crate) struct Healths {
    pub(crate) care: Arc<Care>,
    /// By address of the state, which the value itself keeps alive.
    known: HashMap<usize, Arc<Health>>,
    budgets: HashMap<GatewayName, Arc<RetryBudget>>,
    /// Entries that the last pruning left.
    pruned: usize,
}

impl Healths {
    pub(crate) fn new(care: Arc<Care>) -> Self {
        Self { care, known: HashMap::new(), budgets: HashMap::new(), pruned: 0 }
    }

    /// The rules of a gateway that says this about them.
    pub(crate) fn rules(&self, care: Option<&TargetCare>) -> Arc<CareRules> {
        care.map_or_else(|| Arc::clone(&self.care.rules), |care| Arc::new(self.care.rules.with(care)))
    }

    /// The health of each target of a route, which has these limits from now on. One that comes to others starts slowly.
    pub(crate) fn of(&mut self, targets: &[Target], rules: &CareRules) -> Vec<Arc<Health>> {
        let key = |target: &Target| Arc::as_ptr(&target.state).addr();
        let others = targets.iter().any(|target| self.known.contains_key(&key(target)));
        let now = self.care.now();
        targets
            .iter()
            .map(|target| {
                let entry = self.known.entry(key(target));
                let health = entry.or_insert_with(|| {
                    let standing = if others { Standing::fresh(now) } else { Standing::default() };
                    let (state, care) = (Arc::clone(&target.state), Arc::clone(&self.care));
                    Arc::new(Health::new(state, care, standing, rules))
                });
                health.slots.limit(rules.requests, rules.pending);
                Arc::clone(health)
            })
            .collect()
    }

    /// The retry budget of a gateway.
    pub(crate) fn budget(&mut self, gateway: &GatewayName) -> Arc<RetryBudget> {
        Arc::clone(self.budgets.entry(gateway.clone()).or_default())
    }

    /// Forgets what no table uses any more, once that may be half of all: looking at every target is not for every change.
    pub(crate) fn prune(&mut self) {
        const FEW: usize = 64;
        let size = |all: &Self| all.known.len() + all.budgets.len();
        if size(self) > 2 * self.pruned + FEW {
            self.known.retain(|_, health| Arc::strong_count(health) > 1);
            self.budgets.retain(|_, budget| Arc::strong_count(budget) > 1);
            self.pruned = size(self);
        }
    }

    /// Time passes for all targets of a table.
    pub(crate) fn pass(&self, table: &Table, compare: bool) {
        for served in table.all() {
            let _gate = lock(&self.care.gate);
            served.settle(&self.care, compare);
        }
    }

    /// A table is about to come into force: targets that went must not leave a route with none that serves.
    pub(crate) fn admit(&self, table: &Table) {
        for served in table.fresh() {
            let _gate = lock(&self.care.gate);
            served.settle(&self.care, false);
        }
    }
}

/// Which targets to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All that are watched; the regular round.
    Due,
    /// Those of the table's fresh gateways that were never checked: after a change, so that a new address is not trusted for a
    /// whole interval.
    New,
}

/// Starts checks; they run on the caller's local set.
pub(crate) fn check(table: &Table, which: Which, timeout: Duration) {
    match which {
        Which::Due => table.all().for_each(|served| check_all(served, which, timeout)),
        Which::New => table.fresh().for_each(|served| check_all(served, which, timeout)),
    }
}

fn check_all(served: &Arc<Served>, which: Which, timeout: Duration) {
    for (index, (route, compiled)) in served.routes.iter().zip(&served.gateway.routes).enumerate() {
        for (number, (target, compiled)) in route.targets.iter().zip(&compiled.targets).enumerate() {
            let watched = compiled.config.kind == TargetKind::External || target.health.standing().is_down();
            let new = !target.health.known.swap(true, Relaxed);
            let due = new || which == Which::Due;
            if watched && due && !target.health.checking.swap(true, Relaxed) {
                let chosen = Chosen { route: index, target: number };
                tokio::task::spawn_local(check_one(Arc::clone(served), chosen, target.address, timeout));
            }
        }
    }
}

async fn check_one(served: Arc<Served>, chosen: Chosen, address: SocketAddr, timeout: Duration) {
    let health = &served.target(chosen).health;
    match tokio::time::timeout(timeout, dial(address, Descriptors::ALL)).await {
        Ok(Err(error)) if is_own_fault(&error) => {}
        connected => {
            health.checked(matches!(connected, Ok(Ok(_))), &served.rules.outliers);
            if health.state.is_down() {
                // It may have been the last beside some that are only ejected.
                let _gate = lock(&health.care.gate);
                served.settle(&health.care, false);
            }
        }
    }
    health.checking.store(false, Relaxed);
}

/// Nothing panics while it holds one of these, and what they guard is whole at any moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
