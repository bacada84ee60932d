//! Who a caller is and what they may, asked of the API server.
//!
//! ```text
//! token --TokenReview: audience vamp, else the API server's own--> Caller
//! Caller, namespace --SubjectAccessReview: get, update, administer on gateways.vamp.io--> Role
//! ```
//!
//! Answers are kept for a minute, refusals for seconds, under the hash of the token. A token is never kept, logged or
//! shown. When the API server cannot be asked, nobody is told that their token is wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::cache::Cache;
use super::manifests::{ADMINISTER, AUDIENCE};
use super::rights::VAMP_GROUP;
use crate::connect::Cluster;
use crate::explain::{Attempt, explain};

/// How long a good answer holds.
const KEEP: Duration = Duration::from_secs(60);
/// How long a refusal holds: a right that was just given shall work at once.
const KEEP_REFUSAL: Duration = Duration::from_secs(5);
/// Answers that are kept.
const KEPT: usize = 1024;
/// Questions under way at once; more wait, each for a connection that is bounded elsewhere.
const PARALLEL: usize = 8;
/// How long a caller waits for an answer, in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longer ones are no tokens of Kubernetes.
const LONGEST: usize = 16 << 10;

/// What the API server knows about the owner of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// User name, for example `alice` or `system:serviceaccount:shop:pipeline`.
    pub name: String,
    /// Identity over time, when there is one.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What else the API server's authenticator says.
    pub extra: BTreeMap<String, Vec<String>>,
    /// The token is meant for Vamp alone, not for the API server.
    pub for_vamp: bool,
}

impl Caller {
    /// Namespace and name of the service account that it is.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        let (namespace, name) = self.name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        (!namespace.is_empty() && !name.is_empty()).then_some((namespace, name))
    }

    /// The pod that a token was made for.
    pub fn pod(&self) -> Option<&str> {
        let names = self.extra.get("authentication.kubernetes.io/pod-name")?;
        names.first().map(String::as_str)
    }
}

/// What a caller may do in an environment; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May `get` gateways.
    Viewer,
    /// May also `update` them.
    Operator,
    /// May also `administer` them.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The verb on `gateways.vamp.io` that gives it.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Viewer => "get",
            Self::Operator => "update",
            Self::Admin => ADMINISTER,
        }
    }

    /// The ClusterRole of the installation that gives it.
    pub const fn cluster_role(self) -> &'static str {
        match self {
            Self::Viewer => "vamp-viewer",
            Self::Operator => "vamp-operator",
            Self::Admin => "vamp-admin",
        }
    }

    /// The rule that gives it, in words, for somebody who does not have it.
    pub fn rule(self, namespace: &str) -> String {
        format!(
            "the verb '{}' on gateways.{VAMP_GROUP} in namespace '{namespace}', which the ClusterRole {} gives",
            self.verb(),
            self.cluster_role()
        )
    }
}

/// Why nobody is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The API server does not accept the token.
    #[error(
        "the API server does not accept the token: it is wrong, has expired, or belongs to something that is gone"
    )]
    Unknown,
    /// The API server cannot be asked: no answer, or Vamp may not.
    #[error("{0}")]
    Unavailable(String),
}

type Hash = [u8; 32];

/// Asks and remembers. Cheap to clone.
#[derive(Clone)]
pub struct Callers {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    callers: Mutex<Cache<Hash, Option<Arc<Caller>>>>,
    roles: Mutex<Cache<(Hash, String), Option<Role>>>,
    places: Semaphore,
    problem: Mutex<Option<String>>,
}

impl std::fmt::Debug for Callers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callers").finish_non_exhaustive()
    }
}

/// A mutex whose content is whole after every operation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Callers {
    /// Of a cluster; asks with the rights of [`Scope::Delegation`](super::rights::Scope::Delegation).
    pub fn new(cluster: &Cluster) -> Self {
        Self::with(cluster.client.clone())
    }

    pub(crate) fn with(client: Client) -> Self {
        Self {
            inner: Arc::new(Inner {
                client,
                callers: Mutex::new(Cache::new(KEPT)),
                roles: Mutex::new(Cache::new(KEPT)),
                places: Semaphore::new(PARALLEL),
                problem: Mutex::new(None),
            }),
        }
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// Nobody's, or the API server cannot be asked.
    pub async fn identify(&self, token: &str) -> Result<Arc<Caller>, Refusal> {
        if token.is_empty() || token.len() > LONGEST {
            return Err(Refusal::Unknown);
        }
        let hash: Hash = Sha256::digest(token.as_bytes()).into();
        let known = || lock(&self.inner.callers).get(&hash, Instant::now());
        let caller = match known() {
            Some(caller) => caller,
            None => {
                self.asking("tokenreviews", async {
                    // Many requests with the same token wait for one answer.
                    if let Some(caller) = known() {
                        return Ok(caller);
                    }
                    let caller = self.review(token).await?.map(Arc::new);
                    let now = Instant::now();
                    let end = now + if caller.is_some() { KEEP } else { KEEP_REFUSAL };
                    lock(&self.inner.callers).put(hash, caller.clone(), end, now);
                    Ok(caller)
                })
                .await?
            }
        };
        caller.ok_or(Refusal::Unknown)
    }

    /// Whose token it is, and their role in an environment's namespace; `None` without the least one.
    ///
    /// # Errors
    /// Nobody's, or the API server cannot be asked.
    pub async fn role(&self, token: &str, namespace: &str) -> Result<(Arc<Caller>, Option<Role>), Refusal> {
        let caller = self.identify(token).await?;
        let key = (Sha256::digest(token.as_bytes()).into(), namespace.to_owned());
        let known = || lock(&self.inner.roles).get(&key, Instant::now());
        if let Some(role) = known() {
            return Ok((caller, role));
        }
        let role = self
            .asking("subjectaccessreviews", async {
                if let Some(role) = known() {
                    return Ok(role);
                }
                let mut role = None;
                // Each role includes those before it, so the first that is missing ends the search.
                for next in Role::ALL {
                    if !self.may(&caller, next.verb(), namespace).await? {
                        break;
                    }
                    role = Some(next);
                }
                let now = Instant::now();
                // What is missing may be given at any moment.
                let end = now + if role.is_some() { KEEP } else { KEEP_REFUSAL };
                lock(&self.inner.roles).put(key.clone(), role, end, now);
                Ok(role)
            })
            .await?;
        Ok((caller, role))
    }

    /// Why the API server cannot be asked at the moment.
    pub fn problem(&self) -> Option<String> {
        lock(&self.inner.problem).clone()
    }

    /// Asks in turn and in time; what goes wrong is told once.
    async fn asking<T>(
        &self,
        resource: &str,
        question: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Refusal> {
        let answer = tokio::time::timeout(PATIENCE, async {
            let _place = self.inner.places.acquire().await;
            question.await
        });
        let attempt = Attempt { verb: "create", resource, namespace: None };
        let problem = match answer.await {
            Ok(Ok(answer)) => {
                if lock(&self.inner.problem).take().is_some() {
                    info!("the API server can be asked about callers again");
                }
                return Ok(answer);
            }
            Ok(Err(error)) => explain(&error, attempt),
            Err(_) => {
                let slow = kube::Error::Service("the API server takes too long".into());
                explain(&slow, attempt)
            }
        };
        let message = format!("callers cannot be identified: {problem}");
        let mut told = lock(&self.inner.problem);
        if told.as_ref() != Some(&message) {
            warn!("{message}");
            *told = Some(message.clone());
        }
        Err(Refusal::Unavailable(message))
    }

    async fn review(&self, token: &str) -> Result<Option<Caller>, kube::Error> {
        let own = self.token_review(token, &[AUDIENCE]).await?;
        // An API server that does not look at audiences answers without any: then the token is one for itself.
        let for_vamp = own.audiences.iter().any(|audience| audience == AUDIENCE);
        let status = if own.authenticated && for_vamp { own } else { self.token_review(token, &[]).await? };
        let user = status.user.filter(|user| status.authenticated && !user.username.is_empty());
        Ok(user.map(|user| Caller {
            name: user.username,
            uid: user.uid,
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
            for_vamp,
        }))
    }

    async fn token_review(&self, token: &str, audiences: &[&str]) -> Result<TokenStatus, kube::Error> {
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": audiences},
        });
        let review: Review<TokenStatus> =
            self.post("/apis/authentication.k8s.io/v1/tokenreviews", &body).await?;
        Ok(review.status)
    }

    async fn may(&self, caller: &Caller, verb: &str, namespace: &str) -> Result<bool, kube::Error> {
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": caller.name, "uid": caller.uid, "groups": caller.groups, "extra": caller.extra,
                "resourceAttributes": {
                    "namespace": namespace, "verb": verb, "group": VAMP_GROUP, "resource": "gateways",
                },
            },
        });
        let review: Review<AccessStatus> =
            self.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &body).await?;
        Ok(review.status.allowed)
    }

    async fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, kube::Error> {
        let body = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
        let request = http::Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(kube::Error::HttpError)?;
        self.inner.client.request(request).await
    }
}

#[derive(Deserialize)]
struct Review<S> {
    status: S,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenStatus {
    authenticated: bool,
    user: Option<User>,
    audiences: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    username: String,
    uid: String,
    groups: Option<Vec<String>>,
    extra: Option<BTreeMap<String, Vec<String>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AccessStatus {
    allowed: bool,
}
