//! What is wrong with an installation, and how to mend it.
//!
//! ```text
//! facts::gather (asks the API server as the person) --> Facts --> findings (pure)
//! ```
//!
//! What the person may not see is said to be unknown; it is never taken for right or wrong.

mod facts;
mod findings;

use crate::user::User;

pub use facts::{
    Answer, Checked, Controller, Definition, Facts, GatewayFact, Lease, Pods, Server, ServiceFact,
};
pub use findings::findings;

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// As it should be.
    Fine,
    /// It works, but somebody should look; or it cannot be seen.
    Warning,
    /// Something does not work.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it stands.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// What to do, where there is something: a command, or who can.
    pub mend: Option<String>,
}

/// Looks at the installation in the namespace `installation` and at its environment in `environment`.
pub async fn examine(user: &User, environment: &str, installation: &str) -> Vec<Finding> {
    findings(&facts::gather(user, environment, installation).await)
}
