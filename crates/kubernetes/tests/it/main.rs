//! The platform against a fake API server and a real one: what is shown and written comes to be what it should be, whatever goes
//! wrong.
#![allow(missing_docs, clippy::unwrap_used)]

mod access;
mod chaos;
mod discovery;
mod lease;
mod real;
mod records;
mod services;
mod world;
