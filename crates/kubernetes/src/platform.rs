//! The handle: starts the tasks and ends them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use model::gateway::ClusterSource;
use model::instance::{Instance, Observation};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::info;

use crate::access::Callers;
use crate::connect::Cluster;
use crate::follow::Follower;
use crate::gateways::Door;
use crate::hub::{Hub, Kind, Known, Services};
use crate::object::{Pod, Service};
use crate::observe;
use crate::services::keeper::{Keeper, Report};
use crate::services::plan::{Gateway, Rules};

/// Updates that may wait for the hub; a follower that is ahead waits, and so does the API server.
const QUEUE: usize = 1024;

/// How the platform is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespace of the environment.
    pub namespace: String,
    /// Looks for instances in all namespaces, when that is allowed; else only in that of the environment.
    pub all_namespaces: bool,
    /// Everything is read anew this often, should an event ever be missed.
    pub resync: Duration,
}

impl Settings {
    /// The defaults for an environment in `namespace`.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), all_namespaces: false, resync: Duration::from_secs(600) }
    }
}

/// Handle of a running platform. Cheap to clone; it ends with the last one.
#[derive(Debug, Clone)]
pub struct Platform {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    namespace: String,
    observation: watch::Receiver<Arc<Observation>>,
    services: watch::Receiver<Services>,
    tasks: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Platform {
    /// Begins to follow the cluster, inside the present runtime. The API server need not be there yet: until it is, the
    /// observation says why it is not complete.
    pub fn start(cluster: &Cluster, settings: Settings) -> Self {
        let (client, namespace) = (cluster.client.clone(), settings.namespace);
        info!(namespace, all_namespaces = settings.all_namespaces, "follows a Kubernetes cluster");
        let watched = (!settings.all_namespaces).then(|| namespace.clone());
        let (pod_updates, pods) = mpsc::channel(QUEUE);
        let (service_updates, services) = mpsc::channel(QUEUE);
        let (observations, observation) = watch::channel(Arc::default());
        let (own_services, own) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(
            Follower::<Pod, Arc<Instance>> {
                client: client.clone(),
                namespace: watched.clone(),
                fallback: namespace.clone(),
                resync: settings.resync,
                row: |pod| Arc::new(observe::pod(pod)),
                updates: pod_updates,
                failures: 0,
                problem: None,
            }
            .run(),
        );
        tasks.spawn(
            Follower::<Service, Known> {
                client: client.clone(),
                namespace: watched,
                fallback: namespace.clone(),
                resync: settings.resync,
                row: Known::new,
                updates: service_updates,
                failures: 0,
                problem: None,
            }
            .run(),
        );
        let hub = Hub {
            namespace: namespace.clone(),
            pods: Kind::new(pods),
            services: Kind::new(services),
            observations,
            own_services,
        };
        tasks.spawn(hub.run());
        let inner = Inner { client, namespace, observation, services: own, tasks: Mutex::new(tasks) };
        Self { inner: Arc::new(inner) }
    }

    /// What the control plane sees; always the newest.
    pub fn observe(&self) -> watch::Receiver<Arc<Observation>> {
        self.inner.observation.clone()
    }

    /// Namespace of the environment.
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// Keeps a Service for each of the gateways, in the environment's namespace, and says where they are reached. To be
    /// called once.
    pub fn keep_services(
        &self,
        gateways: watch::Receiver<Arc<Vec<Gateway>>>,
        rules: Rules,
    ) -> watch::Receiver<Report> {
        let (report, reports) = watch::channel(Report::default());
        let keeper = Keeper {
            client: self.inner.client.clone(),
            namespace: self.inner.namespace.clone(),
            rules,
            gateways,
            services: self.inner.services.clone(),
            report,
        };
        self.tasks().spawn(keeper.run());
        reports
    }

    /// Who may use the API of this environment, as the cluster sees it.
    pub fn callers(&self) -> Callers {
        Callers::with(self.inner.client.clone())
    }

    /// Follows objects with certificates in the environment's namespace (see [`crate::secrets::follow`]).
    pub async fn follow_secrets<F>(&self, wanted: watch::Receiver<BTreeSet<ClusterSource>>, found: F)
    where
        F: Fn(ClusterSource, Result<crate::secrets::Content, String>) + Clone + Send + Sync + 'static,
    {
        let (client, namespace) = (self.inner.client.clone(), self.inner.namespace.clone());
        crate::secrets::follow_with(client, namespace, wanted, found).await;
    }

    /// The gateways that are custom resources of the environment's namespace. Each call begins to follow them anew.
    pub fn gateways(&self) -> Door {
        Door::open(self.inner.client.clone(), &self.inner.namespace)
    }

    /// Where a Service of the environment's namespace is reached: at its load balancer, else at its address in the cluster. Empty
    /// while none is known.
    pub fn addresses(&self, service: &str) -> Vec<(String, u16)> {
        let services = self.inner.services.borrow();
        let service = services.as_ref().and_then(|services| services.get(service));
        service.map(Service::addresses).unwrap_or_default()
    }

    /// Ends everything; writes under way are cut off, which a later start repairs.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks());
        tasks.shutdown().await;
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        // A set of tasks is whole after every operation.
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
