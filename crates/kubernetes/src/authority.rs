//! Where the installation's certificate authority is kept: its key in a Secret next to the controller, its certificates in a
//! ConfigMap of every environment, for agents to check the controller by.
//!
//! What is in them is for others to say; here they are read and written, each write on the version that was read.

use std::time::Duration;

use http::Method;
use k8s_openapi::ByteString;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connect::Cluster;
use crate::explain::{Attempt, explain, status};
use crate::object::Metadata;

/// Name of the Secret and of the ConfigMaps.
const NAME: &str = "vamp-ca";
/// The key of a ConfigMap.
const CA: &str = "ca.crt";
/// Objects with this label are Vamp's; others are never changed.
const MARK: (&str, &str) = ("app.kubernetes.io/managed-by", "vamp");

/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the Secret holds.
#[derive(Clone)]
pub struct Kept {
    /// Certificates, PEM.
    pub certificates: String,
    /// Private key, PEM. Secret.
    pub key: String,
    version: String,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Why the authority cannot be read or written. Never shows a key.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Somebody else was faster: read it again.
    #[error("the authority was changed by somebody else in the meantime")]
    Conflict,
    /// The Secret is there, but no authority is in it.
    #[error(
        "the Secret '{NAME}' in namespace '{0}' holds no tls.crt and tls.key: delete it, and Vamp makes a new one"
    )]
    Damaged(String),
    /// A ConfigMap of the name is there that is not Vamp's.
    #[error(
        "the ConfigMap '{NAME}' in namespace '{0}' is not Vamp's and was left alone; agents there have no certificate to trust"
    )]
    Foreign(String),
    /// The API server refuses, or does not answer.
    #[error("{0}")]
    Cluster(String),
}

/// The way to the Secret and the ConfigMaps.
#[derive(Clone)]
pub struct Authority {
    client: Client,
    /// Namespace of the Secret.
    namespace: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    data: Option<Value>,
}

impl Authority {
    /// Of the installation in `namespace`.
    pub fn new(cluster: &Cluster, namespace: impl Into<String>) -> Self {
        Self { client: cluster.client.clone(), namespace: namespace.into() }
    }

    /// What is kept; `None`: nothing yet.
    ///
    /// # Errors
    /// It cannot be read, or makes no sense.
    pub async fn read(&self) -> Result<Option<Kept>, AuthorityError> {
        let Some(object) = self.get("secrets", &self.namespace).await? else { return Ok(None) };
        let text = |key: &str| {
            let encoded = object.data.as_ref()?.get(key)?.clone();
            String::from_utf8(serde_json::from_value::<ByteString>(encoded).ok()?.0).ok()
        };
        match (text("tls.crt"), text("tls.key")) {
            (Some(certificates), Some(key)) => {
                Ok(Some(Kept { certificates, key, version: object.metadata.resource_version }))
            }
            _ => Err(AuthorityError::Damaged(self.namespace.clone())),
        }
    }

    /// Keeps an authority: in place of `before`, or as the first one.
    ///
    /// # Errors
    /// [`AuthorityError::Conflict`], or it cannot be written.
    pub async fn keep(
        &self,
        certificates: &str,
        key: &str,
        before: Option<&Kept>,
    ) -> Result<(), AuthorityError> {
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": NAME, "namespace": self.namespace, "labels": {MARK.0: MARK.1}},
            "data": {"tls.crt": bytes(certificates), "tls.key": bytes(key)},
        });
        if let Some(before) = before {
            secret["metadata"]["resourceVersion"] = before.version.clone().into();
        }
        self.write("secrets", &self.namespace, &secret, before.is_some()).await
    }

    /// Lets the agents of a namespace know the certificates. Writes only what is different.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn publish(&self, namespace: &str, certificates: &str) -> Result<(), AuthorityError> {
        let found = self.get("configmaps", namespace).await?;
        let mut map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": namespace, "labels": {MARK.0: MARK.1}},
            "data": {CA: certificates},
        });
        if let Some(found) = &found {
            if found.metadata.labels.get(MARK.0).map(String::as_str) != Some(MARK.1) {
                return Err(AuthorityError::Foreign(namespace.to_owned()));
            }
            if found.data == Some(json!({CA: certificates})) {
                return Ok(());
            }
            map["metadata"]["resourceVersion"] = found.metadata.resource_version.clone().into();
        }
        self.write("configmaps", namespace, &map, found.is_some()).await
    }

    async fn get(&self, resource: &str, namespace: &str) -> Result<Option<Object>, AuthorityError> {
        let path = format!("/api/v1/namespaces/{namespace}/{resource}/{NAME}");
        match self.send(Method::GET, &path, Vec::new()).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(failed(&error, "get", resource, namespace)),
        }
    }

    async fn write(
        &self,
        resource: &str,
        namespace: &str,
        object: &Value,
        exists: bool,
    ) -> Result<(), AuthorityError> {
        let collection = format!("/api/v1/namespaces/{namespace}/{resource}");
        let (method, path, verb) = match exists {
            true => (Method::PUT, format!("{collection}/{NAME}"), "update"),
            false => (Method::POST, collection, "create"),
        };
        match self.send(method, &path, object.to_string().into_bytes()).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(status(&error), Some(404 | 409)) => Err(AuthorityError::Conflict),
            Err(error) => Err(failed(&error, verb, resource, namespace)),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Object, kube::Error> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(kube::Error::HttpError)?;
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Ok(result) => result,
            Err(_) => Err(kube::Error::Service("the API server takes too long".into())),
        }
    }
}

/// As a Secret holds them.
fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

fn failed(error: &kube::Error, verb: &str, resource: &str, namespace: &str) -> AuthorityError {
    AuthorityError::Cluster(explain(error, Attempt { verb, resource, namespace: Some(namespace) }))
}
