//! Between an environment and its agents: what the stream needs of one, what the API asks of the other.

use std::sync::{Arc, Mutex, PoisonError};

use agent::Fleet;
use control::Control;
use futures_util::future::BoxFuture;
use model::condition::Condition;
use model::name::GatewayName;
use routing::config::RoutingConfig;
use routing::table::RoutingTable;
use telemetry::Telemetry;
use tokio::sync::watch;

use crate::incidents::Noticed;

/// An environment as its agents see it.
pub(super) struct ForAgents {
    pub(super) control: Control,
    pub(super) telemetry: Arc<Telemetry>,
    /// Where what agents notice about targets goes.
    pub(super) noticed: Noticed,
}

impl agent::Environment for ForAgents {
    fn published(&self) -> watch::Receiver<Arc<RoutingConfig>> {
        self.control.published()
    }

    fn telemetry(&self) -> Arc<Telemetry> {
        Arc::clone(&self.telemetry)
    }

    fn joined(&self, agent: &str) {
        self.control.proxy_joined(agent);
    }

    fn lost(&self, agent: &str) {
        self.control.proxy_lost(agent);
    }

    fn left(&self, agent: &str) {
        self.control.proxy_left(agent);
    }

    fn acknowledge(&self, agent: &str, revision: u64, problems: Vec<(GatewayName, String)>) {
        self.control.acknowledge(agent, revision, problems);
    }

    fn noticed(&self, agent: &str, incidents: Vec<agent::Incident>) {
        self.noticed.add(agent, incidents);
    }
}

/// The agents as the API sees them: the table that they are to have, and the targets as they report them.
pub(super) struct AgentsPlane {
    published: watch::Receiver<Arc<RoutingConfig>>,
    fleet: Arc<Fleet>,
    /// Compiled when somebody asks: nothing is decided here.
    table: Mutex<Compiled>,
}

#[derive(Default)]
struct Compiled {
    from: Arc<RoutingConfig>,
    table: Arc<RoutingTable>,
}

impl AgentsPlane {
    pub(super) fn new(control: &Control, fleet: Arc<Fleet>) -> Self {
        Self { published: control.published(), fleet, table: Mutex::default() }
    }
}

impl api::DataPlane for AgentsPlane {
    fn table(&self) -> Arc<RoutingTable> {
        let config = self.published.borrow().clone();
        let mut compiled = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&compiled.from, &config) {
            // Where turns begin matters to those who take them.
            let table = RoutingTable::compile(&config, &compiled.table, &mut || 0);
            *compiled = Compiled { from: config, table: Arc::new(table) };
        }
        Arc::clone(&compiled.table)
    }

    fn targets(&self) -> Vec<api::TargetStatus> {
        let targets = self.fleet.targets().into_iter().map(|target| api::TargetStatus {
            gateway: target.gateway,
            route: target.route,
            id: target.id,
            name: target.name,
            address: target.address.to_string(),
            up: target.up,
            ejected: target.ejected,
            ejections: target.ejections,
            in_flight: target.in_flight.into(),
            pending: target.pending.into(),
        });
        targets.collect()
    }

    fn budgets(&self) -> Vec<telemetry::GatewayGauge> {
        let gauge = |budget: agent::Budget| telemetry::GatewayGauge {
            gateway: budget.gateway,
            retries_left: budget.retries_left,
            retries_refused: budget.retries_refused,
        };
        self.fleet.budgets().into_iter().map(gauge).collect()
    }

    fn comes_and_goes(&self) -> bool {
        true
    }

    fn try_condition<'a>(
        &'a self,
        gateway: &'a GatewayName,
        condition: &'a Condition,
    ) -> BoxFuture<'a, api::Tried> {
        Box::pin(async {
            let tried = self.fleet.try_condition(gateway, condition).await;
            let request = |request: agent::TriedRequest| api::TriedRequest {
                method: request.method,
                path: request.path,
                matches: request.matches,
            };
            api::Tried {
                requests: tried.requests.into_iter().map(request).collect(),
                answered: tried.answered,
                proxies: tried.agents,
            }
        })
    }
}
