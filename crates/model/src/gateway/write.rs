//! The output form of gateways and routes (spec: gateways 4, api 8).

use serde_json::{Map, Value, json};

use crate::gateway::{ConditionEntry, GatewayView, RewriteEntry, RouteDocument, RouteView, TargetView};
use crate::lookup;
use crate::name::RoutePath;
use crate::selector::Selector;

impl GatewayView {
    /// The expanded form that every read shows, fields in the order of the specification. It may be sent back unchanged.
    pub fn to_json(&self) -> Value {
        let routes: Map<String, Value> = self
            .routes
            .iter()
            .map(|(path, route)| (path.to_string(), self.route_to_json(path, route)))
            .collect();
        let mut view = json!({
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
            "selector": self.selector.as_ref().map(Selector::text),
            "routes": routes,
        });
        // Most gateways have none, and clients of before know none.
        if let Some(view) = view.as_object_mut() {
            if let Some(tls) = &self.tls {
                view.insert("tls".into(), tls.to_json());
            }
            if let Some(tls) = &self.target_tls {
                view.insert("target_tls".into(), tls.to_json());
            }
            if let Some(care) = &self.target_care {
                view.insert("target_care".into(), care.to_json());
            }
            if let Some(protocol) = self.target_protocol {
                view.insert("target_protocol".into(), json!(protocol));
            }
            if self.proxy_protocol {
                view.insert("proxy_protocol".into(), true.into());
            }
        }
        view
    }

    fn route_to_json(&self, path: &RoutePath, route: &RouteView) -> Value {
        json!({
            "metadata": route.metadata,
            "lookup_name": lookup::route(&self.name, path),
            "selector": route.selector.as_ref().map(Selector::text),
            "weight": route.weight.to_string(),
            "balance": route.balance.to_string(),
            "condition": route.condition.as_ref().map(|condition| json!({"condition": condition.text()})),
            "condition_strength": route.condition_strength.to_string(),
            "rewrites": route.rewrites.iter().map(|rewrite| json!({"path": rewrite.text()})).collect::<Vec<_>>(),
            "targets": route.targets.iter().map(TargetView::to_json).collect::<Vec<_>>(),
        })
    }
}

impl RouteDocument {
    /// The form of a stored route, without name and kind. References stay references, and what was not given stays out:
    /// a weight of 0 % would mean something else.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let mut add = |key: &str, value: Value| map.insert(key.to_owned(), value);
        add("metadata", Value::Object(self.metadata.clone()));
        add("selector", json!(self.selector.as_ref().map(Selector::text)));
        if let Some(weight) = self.weight {
            add("weight", json!(weight.to_string()));
        }
        add("balance", json!(self.balance.to_string()));
        add(
            "condition",
            match &self.condition {
                None => Value::Null,
                Some(ConditionEntry::Inline(condition)) => json!({"condition": condition.text()}),
                Some(ConditionEntry::Reference(name)) => json!({"reference": name}),
            },
        );
        if let Some(strength) = self.condition_strength {
            add("condition_strength", json!(strength.to_string()));
        }
        let rewrites = self.rewrites.iter().map(|rewrite| match rewrite {
            RewriteEntry::Inline(rewrite) => json!({"path": rewrite.text()}),
            RewriteEntry::Reference(name) => json!({"reference": name}),
        });
        add("rewrites", rewrites.collect());
        add("targets", json!([]));
        map
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
