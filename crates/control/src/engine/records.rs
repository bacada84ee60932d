//! State to store records and back.
//!
//! ```text
//! kind                 body
//! gateways             the declared part, as written
//! gateway-states       the live part: weights, conditions, port, hosts
//! gateway-sightings    targets and absent routes
//! gateway-mirrors      which object outside shows the gateway, and what both had last
//! conditions, ...      passive artifacts
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use model::artifact::{Artifact, ArtifactKind};
use model::gateway::{GatewaySpec, Mirror};
use model::name::GatewayName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::{Commit, Delete, Expect, Loaded, Put, Record};

use super::control::StartError;
use crate::plan::Plan;
use crate::state::{Gateway, Sighting, State, StoredMirror, Written};
use crate::view::StoredArtifact;

const DECLARED: &str = "gateways";
const LIVE: &str = "gateway-states";
const SIGHTED: &str = "gateway-sightings";
const MIRRORED: &str = "gateway-mirrors";

/// What a commit writes of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts {
    declared: bool,
    live: bool,
    sighted: bool,
}

impl Parts {
    fn different(before: &Gateway, after: &Gateway) -> Self {
        fn differs<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
            !Arc::ptr_eq(a, b) && a != b
        }
        Self {
            declared: differs(&before.declared, &after.declared),
            live: differs(&before.live, &after.live),
            sighted: differs(&before.sighted, &after.sighted),
        }
    }

    const ALL: Self = Self { declared: true, live: true, sighted: true };
}

/// The commit that makes `stored` into the state of `plan`. Every record that it touches must still be as it is in `stored`.
pub(crate) fn commit(stored: &State, plan: &Plan) -> Commit {
    let mut commit = Commit { events: plan.events.clone(), ..Commit::default() };
    for name in &plan.gateways {
        match (stored.gateways.get(name), plan.state.gateways.get(name)) {
            (Some(before), Some(after)) => {
                put_gateway(&mut commit, name, after, Parts::different(before, after), before.written);
            }
            (None, Some(after)) => put_gateway(&mut commit, name, after, Parts::ALL, Written::default()),
            (Some(before), None) => {
                let written = before.written;
                for (kind, version) in
                    [(DECLARED, written.declared), (LIVE, written.live), (SIGHTED, written.sighted)]
                {
                    let expect = expect(version);
                    commit.deletes.push(Delete { kind: kind.into(), name: name.as_str().into(), expect });
                }
            }
            (None, None) => {}
        }
    }
    for key in &plan.artifacts {
        let version = stored.artifacts.get(key).map_or(0, |stored| stored.version);
        let (kind, name, expect) = (key.0.as_str().to_owned(), key.1.clone(), expect(version));
        match plan.state.artifacts.get(key) {
            Some(after) => commit.puts.push(Put { kind, name, body: after.artifact.to_json(), expect }),
            None if version != 0 => commit.deletes.push(Delete { kind, name, expect }),
            None => {}
        }
    }
    for name in &plan.mirrors {
        let version = stored.mirrors.get(name).map_or(0, |stored| stored.version);
        let (kind, record, expect) = (MIRRORED.to_owned(), name.as_str().to_owned(), expect(version));
        match plan.state.mirrors.get(name) {
            Some(after) => {
                let body = after.mirror.to_stored();
                commit.puts.push(Put { kind, name: record, body, expect });
            }
            None if version != 0 => commit.deletes.push(Delete { kind, name: record, expect }),
            None => {}
        }
    }
    commit
}

/// The state of `plan` once its commit made `revision`.
pub(crate) fn committed(stored: &State, plan: &mut Plan, revision: u64) {
    for name in &plan.gateways {
        let Some(after) = plan.state.gateways.get_mut(name) else { continue };
        let before = stored.gateways.get(name);
        let parts = before.map_or(Parts::ALL, |before| Parts::different(before, after));
        let earlier = before.map_or_else(Written::default, |before| before.written);
        let version = |changed: bool, earlier: u64| if changed { revision } else { earlier };
        after.written = Written {
            declared: version(parts.declared, earlier.declared),
            live: version(parts.live, earlier.live),
            sighted: version(parts.sighted, earlier.sighted),
        };
    }
    for key in &plan.artifacts {
        if let Some(stored) = plan.state.artifacts.get_mut(key) {
            Arc::make_mut(stored).version = revision;
        }
    }
    for name in &plan.mirrors {
        if let Some(stored) = plan.state.mirrors.get_mut(name) {
            Arc::make_mut(stored).version = revision;
        }
    }
    plan.state.revision = revision;
}

fn put_gateway(commit: &mut Commit, name: &GatewayName, gateway: &Gateway, parts: Parts, written: Written) {
    let mut put = |kind: &str, body: Value, version| {
        commit.puts.push(Put {
            kind: kind.into(),
            name: name.as_str().into(),
            body,
            expect: expect(version),
        });
    };
    if parts.declared {
        put(DECLARED, gateway.declared.to_stored(), written.declared);
    }
    if parts.live {
        put(LIVE, json(&*gateway.live), written.live);
    }
    if parts.sighted {
        put(SIGHTED, json(&*gateway.sighted), written.sighted);
    }
}

fn json(part: &impl Serialize) -> Value {
    serde_json::to_value(part).expect("plain data with text keys becomes JSON")
}

fn expect(version: u64) -> Expect {
    if version == 0 { Expect::Absent } else { Expect::Version(version) }
}

/// Reads everything that is stored. Records of other kinds belong to somebody else and are left alone.
pub(crate) fn load(loaded: &Loaded) -> Result<State, StartError> {
    let mut state = State { revision: loaded.revision, ..State::default() };
    let halves: HashMap<(&str, &str), &Record> = loaded
        .records
        .iter()
        .filter(|record| matches!(&*record.kind, LIVE | SIGHTED))
        .map(|record| ((&*record.kind, &*record.name), record))
        .collect();
    for record in loaded.records.iter().filter(|record| record.kind == DECLARED) {
        let name = GatewayName::parse(&record.name).map_err(|reason| bad(record, reason))?;
        let declared = GatewaySpec::from_stored(&record.body).map_err(|reason| bad(record, reason))?;
        let other = |kind| halves.get(&(kind, &*record.name)).copied();
        let live = other(LIVE).ok_or_else(|| bad(record, format!("its '{LIVE}' record is missing")))?;
        let sighted = other(SIGHTED);
        let gateway = Gateway {
            declared: Arc::new(declared),
            live: Arc::new(read(live)?),
            // Sightings come again by themselves.
            sighted: sighted
                .map_or_else(|| Ok(Arc::new(Sighting::default())), |record| read(record).map(Arc::new))?,
            written: Written {
                declared: record.version,
                live: live.version,
                sighted: sighted.map_or(0, |record| record.version),
            },
        };
        state.gateways.insert(name, gateway);
    }
    for record in &loaded.records {
        let Some(kind) = passive(&record.kind) else { continue };
        let artifact =
            Artifact::from_json(kind, &record.body).map_err(|problems| bad(record, problems.message()))?;
        let stored = StoredArtifact { artifact, version: record.version };
        state.artifacts.insert((kind, record.name.clone()), Arc::new(stored));
    }
    for record in loaded.records.iter().filter(|record| record.kind == MIRRORED) {
        let name = GatewayName::parse(&record.name).map_err(|reason| bad(record, reason))?;
        let mirror = Mirror::from_stored(&record.body).map_err(|reason| bad(record, reason))?;
        state.mirrors.insert(name, Arc::new(StoredMirror { mirror, version: record.version }));
    }
    Ok(state)
}

fn passive(kind: &str) -> Option<ArtifactKind> {
    [ArtifactKind::Conditions, ArtifactKind::Rewrites, ArtifactKind::Routes]
        .into_iter()
        .find(|k| k.as_str() == kind)
}

fn read<T: DeserializeOwned>(record: &Record) -> Result<T, StartError> {
    T::deserialize(&record.body).map_err(|error| bad(record, error.to_string()))
}

fn bad(record: &Record, reason: impl Into<String>) -> StartError {
    StartError::Record { kind: record.kind.clone(), name: record.name.clone(), reason: reason.into() }
}
