//! Certificates in Secrets: each is watched by its name, and only those that some gateway names. To list Secrets, or to see one that no
//! gateway names, is a right that nobody has to give.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use k8s_openapi::ByteString;
use kube::Client;
use kube::api::{WatchEvent, WatchParams};
use kube::core::Request;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::access::rights;
use crate::connect::Cluster;
use crate::explain::{Attempt, explain, status};
use crate::follow::pause;

/// The type of Secrets with a certificate.
const TYPE: &str = "kubernetes.io/tls";
/// How long the API server may take for an answer, or until a watch begins.
const PATIENCE: Duration = Duration::from_secs(30);
/// A watch ends after this time, and the Secret is read anew.
const WATCH: Duration = Duration::from_secs(240);
/// How much longer a watch may say nothing.
const WATCH_GRACE: Duration = Duration::from_secs(10);
/// A watch that ends sooner counts as a failure when it comes to pauses.
const SHORT: Duration = Duration::from_secs(1);

/// A certificate and its key, as a Secret holds them.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// `tls.crt`.
    pub certificate: Vec<u8>,
    /// `tls.key`. Secret.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

#[derive(Deserialize, Clone)]
struct Secret {
    metadata: Metadata,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    data: BTreeMap<String, ByteString>,
}

#[derive(Deserialize, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    resource_version: String,
}

/// Follows the Secrets of a namespace that are wanted, and hands each to `found` when it is first seen and after every change, or why it
/// cannot be had. Runs until nobody wants any more.
pub async fn follow<F>(
    cluster: Cluster,
    namespace: String,
    wanted: watch::Receiver<BTreeSet<String>>,
    found: F,
) where
    F: Fn(String, Result<Pair, String>) + Clone + Send + Sync + 'static,
{
    follow_with(cluster.client, namespace, wanted, found).await;
}

pub(crate) async fn follow_with<F>(
    client: Client,
    namespace: String,
    mut wanted: watch::Receiver<BTreeSet<String>>,
    found: F,
) where
    F: Fn(String, Result<Pair, String>) + Clone + Send + Sync + 'static,
{
    let mut tasks = JoinSet::new();
    let mut followed = BTreeMap::new();
    loop {
        let names = wanted.borrow_and_update().clone();
        followed.retain(|name, task: &mut tokio::task::AbortHandle| {
            let keep = names.contains(name);
            if !keep {
                task.abort();
            }
            keep
        });
        for name in names {
            followed.entry(name.clone()).or_insert_with(|| {
                let one = One { client: client.clone(), namespace: namespace.clone(), name };
                tasks.spawn(one.run(found.clone()))
            });
        }
        while tasks.try_join_next().is_some() {}
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

/// One Secret.
struct One {
    client: Client,
    namespace: String,
    name: String,
}

impl One {
    async fn run<F: Fn(String, Result<Pair, String>)>(self, found: F) {
        let tell = |result| found(self.name.clone(), result);
        let mut failures = 0;
        loop {
            let version = match self.read().await {
                Ok(secret) => {
                    tell(pair(&secret));
                    secret.metadata.resource_version
                }
                Err(error) if status(&error) == Some(404) => {
                    tell(Err(format!("there is no such Secret in namespace '{}'", self.namespace)));
                    // Whatever there is by then, and what comes.
                    "0".to_owned()
                }
                Err(error) => {
                    tell(Err(self.refused(&error, "get")));
                    tokio::time::sleep(pause(failures)).await;
                    failures += 1;
                    continue;
                }
            };
            let begin = Instant::now();
            match self.watch(&version, &tell).await {
                Ok(()) if begin.elapsed() >= SHORT => failures = 0,
                ended => {
                    if let Err(error) = ended {
                        debug!(secret = self.name, %error, "a watch ended");
                        if status(&error) == Some(403) {
                            tell(Err(self.refused(&error, "watch")));
                        }
                    }
                    tokio::time::sleep(pause(failures)).await;
                    failures += 1;
                }
            }
        }
    }

    async fn read(&self) -> Result<Secret, kube::Error> {
        let request = Request::new(self.path()).get(&self.name, &kube::api::GetParams::default());
        let request = request.map_err(kube::Error::BuildRequest)?;
        in_time(self.client.request(request)).await
    }

    async fn watch(&self, version: &str, tell: &impl Fn(Result<Pair, String>)) -> Result<(), kube::Error> {
        let parameters = WatchParams {
            timeout: u32::try_from(WATCH.as_secs()).ok(),
            field_selector: Some(format!("metadata.name={}", self.name)),
            bookmarks: true,
            ..WatchParams::default()
        };
        let request =
            Request::new(self.path()).watch(&parameters, version).map_err(kube::Error::BuildRequest)?;
        let events = in_time(self.client.request_events::<Secret>(request)).await?;
        let mut events = std::pin::pin!(events);
        let silent = Instant::now() + WATCH + WATCH_GRACE;
        loop {
            let event = match timeout_at(silent, events.try_next()).await {
                Ok(event) => event?,
                Err(_) => return Ok(()),
            };
            match event {
                None => return Ok(()),
                // The selector leaves no others; a server that does not know it may send all.
                Some(WatchEvent::Added(secret) | WatchEvent::Modified(secret)) => {
                    if secret.metadata.name == self.name {
                        tell(pair(&secret));
                    }
                }
                Some(WatchEvent::Deleted(secret)) => {
                    if secret.metadata.name == self.name {
                        tell(Err("the Secret was deleted".into()));
                    }
                }
                Some(WatchEvent::Bookmark(_)) => {}
                Some(WatchEvent::Error(status)) => return Err(kube::Error::Api(status)),
            }
        }
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    fn refused(&self, error: &kube::Error, verb: &str) -> String {
        match status(error) {
            Some(403) => format!(
                "the API server does not let Vamp {verb} the Secret '{}' in namespace '{}': give its user a Role with the \
                 rule {} (the chart's value `certificates`)",
                self.name,
                self.namespace,
                rights::certificate_rule_text(&[&self.name])
            ),
            _ => explain(error, Attempt { verb, resource: "secrets", namespace: Some(&self.namespace) }),
        }
    }
}

fn pair(secret: &Secret) -> Result<Pair, String> {
    if secret.kind != TYPE {
        return Err(format!("the Secret is of type '{}', not {TYPE}", secret.kind));
    }
    let field = |key: &str| {
        let value = secret.data.get(key).map(|value| value.0.clone());
        value.ok_or_else(|| format!("the Secret holds no {key}"))
    };
    Ok(Pair { certificate: field("tls.crt")?, key: field("tls.key")? })
}

async fn in_time<T>(answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match timeout(PATIENCE, answer).await {
        Ok(result) => result,
        Err(_) => Err(kube::Error::Service("the API server takes too long".into())),
    }
}
