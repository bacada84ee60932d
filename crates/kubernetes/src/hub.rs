//! The one task that knows what there is. It takes in what the followers say, and shows the whole of it: as an observation to
//! the control plane, and as the Services of the environment's namespace to their keeper.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::instance::{Instance, Observation};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::follow::{Key, Update};
use crate::object::Service;
use crate::observe;

/// Changes that come within this time after a first one are shown together.
pub(crate) const BURST: Duration = Duration::from_millis(20);

/// Services by name; `None` until they were completely read once.
pub(crate) type Services = Option<Arc<BTreeMap<String, Service>>>;

pub(crate) struct Hub {
    /// Of the environment.
    pub(crate) namespace: String,
    pub(crate) pods: Kind<Arc<Instance>>,
    pub(crate) services: Kind<Known>,
    pub(crate) observations: watch::Sender<Arc<Observation>>,
    pub(crate) own_services: watch::Sender<Services>,
}

/// A Service, and what it is to selectors.
#[derive(Debug, PartialEq)]
pub(crate) struct Known {
    service: Service,
    instance: Option<Arc<Instance>>,
}

impl Known {
    pub(crate) fn new(service: Service) -> Self {
        Self { instance: observe::service(&service).map(Arc::new), service }
    }
}

/// What is known of one kind.
pub(crate) struct Kind<R> {
    pub(crate) updates: mpsc::Receiver<Update<R>>,
    pub(crate) objects: BTreeMap<Key, R>,
    pub(crate) complete: bool,
    problem: Option<String>,
    /// Something is different since it was last shown.
    dirty: bool,
}

impl<R> Kind<R> {
    pub(crate) fn new(updates: mpsc::Receiver<Update<R>>) -> Self {
        Self { updates, objects: BTreeMap::new(), complete: false, problem: None, dirty: false }
    }
}

impl<R: PartialEq> Kind<R> {
    /// True when there is something new to show.
    pub(crate) fn take_in(&mut self, update: Update<R>) -> bool {
        match update {
            Update::Complete(mut objects) => {
                // Objects that are as they were stay the same: whoever compares sees it at a glance.
                for (key, object) in &mut objects {
                    if let Some(known) = self.objects.get_mut(key)
                        && known == object
                    {
                        std::mem::swap(known, object);
                    }
                }
                let news = !self.complete || self.objects != objects;
                self.dirty |= news;
                (self.objects, self.complete) = (objects, true);
                news
            }
            Update::Set(key, object) => {
                if self.objects.get(&key) == Some(&object) {
                    return false;
                }
                self.objects.insert(key, object);
                self.dirty = true;
                true
            }
            Update::Remove(key) => {
                let known = self.objects.remove(&key).is_some();
                self.dirty |= known;
                known
            }
            Update::Problem(problem) => {
                let news = self.problem.as_ref() != Some(&problem);
                self.problem = Some(problem);
                news
            }
            Update::Fine => self.problem.take().is_some(),
        }
    }
}

impl Hub {
    /// Runs until both followers have ended.
    pub(crate) async fn run(mut self) {
        loop {
            let Some(news) = self.next().await else { return };
            if !news {
                continue;
            }
            let end = Instant::now() + BURST;
            while let Ok(Some(_)) = timeout_at(end, self.next()).await {}
            self.show();
        }
    }

    /// Takes in one update; whether it is news.
    async fn next(&mut self) -> Option<bool> {
        tokio::select! {
            Some(update) = self.pods.updates.recv() => Some(self.pods.take_in(update)),
            Some(update) = self.services.updates.recv() => Some(self.services.take_in(update)),
            else => None,
        }
    }

    fn show(&mut self) {
        let (pods, services) = (&mut self.pods, &mut self.services);
        let problems = [&pods.problem, &services.problem];
        let problems: Vec<&str> = problems.into_iter().flatten().map(String::as_str).collect();
        let before = self.observations.borrow().clone();
        let instances = if pods.dirty || services.dirty {
            let candidates = services.objects.values().filter_map(|known| known.instance.clone());
            Arc::new(pods.objects.values().cloned().chain(candidates).collect())
        } else {
            before.instances.clone()
        };
        let observation = Observation {
            instances,
            problem: (!problems.is_empty()).then(|| problems.join("; ")),
            complete: pods.complete && services.complete,
        };
        if *before != observation {
            self.observations.send_replace(Arc::new(observation));
        }
        if services.complete && services.dirty {
            let own = services.objects.iter().filter(|((namespace, _), _)| *namespace == self.namespace);
            let own = own.map(|((_, name), known)| (name.clone(), known.service.clone())).collect();
            self.own_services.send_replace(Some(Arc::new(own)));
        }
        (pods.dirty, services.dirty) = (false, false);
    }
}

#[cfg(test)]
mod tests;
