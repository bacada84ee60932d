//! Questions to one agent that are under way: asked, not answered yet, and not given up by who asked.

use std::collections::{BTreeMap, VecDeque};

use crate::fleet::tried::Question;
use crate::{convert, proto};

/// Questions under way at once. Those beyond wait where they are.
const MOST: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Trials {
    number: u64,
    open: BTreeMap<u64, Question>,
    unsent: VecDeque<u64>,
}

impl Trials {
    /// True while one more can be asked.
    pub(super) fn room(&mut self) -> bool {
        self.open.retain(|_, question| !question.answer.is_closed());
        self.unsent.retain(|number| self.open.contains_key(number));
        self.open.len() < MOST
    }

    /// Asks one more.
    pub(super) fn ask(&mut self, question: Question) {
        self.number += 1;
        self.open.insert(self.number, question);
        self.unsent.push_back(self.number);
    }

    /// True while one waits to be sent.
    pub(super) fn waits(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The next one to be sent.
    pub(super) fn next(&mut self) -> Option<proto::Trial> {
        let number = self.unsent.pop_front()?;
        let question = self.open.get(&number)?;
        Some(proto::Trial {
            number,
            gateway: question.gateway.to_string(),
            condition: question.condition.text().to_owned(),
            most: u32::try_from(question.most).unwrap_or(u32::MAX),
        })
    }

    /// Passes an answer on. One that nobody waits for any more is none.
    ///
    /// # Errors
    /// What makes no sense, for the log.
    pub(super) fn answered(&mut self, tried: proto::Tried) -> Result<(), String> {
        if let Some(question) = self.open.remove(&tried.number) {
            let requests = convert::tried(tried, question.most)?;
            let _ = question.answer.send(requests);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::condition::Condition;
    use model::name::GatewayName;
    use tokio::sync::oneshot;

    use super::*;
    use crate::TriedRequest;

    type Answer = oneshot::Receiver<Option<Vec<TriedRequest>>>;

    fn question(most: usize) -> (Question, Answer) {
        let (answer, answered) = oneshot::channel();
        let gateway = GatewayName::parse("shop").unwrap();
        let condition = Condition::parse("has header x").unwrap();
        (Question { gateway, condition, most, answer }, answered)
    }

    fn told(number: u64, known: bool, paths: &[&str]) -> proto::Tried {
        let request = |path: &&str| proto::TriedRequest {
            method: "GET".into(),
            path: (*path).into(),
            matches: true,
            age_ms: 7,
        };
        proto::Tried { number, known, requests: paths.iter().map(request).collect() }
    }

    #[test]
    fn each_answer_goes_to_its_question() {
        let mut trials = Trials::default();
        let ((first, mut one), (second, mut two)) = (question(2), question(2));
        trials.ask(first);
        trials.ask(second);
        let sent: Vec<proto::Trial> = std::iter::from_fn(|| trials.next()).collect();
        assert_eq!((sent.len(), sent[1].number, sent[1].most), (2, 2, 2));
        assert_eq!((sent[1].gateway.as_str(), sent[1].condition.as_str()), ("shop", "has header x"));
        trials.answered(told(2, false, &[])).unwrap();
        trials.answered(told(1, true, &["/a"])).unwrap();
        assert_eq!(two.try_recv().unwrap(), None, "it cannot tell");
        let requests = one.try_recv().unwrap().unwrap();
        assert_eq!((requests[0].path.as_str(), requests[0].age), ("/a", Duration::from_millis(7)));
        trials.answered(told(1, true, &["/again"])).unwrap();
        trials.answered(told(9, true, &["/never asked"])).unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let long = "/".repeat(600);
        for paths in [&["/1", "/2", "/3"][..], &[&long]] {
            let mut trials = Trials::default();
            let (asked, _answer) = question(2);
            trials.ask(asked);
            assert!(trials.answered(told(1, true, paths)).is_err());
        }
    }

    #[test]
    fn questions_that_were_given_up_make_room() {
        let mut trials = Trials::default();
        let mut answers = Vec::new();
        while trials.room() {
            let (asked, answer) = question(1);
            trials.ask(asked);
            answers.push(answer);
        }
        assert_eq!(answers.len(), MOST);
        assert!(trials.waits());
        answers.truncate(MOST - 1);
        assert!(trials.room());
        answers.clear();
        assert!(trials.room() && !trials.waits());
    }
}
