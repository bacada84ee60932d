//! Certificates in Secrets, and authorities in Secrets and ConfigMaps: each object is watched by its name, and only those that some gateway
//! names. To list them, or to see one that no gateway names, is a right that nobody has to give.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use k8s_openapi::ByteString;
use kube::Client;
use kube::api::{WatchEvent, WatchParams};
use kube::core::Request;
use model::gateway::ClusterSource;
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as Unreadable, StringDeserializer};
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
/// What authorities are called in an object, as cert-manager and others write it.
const AUTHORITIES: &str = "ca.crt";
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

/// What an object holds of what a gateway wants from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A certificate and its key.
    Certificate(Pair),
    /// Certificates of authorities, PEM.
    Authorities(Vec<u8>),
}

/// A Secret or a ConfigMap.
#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Object {
    metadata: Metadata,
    #[serde(rename = "type", default)]
    kind: String,
    /// Of a Secret in base64, of a ConfigMap as it is.
    #[serde(default)]
    data: BTreeMap<String, String>,
    /// Of a ConfigMap.
    #[serde(default)]
    binary_data: BTreeMap<String, String>,
}

#[derive(Deserialize, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    resource_version: String,
}

/// Follows the objects of a namespace that are wanted, and hands what is in each to `found` when it is first seen and after every change, or
/// why it cannot be had. Runs until nobody wants any more.
pub async fn follow<F>(
    cluster: Cluster,
    namespace: String,
    wanted: watch::Receiver<BTreeSet<ClusterSource>>,
    found: F,
) where
    F: Fn(ClusterSource, Result<Content, String>) + Clone + Send + Sync + 'static,
{
    follow_with(cluster.client, namespace, wanted, found).await;
}

pub(crate) async fn follow_with<F>(
    client: Client,
    namespace: String,
    mut wanted: watch::Receiver<BTreeSet<ClusterSource>>,
    found: F,
) where
    F: Fn(ClusterSource, Result<Content, String>) + Clone + Send + Sync + 'static,
{
    let mut tasks = JoinSet::new();
    let mut followed = BTreeMap::new();
    loop {
        let sources = wanted.borrow_and_update().clone();
        followed.retain(|source, task: &mut tokio::task::AbortHandle| {
            let keep = sources.contains(source);
            if !keep {
                task.abort();
            }
            keep
        });
        for source in sources {
            followed.entry(source.clone()).or_insert_with(|| {
                let one = One { client: client.clone(), namespace: namespace.clone(), source };
                tasks.spawn(one.run(found.clone()))
            });
        }
        while tasks.try_join_next().is_some() {}
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

/// One object.
struct One {
    client: Client,
    namespace: String,
    source: ClusterSource,
}

impl One {
    async fn run<F: Fn(ClusterSource, Result<Content, String>)>(self, found: F) {
        let tell = |result| found(self.source.clone(), result);
        let mut failures = 0;
        loop {
            let version = match self.read().await {
                Ok(object) => {
                    tell(content(&self.source, &object));
                    object.metadata.resource_version
                }
                Err(error) if status(&error) == Some(404) => {
                    tell(Err(format!("there is no such {} in namespace '{}'", self.kind(), self.namespace)));
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
                        debug!(source = %self.source, %error, "a watch ended");
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

    async fn read(&self) -> Result<Object, kube::Error> {
        let request = Request::new(self.path()).get(self.source.name(), &kube::api::GetParams::default());
        let request = request.map_err(kube::Error::BuildRequest)?;
        in_time(self.client.request(request)).await
    }

    async fn watch(&self, version: &str, tell: &impl Fn(Result<Content, String>)) -> Result<(), kube::Error> {
        let parameters = WatchParams {
            timeout: u32::try_from(WATCH.as_secs()).ok(),
            field_selector: Some(format!("metadata.name={}", self.source.name())),
            bookmarks: true,
            ..WatchParams::default()
        };
        let request =
            Request::new(self.path()).watch(&parameters, version).map_err(kube::Error::BuildRequest)?;
        let events = in_time(self.client.request_events::<Object>(request)).await?;
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
                Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    if object.metadata.name == self.source.name() {
                        tell(content(&self.source, &object));
                    }
                }
                Some(WatchEvent::Deleted(object)) => {
                    if object.metadata.name == self.source.name() {
                        tell(Err(format!("the {} was deleted", self.kind())));
                    }
                }
                Some(WatchEvent::Bookmark(_)) => {}
                Some(WatchEvent::Error(status)) => return Err(kube::Error::Api(status)),
            }
        }
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/{}", self.namespace, self.resource())
    }

    fn resource(&self) -> &'static str {
        match self.source {
            ClusterSource::Certificate(_) | ClusterSource::AuthoritySecret(_) => "secrets",
            ClusterSource::AuthorityConfigMap(_) => "configmaps",
        }
    }

    fn kind(&self) -> &'static str {
        kind(&self.source)
    }

    fn refused(&self, error: &kube::Error, verb: &str) -> String {
        match status(error) {
            Some(403) => format!(
                "the API server does not let Vamp {verb} the {} '{}' in namespace '{}': give its user a Role with the \
                 rule {} (the chart's value `{}`)",
                self.kind(),
                self.source.name(),
                self.namespace,
                rights::certificate_rule_text(self.resource(), &[self.source.name()]),
                if self.resource() == "secrets" { "certificates" } else { "authorities" },
            ),
            _ => {
                explain(error, Attempt { verb, resource: self.resource(), namespace: Some(&self.namespace) })
            }
        }
    }
}

fn kind(source: &ClusterSource) -> &'static str {
    match source {
        ClusterSource::Certificate(_) | ClusterSource::AuthoritySecret(_) => "Secret",
        ClusterSource::AuthorityConfigMap(_) => "ConfigMap",
    }
}

/// What a gateway wants from an object.
fn content(source: &ClusterSource, object: &Object) -> Result<Content, String> {
    let encoded = |key: &str, text: &String| {
        let text: StringDeserializer<Unreadable> = text.clone().into_deserializer();
        let bytes = ByteString::deserialize(text);
        bytes.map(|bytes| bytes.0).map_err(|_| format!("its {key} is no base64"))
    };
    let missing = |key: &str| format!("the {} holds no {key}", kind(source));
    let in_secret =
        |key: &str| object.data.get(key).ok_or_else(|| missing(key)).and_then(|text| encoded(key, text));
    match source {
        ClusterSource::Certificate(_) if object.kind != TYPE => {
            Err(format!("the Secret is of type '{}', not {TYPE}", object.kind))
        }
        ClusterSource::Certificate(_) => {
            Ok(Content::Certificate(Pair { certificate: in_secret("tls.crt")?, key: in_secret("tls.key")? }))
        }
        ClusterSource::AuthoritySecret(_) => in_secret(AUTHORITIES).map(Content::Authorities),
        ClusterSource::AuthorityConfigMap(_) => {
            let plain = object.data.get(AUTHORITIES).map(|text| Ok(text.clone().into_bytes()));
            let binary = || object.binary_data.get(AUTHORITIES).map(|text| encoded(AUTHORITIES, text));
            plain.or_else(binary).unwrap_or_else(|| Err(missing(AUTHORITIES))).map(Content::Authorities)
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match timeout(PATIENCE, answer).await {
        Ok(result) => result,
        Err(_) => Err(kube::Error::Service("the API server takes too long".into())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_objects_hold() {
        let certificate = ClusterSource::Certificate("a".into());
        let secret = ClusterSource::AuthoritySecret("a".into());
        let config_map = ClusterSource::AuthorityConfigMap("a".into());
        let object = |kind: &str, field: &str, data: Value| -> Object {
            serde_json::from_value(json!({"metadata": {"name": "a"}, "type": kind, field: data})).unwrap()
        };
        let pair = object(TYPE, "data", json!({"tls.crt": "Yw==", "tls.key": "aw==", "ca.crt": "YQ=="}));
        let found = content(&certificate, &pair);
        assert_eq!(found, Ok(Content::Certificate(Pair { certificate: b"c".to_vec(), key: b"k".to_vec() })));
        let authorities = |text: &str| Ok(Content::Authorities(text.into()));
        let opaque = object("Opaque", "data", json!({"ca.crt": "YQ=="}));
        for (source, object, expected) in [
            (&secret, &pair, authorities("a")),
            (&secret, &opaque, authorities("a")),
            (&config_map, &object("", "data", json!({"ca.crt": "text"})), authorities("text")),
            (&config_map, &object("", "binaryData", json!({"ca.crt": "YQ=="})), authorities("a")),
            (&certificate, &opaque, Err("the Secret is of type 'Opaque', not kubernetes.io/tls".to_owned())),
            (
                &certificate,
                &object(TYPE, "data", json!({"tls.crt": ""})),
                Err("the Secret holds no tls.key".into()),
            ),
            (&secret, &object("Opaque", "data", json!({})), Err("the Secret holds no ca.crt".into())),
            (
                &secret,
                &object("Opaque", "data", json!({"ca.crt": "%"})),
                Err("its ca.crt is no base64".into()),
            ),
            (
                &config_map,
                &object("", "data", json!({"ca": "x"})),
                Err("the ConfigMap holds no ca.crt".into()),
            ),
        ] {
            assert_eq!(content(source, object), expected, "{source}");
        }
    }
}
