//! How a workload moves from the replicas it has to the ones it should have. Pure, so that every order of events can
//! be tested as a table.
//!
//! New replicas come up and get ready first; only then old ones leave, one for each new one that is ready. With the
//! strategy `Recreate` it is the other way round.

/// What matters about one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    /// Runs the current template.
    pub(crate) current: bool,
    /// Gets traffic.
    pub(crate) ready: bool,
    /// Asked to leave, not gone yet.
    pub(crate) leaving: bool,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Steps {
    /// Number of replicas of the current template to start.
    pub(crate) start: usize,
    /// Positions of members that leave.
    pub(crate) stop: Vec<usize>,
}

/// The next steps. `members` are in order of age, oldest first.
pub(crate) fn plan(replicas: usize, recreate: bool, members: &[Member]) -> Steps {
    let staying = |current: bool| {
        members.iter().enumerate().filter(move |(_, member)| !member.leaving && member.current == current)
    };
    let current = staying(true).count();
    let mut steps = Steps::default();

    // Too many of the right ones: unready ones go first, then the youngest.
    let mut surplus: Vec<(usize, &Member)> = staying(true).collect();
    surplus.sort_by_key(|(at, member)| (member.ready, std::cmp::Reverse(*at)));
    steps.stop.extend(surplus.iter().take(current.saturating_sub(replicas)).map(|(at, _)| *at));

    let mut old: Vec<(usize, &Member)> = staying(false).collect();
    if recreate {
        steps.stop.extend(old.iter().map(|(at, _)| *at));
        let any_old = members.iter().any(|member| !member.current);
        steps.start = if any_old { 0 } else { replicas.saturating_sub(current) };
    } else {
        let ready = staying(true).filter(|(_, member)| member.ready).count().min(replicas);
        // Old ones that do not serve are of no use: they leave at once.
        steps.stop.extend(old.extract_if(.., |(_, member)| !member.ready).map(|(at, _)| at));
        let kept = replicas - ready;
        steps.stop.extend(old.iter().take(old.len().saturating_sub(kept)).map(|(at, _)| *at));
        steps.start = replicas.saturating_sub(current);
    }
    steps
}
