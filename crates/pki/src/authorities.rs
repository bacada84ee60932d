//! Whom to believe: the authorities in a file, or those of the system.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// The authorities in PEM.
///
/// # Errors
/// What is wrong with it.
pub fn in_pem(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("a certificate cannot be read: {error}"))?;
        roots.add(certificate).map_err(|error| format!("a certificate cannot be used: {error}"))?;
    }
    if roots.is_empty() { Err("there is no certificate in it".into()) } else { Ok(roots) }
}

/// The authorities that the system trusts.
///
/// # Errors
/// It has none.
pub fn of_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("the system has no certificates of authorities".into());
    }
    Ok(roots)
}

/// How a client of Vamp's checks servers: against the authorities in a file, else against those of the system. Blocks.
///
/// # Errors
/// What is wrong with the file or the system.
pub fn client(file: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<ClientConfig, String> {
    let roots = match file {
        Some(file) => in_pem(&crate::read(file)?).map_err(|error| format!("{}: {error}", file.display()))?,
        None => of_system()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.crt");
        let with = |text: &str| {
            std::fs::write(&path, text).unwrap();
            client(Some(&path), &crate::provider())
        };
        let made = rcgen::generate_simple_self_signed(vec!["a".into()]).unwrap();
        for (text, part) in [
            ("", "ca.crt: there is no certificate in it"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used"),
            (&made.signing_key.serialize_pem(), "there is no certificate in it"),
        ] {
            let error = with(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(with(&made.cert.pem()).is_ok());
        std::fs::remove_file(&path).unwrap();
        assert!(client(Some(&path), &crate::provider()).unwrap_err().contains("cannot read"));
    }
}
