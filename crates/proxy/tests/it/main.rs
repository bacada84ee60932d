//! The proxy on real sockets: raw clients, fake targets.
#![allow(clippy::unwrap_used)]

mod attacks;
mod basics;
mod bodies;
mod care;
mod changes;
mod departures;
mod differential;
mod fairness;
mod fuzz;
mod h2;
mod handover;
mod hostile;
mod memory;
mod observing;
mod peers;
mod retries;
mod routing;
mod soak;
mod storms;
mod support;
mod tcp;
mod timeouts;
mod tls;
mod upgrades;
