//! Bytes both ways, without looking: upgraded connections and tcp gateways.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::coop::consume_budget;

use crate::buffers::{Buffers, RELAY};
use crate::connection::Client;
use crate::pipes::{Pipe, Pipes};
use crate::stream::{Stream, Wait};
use crate::timer::Watch;

/// How much went through, and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Bytes from the client.
    pub(crate) received: u64,
    /// Bytes to the client.
    pub(crate) sent: u64,
    /// Neither side said anything for too long.
    pub(crate) timed_out: bool,
}

/// Relays until both sides have closed, one breaks, or nothing moves for `patience`. The end of one direction is passed on
/// while the other goes on (half-close).
pub(crate) async fn run(client: &Client, target: &Stream, patience: Duration) -> Moved {
    let (received, sent) = (Cell::new(0), Cell::new(0));
    client.watch.set(patience);
    client.stream.keep_alive();
    target.keep_alive();
    let result = {
        let way = |from, to, moved| Way {
            from,
            to,
            watch: &client.watch,
            patience,
            buffers: &client.worker.buffers,
            pipes: &client.worker.pipes,
            moved,
        };
        let (up, down) = (way(&client.stream, target, &received), way(target, &client.stream, &sent));
        let (mut up, mut down) = (pin!(up.run()), pin!(down.run()));
        let (mut up_open, mut down_open) = (true, true);
        poll_fn(|context| {
            if up_open && let Poll::Ready(result) = up.as_mut().poll(context) {
                up_open = false;
                if result.is_err() {
                    return Poll::Ready(result);
                }
            }
            if down_open && let Poll::Ready(result) = down.as_mut().poll(context) {
                down_open = false;
                if result.is_err() {
                    return Poll::Ready(result);
                }
            }
            if up_open || down_open { Poll::Pending } else { Poll::Ready(Ok(())) }
        })
        .await
    };
    let timed_out = matches!(result, Err(Wait::TimedOut));
    if result.is_err() {
        // One side broke: the other must not take what it got for a clean end.
        client.stream.reset_on_close();
        target.reset_on_close();
    }
    Moved { received: received.get(), sent: sent.get(), timed_out }
}

/// One direction.
pub(crate) struct Way<'a> {
    pub(crate) from: &'a Stream,
    pub(crate) to: &'a Stream,
    pub(crate) watch: &'a Watch,
    pub(crate) patience: Duration,
    pub(crate) buffers: &'a Rc<Buffers>,
    pub(crate) pipes: &'a Rc<Pipes>,
    /// Bytes that went through.
    pub(crate) moved: &'a Cell<u64>,
}

/// How a burst ended: a time in which there was always something to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Burst {
    /// There is more, or may be.
    Goes,
    /// Nothing more now.
    Over,
    /// Nothing more ever.
    End,
}

/// A burst of this size is worth a pipe, and so is the next one after it.
const MUCH: u64 = RELAY as u64;
/// A burst of less was not.
const LITTLE: u64 = MUCH / 4;

/// Whether to expect a burst of many bytes, by what was expected of the last one and what came.
fn is_bulk(bulk: bool, came: u64) -> bool {
    came >= if bulk { LITTLE } else { MUCH }
}

impl Way<'_> {
    /// Moves bytes until the end of them, which is passed on.
    ///
    /// Small bursts are copied: a read and a write of a few bytes that are in the cache cost less than to have pages handed on. Where
    /// much comes, and nothing has to be encrypted, the system moves it through a pipe.
    pub(crate) async fn run(&self) -> Result<(), Wait> {
        let movable = self.from.tls().is_none() && self.to.tls().is_none();
        let (mut bulk, mut came) = (false, 0);
        loop {
            self.from.readable(self.watch).await?;
            let before = self.moved.get();
            let burst = match if bulk { self.pipes.lend() } else { None } {
                Some(pipe) => self.splice(pipe).await?,
                None => self.copy(movable).await?,
            };
            came += self.moved.get() - before;
            match burst {
                Burst::End => {
                    self.to.shutdown_write();
                    return Ok(());
                }
                Burst::Goes => bulk = movable && (bulk || is_bulk(bulk, came)),
                Burst::Over => {
                    bulk = movable && is_bulk(bulk, came);
                    came = 0;
                }
            }
        }
    }

    /// Copies what comes; if `briefly`, no more than one buffer.
    async fn copy(&self, briefly: bool) -> Result<Burst, Wait> {
        let mut buffer = self.buffers.lend();
        loop {
            consume_budget().await;
            let read = match self.from.try_read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Burst::Over),
                Err(error) => return Err(error.into()),
                Ok(0) => return Ok(Burst::End),
                Ok(read) => read,
            };
            self.watch.set(self.patience);
            self.to.write_all(&buffer[..read], self.watch, self.patience).await?;
            self.moved.set(self.moved.get() + read as u64);
            match read < buffer.len() {
                true => return Ok(Burst::Over),
                false if briefly => return Ok(Burst::Goes),
                false => {}
            }
        }
    }

    /// Has the system move what comes.
    async fn splice(&self, mut pipe: Pipe) -> Result<Burst, Wait> {
        loop {
            consume_budget().await;
            match self.from.socket.try_fill(&mut pipe) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Burst::Over),
                Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Burst::Goes),
                Err(error) => return Err(error.into()),
                Ok(0) => return Ok(Burst::End),
                Ok(_) => {}
            }
            self.watch.set(self.patience);
            let sent = |bytes| self.moved.set(self.moved.get() + bytes as u64);
            self.to.drain(&mut pipe, self.watch, self.patience, sent).await?;
        }
    }
}

#[cfg(test)]
mod tests;
