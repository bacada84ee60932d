//! Random histories of one gateway: weights move, conditions and targets come and go, targets fail, clients return.
//!
//! Seeds 0..64 run always; `VAMP_SIM_SEED=n` replays one.

use std::sync::Arc;

use model::gateway::Sticky;
use routing::config::{GatewayConfig, RouteConfig};
use routing::decide::{Decision, Reason};
use routing::explain::explain;
use routing::table::{Gateway, RoutingTable};

use crate::common::{Client, Request, RouteExt, Seeded, get, name, route, set_down, shop, table, target};

const STEPS: usize = 400;

struct World {
    dice: Seeded,
    config: GatewayConfig,
    table: RoutingTable,
    clients: Vec<Client>,
    /// Requests by weight since weights or readiness last changed: how many, and for each route.
    window: (i64, Vec<i64>),
    at: String,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Seeded(seed);
        let routes = (0..2 + dice.below(4)).map(|n| route(&format!("r{n}"), 0).targets(1 + n % 3));
        let mut config = shop(routes);
        config.sticky = [None, Some(Sticky::Route), Some(Sticky::Instance)][dice.below(3)];
        let clients = vec![Client::default(); 12];
        let mut world = Self {
            dice,
            config,
            table: RoutingTable::default(),
            clients,
            window: (0, Vec::new()),
            at: String::new(),
        };
        world.shift_weights();
        world.recompile();
        world
    }

    fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(self.table.gateway(&name("shop")).unwrap())
    }

    fn recompile(&mut self) {
        let seed = self.dice.0;
        self.table = table(self.config.clone(), &self.table, seed);
        self.new_window();
    }

    fn new_window(&mut self) {
        self.window = (0, vec![0; self.config.routes.len()]);
    }

    fn shift_weights(&mut self) {
        let mut left = 10_000;
        let last = self.config.routes.len() - 1;
        for index in 0..=last {
            let share = if index == last { left } else { left.min(500 * self.dice.below(12) as u16) };
            self.config.routes[index].weight = share;
            left -= share;
        }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0 => {
                self.shift_weights();
                self.recompile();
            }
            1 => {
                let index = self.dice.below(self.config.routes.len());
                let strength = [0, 25, 50, 100][self.dice.below(4)];
                let route: &mut RouteConfig = &mut self.config.routes[index];
                *route = if self.dice.below(2) == 0 {
                    RouteConfig { condition: None, ..route.clone() }
                } else {
                    route.clone().when("path_beg /x", strength)
                };
                self.recompile();
            }
            2 => {
                let index = self.dice.below(self.config.routes.len());
                let count = self.dice.below(4);
                let path = self.config.routes[index].path.to_string();
                self.config.routes[index].targets = (0..count).map(|n| target(&path, n)).collect();
                self.recompile();
            }
            3 if self.dice.below(4) == 0 => {
                self.config.sticky_generation += 1;
                self.recompile();
            }
            4..=6 => {
                let gateway = self.gateway();
                let route = self.dice.below(gateway.routes.len());
                if let Some(targets) = gateway.routes[route].targets.len().checked_sub(1) {
                    let down = self.dice.below(2) == 0;
                    set_down(&gateway, route, self.dice.below(targets + 1), down);
                    self.new_window();
                }
            }
            _ => {
                for _ in 0..5 {
                    self.request();
                }
            }
        }
    }

    fn request(&mut self) {
        let gateway = self.gateway();
        let request = if self.dice.below(3) == 0 { get("/x") } else { get("/") };
        let index = self.dice.below(self.clients.len() * 2);
        let Some(client) = self.clients.get_mut(index) else {
            let before = explain(&gateway, &request.head()).decision;
            let decision = request.decide(&gateway);
            assert_eq!(before, decision, "{}: explained otherwise", self.at);
            self.check(&gateway, &request, &decision, false);
            return;
        };
        let home =
            client.jar.iter().find(|(name, _)| name.starts_with("vamp_r_")).map(|(_, value)| value.clone());
        let decision = client.send(&gateway, &request);
        let generation = gateway.config.sticky_generation;
        let home = home.filter(|_| gateway.config.sticky.is_some()).and_then(|value| {
            gateway.config.routes.iter().position(|route| value == format!("{generation}.{}", route.lookup))
        });
        let home = home.filter(|&route| serves(&gateway, route));
        if let (Some(home), Some(chosen)) = (home, decision.chosen)
            && decision.reason != Reason::Condition
        {
            assert_eq!(chosen.route, home, "{}: a client left a route that can serve: {decision:?}", self.at);
        }
        self.check(&gateway, &request, &decision, home.is_some());
    }

    fn check(&mut self, gateway: &Gateway, request: &Request, decision: &Decision, at_home: bool) {
        let at = &self.at;
        let routes = &gateway.config.routes;
        let deciding =
            explain(gateway, &request.head()).conditions.into_iter().find(|verdict| verdict.decides);
        match decision.chosen {
            Some(chosen) => {
                let target = &gateway.routes[chosen.route].targets[chosen.target];
                assert!(!target.state.is_down(), "{at}: a target that is down: {decision:?}");
                let by_condition = decision.reason == Reason::Condition;
                assert!(
                    routes[chosen.route].weight > 0 || by_condition || at_home,
                    "{at}: a route at 0 %: {decision:?}"
                );
                assert!(
                    !by_condition || deciding.is_some_and(|verdict| verdict.route == chosen.route),
                    "{at}: {decision:?}"
                );
            }
            None => {
                assert_eq!(decision.reason, Reason::NoTarget, "{at}");
                let could = (0..routes.len()).any(|route| routes[route].weight > 0 && serves(gateway, route));
                assert!(!could, "{at}: refused although a route with weight serves");
            }
        }
        // Every turn by weight, also one that was lost, belongs to the schedule.
        let turn = match decision.reason {
            Reason::Weight => decision.chosen.map(|chosen| chosen.route),
            _ => None,
        };
        if gateway.config.sticky.is_none()
            && deciding.is_none()
            && (0..routes.len()).all(|route| serves(gateway, route))
        {
            let (count, served) = &mut self.window;
            *count += 1;
            served[turn.expect("nothing but weights is left")] += 1;
        } else if deciding.is_some() {
            // Draws that are lost take turns as well; begin anew rather than model them twice.
            self.new_window();
        }
        let (count, served) = &self.window;
        for (route, config) in routes.iter().enumerate() {
            let deviation = served[route] * 10_000 - i64::from(config.weight) * count;
            assert!(deviation.abs() < 20_000, "{}: route {route} got {} of {count}", self.at, served[route]);
        }
    }
}

fn serves(gateway: &Gateway, route: usize) -> bool {
    gateway.routes[route].targets.iter().any(|target| !target.state.is_down())
}

#[test]
fn invariants_hold_in_every_history() {
    let one = std::env::var("VAMP_SIM_SEED").ok().and_then(|text| text.parse().ok());
    for seed in one.map_or(0..64, |seed: u64| seed..seed + 1) {
        let mut world = World::new(seed);
        for step in 0..STEPS {
            world.at = format!("seed {seed}, step {step}");
            world.step();
        }
    }
}
