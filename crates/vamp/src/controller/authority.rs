//! The certificate of the agents' door: issued by an authority of the installation's own, which all replicas share.
//!
//! ```text
//! Secret vamp-ca (any replica makes it, the first one wins) --> authority --> certificate of this replica
//!                                                                   |
//!                                                   ConfigMap vamp-ca of every environment (the leader)
//! ```

use std::time::Duration;

use agent::{Issued, SERVER_NAME, Server, ServerCertificate};
use anyhow::Context as _;
use jiff::Timestamp;
use kubernetes::Cluster;
use kubernetes::authority::AuthorityError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Whether something is to be renewed is looked at this often.
const LOOK: Duration = Duration::from_secs(3600);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(2);
/// How often a change of somebody else is followed by another attempt at once.
const ATTEMPTS: usize = 5;

/// The authority of the installation.
#[derive(Debug, Clone)]
pub(super) struct Authority {
    kept: kubernetes::authority::Authority,
    /// What the certificates are for.
    names: Vec<String>,
}

impl Authority {
    pub(super) fn new(cluster: &Cluster, home: &str) -> Self {
        let service = ["", ".svc"].map(|end| format!("{SERVER_NAME}.{home}{end}"));
        // Agents look for the first one, whatever the address.
        let mut names = vec![SERVER_NAME.to_owned(), "localhost".to_owned()];
        names.extend(service);
        Self { kept: kubernetes::authority::Authority::new(cluster, home), names }
    }

    /// The authority: what is kept, or a new one when there is none or its time has come.
    async fn current(&self) -> anyhow::Result<agent::Authority> {
        for _ in 0..ATTEMPTS {
            let kept = self.kept.read().await?;
            let next = match &kept {
                None => agent::Authority::make(Timestamp::now())?,
                Some(kept) => {
                    let authority = agent::Authority::from_pem(&kept.certificates, &kept.key).context(
                        "the Secret 'vamp-ca' cannot be used; delete it, and Vamp makes a new one",
                    )?;
                    match authority.renewed(Timestamp::now())? {
                        Some(next) => next,
                        None => return Ok(authority),
                    }
                }
            };
            match self.kept.keep(&next.certificates, &next.key, kept.as_ref()).await {
                Ok(()) => {
                    info!("a certificate authority was made");
                    return Ok(next);
                }
                Err(AuthorityError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::bail!("others keep changing the Secret 'vamp-ca'")
    }

    async fn issue(&self) -> anyhow::Result<Issued> {
        Ok(self.current().await?.issue(&self.names, Timestamp::now())?)
    }

    /// Lets the agents of an environment know whom to trust, now and whenever that changes. Never ends.
    pub(super) async fn publish(self, namespace: String) {
        let mut told = None;
        loop {
            let published = async {
                let certificates = self.current().await?.certificates;
                self.kept.publish(&namespace, &certificates).await?;
                anyhow::Ok(())
            };
            let pause = match published.await {
                Ok(()) => {
                    told = None;
                    LOOK
                }
                Err(error) => {
                    let problem = format!("{error:#}");
                    if told.as_ref() != Some(&problem) {
                        warn!(namespace, "agents may not know whom to trust: {problem}");
                        told = Some(problem);
                    }
                    AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// Serves agents until `closing`, with a certificate that is renewed in time.
pub(super) async fn serve(
    authority: Authority,
    server: Server,
    listener: TcpListener,
    closing: CancellationToken,
) {
    let mut told = None;
    let first = loop {
        let made = async {
            let issued = authority.issue().await?;
            let certificate = ServerCertificate::from_pem(&issued.certificate, &issued.key)?;
            anyhow::Ok((issued, certificate))
        };
        match made.await {
            Ok(made) => break made,
            Err(error) => {
                let problem = format!("{error:#}");
                if told.as_ref() != Some(&problem) {
                    warn!("agents cannot be served yet: {problem}");
                    told = Some(problem);
                }
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    () = closing.cancelled() => return,
                }
            }
        }
    };
    let (issued, certificate) = first;
    let renewing = renew(authority, certificate.clone(), issued.renew_at);
    tokio::select! {
        result = server.serve(listener, certificate, closing) => if let Err(error) = result {
            warn!("{:#}", anyhow::Error::new(error));
        },
        () = renewing => {}
    }
}

async fn renew(authority: Authority, certificate: ServerCertificate, mut renew_at: Timestamp) {
    loop {
        tokio::time::sleep(LOOK).await;
        if Timestamp::now() < renew_at {
            continue;
        }
        let renewed = async {
            let issued = authority.issue().await?;
            certificate.replace(&issued.certificate, &issued.key)?;
            anyhow::Ok(issued.renew_at)
        };
        match renewed.await {
            Ok(next) => renew_at = next,
            Err(error) => warn!("the certificate for agents cannot be renewed yet: {error:#}"),
        }
    }
}
