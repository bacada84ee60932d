//! Who may what: the rights that Vamp itself needs, and who calls its API.
//!
//! ```text
//! rights (one table) --> manifests: Roles and bindings to install
//!                    --> explain: the rule that is missing
//!                    --> guard: in debug builds, what is not in the table is not sent
//!
//! token of a caller  --> callers: TokenReview, SubjectAccessReview --> name, role
//! ```

mod cache;
mod callers;
#[cfg(test)]
mod chart;
pub(crate) mod guard;
pub mod manifests;
pub mod rights;

pub use callers::{Caller, Callers, Refusal, Role};

#[cfg(test)]
mod real_tests;
