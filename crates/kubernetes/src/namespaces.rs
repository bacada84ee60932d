//! Environments and namespaces: each environment is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::connect::Cluster;
use crate::follow::{Follower, Update};
use crate::object::{Metadata, Object};

/// Namespaces with this label are environments, whatever its value; `false` says that one is none.
pub const ENVIRONMENT_LABEL: &str = "vamp.io/environment";

/// What the namespaces of environments with an organisation begin with.
const PREFIX: &str = "vampio-";

/// Updates that may wait.
const QUEUE: usize = 64;

/// Everything is read anew this often, should an event ever be missed.
const RESYNC: Duration = Duration::from_secs(600);

/// The environment that a namespace is: `vampio-acme-prod` is `prod` of the organisation `acme`, any other namespace an
/// environment of its own name.
pub fn environment(namespace: &str) -> (Option<&str>, &str) {
    let parts = namespace.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
    match parts {
        Some((organisation, name)) if !organisation.is_empty() && !name.is_empty() => {
            (Some(organisation), name)
        }
        _ => (None, namespace),
    }
}

/// Namespaces that are environments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Their names; `None` until they were read for the first time.
    pub namespaces: Option<Arc<BTreeSet<String>>>,
    /// Why they cannot be read at the moment. What was last known stays.
    pub problem: Option<String>,
}

/// Follows the namespaces that are environments. Ends when dropped.
#[derive(Debug)]
pub struct Namespaces {
    found: watch::Receiver<Found>,
    _tasks: JoinSet<()>,
}

impl Namespaces {
    /// Begins to follow, inside the present runtime. Needs the right to read namespaces, which holds in the whole cluster.
    pub fn follow(cluster: &Cluster) -> Self {
        let (updates, received) = mpsc::channel(QUEUE);
        let (sender, found) = watch::channel(Found::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(
            Follower::<Namespace, bool> {
                client: cluster.client.clone(),
                namespace: None,
                fallback: String::new(),
                resync: RESYNC,
                row: |namespace| namespace.is_environment(),
                updates,
                failures: 0,
                problem: None,
            }
            .run(),
        );
        tasks.spawn(collect(received, sender));
        Self { found, _tasks: tasks }
    }

    /// Which there are; always the newest.
    pub fn found(&self) -> watch::Receiver<Found> {
        self.found.clone()
    }
}

async fn collect(mut updates: mpsc::Receiver<Update<bool>>, found: watch::Sender<Found>) {
    let mut known: Option<BTreeMap<String, bool>> = None;
    let mut problem = None;
    while let Some(update) = updates.recv().await {
        match (update, &mut known) {
            (Update::Complete(all), _) => {
                known = Some(all.into_iter().map(|((_, name), is)| (name, is)).collect());
                problem = None;
            }
            (Update::Set((_, name), is), Some(known)) => drop(known.insert(name, is)),
            (Update::Remove((_, name)), Some(known)) => drop(known.remove(&name)),
            (Update::Set(..) | Update::Remove(_), None) => {}
            (Update::Problem(message), _) => problem = Some(message),
            (Update::Fine, _) => problem = None,
        }
        let names = |all: &BTreeMap<String, bool>| {
            all.iter().filter(|(_, is)| **is).map(|(name, _)| name.clone()).collect::<BTreeSet<_>>()
        };
        let now = Found { namespaces: known.as_ref().map(names).map(Arc::new), problem: problem.clone() };
        found.send_if_modified(|shown| {
            let different = *shown != now;
            if different {
                *shown = now;
            }
            different
        });
    }
}

/// Of `v1 Namespace`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Namespace {
    metadata: Metadata,
}

impl Namespace {
    /// One that is being deleted is none any more.
    fn is_environment(&self) -> bool {
        self.metadata.deletion_timestamp.is_none()
            && self.metadata.labels.get(ENVIRONMENT_LABEL).is_some_and(|value| value != "false")
    }
}

impl Object for Namespace {
    const RESOURCE: &'static str = "namespaces";
    const FIELD_SELECTOR: Option<&'static str> = None;
    const LABEL_SELECTOR: Option<&'static str> = Some(ENVIRONMENT_LABEL);
    const NAMESPACED: bool = false;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_is_an_environment() {
        for (namespace, organisation, name) in [
            ("shop", None, "shop"),
            ("vampio-acme-prod", Some("acme"), "prod"),
            ("vampio-organization-environment", Some("organization"), "environment"),
            ("vampio-acme-prod-eu", Some("acme"), "prod-eu"),
            ("vampio-acme", None, "vampio-acme"),
            ("vampio-", None, "vampio-"),
            ("vampio--prod", None, "vampio--prod"),
            ("my-vampio-a-b", None, "my-vampio-a-b"),
        ] {
            assert_eq!(environment(namespace), (organisation, name), "{namespace}");
        }
    }

    #[test]
    fn the_label_says_which() {
        for (metadata, is) in [
            (json!({"labels": {ENVIRONMENT_LABEL: "true"}}), true),
            (json!({"labels": {ENVIRONMENT_LABEL: ""}}), true),
            (json!({"labels": {ENVIRONMENT_LABEL: "false"}}), false),
            (json!({"labels": {"a": "b"}}), false),
            (json!({"labels": {ENVIRONMENT_LABEL: ""}, "deletionTimestamp": "2026-01-01T00:00:00Z"}), false),
        ] {
            let namespace: Namespace = serde_json::from_value(json!({"metadata": metadata})).unwrap();
            assert_eq!(namespace.is_environment(), is, "{metadata}");
        }
    }
}
