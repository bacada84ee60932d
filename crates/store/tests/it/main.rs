//! One binary: what every store must do, and what the embedded one must survive.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod conformance;
mod crash;
mod sqlite;
