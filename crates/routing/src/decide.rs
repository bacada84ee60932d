//! `decide`: route, target and why (spec: gateways 11, 12, 13, 16).

use crate::request::RequestHead;
use crate::table::Gateway;

/// Where chance comes from; made once at the edge, seeded in tests.
pub trait Dice {
    /// 64 random bits.
    fn roll(&mut self) -> u64;
}

/// Why a route was chosen. The words are those of metrics, access log and API (R44).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its condition held and the strength draw was won.
    Condition,
    /// By weight.
    Weight,
    /// The client's cookie said so.
    Sticky,
    /// The route chosen by weight or condition had no ready target; its share went elsewhere (R29).
    Rerouted,
    /// Nothing can serve.
    NoTarget,
}

impl Reason {
    /// The word in metrics, logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Weight => "weight",
            Self::Sticky => "sticky",
            Self::Rerouted => "rerouted",
            Self::NoTarget => "no_target",
        }
    }
}

/// A decision, explained. Indices point into [`Gateway::routes`] and [`crate::table::Route::targets`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Chosen route and target; `None`: answer 503 with `Vamp-Proxy-Error: no_target`.
    pub chosen: Option<Chosen>,
    /// Why.
    pub reason: Reason,
    /// Complete `Set-Cookie` values to add to the response (without `; Secure`, which the edge appends on TLS). At most three.
    pub set_cookies: Vec<String>,
}

/// A route and one of its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Index of the route.
    pub route: usize,
    /// Index of the target in the route.
    pub target: usize,
}

/// Decides about one http request. `excluded` are targets of the route that already failed for this request (a retry goes
/// to another one while there is one).
pub fn decide(gateway: &Gateway, request: &RequestHead<'_>, dice: &mut impl Dice) -> Decision {
    let _ = (gateway, request, dice);
    Decision { chosen: None, reason: Reason::NoTarget, set_cookies: Vec::new() }
}

/// Decides about one tcp connection (R36).
pub fn decide_connection(gateway: &Gateway, source: std::net::IpAddr, dice: &mut impl Dice) -> Decision {
    let _ = (gateway, source, dice);
    Decision { chosen: None, reason: Reason::NoTarget, set_cookies: Vec::new() }
}

/// Another target of the same route for a retry, never one of `failed`; `None` when there is no other.
pub fn another_target(
    gateway: &Gateway,
    route: usize,
    failed: &[usize],
    dice: &mut impl Dice,
) -> Option<usize> {
    let _ = (gateway, route, failed, dice);
    None
}

/// True for the names of Vamp's own cookies (`vamp_r_`, `vamp_c_`, `vamp_i_`), which never reach a target.
pub fn is_own_cookie(name: &str) -> bool {
    ["vamp_r_", "vamp_c_", "vamp_i_"].iter().any(|prefix| name.starts_with(prefix))
}

/// The rewritten path and query of a request on a route; `None` when nothing changes (section 14).
pub fn rewrite(gateway: &Gateway, route: usize, request: &RequestHead<'_>) -> Option<String> {
    let _ = (gateway, route, request);
    None
}
