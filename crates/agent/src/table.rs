//! Tables on the way: what is sent for a change, and how it is put together again. Pure.
//!
//! A gateway travels as JSON and is kept as it came, so that both ends, and the disk, compute the same digests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use model::name::GatewayName;
use routing::config::{GatewayConfig, RoutingConfig};
use sha2::{Digest as _, Sha256};

use crate::proto;

/// SHA-256.
pub(crate) type Digest = [u8; 32];

/// Bytes of JSON in one part: small enough that beats are not held up behind it.
const PART_BYTES: usize = 256 * 1024;
/// Bytes of JSON that a table may have: far more than any has, and less than would hurt.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// A gateway ready to be sent.
#[derive(Debug, Clone)]
struct Piece {
    config: Arc<GatewayConfig>,
    json: Bytes,
    digest: Digest,
}

/// A table ready to be sent, to any number of agents.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    pub(crate) revision: u64,
    pub(crate) digest: Digest,
    gateways: BTreeMap<GatewayName, Piece>,
}

impl Encoded {
    /// Only what is new or changed since `previous` is written anew.
    pub(crate) fn new(config: &RoutingConfig, previous: &Self) -> Self {
        let piece = |(name, config): (&GatewayName, &Arc<GatewayConfig>)| {
            let known = previous
                .gateways
                .get(name)
                .filter(|known| Arc::ptr_eq(&known.config, config) || known.config == *config);
            let piece = known.cloned().unwrap_or_else(|| {
                // Plain data with text keys: there is nothing that JSON could not say.
                let json = Bytes::from(serde_json::to_vec(config).unwrap_or_default());
                Piece { config: Arc::clone(config), digest: Sha256::digest(&json).into(), json }
            });
            (name.clone(), piece)
        };
        let gateways: BTreeMap<_, _> = config.gateways.iter().map(piece).collect();
        let digest = digest(gateways.iter().map(|(name, piece)| (name, &piece.digest)));
        Self { revision: config.revision, digest, gateways }
    }

    /// What an agent is sent that has `base`, or nothing that is known here: one part at least.
    pub(crate) fn parts(&self, base: Option<&Self>) -> VecDeque<proto::Table> {
        let empty = BTreeMap::new();
        let known = base.map_or(&empty, |base| &base.gateways);
        let fresh =
            || proto::Table { revision: self.revision, full: base.is_none(), ..proto::Table::default() };
        let mut parts = VecDeque::from([fresh()]);
        let mut bytes = 0;
        let changed = self
            .gateways
            .iter()
            .filter(|(name, piece)| known.get(*name).is_none_or(|known| known.digest != piece.digest));
        for (name, piece) in changed {
            if bytes > 0 && bytes + piece.json.len() > PART_BYTES {
                parts.push_back(fresh());
                bytes = 0;
            }
            bytes += piece.json.len();
            if let Some(part) = parts.back_mut() {
                part.changed.push(proto::Gateway { name: name.to_string(), config: piece.json.clone() });
            }
        }
        if let Some(last) = parts.back_mut() {
            last.removed = known
                .keys()
                .filter(|name| !self.gateways.contains_key(*name))
                .map(ToString::to_string)
                .collect();
            last.digest = Bytes::copy_from_slice(&self.digest);
            last.last = true;
        }
        parts
    }
}

/// Equal digests are equal tables, apart from the revision.
fn digest<'a>(gateways: impl Iterator<Item = (&'a GatewayName, &'a Digest)>) -> Digest {
    let mut hash = Sha256::new();
    for (name, digest) in gateways {
        hash.update((name.as_str().len() as u64).to_be_bytes());
        hash.update(name.as_str());
        hash.update(digest);
    }
    hash.finalize().into()
}

/// A gateway as it came.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    json: Bytes,
    digest: Digest,
    /// What is served: of an earlier table while this version of Vamp cannot read the newest.
    config: Option<Arc<GatewayConfig>>,
    problem: Option<String>,
}

/// A whole table on an agent.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Table {
    pub(crate) revision: u64,
    pub(crate) digest: Digest,
    /// What the proxy gets.
    pub(crate) config: Arc<RoutingConfig>,
    /// Gateways that this version of Vamp cannot read.
    pub(crate) problems: Vec<(GatewayName, String)>,
    gateways: BTreeMap<GatewayName, Held>,
}

/// A table that cannot be what was sent. What is in force stays, and all of it is asked for again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TableError {
    #[error("the table of revision {0} is not the one that was sent")]
    Digest(u64),
    #[error("'{name}' is no name for a gateway: {reason}")]
    Name { name: String, reason: String },
    #[error("the part of a table of revision {part} came amid that of revision {amid}")]
    Mixed { part: u64, amid: u64 },
    #[error("the table of revision {0} is larger than {MOST_BYTES} bytes")]
    Size(u64),
}

impl Table {
    /// A table from the gateways' JSON, as it is on disk.
    pub(crate) fn read<'a>(
        revision: u64,
        gateways: impl Iterator<Item = (&'a str, Bytes)>,
    ) -> Result<Self, TableError> {
        let mut all = BTreeMap::new();
        for (name, json) in gateways {
            all.insert(parse(name)?, json);
        }
        Ok(Self::default().next(revision, true, all, &BTreeSet::new()))
    }

    /// The gateways as they came.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = (&GatewayName, &Bytes)> {
        self.gateways.iter().map(|(name, held)| (name, &held.json))
    }

    fn next(
        &self,
        revision: u64,
        full: bool,
        changed: BTreeMap<GatewayName, Bytes>,
        removed: &BTreeSet<GatewayName>,
    ) -> Self {
        let mut gateways = BTreeMap::new();
        if !full {
            let stays = |name: &GatewayName| !removed.contains(name) && !changed.contains_key(name);
            gateways.extend(
                self.gateways
                    .iter()
                    .filter(|(name, _)| stays(name))
                    .map(|(n, held)| (n.clone(), held.clone())),
            );
        }
        for (name, json) in changed {
            let held = Held::read(&name, json, self.gateways.get(&name));
            gateways.insert(name, held);
        }
        let digest = digest(gateways.iter().map(|(name, held)| (name, &held.digest)));
        let problems =
            gateways.iter().filter_map(|(name, held)| Some((name.clone(), held.problem.clone()?))).collect();
        let served = gateways.iter().filter_map(|(name, held)| Some((name.clone(), held.config.clone()?)));
        let config = Arc::new(RoutingConfig { revision, gateways: served.collect() });
        Self { revision, digest, config, problems, gateways }
    }
}

impl Held {
    fn read(name: &GatewayName, json: Bytes, before: Option<&Self>) -> Self {
        let digest: Digest = Sha256::digest(&json).into();
        if let Some(same) = before.filter(|before| before.digest == digest) {
            return same.clone();
        }
        let read = serde_json::from_slice::<GatewayConfig>(&json)
            .map_err(|error| error.to_string())
            .and_then(|config| {
                let named = config.name == *name;
                if named { Ok(Arc::new(config)) } else { Err(format!("it calls itself '{}'", config.name)) }
            });
        match read {
            Ok(config) => Self { json, digest, config: Some(config), problem: None },
            Err(reason) => Self {
                json,
                digest,
                config: before.and_then(|before| before.config.clone()),
                problem: Some(format!(
                    "this version of Vamp ({}) cannot read what the controller sends ({reason}); upgrade the agent",
                    env!("CARGO_PKG_VERSION")
                )),
            },
        }
    }
}

fn parse(name: &str) -> Result<GatewayName, TableError> {
    GatewayName::parse(name).map_err(|reason| TableError::Name { name: name.to_owned(), reason })
}

/// Puts parts together.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    arriving: Option<Arriving>,
}

#[derive(Debug)]
struct Arriving {
    revision: u64,
    full: bool,
    bytes: usize,
    changed: BTreeMap<GatewayName, Bytes>,
    removed: BTreeSet<GatewayName>,
}

impl Assembler {
    /// Takes a part; with the last one, the table that follows on `base`.
    pub(crate) fn take(&mut self, part: proto::Table, base: &Table) -> Result<Option<Table>, TableError> {
        let mut arriving = self.arriving.take().unwrap_or_else(|| Arriving {
            revision: part.revision,
            full: part.full,
            bytes: 0,
            changed: BTreeMap::new(),
            removed: BTreeSet::new(),
        });
        let revision = arriving.revision;
        if part.revision != revision || part.full != arriving.full {
            return Err(TableError::Mixed { part: part.revision, amid: revision });
        }
        for gateway in part.changed {
            arriving.bytes += gateway.name.len() + gateway.config.len();
            arriving.changed.insert(parse(&gateway.name)?, gateway.config);
        }
        for name in part.removed {
            arriving.bytes += name.len();
            arriving.removed.insert(parse(&name)?);
        }
        if arriving.bytes > MOST_BYTES {
            return Err(TableError::Size(revision));
        }
        if !part.last {
            self.arriving = Some(arriving);
            return Ok(None);
        }
        let table = base.next(revision, arriving.full, arriving.changed, &arriving.removed);
        if table.digest[..] == part.digest[..] { Ok(Some(table)) } else { Err(TableError::Digest(revision)) }
    }
}

#[cfg(test)]
pub(crate) mod tests;
