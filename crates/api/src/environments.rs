//! The environments of this process: found by their address, added and removed while it runs.
//!
//! ```text
//! request --address--> Place (none, one or two names) --find--> the environment's own router
//!                                                        |
//!                     not the leader: 503;  unknown: 404, and the known ones are named
//! ```

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use tokio::sync::Semaphore;

use crate::context::{App, Environment, Process};
use crate::endpoints;
use crate::web::address::Place;
use crate::web::failure::Failure;
use crate::web::{self, method_not_allowed, nothing_here};

/// The API of a process. Clones are handles to the same one.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

/// Whether this process answers for its environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Leader,
    /// It is about to: it leads, and is reading what there is.
    Starting,
    /// Another replica does.
    Standby {
        /// Name of the one that leads, if any is known to.
        leader: Option<String>,
        /// True once this one is able to take over.
        able: bool,
    },
}

/// How an environment is named and addressed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EnvironmentId {
    /// Namespace on the platform; no two environments of a process have the same.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Organisation that it belongs to, if any.
    pub organisation: Option<String>,
}

impl EnvironmentId {
    /// An environment without an organisation.
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into(), organisation: None }
    }

    /// As people write it: `name` or `organisation/name`.
    pub fn title(&self) -> String {
        match &self.organisation {
            Some(organisation) => format!("{organisation}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// How well one name fits: 0 best; `None`: not at all. A namespace is unique, a name need not be.
    fn rank(&self, given: &str) -> Option<u8> {
        let long = |organisation: &String| given == format!("{organisation}-{}", self.name);
        if given == self.namespace {
            Some(0)
        } else if self.organisation.as_ref().is_some_and(long) {
            Some(1)
        } else if given == self.name {
            Some(2)
        } else {
            None
        }
    }
}

/// An environment, or the reason why there is none.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) id: EnvironmentId,
    pub(crate) served: Result<Arc<Served>, String>,
}

/// An environment that is served.
pub(crate) struct Served {
    pub(crate) app: Arc<App>,
    pub(crate) router: Router,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.app.closing.cancel();
    }
}

/// What all handlers of the process share.
pub(crate) struct Shared {
    pub(crate) process: Arc<Process>,
    streams: Arc<Semaphore>,
    /// The endpoints of an environment, not yet of a particular one.
    endpoints: Router<Arc<App>>,
    state: RwLock<Arc<State>>,
}

/// Replaced whole, so that a request sees one moment.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) standing: Standing,
    /// By namespace.
    pub(crate) entries: Vec<Entry>,
}

impl Api {
    /// An API without environments, of a process that answers for them.
    pub fn new(process: Process) -> Self {
        let streams = Arc::new(Semaphore::new(process.settings.limits.streams));
        let (endpoints, _) = endpoints::of_environment().split_for_parts();
        let endpoints = endpoints.fallback(nothing_here).method_not_allowed_fallback(method_not_allowed);
        let state = State { standing: Standing::Leader, entries: Vec::new() };
        let state = RwLock::new(Arc::new(state));
        Self { shared: Arc::new(Shared { process: Arc::new(process), streams, endpoints, state }) }
    }

    /// The API as a service, for [`serve`](crate::serve). Served otherwise, requests should carry `ConnectInfo<SocketAddr>`, so that
    /// events can name the address of an anonymous caller.
    pub fn router(&self) -> Router {
        let (process, _) = endpoints::of_process().split_for_parts();
        web::service(process, Arc::clone(&self.shared))
    }

    /// The page of metrics, as `GET /metrics` has it. Looks at every series, so it may take a moment.
    pub fn metrics(&self) -> String {
        endpoints::figures::prometheus(&self.shared)
    }

    /// Serves an environment from now on, in place of one in the same namespace.
    pub fn put(&self, environment: Environment) {
        let shared = &self.shared;
        let id = environment.id.clone();
        let (process, streams) = (Arc::clone(&shared.process), Arc::clone(&shared.streams));
        let app = Arc::new(App::new(environment, process, streams));
        let router = shared.endpoints.clone().with_state(Arc::clone(&app));
        shared.set(Entry { id, served: Ok(Arc::new(Served { app, router })) });
    }

    /// Says why an environment cannot be served at the moment.
    pub fn fail(&self, id: EnvironmentId, problem: impl Into<String>) {
        self.shared.set(Entry { id, served: Err(problem.into()) });
    }

    /// Forgets the environment in a namespace; its streams end.
    pub fn remove(&self, namespace: &str) {
        self.shared.change(|state| state.entries.retain(|entry| entry.id.namespace != namespace));
    }

    /// Changes what the process answers.
    pub fn stand(&self, standing: Standing) {
        self.shared.change(|state| state.standing = standing);
    }

    /// What the process answers.
    pub fn standing(&self) -> Standing {
        self.shared.state().standing.clone()
    }
}

impl Shared {
    pub(crate) fn state(&self) -> Arc<State> {
        // A state is whole before it is put there.
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let before = {
            let mut place = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let mut state = State::clone(&place);
            change(&mut state);
            std::mem::replace(&mut *place, Arc::new(state))
        };
        // Whatever ends with it ends outside of the lock.
        drop(before);
    }

    fn set(&self, entry: Entry) {
        self.change(|state| {
            let place = state.entries.binary_search_by(|known| known.id.namespace.cmp(&entry.id.namespace));
            match place {
                Ok(place) => state.entries[place] = entry,
                Err(place) => state.entries.insert(place, entry),
            }
        });
    }

    /// Where who asks needs a role: in the namespace of the environment that is meant, else in the process's own.
    pub(crate) fn namespace(&self, place: &Place) -> String {
        let settings = &self.process.settings;
        match self.state().resolve(place, settings.default_namespace.as_deref()) {
            Ok(entry) => entry.id.namespace.clone(),
            Err(_) => settings.home_namespace.clone(),
        }
    }

    /// The environment that an address means.
    pub(crate) fn find(&self, place: &Place) -> Result<Arc<Served>, Failure> {
        let state = self.state();
        state.leads()?;
        let entry = state.resolve(place, self.process.settings.default_namespace.as_deref())?;
        entry.served.clone().map_err(|problem| {
            unavailable(
                "environment-unavailable",
                format!("The environment '{}' cannot be served: {problem}", entry.id.title()),
            )
        })
    }
}

impl State {
    /// Refuses while another replica answers.
    pub(crate) fn leads(&self) -> Result<(), Failure> {
        let message = match &self.standing {
            Standing::Leader => return Ok(()),
            Standing::Starting => {
                "This replica has just become the leader and reads what there is; try again in a moment."
                    .to_owned()
            }
            Standing::Standby { leader: Some(leader), .. } => {
                format!(
                    "This replica does not lead: '{leader}' does. The Service of the controller leads there."
                )
            }
            Standing::Standby { leader: None, .. } => {
                "This replica does not lead, and none is known to; try again in a moment.".to_owned()
            }
        };
        Err(unavailable("not-leader", message))
    }

    /// Namespace of the environment that a plain path means.
    pub(crate) fn default_namespace<'a>(&'a self, configured: Option<&'a str>) -> Option<&'a str> {
        match (configured, self.entries.as_slice()) {
            (Some(configured), _) => Some(configured),
            (None, [only]) => Some(&only.id.namespace),
            (None, _) => None,
        }
    }

    fn resolve(&self, place: &Place, default: Option<&str>) -> Result<&Entry, Failure> {
        let fitting: Vec<&Entry> = match place.names() {
            [] => {
                let default = self.default_namespace(default);
                self.entries.iter().filter(|entry| default == Some(&entry.id.namespace)).collect()
            }
            [one] => {
                let ranks = self.entries.iter().filter_map(|entry| Some((entry.id.rank(one)?, entry)));
                let ranks: Vec<_> = ranks.collect();
                let best = ranks.iter().map(|(rank, _)| *rank).min();
                ranks.into_iter().filter(|(rank, _)| Some(*rank) == best).map(|(_, entry)| entry).collect()
            }
            [organisation, name] => {
                let fits = |entry: &&Entry| {
                    let EnvironmentId { organisation: own, name: called, .. } = &entry.id;
                    own.as_ref() == Some(organisation) && called == name
                };
                self.entries.iter().filter(fits).collect()
            }
            _ => Vec::new(),
        };
        let title = place.names().join("/");
        match (fitting.as_slice(), title.as_str()) {
            ([one], _) => Ok(one),
            ([], "") => Err(Failure::new(
                StatusCode::NOT_FOUND,
                "environment-needed",
                format!("{} Say which one is meant: /{{environment}}/api/v1.", self.known()),
            )),
            ([], _) => {
                Err(Failure::not_found(format!("Environment cannot be found: '{title}'. {}", self.known())))
            }
            (_, _) => Err(Failure::new(
                StatusCode::NOT_FOUND,
                "environment-ambiguous",
                format!(
                    "Several environments are called '{title}'. {} Name the organisation too.",
                    self.known()
                ),
            )),
        }
    }

    fn known(&self) -> String {
        let names: Vec<String> = self.entries.iter().map(|entry| format!("'{}'", entry.id.title())).collect();
        match names.as_slice() {
            [] => "This server has no environment yet.".to_owned(),
            names => format!("This server has {}.", names.join(", ")),
        }
    }
}

fn unavailable(code: &str, message: String) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        .header(RETRY_AFTER, HeaderValue::from_static("1"))
}

#[cfg(test)]
#[path = "environments_tests.rs"]
mod tests;
