//! One environment at work: its control plane and what goes on beside it. `serve` has one, a controller several.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use control::{Control, View};
use jiff::Timestamp;
use kubernetes::ServiceType;
use model::event::NewEvent;
use model::instance::Observation;
use store::Store;
use telemetry::figures::{HealthMode, Instances, Subject, health, metric_events};
use telemetry::{Key, Telemetry, Window};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::process::{Memory, vital};
use crate::services;
use crate::settings::HistorySettings;

/// What an environment is made of.
pub(crate) struct Parts {
    /// Rules of its control plane.
    pub(crate) rules: control::Settings,
    /// Where it is kept.
    pub(crate) store: Arc<dyn Store>,
    /// What runs there.
    pub(crate) observation: watch::Receiver<Arc<Observation>>,
    /// What is counted of it.
    pub(crate) telemetry: Arc<Telemetry>,
    /// How metrics are published.
    pub(crate) metrics: Metrics,
    /// Told of what takes memory.
    pub(crate) memory: Memory,
}

/// How metrics and health become events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metrics {
    /// What they cover.
    pub(crate) window: Duration,
    /// How often.
    pub(crate) period: Duration,
}

impl From<&HistorySettings> for Metrics {
    fn from(settings: &HistorySettings) -> Self {
        Self { window: settings.metrics_window, period: settings.metrics_period }
    }
}

/// A running environment.
pub(crate) struct Environment {
    pub(crate) control: Control,
    pub(crate) telemetry: Arc<Telemetry>,
    tasks: JoinSet<()>,
}

impl Environment {
    /// Starts it; what was last in force is published when this returns.
    ///
    /// # Errors
    /// Its store cannot be read.
    pub(crate) async fn start(parts: Parts) -> anyhow::Result<Self> {
        let Parts { rules, store, observation, telemetry, metrics, memory } = parts;
        let control = Control::start(rules, store, observation, Arc::new(control::SystemClock))
            .await
            .context("cannot start the control plane")?;
        vital::watch_control(&control);
        let mut environment = Self { control, telemetry, tasks: JoinSet::new() };
        let (telemetry, control) = (&environment.telemetry, &environment.control);
        let tick = tick(Arc::clone(telemetry), control.clone(), memory);
        let publish = publish_metrics(Arc::clone(telemetry), control.clone(), metrics);
        environment.spawn(tick);
        environment.spawn(publish);
        Ok(environment)
    }

    /// Keeps a Kubernetes Service for each gateway with a port.
    pub(crate) fn keep_services(
        &mut self,
        platform: &kubernetes::Platform,
        service_type: ServiceType,
        owner: String,
    ) {
        self.spawn(services::keep(platform.clone(), self.control.clone(), service_type, owner));
    }

    /// Lets something go on for as long as the environment does.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(vital::run("a task of an environment", task));
    }

    /// Ends it: nothing is changed from now on, not even what was begun.
    pub(crate) async fn stop(mut self) {
        self.control.stop().await;
        self.tasks.shutdown().await;
    }
}

/// Once a second: rolls the windows. After a change, and now and then: forgets series of what is gone.
async fn tick(telemetry: Arc<Telemetry>, control: Control, memory: Memory) {
    // Series outlive what they count by minutes, so this is soon enough; and it looks at every series there is.
    const TIDY_SECONDS: u32 = 60;
    let mut left = 0;
    let mut seen = control.view();
    // What the start took goes back as well.
    memory.changed();
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
            telemetry.retain(&live_series(&view), now);
            left = TIDY_SECONDS;
        }
        left -= 1;
        if other_config || other_instances {
            memory.changed();
        }
        seen = view;
    }
}

/// Publishes metrics and health as events (spec: automation 2.2, 2.3).
async fn publish_metrics(telemetry: Arc<Telemetry>, control: Control, metrics: Metrics) {
    let mut period = tokio::time::interval(metrics.period.max(Duration::from_secs(1)));
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let window = u32::try_from(metrics.window.as_secs()).unwrap_or(u32::MAX).max(1);
    loop {
        period.tick().await;
        let events = metric_figures(&telemetry, &control.view(), window, Timestamp::now());
        if !events.is_empty() {
            control.publish_transient(events).await;
        }
    }
}

/// The series of everything that can get traffic now.
fn live_series(view: &View) -> BTreeSet<Key> {
    let mut live = BTreeSet::new();
    for gateway in view.config.gateways.values() {
        live.insert(Key::Gateway(gateway.name.clone()));
        for route in &gateway.routes {
            live.insert(Key::Route(gateway.name.clone(), route.path.clone()));
            for target in &route.targets {
                live.insert(Key::Instance(gateway.name.clone(), route.path.clone(), target.id.clone()));
            }
        }
    }
    live
}

/// Metrics and health of every gateway that had traffic in the window, and of its routes. The others have nothing new to say:
/// the API computes their figures when asked.
fn metric_figures(telemetry: &Telemetry, view: &View, seconds: u32, now: Timestamp) -> Vec<NewEvent> {
    let mut events = Vec::new();
    let window = |key: &Key| telemetry.window(key, seconds).unwrap_or_else(|| Window::empty(seconds));
    let in_flight = |key: &Key| telemetry.series(key).map_or(0, |series| series.totals().in_flight);
    for (name, entry) in view.gateways.iter() {
        let key = Key::Gateway(name.clone());
        let whole = window(&key);
        if whole.requests == 0 {
            continue;
        }
        let judged = health(&whole, None, HealthMode::Ratio);
        events.extend(metric_events(Subject::Gateway(name), &whole, in_flight(&key), judged, now));
        for ((path, _), counts) in entry.view.routes.iter().zip(&entry.instances) {
            let key = Key::Route(name.clone(), path.clone());
            let part = window(&key);
            let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            let instances = Instances { ready: number(counts.ready), wanted: number(counts.existing) };
            let judged = health(&part, Some(instances), HealthMode::Ratio);
            events.extend(metric_events(Subject::Route(name, path), &part, in_flight(&key), judged, now));
        }
    }
    events
}
