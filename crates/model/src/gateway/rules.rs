//! Rules about a route that depend on where it stands: checked when a document is read, and again when references are resolved.

use crate::gateway::{Balance, balance, external};
use crate::name::RoutePath;
use crate::port::Protocol;
use crate::problem::Problem;

/// What the rules look at in a route.
pub(super) struct Shape<'a> {
    pub(super) selector: bool,
    pub(super) condition: bool,
    pub(super) rewrites: bool,
    pub(super) balance: &'a Balance,
}

/// Everything that is wrong with a route at `path` of a gateway of `protocol`, each with the field it is about.
pub(super) fn violations(
    path: &RoutePath,
    protocol: Protocol,
    shape: &Shape<'_>,
) -> Vec<(&'static str, Problem)> {
    let mut found = Vec::new();
    let mut add = |code, field: &'static str, message: String| {
        found.push((field, Problem::new(code, format!("/routes/{path}/{field}"), message)));
    };
    if shape.selector && path.external().is_some() {
        add(
            "route-selector",
            "selector",
            format!("Selector cannot be defined for an external target: '{path}'."),
        );
    } else if shape.selector && path.segment_count() > 1 {
        add(
            "route-selector",
            "selector",
            format!("If route selector is defined, path must not contain '/': '{path}'."),
        );
    }
    if protocol == Protocol::Tcp {
        if shape.condition {
            let message = format!(
                "Condition is not allowed for TCP port: route '{path}', remove it or use an http port."
            );
            add("condition-on-tcp", "condition", message);
        }
        if shape.rewrites {
            let message = format!(
                "Rewrites are not allowed for TCP port: route '{path}', remove them or use an http port."
            );
            add("rewrite-on-tcp", "rewrites", message);
        }
        if !shape.balance.suits(protocol) {
            add("balance", "balance", balance::unsupported(&shape.balance.to_string(), protocol));
        }
    }
    found
}

/// Parses a route path, and the address inside brackets (R2).
pub(super) fn route_path(text: &str) -> Result<RoutePath, String> {
    let path = RoutePath::parse(text)
        .map_err(|message| format!("{message}; use 1 to 4 segments without white space, or '[host:port]'"))?;
    if let Some(address) = path.external() {
        external(address).map_err(|message| format!("Unsupported route path: '{path}'. {message}"))?;
    }
    Ok(path)
}
