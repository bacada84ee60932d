//! The cluster as a person at a command line sees it: their kubeconfig, their rights, their token.
//!
//! ```text
//! kubeconfig --> User --token: of the kubeconfig, else one for the service account vamp-cli--> Authorization
//!                  |
//!                  +--forward: listener on loopback --port-forward--> pod of the leader, port of the API
//! ```
//!
//! The way through the API server's Service proxy is not taken: the API server removes the `Authorization` header there.

mod forward;
mod token;

use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

pub use forward::{Forward, ReachError};
pub use token::TokenError;

/// How long the way to the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which kubeconfig, and what of it; as kubectl's flags of the same names.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The file; those that kubectl would read when not given.
    pub kubeconfig: Option<PathBuf>,
    /// One of its contexts; the current one when not given.
    pub context: Option<String>,
}

/// A person with a kubeconfig. Cheap to clone.
#[derive(Clone)]
pub struct User {
    pub(crate) client: Client,
    config: Config,
    namespace: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// The kubeconfig is of no use.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// It cannot be read, or names no such context.
    #[error("{}: {source}", file.as_ref().map_or_else(|| "kubeconfig".into(), |file| file.display().to_string()))]
    Kubeconfig {
        /// The file, when one was named.
        file: Option<PathBuf>,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// No client can be made from it.
    #[error("the credentials in the kubeconfig are of no use: {0}")]
    Client(Box<kube::Error>),
}

impl User {
    /// Reads the kubeconfig. Nothing is asked of the API server yet, but a credential plugin may run.
    ///
    /// # Errors
    /// The kubeconfig is of no use.
    pub async fn new(choice: &Choice) -> Result<Self, UserError> {
        let unreadable = |source| UserError::Kubeconfig { file: choice.kubeconfig.clone(), source };
        let kubeconfig = match &choice.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let options = KubeConfigOptions { context: choice.context.clone(), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig.map_err(unreadable)?, &options)
            .await
            .map_err(unreadable)?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.default_retry = false;
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config.clone()).map_err(|error| UserError::Client(Box::new(error)))?;
        Ok(Self { client, config, namespace })
    }

    /// The namespace of the context.
    pub fn default_namespace(&self) -> &str {
        &self.namespace
    }

    /// Address of the API server.
    pub fn server(&self) -> String {
        self.config.cluster_url.to_string().trim_end_matches('/').to_owned()
    }
}
