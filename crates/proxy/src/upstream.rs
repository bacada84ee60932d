//! Connections to targets: made on demand, kept for reuse by the worker that made them, last in first out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::stream::Stream;

/// Idle connections of a worker.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<Destination, Vec<Idle>, BuildHasherDefault<AddressHasher>>>,
    size: usize,
    timeout: Duration,
}

/// What a connection leads to: requests to another must not take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Destination {
    pub(crate) address: SocketAddr,
    /// Whom it was made for to trust, and by what name; 0 without TLS.
    pub(crate) tls: u64,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(size: usize, timeout: Duration) -> Self {
        Self { idle: RefCell::default(), size, timeout }
    }

    /// The most recently used connection that still looks alive.
    pub(crate) fn take(&self, to: Destination) -> Option<Stream> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(&to)?;
        while let Some(Idle { stream, .. }) = list.pop() {
            // Closed by the target, or it says something that nobody asked for: either way not usable.
            if stream.is_quiet() {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection whose last exchange ended cleanly.
    pub(crate) fn put(&self, to: Destination, stream: Stream) {
        let mut idle = self.idle.borrow_mut();
        let list = idle.entry(to).or_default();
        if list.len() < self.size {
            list.push(Idle { stream, since: Instant::now() });
        }
    }

    /// Drops what is too old or was closed by its target. How many are left.
    pub(crate) fn sweep(&self) -> usize {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, list| {
            list.retain(|idle| idle.since.elapsed() < self.timeout && idle.stream.is_quiet());
            !list.is_empty()
        });
        idle.values().map(Vec::len).sum()
    }

    /// Drops all. How many there were.
    pub(crate) fn clear(&self) -> usize {
        let idle = std::mem::take(&mut *self.idle.borrow_mut());
        idle.values().map(Vec::len).sum()
    }
}

/// Addresses are few and not chosen by clients: a multiplication does.
#[derive(Debug, Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}
