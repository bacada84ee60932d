//! Who may what: the rights that Vamp itself needs.
//!
//! ```text
//! rights (one table) --> manifests: Roles and bindings to install
//!                    --> explain: the rule that is missing
//!                    --> guard: in debug builds, what is not in the table is not sent
//! ```

pub(crate) mod guard;
pub mod manifests;
pub mod rights;
