//! The real binary on a real cluster: pods, Services, and the tutorial.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::print_stderr, reason = "what happened when tells why a request failed")]

#[path = "../it/harness.rs"]
#[allow(dead_code, reason = "shared with the tests that need no cluster")]
mod harness;
#[path = "../it/target.rs"]
#[allow(dead_code, reason = "shared with the tests that need no cluster")]
mod target;

mod api;
mod installed;
mod load;
mod node;
mod relay;
mod replicas;
mod secrets;
mod serve;
mod shop;
mod tutorial;
mod unharmed;
