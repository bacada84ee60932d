//! What only the leader does: every environment at work.
//!
//! ```text
//! Source (flags, or labels of namespaces) --wanted--> one task for each environment:
//!        records --> control --> API, agents, Services;  tried again while something is missing
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api::{EnvironmentId, Standing};
use kubernetes::namespaces::{self, Found, Namespaces};
use kubernetes::records::{self, ClusterStore};
use kubernetes::{Cluster, Platform};
use model::selector::Selector;
use telemetry::Telemetry;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::authority::Authority;
use super::plane::{AgentsPlane, ForAgents};
use super::presence;
use crate::adapters::NoWorkloads;
use crate::environment::{Environment, Metrics, Parts};
use crate::gateways;
use crate::incidents::Noticed;
use crate::process::Memory;
use crate::settings::ControllerSettings;

/// Agents listen on every address of their pods, and reach each other's gateways through their own.
const GATEWAY_ADDRESS: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// After the first failure to start an environment; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What all environments share.
pub(super) struct Shared {
    pub(super) cluster: Cluster,
    pub(super) settings: ControllerSettings,
    pub(super) filter: Selector,
    pub(super) api: api::Api,
    pub(super) agents: agent::Server,
    pub(super) authority: Authority,
    pub(super) metrics: Metrics,
    pub(super) memory: Memory,
    /// Whose the Services are.
    pub(super) owner: String,
}

/// Which namespaces are environments.
#[derive(Clone)]
pub(super) enum Source {
    /// These, the default one first.
    Given(Vec<String>),
    /// Those with the label.
    Labelled(Arc<Namespaces>),
}

impl Source {
    pub(super) fn of(settings: &ControllerSettings, cluster: &Cluster, home: &str) -> Self {
        if settings.environments_from_label {
            return Self::Labelled(Arc::new(Namespaces::follow(cluster)));
        }
        match settings.namespace.as_slice() {
            [] => Self::Given(vec![home.to_owned()]),
            given => Self::Given(given.to_vec()),
        }
    }

    /// The environment that a plain path means; `None`: the only one, if it is that.
    pub(super) fn default_namespace(&self) -> Option<String> {
        match self {
            Self::Given(namespaces) => namespaces.first().cloned(),
            Self::Labelled(_) => None,
        }
    }

    fn wanted(&self) -> watch::Receiver<Found> {
        match self {
            Self::Given(namespaces) => {
                let all: BTreeSet<String> = namespaces.iter().cloned().collect();
                watch::channel(Found { namespaces: Some(Arc::new(all)), problem: None }).1
            }
            Self::Labelled(namespaces) => namespaces.found(),
        }
    }
}

/// How a namespace is addressed as an environment.
fn id(namespace: &str) -> EnvironmentId {
    let (organisation, name) = namespaces::environment(namespace);
    EnvironmentId { organisation: organisation.map(str::to_owned), ..EnvironmentId::new(name, namespace) }
}

/// The time while this replica leads.
pub(super) struct Reign {
    ending: CancellationToken,
    task: JoinHandle<()>,
}

impl Reign {
    pub(super) fn begin(shared: &Arc<Shared>, source: Source) -> Self {
        let ending = CancellationToken::new();
        let task = tokio::spawn(reign(Arc::clone(shared), source, ending.clone()));
        Self { ending, task }
    }

    /// Ends everything that only a leader does.
    pub(super) async fn end(self) {
        self.ending.cancel();
        let _ = self.task.await;
    }
}

async fn reign(shared: Arc<Shared>, source: Source, ending: CancellationToken) {
    let mut wanted = source.wanted();
    let mut running: BTreeMap<String, CancellationToken> = BTreeMap::new();
    let mut tasks: JoinSet<String> = JoinSet::new();
    // A source that is closed says nothing new.
    let mut open = true;
    while !ending.is_cancelled() {
        let found = wanted.borrow_and_update().namespaces.clone();
        if let Some(found) = found {
            let new: Vec<&String> =
                found.iter().filter(|namespace| !running.contains_key(*namespace)).collect();
            for namespace in new {
                let end = ending.child_token();
                shared.api.fail(id(namespace), "its records are being read, try again in a moment");
                tasks.spawn(keep(Arc::clone(&shared), namespace.clone(), end.clone()));
                running.insert(namespace.clone(), end);
            }
            let gone = running.iter().filter(|(namespace, _)| !found.contains(*namespace));
            gone.for_each(|(_, end)| end.cancel());
            shared.api.stand(Standing::Leader);
        }
        tokio::select! {
            changed = wanted.changed(), if open => open = changed.is_ok(),
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                // One that comes back while it ends is begun after that.
                if let Ok(namespace) = ended {
                    running.remove(&namespace);
                }
            }
            () = ending.cancelled() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Keeps one environment at work until `end`.
async fn keep(shared: Arc<Shared>, namespace: String, end: CancellationToken) -> String {
    let mut pause = FIRST_PAUSE;
    let mut told = None;
    loop {
        let opened = tokio::select! {
            opened = open(&shared, &namespace) => opened,
            () = end.cancelled() => break,
        };
        match opened {
            Ok(going) => {
                info!(namespace, "the environment is served");
                end.cancelled().await;
                // First nobody asks any more, then nothing changes any more.
                shared.api.remove(&namespace);
                going.stop(&shared, &namespace).await;
                break;
            }
            Err(error) => {
                let problem = format!("{error:#}");
                shared.api.fail(id(&namespace), &problem);
                if told.as_ref() != Some(&problem) {
                    warn!(namespace, "the environment cannot be served yet: {problem}");
                    told = Some(problem);
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = end.cancelled() => break,
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    shared.api.remove(&namespace);
    namespace
}

/// An environment at work, with where it comes from.
struct Going {
    environment: Environment,
    platform: Platform,
}

impl Going {
    async fn stop(self, shared: &Shared, namespace: &str) {
        shared.agents.close(namespace);
        // Writes to Services are cut off; those to the records are made or not, and no other comes after.
        tokio::join!(self.platform.stop(), self.environment.stop());
    }
}

async fn open(shared: &Arc<Shared>, namespace: &str) -> anyhow::Result<Going> {
    let settings = &shared.settings;
    let store = ClusterStore::open(&shared.cluster, records::Settings::new(namespace))
        .await
        .context("its records cannot be read")?;
    let platform = Platform::start(
        &shared.cluster,
        kubernetes::Settings {
            // With the default selector, what is elsewhere can never be found: nobody needs the right to see it.
            all_namespaces: settings.gateways.gateway_selector.is_some(),
            ..kubernetes::Settings::new(namespace)
        },
    );
    let id = id(namespace);
    let mut rules = control::Settings::new(id.title());
    rules.namespace = namespace.to_owned();
    rules.gateway_filter = shared.filter.clone();
    rules.port_range = settings.gateways.port_range.clone();
    rules.route_retention = settings.gateways.route_retention;
    rules.gateway_address = GATEWAY_ADDRESS;
    rules.reserved_ports = settings.reserved_ports.clone();
    rules.event_retention.max_age = settings.history.event_retention;
    let mut environment = Environment::start(Parts {
        rules,
        store: Arc::new(store),
        observation: platform.observe(),
        telemetry: Telemetry::new(1),
        metrics: shared.metrics,
        memory: shared.memory.clone(),
    })
    .await?;
    environment.spawn(gateways::keep(platform.clone(), environment.control.clone()));
    if settings.gateways.create_services {
        environment.keep_services(&platform, settings.gateways.service_type, shared.owner.clone());
    }
    environment.spawn(shared.authority.clone().publish(namespace.to_owned()));
    let (control, telemetry) = (environment.control.clone(), Arc::clone(&environment.telemetry));
    let noticed = Noticed::default();
    environment.spawn(noticed.clone().tell(control.clone()));
    let for_agents = ForAgents { control: control.clone(), telemetry: Arc::clone(&telemetry), noticed };
    // Those who were led by another one until now are on their way.
    control.proxies_known(false);
    let fleet = shared.agents.open(namespace, Arc::new(for_agents));
    let only_pods = settings.agent_tokens.is_none();
    environment.spawn(presence::follow(
        platform.observe(),
        namespace.to_owned(),
        Arc::clone(&fleet),
        control.clone(),
        only_pods,
    ));
    shared.api.put(api::Environment {
        id,
        data_plane: Arc::new(AgentsPlane::new(&control, fleet)),
        control,
        gateway_filter: shared.filter.clone(),
        telemetry,
        workloads: Arc::new(NoWorkloads),
    });
    Ok(Going { environment, platform })
}
