//! How much goes where. Sizes are in bytes of JSON, escapes counted.
//!
//! The API server takes objects of up to 1.5 MB (etcd's limit for one request). What it adds itself, such as managed fields, is a few
//! hundred bytes for these objects, so 768 KiB of body leave room to spare.

use std::time::Duration;

/// Largest body of an object.
pub(super) const OBJECT: usize = 768 << 10;

/// Most that commits take in the head. Each commit sends the head whole, so this bounds what a small commit costs while
/// folding is behind; a commit that does not fit is kept in parts. A first look at a large environment makes commits of
/// 200-400 KB each.
pub(super) const JOURNAL: usize = 384 << 10;

/// When the journal takes more than this, folding does not wait for more.
pub(super) const EAGER: usize = 64 << 10;

/// Most objects that one commit is cut into: 12 MiB. More than an API request may bring.
pub(super) const PARTS: usize = 16;

/// Most such objects that wait for folding: 24 MiB. After that a commit waits.
pub(super) const PARTS_WAITING: usize = 32;

/// Largest event. It shares a chunk with up to [`CHUNK`] of others.
pub(super) const EVENT: usize = 512 << 10;

/// A chunk of events that takes more is not added to. Every fold writes the last chunk anew, so it is small; and there are
/// at most [`EVENTS_SIZE`] divided by this of them, so it is not too small.
pub(super) const CHUNK: usize = 64 << 10;

/// Most events that are kept, whatever the retention says: a few weeks of a busy environment. They are all in memory.
pub(super) const EVENTS: usize = 10_000;

/// Most room for events, in the cluster and about as much in memory. etcd holds 2 GB by default, for everybody.
pub(super) const EVENTS_SIZE: usize = 8 << 20;

/// How long an object stays after its record is deleted, marked as deleted. A writer that lost its place and is late cannot
/// bring the record back meanwhile. No request lives this long: the API server ends all of them after a minute.
pub(super) const TOMBSTONE: Duration = Duration::from_secs(3600);

/// Objects that are written at the same time while folding. Few, so that commits, which somebody waits for, are not held up by it.
pub(super) const PARALLEL: usize = 4;
