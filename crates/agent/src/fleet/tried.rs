//! A condition, tried on the last requests of all agents of an environment.
//!
//! Each agent tries it where the requests are, and tells of a few; what comes in time is put together by age. Ages, because the clocks of
//! nodes differ.

use std::time::Duration;

use futures_util::future::join_all;
use model::condition::Condition;
use model::name::GatewayName;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Fleet;
use crate::TriedRequest;

/// Requests that are told of, all agents together: enough to see a share, few enough to look at.
const REQUESTS: usize = 50;
/// Requests that all agents together may send for that.
const MOST_SENT: usize = 2_000;
/// How long agents may take. Somebody types meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);
/// Questions that wait for a stream to take them.
pub(crate) const QUEUE: usize = 4;

/// A condition tried on the last requests of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tried {
    /// Newest first.
    pub requests: Vec<TriedRequest>,
    /// Agents that told of their requests.
    pub answered: usize,
    /// Agents that are known.
    pub agents: usize,
}

/// For the stream of one agent.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) gateway: GatewayName,
    pub(crate) condition: Condition,
    pub(crate) most: usize,
    /// Takes what came of it, if the agent can tell.
    pub(crate) answer: oneshot::Sender<Option<Vec<TriedRequest>>>,
}

impl Fleet {
    /// Which of the last requests of a gateway would satisfy a condition, as far as the agents tell that are connected. They keep
    /// requests from the first question until a minute after the last. Takes a second at most.
    pub async fn try_condition(&self, gateway: &GatewayName, condition: &Condition) -> Tried {
        let (streams, agents) = self.askable();
        let most = share(streams.len());
        let questions = streams.into_iter().filter_map(|stream| {
            let (answer, answered) = oneshot::channel();
            let question = Question { gateway: gateway.clone(), condition: condition.clone(), most, answer };
            // One that has questions waiting is slow: it is not waited for.
            stream.try_send(question).ok()?;
            Some(timeout(PATIENCE, answered))
        });
        let answers = join_all(questions).await;
        let answers: Vec<_> = answers.into_iter().filter_map(|answer| answer.ok()?.ok()?).collect();
        Tried { answered: answers.len(), agents, requests: newest(answers) }
    }

    fn askable(&self) -> (Vec<mpsc::Sender<Question>>, usize) {
        let members = self.members();
        let streams = members.by_name.values().filter_map(|member| member.questions.clone());
        (streams.collect(), members.by_name.len())
    }
}

/// Requests that each of so many agents may tell of. One alone, and each of a few, tells of as many as are shown.
fn share(agents: usize) -> usize {
    (MOST_SENT / agents.max(1)).clamp(1, REQUESTS)
}

fn newest(answers: Vec<Vec<TriedRequest>>) -> Vec<TriedRequest> {
    let mut all: Vec<TriedRequest> = answers.into_iter().flatten().collect();
    all.sort_by_key(|request| request.age);
    all.truncate(REQUESTS);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_agents_together_send_a_bounded_number() {
        for (agents, each) in [(0, 50), (1, 50), (40, 50), (100, 20), (2_000, 1), (1_000_000, 1)] {
            assert_eq!(share(agents), each, "{agents}");
        }
    }

    #[test]
    fn the_newest_of_all_agents_are_shown() {
        let request = |path: &str, ms: u64| TriedRequest {
            method: "GET".into(),
            path: path.into(),
            matches: false,
            age: Duration::from_millis(ms),
        };
        let of = |agent: &str, ages: std::ops::Range<u64>| -> Vec<TriedRequest> {
            ages.map(|i| request(&format!("/{agent}{i}"), i * 10)).collect()
        };
        let all = newest(vec![of("a", 0..50), of("b", 3..50), Vec::new()]);
        let paths: Vec<&str> = all.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(paths[..7], ["/a0", "/a1", "/a2", "/a3", "/b3", "/a4", "/b4"]);
        assert_eq!(all.len(), REQUESTS);
        assert!(all.is_sorted_by_key(|request| request.age));
    }
}
