//! A way from this machine to the API of the controller that leads, as `kubectl port-forward` makes one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod as CorePod;
use kube::Api;
use serde::Deserialize;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::debug;

use super::User;
use crate::explain::{chain, status};
use crate::object::Metadata;

/// Port of the API in the controller's pods.
const API_PORT: u16 = 8090;
/// Label of the pod that leads.
const LEADER: &str = "vamp.io/leader=true";
/// Where an installation is looked for besides the namespace that was asked about.
const USUAL: &str = "vamp-system";
/// Connections at once; a command needs one or two.
const CONNECTIONS: usize = 64;
/// How long a question to the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The controller cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The API server cannot be asked.
    #[error("cannot look for the controller in namespace '{namespace}': {reason}")]
    Look {
        /// Where.
        namespace: String,
        /// Why.
        reason: String,
    },
    /// No pod leads.
    #[error(
        "no controller leads in namespace {}: give its namespace with --installation, see `vamp check`, or reach its API \
         in another way with --url",
        namespaces.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(" or ")
    )]
    NoLeader {
        /// Where it was looked for.
        namespaces: Vec<String>,
    },
    /// This machine does not let us listen.
    #[error("cannot listen on loopback: {0}")]
    Listen(#[from] std::io::Error),
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
}

/// A listener on loopback whose connections end at the API of the leader. It ends when dropped.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    installation: String,
    problem: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Forward {
    /// Finds the leader in the namespace `installation`, else in that of the environment or the usual one, and listens.
    ///
    /// # Errors
    /// There is no leader, or nobody may look for it.
    pub async fn open(
        user: &User,
        environment: &str,
        installation: Option<&str>,
    ) -> Result<Self, ReachError> {
        let namespaces: Vec<String> = match installation {
            Some(name) => vec![name.to_owned()],
            None if environment == USUAL => vec![USUAL.to_owned()],
            None => vec![environment.to_owned(), USUAL.to_owned()],
        };
        let mut first_failure = None;
        let mut found = None;
        for namespace in &namespaces {
            match leader(user, namespace).await {
                Ok(Some(_)) => {
                    found = Some(namespace.clone());
                    break;
                }
                Ok(None) => {}
                // The usual namespace need not be one that this person may look into.
                Err(error) => first_failure = first_failure.or(Some(error)),
            }
        }
        let Some(installation) = found else {
            return Err(first_failure.unwrap_or(ReachError::NoLeader { namespaces }));
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let problem = Arc::<Mutex<Option<String>>>::default();
        let pods =
            Pods { user: user.clone(), namespace: installation.clone(), problem: Arc::clone(&problem) };
        let task = tokio::spawn(accept(listener, Arc::new(pods)));
        Ok(Self { address, installation, problem, task })
    }

    /// Where the API answers, for an HTTP client.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Namespace of the controller.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// Why the last connection did not come about.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The pod that leads, if one does.
async fn leader(user: &User, namespace: &str) -> Result<Option<String>, ReachError> {
    let failed = |reason| ReachError::Look { namespace: namespace.to_owned(), reason };
    let parameters = BTreeMap::from([("labelSelector", LEADER), ("limit", "10")]);
    let query: Vec<String> =
        parameters.iter().map(|(key, value)| format!("{key}={}", value.replace('=', "%3D"))).collect();
    let request = http::Request::get(format!("/api/v1/namespaces/{namespace}/pods?{}", query.join("&")))
        .body(Vec::new())
        .map_err(|error| failed(error.to_string()))?;
    let answer = tokio::time::timeout(PATIENCE, user.client.request::<List>(request)).await;
    let list = match answer {
        Ok(Ok(list)) => list,
        Ok(Err(error)) if status(&error) == Some(403) => {
            return Err(failed("you may not list pods there (the ClusterRole view lets you)".into()));
        }
        Ok(Err(error)) => return Err(failed(chain(&error))),
        Err(_) => return Err(failed("the API server takes too long".into())),
    };
    // While one leader goes and the next one comes, the one that stays counts.
    let alive = list.items.into_iter().filter(|item| item.metadata.deletion_timestamp.is_none());
    Ok(alive.map(|item| item.metadata.name).next())
}

struct Pods {
    user: User,
    namespace: String,
    problem: Arc<Mutex<Option<String>>>,
}

async fn accept(listener: TcpListener, pods: Arc<Pods>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let pods = Arc::clone(&pods);
        tokio::spawn(async move {
            let result = pods.connect(stream).await;
            if let Err(problem) = &result {
                debug!(problem, "a connection to the controller ended");
            }
            *pods.problem.lock().unwrap_or_else(PoisonError::into_inner) = result.err();
            drop(place);
        });
    }
}

impl Pods {
    /// Joins a connection to the leader of this moment, until one side closes it.
    async fn connect(&self, mut here: TcpStream) -> Result<(), String> {
        let leader = leader(&self.user, &self.namespace).await.map_err(|error| error.to_string())?;
        let pod = leader.ok_or_else(|| format!("no controller leads in namespace '{}'", self.namespace))?;
        let api = Api::<CorePod>::namespaced(self.user.client.clone(), &self.namespace);
        let mut forward = api.portforward(&pod, &[API_PORT]).await.map_err(|error| match status(&error) {
            Some(403) => format!(
                "you may not forward ports of pods in namespace '{}': the rule {{apiGroups: [\"\"], resources: \
                 [pods/portforward], verbs: [create]}} lets you, as in the ClusterRole edit",
                self.namespace
            ),
            _ => format!("no way to pod '{pod}' in namespace '{}': {}", self.namespace, chain(&error)),
        })?;
        let Some(mut there) = forward.take_stream(API_PORT) else { return Err("no stream".into()) };
        let failure = forward.take_error(API_PORT);
        let copied = copy_bidirectional(&mut here, &mut there).await;
        drop(there);
        forward.abort();
        let told = match failure {
            Some(failure) => tokio::time::timeout(Duration::from_millis(10), failure).await.ok().flatten(),
            None => None,
        };
        match (told, copied) {
            (Some(message), _) => Err(format!("pod '{pod}': {}", message.trim())),
            (None, Ok(_)) => Ok(()),
            (None, Err(error)) => Err(error.to_string()),
        }
    }
}
