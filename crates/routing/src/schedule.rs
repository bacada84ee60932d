//! Whose turn it is: the weights of a gateway as a fixed, evenly spread sequence of routes.
//!
//! ```text
//! weights 50 30 20  --gcd-->  5 3 2  --chairman-->  A B A C A B A C B A   (10 slots)
//!                                                     ^ position modulo 10
//! ```
//!
//! The sequence is that of R. Tijdeman, "The chairman assignment problem", Discrete Mathematics 32 (1980): k states with
//! given shares take turns in the chair so that in *every* prefix the turns of every state differ from its exact share by at
//! most `1 - 1/(2k-2)`. So any window of requests is within two of exact for each route, and a whole cycle is exact. Smooth
//! weighted round robin, the usual choice, has no such bound for three routes and more.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::position::{WHOLE, gcd};

/// A cycle of turns.
#[derive(Debug)]
pub(crate) struct Schedule {
    weights: Box<[u16]>,
    turns: Turns,
}

#[derive(Debug)]
enum Turns {
    /// Every weight is 0.
    Nobody,
    /// One route takes all, the common case.
    Only(usize),
    /// Up to 10,000 turns, indices into `members`; narrow while there are at most 256 members.
    Narrow {
        members: Box<[usize]>,
        turns: Box<[u8]>,
    },
    Wide {
        members: Box<[usize]>,
        turns: Box<[u16]>,
    },
}

impl Schedule {
    /// Lays out the turns of routes with these weights (hundredths of a percent, in route order). What counts is their
    /// proportion; their sum need not be 100 %.
    pub(crate) fn new(weights: &[u16]) -> Self {
        Self { weights: weights.into(), turns: lay_out(weights) }
    }

    /// The weights it was made from.
    pub(crate) fn weights(&self) -> &[u16] {
        &self.weights
    }

    /// The route whose turn it is; `None` when every weight is 0.
    pub(crate) fn turn(&self, position: u64) -> Option<usize> {
        match &self.turns {
            Turns::Nobody => None,
            Turns::Only(route) => Some(*route),
            Turns::Narrow { members, turns } => {
                Some(members[usize::from(turns[slot(position, turns.len())])])
            }
            Turns::Wide { members, turns } => Some(members[usize::from(turns[slot(position, turns.len())])]),
        }
    }

    /// Turns in a cycle.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        match &self.turns {
            Turns::Nobody => 0,
            Turns::Only(_) => 1,
            Turns::Narrow { turns, .. } => turns.len(),
            Turns::Wide { turns, .. } => turns.len(),
        }
    }
}

fn slot(position: u64, len: usize) -> usize {
    // Both conversions are lossless: a cycle has at most 10,000 turns.
    (position % len as u64) as usize
}

fn lay_out(weights: &[u16]) -> Turns {
    let mut members: Vec<usize> = (0..weights.len()).filter(|&route| weights[route] > 0).collect();
    let mut shares: Vec<u64> = members.iter().map(|&route| u64::from(weights[route])).collect();
    reduce(&mut shares);
    let total: u64 = shares.iter().sum();
    if total > WHOLE {
        // Only a configuration that adds up to more than 100 % comes here, which control never makes. Keep the cycle bounded
        // rather than exact.
        for share in &mut shares {
            *share = *share * WHOLE / total;
        }
        let mut kept = shares.iter();
        members.retain(|_| kept.next().is_some_and(|share| *share > 0));
        shares.retain(|share| *share > 0);
    }
    match *members.as_slice() {
        [] => Turns::Nobody,
        [only] => Turns::Only(only),
        _ => {
            let turns = chairmen(&shares);
            let members = members.into_boxed_slice();
            match turns.iter().map(|&turn| u8::try_from(turn)).collect::<Result<Box<[u8]>, _>>() {
                Ok(turns) => Turns::Narrow { members, turns },
                Err(_) => Turns::Wide { members, turns: turns.into_boxed_slice() },
            }
        }
    }
}

fn reduce(shares: &mut [u64]) {
    let divisor = shares.iter().fold(0, |divisor, &share| gcd(divisor, share));
    for share in shares.iter_mut() {
        *share /= divisor.max(1);
    }
}

/// Tijdeman's algorithm for two members or more, in the form of jobs with a release and a deadline.
///
/// With `m = 2k-2` and share `w` of `total`, the turn `x` (from 0) of a member may be taken from slot `(1 + mx) total / mw`
/// on, and among those that may, the one with the smallest deadline `(m - 1 + mx) total / mw` is taken.
fn chairmen(shares: &[u64]) -> Vec<u16> {
    let total: u64 = shares.iter().sum();
    let m = 2 * shares.len() as u64 - 2;
    let release = |member: usize, x: u64| ((1 + m * x) * total).div_ceil(m * shares[member]);
    let mut waiting: BinaryHeap<Reverse<(u64, usize, u64)>> =
        (0..shares.len()).map(|member| Reverse((release(member, 0), member, 0))).collect();
    let mut ready: BinaryHeap<Reverse<Turn>> = BinaryHeap::new();
    let mut turns = Vec::new();
    for slot in 1..=total {
        while let Some(Reverse((from, member, x))) = waiting.peek().copied()
            && (from <= slot || ready.is_empty())
        {
            // The theorem says that something is always ready; `ready.is_empty()` only keeps the loop total.
            debug_assert!(from <= slot, "no member may take slot {slot}");
            waiting.pop();
            ready.push(Reverse(Turn { member, x, deadline: m - 1 + m * x, share: shares[member] }));
        }
        let Some(Reverse(Turn { member, x, .. })) = ready.pop() else { break };
        // At most 10,000 members have a share.
        turns.push(member as u16);
        if x + 1 < shares[member] {
            waiting.push(Reverse((release(member, x + 1), member, x + 1)));
        }
    }
    turns
}

/// A turn that may be taken, ordered by `deadline / share`, ties to the earlier route.
struct Turn {
    member: usize,
    x: u64,
    deadline: u64,
    share: u64,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        // At most 20,000 * 10,000 * 10,000: far from overflow.
        (self.deadline * other.share).cmp(&(other.deadline * self.share)).then(self.member.cmp(&other.member))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}

#[cfg(test)]
mod tests;
