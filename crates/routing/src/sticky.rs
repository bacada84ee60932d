//! Stickiness: what the cookies of a client say, and the cookies it gets (spec: gateways 12, R30, R31).
//!
//! | cookie | value after `<generation>.` | remembers |
//! |---|---|---|
//! | `vamp_r_<gateway>` | id of a route | the route chosen by weight |
//! | `vamp_c_<route>` | `in` or `out` | the strength draw of a condition |
//! | `vamp_i_<route>` | id of a target | the target |
//!
//! Ids are digests: they survive restarts, are the same on every proxy and reveal no address. A value of another generation
//! is no value: raising the generation evicts every client at once. A value that names something gone is no value either.

use crate::cookies::{self, unquoted};
use crate::request::Fields;
use crate::table::{Gateway, Route};

/// Names of the cookies and the prefix of their values, made once.
#[derive(Debug)]
pub(crate) struct Names {
    /// `<generation>.`
    prefix: String,
    route: String,
    /// For each route: draw and target.
    routes: Box<[(String, String)]>,
}

/// The cookies of one request, and those that the response will set.
pub(crate) struct Jar<'a> {
    names: &'a Names,
    fields: &'a dyn Fields,
    set: &'a mut Vec<String>,
}

impl Names {
    /// For a gateway and its routes, by their ids.
    pub(crate) fn new<'a>(generation: u32, gateway: &str, routes: impl Iterator<Item = &'a str>) -> Self {
        Self {
            prefix: format!("{generation}."),
            route: format!("vamp_r_{gateway}"),
            routes: routes.map(|route| (format!("vamp_c_{route}"), format!("vamp_i_{route}"))).collect(),
        }
    }
}

impl<'a> Jar<'a> {
    pub(crate) fn new(names: &'a Names, fields: &'a dyn Fields, set: &'a mut Vec<String>) -> Self {
        Self { names, fields, set }
    }

    /// The route that an earlier pick by weight chose, if the gateway still has it.
    pub(crate) fn route(&self, gateway: &Gateway) -> Option<usize> {
        let routes = &gateway.config.routes;
        self.read(&self.names.route, |id| routes.iter().position(|route| route.lookup.as_bytes() == id))
    }

    pub(crate) fn keep_route(&mut self, gateway: &Gateway, route: usize) {
        self.write(&self.names.route, &gateway.config.routes[route].lookup);
    }

    /// The outcome of an earlier strength draw of a route.
    pub(crate) fn draw(&self, route: usize) -> Option<bool> {
        self.read(&self.names.routes[route].0, |outcome| match outcome {
            b"in" => Some(true),
            b"out" => Some(false),
            _ => None,
        })
    }

    pub(crate) fn keep_draw(&mut self, route: usize, won: bool) {
        self.write(&self.names.routes[route].0, if won { "in" } else { "out" });
    }

    /// The target of the route that an earlier request went to, if it serves.
    pub(crate) fn target(&self, index: usize, route: &Route) -> Option<usize> {
        self.read(&self.names.routes[index].1, |id| {
            route.targets.iter().position(|target| target.config.id.as_bytes() == id && target.serves())
        })
    }

    pub(crate) fn keep_target(&mut self, index: usize, route: &Route, target: usize) {
        self.write(&self.names.routes[index].1, &route.targets[target].config.id);
    }

    /// The first value of this generation that means something.
    fn read<T>(&self, name: &str, meaning: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let mut found = None;
        cookies::any(self.fields, name, |value| {
            found = unquoted(value).strip_prefix(self.names.prefix.as_bytes()).and_then(&meaning);
            found.is_some()
        });
        found
    }

    fn write(&mut self, name: &str, value: &str) {
        let prefix = &self.names.prefix;
        self.set.push(format!("{name}={prefix}{value}; Path=/; HttpOnly; SameSite=Lax"));
    }
}
