//! The way to the cluster: follows the custom resources of a namespace, and writes them.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::object::{MANAGER, RawGateway, Resource, Resources};
use crate::explain::{Attempt, explain, status};
use crate::follow::{Follower, Update};
use crate::hub::{BURST, Kind};

/// Updates that may wait; a follower that is ahead waits.
const QUEUE: usize = 1024;
/// How long the API server may take for a write.
const PATIENCE: Duration = Duration::from_secs(30);
/// Everything is read anew this often, should an event ever be missed.
const RESYNC: Duration = Duration::from_secs(600);

/// A handle to the custom resources of a namespace. It follows them until it is dropped.
pub struct Door {
    client: Client,
    namespace: String,
    resources: watch::Receiver<Resources>,
    _tasks: JoinSet<()>,
}

/// Why something was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// Somebody was faster: the object is different, gone or there. What there is now comes with the watch.
    Late,
    /// It cannot be written now, in words that say what to do.
    Failed(String),
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Door {
    /// Begins to follow, inside the present runtime. Where the cluster does not know the kind, that is told once and looked at
    /// again now and then.
    pub(crate) fn open(client: Client, namespace: &str) -> Self {
        let (updates, receiver) = mpsc::channel(QUEUE);
        let (sender, resources) = watch::channel(None);
        let follower = Follower::<RawGateway, Arc<Resource>> {
            client: client.clone(),
            namespace: Some(namespace.to_owned()),
            fallback: namespace.to_owned(),
            resync: RESYNC,
            row: |raw| Arc::new(Resource::new(raw)),
            updates,
            failures: 0,
            problem: None,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(follower.run());
        tasks.spawn(show(Kind::new(receiver), sender));
        Self { client, namespace: namespace.to_owned(), resources, _tasks: tasks }
    }

    /// All custom resources of the namespace; always the newest.
    pub fn resources(&self) -> watch::Receiver<Resources> {
        self.resources.clone()
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Creates an object.
    ///
    /// # Errors
    /// It was not created.
    pub async fn create(&self, body: &Value) -> Result<(), WriteError> {
        self.write("create", Method::POST, "gateways", "", body).await.map(drop)
    }

    /// Changes the document of an object. The patch names the version that it is meant for.
    ///
    /// # Errors
    /// It was not changed.
    pub async fn update(&self, name: &str, patch: &Value) -> Result<(), WriteError> {
        self.write("patch", Method::PATCH, "gateways", name, patch).await.map(drop)
    }

    /// Deletes an object, if it is still this one.
    ///
    /// # Errors
    /// It was not deleted.
    pub async fn delete(&self, name: &str, uid: &str, version: &str) -> Result<(), WriteError> {
        let preconditions = json!({"uid": uid, "resourceVersion": version});
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
        self.write("delete", Method::DELETE, "gateways", name, &body).await.map(drop)
    }

    /// Changes the status of an object.
    ///
    /// # Errors
    /// It was not changed.
    pub async fn set_status(&self, name: &str, patch: &Value) -> Result<(), WriteError> {
        self.write("patch", Method::PATCH, "gateways/status", name, &json!({"status": patch})).await.map(drop)
    }

    /// Creates a Kubernetes Event, or counts one that is there once more.
    ///
    /// # Errors
    /// It was not told.
    pub async fn tell(&self, name: Option<&str>, event: &Value) -> Result<(), WriteError> {
        match name {
            None => self.write("create", Method::POST, "events", "", event).await.map(drop),
            Some(name) => self.write("patch", Method::PATCH, "events", name, event).await.map(drop),
        }
    }

    async fn write(
        &self,
        verb: &str,
        method: Method,
        resource: &str,
        name: &str,
        body: &Value,
    ) -> Result<String, WriteError> {
        let attempt = Attempt { verb, resource, namespace: Some(&self.namespace) };
        match timeout(PATIENCE, self.send(method, resource, name, body)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => match status(&error) {
                Some(404) if verb == "delete" => Ok(String::new()),
                Some(404 | 409) => Err(WriteError::Late),
                _ => Err(WriteError::Failed(explain(&error, attempt))),
            },
            Err(_) => {
                let slow = kube::Error::Service("the API server takes longer than half a minute".into());
                Err(WriteError::Failed(explain(&slow, attempt)))
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        resource: &str,
        name: &str,
        body: &Value,
    ) -> Result<String, kube::Error> {
        let (kind, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let group = if kind == "events" { "/api/v1" } else { "/apis/vamp.io/v1" };
        let mut path = format!("{group}/namespaces/{}/{kind}", self.namespace);
        for part in [name, sub].into_iter().filter(|part| !part.is_empty()) {
            path.push('/');
            path.push_str(part);
        }
        if method != Method::DELETE {
            path.push_str("?fieldManager=");
            path.push_str(MANAGER);
        }
        let kind = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, kind)
            .body(body)
            .map_err(kube::Error::HttpError)?;
        self.client.request_text(request).await
    }
}

/// Shows what there is; what comes in a burst is shown together.
async fn show(mut kind: Kind<Arc<Resource>>, resources: watch::Sender<Resources>) {
    while let Some(update) = kind.updates.recv().await {
        let mut news = kind.take_in(update);
        let end = Instant::now() + BURST;
        while news && let Ok(Some(update)) = timeout_at(end, kind.updates.recv()).await {
            let update: Update<Arc<Resource>> = update;
            news |= kind.take_in(update);
        }
        if news && kind.complete {
            let all = kind.objects.iter().map(|((_, name), object)| (name.clone(), object.clone())).collect();
            resources.send_replace(Some(Arc::new(all)));
        }
        if resources.is_closed() {
            return;
        }
    }
}
