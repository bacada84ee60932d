//! Certificates and authorities: read from PEM, watched in files, made into configurations of rustls. For the proxy, which shows and checks
//! them for gateways, for the API's listener, and for Vamp's own clients.
//!
//! ```text
//! file --read--> Certificate --> ServerCertificate: what a listener shows, read again every few seconds
//!          `---> authorities --> ClientConfig: whom a client believes
//! ```

mod authorities;
mod certificate;
mod file;
mod server;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use authorities::{client, in_pem, of_system};
pub use certificate::{Certificate, CertificatePem};
pub use file::read;
pub use server::{Files, ServerCertificate};

/// The library of cryptography, the same everywhere.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
