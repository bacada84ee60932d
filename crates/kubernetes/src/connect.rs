//! The way to a cluster: from credentials to a client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use kube::client::ClientBuilder;
use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig};

use tower::filter::FilterLayer;

use crate::access::guard;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the API server is and who asks.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// What a kubeconfig file says.
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// Which of its contexts; the current one when not given.
        context: Option<String>,
    },
    /// The service account of the pod that this process runs in.
    InCluster,
}

/// A cluster to work in. Cheap to clone; everything that reads or writes there begins with it.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    namespace: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Why there is no way to the cluster. An API server that is away is no reason: what was last known goes on.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file cannot be read, or names no such context.
    #[error("--kubeconfig {}: {source}", file.display())]
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// There is no service account.
    #[error(
        "this process does not run in a pod with a service account: {0}. Outside of a cluster, give --kubeconfig"
    )]
    InCluster(#[from] InClusterError),
    /// No client can be made from it, for example because a certificate is damaged.
    #[error("the credentials for the cluster are of no use: {0}")]
    Client(Box<kube::Error>),
}

impl Cluster {
    /// Prepares a client, inside the present runtime. Nothing is asked of the API server yet.
    ///
    /// # Errors
    /// The credentials are of no use.
    pub async fn connect(credentials: &Credentials) -> Result<Self, ConnectError> {
        let mut config = match credentials {
            Credentials::Kubeconfig { file, context } => kubeconfig(file, context.as_deref()).await?,
            Credentials::InCluster => Config::incluster()?,
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // Whoever asks knows best when to ask again.
        config.default_retry = false;
        let namespace = config.default_namespace.clone();
        let unusable = |error| ConnectError::Client(Box::new(error));
        let builder = ClientBuilder::try_from(config).map_err(unusable)?;
        let client = if cfg!(debug_assertions) {
            builder.with_layer(&FilterLayer::new(guard::check)).build()
        } else {
            builder.build()
        };
        Ok(Self { client, namespace })
    }

    /// The namespace that the credentials name: of the context, or of the pod.
    pub fn default_namespace(&self) -> &str {
        &self.namespace
    }
}

async fn kubeconfig(file: &Path, context: Option<&str>) -> Result<Config, ConnectError> {
    let unreadable = |source| ConnectError::Kubeconfig { file: file.to_owned(), source };
    let kubeconfig = Kubeconfig::read_from(file).map_err(unreadable)?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unreadable)
}
