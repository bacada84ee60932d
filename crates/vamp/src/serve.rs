//! `vamp serve`: everything in one process. This file is the wiring, in the order in which data flows.
//!
//! ```text
//! platform --Observation--> control --RoutingConfig--> proxy --acknowledge--> control
//!                              ^                         |
//!                          API, store                telemetry --every second, every period--> rings, events
//! ```

mod adapters;
mod callers;
mod gateways;
mod platform;
mod services;
mod tokens;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use control::Control;
use jiff::Timestamp;
use model::selector::Selector;
use proxy::Proxy;
use serde_json::json;
use store::{SqliteStore, Store};
use telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::process;
use crate::serve::platform::Platform;
use crate::settings::Settings;

/// Name of the proxy in this process, in receipts and `status`.
const PROXY: &str = "local";

/// How long API requests under way may take to finish when Vamp stops.
const API_DRAIN: Duration = Duration::from_secs(5);

/// Settings as `GET /config` shows them: name, value, source.
pub(crate) type Applied = Vec<(String, String, &'static str)>;

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn run(settings: Settings, applied: Applied) -> anyhow::Result<()> {
    process::log(&settings.log, &settings.log_format)?;
    process::runtime()?.block_on(async {
        let stopped = process::stop_signal()?;
        let drain = settings.drain_timeout;
        let server = Server::start(settings, applied).await?;
        process::announce(&json!({
            "api": server.api.to_string(),
            "virtual_hosts": server.virtual_hosts.to_string(),
            "pid": std::process::id(),
        }))?;
        stopped.cancelled().await;
        info!("stopping");
        server.stop(drain).await;
        Ok(())
    })
}

/// A running Vamp.
pub(crate) struct Server {
    api: SocketAddr,
    virtual_hosts: SocketAddr,
    gateway_address: IpAddr,
    proxy: Proxy,
    platform: Platform,
    store: Arc<SqliteStore>,
    closing: CancellationToken,
    api_task: JoinHandle<bool>,
    background: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts everything; when this returns the first table is in force and the API answers.
    ///
    /// # Errors
    /// What could not be started, and what to do about it.
    pub(crate) async fn start(settings: Settings, mut applied: Applied) -> anyhow::Result<Self> {
        let tokens = settings.token_file.as_deref().map(tokens::read).transpose()?.unwrap_or_default();
        let open = tokens.is_empty() && settings.kubeconfig.is_none();
        if open && !settings.api_listen.ip().is_loopback() {
            anyhow::bail!(
                "--api-listen {} can be reached from other machines, so the API needs tokens: give --token-file, \
                 or listen on 127.0.0.1",
                settings.api_listen
            );
        }
        let selector = settings.gateway_selector.clone().unwrap_or_else(|| {
            let text = if settings.kubeconfig.is_some() { "namespace($namespace)" } else { "true" };
            applied.push(("gateway-selector".into(), text.into(), "default"));
            text.into()
        });
        let filter = Selector::parse(&selector).map_err(|error| {
            anyhow::anyhow!(
                "--gateway-selector '{selector}', at character {}: {}",
                error.offset + 1,
                error.message
            )
        })?;
        // Addresses first: what cannot be bound must not touch the data.
        let api_listener = TcpListener::bind(settings.api_listen).await.with_context(|| {
            format!("cannot listen on {} for the API (--api-listen)", settings.api_listen)
        })?;
        let api = api_listener.local_addr().context("the API's address")?;
        // Else every gateway would be refused one by one, for want of a port.
        drop(TcpListener::bind((settings.gateway_address, 0)).await.with_context(|| {
            format!("cannot open gateway ports on {} (--gateway-address)", settings.gateway_address)
        })?);
        let store =
            Arc::new(SqliteStore::open(&settings.data_dir, &settings.environment).await.with_context(
                || format!("cannot open the store in {} (--data-dir)", settings.data_dir.display()),
            )?);

        let workers = process::workers(settings.workers);
        let telemetry = Telemetry::new(workers);
        let proxy_settings = process::proxy_settings(
            workers,
            settings.gateway_address,
            settings.virtual_host_listen,
            settings.access_log.as_deref(),
        );
        let proxy = Proxy::start(proxy_settings, Arc::clone(&telemetry)).context("cannot start the proxy")?;
        let virtual_hosts = proxy.virtual_host_address().context("the shared listener has no address")?;

        let platform = Platform::start(&settings).await?;
        let control = Control::start(
            adapters::control_settings(
                &settings,
                platform.namespace(),
                filter.clone(),
                &[api.port(), virtual_hosts.port()],
                proxy.clone(),
            ),
            Arc::clone(&store) as Arc<dyn Store>,
            platform.observe(),
            Arc::new(control::SystemClock),
        )
        .await
        .context("cannot start the control plane")?;

        control.proxy_joined(PROXY);
        let mut published = control.published();
        let first = published.borrow_and_update().clone();
        let outcome = proxy.apply(first).await;
        control.acknowledge(PROXY, outcome.revision, outcome.problems);

        let closing = CancellationToken::new();
        let mut background = vec![
            tokio::spawn(follow(control.clone(), proxy.clone(), published)),
            tokio::spawn(tick(Arc::clone(&telemetry), control.clone())),
            tokio::spawn(publish_metrics(Arc::clone(&telemetry), control.clone(), settings.clone())),
        ];
        if let Platform::Kubernetes(platform) = &platform {
            background.push(tokio::spawn(gateways::keep(platform.clone(), control.clone())));
        }
        if let Platform::Kubernetes(platform) = &platform
            && settings.create_services
        {
            background.push(tokio::spawn(services::keep(
                platform.clone(),
                control.clone(),
                settings.service_type,
                format!("serve.{}", settings.environment),
            )));
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
        let api_task = tokio::spawn(api::serve(api_listener, endpoints.router(), closing.clone(), API_DRAIN));

        info!(%api, %virtual_hosts, workers, data = %settings.data_dir.display(), "vamp serves");
        if settings.token_file.is_none() && api.ip().is_loopback() {
            info!("the API is open to everybody on this machine; --token-file closes it");
        }
        if settings.inventory.is_empty() && settings.kubeconfig.is_none() {
            info!(
                "no --inventory: only workloads started with `vamp local apply` and addresses in routes are known"
            );
        }
        Ok(Self {
            api,
            virtual_hosts,
            gateway_address: settings.gateway_address,
            proxy,
            platform,
            store,
            closing,
            api_task,
            background,
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
    pub(crate) async fn stop(self, drain: Duration) {
        let drained = self.proxy.drain(drain).await;
        info!(?drained, "the proxy has stopped");
        self.closing.cancel();
        if !self.api_task.await.unwrap_or_default() {
            warn!("API requests under way were cut off");
        }
        for task in self.background {
            task.abort();
        }
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

/// Once a second: rolls the windows. After a change, and now and then: forgets series of what is gone, gives memory back.
async fn tick(telemetry: Arc<Telemetry>, control: Control) {
    // Series outlive what they count by minutes, so this is soon enough; and it looks at every series there is.
    const TIDY_SECONDS: u32 = 60;
    let mut left = 0;
    let mut seen = control.view();
    let mut memory = process::Tidy::default();
    // What the start took goes back as well.
    let mut first = true;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        second.tick().await;
        let now = Timestamp::now();
        telemetry.tick(now);
        let view = control.view();
        let other_config = !Arc::ptr_eq(&seen.config, &view.config);
        let other_instances = !Arc::ptr_eq(&seen.observation, &view.observation);
        if left == 0 || other_config {
            telemetry.retain(&adapters::live_series(&view), now);
            left = TIDY_SECONDS;
        }
        left -= 1;
        if memory.tick(std::mem::take(&mut first) || other_config || other_instances) {
            tokio::task::spawn_blocking(process::give_back);
        }
        seen = view;
    }
}

/// Publishes metrics and health as events (spec: automation 2.2, 2.3).
async fn publish_metrics(telemetry: Arc<Telemetry>, control: Control, settings: Settings) {
    let mut period = tokio::time::interval(settings.metrics_period.max(Duration::from_secs(1)));
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let window = u32::try_from(settings.metrics_window.as_secs()).unwrap_or(u32::MAX).max(1);
    loop {
        period.tick().await;
        let events = adapters::metric_figures(&telemetry, &control.view(), window, Timestamp::now());
        if !events.is_empty() {
            control.publish_transient(events).await;
        }
    }
}
