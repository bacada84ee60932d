//! The API over real HTTP, with a real control plane over a store in memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod server;

mod artifacts;
mod conventions;
mod documents;
mod environments;
mod events;
mod gateways;
mod information;
mod openapi;
mod operations;
mod screens;
mod security;
mod streams;
mod workloads;
