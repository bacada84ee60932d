//! The platform of this process: the machine, or a Kubernetes cluster.

use std::sync::Arc;

use anyhow::Context as _;
use kubernetes::Cluster;
use model::instance::Observation;
use tokio::sync::watch;

use crate::settings::Settings;

#[derive(Debug, Clone)]
pub(crate) enum Platform {
    Local(local::Platform),
    Kubernetes(kubernetes::Platform),
}

impl Platform {
    /// The one that the settings ask for.
    pub(super) async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let Some(credentials) = settings.cluster.credentials() else {
            return Ok(Self::Local(local::Platform::start(local::Settings {
                inventory: settings.inventory.clone(),
                data_dir: settings.data_dir.clone(),
                namespace: settings.environment.clone(),
                program: std::env::current_exe().context("cannot tell where the vamp program is")?,
                loopback_base: None,
                // Where the shop of the tutorial finds its products; a manifest may say otherwise.
                environment: vec![(
                    "SAVA_PRODUCT_URL".into(),
                    format!("http://{}:9070", settings.listen.gateway_address),
                )],
            })));
        };
        let cluster = Cluster::connect(&credentials).await?;
        let namespace = settings.namespace.as_deref().unwrap_or(cluster.default_namespace());
        let platform = kubernetes::Settings {
            // With the default selector, what is elsewhere can never be found: nobody needs the right to see it.
            all_namespaces: settings.gateways.gateway_selector.is_some(),
            ..kubernetes::Settings::new(namespace)
        };
        Ok(Self::Kubernetes(kubernetes::Platform::start(&cluster, platform)))
    }

    /// What the control plane sees.
    pub(super) fn observe(&self) -> watch::Receiver<Arc<Observation>> {
        match self {
            Self::Local(platform) => platform.observe(),
            Self::Kubernetes(platform) => platform.observe(),
        }
    }

    /// As `/info` names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Kubernetes(_) => "kubernetes",
        }
    }

    /// Where the environment is: `$namespace` in selectors.
    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Local(platform) => platform.namespace(),
            Self::Kubernetes(platform) => platform.namespace(),
        }
    }

    /// Ends it: on this machine with all processes.
    pub(super) async fn stop(&self) {
        match self {
            Self::Local(platform) => platform.stop().await,
            Self::Kubernetes(platform) => platform.stop().await,
        }
    }
}
