//! TLS: termination for clients, and connections to targets.
//!
//! ```text
//!                    accept (handshake, SNI)            Keeper: files, cluster --> Terminator (certificates of a gateway)
//!                            |                                                         |
//! Stream --has a--> Tls --on--> Session (rustls, no I/O)  <----- configuration --------'
//!                    |  reads, writes, flushes
//!                 Socket
//! ```
//!
//! There is no task and no channel for a session, and while it is idle it holds no buffer: what comes is decrypted in a buffer on
//! loan, and what goes is encrypted into one and handed to the socket in one call. Only what the socket does not take at once is kept,
//! and whoever waits next sends it.

mod accept;
mod certificate;
mod connect;
mod keeper;
mod session;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::buffers::{Buffers, RELAY};
use crate::socket::Socket;
use crate::stream::Glance;

pub(crate) use accept::HandshakeFault;
pub(crate) use connect::{Connector, TlsFailed};
pub use keeper::{CertificateStatus, Pem};
pub(crate) use keeper::{Found, Keeper, Source, Terminator, read_files};
pub use pki::CertificatePem;
use session::{RECORD, Session};

/// TLS on one connection.
#[derive(Debug)]
pub(crate) struct Tls {
    session: RefCell<Session>,
    /// Decrypted, and not yet asked for.
    ready: RefCell<Ready>,
    buffers: Rc<Buffers>,
    /// The name that the client asked for, lower case.
    server_name: Option<Box<str>>,
    /// The socket is to be shut down for writing once everything is sent.
    ending: Cell<bool>,
    /// The connection ends in a reset: not to be closed as if all were well.
    broken_off: Cell<bool>,
}

#[derive(Debug, Default)]
struct Ready {
    bytes: Vec<u8>,
    at: usize,
}

impl Ready {
    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let length = buffer.len().min(self.bytes.len() - self.at);
        buffer[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        if self.is_empty() {
            *self = Self::default();
        }
        length
    }
}

impl Tls {
    fn new(session: Session, buffers: &Rc<Buffers>, server_name: Option<Box<str>>) -> Self {
        Self {
            session: RefCell::new(session),
            ready: RefCell::default(),
            buffers: Rc::clone(buffers),
            server_name,
            ending: Cell::new(false),
            broken_off: Cell::new(false),
        }
    }

    /// The name that the client asked for (SNI), lower case.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// True when both ends agreed on this protocol (ALPN), for example `h2`.
    pub(crate) fn speaks(&self, protocol: &[u8]) -> bool {
        self.session.borrow().alpn() == Some(protocol)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.session.borrow().is_failed()
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.session.borrow().has_unsent()
    }

    pub(crate) fn try_read(&self, socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
        let mut kept = self.ready.borrow_mut();
        loop {
            if !kept.is_empty() {
                return Ok(kept.take(buffer));
            }
            let read = self.pull(socket, buffer, &mut kept)?;
            if read > 0 {
                return Ok(read);
            }
            if self.session.borrow().is_peer_closed() {
                return Ok(0);
            }
        }
    }

    /// One read of the socket. Puts plaintext into `buffer`, and what does not fit there into `kept`. Answers the bytes in
    /// `buffer`; none need not mean the end.
    fn pull(&self, socket: &Socket, buffer: &mut [u8], kept: &mut Ready) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        if session.is_peer_closed() {
            return Ok(0);
        }
        if session.is_failed() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let mut loan = self.buffers.lend();
        let before = session.partial_len();
        // Plaintext is shorter than the records it comes in: what is read beyond the room for it is kept to one record.
        let most = (before + RECORD.max(buffer.len())).min(RELAY);
        if before >= most {
            // A message that long is none that a handshake has.
            session.fail();
            return Err(io::ErrorKind::InvalidData.into());
        }
        let read = match socket.try_read(&mut loan[before..most]) {
            Ok(read) => read,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    session.fail();
                }
                return Err(error);
            }
        };
        if read == 0 {
            // No close_notify: somebody cut the connection off, and who knows what is missing.
            session.fail();
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        session.take_partial(&mut loan);
        let mut have = 0;
        let received = session.receive(&mut loan[..before + read], |plain| {
            let fits = plain.len().min(buffer.len() - have);
            buffer[have..have + fits].copy_from_slice(&plain[..fits]);
            have += fits;
            kept.bytes.extend_from_slice(&plain[fits..]);
        });
        drop(session);
        // An answer of the session, or an alert.
        self.flush_now(socket);
        match received {
            Ok(()) => Ok(have),
            Err(_) if have > 0 => Ok(have),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    /// Encrypts and writes what fits. What is taken is either sent or kept to be sent first.
    pub(crate) fn try_write(&self, socket: &Socket, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush(socket)?;
        let mut session = self.session.borrow_mut();
        if session.is_failed() || session.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut loan = self.buffers.lend();
        let mut staging = Vec::new();
        let (taken, length) = session.send(pieces, &mut staging, &mut loan)?;
        let sent = match socket.try_write(&loan[..length]) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => {
                session.fail();
                return Err(error);
            }
        };
        if sent < length {
            session.outbox().extend_from_slice(&loan[sent..length]);
        }
        Ok(taken)
    }

    /// Sends what is kept; `WouldBlock` while some is left.
    fn flush(&self, socket: &Socket) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        while session.has_unsent() {
            let outbox = session.outbox();
            match socket.try_write(outbox) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) if sent == outbox.len() => *outbox = Vec::new(),
                Ok(sent) => drop(outbox.drain(..sent)),
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        session.outbox().clear();
                        session.fail();
                    }
                    return Err(error);
                }
            }
        }
        if self.ending.replace(false) {
            socket.shutdown_write();
        }
        Ok(())
    }

    /// The same, where nobody waits for it: whoever waits next goes on.
    fn flush_now(&self, socket: &Socket) {
        // A failure is remembered in the session.
        let _: io::Result<()> = self.flush(socket);
    }

    pub(crate) fn poll_flush(&self, socket: &Socket, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_unsent() {
            ready!(socket.poll_writable(context))?;
            match self.flush(socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_readable(&self, socket: &Socket, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Registers for writing as long as something is kept; reading does not wait for that.
        if let Poll::Ready(Err(error)) = self.poll_flush(socket, context) {
            return Poll::Ready(Err(error));
        }
        let session = self.session.borrow();
        if !self.ready.borrow().is_empty() || session.is_peer_closed() || session.is_failed() {
            return Poll::Ready(Ok(()));
        }
        socket.poll_readable(context)
    }

    pub(crate) fn poll_glance(&self, socket: &Socket, context: &mut Context<'_>) -> Poll<Glance> {
        loop {
            if ready!(self.poll_readable(socket, context)).is_err() {
                return Poll::Ready(Glance::Broken);
            }
            let mut kept = self.ready.borrow_mut();
            if !kept.is_empty() {
                return Poll::Ready(Glance::Data);
            }
            match self.pull(socket, &mut [], &mut kept) {
                Ok(_) if !kept.is_empty() => return Poll::Ready(Glance::Data),
                Ok(_) if self.session.borrow().is_peer_closed() => return Poll::Ready(Glance::End),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(Glance::Broken),
            }
        }
    }

    /// Says that nothing more will be sent, in TLS and then in TCP.
    pub(crate) fn shutdown_write(&self, socket: &Socket) {
        let mut session = self.session.borrow_mut();
        if self.broken_off.get() || session.is_closed() {
            return;
        }
        session.close();
        drop(session);
        self.ending.set(true);
        self.flush_now(socket);
    }

    /// The peer must not take what it got for all there is.
    pub(crate) fn break_off(&self) {
        self.broken_off.set(true);
        let mut session = self.session.borrow_mut();
        session.outbox().clear();
        session.fail();
    }
}
