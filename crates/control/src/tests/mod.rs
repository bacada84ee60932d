//! Tests of the control plane through its front door: what a user writes and what the platform shows go in, what readers,
//! proxies and followers of events see comes out.

mod world;

mod changes;
mod declare;
mod engine;
mod events;
mod examples;
mod retention;
mod simulation;
mod size;
