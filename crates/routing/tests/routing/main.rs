//! The crate through its public door: tables in, decisions out.

// Helpers of tests may panic like the tests themselves; clippy only knows about functions marked #[test].
#![allow(clippy::unwrap_used)]

mod common;

mod conditions;
mod matchers;
mod rewrites;

mod balance;
mod conditional;
mod slow_start;
mod sticky;
mod weights;

mod examples;
mod explain;
mod table;

mod cost;
mod purity;
mod simulation;
