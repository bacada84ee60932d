use super::step::{Election, Moment, Record, Step};
use super::*;

fn at(seconds: f64) -> Moment {
    Duration::from_secs_f64(seconds)
}

fn record(holder: &str, renewed: &str, version: &str) -> Record {
    Record {
        holder: holder.into(),
        duration: Duration::from_secs(15),
        renewed: renewed.into(),
        transitions: 3,
        version: version.into(),
    }
}

fn election() -> Election {
    Election::new("me", Timing::default())
}

/// An election that this candidate won at the moment 1.
fn won() -> Election {
    let mut election = election();
    election.read(None, at(1.0));
    election.written(record("me", "r1", "1"), at(1.0), at(1.1));
    election
}

#[track_caller]
fn writes(step: Step, holder: &str, takes: bool, transitions: i64, version: Option<&str>) {
    match step {
        Step::Write { holder: h, takes: t, transitions: n, version: v, .. } => {
            assert_eq!((h.as_str(), t, n, v.as_deref()), (holder, takes, transitions, version));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_one_creates_the_lease_and_leads() {
    let mut election = election();
    assert_eq!(election.step(at(0.0)), Step::Read);
    election.read(None, at(0.5));
    writes(election.step(at(0.5)), "me", true, 0, None);
    assert!(!election.leads(at(0.5)));
    election.written(record("me", "r1", "1"), at(0.5), at(0.7));
    assert!(election.leads(at(0.7)));
    assert_eq!(election.holder(), Some("me"));
    // It renews after the pause, counted from when it sent the last one.
    assert_eq!(election.step(at(0.7)), Step::Wait(at(2.5)));
    writes(election.step(at(2.5)), "me", false, 3, Some("1"));
}

#[test]
fn a_lease_is_waited_for_as_long_as_this_candidate_saw_no_renewal() {
    let mut election = election();
    election.read(Some(record("other", "r1", "1")), at(0.0));
    assert_eq!(election.step(at(0.0)), Step::Wait(at(2.0)));
    assert_eq!(election.step(at(2.0)), Step::Read);
    election.read(Some(record("other", "r1", "1")), at(2.0));
    // Touched by somebody, but not by its holder.
    election.read(Some(record("other", "r1", "2")), at(4.0));
    election.failed(at(14.0));
    // What could not be read has not become younger; and nothing is written that was not read before.
    assert_eq!(election.step(at(15.0)), Step::Wait(at(16.0)));
    election.read(Some(record("other", "r1", "2")), at(15.0));
    writes(election.step(at(15.0)), "me", true, 4, Some("2"));
    // Renewed in the last moment.
    election.outdated(at(15.1));
    assert_eq!(election.step(at(15.1)), Step::Read);
    election.read(Some(record("other", "r2", "3")), at(15.2));
    assert!(matches!(election.step(at(30.1)), Step::Read));
    election.read(Some(record("other", "r2", "3")), at(30.1));
    assert_eq!(election.step(at(30.1)), Step::Wait(at(30.2)));
    writes(election.step(at(30.2)), "me", true, 4, Some("3"));
    assert_eq!(election.holder(), Some("other"));
}

#[test]
fn a_leader_that_cannot_renew_stops_before_another_may_start() {
    let mut election = won();
    election.failed(at(3.0));
    assert!(election.leads(at(10.9)));
    // Ten seconds after the last confirmed renewal was sent; the others wait for fifteen.
    assert!(!election.leads(at(11.0)));
    assert_eq!(election.ends(), Some(at(11.0)));
    // No pause is longer than that.
    election.failed(at(10.5));
    assert_eq!(election.step(at(10.5)), Step::Wait(at(11.0)));
    // Back in time: it looks, finds its own Lease and renews at once.
    let mut election = won();
    election.failed(at(3.0));
    assert_eq!(election.step(at(5.0)), Step::Read);
    election.read(Some(record("me", "r1", "1")), at(5.1));
    writes(election.step(at(5.1)), "me", false, 3, Some("1"));
    election.written(record("me", "r2", "2"), at(5.1), at(5.2));
    assert!(election.leads(at(15.0)));
}

#[test]
fn a_leader_that_was_replaced_knows_it_with_the_next_look() {
    let mut election = won();
    election.outdated(at(3.0));
    assert!(election.leads(at(3.0)));
    election.read(Some(record("other", "r9", "9")), at(3.1));
    assert!(!election.leads(at(3.1)));
    assert_eq!(election.holder(), Some("other"));
    // The same when the Lease was deleted: whoever creates it leads.
    let mut election = won();
    election.outdated(at(3.0));
    election.read(None, at(3.1));
    assert!(!election.leads(at(3.1)));
    writes(election.step(at(3.1)), "me", true, 0, None);
}

#[test]
fn a_write_whose_answer_was_lost_is_ours_all_the_same() {
    let mut election = election();
    election.read(None, at(0.0));
    election.failed(at(1.0));
    election.read(Some(record("me", "r1", "1")), at(3.0));
    // Only a confirmed write counts, so it writes again before it leads.
    assert!(!election.leads(at(3.0)));
    writes(election.step(at(3.0)), "me", true, 3, Some("1"));
}

#[test]
fn who_leaves_gives_the_lease_back_and_takes_nothing() {
    let mut election = won();
    election.leave();
    writes(election.step(at(1.5)), "", false, 3, Some("1"));
    election.written(Record { duration: Duration::from_secs(1), ..record("", "r2", "2") }, at(1.5), at(1.6));
    assert!(!election.leads(at(1.6)));
    assert!(matches!(election.step(at(60.0)), Step::Wait(_)));
    // What it held when the answer was lost is looked up first.
    let mut election = won();
    election.failed(at(1.2));
    election.leave();
    assert_eq!(election.step(at(1.3)), Step::Read);
    // A Lease that was given back is taken at once, news or not.
    let mut other = Election::new("other", Timing::default());
    other.read(Some(record("me", "r1", "1")), at(0.0));
    other.news(at(0.1));
    assert_eq!(other.step(at(0.1)), Step::Read);
    other.read(Some(record("", "r2", "2")), at(0.2));
    writes(other.step(at(0.2)), "other", true, 4, Some("2"));
}

#[test]
fn news_do_not_disturb_a_leader() {
    let mut election = won();
    election.news(at(1.5));
    assert_eq!(election.step(at(1.5)), Step::Wait(at(3.0)));
}

#[test]
fn times_that_leave_no_room_are_refused() {
    let check = |lease: u64, renew_deadline: u64, retry: u64, part: Option<&str>| {
        let seconds = Duration::from_secs;
        let timing =
            Timing { lease: seconds(lease), renew_deadline: seconds(renew_deadline), retry: seconds(retry) };
        match (timing.checked(), part) {
            (Ok(_), None) => {}
            (Err(message), Some(part)) => assert!(message.contains(part), "{message}"),
            (result, _) => panic!("{timing:?}: {result:?}"),
        }
    };
    check(15, 10, 2, None);
    check(3, 2, 1, None);
    check(10, 10, 2, Some("must be shorter"));
    check(0, 0, 1, Some("at least one"));
    check(15, 10, 6, Some("at least twice"));
    check(15, 10, 0, Some("at least twice"));
    let timing = Timing { lease: Duration::from_millis(1500), ..Timing::default() };
    assert!(timing.checked().is_err_and(|message| message.contains("whole seconds")));
}
