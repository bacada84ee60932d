//! Control and routing under churn, from a seed: pods come, go and turn unready; users edit; the store and the platform fail;
//! the process restarts. Invariants are checked after every step.
//!
//! Seeds 0 to 255 run with every test run. `VAMP_SIM_SEED=n` replays one, `VAMP_SIM_SEEDS=n` runs more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use model::condition::Condition;
use model::event::Event;
use model::gateway::{ConditionEntry, GatewayDocument, RouteDocument, RouteEntry};
use model::name::{GatewayName, RoutePath};
use model::percent::Percent;
use routing::config::TargetKind;
use routing::decide::Dice;

use super::world::{World, Xorshift, document, pod};
use crate::request::Change;
use crate::view::Entry;

const STEPS: usize = 48;

/// Gateways of the simulation. Selector gateways by number of captures, an explicit one, and a chain to the others.
const GATEWAYS: [&str; 4] = [
    "{name: shop, port: 9070, selector: 'label(app)(shop) && label(version)((.*))'}",
    "{name: cart, selector: 'label(app)(cart) && label(version)((.*)) && label(locale)((.*))', sticky: route}",
    "{name: all, selector: 'label(app)(.*)'}",
    "{name: edge, routes: {shop: {weight: 70%}, cart: {weight: 20%}, '[10.9.9.9:80]': {weight: 10%}}}",
];

/// Read once: compiling patterns would take most of the time.
fn documents() -> &'static [GatewayDocument] {
    static DOCUMENTS: OnceLock<Vec<GatewayDocument>> = OnceLock::new();
    DOCUMENTS.get_or_init(|| GATEWAYS.map(document).to_vec())
}

fn percent(hundredths: u32) -> Percent {
    Percent::from_hundredths(u16::try_from(hundredths).unwrap()).unwrap()
}

#[test]
fn invariants_hold_under_churn_even_seeds() {
    sweep(0);
}

#[test]
fn invariants_hold_under_churn_odd_seeds() {
    sweep(1);
}

fn sweep(start: u64) {
    let number = |variable| std::env::var(variable).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("VAMP_SIM_SEED") {
        if seed % 2 == start {
            check(seed);
        }
        return;
    }
    for seed in (start..number("VAMP_SIM_SEEDS").unwrap_or(256)).step_by(2) {
        check(seed);
    }
}

/// One seed twice: as it is, and with restarts thrown in. Both must come to the same end.
fn check(seed: u64) {
    let straight = Simulation::new(seed, false).run();
    let restarted = Simulation::new(seed, true).run();
    assert_eq!(straight, restarted, "seed {seed}: restarts change the end");
}

struct Simulation {
    seed: u64,
    world: World,
    dice: Xorshift,
    /// Apart, so that runs with and without restarts take the same steps.
    restarts: Option<Xorshift>,
    step: usize,
    pods_made: u32,
    /// What followers of events believe: route and weight by gateway.
    told: BTreeMap<String, BTreeMap<String, String>>,
    read: usize,
    /// Since when routes are absent while others of their gateway are not.
    absent: BTreeMap<(GatewayName, RoutePath), Timestamp>,
}

type Shown = Arc<BTreeMap<GatewayName, Arc<Entry>>>;

/// Who made the change of a step.
#[derive(Clone, Copy, PartialEq)]
enum By {
    User,
    Vamp,
}

impl Simulation {
    fn new(seed: u64, restarts: bool) -> Self {
        let mut dice = Xorshift(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.roll();
        }
        let mut world = World::new();
        for document in documents() {
            world.change(Change::Gateway { document: document.clone(), mode: crate::Mode::Create }).unwrap();
        }
        Self {
            seed,
            world,
            dice,
            restarts: restarts.then_some(Xorshift(seed | 1 << 40)),
            step: 0,
            pods_made: 0,
            told: BTreeMap::new(),
            read: 0,
            absent: BTreeMap::new(),
        }
    }

    fn run(mut self) -> Vec<String> {
        while self.step < STEPS {
            self.one_step();
            self.step += 1;
        }
        // Everything recovers; what waits gets its time.
        self.world.store_fails = false;
        self.world.platform_fails = false;
        self.act(By::Vamp, World::look);
        for _ in 0..4 {
            self.act(By::Vamp, |world| world.advance(31));
        }
        let world = &self.world;
        let mut end: Vec<String> =
            world.core.shown().gateways.keys().map(|name| world.show(name.as_str())).collect();
        end.push(format!("{:?}", world.core.shown().config.gateways));
        end
    }

    fn one_step(&mut self) {
        let world = &self.world;
        // While the store fails, how long a route has been absent is known to this process only.
        if !world.store_fails && self.restarts.as_mut().is_some_and(|dice| dice.roll().is_multiple_of(8)) {
            self.act(By::Vamp, World::restart);
        }
        match self.below(100) {
            0..20 => self.pod_comes(),
            20..30 => {
                if let Some(pod) = self.some_pod() {
                    self.act(By::Vamp, |world| world.go(&pod));
                }
            }
            30..45 => {
                if let Some(pod) = self.some_pod() {
                    let ready = self.below(2) == 0;
                    self.act(By::Vamp, |world| world.ready(&pod, ready));
                }
            }
            45..50 => {
                if let Some(pod) = self.some_pod() {
                    let leave = |world: &mut World| {
                        world.pods.get_mut(&pod).unwrap().exists = false;
                        world.look();
                    };
                    self.act(By::Vamp, leave);
                }
            }
            50..68 => self.edit_weights(),
            68..74 => {
                let index = self.below(4);
                self.put(documents()[index].clone());
            }
            74..86 => {
                let seconds = self.below(40) as u64;
                self.act(By::Vamp, |world| world.advance(seconds));
            }
            86..92 => {
                self.world.store_fails = self.below(3) == 0;
                self.act(By::Vamp, World::follow);
            }
            92..96 => {
                self.world.platform_fails = self.below(2) == 0;
                self.act(By::Vamp, World::look);
            }
            96..98 => {
                let gateway = documents()[self.below(4)].name.clone();
                self.request(Change::Evict { gateway });
            }
            _ => {
                let document = documents()[self.below(3)].clone();
                self.request(Change::DeleteGateway(document.name.clone()));
                self.put(document);
            }
        }
    }

    fn pod_comes(&mut self) {
        self.pods_made += 1;
        let app = ["shop", "shop", "cart"][self.below(3)];
        let version = self.below(4) + 8;
        let locale = ["IE", "UK"][self.below(2)];
        let ip = [10, 0, (self.pods_made >> 8) as u8, self.pods_made as u8];
        let labels = format!("app={app},version=1.{version},locale={locale}");
        let mut pod = pod(&format!("{app}-{}", self.pods_made), &labels, ip, &[8080]);
        pod.ready = self.below(4) > 0;
        self.act(By::Vamp, |world| world.come(pod));
    }

    /// A user writes weights and conditions for the routes in force, sometimes with a reference that leads nowhere.
    fn edit_weights(&mut self) {
        let index = self.below(4);
        let mut document = documents()[index].clone();
        let entry = self.world.core.shown().gateways.get(&document.name).cloned();
        let paths: Vec<_> =
            entry.iter().flat_map(|entry| &entry.view.routes).map(|(path, _)| path.clone()).collect();
        let mut left: u32 = if self.below(12) == 0 { 0 } else { 10_000 };
        let unit = [100, 100, 1][self.below(3)];
        document.routes.clear();
        let count = paths.len();
        for (index, path) in paths.into_iter().enumerate() {
            let share =
                if index + 1 == count { left } else { self.below((left / unit) as usize + 1) as u32 * unit };
            left -= share;
            let (condition, strength) =
                [(None, None), (Some("has header x"), None), (Some("has cookie c"), Some(50))][self.below(3)];
            let route = RouteDocument {
                weight: Some(percent(share)),
                condition: condition.map(|text| ConditionEntry::Inline(Condition::parse(text).unwrap())),
                condition_strength: strength.map(|strength| percent(strength * 100)),
                ..RouteDocument::default()
            };
            document.routes.push((path, RouteEntry::Inline(route)));
        }
        if self.below(8) == 0 {
            document
                .routes
                .push((RoutePath::parse("[wrong:1]").unwrap(), RouteEntry::Reference("nobody".into())));
        }
        self.put(document);
    }

    fn put(&mut self, document: GatewayDocument) {
        self.request(Change::Gateway { document, mode: crate::Mode::Put });
    }

    fn request(&mut self, change: Change) {
        let before = self.snapshot();
        let mut accepted = false;
        self.act(By::User, |world| accepted = world.change(change).is_ok());
        self.holds(accepted || before == self.snapshot(), "a refused change changed something");
        self.holds(
            accepted <= !self.world.store_fails || before.0 == self.snapshot().0,
            "a change was kept by a broken store",
        );
    }

    fn snapshot(&self) -> (u64, Shown, usize) {
        let shown = self.world.core.shown();
        (shown.config.revision, shown.gateways.clone(), self.world.events.len())
    }

    fn act(&mut self, by: By, action: impl FnOnce(&mut World)) {
        let before = self.snapshot();
        action(&mut self.world);
        let after = self.snapshot();
        self.holds(after.0 >= before.0 && after.2 >= before.2, "the revision or the log went back");
        for (gateway, entry) in after.1.iter() {
            self.weights(gateway, entry);
            if let (By::Vamp, Some(earlier)) = (by, before.1.get(gateway)) {
                self.proportions(gateway, earlier, entry);
            }
        }
        self.retention(by, &before.1, &after.1);
        self.targets();
        self.traffic();
        self.events();
    }

    /// An absent route is removed when its time is over, not before, and never while the platform cannot be read.
    fn retention(&mut self, by: By, before: &Shown, after: &Shown) {
        let now = self.world.now;
        let over = |since: &Timestamp| now.duration_since(*since).as_secs() >= 30;
        for (gateway, earlier) in before.iter().filter(|_| by == By::Vamp) {
            let stays = |path: &RoutePath| after[gateway].view.routes.iter().any(|(other, _)| other == path);
            for (path, _) in earlier.view.routes.iter().filter(|(path, _)| !stays(path)) {
                let since = self.absent.get(&(gateway.clone(), path.clone()));
                self.holds(
                    since.is_some_and(over),
                    &format!("{gateway}: {path} is removed early, absent since {since:?}"),
                );
                self.holds(!self.world.platform_fails, &format!("{gateway}: {path} is removed blindly"));
            }
        }
        let mut absent = BTreeMap::new();
        for (gateway, entry) in after.iter().filter(|(_, entry)| entry.absent.contains(&false)) {
            for ((path, _), _) in entry.view.routes.iter().zip(&entry.absent).filter(|(_, absent)| **absent) {
                let key = (gateway.clone(), path.clone());
                let since = self.absent.get(&key).copied().unwrap_or(now);
                absent.insert(key, since);
                let waits = self.world.platform_fails || by == By::User || !over(&since);
                self.holds(waits, &format!("{gateway}: {path} is kept although absent since {since}"));
            }
        }
        self.absent = absent;
    }

    /// Configured weights add up to everything or nothing; effective ones to the same whenever anything can serve.
    fn weights(&self, gateway: &GatewayName, entry: &Entry) {
        let configured = sum(entry.view.routes.iter().map(|(_, route)| route.weight));
        let effective = sum(entry.effective.iter().copied());
        self.holds(
            [0, 10_000].contains(&configured),
            &format!("{gateway}: configured weights add up to {configured}"),
        );
        let expected = if entry.absent.contains(&false) { configured } else { 0 };
        self.holds(effective == expected, &format!("{gateway}: effective weights add up to {effective}"));
        let traffic_to_absent =
            entry.absent.iter().zip(&entry.effective).any(|(absent, share)| *absent && !share.is_zero());
        self.holds(!traffic_to_absent, &format!("{gateway}: an absent route has a share"));
    }

    /// What Vamp changes by itself keeps the proportions that users set.
    fn proportions(&self, gateway: &GatewayName, before: &Entry, after: &Entry) {
        let weights = |entry: &Entry| -> BTreeMap<String, i64> {
            let weight = |weight: Percent| i64::from(weight.hundredths());
            entry.view.routes.iter().map(|(path, route)| (path.to_string(), weight(route.weight))).collect()
        };
        let (was, is) = (weights(before), weights(after));
        if was.is_empty() {
            let first = after.view.routes.first().map(|(_, route)| route.weight);
            return self.holds(
                first.is_none_or(|weight| weight == Percent::FULL),
                &format!("{gateway}: the first route gets everything"),
            );
        }
        let total: i64 = was.values().sum();
        self.holds(is.values().sum::<i64>() == total, &format!("{gateway}: {was:?} became {is:?}"));
        let kept: i64 = was.iter().filter(|(path, _)| is.contains_key(*path)).map(|(_, weight)| weight).sum();
        let unit = if was.values().all(|weight| weight % 100 == 0) { 100 } else { 1 };
        for (path, weight) in &is {
            let fair = match was.get(path) {
                None => kept > 0 && *weight == 0 || kept == 0,
                Some(_) if kept == 0 => *weight == 0 || *weight == total,
                Some(earlier) => (weight * kept - earlier * total).abs() < unit * kept,
            };
            self.holds(fair, &format!("{gateway}: {was:?} became {is:?}"));
        }
    }

    /// No target is known to be unready, and every ready pod is one.
    fn targets(&self) {
        let ready: BTreeSet<&str> = self
            .world
            .last_seen
            .iter()
            .filter(|pod| pod.ready && pod.exists)
            .map(|pod| pod.name.as_str())
            .collect();
        for (gateway, config) in &self.world.core.shown().config.gateways {
            let targets = config.routes.iter().flat_map(|route| &route.targets);
            let instances: Vec<&str> =
                targets.filter(|t| t.kind == TargetKind::Instance).map(|t| t.name.as_str()).collect();
            let bad: Vec<_> = instances.iter().filter(|pod| !ready.contains(*pod)).collect();
            self.holds(bad.is_empty(), &format!("{gateway}: unready targets {bad:?}"));
            if gateway.as_str() == "all" {
                self.holds(
                    instances.len() == ready.len(),
                    &format!("all: {instances:?} instead of {ready:?}"),
                );
            }
        }
    }

    /// Nobody gets a 503 while a route with a share has a target.
    fn traffic(&mut self) {
        let gateways: Vec<_> = self.world.core.shown().config.gateways.values().cloned().collect();
        for config in gateways {
            let can_serve = config.routes.iter().any(|route| route.weight > 0 && !route.targets.is_empty());
            let sent = self.world.send(config.name.as_str(), 3, "/", &[]);
            self.holds(can_serve != sent.contains_key("503"), &format!("{}: {sent:?}", config.name));
        }
    }

    /// Whoever follows the events knows routes and weights: none is missing, none comes twice.
    fn events(&mut self) {
        let new: Vec<Event> = self.world.events[self.read..].to_vec();
        self.read = self.world.events.len();
        for event in new.iter().filter(|event| event.kind == "event") {
            let item =
                |group: &str| event.tags.iter().find_map(|tag| tag.strip_prefix(group)?.strip_prefix(':'));
            let (Some(gateway), Some(route), Some(what)) = (item("gateways"), item("routes"), item("route"))
            else {
                continue;
            };
            let change = &event.value.as_ref().unwrap()["change"];
            let (before, after) = (change["before"].as_str(), change["after"].as_str());
            let known = self.told.entry(gateway.to_owned()).or_default();
            let expected = match what {
                "added" => known.insert(route.to_owned(), String::new()).is_none(),
                "removed" => known.remove(route).is_some_and(|was| was.is_empty()),
                "weightadded" => {
                    known.insert(route.to_owned(), after.unwrap().into()).is_some_and(|was| was.is_empty())
                }
                "weightupdated" => known.insert(route.to_owned(), after.unwrap().into()).as_deref() == before,
                "weightremoved" => known.insert(route.to_owned(), String::new()).as_deref() == before,
                _ => known.contains_key(route),
            };
            let expected =
                expected && (before != after || matches!(what, "added" | "removed" | "targetschanged"));
            self.holds(expected, &format!("unexpected event {what} of {gateway} {route}: {change}"));
        }
        let shown: BTreeMap<String, BTreeMap<String, String>> = self
            .world
            .core
            .shown()
            .gateways
            .iter()
            .map(|(name, entry)| {
                let routes = entry
                    .view
                    .routes
                    .iter()
                    .map(|(path, route)| (path.to_string(), route.weight.to_string()));
                (name.to_string(), routes.collect())
            })
            .collect();
        let told: BTreeMap<_, _> = self.told.iter().filter(|(_, routes)| !routes.is_empty()).collect();
        let shown: BTreeMap<_, _> = shown.iter().filter(|(_, routes)| !routes.is_empty()).collect();
        // What is not stored is not told.
        self.holds(
            self.world.store_fails || told == shown,
            &format!("events told {told:?}, shown is {shown:?}"),
        );
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.dice.roll() % limit as u64).unwrap()
    }

    fn some_pod(&mut self) -> Option<String> {
        let count = self.world.pods.len();
        if count == 0 {
            return None;
        }
        let index = self.below(count);
        self.world.pods.keys().nth(index).cloned()
    }

    fn holds(&self, condition: bool, what: &str) {
        let (seed, step) = (self.seed, self.step);
        assert!(condition, "seed {seed}, step {step}: {what} (replay with VAMP_SIM_SEED={seed})");
    }
}

fn sum(weights: impl Iterator<Item = Percent>) -> u32 {
    weights.map(|weight| u32::from(weight.hundredths())).sum()
}
