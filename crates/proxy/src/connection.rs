//! One client connection: wait for a head without holding a buffer, run the exchange, and again.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::coop::consume_budget;

use crate::exchange::{self, Next};
use crate::h1::head::{Bounds, Progress};
use crate::h2::guard::PREFACE;
use crate::listener::Listener;
use crate::meter::Meter;
use crate::reply::Own;
use crate::scratch::Scratch;
use crate::stream::{Stream, Wait};
use crate::timer::Watch;
use crate::worker::Worker;

/// A client connection and what belongs to it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener: Rc<Listener>,
    pub(crate) stream: Stream,
    pub(crate) watch: Watch,
    pub(crate) peer: SocketAddr,
    /// Of the gateway that it came to.
    meter: Option<Meter>,
    address: AddressText,
}

/// The address of a client as text, written once.
#[derive(Debug)]
struct AddressText {
    bytes: [u8; 46],
    length: u8,
}

impl Client {
    /// Takes over an accepted connection, which counts against its listener from here on.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        listener: &Rc<Listener>,
        stream: Stream,
        peer: SocketAddr,
    ) -> Self {
        let mut address = AddressText { bytes: [0; 46], length: 0 };
        let mut rest: &mut [u8] = &mut address.bytes;
        // The longest address fits.
        let _ = write!(rest, "{}", peer.ip().to_canonical());
        address.length = 46 - rest.len() as u8;
        let meter = listener.meter();
        if let Some(meter) = &meter {
            meter.opened(worker.index);
        }
        Self {
            worker: Rc::clone(worker),
            listener: Rc::clone(listener),
            stream,
            watch: worker.sweeper.watch(listener.group()),
            peer,
            meter,
            address,
        }
    }

    /// The address without port.
    pub(crate) fn address(&self) -> &str {
        std::str::from_utf8(&self.address.bytes[..usize::from(self.address.length)]).unwrap_or_default()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.listener.closed();
        if let Some(meter) = &self.meter {
            meter.closed(self.worker.index);
        }
    }
}

/// Serves a client until one side has enough. What is answered are the first bytes of a client that speaks HTTP/2.
pub(crate) async fn serve(client: &Client) -> Option<Vec<u8>> {
    let mut left_over = None;
    let mut first = true;
    loop {
        let (mut scratch, started) = match next_head(client, left_over.take(), first).await {
            Ok(Head::Http1(scratch, started)) => (scratch, started),
            Ok(Head::Http2(scratch)) => {
                let bytes = scratch.unread().to_vec();
                client.worker.give_back(scratch);
                return Some(bytes);
            }
            Err(None) => return None,
            Err(Some(own)) => {
                Box::pin(exchange::refuse_head(client, own)).await;
                Box::pin(linger(client)).await;
                return None;
            }
        };
        first = false;
        // A client that always has another request ready must not keep others from theirs.
        consume_budget().await;
        // Boxed, though every request pays for that: a connection that waits for its next request keeps the size of all that it may
        // ever run, and most connections wait.
        let next = Box::pin(exchange::run(client, &mut scratch, started)).await;
        match next {
            Next::KeepAlive if scratch.advance() => left_over = Some(scratch),
            Next::KeepAlive => client.worker.give_back(scratch),
            Next::Linger => {
                client.worker.give_back(scratch);
                Box::pin(linger(client)).await;
                return None;
            }
            Next::Close => {
                client.worker.give_back(scratch);
                return None;
            }
        }
    }
}

/// What a client begins with.
enum Head {
    Http1(Box<Scratch>, Instant),
    /// The preface of HTTP/2.
    Http2(Box<Scratch>),
}

/// What the first bytes of a connection are as the preface of HTTP/2 (RFC 9113, 3.4). It may arrive in any pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preface {
    Whole,
    /// So far.
    Begun,
    /// Its first line, and something else after it.
    Broken,
    /// Something else, such as a request of HTTP/1.
    Other,
}

impl Preface {
    fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(PREFACE) {
            Self::Whole
        } else if PREFACE.starts_with(bytes) {
            Self::Begun
        } else if bytes.starts_with(b"PRI *") {
            Self::Broken
        } else {
            Self::Other
        }
    }
}

/// Reads the next head. `Err(None)`: the connection ended between requests.
async fn next_head(
    client: &Client,
    left_over: Option<Box<Scratch>>,
    first: bool,
) -> Result<Head, Option<Own>> {
    let limits = &client.worker.shared.settings.limits;
    let bounds = Bounds { head: limits.head_bytes, target: limits.target_bytes, fields: limits.fields };
    client.watch.set(if first { limits.head_timeout } else { limits.keep_alive_timeout });
    let mut scratch = match left_over {
        Some(scratch) => scratch,
        None => first_bytes(client, first).await.ok_or(None)?,
    };
    let started = Instant::now();
    if !first {
        client.watch.set(limits.head_timeout);
    }
    let mut seen = 0;
    loop {
        let preface = if first { Preface::of(scratch.unread()) } else { Preface::Other };
        match preface {
            Preface::Whole => return Ok(Head::Http2(scratch)),
            Preface::Broken => return Err(Some(Own::bad_request("malformed preface of HTTP/2"))),
            Preface::Begun | Preface::Other => {}
        }
        // A head that trickles in is parsed again only when a line was completed: work stays in proportion to lines.
        let line = seen == 0 || scratch.unread()[seen..].contains(&b'\n');
        if line && preface == Preface::Other {
            match scratch.parse(bounds) {
                Ok(Progress::Complete) => return Ok(Head::Http1(scratch, started)),
                Ok(Progress::Partial) => {}
                Err(refusal) => return Err(Some(refusal.into())),
            }
        }
        seen = scratch.unread().len();
        if seen >= bounds.head {
            return Err(Some(Own::HEAD_TOO_LARGE));
        }
        match client.stream.read(scratch.room(bounds.head), &client.watch).await {
            Ok(0) | Err(Wait::Broken) => return Err(None),
            Ok(read) => scratch.filled(read),
            Err(Wait::TimedOut) => return Err(Some(Own::HEAD_TIMEOUT)),
        }
    }
}

/// Waits for the first bytes of a request. Space is taken only when there is something to read; a new connection is
/// read before it is registered, since most clients speak at once.
async fn first_bytes(client: &Client, first: bool) -> Option<Box<Scratch>> {
    let mut try_first = first;
    loop {
        if !try_first {
            client.watch.set_waiting(!first);
            let ready = client.stream.readable(&client.watch).await;
            client.watch.set_waiting(false);
            ready.ok()?;
        }
        try_first = false;
        let mut scratch = client.worker.scratch();
        match client.stream.try_read(scratch.room(0)) {
            Ok(0) => return None,
            Ok(read) => {
                scratch.filled(read);
                return Some(scratch);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => client.worker.give_back(scratch),
            Err(_) => return None,
        }
    }
}

/// Closes after the client has had a chance to read the answer: closing with unread input would make the kernel reset
/// the connection, and the answer might be lost (RFC 9112, 9.6).
pub(crate) async fn linger(client: &Client) {
    const PATIENCE: Duration = Duration::from_secs(2);
    const PLENTY: usize = 1024 * 1024;
    client.stream.shutdown_write();
    client.watch.set(PATIENCE);
    let mut drained = 0;
    while drained < PLENTY && client.stream.readable(&client.watch).await.is_ok() {
        let mut buffer = client.worker.buffers.lend();
        match client.stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => drained += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_may_come_in_any_pieces() {
        for length in 1..PREFACE.len() {
            assert_eq!(Preface::of(&PREFACE[..length]), Preface::Begun, "{length}");
        }
        for (bytes, preface) in [
            (&[&PREFACE[..], b"more"].concat()[..], Preface::Whole),
            (b"PRI * HTTP/2.0\r\n\r\nMS", Preface::Broken),
            (b"PRI * HTTP/1.1\r\n", Preface::Broken),
            (b"PRINT / HTTP/1.1\r\n", Preface::Other),
            (b"PUT / HTTP/1.1\r\n", Preface::Other),
            (b"\r\n", Preface::Other),
        ] {
            assert_eq!(Preface::of(bytes), preface, "{bytes:?}");
        }
    }

    /// An idle connection costs its future, whatever state that is in. Box what is rare before raising this.
    #[test]
    fn the_future_of_a_connection_is_small() {
        fn size<'a, F: Future>(_: impl Fn(&'a Client) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size(serve) + size_of::<Client>();
        assert!(bytes <= 2700, "{bytes}");
    }
}
