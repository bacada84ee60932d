//! Frames that wait to be sent. The `h2` crate writes after each data frame that is not very small: with sixteen answers ready that
//! is sixteen calls of the system, each of which costs as much as all else that the proxy does for an answer. So what it writes is
//! gathered here, and the task of the connection sends it at the end of its turn, when every stream that was ready has had its own.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use crate::stream::Stream;

/// Bytes gathered at most; what comes beyond waits for room.
const ROOM: usize = 32 * 1024;
/// Bytes of memory that a connection keeps while it is quiet.
const LITTLE: usize = 2 * 1024;
/// Pieces that one write is made of: what was gathered, and what comes with it.
const PIECES: usize = 8;

/// What is to be sent on one connection. It must be sent ([`Outbox::poll_send`]) before its task waits.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: RefCell<Vec<u8>>,
    /// Bytes that the system took.
    sent: Cell<u64>,
}

impl Outbox {
    /// True when nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.borrow().is_empty()
    }

    /// Bytes that the system took since the last time that this was asked.
    pub(crate) fn take_sent(&self) -> u64 {
        self.sent.take()
    }

    /// Gives its memory back while nothing waits, if it is more than a little.
    pub(crate) fn shrink(&self) {
        if self.is_empty() && self.bytes.borrow().capacity() > LITTLE {
            self.bytes.take();
        }
    }

    /// Takes bytes to be sent; answers how many. What is more than there is room for goes out at once, together with what was gathered.
    pub(crate) fn poll_take(
        &self,
        stream: &Stream,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut bytes = self.bytes.borrow_mut();
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        loop {
            if bytes.len() + total <= ROOM {
                pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
                return Poll::Ready(Ok(total));
            }
            let gathered = bytes.len();
            let mut all = [IoSlice::new(&[]); PIECES];
            all[0] = IoSlice::new(&bytes);
            let more = pieces.len().min(PIECES - 1);
            all[1..=more].copy_from_slice(&pieces[..more]);
            let written = ready!(write(stream, context, || stream.try_write_vectored(&all[..=more])))?;
            self.count(written)?;
            bytes.drain(..written.min(gathered));
            if written > gathered {
                return Poll::Ready(Ok(written - gathered));
            }
        }
    }

    /// Ready when the system has everything.
    pub(crate) fn poll_send(&self, stream: &Stream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = self.bytes.borrow_mut();
        while !bytes.is_empty() {
            let written = ready!(write(stream, context, || stream.try_write(&bytes)))?;
            self.count(written)?;
            bytes.drain(..written);
        }
        stream.poll_flush(context)
    }

    fn count(&self, written: usize) -> io::Result<()> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.sent.set(self.sent.get() + written as u64);
        Ok(())
    }
}

fn write(
    stream: &Stream,
    context: &mut Context<'_>,
    mut attempt: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(stream.poll_writable(context))?;
            }
            result => return Poll::Ready(result),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Stream::accepted(ours), peer)
    }

    /// How many bytes can be read without waiting.
    fn there(peer: &TcpStream) -> usize {
        peer.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1024 * 1024];
        peer.peek(&mut buffer).unwrap_or(0)
    }

    #[tokio::test]
    async fn small_pieces_are_gathered() {
        let (stream, mut peer) = pair();
        let outbox = Outbox::default();
        for _ in 0..10 {
            let pieces = [IoSlice::new(b"head "), IoSlice::new(b"body ")];
            let taken = poll_fn(|context| outbox.poll_take(&stream, context, &pieces)).await;
            assert_eq!(taken.unwrap(), 10);
        }
        assert_eq!((there(&peer), outbox.is_empty(), outbox.take_sent()), (0, false, 0));
        poll_fn(|context| outbox.poll_send(&stream, context)).await.unwrap();
        assert_eq!((outbox.is_empty(), outbox.take_sent(), outbox.take_sent()), (true, 100, 0));
        peer.set_nonblocking(false).unwrap();
        let mut got = [0; 100];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got[..20], b"head body head body ");
    }

    #[tokio::test]
    async fn order_is_kept_and_memory_is_bounded_however_slow_the_peer() {
        let (stream, mut peer) = pair();
        let outbox = Outbox::default();
        let all: Vec<u8> = (0..8 * 1024 * 1024).map(|index| (index % 251) as u8).collect();
        let expected = all.clone();
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            let mut buffer = [0; 7001];
            loop {
                match peer.read(&mut buffer).unwrap() {
                    0 => return got == expected,
                    read => got.extend_from_slice(&buffer[..read]),
                }
            }
        });
        let (mut at, mut step) = (0, 1);
        while at < all.len() {
            step = step * 7 % 100_003 + 1;
            let end = (at + step).min(all.len());
            let middle = at + (end - at) / 3;
            let pieces = [IoSlice::new(&all[at..middle]), IoSlice::new(&all[middle..end])];
            at += poll_fn(|context| outbox.poll_take(&stream, context, &pieces)).await.unwrap();
            assert!(outbox.bytes.borrow().len() <= ROOM);
        }
        poll_fn(|context| outbox.poll_send(&stream, context)).await.unwrap();
        assert_eq!(outbox.take_sent(), all.len() as u64);
        outbox.shrink();
        drop(stream);
        assert!(reader.join().unwrap());
    }
}
