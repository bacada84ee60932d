//! One HTTP/2 connection of a client: streams come out as tasks, all of one worker. It ends when it was idle for long, when it is
//! told to retire (after what is under way), or when its client floods it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;

use super::guard::{Flood, Guard};
use super::io::ClientWire;
use super::outbox::Outbox;
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
    active: Cell<usize>,
    /// Bytes went out since the last look.
    moved: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl State {
    fn new(now: u64) -> Rc<Self> {
        Rc::new(Self {
            guard: RefCell::new(Guard::new(now)),
            outbox: Outbox::default(),
            active: Cell::new(0),
            moved: Cell::new(false),
            waker: RefCell::new(None),
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

    /// A response was completed.
    pub(crate) fn completed(&self) {
        self.guard.borrow_mut().completed();
    }

    pub(crate) fn is_flooded(&self) -> bool {
        self.guard.borrow().flood().is_some()
    }

    fn flood(&self) -> Option<Flood> {
        self.guard.borrow().flood()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Counts a stream that is served.
struct Active(Rc<State>);

impl Active {
    fn new(state: &Rc<State>) -> Self {
        state.active.set(state.active.get() + 1);
        Self(Rc::clone(state))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        if self.0.active.get() == 0 {
            self.0.wake();
        }
    }
}

enum Event {
    Stream(Box<(Request<RecvStream>, SendResponse<Bytes>)>),
    /// The last stream under way has ended.
    Quiet,
    /// The deadline passed, or the connection is to retire.
    Due,
    Flood(Flood),
    Failed,
    End,
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
    run(&client, &state, &mut connection).await;
    drop(connection);
    linger(&client).await;
}

async fn run(client: &Rc<Client>, state: &Rc<State>, connection: &mut Connection<ClientWire, Bytes>) {
    let limits = &client.worker.shared.settings.limits;
    let mut busy = false;
    let mut leaving = false;
    loop {
        match next(client, state, connection, busy).await {
            Event::Stream(stream) => {
                busy = true;
                let (request, respond) = *stream;
                let (client, state) = (Rc::clone(client), Rc::clone(state));
                let active = Active::new(&state);
                tokio::task::spawn_local(async move {
                    stream::serve(&client, &state, request, respond).await;
                    drop(active);
                });
            }
            Event::Quiet => {
                busy = false;
                state.outbox.shrink();
                client.watch.set(if leaving { GOOD_BYE } else { limits.keep_alive_timeout });
            }
            Event::Due if client.watch.is_retiring() && !leaving => {
                leaving = true;
                client.watch.set_idle(false);
                client.watch.set(if busy { limits.inactivity_timeout } else { GOOD_BYE });
                connection.graceful_shutdown();
            }
            // What is under way has deadlines of its own.
            Event::Due if busy || (state.moved.take() && state.has_unsent(connection)) => {
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
                let _ = client.watch.within(poll_fn(|context| connection.poll_closed(context))).await;
                return;
            }
            Event::Failed | Event::End => return,
        }
    }
}

async fn next(
    client: &Client,
    state: &State,
    connection: &mut Connection<ClientWire, Bytes>,
    busy: bool,
) -> Event {
    poll_fn(|context| {
        let accepted = connection.poll_accept(context);
        if let Some(flood) = state.flood() {
            return Poll::Ready(Event::Flood(flood));
        }
        match accepted {
            Poll::Ready(Some(Ok(stream))) => return Poll::Ready(Event::Stream(Box::new(stream))),
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Event::Failed),
            Poll::Ready(None) => return Poll::Ready(Event::End),
            Poll::Pending => {}
        }
        if let Poll::Ready(Err(_)) = state.poll_send(client, context) {
            return Poll::Ready(Event::Failed);
        }
        if busy && state.active.get() == 0 {
            return Poll::Ready(Event::Quiet);
        }
        let mut waker = state.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        drop(waker);
        client.watch.poll_expired(context).map(|_| Event::Due)
    })
    .await
}
