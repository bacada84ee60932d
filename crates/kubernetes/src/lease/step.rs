//! The decision, pure: times are durations since some start of this process, of a clock that never goes back.

use std::time::Duration;

use super::Timing;

/// A moment of this process's own clock.
pub(super) type Moment = Duration;

/// What a Lease says, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// Who has it; empty: nobody.
    pub(super) holder: String,
    /// How long it holds after a renewal.
    pub(super) duration: Duration,
    /// When its holder wrote it last, in the holder's words: only whether it changes matters.
    pub(super) renewed: String,
    /// How often it changed hands.
    pub(super) transitions: i64,
    /// Version of the object: a write on an older one is refused.
    pub(super) version: String,
}

impl Record {
    /// True when its holder has said nothing new. Others may have touched the object.
    fn is_as_old_as(&self, other: &Self) -> bool {
        let said = |record: &Self| {
            (record.holder.clone(), record.duration, record.renewed.clone(), record.transitions)
        };
        said(self) == said(other)
    }
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the Lease.
    Read,
    /// Write it: with this holder, on the version that was read; `None`: create it.
    Write {
        holder: String,
        duration: Duration,
        transitions: i64,
        /// True when the one who writes takes it, false when it only renews.
        takes: bool,
        version: Option<String>,
    },
    /// Nothing until then, unless news come before.
    Wait(Moment),
}

/// What was read last.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// Nothing, or what was read has proved to be old.
    Nothing,
    /// There is no Lease.
    None,
    /// This one.
    Record(Record),
}

/// One candidate's view of the election.
#[derive(Debug, Clone)]
pub(super) struct Election {
    me: String,
    timing: Timing,
    known: Known,
    /// The record whose age is counted, and when it was first seen. Survives a failed read: the age goes on.
    aged: Option<(Record, Moment)>,
    /// When the last confirmed write of ours was sent; `None` while we have not won.
    confirmed: Option<Moment>,
    /// When to look or write again.
    next: Moment,
    /// Leave it to others from now on.
    leaving: bool,
}

impl Election {
    pub(super) fn new(me: impl Into<String>, timing: Timing) -> Self {
        Self {
            me: me.into(),
            timing,
            known: Known::Nothing,
            aged: None,
            confirmed: None,
            next: Moment::ZERO,
            leaving: false,
        }
    }

    /// True while nobody else can lead.
    pub(super) fn leads(&self, now: Moment) -> bool {
        self.ends().is_some_and(|ends| now < ends)
    }

    /// When leading ends unless it is renewed.
    pub(super) fn ends(&self) -> Option<Moment> {
        self.confirmed.map(|sent| sent + self.timing.renew_deadline)
    }

    /// Who holds the Lease, as far as is known.
    pub(super) fn holder(&self) -> Option<&str> {
        self.aged.as_ref().map(|(record, _)| record.holder.as_str()).filter(|holder| !holder.is_empty())
    }

    /// The Lease was read; `None`: there is none.
    pub(super) fn read(&mut self, found: Option<Record>, now: Moment) {
        let ours = found.as_ref().is_some_and(|record| record.holder == self.me);
        if !ours {
            self.confirmed = None;
        }
        match found {
            Some(record) => {
                if self.aged.as_ref().is_none_or(|(aged, _)| !aged.is_as_old_as(&record)) {
                    self.aged = Some((record.clone(), now));
                }
                self.known = Known::Record(record);
            }
            None => {
                self.aged = None;
                self.known = Known::None;
            }
        }
        // A leader that has to look has a renewal to make up for; who waits looks again after the pause.
        self.next = if self.confirmed.is_some() { now } else { now + self.timing.retry };
    }

    /// Our write was confirmed: `record` is what the Lease is now. It was sent at `sent`.
    pub(super) fn written(&mut self, record: Record, sent: Moment, now: Moment) {
        self.confirmed = (record.holder == self.me).then_some(sent);
        self.aged = Some((record.clone(), now));
        self.known = Known::Record(record);
        self.next = sent + self.timing.retry;
    }

    /// Our write was refused, because the Lease is no longer what we thought: it is read again at once.
    pub(super) fn outdated(&mut self, now: Moment) {
        self.known = Known::Nothing;
        self.next = now;
    }

    /// The API server did not answer, or not as it should. What became of a write is unknown.
    pub(super) fn failed(&mut self, now: Moment) {
        self.known = Known::Nothing;
        self.next = now + self.timing.retry;
    }

    /// Somebody says that the Lease has changed: look before the pause is over. A leader has written it itself.
    pub(super) fn news(&mut self, now: Moment) {
        if !self.leads(now) {
            self.known = Known::Nothing;
            self.next = self.next.min(now);
        }
    }

    /// Does not want to lead any more: what it holds is given back, and it takes nothing.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        self.next = Moment::ZERO;
    }

    /// What to do now.
    pub(super) fn step(&self, now: Moment) -> Step {
        let won = self.confirmed.is_some();
        let record = match &self.known {
            Known::Nothing if now >= self.next => return Step::Read,
            Known::Nothing => return Step::Wait(self.until(self.next)),
            Known::None if self.leaving => return Step::Wait(self.until(now + self.timing.lease)),
            Known::None => return self.write(&self.me, 0, true, None),
            Known::Record(record) => record,
        };
        let ours = record.holder == self.me;
        let version = Some(record.version.clone());
        if self.leaving {
            return if ours {
                self.write("", record.transitions, false, version)
            } else {
                Step::Wait(self.until(now + self.timing.lease))
            };
        }
        if ours && won {
            return if now >= self.next {
                self.write(&self.me, record.transitions, false, version)
            } else {
                Step::Wait(self.until(self.next))
            };
        }
        if ours || record.holder.is_empty() {
            // Ours from before, by a write whose answer was lost: nobody else can have it.
            let transitions = record.transitions + i64::from(!ours);
            return self.write(&self.me, transitions, true, version);
        }
        let seen = self.aged.as_ref().map_or(now, |(_, seen)| *seen);
        let expires = seen + record.duration;
        if now >= expires {
            return self.write(&self.me, record.transitions + 1, true, version);
        }
        if now >= self.next { Step::Read } else { Step::Wait(self.until(self.next.min(expires))) }
    }

    fn write(&self, holder: &str, transitions: i64, takes: bool, version: Option<String>) -> Step {
        // A Lease that was given back is free at once for those, too, who only look at the duration.
        let duration = if holder.is_empty() { Duration::from_secs(1) } else { self.timing.lease };
        Step::Write { holder: holder.to_owned(), duration, transitions, takes, version }
    }

    /// No pause goes on past the end of leading: that is told in time.
    fn until(&self, at: Moment) -> Moment {
        self.ends().map_or(at, |ends| at.min(ends))
    }
}
