//! One binary: what every store must do, and what the embedded one must survive.

mod conformance;
mod crash;
mod sqlite;
