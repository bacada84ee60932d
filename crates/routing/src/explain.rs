//! `explain`: what would happen to a request, and why, without it happening.

use crate::decide::{Decision, Dice, for_request, rewrite};
use crate::position::Pace;
use crate::request::RequestHead;
use crate::seen::Seen;
use crate::table::Gateway;

/// The decision that the next such request would get, with what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision. Its cookies are those that the response would set.
    pub decision: Decision,
    /// Every route with a condition, in order.
    pub conditions: Vec<Verdict>,
    /// The path and query that the target would see, when a rewrite changes them.
    pub rewritten: Option<String>,
}

/// What a condition says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Index of the route.
    pub route: usize,
    /// Whether the condition holds.
    pub holds: bool,
    /// True for the first that holds: only this one counts, even when its strength draw is lost.
    pub decides: bool,
}

/// Explains the decision about an http request. No position advances: asking changes nothing for anybody. With
/// `balance: random` the target is one that may serve.
pub fn explain(gateway: &Gateway, request: &RequestHead<'_>) -> Explanation {
    let seen = Seen::new(request);
    let mut decided = false;
    let conditions = gateway.conditional.iter().map(|&route| {
        let holds = gateway.routes[route].condition.as_ref().is_some_and(|test| test.holds(&seen));
        let decides = holds && !decided;
        decided |= holds;
        Verdict { route, holds, decides }
    });
    let conditions = conditions.collect();
    let decision = for_request(gateway, request, &mut NoDice, Pace::Peek);
    let rewritten = decision.chosen.and_then(|chosen| rewrite(gateway, chosen.route, request));
    Explanation { decision, conditions, rewritten }
}

struct NoDice;

impl Dice for NoDice {
    fn roll(&mut self) -> u64 {
        0
    }
}
