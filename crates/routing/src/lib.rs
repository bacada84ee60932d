//! The routing decision, pure: which route and target serve a request, and why.
//!
//! ```text
//! RoutingConfig (plain data, from control) --compile--> RoutingTable (immutable, one per revision)
//!                                                          |
//!                       request head, dice --decide--> Decision { route, target, reason, cookies }
//! ```
//!
//! No clock, randomness, socket or runtime: randomness comes in as [`decide::Dice`], positions of the deterministic splits live
//! in atomics beside the table and survive a new revision.

pub mod config;
pub mod request;
pub mod table;

pub mod decide;
pub mod explain;
pub mod trial;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

mod balance;
mod position;
mod schedule;
mod sticky;

mod condition;
mod matcher;
mod rewrite;

mod cookies;
mod host;
mod seen;
mod text;
