//! Carries out what [`plan`](super::plan) says, and reports where gateways are reached.
//!
//! Level-triggered: whenever gateways or Services change, and after a failure, the plan is made anew from what there is. A
//! conflict only means that somebody was faster, and the watch is about to tell what they did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::Method;
use kube::Client;
use model::name::GatewayName;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::explain::{Attempt, explain, status};
use crate::follow::pause;
use crate::hub::Services;
use crate::services::plan::{Action, Gateway, GatewayService, Rules, plan};

/// Writes under way at once.
const PARALLEL: usize = 8;
/// How long the API server may take for a write.
const PATIENCE: Duration = Duration::from_secs(30);
/// A new plan after a conflict, should the watch have nothing to tell.
const CONFLICT: Duration = Duration::from_millis(500);

pub(crate) type Report = Arc<BTreeMap<GatewayName, GatewayService>>;

pub(crate) struct Keeper {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) rules: Rules,
    pub(crate) gateways: watch::Receiver<Arc<Vec<Gateway>>>,
    pub(crate) services: watch::Receiver<Services>,
    pub(crate) report: watch::Sender<Report>,
}

/// What became of all actions of a plan.
#[derive(Default)]
struct Outcome {
    /// A new plan is needed soon.
    late: bool,
    failure: Option<String>,
    progress: bool,
}

/// What became of an action.
enum Done {
    Nothing,
    Carried,
    /// Somebody was faster.
    Late,
    Failed(String),
}

impl Keeper {
    /// Runs until gateways or Services have no source any more.
    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        let mut problem: Option<String> = None;
        let mut foreign = BTreeMap::new();
        loop {
            let services = self.services.borrow_and_update().clone();
            let gateways = self.gateways.borrow_and_update().clone();
            let mut again = None;
            if let Some(services) = services {
                let plan = plan(&gateways, &services, &self.rules);
                self.tell_foreign(&plan.actions, &mut foreign);
                self.show(plan.services);
                let Outcome { late, failure, progress } = self.carry_out(plan.actions).await;
                again = late.then(|| Instant::now() + CONFLICT);
                if failure.is_some() {
                    // Where some writes work, the others are not waited for long.
                    failures = if progress { 0 } else { failures };
                    again = Some(Instant::now() + pause(failures));
                    failures = failures.saturating_add(1);
                } else {
                    failures = 0;
                }
                if failure != problem {
                    match &failure {
                        Some(message) => warn!("{message}"),
                        None => info!("the Services of gateways can be written again"),
                    }
                    problem = failure;
                }
            }
            let retry = async {
                match again {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let lives = tokio::select! {
                // After a failure, news do not shorten the pause.
                changed = self.services.changed(), if failures == 0 => changed.is_ok(),
                changed = self.gateways.changed(), if failures == 0 => changed.is_ok(),
                () = retry => true,
            };
            if !lives || self.services.has_changed().is_err() || self.gateways.has_changed().is_err() {
                return;
            }
        }
    }

    fn show(&self, services: BTreeMap<GatewayName, GatewayService>) {
        self.report.send_if_modified(|report| {
            let different = **report != services;
            if different {
                *report = Arc::new(services);
            }
            different
        });
    }

    /// Says once what stands in the way of whom.
    fn tell_foreign(&self, actions: &[Action], told: &mut BTreeMap<GatewayName, String>) {
        let mut foreign = BTreeMap::new();
        for action in actions {
            let Action::Foreign { gateway, name } = action else { continue };
            if told.get(gateway) != Some(name) {
                warn!(
                    "gateway '{gateway}' gets no Service: a Service '{name}' that is not of this installation is in namespace '{}', \
                     and was left alone; rename the gateway or that Service. If another Vamp made it, which its label \
                     io.vamp.owner names, end that one and delete the Service",
                    self.namespace
                );
            }
            foreign.insert(gateway.clone(), name.clone());
        }
        *told = foreign;
    }

    async fn carry_out(&self, actions: Vec<Action>) -> Outcome {
        let work = actions.into_iter().map(|action| self.act(action));
        let mut results = futures_util::stream::iter(work).buffer_unordered(PARALLEL);
        let mut all = Outcome::default();
        while let Some(done) = results.next().await {
            match done {
                Done::Nothing => {}
                Done::Carried => all.progress = true,
                Done::Late => all.late = true,
                // The smallest message, so that the order of the answers does not matter.
                Done::Failed(message) => {
                    all.failure = Some(match all.failure {
                        Some(other) => other.min(message),
                        None => message,
                    });
                }
            }
        }
        all
    }

    async fn act(&self, action: Action) -> Done {
        let (verb, method, name, body) = match &action {
            Action::Create { body, .. } => ("create", Method::POST, "", body.clone()),
            Action::Update { name, patch } => ("patch", Method::PATCH, name.as_str(), patch.clone()),
            Action::Delete { name, uid, version } => {
                let preconditions = json!({"uid": uid, "resourceVersion": version});
                let body =
                    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
                ("delete", Method::DELETE, name.as_str(), body)
            }
            Action::Foreign { .. } => return Done::Nothing,
        };
        let answer = timeout(PATIENCE, self.send(method, name, &body)).await;
        let attempt = Attempt { verb, resource: "services", namespace: Some(&self.namespace) };
        match answer {
            Ok(Ok(())) => {
                match action {
                    Action::Create { name, .. } => info!(service = name, "Service created"),
                    Action::Update { name, .. } => info!(service = name, "Service changed"),
                    Action::Delete { name, .. } => info!(service = name, "Service deleted"),
                    Action::Foreign { .. } => {}
                }
                Done::Carried
            }
            Ok(Err(error)) => match status(&error) {
                Some(404) if verb == "delete" => Done::Carried,
                Some(404 | 409) => {
                    debug!(verb, %error, "somebody was faster");
                    Done::Late
                }
                _ => Done::Failed(explain(&error, attempt)),
            },
            Err(_) => {
                let slow = kube::Error::Service("the API server takes longer than half a minute".into());
                Done::Failed(explain(&slow, attempt))
            }
        }
    }

    async fn send(&self, method: Method, name: &str, body: &Value) -> Result<(), kube::Error> {
        let collection = format!("/api/v1/namespaces/{}/services", self.namespace);
        let path = if name.is_empty() { collection } else { format!("{collection}/{name}") };
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
        self.client.request_text(request).await.map(drop)
    }
}
