//! All series of the process, by gateway, route and instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::{SignedDuration, Timestamp};
use model::name::{GatewayName, RoutePath};
use model::port::Protocol;

use crate::counters::Totals;
use crate::series::Series;
use crate::window::Window;

/// How long a series outlives what it counts: as long as the longest window.
const LINGER: SignedDuration = SignedDuration::from_mins(15);

/// Names one series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A gateway.
    Gateway(GatewayName),
    /// A route of a gateway.
    Route(GatewayName, RoutePath),
    /// An instance (target) of a route, by its id.
    Instance(GatewayName, RoutePath, String),
}

/// Totals of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesTotals {
    /// Which.
    pub key: Key,
    /// Name for people: of an instance its own, else the path or name.
    pub name: String,
    /// What the gateway speaks.
    pub protocol: Protocol,
    /// The counts.
    pub totals: Totals,
}

/// The one place where traffic is counted. Handles to series are taken when a table is applied, and used without it.
#[derive(Debug)]
pub struct Telemetry {
    workers: usize,
    gateways: RwLock<BTreeMap<GatewayName, GatewayEntry>>,
    seconds: Mutex<Seconds>,
    /// How many series there are.
    size: AtomicUsize,
}

/// A series with what names it.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) key: Key,
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) series: Arc<Series>,
}

/// Seconds that a span of a history over so many seconds covers: 1 up to a minute, 5 beyond.
pub fn step(seconds: u32) -> u32 {
    u32::try_from(crate::ring::step(seconds.into())).unwrap_or(1)
}

/// Counts seconds steadily, whatever the clock does.
#[derive(Debug, Default)]
struct Seconds {
    /// The second of the last tick on the clock.
    clock: Option<i64>,
    /// Seconds since the first tick.
    passed: i64,
}

impl Seconds {
    fn tick(&mut self, now: Timestamp) -> i64 {
        let clock = now.as_second();
        self.passed += match self.clock.replace(clock) {
            None => 1,
            // The clock was set: one second passed as far as anybody knows.
            Some(before) if clock < before || clock > before + 3_600 => 1,
            Some(before) => clock - before,
        };
        self.passed
    }
}

#[derive(Debug)]
struct GatewayEntry {
    series: Entry,
    protocol: Protocol,
    routes: BTreeMap<RoutePath, RouteEntry>,
}

#[derive(Debug)]
struct RouteEntry {
    series: Entry,
    instances: BTreeMap<Box<str>, InstanceEntry>,
}

#[derive(Debug)]
struct InstanceEntry {
    series: Entry,
    name: Box<str>,
}

#[derive(Debug)]
struct Entry {
    series: Arc<Series>,
    /// Since when the thing it counts is gone.
    absent: Option<Timestamp>,
}

impl Telemetry {
    /// For `workers` threads that record, numbered from 0.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            workers,
            gateways: RwLock::default(),
            seconds: Mutex::default(),
            size: AtomicUsize::new(0),
        })
    }

    /// The series of a gateway; a new one when there is none.
    pub fn gateway(&self, name: &GatewayName, protocol: Protocol) -> Arc<Series> {
        if let Some(entry) = self.read().get(name)
            && entry.protocol == protocol
        {
            return Arc::clone(&entry.series.series);
        }
        let mut gateways = self.write();
        let entry = self.gateway_entry(&mut gateways, name);
        entry.protocol = protocol;
        Arc::clone(&entry.series.series)
    }

    /// The series of a route; a new one when there is none.
    pub fn route(&self, gateway: &GatewayName, route: &RoutePath) -> Arc<Series> {
        let known = self.read().get(gateway).and_then(|entry| {
            let route = entry.routes.get(route)?;
            Some(Arc::clone(&route.series.series))
        });
        known.unwrap_or_else(|| {
            let mut gateways = self.write();
            let entry = self.gateway_entry(&mut gateways, gateway);
            Arc::clone(&self.route_entry(entry, route).series.series)
        })
    }

    /// The series of an instance, by its id; a new one when there is none. `name` is for people.
    pub fn instance(&self, gateway: &GatewayName, route: &RoutePath, id: &str, name: &str) -> Arc<Series> {
        let known = self.read().get(gateway).and_then(|entry| {
            let instance = entry.routes.get(route)?.instances.get(id)?;
            (*instance.name == *name).then(|| Arc::clone(&instance.series.series))
        });
        known.unwrap_or_else(|| {
            let mut gateways = self.write();
            let entry = self.gateway_entry(&mut gateways, gateway);
            let route = self.route_entry(entry, route);
            let entry = route
                .instances
                .entry(id.into())
                .or_insert_with(|| InstanceEntry { series: self.tracked(), name: name.into() });
            entry.name = name.into();
            Arc::clone(&entry.series.series)
        })
    }

    /// The series with that key, when there is one.
    pub fn series(&self, key: &Key) -> Option<Arc<Series>> {
        let gateways = self.read();
        let tracked = match key {
            Key::Gateway(gateway) => &gateways.get(gateway)?.series,
            Key::Route(gateway, route) => &gateways.get(gateway)?.routes.get(route)?.series,
            Key::Instance(gateway, route, id) => {
                &gateways.get(gateway)?.routes.get(route)?.instances.get(id.as_str())?.series
            }
        };
        Some(Arc::clone(&tracked.series))
    }

    /// Closes the second: what was counted since the last call becomes part of the windows. Call it once a second; late and
    /// missed calls lose nothing. It costs about 10 us for each series with traffic, so installations with thousands of them call
    /// it from a thread that may block.
    pub fn tick(&self, now: Timestamp) {
        let second = self.seconds.lock().unwrap_or_else(PoisonError::into_inner).tick(now);
        // Not under the lock: a new table must not wait for all rings.
        let mut busy = Vec::new();
        self.visit(&mut |series| {
            if !series.is_idle() {
                busy.push(Arc::clone(series));
            }
        });
        busy.iter().for_each(|series| series.roll(second));
    }

    /// What happened in the last `seconds` whole seconds (at most 900; beyond 60, to about 5 s), up to the last tick. `None` for a
    /// series that there is not.
    pub fn window(&self, key: &Key, seconds: u32) -> Option<Window> {
        let second = self.seconds.lock().unwrap_or_else(PoisonError::into_inner).passed;
        Some(self.series(key)?.window(second, seconds))
    }

    /// The last `seconds` (at most 900) in spans of [`step`], oldest first; empty for a series that there is not, or that never had
    /// traffic.
    pub fn history(&self, key: &Key, seconds: u32) -> Vec<Window> {
        let second = self.seconds.lock().unwrap_or_else(PoisonError::into_inner).passed;
        self.series(key).map(|series| series.history(second, seconds)).unwrap_or_default()
    }

    /// Totals of every series: each gateway, followed by its routes, each followed by its instances.
    pub fn totals(&self) -> Vec<SeriesTotals> {
        let mut all = Vec::new();
        self.each(&mut |key, name, protocol, series| {
            all.push(SeriesTotals { key, name: name.to_owned(), protocol, totals: series.totals() });
        });
        all
    }

    /// Forgets series that are not in `live`: not at once, but when they have been gone as long as the longest window reaches,
    /// and nobody holds them any more (a connection that drains still counts). What remains keeps its totals, so instances may
    /// come and go without end.
    pub fn retain(&self, live: &BTreeSet<Key>, now: Timestamp) {
        self.forget(live, now);
    }

    /// As [`Telemetry::retain`]; gives back what is forgotten.
    pub(crate) fn forget(&self, live: &BTreeSet<Key>, now: Timestamp) -> Vec<Tracked> {
        let mut gone = Vec::new();
        let mut gateways = self.write();
        gateways.retain(|gateway, entry| {
            let protocol = entry.protocol;
            let mut note = |key: Key, name: &str, entry: &Entry| {
                gone.push(Tracked {
                    key,
                    name: name.to_owned(),
                    protocol,
                    series: Arc::clone(&entry.series),
                });
            };
            entry.routes.retain(|route, entry| {
                entry.instances.retain(|id, entry| {
                    let key = Key::Instance(gateway.clone(), route.clone(), String::from(&**id));
                    let stays = entry.series.stays(live.contains(&key), now);
                    if !stays {
                        note(key, &entry.name, &entry.series);
                    }
                    stays
                });
                let key = Key::Route(gateway.clone(), route.clone());
                let stays = entry.series.stays(live.contains(&key), now) || !entry.instances.is_empty();
                if !stays {
                    note(key, route.as_str(), &entry.series);
                }
                stays
            });
            let key = Key::Gateway(gateway.clone());
            let stays = entry.series.stays(live.contains(&key), now) || !entry.routes.is_empty();
            if !stays {
                note(key, gateway.as_str(), &entry.series);
            }
            stays
        });
        self.size.fetch_sub(gone.len(), Ordering::Relaxed);
        gone
    }

    /// How many series there are.
    pub(crate) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// The series in which anything was ever counted.
    pub(crate) fn busy(&self) -> Vec<Tracked> {
        let mut busy = Vec::new();
        for (gateway, entry) in self.read().iter() {
            let protocol = entry.protocol;
            let mut add = |key: &dyn Fn() -> Key, name: &str, series: &Arc<Series>| {
                if !series.is_idle() {
                    busy.push(Tracked {
                        key: key(),
                        name: name.to_owned(),
                        protocol,
                        series: Arc::clone(series),
                    });
                }
            };
            add(&|| Key::Gateway(gateway.clone()), gateway.as_str(), &entry.series.series);
            for (route, entry) in &entry.routes {
                add(&|| Key::Route(gateway.clone(), route.clone()), route.as_str(), &entry.series.series);
                for (id, entry) in &entry.instances {
                    let key = || Key::Instance(gateway.clone(), route.clone(), String::from(&**id));
                    add(&key, &entry.name, &entry.series.series);
                }
            }
        }
        busy
    }

    /// Visits every series: each gateway, followed by its routes, each followed by its instances.
    pub(crate) fn each(&self, visit: &mut dyn FnMut(Key, &str, Protocol, &Series)) {
        for (gateway, entry) in self.read().iter() {
            let protocol = entry.protocol;
            visit(Key::Gateway(gateway.clone()), gateway.as_str(), protocol, &entry.series.series);
            for (route, entry) in &entry.routes {
                let key = Key::Route(gateway.clone(), route.clone());
                visit(key, route.as_str(), protocol, &entry.series.series);
                for (id, entry) in &entry.instances {
                    let key = Key::Instance(gateway.clone(), route.clone(), String::from(&**id));
                    visit(key, &entry.name, protocol, &entry.series.series);
                }
            }
        }
    }

    fn visit(&self, visit: &mut dyn FnMut(&Arc<Series>)) {
        for entry in self.read().values() {
            visit(&entry.series.series);
            for entry in entry.routes.values() {
                visit(&entry.series.series);
                entry.instances.values().for_each(|entry| visit(&entry.series.series));
            }
        }
    }

    fn gateway_entry<'a>(
        &self,
        gateways: &'a mut BTreeMap<GatewayName, GatewayEntry>,
        name: &GatewayName,
    ) -> &'a mut GatewayEntry {
        gateways.entry(name.clone()).or_insert_with(|| GatewayEntry {
            series: self.tracked(),
            protocol: Protocol::Http,
            routes: BTreeMap::new(),
        })
    }

    fn route_entry<'a>(&self, gateway: &'a mut GatewayEntry, route: &RoutePath) -> &'a mut RouteEntry {
        gateway
            .routes
            .entry(route.clone())
            .or_insert_with(|| RouteEntry { series: self.tracked(), instances: BTreeMap::new() })
    }

    fn tracked(&self) -> Entry {
        self.size.fetch_add(1, Ordering::Relaxed);
        Entry { series: Arc::new(Series::new(self.workers)), absent: None }
    }

    // Nothing panics while it holds the lock, and an entry is whole at any moment: a poisoned lock is as good as another.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<GatewayName, GatewayEntry>> {
        self.gateways.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<GatewayName, GatewayEntry>> {
        self.gateways.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn stays(&mut self, live: bool, now: Timestamp) -> bool {
        if live {
            self.absent = None;
            return true;
        }
        let since = *self.absent.get_or_insert(now);
        now.duration_since(since) < LINGER || Arc::strong_count(&self.series) > 1
    }
}

#[cfg(test)]
mod tests;
