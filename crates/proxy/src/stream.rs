//! The byte stream under a connection: a socket, and on it TLS for those who asked for it.
//!
//! All operations take `&self`: the two directions of an exchange run in one task, each with its own waits. A plain connection pays
//! for TLS with one look at a pointer for each operation, and with nothing while it is idle.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::descriptors::Descriptors;
use crate::pipes::Pipe;
use crate::socket::Socket;
use crate::timer::{Expired, Watch};
use crate::tls::Tls;

/// A connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) socket: Socket,
    pub(crate) tls: OnceCell<Box<Tls>>,
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
        Self { socket: Socket::accepted(socket), tls: OnceCell::new() }
    }

    /// Connects; the caller bounds the time.
    pub(crate) async fn connect(address: SocketAddr, descriptors: Descriptors) -> io::Result<Self> {
        Ok(Self { socket: Socket::connect(address, descriptors).await?, tls: OnceCell::new() })
    }

    /// What TLS came to, if this is a TLS connection.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.get().map(Box::as_ref)
    }

    /// Reads what is there; `WouldBlock` when nothing is.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.tls() {
            None => self.socket.try_read(buffer),
            Some(tls) => tls.try_read(&self.socket, buffer),
        }
    }

    /// True when a peer that has ended the connection in order had not received what was written last, all `sent` bytes of it: with its
    /// end it says what it has. One that breaks the connection off does not say that.
    pub(crate) fn is_unheard(&self, sent: usize) -> bool {
        self.socket.unacknowledged().is_some_and(|bytes| bytes >= sent)
    }

    /// Writes what fits; `WouldBlock` when nothing does.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.tls() {
            None => self.socket.try_write(bytes),
            Some(tls) => tls.try_write(&self.socket, &[IoSlice::new(bytes)]),
        }
    }

    /// The same for several pieces.
    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.tls() {
            None => self.socket.try_write_vectored(pieces),
            Some(tls) => tls.try_write(&self.socket, pieces),
        }
    }

    /// Ready when a read may succeed. What is still to be sent of what was written goes out meanwhile.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.tls() {
            None => self.socket.poll_readable(context),
            Some(tls) => tls.poll_readable(&self.socket, context),
        }
    }

    /// Ready when a write may succeed.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(context))?;
        self.socket.poll_writable(context)
    }

    /// Ready when the system has everything that was written, which on a plain connection it always has.
    pub(crate) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls().map_or(Poll::Ready(Ok(())), |tls| tls.poll_flush(&self.socket, context))
    }

    /// Ready when there is something to see: bytes, the end of them, or a failure.
    pub(crate) fn poll_glance(&self, context: &mut Context<'_>) -> Poll<Glance> {
        match self.tls() {
            None => self.socket.poll_glance(context),
            Some(tls) => tls.poll_glance(&self.socket, context),
        }
    }

    /// True when the connection failed, though nobody has tried to use it since.
    pub(crate) fn has_failed(&self) -> bool {
        self.socket.has_failed() || self.tls().is_some_and(Tls::has_failed)
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
        self.flush(watch, patience).await
    }

    /// Waits until the system has everything that was written, which on a plain connection it always has.
    async fn flush(&self, watch: &Watch, patience: Duration) -> Result<(), Wait> {
        if self.tls().is_some_and(Tls::has_unsent) {
            watch.set(patience);
            self.writable(watch).await?;
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
            return self.flush(watch, patience).await;
        }
        let mut skip = written;
        for piece in pieces {
            let start = skip.min(piece.len());
            skip -= start;
            self.write_all(&piece[start..], watch, patience).await?;
        }
        Ok(())
    }

    /// Moves everything out of a pipe; each piece of progress moves the deadline and is told. Only for a plain connection.
    pub(crate) async fn drain(
        &self,
        pipe: &mut Pipe,
        watch: &Watch,
        patience: Duration,
        mut sent: impl FnMut(usize),
    ) -> Result<(), Wait> {
        while pipe.held() > 0 {
            match self.socket.try_drain(pipe) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(moved) => sent(moved),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    watch.set(patience);
                    self.writable(watch).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub(crate) fn shutdown_write(&self) {
        match self.tls() {
            None => self.socket.shutdown_write(),
            Some(tls) => tls.shutdown_write(&self.socket),
        }
    }

    /// Has the system ask the peer now and then whether it is still there, for connections that may be silent for long.
    pub(crate) fn keep_alive(&self) {
        self.socket.keep_alive();
    }

    /// Makes the coming close a reset: the peer must not take what it got for all there is.
    pub(crate) fn reset_on_close(&self) {
        if let Some(tls) = self.tls() {
            tls.break_off();
        }
        self.socket.reset_on_close();
    }

    /// True when the peer has not closed and nothing unexpected waits to be read.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A TLS connection that ends without a word looks cut off to its peer.
        if let Some(tls) = self.tls() {
            tls.shutdown_write(&self.socket);
        }
    }
}
