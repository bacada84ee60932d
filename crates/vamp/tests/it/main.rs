//! The real binary as its users meet it: processes, sockets, files, signals.
#![allow(missing_docs, clippy::unwrap_used)]

mod agents;
mod api_tls;
mod bad_input;
mod churn;
mod client;
mod cluster_check;
mod conformance;
mod controller;
mod crash;
mod custom_resources;
mod demo;
mod guide;
mod harness;
mod kubernetes;
mod load;
mod operations;
mod plugin;
mod release;
mod rollout;
mod shortage;
mod takeover;
mod target;
mod tls;
mod writers;
