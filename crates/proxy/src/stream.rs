//! The byte stream under a connection. Plain TCP today; this type is the seam for TLS.
//!
//! All operations take `&self`: the two directions of an exchange run in one task, each with its own waits. An accepted socket
//! is read before it is registered with the reactor: a client that sends its request at once, and closes after the
//! answer, never needs the registration.

use std::cell::{OnceCell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::dial::dial;
use crate::timer::{Expired, Watch};

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Accepted, not yet registered.
    fresh: RefCell<Option<std::net::TcpStream>>,
    io: OnceCell<TcpStream>,
}

/// Why a wait ended without the socket being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    TimedOut,
    /// The connection failed; how makes no difference to anyone.
    Broken,
}

/// What a look at a socket shows, without taking anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glance {
    /// Something to read.
    Data,
    /// The peer sends nothing more.
    End,
    Broken,
}

impl From<Expired> for Wait {
    fn from(Expired: Expired) -> Self {
        Self::TimedOut
    }
}

impl From<io::Error> for Wait {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl Stream {
    /// A socket as it comes from `accept`; must be non-blocking.
    pub(crate) fn accepted(socket: std::net::TcpStream) -> Self {
        Self { fresh: RefCell::new(Some(socket)), io: OnceCell::new() }
    }

    /// Connects; the caller bounds the time.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { fresh: RefCell::new(None), io: OnceCell::from(dial(address).await?) })
    }

    fn registered(&self) -> io::Result<&TcpStream> {
        if let Some(io) = self.io.get() {
            return Ok(io);
        }
        let socket = self.fresh.borrow_mut().take().ok_or(io::ErrorKind::NotConnected)?;
        let io = TcpStream::from_std(socket)?;
        Ok(self.io.get_or_init(|| io))
    }

    /// Reads what is there; `WouldBlock` when nothing is.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(io) = self.io.get() else {
            let fresh = self.fresh.borrow();
            let mut socket = fresh.as_ref().ok_or(io::ErrorKind::NotConnected)?;
            return retry_interrupted(|| socket.read(buffer));
        };
        let read = io.try_read(buffer)?;
        if read > 0 && read < buffer.len() {
            // A short read emptied the socket: the next wait may sleep at once instead of trying a read in vain. Nothing can
            // be lost, since the reactor that would report more runs on this very thread.
            let _: io::Result<()> = io.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
        }
        Ok(read)
    }

    /// Writes what fits; `WouldBlock` when nothing does.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(io) = self.io.get() {
            return io.try_write(bytes);
        }
        let fresh = self.fresh.borrow();
        let mut socket = fresh.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        retry_interrupted(|| socket.write(bytes))
    }

    /// The same for several pieces.
    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Some(io) = self.io.get() {
            return io.try_write_vectored(pieces);
        }
        let fresh = self.fresh.borrow();
        let mut socket = fresh.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        retry_interrupted(|| socket.write_vectored(pieces))
    }

    /// Ready when a read may succeed.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registered()?.poll_read_ready(context)
    }

    /// Ready when a write may succeed.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registered()?.poll_write_ready(context)
    }

    /// Ready when there is something to see: bytes, the end of them, or a failure.
    pub(crate) fn poll_glance(&self, context: &mut Context<'_>) -> Poll<Glance> {
        let Ok(io) = self.registered() else { return Poll::Ready(Glance::Broken) };
        loop {
            if ready!(io.poll_read_ready(context)).is_err() {
                return Poll::Ready(Glance::Broken);
            }
            let peek = || SockRef::from(io).peek(&mut [MaybeUninit::uninit()]);
            match io.try_io(Interest::READABLE, peek) {
                Ok(0) => return Poll::Ready(Glance::End),
                Ok(_) => return Poll::Ready(Glance::Data),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(Glance::Broken),
            }
        }
    }

    /// True when the connection failed, though nobody has tried to use it since.
    pub(crate) fn has_failed(&self) -> bool {
        self.io.get().is_none_or(|io| !matches!(io.take_error(), Ok(None)))
    }

    /// Waits for a read to be worth trying, within the deadline of the connection.
    pub(crate) async fn readable(&self, watch: &Watch) -> Result<(), Wait> {
        poll_fn(|context| match self.poll_readable(context) {
            Poll::Ready(result) => Poll::Ready(result.map_err(Wait::from)),
            Poll::Pending => Poll::Ready(Err(ready!(watch.poll_expired(context)).into())),
        })
        .await
    }

    async fn writable(&self, watch: &Watch) -> Result<(), Wait> {
        poll_fn(|context| match self.poll_writable(context) {
            Poll::Ready(result) => Poll::Ready(result.map_err(Wait::from)),
            Poll::Pending => Poll::Ready(Err(ready!(watch.poll_expired(context)).into())),
        })
        .await
    }

    /// Reads at least one byte, or 0 at the end.
    pub(crate) async fn read(&self, buffer: &mut [u8], watch: &Watch) -> Result<usize, Wait> {
        loop {
            match self.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable(watch).await?,
                result => return Ok(result?),
            }
        }
    }

    /// Writes everything; each piece of progress moves the deadline.
    pub(crate) async fn write_all(
        &self,
        mut bytes: &[u8],
        watch: &Watch,
        patience: Duration,
    ) -> Result<(), Wait> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    watch.set(patience);
                    self.writable(watch).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes up to three pieces in order, in one call if the socket takes them.
    pub(crate) async fn write_pieces(
        &self,
        pieces: &[&[u8]],
        watch: &Watch,
        patience: Duration,
    ) -> Result<(), Wait> {
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let written = {
            let slices: [IoSlice<'_>; 3] =
                std::array::from_fn(|index| IoSlice::new(pieces.get(index).copied().unwrap_or_default()));
            match self.try_write_vectored(&slices[..pieces.len().min(3)]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                result => result?,
            }
        };
        if written == total {
            return Ok(());
        }
        let mut skip = written;
        for piece in pieces {
            let start = skip.min(piece.len());
            skip -= start;
            self.write_all(&piece[start..], watch, patience).await?;
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub(crate) fn shutdown_write(&self) {
        self.with_socket(|socket| socket.shutdown(std::net::Shutdown::Write));
    }

    /// Has the system ask the peer now and then whether it is still there, for connections that may be silent for long.
    pub(crate) fn keep_alive(&self) {
        const ASK: TcpKeepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(10))
            .with_retries(3);
        self.with_socket(|socket| socket.set_tcp_keepalive(&ASK));
    }

    /// Makes the coming close a reset: the peer must not take what it got for all there is.
    pub(crate) fn reset_on_close(&self) {
        self.with_socket(|socket| socket.set_linger(Some(Duration::ZERO)));
    }

    fn with_socket(&self, act: impl FnOnce(SockRef<'_>) -> io::Result<()>) {
        // A socket that is already dead refuses; it needs neither.
        let _ = match (self.io.get(), &*self.fresh.borrow()) {
            (Some(io), _) => act(SockRef::from(io)),
            (None, Some(socket)) => act(SockRef::from(socket)),
            (None, None) => Ok(()),
        };
    }

    /// True when the peer has not closed and nothing unexpected waits to be read.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
