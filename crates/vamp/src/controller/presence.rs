//! Which agents there are, as far as the cluster shows it: an agent is a pod.
//!
//! ```text
//! pods of the environment --> ready ones the first time, and whoever turns ready:  Fleet::expect
//!                         --> those that are there no more:                        Fleet::forget
//!                         --> all are known:                                       Control::proxies_known
//! ```
//!
//! A leader that has just begun waits for the agents of its predecessor this way, instead of calling a change applied because nobody
//! has come yet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agent::Fleet;
use control::Control;
use kubernetes::MARK;
use kubernetes::access::manifests::AGENT;
use model::instance::{InstanceKind, Observation};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// How often it is looked whether an agent whose pod is gone has lost its stream too.
const LOOK: Duration = Duration::from_secs(1);

/// The pods of agents, by name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Pods {
    /// All that there are.
    all: BTreeSet<String>,
    /// Those that serve.
    ready: BTreeSet<String>,
}

impl Pods {
    fn of(observation: &Observation, namespace: &str) -> Self {
        let mut pods = Self::default();
        for instance in observation.instances.iter() {
            let is_agent = instance.kind == InstanceKind::Pod
                && instance.namespace == namespace
                && instance.labels.get(MARK).is_some_and(|value| value == AGENT);
            if is_agent {
                pods.all.insert(instance.name.clone());
                if instance.ready {
                    pods.ready.insert(instance.name.clone());
                }
            }
        }
        pods
    }
}

/// Keeps the fleet in step with the pods. `only_pods`: nothing else can be an agent here. Never ends while there is an observation.
pub(super) async fn follow(
    mut observation: watch::Receiver<Arc<Observation>>,
    namespace: String,
    fleet: Arc<Fleet>,
    control: Control,
    only_pods: bool,
) {
    // Agents that cannot be seen have come by then, or count as lost as they would under the leader before.
    let settled = Instant::now() + fleet.patience();
    let mut known = false;
    let mut pods = Pods::default();
    let mut gone: BTreeSet<String> = BTreeSet::new();
    loop {
        let seen = observation.borrow_and_update().clone();
        if seen.complete {
            let now = Pods::of(&seen, &namespace);
            now.ready.difference(&pods.ready).for_each(|name| fleet.expect(name));
            gone.extend(pods.all.difference(&now.all).cloned());
            gone.retain(|name| !now.all.contains(name));
            pods = now;
        }
        gone.retain(|name| !fleet.forget(name));
        if !known && (Instant::now() >= settled || (seen.complete && only_pods)) {
            known = true;
            control.proxies_known(true);
        }
        tokio::select! {
            changed = observation.changed() => if changed.is_err() {
                return;
            },
            () = sleep_until(settled), if !known => {}
            () = sleep(LOOK), if !gone.is_empty() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::instance::Instance;

    use super::*;

    fn pod(namespace: &str, name: &str, mark: &str, ready: bool) -> Arc<Instance> {
        Arc::new(Instance {
            kind: InstanceKind::Pod,
            namespace: namespace.into(),
            name: name.into(),
            labels: BTreeMap::from([(MARK.to_owned(), mark.to_owned())]),
            ip: None,
            ready,
            exists: true,
            containers: Vec::new(),
        })
    }

    #[test]
    fn agents_are_the_pods_with_their_label_in_the_namespace() {
        let observation = Observation {
            instances: Arc::new(vec![
                pod("shop", "agent-1", AGENT, true),
                pod("shop", "agent-2", AGENT, false),
                pod("shop", "cart", "something", true),
                pod("other", "agent-3", AGENT, true),
            ]),
            problem: None,
            complete: true,
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let expected = Pods { all: names(&["agent-1", "agent-2"]), ready: names(&["agent-1"]) };
        assert_eq!(Pods::of(&observation, "shop"), expected);
    }
}
