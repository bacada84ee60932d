//! The handshake with a client.
//!
//! The configuration follows from the name that the client asks for, so the first message is read before there is a session.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{Acceptor, UnbufferedServerConnection};

use super::Tls;
use super::session::{Session, Side};
use crate::buffers::Buffers;
use crate::stream::{Stream, Wait};
use crate::timer::Watch;

/// Bytes that a client's first message may have: certificates and tickets are not in it, so this is plenty.
const HELLO: usize = 32 * 1024;
/// First byte of a handshake record.
const HANDSHAKE: u8 = 0x16;
/// A fatal alert that nobody serves the name (RFC 6066, 3), in the clear as all before the session is.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HandshakeFault {
    /// The client went away.
    Closed,
    /// It took too long.
    TimedOut,
    /// What came is not TLS. These bytes were read.
    NotTls,
    /// There is no certificate for the name, or for clients that give none.
    NoCertificate(Option<Box<str>>),
    /// Both ends found no common ground, or the client broke the protocol.
    Refused(String),
}

impl HandshakeFault {
    /// The word in metrics.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::TimedOut => "timeout",
            Self::NotTls => "not_tls",
            Self::NoCertificate(_) => "no_certificate",
            Self::Refused(_) => "refused",
        }
    }
}

impl std::fmt::Display for HandshakeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed during the handshake"),
            Self::TimedOut => f.write_str("the handshake took too long"),
            Self::NotTls => f.write_str("what came is not TLS"),
            Self::NoCertificate(_) => f.write_str("there is no certificate for the name"),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

impl From<Wait> for HandshakeFault {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::TimedOut => Self::TimedOut,
            Wait::Broken => Self::Closed,
        }
    }
}

impl Stream {
    /// Makes a TLS connection of a plain one. `choose` finds what to speak for a name; `watch` bounds the time.
    ///
    /// # Errors
    /// Why there is no session. An alert was sent where one helps.
    pub(crate) async fn accept_tls(
        &self,
        watch: &Watch,
        buffers: &Rc<Buffers>,
        choose: impl FnOnce(Option<&str>) -> Option<Arc<ServerConfig>>,
    ) -> Result<(), HandshakeFault> {
        let (mut hello, name) = self.hello(watch, buffers).await?;
        let Some(config) = choose(name.as_deref()) else {
            self.send_plainly(&UNRECOGNIZED_NAME);
            return Err(HandshakeFault::NoCertificate(name));
        };
        let refused = |error: rustls::Error| HandshakeFault::Refused(error.to_string());
        let connection = UnbufferedServerConnection::new(config).map_err(refused)?;
        let mut session = Session::new(Side::Server(connection));
        let started = session.receive(&mut hello, |_| {});
        drop(hello);
        let tls = self.tls.get_or_init(|| Box::new(Tls::new(session, buffers, name)));
        tls.flush_now(&self.socket);
        started.map_err(refused)?;
        self.establish(watch).await
    }

    /// Goes on with a handshake until it is over.
    pub(super) async fn establish(&self, watch: &Watch) -> Result<(), HandshakeFault> {
        let Some(tls) = self.tls() else { return Err(HandshakeFault::Closed) };
        while !tls.session.borrow().is_established() {
            self.readable(watch).await?;
            let mut kept = tls.ready.borrow_mut();
            match tls.pull(&self.socket, &mut [], &mut kept) {
                Ok(_) if tls.session.borrow().is_peer_closed() => return Err(HandshakeFault::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(HandshakeFault::Refused(error.to_string()));
                }
                Err(_) => return Err(HandshakeFault::Closed),
            }
        }
        Ok(())
    }

    /// The first message of the client, and the name in it.
    async fn hello(
        &self,
        watch: &Watch,
        buffers: &Rc<Buffers>,
    ) -> Result<(Vec<u8>, Option<Box<str>>), HandshakeFault> {
        let mut hello = Vec::new();
        let mut acceptor = Acceptor::default();
        // As with plain connections: most clients speak at once, before the socket is registered.
        let mut wait = false;
        loop {
            if wait {
                self.readable(watch).await?;
            }
            wait = true;
            let mut loan = buffers.lend();
            let read = match self.socket.try_read(&mut loan[..HELLO - hello.len()]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) | Err(_) => return Err(HandshakeFault::Closed),
                Ok(read) => read,
            };
            hello.extend_from_slice(&loan[..read]);
            if hello.first() != Some(&HANDSHAKE) {
                return Err(HandshakeFault::NotTls);
            }
            let mut new = &loan[..read];
            while !new.is_empty() {
                // From memory: it takes all, or says that it is too much.
                if !matches!(acceptor.read_tls(&mut new), Ok(taken) if taken > 0) {
                    return Err(HandshakeFault::Refused("the first message is too long".into()));
                }
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                    return Ok((hello, name.map(String::into_boxed_str)));
                }
                Ok(None) if hello.len() < HELLO => {}
                Ok(None) => return Err(HandshakeFault::Refused("the first message is too long".into())),
                Err((error, mut alert)) => {
                    let mut out = Vec::new();
                    if alert.write_all(&mut out).is_ok() {
                        self.send_plainly(&out);
                    }
                    return Err(HandshakeFault::Refused(error.to_string()));
                }
            }
        }
    }

    /// A few bytes to a new connection: its buffer takes them, and if not, the close says nearly as much.
    fn send_plainly(&self, bytes: &[u8]) {
        let _: io::Result<usize> = self.socket.try_write(bytes);
    }
}
