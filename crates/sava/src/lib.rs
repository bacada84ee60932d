//! The sava demo shop: two small services to release, again and again.
//!
//! ```text
//! browser --> sava-cart (store front, one for each locale) --Accept: ...v1+json--> sava-product (JSON by media type)
//!                 |  product service away? cached products, else a list of fruit
//! ```
//!
//! Every version of each service is this same code; the version that it is told to be decides which media types it
//! speaks and how it looks. Faults ([`Faults`]) are set by environment, so that a release can be made to go wrong.
//! Nothing here knows Vamp: a shop is released with Vamp, not built on it.

pub mod cart;
pub mod image;
pub mod product;

mod catalogue;
mod faults;
mod money;
mod server;
mod settings;

pub use faults::Faults;
pub use server::{ServeError, Server};
pub use settings::SettingsError;
