//! The label on the leader's pod, which Services lead to.

use std::time::Duration;

use http::Method;
use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{info, warn};

use super::candidate::Standing;
use crate::explain::{Attempt, explain, status};
use crate::follow::pause;
use crate::object::Metadata;

/// The pod of the replica that leads has this label with the value `true`, and no other has.
pub const LEADER_LABEL: &str = "vamp.io/leader";

/// While this replica leads, the label is looked at this often: somebody may have taken it away.
const LOOK: Duration = Duration::from_secs(30);
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps the label right.
pub(super) struct Mark {
    pub(super) client: Client,
    pub(super) namespace: String,
    /// This process's own pod.
    pub(super) pod: String,
}

#[derive(Default, Deserialize)]
struct Pods {
    #[serde(default)]
    items: Vec<Pod>,
}

#[derive(Default, Deserialize)]
struct Pod {
    metadata: Metadata,
}

impl Mark {
    /// Runs until the election ends for this replica.
    pub(super) async fn run(self, mut standing: watch::Receiver<Standing>) {
        let (mut failures, mut problem) = (0, None);
        loop {
            let leads = standing.borrow_and_update().leads;
            let done = self.set(leads).await;
            let again = match &done {
                Ok(()) if leads => LOOK,
                Ok(()) => Duration::MAX,
                Err(_) => pause(failures),
            };
            failures = if done.is_ok() { 0 } else { (failures + 1).min(10) };
            if done.as_ref().err() != problem.as_ref() {
                match &done {
                    Ok(()) => info!("the leader's pod is labelled"),
                    Err(message) => warn!("Services may lead to a replica that does not lead: {message}"),
                }
                problem = done.err();
            }
            let changed = async {
                // Only who leads matters.
                standing.wait_for(|now| now.leads != leads).await.is_ok()
            };
            tokio::select! {
                changed = changed => if !changed {
                    return;
                },
                () = tokio::time::sleep(again) => {}
            }
        }
    }

    async fn set(&self, leads: bool) -> Result<(), String> {
        self.patch(&self.pod, leads).await?;
        if leads {
            for other in self.labelled().await?.into_iter().filter(|pod| *pod != self.pod) {
                self.patch(&other, false).await?;
            }
        }
        Ok(())
    }

    /// Pods that bear the label.
    async fn labelled(&self) -> Result<Vec<String>, String> {
        let parameters = ListParams::default().labels(&format!("{LEADER_LABEL}=true"));
        let request = Request::new(format!("/api/v1/namespaces/{}/pods", self.namespace)).list(&parameters);
        let request = request.map_err(|error| error.to_string())?;
        let pods: Pods = self.send("list", request).await?;
        Ok(pods.items.into_iter().map(|pod| pod.metadata.name).collect())
    }

    async fn patch(&self, pod: &str, leads: bool) -> Result<(), String> {
        let value = if leads { json!("true") } else { Value::Null };
        let body = json!({"metadata": {"labels": {LEADER_LABEL: value}}}).to_string().into_bytes();
        let request = http::Request::builder()
            .method(Method::PATCH)
            .uri(format!("/api/v1/namespaces/{}/pods/{pod}", self.namespace))
            .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
            .body(body)
            .map_err(|error| error.to_string())?;
        self.send::<Value>("patch", request).await.map(drop)
    }

    async fn send<T: serde::de::DeserializeOwned + Default>(
        &self,
        verb: &str,
        request: http::Request<Vec<u8>>,
    ) -> Result<T, String> {
        let attempt = Attempt { verb, resource: "pods", namespace: Some(&self.namespace) };
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            // A pod that is gone bears no label.
            Ok(Err(error)) if verb == "patch" && status(&error) == Some(404) => Ok(T::default()),
            Ok(Err(error)) => Err(explain(&error, attempt)),
            Err(_) => {
                let slow = kube::Error::Service("the API server takes too long".into());
                Err(explain(&slow, attempt))
            }
        }
    }
}
