//! Memory of one request, kept for the next one.

use crate::h1::head::{Bounds, Progress, Refusal, Request, Response};

/// Memory that a request needs, borrowed from the worker.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// What was read from the client.
    pub(crate) inbox: Vec<u8>,
    /// How much of it.
    pub(crate) have: usize,
    /// How much of that the current request took.
    pub(crate) used: usize,
    /// Read from the client beyond the request while its body was relayed.
    pub(crate) spill: Vec<u8>,
    pub(crate) request: Request,
    pub(crate) response: Response,
    /// The request as it is sent to a target: head, and as much of the body as was read with the head.
    pub(crate) out: Vec<u8>,
    /// The response head as it is sent to the client.
    pub(crate) head: Vec<u8>,
    /// The request head, when it came over HTTP/2.
    pub(crate) lines: Vec<u8>,
    /// The response head, when it came over HTTP/2.
    pub(crate) reply: Vec<u8>,
    /// Targets of the route that failed for this request.
    pub(crate) failed: Vec<usize>,
}

/// Enough for nearly every head; grows up to the limit for others.
const INBOX: usize = 16 * 1024;

impl Default for Scratch {
    fn default() -> Self {
        Self {
            inbox: vec![0; INBOX],
            have: 0,
            used: 0,
            spill: Vec::new(),
            request: Request::default(),
            response: Response::default(),
            out: Vec::new(),
            head: Vec::new(),
            lines: Vec::new(),
            reply: Vec::new(),
            failed: Vec::new(),
        }
    }
}

impl Scratch {
    /// Bytes read and not yet taken.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.inbox[..self.have]
    }

    /// Where to read to; grows up to `limit` bytes.
    pub(crate) fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.have == self.inbox.len() && self.inbox.len() < limit + 1 {
            self.inbox.resize((self.inbox.len() * 2).min(limit + 1), 0);
        }
        &mut self.inbox[self.have..]
    }

    pub(crate) fn filled(&mut self, bytes: usize) {
        self.have += bytes;
    }

    pub(crate) fn parse(&mut self, bounds: Bounds) -> Result<Progress, Refusal> {
        self.request.parse(&self.inbox[..self.have], bounds)
    }

    /// Drops the finished request. True when the next one is already here, at least in part.
    pub(crate) fn advance(&mut self) -> bool {
        self.inbox.copy_within(self.used..self.have, 0);
        self.have -= self.used;
        self.used = 0;
        if !self.spill.is_empty() {
            let end = self.have + self.spill.len();
            if self.inbox.len() < end {
                self.inbox.resize(end, 0);
            }
            self.inbox[self.have..end].copy_from_slice(&self.spill);
            self.have = end;
            self.spill.clear();
        }
        self.have > 0
    }

    /// Makes it ready for another connection.
    pub(crate) fn reset(&mut self) {
        self.have = 0;
        self.used = 0;
        self.spill.clear();
        if self.inbox.len() > INBOX {
            self.inbox.truncate(INBOX);
            self.inbox.shrink_to_fit();
        }
        for buffer in [&mut self.spill, &mut self.out, &mut self.head, &mut self.lines, &mut self.reply] {
            buffer.clear();
            buffer.shrink_to(4 * INBOX);
        }
    }
}
