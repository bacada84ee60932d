//! The artifacts of Vamp: what a user declares, in which text, and what it means.
//!
//! This crate is pure: no clock, randomness, socket, file or async runtime. Untrusted text becomes a value
//! of one of these types once, at the door; past that line nothing asks "is it valid?" again.
//!
//! ```text
//! YAML | JSON text --yaml::Node--> gateway::GatewayDocument --resolve--> gateway::GatewaySpec
//!                                     |  Selector, Condition, Rewrite: languages with spans
//!                                     +-> Problems: everything that is wrong, each with path and position
//! ```

mod fields;

pub mod name;
pub mod percent;
pub mod port;

pub mod condition;
pub mod matcher;
pub mod rewrite;
pub mod selector;
pub mod syntax;

pub mod artifact;
pub mod event;
pub mod gateway;
pub mod instance;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod lookup;
pub mod problem;
pub mod yaml;
