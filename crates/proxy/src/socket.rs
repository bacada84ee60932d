//! A connected socket, without anything between it and its bytes.
//!
//! An accepted socket is read before it is registered with the reactor: a client that sends its request at once, and closes after
//! the answer, never needs the registration.

use std::cell::{OnceCell, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::descriptors::Descriptors;
use crate::dial::dial;
use crate::pipes::Pipe;
use crate::stream::Glance;

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Accepted, not yet registered.
    fresh: RefCell<Option<std::net::TcpStream>>,
    io: OnceCell<TcpStream>,
}

impl Socket {
    /// A socket as it comes from `accept`; must be non-blocking.
    pub(crate) fn accepted(socket: std::net::TcpStream) -> Self {
        Self { fresh: RefCell::new(Some(socket)), io: OnceCell::new() }
    }

    /// Connects; the caller bounds the time.
    pub(crate) async fn connect(address: SocketAddr, descriptors: Descriptors) -> io::Result<Self> {
        Ok(Self { fresh: RefCell::new(None), io: OnceCell::from(dial(address, descriptors).await?) })
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

    /// Bytes that were written and that the peer's system has not said it has; also after the connection has ended. `None` where the system
    /// does not tell.
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code, reason = "the number of a request to the system, and the type that it answers with")]
    pub(crate) fn unacknowledged(&self) -> Option<usize> {
        use rustix::ioctl::{Getter, ioctl};
        /// `SIOCOUTQ` of linux/sockios.h (tcp(7)).
        const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
        let io = self.registered().ok()?;
        // SAFETY: on a TCP socket, which this is, the request writes one C int and nothing else.
        let bytes: i32 = unsafe { ioctl(io, Getter::<SIOCOUTQ, i32>::new()) }.ok()?;
        usize::try_from(bytes).ok()
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn unacknowledged(&self) -> Option<usize> {
        None
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

    /// Moves what is there into an empty pipe; `WouldBlock` when nothing is, 0 at the end.
    pub(crate) fn try_fill(&self, pipe: &mut Pipe) -> io::Result<usize> {
        let io = self.registered()?;
        io.try_io(Interest::READABLE, || pipe.fill(io))
    }

    /// Moves what fits out of a pipe; `WouldBlock` when nothing does.
    pub(crate) fn try_drain(&self, pipe: &mut Pipe) -> io::Result<usize> {
        let io = self.registered()?;
        io.try_io(Interest::WRITABLE, || pipe.drain(io))
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

    /// Says that nothing more will be sent.
    pub(crate) fn shutdown_write(&self) {
        self.with_socket(|socket| socket.shutdown(std::net::Shutdown::Write));
    }

    fn with_socket(&self, act: impl FnOnce(SockRef<'_>) -> io::Result<()>) {
        // A socket that is already dead refuses; it needs neither.
        let _ = match (self.io.get(), &*self.fresh.borrow()) {
            (Some(io), _) => act(SockRef::from(io)),
            (None, Some(socket)) => act(SockRef::from(socket)),
            (None, None) => Ok(()),
        };
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
