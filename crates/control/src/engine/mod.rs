//! The task that carries plans out, and what readers see of it.
//!
//! - [`core`]: state, sightings and timers, without any waiting: the simulation drives it directly.
//! - [`records`]: state to store records and back.
//! - [`task`]: the one loop that owns the core.
//! - [`control`]: the handle that everybody else holds.
//! - [`acks`]: which proxy serves what. [`ring`]: events that are not stored. [`clock`]: time as a parameter.

pub(crate) mod acks;
pub(crate) mod clock;
pub(crate) mod control;

pub(crate) mod core;
pub(crate) mod records;
mod ring;
mod task;
