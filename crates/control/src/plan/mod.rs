//! Planning: what is wanted and what is there become a new state and its events.
//!
//! ```text
//!            Request                      Observation
//!               | accept                       | Matches::update
//!               v                              v
//!   State --> draft state ----- reconcile each gateway concerned -----> new State --diff--> events
//!                                              |                            |
//!                                              +--> when to look again      +--show--> GatewayView, GatewayConfig
//! ```
//!
//! All of it is pure: time comes in as an argument, nothing is waited for, and the same arguments give the same plan. Carrying a
//! plan out is somebody else's job.

pub mod accept;
pub mod diff;
pub mod matches;
pub mod reconcile;
pub mod show;
pub mod weights;

mod chains;
mod claims;
mod declared;
mod port_check;
mod routes;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use model::artifact::ArtifactKind;
use model::event::NewEvent;
use model::gateway::HostFormats;
use model::name::{GatewayName, RoutePath};
use model::selector::Selector;

use crate::plan::accept::{Done, Draft, accept};
use crate::plan::diff::{Cause, diff};
use crate::plan::matches::Matches;
pub use crate::plan::port_check::PortCheck;
use crate::plan::reconcile::{reconcile, selectors};
use crate::request::{Refusal, Request};
use crate::state::State;
use crate::view::Counts;

/// Who changes things when nobody asks.
pub const VAMP: &str = "vamp";

/// What plans depend on besides state and observation. See [`Settings`](crate::Settings) for the fields.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "explained once, in Settings")]
pub struct Rules {
    pub namespace: String,
    pub gateway_filter: Selector,
    pub port_range: RangeInclusive<u16>,
    pub port_check: PortCheck,
    pub route_retention: Duration,
    pub gateway_address: IpAddr,
    pub reserved_ports: Vec<u16>,
    pub virtual_hosts: HostFormats,
}

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// The state afterwards. Versions and revision are those of before: they come with the commit.
    pub state: State,
    /// Gateways that may be different, or gone.
    pub gateways: BTreeSet<GatewayName>,
    /// Artifacts that are different, or gone.
    pub artifacts: BTreeSet<(ArtifactKind, String)>,
    /// Gateways whose mirrors are different, or gone.
    pub mirrors: BTreeSet<GatewayName>,
    /// What was seen of each gateway looked at.
    pub seen: BTreeMap<GatewayName, Seen>,
    /// Events, in order.
    pub events: Vec<NewEvent>,
    /// What became of each change asked for.
    pub done: Vec<Done>,
}

/// What was seen of a gateway, and is not kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// Instances behind the routes.
    pub counts: BTreeMap<RoutePath, Counts>,
    /// When to look again although nothing may have changed.
    pub wake_at: Option<Timestamp>,
}

/// Plans a change that somebody asked for. `stored` is what is kept, and what events compare with; `current` is
/// what is in force, which is ahead of it while it cannot be kept.
///
/// # Errors
/// Why the change is not possible.
pub fn change(
    stored: &State,
    current: &State,
    matches: &mut Matches,
    rules: &Rules,
    request: &Request,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let draft = accept(current, rules, request, now)?;
    let cause = Cause { actor: &request.actor, reason: request.reason.as_deref(), now };
    Ok(settle(stored, draft, matches, rules, cause))
}

/// Plans what follows from the observation and the time for the gateways that are `due`.
pub fn automatic(
    stored: &State,
    current: &State,
    matches: &mut Matches,
    rules: &Rules,
    due: BTreeSet<GatewayName>,
    now: Timestamp,
) -> Plan {
    let draft = Draft {
        state: current.clone(),
        gateways: due,
        artifacts: BTreeSet::new(),
        mirrors: BTreeSet::new(),
        done: Vec::new(),
        events: Vec::new(),
    };
    settle(stored, draft, matches, rules, Cause { actor: VAMP, reason: None, now })
}

/// Reconciles the gateways of a draft, and those whose routes lead to them, with the platform.
fn settle(stored: &State, draft: Draft, matches: &mut Matches, rules: &Rules, cause: Cause<'_>) -> Plan {
    let Draft { mut state, gateways, artifacts, mirrors, done, mut events } = draft;
    let gateways = with_dependents(&state, gateways);
    let mut seen = BTreeMap::new();
    for name in &gateways {
        let Some(gateway) = state.gateways.get(name) else { continue };
        for selector in selectors(gateway) {
            matches.require(selector);
        }
        let result = reconcile(name, gateway, &state, matches, rules, cause.now);
        seen.insert(name.clone(), Seen { counts: result.counts, wake_at: result.wake_at });
        state.gateways.insert(name.clone(), result.gateway);
    }
    for name in &gateways {
        let (before, after) = (stored.gateways.get(name), state.gateways.get(name));
        if !unchanged(before, after) {
            events.extend(diff(name, before, after, cause, rules));
        }
    }
    Plan { state, gateways, artifacts, mirrors, seen, events, done }
}

fn unchanged(before: Option<&crate::state::Gateway>, after: Option<&crate::state::Gateway>) -> bool {
    match (before, after) {
        (Some(a), Some(b)) => {
            Arc::ptr_eq(&a.declared, &b.declared)
                && Arc::ptr_eq(&a.live, &b.live)
                && Arc::ptr_eq(&a.sighted, &b.sighted)
        }
        (None, None) => true,
        _ => false,
    }
}

/// The target of a chained route is the listener of the other gateway: it appears, moves and goes with it.
fn with_dependents(state: &State, mut gateways: BTreeSet<GatewayName>) -> BTreeSet<GatewayName> {
    let changed: BTreeSet<&str> = gateways.iter().map(GatewayName::as_str).collect();
    let dependents: Vec<GatewayName> = state
        .gateways
        .iter()
        .filter(|(name, gateway)| !changed.contains(name.as_str()) && chains::leads_to(gateway, &changed))
        .map(|(name, _)| name.clone())
        .collect();
    gateways.extend(dependents);
    gateways
}
