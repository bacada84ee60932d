//! A condition on trial: whether a request would satisfy it, without a gateway that has it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use model::condition::Condition;
use model::gateway::Balance;
use model::name::RoutePath;

use crate::config::{
    GatewayConfig, RouteConfig, RoutingConfig, TargetAddress, TargetConfig, TargetKind, TargetProtocol,
};
use crate::decide::{Dice, Reason, decide};
use crate::request::RequestHead;
use crate::table::{Gateway, RoutingTable};

/// A condition on trial. There is one evaluation of conditions only, that of the data plane, so each question is put to it: a
/// gateway with nothing but a route that has the condition, always can serve and has no weight.
#[derive(Debug)]
pub struct Trial(Arc<Gateway>);

impl Trial {
    /// Of a condition that `gateway` might get; `None` when no such gateway can be made.
    pub fn of(gateway: &GatewayConfig, condition: Condition) -> Option<Self> {
        let target = TargetConfig {
            id: "any".into(),
            name: "any".into(),
            address: TargetAddress::Socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
            kind: TargetKind::Instance,
            protocol: TargetProtocol::default(),
            tls: None,
        };
        let route = RouteConfig {
            path: RoutePath::parse("any").ok()?,
            lookup: "any".into(),
            weight: 0,
            condition: Some(condition),
            strength: 10_000,
            balance: Balance::Default,
            rewrites: Vec::new(),
            targets: vec![target],
        };
        let config = GatewayConfig { sticky: None, routes: vec![route], ..gateway.clone() };
        let name = config.name.clone();
        let alone = RoutingConfig { revision: 0, gateways: [(name.clone(), Arc::new(config))].into() };
        let table = RoutingTable::compile(&alone, &RoutingTable::default(), &mut || 0);
        table.gateway(&name).cloned().map(Self)
    }

    /// Whether the condition holds for a request.
    pub fn holds(&self, request: &RequestHead<'_>) -> bool {
        decide(&self.0, request, &mut Same).reason == Reason::Condition
    }
}

/// The strength is all, so no draw decides anything.
struct Same;

impl Dice for Same {
    fn roll(&mut self) -> u64 {
        0
    }
}
