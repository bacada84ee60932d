//! One HTTP/2 connection of a client. Its task drives the streams too ([`super::seat`]). It ends when it was idle for long, when it is
//! told to retire (after what is under way), or when its client floods it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;

use super::guard::{Flood, Guard};
use super::io::ClientWire;
use super::outbox::Outbox;
use super::seat::{Seat, Streams};
use super::{SEND_BUFFER, STREAM_WINDOW, STREAMS, stream};
use crate::connection::{Client, linger};

/// Bytes that may arrive for all streams of a connection before one of them is read.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams that may be given up by the client before they are taken up, and because of its mistakes.
const GIVEN_UP: usize = 50;
/// How long a connection may take to say good-bye.
const GOOD_BYE: Duration = Duration::from_secs(2);

/// What the parts of a connection know of each other.
#[derive(Debug)]
pub(crate) struct State {
    guard: RefCell<Guard>,
    /// What is to be sent.
    pub(crate) outbox: Outbox,
    /// Bytes went out since the last look.
    moved: Cell<bool>,
}

impl State {
    fn new(now: u64) -> Rc<Self> {
        Rc::new(Self {
            guard: RefCell::new(Guard::new(now)),
            outbox: Outbox::default(),
            moved: Cell::new(false),
        })
    }

    pub(crate) fn received(&self, bytes: &[u8], now: u64) {
        self.guard.borrow_mut().received(bytes, now);
    }

    /// Sends what was gathered; ready when the system has all of it.
    fn poll_send(&self, client: &Client, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = self.outbox.poll_send(&client.stream, context);
        let sent = self.outbox.take_sent();
        if sent > 0 {
            self.moved.set(true);
            self.guard.borrow_mut().sent(sent as usize);
        }
        result
    }

    /// Answers that were given wait for the client to take them.
    fn has_unsent(&self, connection: &Connection<ClientWire, Bytes>) -> bool {
        connection.has_streams() || !self.outbox.is_empty()
    }

    /// A response was completed, or worked on for long.
    pub(crate) fn completed(&self) {
        self.guard.borrow_mut().completed();
    }

    pub(crate) fn is_flooded(&self) -> bool {
        self.guard.borrow().flood().is_some()
    }

    fn flood(&self) -> Option<Flood> {
        self.guard.borrow().flood()
    }
}

/// A request, and what serves it.
pub(crate) struct Arrived {
    client: Rc<Client>,
    state: Rc<State>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

/// A seat for the future that serves a stream.
pub(crate) fn seat() -> Seat<Arrived> {
    Seat::new(|Arrived { client, state, request, respond }| async move {
        stream::serve(&client, &state, request, respond).await;
    })
}

enum Event {
    /// The last stream under way has ended.
    Quiet,
    /// The deadline passed, or the connection is to retire.
    Due,
    Flood(Flood),
    Failed,
    End,
}

/// A connection that is served.
struct Serving {
    client: Rc<Client>,
    state: Rc<State>,
    streams: Streams<Arrived>,
    /// Streams were taken up since it was quiet.
    busy: bool,
}

/// Serves a client that begins with the preface of HTTP/2. `first` is what was read of it.
pub(crate) async fn serve(client: Client, first: Vec<u8>) {
    let client = Rc::new(client);
    let state = State::new(client.watch.now());
    let limits = &client.worker.shared.settings.limits;
    let wire = ClientWire { client: Rc::clone(&client), state: Rc::clone(&state), first };
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS as u32)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(limits.head_bytes as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(GIVEN_UP)
        .max_local_error_reset_streams(Some(GIVEN_UP))
        .enable_connect_protocol();
    client.watch.set(limits.head_timeout);
    let Ok(Ok(mut connection)) = client.watch.within(builder.handshake::<_, Bytes>(wire)).await else {
        return;
    };
    client.watch.set(limits.head_timeout);
    client.watch.set_idle(true);
    let mut serving = Serving { client: Rc::clone(&client), state, streams: Streams::new(), busy: false };
    serving.run(&mut connection).await;
    drop(connection);
    // Streams that are left find that out, and end.
    let mut lingering = pin!(linger(&client));
    let mut lingered = false;
    poll_fn(|context| {
        serving.streams.poll(&client.worker.seats, context);
        lingered = lingered || lingering.as_mut().poll(context).is_ready();
        if lingered && serving.streams.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl Serving {
    async fn run(&mut self, connection: &mut Connection<ClientWire, Bytes>) {
        let (client, state) = (Rc::clone(&self.client), Rc::clone(&self.state));
        let limits = &client.worker.shared.settings.limits;
        let mut leaving = false;
        loop {
            match poll_fn(|context| self.poll_next(connection, context)).await {
                Event::Quiet => {
                    self.busy = false;
                    self.streams.shrink();
                    state.outbox.shrink();
                    client.watch.set(if leaving { GOOD_BYE } else { limits.keep_alive_timeout });
                }
                Event::Due if client.watch.is_retiring() && !leaving => {
                    leaving = true;
                    client.watch.set_idle(false);
                    client.watch.set(if self.busy { limits.inactivity_timeout } else { GOOD_BYE });
                    connection.graceful_shutdown();
                }
                // What is under way has deadlines of its own.
                Event::Due if self.busy || (state.moved.take() && state.has_unsent(connection)) => {
                    client.watch.set(limits.inactivity_timeout);
                }
                Event::Due if leaving || state.has_unsent(connection) => return,
                Event::Due => {
                    leaving = true;
                    client.watch.set_idle(false);
                    client.watch.set(GOOD_BYE);
                    connection.graceful_shutdown();
                }
                Event::Flood(flood) => {
                    tracing::debug!(client = %client.peer, ?flood, "an HTTP/2 connection is closed: too many frames");
                    client.watch.set_idle(false);
                    client.watch.set(GOOD_BYE);
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    // Nothing is read any more; what matters is that this gets out.
                    let closed = poll_fn(|context| {
                        self.streams.poll(&client.worker.seats, context);
                        connection.poll_closed(context)
                    });
                    let _ = client.watch.within(closed).await;
                    return;
                }
                Event::Failed | Event::End => return,
            }
        }
    }

    /// One turn: what came in is handed to streams, those that can go on do, and what was written before goes out.
    fn poll_next(
        &mut self,
        connection: &mut Connection<ClientWire, Bytes>,
        context: &mut Context<'_>,
    ) -> Poll<Event> {
        if let Some(end) = self.take_up(connection, context) {
            return Poll::Ready(end);
        }
        // What they write is in the hands of the `h2` crate, which wakes this task once more.
        self.streams.poll(&self.client.worker.seats, context);
        if let Poll::Ready(Err(_)) = self.state.poll_send(&self.client, context) {
            return Poll::Ready(Event::Failed);
        }
        if self.busy && self.streams.is_empty() {
            return Poll::Ready(Event::Quiet);
        }
        self.client.watch.poll_expired(context).map(|_| Event::Due)
    }

    /// Has the `h2` crate read and write what it can, and takes up the streams that came. Answers what ends the connection.
    fn take_up(
        &mut self,
        connection: &mut Connection<ClientWire, Bytes>,
        context: &mut Context<'_>,
    ) -> Option<Event> {
        loop {
            let accepted = connection.poll_accept(context);
            if let Some(flood) = self.state.flood() {
                return Some(Event::Flood(flood));
            }
            match accepted {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.busy = true;
                    let (client, state) = (Rc::clone(&self.client), Rc::clone(&self.state));
                    let arrived = Arrived { client, state, request, respond };
                    self.streams.add(&self.client.worker.seats, arrived);
                }
                Poll::Ready(Some(Err(_))) => return Some(Event::Failed),
                Poll::Ready(None) => return Some(Event::End),
                Poll::Pending => return None,
            }
        }
    }
}
