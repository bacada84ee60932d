//! The output form of gateways and routes (spec: gateways 4, api 8).

use serde_json::{Map, Value, json};

use crate::gateway::{GatewayView, RouteView, TargetView};
use crate::lookup;
use crate::name::RoutePath;

impl GatewayView {
    /// The expanded form that every read shows, fields in the order of the specification. It may be sent back unchanged.
    pub fn to_json(&self) -> Value {
        let routes: Map<String, Value> = self
            .routes
            .iter()
            .map(|(path, route)| (path.to_string(), self.route_to_json(path, route)))
            .collect();
        json!({
            "name": self.name.as_str(),
            "kind": "gateways",
            "metadata": self.metadata,
            "lookup_name": lookup::gateway(&self.name),
            "internal": self.name.is_internal(),
            // Clients take a gateway for an http one only when this ends in `/http`.
            "service": {"host": self.service.host, "port": self.service.port.with_protocol()},
            "deployed": self.deployed,
            "port": self.port.to_string(),
            "sticky": self.sticky,
            "virtual_hosts": self.virtual_hosts,
            "selector": self.selector.as_ref().map(ToString::to_string),
            "routes": routes,
        })
    }

    fn route_to_json(&self, path: &RoutePath, route: &RouteView) -> Value {
        let condition = route.condition.as_ref().map(|condition| json!({"condition": condition.text()}));
        let rewrites: Vec<Value> = route.rewrites.iter().map(|rewrite| json!({"path": rewrite.text()})).collect();
        json!({
            "metadata": route.metadata,
            "lookup_name": lookup::route(&self.name, path),
            "selector": route.selector.as_ref().map(ToString::to_string),
            "weight": route.weight.to_string(),
            "balance": route.balance.to_string(),
            "condition": condition,
            "condition_strength": route.condition_strength.to_string(),
            "rewrites": rewrites,
            "targets": route.targets.iter().map(TargetView::to_json).collect::<Vec<_>>(),
        })
    }
}

impl TargetView {
    /// `{url}` or `{name, host, port}`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Url(url) => json!({"url": url}),
            Self::Named { name, host, port } => json!({"name": name, "host": host, "port": port}),
        }
    }
}
