//! The compiled routing table.
//!
//! ```text
//! RoutingTable --Arc--> Gateway { config, schedule, conditions } --Arc--> positions   |
//!                          Route { condition, rewrites }         --Arc--> positions   |  shared with the tables
//!                             Target { config }                  --Arc--> TargetState |  before and after
//! ```
//!
//! A new revision makes a new table, but only gateways that changed are compiled, and what is hot (positions of the splits,
//! requests under way, targets held down) is carried over by gateway name, route path and target id.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use model::name::{GatewayName, RoutePath};
use model::port::Protocol;

use crate::balance::hash;
use crate::condition::Test;
use crate::config::{GatewayConfig, RouteConfig, RoutingConfig, TargetConfig};
use crate::host::with_canonical;
use crate::position::Position;
use crate::rewrite::Rule;
use crate::schedule::Schedule;
use crate::sticky::Names;

/// The immutable snapshot that a proxy reads once per request.
#[derive(Debug, Default)]
pub struct RoutingTable {
    /// Revision of the environment.
    pub revision: u64,
    gateways: HashMap<GatewayName, Arc<Gateway>>,
    hosts: HashMap<String, Arc<Gateway>>,
}

/// One gateway, ready to decide. Schedules and conditions are compiled; positions live in atomics that are carried over
/// from the gateway of the same name in the previous table.
#[derive(Debug)]
pub struct Gateway {
    /// What it was compiled from.
    pub config: Arc<GatewayConfig>,
    /// Same order as `config.routes`.
    pub routes: Vec<Route>,
    pub(crate) schedule: Arc<Schedule>,
    /// Indices of the routes with a condition, in order.
    pub(crate) conditional: Box<[usize]>,
    /// Names of the cookies, when the gateway is sticky.
    pub(crate) names: Option<Names>,
    pub(crate) state: Arc<GatewayState>,
}

/// One compiled route.
#[derive(Debug)]
pub struct Route {
    /// Same order as the route's `targets` in the configuration. A target with a host name is one target here; an edge that wants
    /// to use all addresses of a name replaces it by one target for each (with an id for each) before compiling.
    pub targets: Vec<Target>,
    pub(crate) condition: Option<Arc<Test>>,
    pub(crate) rewrites: Arc<[Rule]>,
    pub(crate) state: Arc<RouteState>,
}

/// One target and its state, which outlives the table.
#[derive(Debug)]
pub struct Target {
    /// What it was compiled from.
    pub config: TargetConfig,
    /// Hot state, shared by every table that holds this target of this route.
    pub state: Arc<TargetState>,
    /// Hash of the id, for rendezvous hashing.
    pub(crate) point: u64,
}

/// Hot state of a target.
#[derive(Debug)]
pub struct TargetState {
    /// Requests (http) or connections (tcp) under way.
    pub in_flight: AtomicU32,
    portion: AtomicU16,
}

impl TargetState {
    /// The portion of a target that takes all that falls to it.
    pub const FULL: u16 = 10_000;

    /// How much it takes of what would fall to it, in hundredths of a percent: [`TargetState::FULL`] as a rule, less while it starts
    /// slowly, 0 while the proxy's own checks hold it down. One that is held down is as good as not ready.
    pub fn portion(&self) -> u16 {
        self.portion.load(Ordering::Relaxed)
    }

    /// Sets it; more than [`TargetState::FULL`] counts as that.
    pub fn set_portion(&self, portion: u16) {
        self.portion.store(portion.min(Self::FULL), Ordering::Relaxed);
    }

    /// True while the proxy's own checks hold it down.
    pub fn is_down(&self) -> bool {
        self.portion() == 0
    }
}

impl Default for TargetState {
    fn default() -> Self {
        Self { in_flight: AtomicU32::new(0), portion: AtomicU16::new(Self::FULL) }
    }
}

/// Positions of a gateway.
#[derive(Debug)]
pub(crate) struct GatewayState {
    /// In the schedule of the weights.
    pub(crate) turn: Position,
    /// Among turns that went to other routes (R29).
    pub(crate) elsewhere: Position,
}

/// Positions of a route.
#[derive(Debug)]
pub(crate) struct RouteState {
    /// Of the strength draw.
    pub(crate) draw: Position,
    /// Among the targets.
    pub(crate) turn: Position,
    /// Among turns that went to other targets.
    pub(crate) spill: Position,
}

impl RoutingTable {
    /// Compiles a configuration. Gateways whose `Arc<GatewayConfig>` is the same as in `previous`, or equal to it, are taken over
    /// as they are; the others keep their positions and target states by name. `seed` gives the random start of new
    /// cycles (R28).
    pub fn compile(config: &RoutingConfig, previous: &RoutingTable, seed: &mut dyn FnMut() -> u64) -> Self {
        let gateways: HashMap<GatewayName, Arc<Gateway>> = config
            .gateways
            .iter()
            .map(|(name, config)| {
                let before = previous.gateways.get(name);
                let gateway = match before {
                    Some(before) if Arc::ptr_eq(&before.config, config) || before.config == *config => {
                        Arc::clone(before)
                    }
                    _ => Arc::new(Gateway::compile(config, before.map(Arc::as_ref), seed)),
                };
                (name.clone(), gateway)
            })
            .collect();
        let hosts = hosts(config, &gateways);
        Self { revision: config.revision, gateways, hosts }
    }

    /// The gateway of that name.
    pub fn gateway(&self, name: &GatewayName) -> Option<&Arc<Gateway>> {
        self.gateways.get(name)
    }

    /// All gateways, in no order.
    pub fn gateways(&self) -> impl Iterator<Item = &Arc<Gateway>> {
        self.gateways.values()
    }

    /// The gateway that serves a virtual host; `host` as in a Host header (R35: case, port and trailing dot ignored).
    pub fn virtual_host(&self, host: &str) -> Option<&Arc<Gateway>> {
        with_canonical(host, |host| self.hosts.get(host))
    }
}

/// Hosts of the http gateways. Control refuses a host that another gateway has (R11); should it happen all the same, the gateway with
/// fewer name segments wins, then the first by name (section 15).
fn hosts(
    config: &RoutingConfig,
    gateways: &HashMap<GatewayName, Arc<Gateway>>,
) -> HashMap<String, Arc<Gateway>> {
    let mut hosts: HashMap<String, Arc<Gateway>> = HashMap::with_capacity(gateways.len());
    let rank =
        |gateway: &Gateway| Reverse((gateway.config.name.segments().count(), gateway.config.name.clone()));
    for (name, config) in &config.gateways {
        let Some(gateway) = gateways.get(name).filter(|_| config.protocol == Protocol::Http) else {
            continue;
        };
        for host in &config.hosts {
            // Already lower case; a table that was read from a file is not taken at its word.
            let host = host.to_ascii_lowercase();
            match hosts.get(&host) {
                Some(holder) if rank(holder) >= rank(gateway) => {}
                _ => {
                    hosts.insert(host, Arc::clone(gateway));
                }
            }
        }
    }
    hosts
}

impl Gateway {
    fn compile(config: &Arc<GatewayConfig>, before: Option<&Self>, seed: &mut dyn FnMut() -> u64) -> Self {
        let weights: Vec<u16> = config.routes.iter().map(|route| route.weight).collect();
        let schedule = match before {
            Some(before) if before.schedule.weights() == weights => Arc::clone(&before.schedule),
            _ => Arc::new(Schedule::new(&weights)),
        };
        let known = before.map(Self::routes_by_path).unwrap_or_default();
        let routes: Vec<Route> = config
            .routes
            .iter()
            .map(|route| Route::compile(route, known.get(&route.path).copied(), seed))
            .collect();
        let http = config.protocol == Protocol::Http;
        let conditional =
            (0..routes.len()).filter(|&route| http && routes[route].condition.is_some()).collect();
        let lookups = config.routes.iter().map(|route| route.lookup.as_str());
        let names = (http && config.sticky.is_some())
            .then(|| Names::new(config.sticky_generation, &config.lookup, lookups));
        let state = match before {
            Some(before) => Arc::clone(&before.state),
            None => Arc::new(GatewayState {
                turn: Position::starting_at(seed()),
                elsewhere: Position::starting_at(seed()),
            }),
        };
        Self { config: Arc::clone(config), routes, schedule, conditional, names, state }
    }

    fn routes_by_path(&self) -> HashMap<&RoutePath, (&RouteConfig, &Route)> {
        self.config
            .routes
            .iter()
            .zip(&self.routes)
            .map(|(config, route)| (&config.path, (config, route)))
            .collect()
    }
}

impl Route {
    fn compile(
        config: &RouteConfig,
        before: Option<(&RouteConfig, &Self)>,
        seed: &mut dyn FnMut() -> u64,
    ) -> Self {
        // Compiling expressions is the dear part, and most changes are changes of weights.
        let condition = match before {
            Some((old, route)) if old.condition == config.condition => route.condition.clone(),
            _ => config.condition.as_ref().map(|condition| Arc::new(Test::new(condition.expression()))),
        };
        let rewrites = match before {
            Some((old, route)) if old.rewrites == config.rewrites => Arc::clone(&route.rewrites),
            _ => config.rewrites.iter().map(Rule::new).collect(),
        };
        let state = match before {
            Some((_, route)) => Arc::clone(&route.state),
            None => Arc::new(RouteState {
                draw: Position::starting_at(seed()),
                turn: Position::starting_at(seed()),
                spill: Position::starting_at(seed()),
            }),
        };
        let known: HashMap<&str, &Target> = before
            .into_iter()
            .flat_map(|(_, route)| &route.targets)
            .map(|target| (target.config.id.as_str(), target))
            .collect();
        let targets =
            config.targets.iter().map(|config| Target::new(config, known.get(config.id.as_str()).copied()));
        Self { targets: targets.collect(), condition, rewrites, state }
    }
}

impl Target {
    /// State follows the id, as long as it stands for the same address: what was found out about one address says nothing
    /// about another.
    fn new(config: &TargetConfig, before: Option<&Self>) -> Self {
        let state = match before {
            Some(before) if before.config.address == config.address => Arc::clone(&before.state),
            _ => Arc::default(),
        };
        Self { config: config.clone(), state, point: hash(config.id.as_bytes()) }
    }
}
