//! Connections to targets that speak HTTP/2: a few for each target and worker, with many streams each. A connection lives as long
//! as it is used, asks its peer whether it is still there, and takes no new streams once one side wants to end it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, SendStream};
use http::Request;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::io::{Target, TargetWire};
use super::outbox::Outbox;
use super::{SEND_BUFFER, STREAM_WINDOW, STREAMS};
use crate::stream::Stream;
use crate::upstream::Destination;

/// Connections to one target from one worker. Targets that allow few streams get more of them.
const MOST: usize = 32;
/// How often a connection in use is asked for a sign of life, and how long it may take to give one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// Bytes of a response head.
const HEAD: u32 = 64 * 1024;

/// The connections of a worker.
#[derive(Debug)]
pub(crate) struct Links {
    targets: RefCell<HashMap<Destination, Rc<Group>>>,
    idle_timeout: Duration,
}

/// The connections to one target.
#[derive(Debug)]
struct Group {
    scheme: &'static str,
    links: RefCell<Vec<Rc<Link>>>,
    dialing: Cell<bool>,
    /// A connection was made, or could not be made, or has room again.
    changed: Notify,
}

impl Group {
    fn new(destination: Destination) -> Self {
        Self {
            scheme: if destination.tls == 0 { "http" } else { "https" },
            links: RefCell::default(),
            dialing: Cell::new(false),
            changed: Notify::new(),
        }
    }
}

/// One connection.
#[derive(Debug)]
struct Link {
    /// `None` once no new streams are wanted.
    requests: RefCell<Option<SendRequest<Bytes>>>,
    streams: Cell<usize>,
    made: Instant,
    used: Cell<Instant>,
    /// The peer has said what it wants.
    settled: Cell<bool>,
    told: Notify,
}

/// A stream that may be opened, counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Ticket {
    link: Rc<Link>,
    group: Rc<Group>,
    requests: SendRequest<Bytes>,
    /// The connection served others before.
    pub(crate) reused: bool,
    /// Of the connection.
    pub(crate) scheme: &'static str,
}

impl Links {
    pub(crate) fn new(idle_timeout: Duration) -> Self {
        Self { targets: RefCell::default(), idle_timeout }
    }

    /// A place for one more stream to a target, on a connection that was made after `since` if given: what is older may have broken
    /// with the one that did. The caller bounds the time.
    pub(crate) async fn take(
        &self,
        destination: Destination,
        since: Option<Instant>,
        connect: impl AsyncFn() -> io::Result<Stream>,
    ) -> io::Result<Ticket> {
        let group = self.group(destination);
        loop {
            if let Some(ticket) = group.open(since) {
                return Ok(ticket);
            }
            let full = group.links.borrow().iter().filter(|link| link.is_wanted()).count() >= MOST;
            if full && let Some(ticket) = group.open(None) {
                return Ok(ticket);
            }
            if group.dialing.get() || full {
                group.changed.notified().await;
                continue;
            }
            let _dialing = Dialing::new(&group);
            let stream = connect().await?;
            let link = self.start(stream, &group).await?;
            group.links.borrow_mut().push(Rc::clone(&link));
            if let Some(ticket) = group.open_on(&link, false) {
                return Ok(ticket);
            }
        }
    }

    fn group(&self, destination: Destination) -> Rc<Group> {
        let mut targets = self.targets.borrow_mut();
        Rc::clone(targets.entry(destination).or_insert_with(|| Rc::new(Group::new(destination))))
    }

    async fn start(&self, stream: Stream, group: &Rc<Group>) -> io::Result<Rc<Link>> {
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW * 2)
            .initial_connection_window_size(STREAM_WINDOW * 2 * STREAMS as u32)
            .max_header_list_size(HEAD)
            .max_send_buffer_size(SEND_BUFFER)
            .initial_max_send_streams(STREAMS);
        let target = Rc::new(Target { stream, outbox: Outbox::default() });
        let wire = TargetWire(Rc::clone(&target));
        let (requests, connection) = builder.handshake(wire).await.map_err(io::Error::other)?;
        let link = Rc::new(Link {
            requests: RefCell::new(Some(requests)),
            streams: Cell::new(0),
            made: Instant::now(),
            used: Cell::new(Instant::now()),
            settled: Cell::new(false),
            told: Notify::new(),
        });
        let (driven, of) = (Rc::clone(&link), Rc::clone(group));
        let idle_timeout = self.idle_timeout;
        tokio::task::spawn_local(async move {
            drive(&driven, &target, connection, idle_timeout).await;
            driven.requests.take();
            driven.settled.set(true);
            driven.told.notify_waiters();
            of.links.borrow_mut().retain(|link| !Rc::ptr_eq(link, &driven));
            of.changed.notify_waiters();
        });
        Ok(link)
    }

    /// Forgets targets without connections. True when some are left.
    pub(crate) fn sweep(&self) -> bool {
        let mut targets = self.targets.borrow_mut();
        targets.retain(|_, group| !group.links.borrow().is_empty() || Rc::strong_count(group) > 1);
        !targets.is_empty()
    }

    /// Lets go of all connections; those with streams end with them.
    pub(crate) fn clear(&self) {
        for group in self.targets.borrow_mut().drain().map(|(_, group)| group) {
            for link in group.links.borrow().iter() {
                link.requests.take();
            }
        }
    }
}

/// Set while a connection is made, so that many requests for a new target make one and not many.
struct Dialing<'a>(&'a Group);

impl<'a> Dialing<'a> {
    fn new(group: &'a Group) -> Self {
        group.dialing.set(true);
        Self(group)
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.0.dialing.set(false);
        self.0.changed.notify_waiters();
    }
}

impl Group {
    /// A stream on the fullest connection that has room: the others may become idle. A connection whose peer has said good-bye is passed
    /// over from then on, while its streams end.
    fn open(self: &Rc<Self>, since: Option<Instant>) -> Option<Ticket> {
        let links = self.links.borrow();
        loop {
            let meant = |link: &Link| since.is_none_or(|since| link.made > since) && link.has_room();
            let link = links.iter().filter(|link| meant(link)).max_by_key(|link| link.streams.get())?;
            if !link.is_left() {
                return self.open_on(link, true);
            }
            link.requests.take();
        }
    }

    fn open_on(self: &Rc<Self>, link: &Rc<Link>, reused: bool) -> Option<Ticket> {
        let requests = link.requests.borrow().clone()?;
        link.streams.set(link.streams.get() + 1);
        let (link, group, scheme) = (Rc::clone(link), Rc::clone(self), self.scheme);
        Some(Ticket { link, group, requests, reused, scheme })
    }
}

impl Link {
    /// New streams may go there.
    fn is_wanted(&self) -> bool {
        self.requests.borrow().is_some()
    }

    /// The peer takes no new streams, or the connection has ended.
    fn is_left(&self) -> bool {
        let Some(mut requests) = self.requests.borrow().clone() else { return true };
        matches!(requests.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
    }

    fn has_room(&self) -> bool {
        let requests = self.requests.borrow();
        let most = |requests: &SendRequest<Bytes>| requests.current_max_send_streams().min(STREAMS);
        requests.as_ref().is_some_and(|requests| self.streams.get() < most(requests))
    }
}

impl Ticket {
    /// Opens the stream.
    pub(crate) fn send(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.requests.send_request(request, end)
    }

    /// Ready when a stream can be opened; fails when the connection came to its end in the meantime.
    pub(crate) async fn ready(&mut self) -> Result<(), h2::Error> {
        poll_fn(|context| self.requests.poll_ready(context)).await
    }

    /// Whether the target takes other protocols over its streams; waits until it has said so.
    pub(crate) async fn takes_extended_connect(&self) -> bool {
        while !self.link.settled.get() {
            self.link.told.notified().await;
        }
        self.requests.is_extended_connect_protocol_enabled()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.link.streams.set(self.link.streams.get() - 1);
        self.link.used.set(Instant::now());
        self.group.changed.notify_one();
    }
}

/// Runs a connection until it ends, its peer gives no sign of life, or nobody has used it for long.
async fn drive(
    link: &Link,
    target: &Target,
    mut connection: Connection<TargetWire, Bytes>,
    idle_timeout: Duration,
) {
    let Some(mut pings) = connection.ping_pong() else { return };
    // The answer comes after the settings of the peer.
    let mut asked = pings.send_ping(Ping::opaque()).is_ok();
    let mut overdue = false;
    let mut connection = pin!(connection);
    let mut ticks = interval(SIGN_OF_LIFE.min(idle_timeout.max(Duration::from_millis(100))));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    poll_fn(|context| {
        loop {
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            if let Poll::Ready(Err(_)) = target.outbox.poll_send(&target.stream, context) {
                return Poll::Ready(());
            }
            if asked && let Poll::Ready(pong) = pings.poll_pong(context) {
                if pong.is_err() {
                    return Poll::Ready(());
                }
                (asked, overdue) = (false, false);
                link.settled.set(true);
                link.told.notify_waiters();
            }
            if Pin::new(&mut ticks).poll_tick(context).is_pending() {
                return Poll::Pending;
            }
            if asked && link.streams.get() > 0 {
                if overdue {
                    tracing::debug!("a target gives no sign of life; its connection is closed");
                    return Poll::Ready(());
                }
                overdue = true;
            } else if link.streams.get() > 0 {
                asked = pings.send_ping(Ping::opaque()).is_ok();
            } else if link.used.get().elapsed() >= idle_timeout {
                // Without handles the connection says good-bye and ends.
                link.requests.take();
            }
        }
    })
    .await;
}
