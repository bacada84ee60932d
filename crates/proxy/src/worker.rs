//! A worker: one thread, one single-threaded runtime, its own listeners, pools and buffers. Workers share nothing that changes
//! per request but atomics; what they must agree on arrives as a message.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use routing::decide::Dice;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use crate::access_log::AccessLogger;
use crate::buffers::Buffers;
use crate::descriptors::Descriptors;
use crate::h1::head::Request;
use crate::h2::links::Links;
use crate::h2::seat::Seats;
use crate::h2::server::{self, Arrived};
use crate::health::Care;
use crate::listener::{Key, Listener};
use crate::pipes::Pipes;
use crate::recent::Recent;
use crate::scratch::Scratch;
use crate::secure::Counts;
use crate::settings::Settings;
use crate::table::Table;
use crate::timer::Sweeper;
use crate::trace::{self, Part, TraceContext};
use crate::upstream::Pool;
use crate::vital::Failures;

/// What all workers share; fixed while the proxy runs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) log: Option<AccessLogger>,
    pub(crate) recent: Recent,
    pub(crate) care: Arc<Care>,
    /// Idle connections to targets, by worker.
    pub(crate) idle: Box<[AtomicUsize]>,
    /// See [`crate::Proxy::send_away`].
    pub(crate) leaving: Arc<AtomicBool>,
    /// Connections accepted since then.
    pub(crate) newcomers: AtomicU64,
    pub(crate) handshakes: Counts,
    pub(crate) failures: Failures,
    pub(crate) descriptors: Descriptors,
}

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// A new table, sockets to add and listeners to give up. Answered when nothing will be sent under an older table.
    Apply {
        table: Arc<Table>,
        add: Vec<(Key, std::net::TcpListener)>,
        remove: Vec<Key>,
        done: oneshot::Sender<()>,
    },
    /// Asks for the listening sockets, as copies for another process.
    Share { done: oneshot::Sender<Vec<std::net::TcpListener>> },
    /// Stop accepting, close what is idle, and finish what is under way within that time. Answers how many connections
    /// were cut off. The worker ends.
    Drain { deadline: Duration, done: oneshot::Sender<usize> },
}

/// The state of a worker, shared by its tasks.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) pipes: Rc<Pipes>,
    pub(crate) pool: Pool,
    pub(crate) links: Links,
    pub(crate) seats: Seats<Arrived>,
    pub(crate) sweeper: Rc<Sweeper>,
    pub(crate) dice: RefCell<Chance>,
    table: RefCell<Arc<Table>>,
    /// Grows with every table; a decision remembers the one that it was made under.
    generation: Cell<u64>,
    listeners: RefCell<HashMap<Key, Rc<Listener>>>,
    #[expect(
        clippy::vec_box,
        reason = "lent out as they are; a move would copy them into the future of a connection"
    )]
    scratches: RefCell<Vec<Box<Scratch>>>,
}

/// Scratch space kept for the next requests.
const SCRATCHES_KEPT: usize = 64;

impl Worker {
    fn new(index: usize, shared: Arc<Shared>) -> Rc<Self> {
        let limits = &shared.settings.limits;
        Rc::new(Self {
            index,
            buffers: Rc::default(),
            pipes: Rc::default(),
            pool: Pool::new(limits.pool_size, limits.pool_idle_timeout),
            links: Links::new(limits.pool_idle_timeout),
            seats: Seats::new(server::seat),
            sweeper: Sweeper::new(Arc::clone(&shared.leaving)),
            dice: RefCell::new(Chance::new()),
            table: RefCell::default(),
            generation: Cell::new(0),
            listeners: RefCell::default(),
            scratches: RefCell::default(),
            shared,
        })
    }

    /// The table in force.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.borrow())
    }

    /// Changes whenever the table does.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// The part that the proxy takes in the trace of a request.
    pub(crate) fn take_part(&self, request: &Request, head: &[u8]) -> Option<Part> {
        let settings = &self.shared.settings;
        let exports = settings.spans.is_some();
        if settings.trace_context == TraceContext::Pass && !exports {
            return None;
        }
        let incoming = trace::incoming(request, head);
        trace::take_part(settings.trace_context, exports, incoming, &mut *self.dice.borrow_mut())
    }

    /// Space for one request.
    pub(crate) fn scratch(&self) -> Box<Scratch> {
        self.scratches.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes it back.
    pub(crate) fn give_back(&self, mut scratch: Box<Scratch>) {
        let mut scratches = self.scratches.borrow_mut();
        if scratches.len() < SCRATCHES_KEPT {
            scratch.reset();
            scratches.push(scratch);
        }
    }

    /// Puts a table in force and opens and gives up listeners; answers those given up, which still have to empty their queues.
    fn install(
        self: &Rc<Self>,
        table: &Arc<Table>,
        add: Vec<(Key, std::net::TcpListener)>,
        remove: Vec<Key>,
    ) -> Vec<Rc<Listener>> {
        self.generation.set(self.generation.get() + 1);
        *self.table.borrow_mut() = Arc::clone(table);
        let mut stopped = Vec::new();
        for key in remove {
            stopped.extend(self.listeners.borrow_mut().remove(&key));
        }
        for listener in &stopped {
            listener.serve_from(table);
            listener.stop();
            // At once: there is no gateway that could answer, and another may have the port in a moment.
            self.sweeper.retire(Some(listener.group()), Duration::ZERO);
        }
        let mut listeners = self.listeners.borrow_mut();
        for (key, socket) in add {
            let group = self.generation.get() << 20 | listeners.len() as u64;
            match Listener::start(self, key, group, socket) {
                Ok(listener) => {
                    listeners.insert(key, listener);
                }
                Err(error) => tracing::error!(?key, %error, "a listening socket cannot be used"),
            }
        }
        for listener in listeners.values() {
            listener.serve_from(table);
        }
        stopped
    }

    /// Drops idle connections that are of no use any more. True when some are left.
    fn sweep(&self) -> bool {
        let idle = self.pool.sweep();
        if let Some(count) = self.shared.idle.get(self.index) {
            count.store(idle, Relaxed);
        }
        self.links.sweep() | (idle > 0)
    }

    async fn drain(&self, deadline: Duration) -> usize {
        let end = tokio::time::Instant::now() + deadline;
        let listeners: Vec<_> = self.listeners.borrow_mut().drain().collect();
        for (_, listener) in &listeners {
            listener.stop();
        }
        for (_, listener) in listeners {
            listener.ended().await;
        }
        while self.sweeper.open() > 0 && tokio::time::Instant::now() < end {
            self.sweeper.retire(None, deadline);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.sweeper.open()
    }
}

/// Runs a worker until it is drained or the proxy is gone.
pub(crate) fn run(
    index: usize,
    shared: Arc<Shared>,
    runtime: &tokio::runtime::Runtime,
    mut messages: mpsc::UnboundedReceiver<Message>,
) {
    let _vital = shared.failures.watch("a worker of the proxy");
    let tasks = LocalSet::new();
    tasks.block_on(runtime, async move {
        let worker = Worker::new(index, shared);
        let sweeping = Rc::clone(&worker);
        tokio::task::spawn_local(async move {
            let _vital = sweeping.shared.failures.watch("the deadlines of a worker of the proxy");
            sweeping.sweeper.run(|| sweeping.sweep()).await;
        });
        while let Some(message) = messages.recv().await {
            match message {
                Message::Apply { table, add, remove, done } => {
                    for listener in worker.install(&table, add, remove) {
                        listener.ended().await;
                    }
                    // Streams that were opened before are written by the tasks of their connections, which are ahead in the queue.
                    tokio::task::yield_now().await;
                    // Every decision that is not yet sent is looked at again, because the generation changed; what was sent before
                    // this line was sent before the answer. A vanished receiver does not need it.
                    let _ = done.send(());
                }
                Message::Share { done } => {
                    let listeners = worker.listeners.borrow();
                    // Whoever asked may have gone.
                    let _ = done.send(listeners.values().filter_map(|listener| listener.share()).collect());
                }
                Message::Drain { deadline, done } => {
                    let cut = worker.drain(deadline).await;
                    worker.pool.clear();
                    worker.links.clear();
                    let _ = done.send(cut);
                    return;
                }
            }
        }
    });
}

/// Chance for the decisions of one worker; fast, not secret.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new() -> Self {
        Self(RandomState::new().hash_one(std::time::Instant::now()))
    }
}

impl Dice for Chance {
    fn roll(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}
