//! `vamp serve`: everything in one process. This file is the wiring, in the order in which data flows.
//!
//! ```text
//! platform --Observation--> control --RoutingConfig--> proxy --acknowledge--> control
//!                              ^                         |
//!                          API, store                telemetry --every second, every period--> rings, events
//! ```

mod adapters;
mod platform;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use control::Control;
use proxy::{Proxy, Sockets};
use serde_json::{Value, json};
use store::{SqliteStore, Store};
use telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::adapters::Applied;
use crate::certificates;
use crate::environment::{Environment, Metrics, Parts};
use crate::export::Export;
use crate::gateways;
use crate::incidents;
use crate::process::{self, Memory, vital};
use crate::serve::platform::Platform;
use crate::settings::Settings;
use crate::takeover::{self, Predecessor, Running, Service};
use crate::tokens;

/// Name of the proxy in this process, in receipts and `status`.
const PROXY: &str = "local";

/// How long API requests under way may take to finish when Vamp stops.
const API_DRAIN: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn run(settings: Settings, takeover: bool, applied: Applied) -> anyhow::Result<()> {
    process::log(&settings.log)?;
    process::runtime()?.block_on(async {
        let stopped = process::stop_signal()?;
        let drain = settings.proxy.drain_timeout;
        let data_dir = settings.data_dir.clone();
        takeover::run(Serve { settings, applied }, &data_dir, takeover, stopped, drain).await
    })
}

/// How a server is started, again if need be.
struct Serve {
    settings: Settings,
    applied: Applied,
}

impl Service for Serve {
    type Running = Server;

    async fn start(&self, sockets: Sockets, predecessor: Option<&mut Predecessor>) -> anyhow::Result<Server> {
        Server::start(self.settings.clone(), self.applied.clone(), &sockets, predecessor).await
    }
}

impl Running for Server {
    fn announcement(&self) -> Value {
        json!({
            "api": self.api.to_string(),
            "virtual_hosts": self.virtual_hosts.to_string(),
            "virtual_hosts_tls": self.proxy.virtual_host_tls_address().map(|address| address.to_string()),
            "pid": std::process::id(),
        })
    }

    async fn sockets(&self) -> Result<Vec<std::net::TcpListener>, String> {
        if let Platform::Local(platform) = &self.platform
            && let Some(workload) = platform.workloads().iter().find(|workload| workload.replicas > 0)
        {
            return Err(format!(
                "workloads run as its children and would end with it; `vamp local delete` them first ('{}')",
                workload.name
            ));
        }
        let mut all = self.proxy.sockets().await;
        all.push(self.api_socket.try_clone().map_err(|error| error.to_string())?);
        Ok(all)
    }

    async fn release(self) -> Proxy {
        let proxy = self.proxy.clone();
        self.close().await;
        proxy
    }

    async fn stop(self, drain: Duration) {
        self.shut_down(drain).await;
    }
}

/// A running Vamp.
pub(crate) struct Server {
    api: SocketAddr,
    virtual_hosts: SocketAddr,
    gateway_address: IpAddr,
    proxy: Proxy,
    platform: Platform,
    /// A copy, for a process that takes over.
    api_socket: std::net::TcpListener,
    store: Arc<SqliteStore>,
    closing: CancellationToken,
    api_task: JoinHandle<bool>,
    environment: Environment,
}

impl Server {
    /// Starts everything; when this returns the first table is in force and the API answers.
    ///
    /// # Errors
    /// What could not be started, and what to do about it.
    pub(crate) async fn start(
        settings: Settings,
        mut applied: Applied,
        sockets: &Sockets,
        predecessor: Option<&mut Predecessor>,
    ) -> anyhow::Result<Self> {
        let tokens = settings.token_file.as_deref().map(tokens::read).transpose()?.unwrap_or_default();
        let open = tokens.is_empty() && settings.cluster.kubeconfig.is_none();
        if open && !settings.api.listen.ip().is_loopback() {
            anyhow::bail!(
                "--api-listen {} can be reached from other machines, so the API needs tokens: give --token-file, \
                 or listen on 127.0.0.1",
                settings.api.listen
            );
        }
        let (selector, filter) = settings.gateways.filter(settings.cluster.kubeconfig.is_some())?;
        if settings.gateways.gateway_selector.is_none() {
            applied.push(("gateway-selector".into(), selector, "default"));
        }
        let certificate = settings.api.certificate()?;
        // Addresses first: what cannot be bound must not touch the data.
        let api_listener = takeover::listener(settings.api.listen, sockets).await.with_context(|| {
            format!("cannot listen on {} for the API (--api-listen)", settings.api.listen)
        })?;
        let api = api_listener.local_addr().context("the API's address")?;
        let api_socket = takeover::copy(&api_listener).context("the API's socket")?;
        // Else every gateway would be refused one by one, for want of a port.
        drop(TcpListener::bind((settings.listen.gateway_address, 0)).await.with_context(|| {
            format!("cannot open gateway ports on {} (--gateway-address)", settings.listen.gateway_address)
        })?);
        if let Some(predecessor) = predecessor {
            predecessor.release().await?;
        }
        let store =
            Arc::new(SqliteStore::open(&settings.data_dir, &settings.environment).await.with_context(
                || format!("cannot open the store in {} (--data-dir)", settings.data_dir.display()),
            )?);

        let mut proxy_settings = process::proxy_settings(&settings.proxy, &settings.listen, sockets);
        let export = Export::new(&settings.proxy, &settings.environment, &mut proxy_settings)?;
        let workers = proxy_settings.workers;
        let telemetry = Telemetry::new(workers);
        let proxy = Proxy::start(proxy_settings, Arc::clone(&telemetry)).context("cannot start the proxy")?;
        vital::watch_proxy(&proxy);
        process::follow_hang_ups(&proxy)?;
        let virtual_hosts = proxy.virtual_host_address().context("the shared listener has no address")?;

        let reserved: Vec<u16> = [Some(api), Some(virtual_hosts), proxy.virtual_host_tls_address()]
            .into_iter()
            .flatten()
            .map(|address| address.port())
            .collect();
        let platform = Platform::start(&settings).await?;
        let memory = Memory::default();
        let mut environment = Environment::start(Parts {
            rules: adapters::control_settings(
                &settings,
                platform.namespace(),
                filter.clone(),
                &reserved,
                proxy.clone(),
            ),
            store: Arc::clone(&store) as Arc<dyn Store>,
            observation: platform.observe(),
            telemetry: Arc::clone(&telemetry),
            metrics: Metrics::from(&settings.history),
            memory: memory.clone(),
        })
        .await?;
        let control = environment.control.clone();

        control.proxy_joined(PROXY);
        let mut published = control.published();
        let first = published.borrow_and_update().clone();
        let outcome = proxy.apply(first).await;
        control.acknowledge(PROXY, outcome.revision, outcome.problems);

        let closing = CancellationToken::new();
        environment.spawn(follow(control.clone(), proxy.clone(), published));
        environment.spawn(incidents::tell(proxy.clone(), control.clone()));
        environment.spawn(memory.run());
        match &platform {
            Platform::Kubernetes(platform) => {
                environment.spawn(certificates::follow_on(proxy.clone(), platform.clone()));
            }
            Platform::Local(_) => environment.spawn(certificates::refuse_all(proxy.clone())),
        }
        if let Platform::Kubernetes(platform) = &platform {
            environment.spawn(gateways::keep(platform.clone(), control.clone()));
        }
        if let Platform::Kubernetes(platform) = &platform
            && settings.gateways.create_services
        {
            let owner = format!("serve.{}", settings.environment);
            environment.keep_services(platform, settings.gateways.service_type, owner);
        }

        let endpoints = adapters::api(adapters::Parts {
            settings: &settings,
            applied,
            tokens,
            api,
            control,
            filter,
            telemetry,
            proxy: proxy.clone(),
            platform: platform.clone(),
            closing: closing.clone(),
        });
        if let Some(export) = export {
            let page = endpoints.clone();
            environment.spawn(export.run(move || page.metrics()));
        }
        let tls = certificate.as_ref().map(pki::ServerCertificate::config);
        if let Some(certificate) = certificate {
            environment.spawn(certificate.watch(process::CERTIFICATE_LOOKS));
        } else if !api.ip().is_loopback() {
            warn!(
                "the API takes tokens without TLS, where others can read them on the way; --api-tls-cert and --api-tls-key mend that"
            );
        }
        let router = endpoints.router();
        let api_task = tokio::spawn(api::serve(api_listener, tls, router, closing.clone(), API_DRAIN));

        info!(%api, %virtual_hosts, workers, data = %settings.data_dir.display(), "vamp serves");
        if settings.token_file.is_none() && api.ip().is_loopback() {
            info!("the API is open to everybody on this machine; --token-file closes it");
        }
        if settings.inventory.is_empty() && settings.cluster.kubeconfig.is_none() {
            info!(
                "no --inventory: only workloads started with `vamp local apply` and addresses in routes are known"
            );
        }
        Ok(Self {
            api,
            virtual_hosts,
            gateway_address: settings.listen.gateway_address,
            proxy,
            platform,
            api_socket,
            store,
            closing,
            api_task,
            environment,
        })
    }

    pub(crate) fn api(&self) -> SocketAddr {
        self.api
    }

    pub(crate) fn virtual_hosts(&self) -> SocketAddr {
        self.virtual_hosts
    }

    pub(crate) fn gateway_address(&self) -> IpAddr {
        self.gateway_address
    }

    /// Stops in order: traffic drains first, then the API, then the processes, then the store.
    pub(crate) async fn shut_down(self, drain: Duration) {
        let drained = self.proxy.drain(drain).await;
        info!(?drained, "the proxy has stopped");
        self.close().await;
    }

    /// Ends everything but the proxy.
    async fn close(self) {
        drop(self.api_socket);
        self.closing.cancel();
        if !self.api_task.await.unwrap_or_default() {
            warn!("API requests under way were cut off");
        }
        self.environment.stop().await;
        self.platform.stop().await;
        self.store.close().await;
    }
}

/// Hands every new configuration to the proxy, the newest first when several came meanwhile, and acknowledges it.
async fn follow(
    control: Control,
    proxy: Proxy,
    mut published: tokio::sync::watch::Receiver<Arc<routing::config::RoutingConfig>>,
) {
    let mut reported = proxy.reported();
    loop {
        let outcome = tokio::select! {
            changed = published.changed() => match changed {
                Ok(()) => {
                    let config = published.borrow_and_update().clone();
                    proxy.apply(config).await
                }
                Err(_) => return,
            },
            // What it said in the answer to `apply` may hold no longer.
            changed = reported.changed() => match changed {
                Ok(()) => reported.borrow_and_update().clone(),
                Err(_) => return,
            },
        };
        control.acknowledge(PROXY, outcome.revision, outcome.problems);
    }
}
