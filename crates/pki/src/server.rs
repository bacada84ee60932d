//! The certificate of one listener, from two files that are watched.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificate::{Certificate, CertificatePem};

/// Where the certificate of a listener and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, followed by those between it and the authority, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

impl Files {
    /// Blocks.
    fn read(&self) -> Result<CertificatePem, String> {
        Ok(CertificatePem { certificate: crate::read(&self.certificate)?, key: crate::read(&self.key)? })
    }
}

/// What a listener shows to clients that come with TLS.
#[derive(Debug)]
pub struct ServerCertificate {
    files: Files,
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
    looks: Looks,
    /// When the certificate that is shown ends, until that was said.
    until: Option<Timestamp>,
}

impl ServerCertificate {
    /// Reads the files for the first time; `protocols` are what is spoken behind it, best first (ALPN). Blocks.
    ///
    /// # Errors
    /// What is wrong with the certificate or its key, in words that show nothing of the key.
    pub fn open(files: Files, protocols: &[&[u8]]) -> Result<Self, String> {
        let provider = crate::provider();
        let pem = files.read()?;
        let certificate = Certificate::from_pem(&pem, &provider)
            .map_err(|error| format!("{}: {error}", files.certificate.display()))?;
        let shown = Arc::new(Shown(ArcSwap::from(certificate.key)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as _);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let looks = Looks { good: pem.clone(), last: Ok(pem), problem: None };
        Ok(Self { files, shown, config: Arc::new(config), looks, until: Some(certificate.not_after) })
    }

    /// How to speak; handshakes after a change of the files show the new certificate.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Looks at the files again and again, for as long as it is polled. What cannot be used changes nothing, and is logged.
    pub async fn watch(mut self, period: Duration) {
        let provider = crate::provider();
        loop {
            tokio::time::sleep(period).await;
            let files = self.files.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await else { continue };
            let file = self.files.certificate.display();
            match self.looks.look(read, |pem| Certificate::from_pem(pem, &provider)) {
                None => {}
                Some(Ok(Certificate { key, not_after, .. })) => {
                    self.shown.0.store(key);
                    self.until = Some(not_after);
                    tracing::info!(%file, until = %not_after, "a certificate was replaced");
                }
                Some(Err(problem)) => {
                    tracing::warn!(%file, problem, "a certificate cannot be used; the one before is still shown");
                }
            }
            if let Some(until) = self.until.take_if(|until| *until < Timestamp::now()) {
                tracing::warn!(%file, %until, "the certificate has ended: clients refuse it");
            }
        }
    }
}

/// The certificate in force.
#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// What was seen in the files. Pure.
#[derive(Debug)]
struct Looks {
    /// What is in force.
    good: CertificatePem,
    last: Result<CertificatePem, String>,
    /// What was told.
    problem: Option<String>,
}

impl Looks {
    /// What to do after another look: show this from now on, or tell what is wrong; nothing as a rule.
    fn look<T>(
        &mut self,
        read: Result<CertificatePem, String>,
        make: impl FnOnce(&CertificatePem) -> Result<T, String>,
    ) -> Option<Result<T, String>> {
        let again = self.last == read;
        self.last = read;
        let made = match &self.last {
            Ok(pem) if *pem == self.good => {
                self.problem = None;
                return None;
            }
            // Nothing new, and told.
            Ok(_) if again && self.problem.is_some() => return None,
            Ok(pem) => make(pem).map(|made| (made, pem.clone())),
            Err(error) => Err(error.clone()),
        };
        match made {
            Ok((made, pem)) => {
                self.good = pem;
                self.problem = None;
                Some(Ok(made))
            }
            // Certificate and key are often written one after the other: what is still so at the next look counts.
            Err(_) if !again => None,
            Err(problem) if self.problem.as_ref() == Some(&problem) => None,
            Err(problem) => {
                self.problem = Some(problem.clone());
                Some(Err(problem))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(text: &str) -> Result<CertificatePem, String> {
        Ok(CertificatePem { certificate: text.into(), key: text.into() })
    }

    /// What is read in turn, and what comes of it. Good is what begins with `good`.
    #[test]
    fn what_is_still_wrong_at_the_next_look_counts() {
        let good = pem("good 1").unwrap();
        let mut looks = Looks { good: good.clone(), last: Ok(good), problem: None };
        let made = |pem: &CertificatePem| {
            let text = String::from_utf8_lossy(&pem.certificate).into_owned();
            if text.starts_with("good") { Ok(text) } else { Err(format!("{text} is bad")) }
        };
        let shown = |text: &str| Some(Ok(text.to_owned()));
        let told = |text: &str| Some(Err(text.to_owned()));
        for (number, (read, expected)) in [
            (pem("good 1"), None),
            (pem("good 2"), shown("good 2")),
            (pem("half"), None),
            (pem("good 3"), shown("good 3")),
            (pem("half"), None),
            (pem("half"), told("half is bad")),
            (pem("half"), None),
            (Err("gone".to_owned()), None),
            (Err("gone".to_owned()), told("gone")),
            (Err("gone".to_owned()), None),
            (pem("good 3"), None),
            (Err("gone".to_owned()), None),
            (Err("gone".to_owned()), told("gone")),
            (pem("good 4"), shown("good 4")),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(looks.look(read, made), expected, "look {number}");
        }
    }

    #[test]
    fn a_listener_needs_a_certificate_that_can_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files { certificate: folder.path().join("a.crt"), key: folder.path().join("a.key") };
        let open = || ServerCertificate::open(files.clone(), &[b"h2", b"http/1.1"]);
        assert!(open().unwrap_err().contains("a.crt"));
        let made = rcgen::generate_simple_self_signed(vec!["a".into()]).unwrap();
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        assert!(open().unwrap_err().contains("a.key"));
        std::fs::write(&files.key, "x").unwrap();
        let error = open().unwrap_err();
        assert!(error.contains("a.crt: the key cannot be read"), "{error}");
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        assert_eq!(open().unwrap().config().alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
