//! `decide`: route, target and why (spec: gateways 11, 12, 13, 16).
//!
//! ```text
//! first condition that holds --strength draw--> its route                        Condition
//!        | none                  | lost, or the route cannot serve
//!        v                       v
//!     cookie of a route that can serve ---------------> that route               Sticky
//!        | none
//!        v
//!     whose turn it is by weight ---------------------> that route               Weight
//!        | cannot serve
//!        v
//!     turn among the routes with weight that can serve -> one of them            Rerouted
//!        | none                                                                  NoTarget
//! ```
//!
//! Nothing is allocated, unless a cookie is to be set.

use std::net::IpAddr;

use model::gateway::Sticky;

use crate::balance::{self, Arrival};
use crate::position::{Pace, drawn, gcd, spread};
use crate::request::RequestHead;
use crate::seen::Seen;
use crate::sticky::Jar;
use crate::table::Gateway;

pub use crate::cookies::{is_own_cookie, strip_own_cookies};

/// Where chance comes from; made once at the edge, seeded in tests.
pub trait Dice {
    /// 64 random bits.
    fn roll(&mut self) -> u64;
}

/// Why a route was chosen. The words are those of metrics, access log and API (R44).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its condition held and the strength draw was won, now or earlier if draws are sticky.
    Condition,
    /// By weight.
    Weight,
    /// The client's cookie said so.
    Sticky,
    /// The route chosen by weight, condition or cookie had no ready target; its share went elsewhere (R29).
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
    /// The route that should have served but has no ready target, so that a dead canary can be told by the requests it lost.
    pub instead_of: Option<usize>,
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

/// Decides about one http request. A retry after a failure stays on the route: see [`another_target`].
pub fn decide(gateway: &Gateway, request: &RequestHead<'_>, dice: &mut impl Dice) -> Decision {
    for_request(gateway, request, dice, Pace::Take)
}

/// Decides about one tcp connection (R36): weights, no conditions, no stickiness.
pub fn decide_connection(gateway: &Gateway, source: IpAddr, dice: &mut impl Dice) -> Decision {
    let pick = by_weight(gateway, None, Pace::Take);
    let target = |route: usize| {
        let balance = &gateway.config.routes[route].balance;
        balance::choose(&gateway.routes[route], balance, Arrival::Connection(source), dice, Pace::Take)
    };
    finish(pick, target, Vec::new())
}

/// Another target of the same route for a retry, never one of `failed`; `None` when there is no other.
pub fn another_target(
    gateway: &Gateway,
    route: usize,
    failed: &[usize],
    _dice: &mut impl Dice,
) -> Option<usize> {
    balance::another(gateway.routes.get(route)?, failed)
}

/// The rewritten path and query of a request on a route; `None` when nothing changes (section 14).
pub fn rewrite(gateway: &Gateway, route: usize, request: &RequestHead<'_>) -> Option<String> {
    crate::rewrite::apply(&gateway.routes.get(route)?.rewrites, request)
}

pub(crate) fn for_request(
    gateway: &Gateway,
    request: &RequestHead<'_>,
    dice: &mut impl Dice,
    pace: Pace,
) -> Decision {
    let mut set_cookies = Vec::new();
    let mut jar = gateway.names.as_ref().map(|names| Jar::new(names, request.fields, &mut set_cookies));
    let pick = match by_condition(gateway, request, jar.as_mut(), pace) {
        Draw::Won(route) => Pick { route: Some(route), reason: Reason::Condition, instead_of: None },
        Draw::Lost => by_weight(gateway, jar.as_mut(), pace),
        Draw::CannotServe(route) => {
            let pick = by_weight(gateway, jar.as_mut(), pace);
            Pick { reason: Reason::Rerouted, instead_of: Some(route), ..pick }
        }
    };
    let target = |index: usize| {
        let route = &gateway.routes[index];
        let jar = jar.as_mut().filter(|_| gateway.config.sticky == Some(Sticky::Instance));
        if let Some(target) = jar.as_ref().and_then(|jar| jar.target(index, route)) {
            return Some(target);
        }
        let balance = &gateway.config.routes[index].balance;
        let target = balance::choose(route, balance, Arrival::Request(request), dice, pace)?;
        if let Some(jar) = jar {
            jar.keep_target(index, route, target);
        }
        Some(target)
    };
    let decision = finish(pick, target, Vec::new());
    Decision { set_cookies, ..decision }
}

/// A route, before its target is chosen.
struct Pick {
    route: Option<usize>,
    reason: Reason,
    instead_of: Option<usize>,
}

fn finish(pick: Pick, target: impl FnOnce(usize) -> Option<usize>, set_cookies: Vec<String>) -> Decision {
    let chosen = pick.route.and_then(|route| Some(Chosen { route, target: target(route)? }));
    let reason = if chosen.is_some() { pick.reason } else { Reason::NoTarget };
    Decision { chosen, reason, instead_of: pick.instead_of, set_cookies }
}

/// What became of the conditions.
enum Draw {
    /// The condition of this route held and the draw was won.
    Won(usize),
    /// No condition held, or the draw was lost.
    Lost,
    /// The draw was won, but the route has no ready target: as good as lost (R29).
    CannotServe(usize),
}

/// The first condition that holds decides, also when its draw is lost.
fn by_condition(gateway: &Gateway, request: &RequestHead<'_>, jar: Option<&mut Jar<'_>>, pace: Pace) -> Draw {
    if gateway.conditional.is_empty() {
        return Draw::Lost;
    }
    let seen = Seen::new(request);
    let holds = |route: usize| gateway.routes[route].condition.as_ref().is_some_and(|test| test.holds(&seen));
    let Some(index) = gateway.conditional.iter().copied().find(|&route| holds(route)) else {
        return Draw::Lost;
    };
    let (route, strength) = (&gateway.routes[index], gateway.config.routes[index].strength);
    let draw = || drawn(route.state.draw.next(pace), strength);
    let Some(jar) = jar else {
        return match draw() {
            true if route.serves() => Draw::Won(index),
            true => Draw::CannotServe(index),
            false => Draw::Lost,
        };
    };
    // At full strength the condition says it all: a client that lost a draw earlier comes in now.
    let remembered = jar.draw(index).filter(|won| *won || strength < 10_000);
    let won = remembered.unwrap_or_else(draw);
    let serves = route.serves();
    // Losing because nothing is ready is not the outcome of a draw. Kept as one, a short outage would drive every
    // client out of the route for good; so nothing is written and the client draws again next time.
    if remembered.is_none() && (serves || !won) {
        jar.keep_draw(index, won);
    }
    match won {
        true if serves => Draw::Won(index),
        true => Draw::CannotServe(index),
        false => Draw::Lost,
    }
}

/// The route of the cookie if it can serve, at whatever weight; else by turn.
fn by_weight(gateway: &Gateway, jar: Option<&mut Jar<'_>>, pace: Pace) -> Pick {
    let Some(jar) = jar else { return by_turn(gateway, pace) };
    let kept = jar.route(gateway);
    if let Some(route) = kept.filter(|&route| gateway.routes[route].serves()) {
        return Pick { route: Some(route), reason: Reason::Sticky, instead_of: None };
    }
    let mut pick = by_turn(gateway, pace);
    if let Some(route) = pick.route {
        jar.keep_route(gateway, route);
    }
    if kept.is_some() {
        pick.reason = Reason::Rerouted;
        pick.instead_of = kept;
    }
    pick
}

fn by_turn(gateway: &Gateway, pace: Pace) -> Pick {
    let Some(route) = gateway.schedule.turn(gateway.state.turn.next(pace)) else {
        return Pick { route: None, reason: Reason::NoTarget, instead_of: None };
    };
    if gateway.routes[route].serves() {
        return Pick { route: Some(route), reason: Reason::Weight, instead_of: None };
    }
    Pick { route: elsewhere(gateway, pace), reason: Reason::Rerouted, instead_of: Some(route) }
}

/// The lost turn of a route that cannot serve, given to the routes that can, in proportion to their weights. Never to a route of
/// weight 0. It has a position of its own: over a whole cycle of lost turns every route gets exactly its proportion.
fn elsewhere(gateway: &Gateway, pace: Pace) -> Option<usize> {
    let routes = || gateway.routes.iter().zip(gateway.schedule.weights()).enumerate();
    let serving = || routes().filter(|(_, (route, weight))| **weight > 0 && route.serves());
    let (divisor, total, last) =
        serving().fold((0, 0, None), |(divisor, total, _), (index, (_, &weight))| {
            (gcd(divisor, u64::from(weight)), total + u64::from(weight), Some(index))
        });
    let last = last?;
    let mut left = spread(gateway.state.elsewhere.next(pace), total / divisor);
    for (index, (_, &weight)) in serving() {
        let share = u64::from(weight) / divisor;
        if left < share {
            return Some(index);
        }
        left -= share;
    }
    // Only when a route went down between the two passes.
    Some(last)
}
