//! Bytes both ways, without looking: upgraded connections and tcp gateways.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::coop::consume_budget;

use crate::connection::Client;
use crate::stream::{Stream, Wait};

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
        let mut up = pin!(one_way(client, &client.stream, target, patience, &received));
        let mut down = pin!(one_way(client, target, &client.stream, patience, &sent));
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

async fn one_way(
    client: &Client,
    from: &Stream,
    to: &Stream,
    patience: Duration,
    moved: &Cell<u64>,
) -> Result<(), Wait> {
    loop {
        from.readable(&client.watch).await?;
        let mut buffer = client.worker.buffers.lend();
        loop {
            consume_budget().await;
            let read = match from.try_read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
                Ok(0) => {
                    to.shutdown_write();
                    return Ok(());
                }
                Ok(read) => read,
            };
            client.watch.set(patience);
            to.write_all(&buffer[..read], &client.watch, patience).await?;
            moved.set(moved.get() + read as u64);
            if read < buffer.len() {
                break;
            }
        }
    }
}
