//! Route to target: which of the targets that serve takes a request (spec: gateways 13, R10).
//!
//! Hashing balances use rendezvous hashing: every target is scored with the key, the best one that serves wins. A target that
//! comes or goes moves only the keys that it gets or had; no other client changes its target.
//!
//! A target that starts slowly takes a portion of what would fall to it, the rest goes to those that take all of theirs. Which part
//! that is follows from positions and keys: it is exact over a cycle, and a key that came in stays in.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use model::gateway::Balance;

use crate::decide::Dice;
use crate::position::{Pace, WHOLE, drawn};
use crate::request::RequestHead;
use crate::seen::Seen;
use crate::table::{Route, Target, TargetState};

/// What a choice may depend on.
#[derive(Clone, Copy)]
pub(crate) enum Arrival<'a> {
    Request(&'a RequestHead<'a>),
    Connection(IpAddr),
}

/// One of the targets that serve; `None` when there is none.
pub(crate) fn choose(
    route: &Route,
    balance: &Balance,
    arrival: Arrival<'_>,
    dice: &mut impl Dice,
    pace: Pace,
) -> Option<usize> {
    let key = match (balance, arrival) {
        (Balance::Default, Arrival::Connection(_)) | (Balance::LeastConnections, _) => {
            return least_connections(route, pace);
        }
        (Balance::First, _) => return first(route, pace),
        (Balance::Random, _) => return random(route, dice),
        (Balance::Source, Arrival::Request(request)) => Some(hash_address(request.source)),
        (Balance::Source, Arrival::Connection(source)) => Some(hash_address(source)),
        (Balance::Uri, Arrival::Request(request)) => Some(hash(Seen::new(request).path().as_bytes())),
        (Balance::UrlParameter(name), Arrival::Request(request)) => {
            let value = Seen::new(request).parameters(name).find(|value| !value.is_empty());
            value.map(|value| hash(value.as_bytes()))
        }
        (Balance::Header(name), Arrival::Request(request)) => {
            let mut key = None;
            Seen::new(request).any_line(name, |line| {
                key = (!line.is_empty()).then(|| hash(line));
                key.is_some()
            });
            key
        }
        _ => None,
    };
    match key {
        Some(key) => rendezvous(route, key),
        None => round_robin(route, pace),
    }
}

/// A target that is not in `failed`, in turn.
pub(crate) fn another(route: &Route, failed: &[usize]) -> Option<usize> {
    let left = || serving(route).filter(|target| !failed.contains(target));
    let count = left().count() as u64;
    if count == 0 {
        return None;
    }
    let turn = route.state.spill.next(Pace::Take) % count;
    left().nth(turn as usize).or_else(|| left().next())
}

fn serving(route: &Route) -> impl Iterator<Item = usize> {
    route.targets.iter().enumerate().filter(|(_, target)| target.serves()).map(|(index, _)| index)
}

/// Those that take all that falls to them.
fn full(route: &Route) -> impl Iterator<Item = usize> {
    let whole = |(_, target): &(usize, &Target)| target.state.portion() == TargetState::FULL;
    route.targets.iter().enumerate().filter(whole).map(|(index, _)| index)
}

/// Each target in turn. The turns of targets that are down go to the others, in turn as well: giving them to the next target
/// in line would double the load of that one. So do the turns that a target does not yet take.
fn round_robin(route: &Route, pace: Pace) -> Option<usize> {
    let count = route.targets.len() as u64;
    if count == 0 {
        return None;
    }
    let turn = route.state.turn.next(pace);
    let index = (turn % count) as usize;
    let takes = match route.targets[index].state.portion() {
        TargetState::FULL => true,
        0 => false,
        portion => drawn(turn / count, portion) || full(route).next().is_none(),
    };
    if takes {
        return Some(index);
    }
    let (whole, alive) = (full(route).count() as u64, serving(route).count() as u64);
    if whole > 0 {
        let turn = route.state.spill.next(pace) % whole;
        if let Some(index) = full(route).nth(turn as usize) {
            return Some(index);
        }
    }
    if alive == 0 {
        return None;
    }
    let turn = route.state.spill.next(pace) % alive;
    // A target may go down between counting and taking; then the first that is left serves.
    serving(route).nth(turn as usize).or_else(|| serving(route).next())
}

/// The target with the fewest requests or connections under way; equals take turns. One that starts slowly would have the fewest for
/// long: it stands for election on the turns only that it would take of a round.
fn least_connections(route: &Route, pace: Pace) -> Option<usize> {
    let count = route.targets.len();
    if count == 0 {
        return None;
    }
    let turn = route.state.turn.next(pace);
    let start = (turn % count as u64) as usize;
    let spared = full(route).next().is_some();
    let stands = |index: &usize| match route.targets[*index].state.portion() {
        TargetState::FULL => true,
        0 => false,
        portion => !spared || (*index == start && drawn(turn / count as u64, portion)),
    };
    (start..count)
        .chain(0..start)
        .filter(stands)
        .min_by_key(|&index| route.targets[index].state.in_flight.load(Ordering::Relaxed))
        // Only when a target went down in between.
        .or_else(|| serving(route).next())
}

/// The first that serves; while that one starts slowly, the first of the others for what it does not take.
fn first(route: &Route, pace: Pace) -> Option<usize> {
    let index = serving(route).next()?;
    let portion = route.targets[index].state.portion();
    if portion == TargetState::FULL || drawn(route.state.turn.next(pace), portion) {
        return Some(index);
    }
    full(route).next().or(Some(index))
}

fn random(route: &Route, dice: &mut impl Dice) -> Option<usize> {
    let alive = serving(route).count() as u64;
    if alive == 0 {
        return None;
    }
    let index = serving(route).nth((dice.roll() % alive) as usize).or_else(|| serving(route).next())?;
    let portion = route.targets[index].state.portion();
    if portion == TargetState::FULL || dice.roll() % WHOLE < u64::from(portion) {
        return Some(index);
    }
    match full(route).count() as u64 {
        0 => Some(index),
        whole => full(route).nth((dice.roll() % whole) as usize).or(Some(index)),
    }
}

fn rendezvous(route: &Route, key: u64) -> Option<usize> {
    let spared = full(route).next().is_some();
    // The portion only grows, so a key that is let in once is let in again.
    let lets_in = |index: &usize| {
        let target = &route.targets[*index];
        let portion = target.state.portion();
        portion == TargetState::FULL || !spared || scramble(!key ^ target.point) % WHOLE < u64::from(portion)
    };
    let best = |index: &usize| scramble(key ^ route.targets[*index].point);
    serving(route).filter(lets_in).max_by_key(best).or_else(|| serving(route).next())
}

impl Target {
    /// False while the proxy's own checks hold it down.
    pub(crate) fn serves(&self) -> bool {
        self.state.portion() > 0
    }
}

impl Route {
    /// Whether some target serves.
    pub(crate) fn serves(&self) -> bool {
        self.targets.iter().any(Target::serves)
    }
}

/// FNV-1a, scrambled. The same on every proxy and after every restart, so that a client keeps its target across replicas.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    scramble(fnv)
}

fn hash_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => hash(&address.octets()),
        IpAddr::V6(address) => hash(&address.octets()),
    }
}

/// The finalizer of splitmix64: every input bit changes every output bit.
fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
