//! Buffers on loan. A connection that waits owns none; the last one returned is the next one lent, so that a busy worker
//! moves all its traffic through a few pages that stay in the cache.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Size of a relay buffer.
pub(crate) const RELAY: usize = 64 * 1024;
/// Buffers kept for the next loan (4 MiB for each worker); more are given back to the system.
const KEPT: usize = 64;

/// The relay buffers of a worker.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: RefCell<Vec<Box<[u8]>>>,
}

/// A buffer that goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Loan {
    buffers: Rc<Buffers>,
    bytes: Box<[u8]>,
}

impl Buffers {
    /// Lends a buffer of [`RELAY`] bytes with arbitrary content.
    pub(crate) fn lend(self: &Rc<Self>) -> Loan {
        let bytes = self.free.borrow_mut().pop();
        Loan { buffers: Rc::clone(self), bytes: bytes.unwrap_or_else(|| vec![0; RELAY].into_boxed_slice()) }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut free = self.buffers.free.borrow_mut();
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Loan {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}
