//! The memory of a gateway that is also an object outside, where people edit it (a custom resource of a cluster).
//!
//! Both sides can be changed at any time, and neither waits for the other. What either side has changed is told by comparing with
//! the document that both had last, which is kept here together with which state of the object that was.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::gateway::GatewaySpec;

/// What is remembered of the object that mirrors a gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// Identity of the object.
    pub uid: String,
    /// Number of its document that was taken in last.
    pub generation: i64,
    /// That document, references replaced by copies.
    pub base: Arc<GatewaySpec>,
}

impl GatewaySpec {
    /// This document with some fields, by name, as in `other`.
    #[must_use]
    pub fn with_fields_of(mut self, other: &Self, fields: &BTreeSet<String>) -> Self {
        for field in fields {
            match field.as_str() {
                "metadata" => self.metadata.clone_from(&other.metadata),
                "port" => self.port = other.port,
                "selector" => self.selector.clone_from(&other.selector),
                "routes" => self.routes.clone_from(&other.routes),
                "sticky" => self.sticky = other.sticky,
                "target_protocol" => self.target_protocol = other.target_protocol,
                "virtual_hosts" => self.virtual_hosts.clone_from(&other.virtual_hosts),
                "service" => self.service.clone_from(&other.service),
                "tls" => self.tls.clone_from(&other.tls),
                "target_tls" => self.target_tls.clone_from(&other.target_tls),
                "target_care" => self.target_care.clone_from(&other.target_care),
                "proxy_protocol" => self.proxy_protocol = other.proxy_protocol,
                _ => {}
            }
        }
        self
    }
}

impl Mirror {
    /// The value to store.
    pub fn to_stored(&self) -> Value {
        json!({
            "uid": self.uid,
            "generation": self.generation,
            "base": self.base.to_stored(),
        })
    }

    /// Reads what [`Mirror::to_stored`] wrote.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn from_stored(value: &Value) -> Result<Self, String> {
        let base = value.get("base").ok_or("a mirror without its document")?;
        Ok(Self {
            uid: value.get("uid").and_then(Value::as_str).unwrap_or_default().to_owned(),
            generation: value.get("generation").and_then(Value::as_i64).unwrap_or_default(),
            base: Arc::new(GatewaySpec::from_stored(base)?),
        })
    }
}

impl GatewaySpec {
    /// The document as a person would write it, without its name: what is not declared is left out. Routes are a map where
    /// that keeps their order also after somebody sorted its keys, else a list.
    pub fn to_document(&self) -> serde_json::Map<String, Value> {
        let mut fields = serde_json::Map::new();
        let mut add = |key: &str, value: Value| fields.insert(key.to_owned(), value);
        if let Some(port) = self.port.filter(|port| port.number() != 0) {
            let text = port.to_string();
            add("port", text.parse::<u16>().map_or_else(|_| Value::from(text), Value::from));
        }
        if let Some(selector) = &self.selector {
            add("selector", selector.text().into());
        }
        if !self.routes.is_empty() {
            let sorted = self.routes.windows(2).all(|pair| pair[0].0.as_str() < pair[1].0.as_str());
            let routes =
                self.routes.iter().map(|(path, route)| (path.as_str().to_owned(), route.to_document()));
            if sorted {
                add("routes", Value::Object(routes.collect()));
            } else {
                add("routes", routes.map(|(path, route)| json!({path: route})).collect());
            }
        }
        if let Some(sticky) = self.sticky {
            add("sticky", json!(sticky));
        }
        if let Some(protocol) = self.target_protocol {
            add("target_protocol", json!(protocol));
        }
        if !self.virtual_hosts.is_empty() {
            add("virtual_hosts", json!(self.virtual_hosts));
        }
        if let Some(tls) = &self.tls {
            add("tls", tls.to_document());
        }
        if let Some(tls) = &self.target_tls {
            add("target_tls", tls.to_json());
        }
        if let Some(care) = &self.target_care {
            add("target_care", care.to_json());
        }
        if self.proxy_protocol {
            add("proxy_protocol", true.into());
        }
        if !self.metadata.is_empty() {
            add("metadata", Value::Object(self.metadata.clone()));
        }
        if let Some(service) = &self.service {
            add("service", json!({"host": service.host, "port": service.port.to_string()}));
        }
        fields
    }
}

impl crate::gateway::RouteSpec {
    fn to_document(&self) -> Value {
        let mut fields = serde_json::Map::new();
        let mut add = |key: &str, value: Value| fields.insert(key.to_owned(), value);
        if let Some(weight) = self.weight {
            add("weight", weight.to_string().into());
        }
        if let Some(condition) = &self.condition {
            add("condition", condition.text().into());
        }
        if let Some(strength) = self.condition_strength {
            add("condition_strength", strength.to_string().into());
        }
        if self.balance != crate::gateway::Balance::Default {
            add("balance", self.balance.to_string().into());
        }
        if !self.rewrites.is_empty() {
            add("rewrites", self.rewrites.iter().map(|rewrite| json!({"path": rewrite.text()})).collect());
        }
        if let Some(selector) = &self.selector {
            add("selector", selector.text().into());
        }
        if !self.metadata.is_empty() {
            add("metadata", Value::Object(self.metadata.clone()));
        }
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Condition;
    use crate::gateway::{GatewayDocument, References, RouteDocument};
    use crate::rewrite::Rewrite;

    struct Nothing;

    impl References for Nothing {
        fn route(&self, _: &str) -> Option<RouteDocument> {
            None
        }
        fn condition(&self, _: &str) -> Option<Condition> {
            None
        }
        fn rewrite(&self, _: &str) -> Option<Rewrite> {
            None
        }
    }

    fn spec(yaml: &str) -> GatewaySpec {
        GatewayDocument::read(&format!("name: shop\n{yaml}")).unwrap().resolve(&Nothing).unwrap()
    }

    #[track_caller]
    fn check(yaml: &str) {
        let spec = spec(yaml);
        let mut document = spec.to_document();
        document.insert("name".into(), "shop".into());
        let again = GatewayDocument::read(&Value::Object(document.clone()).to_string()).unwrap();
        assert_eq!(again.resolve(&Nothing).unwrap(), spec, "{yaml}");
        // As a cluster hands it out.
        let sorted =
            serde_json::to_value(document.into_iter().collect::<std::collections::BTreeMap<_, _>>()).unwrap();
        let again = GatewayDocument::from_node(&crate::yaml::Node::from_value(&sorted)).unwrap();
        assert_eq!(again.resolve(&Nothing).unwrap(), spec, "{yaml}");
        let mirror = Mirror { uid: "u".into(), generation: 3, base: Arc::new(spec) };
        assert_eq!(Mirror::from_stored(&mirror.to_stored()).unwrap(), mirror);
    }

    #[test]
    fn a_document_reads_as_what_it_is_of() {
        for yaml in [
            "",
            "port: 9070",
            "port: 9070/http",
            "port: 9070/tcp\nroutes: {a: {weight: 100%}}",
            "selector: label(app)((.*))\nsticky: instance\ntarget_protocol: http2\nvirtual_hosts: [a.example]\nmetadata: {a: {b: [1]}}",
            "service: {host: x.example, port: 80}",
            "tls: {secret: shop-tls, redirect: true}",
            "target_tls: {}",
            "target_tls: {ca_file: /etc/ca.crt, server_name: shop.internal}\nproxy_protocol: true",
            "target_tls: {insecure_skip_verification: true}",
            "target_tls: {ca_secret: shop-ca}",
            "target_tls: {ca_config_map: shop.ca, server_name: shop.internal}",
            "target_care: {eject_after: 0, ejection_time: 90s, most_ejected: 33.5%, slow_start: 0s, requests: 100, pending: 0}",
            "tls: {certificates: [{certificate: /a.crt, key: /a.key}, {secret: b.example}], minimum_version: 1.3}",
            "routes: {b: {weight: 90%}, a: {weight: 10%, condition: has header x, condition_strength: 5%, balance: uri}}",
            "routes: {a: {rewrites: [{path: '/v2%[path] if path_beg /api'}], metadata: {k: v}, selector: label(a)(b)}}",
        ] {
            check(yaml);
        }
        let ordered = spec("routes: {b: {}, a: {}}").to_document();
        assert_eq!(ordered["routes"], json!([{"b": {}}, {"a": {}}]));
        assert_eq!(spec("routes: {a: {}, b: {}}").to_document()["routes"], json!({"a": {}, "b": {}}));
    }

    #[test]
    fn fields_are_taken_by_name() {
        let fields = ["port".to_owned(), "routes".to_owned(), "unknown".to_owned()].into();
        let mixed = spec("port: 1\nsticky: route").with_fields_of(&spec("port: 2\nroutes: {a: {}}"), &fields);
        assert_eq!(mixed, spec("port: 2\nsticky: route\nroutes: {a: {}}"));
    }
}
