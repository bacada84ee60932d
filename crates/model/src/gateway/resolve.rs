//! From a document with references to a specification without (spec: gateways 3, 5, 7, R3).

use crate::gateway::read_route::total_weight;
use crate::gateway::rules::{self, Shape};
use crate::gateway::weights::weights_add_up;
use crate::gateway::{
    ConditionEntry, GatewayDocument, GatewaySpec, References, RewriteEntry, RouteDocument, RouteEntry,
    RouteSpec,
};
use crate::name::RoutePath;
use crate::percent::Percent;
use crate::port::{Port, Protocol};
use crate::problem::{Problem, Problems};

impl GatewayDocument {
    /// Replaces references by copies of what they name, and checks again what only then can be checked.
    ///
    /// # Errors
    /// Every unknown reference ("Artifact cannot be found: 'x'."), routes that do not fit their gateway, and the weight rule
    /// of section 5.
    pub fn resolve(self, references: &dyn References) -> Result<GatewaySpec, Problems> {
        let mut problems = Problems::default();
        let protocol = self.port.map_or(Protocol::Http, Port::protocol);
        let mut routes = Vec::with_capacity(self.routes.len());
        for (path, entry) in self.routes {
            let document = match entry {
                RouteEntry::Inline(document) => Some(document),
                RouteEntry::Reference(name) => {
                    let found = references.route(&name);
                    if found.is_none() {
                        problems.push(Problem::not_found(format!("/routes/{path}"), &name));
                    }
                    found
                }
            };
            if let Some(document) = document {
                let route = resolve_route(&path, document, references, &mut problems);
                let shape = Shape {
                    selector: route.selector.is_some(),
                    condition: route.condition.is_some(),
                    rewrites: !route.rewrites.is_empty(),
                    balance: &route.balance,
                };
                rules::violations(&path, protocol, &shape)
                    .into_iter()
                    .for_each(|(_, problem)| problems.push(problem));
                routes.push((path, route));
            }
        }
        let weights: Vec<_> = routes.iter().map(|(_, route)| route.weight).collect();
        if problems.is_empty() && !weights_add_up(&weights) {
            problems.push(total_weight(self.name.as_str()));
        }
        problems.into_result(GatewaySpec {
            name: self.name,
            metadata: self.metadata,
            port: self.port,
            selector: self.selector,
            routes,
            sticky: self.sticky,
            target_protocol: self.target_protocol,
            virtual_hosts: self.virtual_hosts,
            service: self.service,
            tls: self.tls,
            target_tls: self.target_tls,
            target_care: self.target_care,
            proxy_protocol: self.proxy_protocol,
        })
    }
}

fn resolve_route(
    path: &RoutePath,
    document: RouteDocument,
    references: &dyn References,
    problems: &mut Problems,
) -> RouteSpec {
    let condition = document.condition.and_then(|entry| match entry {
        ConditionEntry::Inline(condition) => Some(condition),
        ConditionEntry::Reference(name) => {
            let found = references.condition(&name);
            if found.is_none() {
                problems.push(Problem::not_found(format!("/routes/{path}/condition"), &name));
            }
            found
        }
    });
    let mut rewrites = Vec::with_capacity(document.rewrites.len());
    for entry in document.rewrites {
        match entry {
            RewriteEntry::Inline(rewrite) => rewrites.push(rewrite),
            RewriteEntry::Reference(name) => match references.rewrite(&name) {
                Some(rewrite) => rewrites.push(rewrite),
                None => problems.push(Problem::not_found(format!("/routes/{path}/rewrites"), &name)),
            },
        }
    }
    RouteSpec {
        weight: document.weight,
        condition,
        condition_strength: document.condition_strength,
        balance: document.balance,
        rewrites,
        selector: document.selector,
        metadata: document.metadata,
    }
}

impl RouteSpec {
    /// The strength in force: the given one, else 100 % with a condition and 0 % without (section 7).
    pub fn strength(&self) -> Percent {
        let default = if self.condition.is_some() { Percent::FULL } else { Percent::ZERO };
        self.condition_strength.unwrap_or(default)
    }
}
