//! Listening sockets: one for each worker and port (`SO_REUSEPORT`), opened once and kept whatever happens to the gateway
//! behind the port. Only the pointer to what is served moves.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use model::port::Protocol;
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::connection::{self, Client};
use crate::h2;
use crate::meter::Meter;
use crate::proxy_protocol;
use crate::reply::Own;
use crate::secure;
use crate::sockets::Sockets;
use crate::stream::Stream;
use crate::table::{Served, Table};
use crate::tcp;
use crate::worker::Worker;

/// What a listener is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The port of a gateway.
    Port(u16),
    /// The shared listener that routes by Host.
    VirtualHosts,
    /// The same with TLS.
    VirtualHostsTls,
}

/// A listener of one worker.
#[derive(Debug)]
pub(crate) struct Listener {
    key: Key,
    group: u64,
    port: u16,
    /// `X-Forwarded-Port` and `X-Forwarded-Proto`, the same for every request; without TLS and with.
    forwarded: [Vec<u8>; 2],
    served: RefCell<Option<Arc<Served>>>,
    open: Cell<usize>,
    stopping: Cell<bool>,
    stop: Notify,
    closed: Cell<bool>,
    ended: Notify,
    /// Owned by whoever accepts from it.
    socket: Weak<AsyncFd<TcpListener>>,
}

/// Connections waiting to be accepted.
const BACKLOG: i32 = 4096;
/// Connections accepted in one go before others get their turn.
const BATCH: usize = 64;

/// A socket for each worker: those that were handed over for this address, or new ones.
pub(crate) fn open(address: SocketAddr, workers: usize, sockets: &Sockets) -> io::Result<Vec<TcpListener>> {
    let mut taken = sockets.take(address);
    if taken.is_empty() {
        return bind(address, workers);
    }
    for socket in &taken {
        socket.set_nonblocking(true)?;
    }
    while taken.len() < workers {
        taken.push(listen(address)?);
    }
    Ok(taken)
}

/// Opens a socket for each worker. A port that another socket listens on is refused, even where `SO_REUSEPORT` would let
/// two programs share it unnoticed.
pub(crate) fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let probe = probe(address)?;
    let address = match (address.port(), probe.local_addr()?.as_socket()) {
        (0, Some(bound)) => bound,
        _ => address,
    };
    drop(probe);
    (0..workers.max(1)).map(|_| listen(address)).collect()
}

/// A socket beside others of this process.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether a gateway could listen on an address now.
pub(crate) fn is_free(address: SocketAddr) -> bool {
    probe(address).is_ok()
}

fn probe(address: SocketAddr) -> io::Result<Socket> {
    let socket = socket(address, false)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    Ok(socket)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Inherited by accepted sockets.
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

impl Listener {
    /// Starts to accept on the worker's local set.
    pub(crate) fn start(
        worker: &Rc<Worker>,
        key: Key,
        group: u64,
        socket: TcpListener,
    ) -> io::Result<Rc<Self>> {
        let port = socket.local_addr()?.port();
        #[expect(
            deprecated,
            reason = "unsound only for types whose descriptor may change or close while registered; a `TcpListener` keeps its own"
        )]
        let socket = Rc::new(AsyncFd::with_interest(socket, Interest::READABLE)?);
        let listener = Rc::new(Self {
            key,
            group,
            port,
            forwarded: ["http", "https"].map(|scheme| {
                format!("X-Forwarded-Port: {port}\r\nX-Forwarded-Proto: {scheme}\r\n").into_bytes()
            }),
            served: RefCell::new(None),
            open: Cell::new(0),
            stopping: Cell::new(false),
            stop: Notify::new(),
            closed: Cell::new(false),
            ended: Notify::new(),
            socket: Rc::downgrade(&socket),
        });
        let (worker, accepting) = (Rc::clone(worker), Rc::clone(&listener));
        tokio::task::spawn_local(async move {
            let _vital = worker.shared.failures.watch("a listener of the proxy");
            accept(&worker, &accepting, socket).await;
            accepting.closed.set(true);
            accepting.ended.notify_one();
        });
        Ok(listener)
    }

    /// Closes the socket after those who already wait in its queue were accepted. What is served stays as it is.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        self.stop.notify_one();
    }

    /// Waits until a stopped listener has closed its socket, so that the port is free again.
    pub(crate) async fn ended(&self) {
        while !self.closed.get() {
            self.ended.notified().await;
        }
    }

    /// The socket once more, for another process.
    pub(crate) fn share(&self) -> Option<TcpListener> {
        self.socket.upgrade()?.get_ref().try_clone().ok()
    }

    /// Takes what this listener serves from a new table.
    pub(crate) fn serve_from(&self, table: &Table) {
        if let Key::Port(port) = self.key {
            let served = table.on_port(port);
            let same = match (&*self.served.borrow(), served) {
                (Some(old), Some(new)) => Arc::ptr_eq(old, new),
                (None, None) => true,
                _ => false,
            };
            // Most gateways are the same in most tables; counting references would only heat what workers share.
            if !same {
                self.served.replace(served.cloned());
            }
        }
    }

    /// The gateway of this port; for the shared listener that of the host.
    pub(crate) fn gateway(&self, worker: &Worker, host: &str) -> Option<Arc<Served>> {
        match self.key {
            Key::Port(_) => self.served.borrow().clone(),
            Key::VirtualHosts | Key::VirtualHostsTls => worker.table().virtual_host(host).cloned(),
        }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    pub(crate) fn group(&self) -> u64 {
        self.group
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn forwarded(&self, tls: bool) -> &[u8] {
        &self.forwarded[usize::from(tls)]
    }

    /// Counts a connection out.
    pub(crate) fn closed(&self) {
        self.open.set(self.open.get() - 1);
    }

    /// What counts the connections of this port; those of the shared listener belong to no gateway.
    pub(crate) fn meter(&self) -> Option<Meter> {
        self.served.borrow().as_ref().map(|served| served.meter.clone())
    }

    /// True when connections begin with a TLS handshake.
    fn speaks_tls(&self) -> bool {
        match self.key {
            Key::Port(_) => self.served.borrow().as_ref().is_some_and(|served| served.tls.is_some()),
            Key::VirtualHosts => false,
            Key::VirtualHostsTls => true,
        }
    }

    /// True when connections begin with a header of the PROXY protocol.
    fn expects_header(&self, worker: &Worker) -> bool {
        match self.key {
            Key::Port(_) => {
                self.served.borrow().as_ref().is_some_and(|served| served.gateway.config.proxy_protocol)
            }
            Key::VirtualHosts | Key::VirtualHostsTls => worker.shared.settings.virtual_host_proxy_protocol,
        }
    }

    fn is_tcp(&self) -> bool {
        self.served.borrow().as_ref().is_some_and(|served| served.protocol() == Protocol::Tcp)
    }
}

async fn accept(worker: &Rc<Worker>, listener: &Rc<Listener>, socket: Rc<AsyncFd<TcpListener>>) {
    let limits = &worker.shared.settings.limits;
    let share = limits.connections.div_ceil(worker.shared.settings.workers.max(1));
    let mut failing = false;
    loop {
        // Looked at before the queue: what arrived until then is still accepted.
        let last = listener.stopping.get();
        let mut emptied = false;
        for _ in 0..BATCH {
            match acceptfrom_with(socket.get_ref(), SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((client, peer)) => {
                    failing = false;
                    let stream = std::net::TcpStream::from(client);
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    let Some(peer) = peer else { continue };
                    if worker.shared.leaving.load(Relaxed) {
                        worker.shared.newcomers.fetch_add(1, Relaxed);
                    }
                    if listener.open.get() >= share || !has_room(worker, &stream) {
                        refuse(&stream, listener.is_tcp() || listener.speaks_tls());
                        continue;
                    }
                    listener.open.set(listener.open.get() + 1);
                    let stream = Stream::accepted(stream);
                    if listener.expects_header(worker) {
                        let (worker, listener) = (Rc::clone(worker), Rc::clone(listener));
                        tokio::task::spawn_local(introduced(worker, listener, stream, peer));
                    } else {
                        begin(listener, Client::new(worker, listener, stream, peer));
                    }
                }
                Err(Errno::AGAIN) => {
                    emptied = true;
                    break;
                }
                Err(error) if !is_shortage(error) => {
                    // Of one connection that failed while it waited.
                }
                Err(error) => {
                    // Connections wait in the queue until descriptors or memory are free again; a listener that is given
                    // up does not wait for that.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(port = listener.port, %error, "cannot accept connections");
                    }
                    emptied = last;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    break;
                }
            }
        }
        if !emptied {
            tokio::task::yield_now().await;
            continue;
        }
        if last {
            return;
        }
        tokio::select! {
            biased;
            () = listener.stop.notified() => {}
            ready = socket.readable() => match ready {
                Ok(mut guard) => guard.clear_ready(),
                Err(error) => {
                    tracing::error!(port = listener.port, %error, "a listening socket failed");
                    return;
                }
            },
        }
    }
}

/// Whether the descriptors suffice for one more client and its target. Idle connections to targets go first.
fn has_room(worker: &Worker, stream: &std::net::TcpStream) -> bool {
    let descriptors = &worker.shared.descriptors;
    descriptors.suffice_for_client(stream, 0) || descriptors.suffice_for_client(stream, worker.pool.clear())
}

/// Serves a connection, whatever it speaks.
fn begin(listener: &Listener, client: Client) {
    if listener.speaks_tls() {
        let tcp = listener.is_tcp();
        tokio::task::spawn_local(async move {
            if let Some(first) = secure::serve(&client, tcp).await {
                Box::pin(h2::server::serve(client, first)).await;
            }
        });
    } else if listener.is_tcp() {
        tokio::task::spawn_local(async move { tcp::serve(&client).await });
    } else {
        tokio::task::spawn_local(async move {
            if let Some(first) = connection::serve(&client).await {
                Box::pin(h2::server::serve(client, first)).await;
            }
        });
    }
}

/// The same after a load balancer has said whose connection it is. One that does not is closed: there is nobody to answer.
async fn introduced(worker: Rc<Worker>, listener: Rc<Listener>, stream: Stream, peer: SocketAddr) {
    let read = {
        let watch = worker.sweeper.watch(listener.group());
        watch.set(worker.shared.settings.limits.head_timeout);
        proxy_protocol::read(&stream, &watch).await
    };
    match read {
        Ok(source) => begin(&listener, Client::new(&worker, &listener, stream, source.unwrap_or(peer))),
        Err(fault) => {
            tracing::debug!(port = listener.port, %peer, ?fault, "no header of the PROXY protocol");
            listener.closed();
        }
    }
}

fn is_shortage(error: Errno) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&error)
}

/// Says that there are too many connections, without spending anything on this one.
fn refuse(stream: &std::net::TcpStream, opaque: bool) {
    let stream = SockRef::from(stream);
    if opaque {
        // Who knows what it speaks; a reset is understood by all. If it cannot be had, the close says nearly as much.
        let _ = stream.set_linger(Some(Duration::ZERO));
        return;
    }
    let mut reply = Vec::new();
    Own::OVERLOAD.write(&mut reply, "Connection: close\r\n", true, b"");
    // The socket is new: its buffer takes this, and if not, the close says enough.
    let _ = stream.send(&reply);
}
