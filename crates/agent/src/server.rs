//! The controller's end: agents come, prove who they are, and follow the table of their environment.
//!
//! Nothing waits without limit: connections, handshakes, first words and writes have deadlines, every queue has a length, and
//! an agent that does not read is dropped.

mod accept;
mod session;
mod trials;
mod trust;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::{info, warn};

use crate::fleet::{Fleet, Refused};
use crate::identity::{AgentIdentity, Authenticate, Denied};
use crate::proto::agents_server::{Agents, AgentsServer};
use crate::proto::{FromAgent, FromController, Hello, from_agent};
use crate::tls::{ServerCertificate, TlsError};
use crate::{Environment, proto};

/// What an agent is told that should ask another controller.
pub(crate) const NOT_LEADER: &str = "not-leader";
/// Bytes of a message from an agent.
const MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Messages that wait for an agent to read them.
const QUEUE: usize = 8;
/// How long a token, or the first word of an agent, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Streams of one connection: an agent needs one.
const STREAMS: u32 = 4;
/// Longest name of an agent, of its version, and of its process.
const LONGEST: usize = 253;
/// How long streams may take to end when the server does.
const ENDING: Duration = Duration::from_secs(2);

/// When an agent counts as silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Time between two beats, both ways.
    pub beat: Duration,
    /// Silence after which nobody waits for an agent.
    pub expires: Duration,
    /// Silence after which it is not named any more.
    pub forgotten: Duration,
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(2),
            expires: Duration::from_secs(6),
            forgotten: Duration::from_secs(300),
        }
    }
}

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// When an agent counts as silent.
    pub lease: Lease,
    /// Version of Vamp, for agents to tell.
    pub version: String,
    /// How often the token of an agent that is here is looked at again.
    pub recheck: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self { lease: Lease::default(), version: String::new(), recheck: Duration::from_secs(60) }
    }
}

/// Serves agents. Clones are handles to the same one.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    settings: ServerSettings,
    authenticate: Arc<dyn Authenticate>,
    leading: watch::Receiver<bool>,
    fleets: RwLock<BTreeMap<String, Arc<Fleet>>>,
}

impl Server {
    /// A server without environments yet. While `leading` is false, agents are sent away, and their streams end when it becomes so.
    pub fn new(
        settings: ServerSettings,
        authenticate: Arc<dyn Authenticate>,
        leading: watch::Receiver<bool>,
    ) -> Self {
        Self { shared: Arc::new(Shared { settings, authenticate, leading, fleets: RwLock::default() }) }
    }

    /// Serves an environment from now on, in place of one of that name. On Kubernetes the name is that of the namespace.
    pub fn open(&self, name: &str, environment: Arc<dyn Environment>) -> Arc<Fleet> {
        let fleet = Arc::new(Fleet::new(name, environment, self.shared.settings.lease));
        let before = self.fleets_mut().insert(name.to_owned(), Arc::clone(&fleet));
        if let Some(before) = before {
            before.close();
        }
        fleet
    }

    /// Serves an environment no more.
    pub fn close(&self, name: &str) {
        let gone = self.fleets_mut().remove(name);
        if let Some(gone) = gone {
            gone.close();
        }
    }

    /// The agents of an environment.
    pub fn fleet(&self, name: &str) -> Option<Arc<Fleet>> {
        self.shared.fleet(name)
    }

    /// Accepts agents until `closing`; then their streams end.
    ///
    /// # Errors
    /// The certificate cannot be used, or the server ended for another reason than `closing`.
    pub async fn serve(
        &self,
        listener: TcpListener,
        certificate: ServerCertificate,
        closing: CancellationToken,
    ) -> Result<(), ServeError> {
        let incoming = accept::incoming(listener, certificate.config()?, closing.clone());
        let agents =
            AgentsServer::new(Service { shared: Arc::clone(&self.shared), closing: closing.clone() })
                .max_decoding_message_size(MESSAGE_BYTES);
        let sweeping = tokio::spawn(sweep(Arc::clone(&self.shared), closing.clone()));
        let served = tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS)
            .http2_keepalive_interval(Some(self.shared.settings.lease.expires))
            .http2_keepalive_timeout(Some(self.shared.settings.lease.expires))
            .serve_with_incoming_shutdown(agents, incoming, closing.clone().cancelled_owned());
        let ended = async {
            closing.cancelled().await;
            tokio::time::sleep(ENDING).await;
        };
        let result = tokio::select! {
            served = served => served.map_err(ServeError::Serve),
            () = ended => Ok(()),
        };
        sweeping.abort();
        result
    }

    fn fleets_mut(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Arc<Fleet>>> {
        self.shared.fleets.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fleets = self.shared.fleets.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Server")
            .field("environments", &fleets.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Why agents are not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server ended by itself.
    #[error("agents are not served any more")]
    Serve(#[source] tonic::transport::Error),
}

impl Shared {
    fn fleet(&self, name: &str) -> Option<Arc<Fleet>> {
        self.fleets.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

async fn sweep(shared: Arc<Shared>, closing: CancellationToken) {
    let mut turn = tokio::time::interval(shared.settings.lease.beat / 4);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while !closing.is_cancelled() {
        turn.tick().await;
        let fleets: Vec<_> =
            shared.fleets.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        fleets.iter().for_each(|fleet| fleet.sweep(Instant::now()));
    }
}

struct Service {
    shared: Arc<Shared>,
    closing: CancellationToken,
}

#[tonic::async_trait]
impl Agents for Service {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FromController, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let shared = &self.shared;
        if !*shared.leading.borrow() {
            return Err(Status::failed_precondition(NOT_LEADER));
        }
        let token = token(&request)?.to_owned();
        let identity = self.identity(&request, &token).await?;
        let mut from_agent = request.into_inner();
        let late = |_| Status::deadline_exceeded("the agent does not say who it is");
        let hello = timeout(PATIENCE, from_agent.message()).await.map_err(late)??;
        let Some(from_agent::Kind::Hello(hello)) = hello.and_then(|message| message.kind) else {
            return Err(Status::invalid_argument("the first message of an agent says who it is"));
        };
        admit(&identity, &hello)?;
        let fleet = shared.fleet(&hello.environment).ok_or_else(|| {
            Status::not_found(format!("this controller has no environment '{}'", hello.environment))
        })?;
        let session =
            fleet.enter(&hello.name, &hello.instance, &hello.version, Instant::now()).map_err(|refused| {
                match refused {
                    Refused::NameTaken(_) => Status::already_exists(refused.to_string()),
                    Refused::Full => Status::resource_exhausted(refused.to_string()),
                }
            })?;
        info!(
            environment = hello.environment,
            agent = hello.name,
            version = hello.version,
            "an agent is here"
        );
        let (to_agent, messages) = mpsc::channel(QUEUE);
        let authenticate = Arc::clone(&shared.authenticate);
        let trust = trust::Trust::begin(authenticate, token, hello.clone(), shared.settings.recheck);
        let stream = session::Stream {
            trust,
            fleet,
            session,
            name: hello.name.clone(),
            settings: shared.settings.clone(),
            leading: shared.leading.clone(),
            closing: self.closing.clone(),
            from_agent,
            to_agent,
        };
        tokio::spawn(stream.run(hello));
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

impl Service {
    async fn identity(
        &self,
        request: &Request<Streaming<FromAgent>>,
        token: &str,
    ) -> Result<AgentIdentity, Status> {
        let identity = timeout(PATIENCE, self.shared.authenticate.authenticate(token)).await;
        let identity = identity
            .unwrap_or_else(|_| Err(Denied::Unavailable("the token cannot be checked in time".into())));
        identity.map_err(|denied| {
            let code = match denied {
                Denied::Unknown(_) => Code::Unauthenticated,
                Denied::NotAllowed(_) => Code::PermissionDenied,
                Denied::Unavailable(_) => Code::Unavailable,
            };
            warn!(from = ?request.extensions().get::<accept::From>(), "an agent is sent away: {denied}");
            Status::new(code, denied.to_string())
        })
    }
}

/// The token that a call carries.
fn token(request: &Request<Streaming<FromAgent>>) -> Result<&str, Status> {
    let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    let token = token.filter(|token| !token.is_empty());
    token.ok_or_else(|| Status::unauthenticated("the agent gives no token (--token-file)"))
}

/// Whether an agent is who it says.
fn admit(identity: &AgentIdentity, hello: &Hello) -> Result<(), Status> {
    let proto::Hello { name, environment, instance, version, .. } = hello;
    let fits = |text: &str| text.len() <= LONGEST && text.chars().all(|c| !c.is_control());
    if name.is_empty()
        || instance.is_empty()
        || ![name, environment, instance, version].into_iter().all(|t| fits(t))
    {
        return Err(Status::invalid_argument(
            "an agent needs a name, and no part of what it says may be too long",
        ));
    }
    if let Some(namespace) = identity.namespace.as_ref().filter(|namespace| *namespace != environment) {
        return Err(Status::permission_denied(format!(
            "the agent's token is for the environment '{namespace}', not '{environment}'"
        )));
    }
    if let Some(own) = identity.name.as_ref().filter(|own| *own != name) {
        return Err(Status::permission_denied(format!(
            "the agent's token belongs to '{own}', not to '{name}'"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_binds_to_what_it_says() {
        let hello = |name: &str, environment: &str| Hello {
            name: name.into(),
            environment: environment.into(),
            instance: "1".into(),
            ..Hello::default()
        };
        let check = |namespace: Option<&str>, own: Option<&str>, hello: &Hello| {
            let identity = AgentIdentity { namespace: namespace.map(Into::into), name: own.map(Into::into) };
            admit(&identity, hello).map_err(|status| (status.code(), status.message().to_owned()))
        };
        assert_eq!(check(None, None, &hello("a", "prod")), Ok(()));
        assert_eq!(check(Some("prod"), Some("a"), &hello("a", "prod")), Ok(()));
        for (namespace, name, part) in [("test", "a", "'test', not 'prod'"), ("prod", "b", "'b', not to 'a'")]
        {
            let (code, message) = check(Some(namespace), Some(name), &hello("a", "prod")).unwrap_err();
            assert_eq!(code, Code::PermissionDenied);
            assert!(message.contains(part), "{message}");
        }
        for bad in [hello("", "prod"), hello("a\n", "prod"), hello(&"a".repeat(254), "prod")] {
            assert_eq!(check(None, None, &bad).unwrap_err().0, Code::InvalidArgument);
        }
    }
}
