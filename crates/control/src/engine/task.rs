//! The one loop that owns the core: requests, observations and timers, one after the other.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::event::Event;
use model::instance::Observation;
use store::{Commit, Committed, StoreError};
use tokio::sync::{mpsc, oneshot, watch};

use super::control::{Shared, StartError};
use super::core::{Core, Prepared};
use super::records;
use crate::request::{Accepted, Refusal, RefusalKind, Request};
use crate::settings::Settings;
use crate::view::View;

/// A request with the place for its answer.
pub(crate) type Message = (Request, oneshot::Sender<Result<Accepted, Refusal>>);

/// How often a change is planned anew when somebody else wrote to the store meanwhile.
const ATTEMPTS: usize = 5;
/// Pause after a first failure of the store, for changes that nobody waits for; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long a change that was refused because of the store is shown as a problem, unless one is stored before.
const REFUSAL_SHOWN: Duration = Duration::from_secs(60);
/// Old events go in small steps, so that no change waits long behind them.
const PRUNE_PAUSE: Duration = Duration::from_secs(600);
const PRUNE_STEP: Duration = Duration::from_secs(1);

pub(crate) struct Task {
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: Settings,
    pub(crate) core: Core,
    pub(crate) requests: mpsc::Receiver<Message>,
    pub(crate) observation: watch::Receiver<Arc<Observation>>,
    failure: Option<Failure>,
    /// Why a change that somebody asked for could not be stored, and until when that is told.
    refused: Option<(String, Timestamp)>,
    /// A commit may have been kept without our knowing: everything is read again before anything else is tried.
    doubt: bool,
    prune_at: Timestamp,
}

/// The store fails at the moment.
struct Failure {
    message: String,
    retry_at: Timestamp,
    pause: Duration,
}

impl Task {
    pub(crate) fn new(
        shared: Arc<Shared>,
        settings: Settings,
        core: Core,
        requests: mpsc::Receiver<Message>,
        observation: watch::Receiver<Arc<Observation>>,
    ) -> Self {
        let prune_at = later(shared.clock.now(), PRUNE_STEP);
        let (failure, refused, doubt) = (None, None, false);
        let task = Self { shared, settings, core, requests, observation, failure, refused, doubt, prune_at };
        task.publish(true);
        task
    }

    /// Runs until the last handle is gone, or until it is to stop.
    pub(crate) async fn run(mut self) {
        let mut stopping = self.shared.stopping.subscribe();
        let observation = self.observation.borrow_and_update().clone();
        self.observe(observation).await;
        let mut platform_lives = true;
        while !*stopping.borrow_and_update() {
            let clock = self.shared.clock.clone();
            let wake = self.wake_at();
            tokio::select! {
                _ = stopping.changed() => {}
                message = self.requests.recv() => match message {
                    Some((request, answer)) => {
                        let result = self.serve(&request).await;
                        // A caller that went away does not need the answer.
                        let _ = answer.send(result);
                        // After a conflict everything is looked at again; else this is nothing.
                        self.follow().await;
                    }
                    None => return,
                },
                // Whatever came while we were busy is one new observation.
                changed = self.observation.changed(), if platform_lives => match changed {
                    Ok(()) => {
                        let observation = self.observation.borrow_and_update().clone();
                        self.observe(observation).await;
                    }
                    Err(_) => platform_lives = false,
                },
                () = clock.sleep_until(wake) => {
                    self.forget_refusal();
                    self.follow().await;
                }
            }
            self.prune().await;
        }
    }

    /// The next time when something is to be done unasked.
    fn wake_at(&self) -> Timestamp {
        let now = self.shared.clock.now();
        if self.core.has_due() {
            return now;
        }
        let retry = self.failure.as_ref().map(|failure| failure.retry_at);
        let shown = self.refused.as_ref().map(|(_, until)| *until);
        let times = self.core.next_wake().into_iter().chain(retry).chain(shown).chain([self.prune_at]);
        times.min().unwrap_or(self.prune_at).max(now)
    }

    async fn observe(&mut self, observation: Arc<Observation>) {
        self.core.observe(&observation);
        self.shared.view.rcu(|view| View { observation: observation.clone(), ..View::clone(view) });
        self.follow().await;
    }

    /// Makes a change that somebody asked for.
    async fn serve(&mut self, request: &Request) -> Result<Accepted, Refusal> {
        if self.doubt {
            self.reload().await.map_err(|error| unavailable(&error))?;
        }
        for _ in 0..ATTEMPTS {
            let mut prepared = self.core.prepare(request, self.shared.clock.now())?;
            if request.dry_run {
                let results = self.core.outcomes(&prepared, true, &[]);
                return Ok(Accepted { revision: self.core.revision(), results });
            }
            match self.commit(&prepared).await {
                Ok(committed) => {
                    let results = self.take_over(&mut prepared, committed);
                    return Ok(Accepted { revision: self.core.revision(), results });
                }
                Err(StoreError::Conflict { .. }) => {
                    self.reload().await.map_err(|error| unavailable(&error))?
                }
                Err(error) => {
                    tracing::warn!(%error, actor = request.actor, "a change is refused because the store fails");
                    if matches!(error, StoreError::InDoubt(_)) {
                        // Somebody has to look whether it was kept, also when nothing else happens.
                        self.fail(&error);
                    }
                    let until = later(self.shared.clock.now(), REFUSAL_SHOWN);
                    self.refused = Some((error.to_string(), until));
                    self.publish(false);
                    return Err(unavailable(&error));
                }
            }
        }
        let message = "Others keep changing the same artifact; read it again and repeat the change.";
        Err(Refusal::new(RefusalKind::Unavailable, "busy", message))
    }

    /// Makes what follows from observation and time, a bounded part of it: requests come in between.
    async fn follow(&mut self) {
        let now = self.shared.clock.now();
        if self.doubt
            && self.failure.as_ref().is_none_or(|failure| failure.retry_at <= now)
            && let Err(error) = self.reload().await
        {
            self.fail(&error);
        }
        if self.failure.as_ref().is_some_and(|failure| failure.retry_at <= now) {
            self.core.retry();
            if !self.core.has_due() {
                // What waited for the store is no longer needed. The next change will show whether it works.
                self.failure = None;
                self.publish(false);
            }
        }
        for _ in 0..ATTEMPTS {
            let Some(mut prepared) = self.core.prepare_automatic(now) else { return };
            let wait = self.failure.as_ref().is_some_and(|failure| now < failure.retry_at);
            let committed =
                if wait && !prepared.commit.is_empty() { None } else { Some(self.commit(&prepared).await) };
            let error = match committed {
                Some(Ok(committed)) => {
                    self.take_over(&mut prepared, committed);
                    return;
                }
                Some(Err(StoreError::Conflict { .. })) => match self.reload().await {
                    Ok(()) => continue,
                    Err(error) => Some(error),
                },
                Some(Err(error)) => Some(error),
                None => None,
            };
            if let Some(error) = error {
                self.fail(&error);
            }
            let different = self.core.postpone(&prepared);
            return self.publish(different);
        }
        self.fail(&StoreError::Unavailable("others keep changing the same artifacts".into()));
    }

    /// Keeps a plan. Nothing is written when there is nothing to write.
    async fn commit(&self, prepared: &Prepared) -> Result<Committed, StoreError> {
        if prepared.commit.is_empty() {
            return Ok(Committed { revision: self.core.revision(), events: Vec::new() });
        }
        // Between two attempts somebody else may have become responsible.
        if *self.shared.stopping.borrow() {
            return Err(StoreError::Io("this process has stopped to make changes".into()));
        }
        self.shared.store.commit(Commit::clone(&prepared.commit)).await
    }

    /// First memory, then proxies and readers, then whoever follows events.
    fn take_over(&mut self, prepared: &mut Prepared, committed: Committed) -> Vec<crate::request::Outcome> {
        if !prepared.commit.is_empty() {
            self.refused = None;
            if self.failure.take().is_some() {
                tracing::info!("the store works again");
                self.core.retry();
            }
        }
        let different = self.core.apply(prepared, committed.revision);
        self.publish(different);
        let results = self.core.outcomes(prepared, false, &committed.events);
        for event in committed.events {
            // Without subscribers there is nobody to tell.
            let _ = self.shared.events.send(Arc::<Event>::new(event));
        }
        results
    }

    fn fail(&mut self, error: &StoreError) {
        self.doubt |= matches!(error, StoreError::InDoubt(_));
        let message = error.to_string();
        let pause =
            self.failure.as_ref().map_or(FIRST_PAUSE, |failure| (failure.pause * 2).min(LONGEST_PAUSE));
        let retry_at = later(self.shared.clock.now(), pause);
        if self.failure.is_none() {
            tracing::warn!(error = message, "the store fails; traffic goes on, changes wait");
        }
        self.failure = Some(Failure { message, retry_at, pause });
    }

    fn forget_refusal(&mut self) {
        let now = self.shared.clock.now();
        if self.refused.take_if(|(_, until)| *until <= now).is_some() {
            self.publish(false);
        }
    }

    async fn reload(&mut self) -> Result<(), StoreError> {
        let loaded = self.shared.store.load().await?;
        match records::load(&loaded) {
            Ok(state) => {
                self.doubt = false;
                self.core.reload(state);
                self.publish(true);
                Ok(())
            }
            Err(error @ StartError::Record { .. }) => Err(StoreError::Corrupt(error.to_string())),
            Err(StartError::Store(error)) => Err(error),
        }
    }

    /// Shows the state of the core. The receipt is opened first: no acknowledgement may come before it.
    fn publish(&self, to_proxies: bool) {
        let shown = self.core.shown();
        let revision = self.core.revision();
        if to_proxies {
            self.shared.acks.published(revision);
        }
        let failure = self.failure.as_ref().map(|failure| &failure.message);
        let problem = failure.or(self.refused.as_ref().map(|(message, _)| message)).cloned();
        self.shared.view.rcu(|view| View {
            revision,
            gateways: shown.gateways.clone(),
            artifacts: shown.artifacts.clone(),
            mirrors: shown.mirrors.clone(),
            config: shown.config.clone(),
            started: true,
            store_problem: problem.clone(),
            observation: view.observation.clone(),
            proxies: view.proxies.clone(),
        });
        if to_proxies {
            self.shared.published.send_replace(shown.config.clone());
        }
    }

    async fn prune(&mut self) {
        let now = self.shared.clock.now();
        if now < self.prune_at {
            return;
        }
        let pause = match self.shared.store.prune(self.settings.event_retention, now).await {
            Ok(pruned) if pruned.more => PRUNE_STEP,
            Ok(_) => PRUNE_PAUSE,
            Err(error) => {
                tracing::warn!(%error, "old events cannot be removed");
                PRUNE_PAUSE
            }
        };
        self.prune_at = later(now, pause);
    }
}

fn later(now: Timestamp, pause: Duration) -> Timestamp {
    SignedDuration::try_from(pause)
        .ok()
        .and_then(|pause| now.checked_add(pause).ok())
        .unwrap_or(Timestamp::MAX)
}

fn unavailable(error: &StoreError) -> Refusal {
    let text = error.to_string();
    let text = text.trim_end_matches('.');
    let (kind, code, message) = match error {
        StoreError::InDoubt(_) => {
            let message =
                format!("Read it again in a moment, and repeat the change if it was not made: {text}.");
            (RefusalKind::Unavailable, "store", message)
        }
        // Trying again does not help.
        StoreError::TooLarge(_) => {
            (RefusalKind::Invalid, "too-large", format!("The change is too large to be kept: {text}."))
        }
        _ => {
            let message = format!("The change cannot be kept, and nothing was changed: {text}.");
            (RefusalKind::Unavailable, "store", message)
        }
    };
    Refusal::new(kind, code, message)
}
