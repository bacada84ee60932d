//! `vamp controller`: the API and the control of one or several environments on Kubernetes. This file is the wiring.
//!
//! ```text
//!              election (Lease) --leads?--+
//!                                         v
//!   cluster --Observation--> reign: for each environment --+--> control --RoutingConfig--> agents (gRPC, TLS)
//!        ^                                                 |       ^                          |
//!        +---- Services, records --------------------------+      API                    acks, figures
//! ```
//!
//! Any number of replicas run. One leads and does everything; the others answer that they do not, and who does. What a
//! leader was about to do when it is lost, it does no more: its successor goes on from what is stored.

mod authority;
mod callers;
mod plane;
mod presence;
mod reign;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api::Standing;
use kubernetes::access::Callers;
use kubernetes::lease::{self, Candidate, Identity};
use kubernetes::{Cluster, Credentials};
use proxy::Sockets;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::{Agent, Options};
use crate::environment::Metrics;
use crate::process::{self, Memory};
use crate::settings::ControllerSettings;
use crate::{adapters, tokens};
use reign::{Reign, Source};

/// How long API requests under way may take to finish when the controller stops.
const API_DRAIN: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn run(settings: ControllerSettings, applied: adapters::Applied) -> anyhow::Result<()> {
    process::log(&settings.log)?;
    process::runtime()?.block_on(async {
        let stopped = process::stop_signal()?;
        let controller = Controller::start(settings, applied).await?;
        process::announce(&json!({
            "api": controller.api.to_string(),
            "agents": controller.agents.to_string(),
            "replica": controller.replica,
            "pid": std::process::id(),
        }))?;
        stopped.cancelled().await;
        info!("stopping");
        controller.stop().await;
        Ok(())
    })
}

/// A running replica.
struct Controller {
    api: SocketAddr,
    agents: SocketAddr,
    replica: String,
    candidate: Candidate,
    leaving: CancellationToken,
    lead: JoinHandle<()>,
    /// Ends the API.
    closing: CancellationToken,
    api_task: JoinHandle<bool>,
    /// Ends the agents' streams.
    agents_closing: CancellationToken,
    background: Vec<JoinHandle<()>>,
    /// In the small form.
    agent: Option<Agent>,
    drain_delay: Duration,
    drain: Duration,
}

impl Controller {
    /// Starts a replica: it answers, and takes part in the election.
    async fn start(settings: ControllerSettings, mut applied: adapters::Applied) -> anyhow::Result<Self> {
        let timing = settings.timing()?;
        let tokens = settings.api_token_file.as_deref().map(tokens::read).transpose()?.unwrap_or_default();
        let (selector, filter) = settings.gateways.filter(true)?;
        if settings.gateways.gateway_selector.is_none() {
            applied.push(("gateway-selector".into(), selector, "default"));
        }
        let credentials = settings.cluster.credentials().unwrap_or(Credentials::InCluster);
        let cluster = Cluster::connect(&credentials).await?;
        let home = settings.home(&cluster);
        let replica = settings.replica();

        let agent = settings.small.with_agent.then(|| options(&settings, &home, &replica));
        let (drain_delay, drain) = {
            let follower = &settings.small.follower;
            (follower.drain_delay, follower.proxy.drain_timeout)
        };
        let certificate = settings.api.certificate()?;
        let api_listener = listen(settings.api.listen, "the API (--api-listen)").await?;
        let agent_listener = listen(settings.agent_listen, "agents (--agent-listen)").await?;
        let api_address = api_listener.local_addr().context("the API's address")?;
        let agents_address = agent_listener.local_addr().context("the agents' address")?;

        let closing = CancellationToken::new();
        let source = Source::of(&settings, &cluster, &home);
        let api = api::Api::new(api::Process {
            info: adapters::info("kubernetes", "kubernetes"),
            ui: ui::file,
            settings: api::Settings {
                default_namespace: source.default_namespace(),
                home_namespace: home.clone(),
                security: api::Security {
                    tokens,
                    // On loopback the API is as open as the machine is.
                    authenticator: (!api_address.ip().is_loopback())
                        .then(|| adapters::cluster_users(Callers::new(&cluster))),
                    allowed_origins: settings.api.allowed_origin.clone(),
                    allowed_hosts: settings.api.allowed_host.clone(),
                    loopback_only: api_address.ip().is_loopback(),
                },
                applied: adapters::applied(&applied),
                ..api::Settings::default()
            },
            closing: closing.clone(),
        });
        api.stand(Standing::Standby { leader: None, able: false });
        let tls = certificate.as_ref().map(pki::ServerCertificate::config);
        let api_task = tokio::spawn(api::serve(api_listener, tls, api.router(), closing.clone(), API_DRAIN));

        let (leading, leads) = watch::channel(false);
        let server = agent::Server::new(
            agent::ServerSettings { version: env!("CARGO_PKG_VERSION").into(), ..Default::default() },
            callers::agents(&settings, &cluster)?,
            leads,
        );
        let agents_closing = CancellationToken::new();
        let authority = authority::Authority::new(&cluster, &home);
        let memory = Memory::default();
        let mut background = vec![
            tokio::spawn(authority::serve(
                authority.clone(),
                server.clone(),
                agent_listener,
                agents_closing.clone(),
            )),
            tokio::spawn(memory.clone().run()),
        ];
        background.extend(
            certificate.map(|certificate| tokio::spawn(certificate.watch(process::CERTIFICATE_LOOKS))),
        );

        let identity = Identity::new(&replica, &adapters::start_id());
        let pod = std::env::var("POD_NAME").ok().filter(|pod| *pod == replica);
        let candidate =
            Candidate::start(&cluster, lease::Settings { namespace: home.clone(), identity, pod, timing });
        let shared = Arc::new(reign::Shared {
            cluster,
            filter,
            api: api.clone(),
            agents: server,
            authority,
            metrics: Metrics::from(&settings.history),
            memory,
            settings,
            owner: format!("controller.{home}"),
        });
        let leaving = CancellationToken::new();
        let lead = tokio::spawn(lead(shared, source, candidate.standing(), leading, leaving.clone()));
        let agent = match agent {
            Some(options) => Some(Agent::start(options, &Sockets::default()).await?),
            None => None,
        };
        info!(api = %api_address, agents = %agents_address, replica, home, "this replica stands for election");
        Ok(Self {
            api: api_address,
            agents: agents_address,
            replica,
            candidate,
            leaving,
            lead,
            closing,
            api_task,
            agents_closing,
            background,
            agent,
            drain_delay,
            drain,
        })
    }

    /// Stops in order: first what only a leader does, then the Lease goes to another, then the agents are sent there, then
    /// the API ends.
    async fn stop(self) {
        self.leaving.cancel();
        let _ = self.lead.await;
        self.candidate.leave().await;
        self.agents_closing.cancel();
        if let Some(agent) = self.agent {
            let drain = agent.linger(self.drain_delay, self.drain).await;
            agent.stop(drain).await;
        }
        self.closing.cancel();
        if !self.api_task.await.unwrap_or_default() {
            warn!("API requests under way were cut off");
        }
        for task in self.background {
            task.abort();
        }
    }
}

/// The agent of the small form: it serves the default environment, and follows the leader, which may be another replica.
fn options(settings: &ControllerSettings, home: &str, replica: &str) -> Options {
    Options {
        environment: settings.namespace.first().cloned().unwrap_or_else(|| home.to_owned()),
        name: replica.to_owned(),
        follower: settings.small.follower.clone(),
    }
}

async fn listen(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for {what}"))
}

/// Reigns while this replica leads, and only then.
async fn lead(
    shared: Arc<reign::Shared>,
    source: Source,
    mut standing: watch::Receiver<lease::Standing>,
    leading: watch::Sender<bool>,
    leaving: CancellationToken,
) {
    let mut reign: Option<Reign> = None;
    loop {
        let now = standing.borrow_and_update().clone();
        let leads = now.leads && !leaving.is_cancelled();
        match (leads, reign.take()) {
            (true, None) => {
                shared.api.stand(Standing::Starting);
                reign = Some(Reign::begin(&shared, source.clone()));
                leading.send_replace(true);
            }
            (true, Some(going)) => reign = Some(going),
            (false, going) => {
                let leader = now.leader.clone().filter(|_| !now.leads);
                shared.api.stand(Standing::Standby { leader, able: now.able });
                leading.send_replace(false);
                if let Some(going) = going {
                    going.end().await;
                }
            }
        }
        if leaving.is_cancelled() {
            return;
        }
        tokio::select! {
            changed = standing.changed() => if changed.is_err() {
                return;
            },
            () = leaving.cancelled() => {}
        }
    }
}
