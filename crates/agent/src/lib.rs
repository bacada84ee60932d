//! Both ends of the stream between the controller and its agents.
//!
//! ```text
//!  controller                                                            agent
//!  Environment --RoutingConfig--> Fleet --+                       +--> Client --RoutingConfig--> Proxy
//!      ^  acknowledge, joined, lost, left |   session (gRPC, TLS) |       |  table on disk
//!      +----------------------------------+ <===================> +       |
//!  Telemetry <------- exact sums ---------+                       +-- Telemetry (differences)
//! ```
//!
//! - A table travels whole on connect, then by what changed; both ends compare digests, so a table is the same on both or it
//!   is sent again. The next one leaves when the last is acknowledged: newest wins, nothing piles up.
//! - What an agent counts is counted once at the controller, whatever is lost or sent twice: one report is under way at a
//!   time, with a number, and is kept until it is acknowledged.
//! - An agent that is silent for a lease holds back no acknowledgement any more, but is named until it is back.
//! - A condition is tried on the last requests where they are: of each, method, path and whether it holds travel, no head.
//! - Agents need no controller to serve: the last good table is on their disk.
//!
//! Start reading at [`proto/vamp/agent/v1/agent.proto`](proto), then [`Server`] and [`Client`]. What the two need of the rest of
//! the program are the traits [`Environment`], [`Authenticate`] and [`Proxy`].

mod authority;
mod client;
mod convert;
mod fleet;
mod identity;
mod server;
mod table;
mod tls;

/// The protocol, made from its description.
mod proto {
    #![allow(missing_docs, unreachable_pub, clippy::pedantic, clippy::unwrap_used)]
    tonic::include_proto!("vamp.agent.v1");
}

pub use authority::{Authority, AuthorityError, Issued, folder};
pub use client::cache::{Cache, CacheError};
pub use client::connect::{Controller, ControllerError};
pub use client::{Client, ClientSettings, Connection, Dice, Status};
pub use fleet::{AgentState, AgentStatus, Fleet, Tried};
pub use identity::{AgentIdentity, Authenticate, Denied, SharedTokens, TokensError};
pub use server::{Lease, Server, ServerSettings};
pub use tls::{ServerCertificate, TlsError};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use model::condition::Condition;
use model::name::{GatewayName, RoutePath};
use routing::config::RoutingConfig;
use telemetry::Telemetry;
use tokio::sync::watch;

/// The name that every controller's certificate bears, whatever the address under which it is reached.
pub const SERVER_NAME: &str = "vamp-controller";

/// What the stream needs of one environment of a controller.
pub trait Environment: Send + Sync + 'static {
    /// The configuration for proxies: always the newest.
    fn published(&self) -> watch::Receiver<Arc<RoutingConfig>>;
    /// Where the agents' counts go.
    fn telemetry(&self) -> Arc<Telemetry>;
    /// An agent takes part from now on, again or for the first time.
    fn joined(&self, agent: &str);
    /// An agent has not been heard of for a lease: nobody waits for it, but it may serve an old table, so it stays known.
    fn lost(&self, agent: &str);
    /// An agent is gone for good.
    fn left(&self, agent: &str);
    /// An agent serves `revision`, except for what `problems` say.
    fn acknowledge(&self, agent: &str, revision: u64, problems: Vec<(GatewayName, String)>);
    /// An agent has left targets out, or trusts them again. Told once, with its counts.
    fn noticed(&self, agent: &str, incidents: Vec<Incident>);
}

/// What the stream needs of an agent's data plane.
pub trait Proxy: Send + Sync + 'static {
    /// Puts a configuration in force; ends when no request is sent under an older one any more.
    fn apply(&self, config: Arc<RoutingConfig>) -> BoxFuture<'_, Applied>;
    /// What became of the configuration in force; changes also when a problem comes or goes later.
    fn reported(&self) -> watch::Receiver<Applied>;
    /// All targets and how they are.
    fn targets(&self) -> Vec<TargetState>;
    /// What its gateways may still try again.
    fn budgets(&self) -> Vec<Budget>;
    /// Targets that were left out, or are trusted again, since the last call; oldest first, a bounded number of the newest.
    fn incidents(&self) -> Vec<Incident>;
    /// Which of the last requests of a gateway, at most `most`, would satisfy a condition; newest first. `None` when it is not served.
    fn try_condition(
        &self,
        gateway: &GatewayName,
        condition: &Condition,
        most: usize,
    ) -> Option<Vec<TriedRequest>>;
}

/// What became of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// The revision in force.
    pub revision: u64,
    /// Gateways that are not served as asked, and why.
    pub problems: Vec<(GatewayName, String)>,
}

/// A target as a proxy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetState {
    /// Gateway.
    pub gateway: GatewayName,
    /// Route.
    pub route: RoutePath,
    /// Stable id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Address in use.
    pub address: SocketAddr,
    /// False while the proxy's own checks hold it down.
    pub up: bool,
    /// Requests or connections under way.
    pub in_flight: u32,
    /// Requests that wait for room.
    pub pending: u32,
    /// True while it is left out because it answers badly; then `up` is false.
    pub ejected: bool,
    /// How often it was left out since the proxy began.
    pub ejections: u64,
}

/// The retries of a gateway, as a proxy sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Gateway.
    pub gateway: GatewayName,
    /// Retries that it can afford now.
    pub retries_left: u64,
    /// Retries that it could not afford since the proxy began.
    pub retries_refused: u64,
}

/// A target that a proxy leaves out because it answers badly, or trusts again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Gateway.
    pub gateway: GatewayName,
    /// Route.
    pub route: RoutePath,
    /// Stable id of the target.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// True: left out; false: it has served as long as it was left out before.
    pub ejected: bool,
}

/// One of the last requests, with a condition tried on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriedRequest {
    /// Method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// True when the condition holds.
    pub matches: bool,
    /// How long ago it came.
    pub age: Duration,
}

#[cfg(test)]
mod tests;
