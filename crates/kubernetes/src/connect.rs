//! From a kubeconfig file to a client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the platform cannot start. An API server that is away is no reason: what was last known goes on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file cannot be read, or names no such context.
    #[error("--kubeconfig {}: {source}", file.display())]
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// No client can be made from it, for example because a certificate is damaged.
    #[error("--kubeconfig {}: {source}", file.display())]
    Client {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// A client, and the namespace that the context names.
pub(crate) async fn connect(file: &Path, context: Option<&str>) -> Result<(Client, String), StartError> {
    let unreadable = |source| StartError::Kubeconfig { file: file.to_owned(), source };
    let kubeconfig = Kubeconfig::read_from(file).map_err(unreadable)?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unreadable)?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Whoever asks knows best when to ask again.
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config)
        .map_err(|source| StartError::Client { file: file.to_owned(), source: Box::new(source) })?;
    Ok((client, namespace))
}
