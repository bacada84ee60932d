//! Tables over the sentences of spec gateways 1-7, 13, 15, 16, and properties of reading, writing and storing.

mod accepted;
mod care;
mod hosts;
mod properties;
mod refused;
mod resolved;
mod tls;
mod written;

use super::*;
use crate::problem::Problems;

/// The document of a text that must be accepted.
#[track_caller]
fn document(text: &str) -> GatewayDocument {
    GatewayDocument::read(text).unwrap_or_else(|problems| panic!("{text}\n{:#?}", problems.0))
}

/// The problems of a text that must be refused.
#[track_caller]
fn problems(text: &str) -> Problems {
    match GatewayDocument::read(text) {
        Ok(document) => panic!("{text}\nwas read as {document:#?}"),
        Err(problems) => problems,
    }
}

/// The only route of a document.
#[track_caller]
fn route(text: &str) -> RouteDocument {
    let document = document(text);
    let (_, entry) = document.routes.into_iter().next().expect("a route");
    match entry {
        RouteEntry::Inline(route) => route,
        RouteEntry::Reference(name) => panic!("a reference to {name}"),
    }
}

fn percent(text: &str) -> Percent {
    Percent::parse(text).unwrap()
}
