//! The Lease as the API server writes it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use http::Method;
use jiff::Timestamp;
use kube::Client;
use kube::api::{WatchEvent, WatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tracing::debug;

use super::step::Record;
use crate::follow::pause;
use crate::object::Metadata;

/// Name of the Lease.
const LEASE: &str = "vamp-controller";

/// How long the API server keeps a watch open.
const WATCH_SECONDS: u32 = 120;

/// Of `coordination.k8s.io/v1 Lease`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Lease {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<i64>,
    lease_transitions: Option<i64>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
}

/// Where the Lease is.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) client: Client,
    pub(super) namespace: String,
}

impl Lease {
    pub(super) fn record(&self) -> Record {
        let seconds = self.spec.lease_duration_seconds.unwrap_or(0);
        Record {
            holder: self.spec.holder_identity.clone().unwrap_or_default(),
            duration: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
            renewed: self.spec.renew_time.clone().unwrap_or_default(),
            transitions: self.spec.lease_transitions.unwrap_or(0),
            version: self.metadata.resource_version.clone(),
        }
    }

    pub(super) fn acquired(&self) -> Option<&str> {
        self.spec.acquire_time.as_deref()
    }
}

impl Place {
    pub(super) async fn read(&self) -> Result<Option<Lease>, kube::Error> {
        match self.send(Method::GET, &self.path(), Vec::new()).await {
            Ok(lease) => Ok(Some(lease)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates it, or with a version replaces that one.
    pub(super) async fn write(&self, spec: &Value, version: Option<&str>) -> Result<Lease, kube::Error> {
        let mut lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE, "namespace": self.namespace},
            "spec": spec,
        });
        let (method, path) = match version {
            Some(version) => {
                lease["metadata"]["resourceVersion"] = version.into();
                (Method::PUT, self.path())
            }
            None => (Method::POST, self.collection()),
        };
        let body = serde_json::to_vec(&lease).map_err(kube::Error::SerdeError)?;
        self.send(method, &path, body).await
    }

    /// Tells of every change, as soon as the API server does. Nothing depends on it: where it does not work, the Lease is
    /// looked at all the same.
    pub(super) async fn watch(self, news: Arc<Notify>) {
        let mut failures = 0;
        loop {
            match self.follow(&news).await {
                Ok(()) => failures = 0,
                Err(error) => debug!(%error, "the Lease cannot be watched"),
            }
            tokio::time::sleep(pause(failures)).await;
            failures = (failures + 1).min(10);
        }
    }

    async fn follow(&self, news: &Notify) -> Result<(), kube::Error> {
        let parameters = WatchParams {
            timeout: Some(WATCH_SECONDS),
            field_selector: Some(format!("metadata.name={LEASE}")),
            ..WatchParams::default()
        };
        let request =
            Request::new(self.collection()).watch(&parameters, "0").map_err(kube::Error::BuildRequest)?;
        let mut events = pin!(self.client.request_events::<Lease>(request).await?);
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
                WatchEvent::Bookmark(_) => {}
                _ => news.notify_one(),
            }
        }
        Ok(())
    }

    fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }

    fn path(&self) -> String {
        format!("{}/{LEASE}", self.collection())
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Lease, kube::Error> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(kube::Error::HttpError)?;
        self.client.request(request).await
    }
}

/// The spec of a Lease. The times are for people: no candidate looks at them.
pub(super) fn spec(
    holder: &str,
    duration: Duration,
    transitions: i64,
    acquired: &str,
    now: Timestamp,
) -> Value {
    json!({
        "holderIdentity": holder,
        "leaseDurationSeconds": duration.as_secs(),
        "leaseTransitions": transitions,
        "acquireTime": acquired,
        "renewTime": micro(now),
    })
}

/// As `metav1.MicroTime` is written.
pub(super) fn micro(time: Timestamp) -> String {
    format!("{time:.6}")
}
