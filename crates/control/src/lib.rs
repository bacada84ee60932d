//! The control plane: what users want and what the platform shows become traffic.
//!
//! ```text
//!   Request --submit--> +-----------------------------+ --published--> RoutingConfig --> proxies
//!                       | engine: one task            |                                    |
//!   Observation ------> |   plan (pure) -> commit     | <------------- acknowledge --------+
//!                       |   -> memory -> published    |
//!   Clock ------------> +-----------------------------+ --view, subscribe--> API, UI
//!                                    |
//!                                  Store
//! ```
//!
//! - [`plan`] is pure: the same state, observation, change and instant give the same plan. It decides everything.
//! - [`state`] is what is kept: for each gateway what a user *declared*, what is *live* (weights, conditions, port), and
//!   what was *sighted* on the platform (targets, absent routes).
//! - [`engine`](Control) is the one task that carries plans out. There is one writer, so no change overwrites another;
//!   the store compares and sets, so a second process cannot either.

pub mod plan;
pub mod request;
pub mod settings;
pub mod state;
pub mod view;

mod engine;

pub use engine::acks::{NotApplied, Receipt};
pub use engine::clock::{Clock, ManualClock, SystemClock};
pub use engine::control::{Control, StartError};
pub use plan::PortCheck;
pub use request::{Accepted, Change, Mode, Outcome, Part, Refusal, RefusalKind, Request};
pub use settings::Settings;
pub use view::{Counts, Entry, ProxyStatus, StoredArtifact, View};

#[cfg(test)]
mod tests;
