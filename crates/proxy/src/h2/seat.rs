//! The streams of a connection, driven by its task, and the memory that they run in.
//!
//! A task for each stream would be allocated for each request, copied from hand to hand on the way there, and would take its turn in the
//! queue of the worker. Here a stream has a seat: memory for its future, used again by the next, and a waker that notes which stream
//! it is before it wakes the task of the connection. That task polls whom it finds noted, once a turn, and then sends what all of them
//! have written.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Seats kept by a worker for the next streams.
const KEPT: usize = 128;
/// Places that a connection keeps while it is quiet.
const FEW: usize = 4;

/// Memory for one future, whose type only those know that made it.
pub(crate) struct Seat<W>(Box<dyn Holder<W>>);

trait Holder<W> {
    fn start(&mut self, work: W);
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

struct Held<M, F> {
    make: M,
    future: Pin<Box<Option<F>>>,
}

impl<W, M: Fn(W) -> F, F: Future<Output = ()>> Holder<W> for Held<M, F> {
    fn start(&mut self, work: W) {
        self.future.set(Some((self.make)(work)));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(future) = self.future.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let result = future.poll(context);
        if result.is_ready() {
            self.future.set(None);
        }
        result
    }
}

impl<W> Seat<W> {
    /// An empty seat for the futures that `make` makes.
    pub(crate) fn new<F: Future<Output = ()> + 'static>(make: impl Fn(W) -> F + 'static) -> Self {
        Self(Box::new(Held { make, future: Box::pin(None) }))
    }
}

/// The free seats of a worker, for futures that are made from a `W`.
pub(crate) struct Seats<W> {
    free: RefCell<Vec<Seat<W>>>,
    build: fn() -> Seat<W>,
}

impl<W> Seats<W> {
    /// `build` makes a seat when none is free.
    pub(crate) fn new(build: fn() -> Seat<W>) -> Self {
        Self { free: RefCell::default(), build }
    }

    fn take(&self) -> Seat<W> {
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(self.build)
    }

    fn give_back(&self, seat: Seat<W>) {
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT {
            free.push(seat);
        }
    }
}

impl<W> std::fmt::Debug for Seats<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seats").field("free", &self.free.borrow().len()).finish_non_exhaustive()
    }
}

/// The streams of one connection. What is dropped with it ends in the middle.
pub(crate) struct Streams<W> {
    places: Vec<Place<W>>,
    free: Vec<usize>,
    noted: Arc<Noted>,
    /// Those whose turn it is; kept for its memory.
    turn: Vec<usize>,
}

struct Place<W> {
    seat: Option<Seat<W>>,
    waker: Waker,
}

/// Who was woken since the last turn.
#[derive(Default)]
struct Noted(Mutex<List>);

#[derive(Default)]
struct List {
    woken: Vec<usize>,
    /// By place: whether it is in `woken`.
    is_woken: Vec<bool>,
    /// Of the connection.
    task: Option<Waker>,
}

impl Noted {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, place: usize) {
        let mut list = self.lock();
        match list.is_woken.get_mut(place) {
            Some(noted) if !*noted => *noted = true,
            _ => return,
        }
        list.woken.push(place);
        if list.woken.len() == 1
            && let Some(task) = &list.task
        {
            task.wake_by_ref();
        }
    }
}

/// Wakes one place. It may outlive the stream that it was given to; who sits there then is polled once in vain.
struct Call {
    place: usize,
    noted: Arc<Noted>,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.noted.wake(self.place);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.noted.wake(self.place);
    }
}

impl<W> Streams<W> {
    pub(crate) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), noted: Arc::default(), turn: Vec::new() }
    }

    /// True when none is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    /// Takes a stream up; it is polled in the next turn.
    pub(crate) fn add(&mut self, seats: &Seats<W>, work: W) {
        let mut seat = seats.take();
        seat.0.start(work);
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let place = self.places.len();
                let waker = Waker::from(Arc::new(Call { place, noted: Arc::clone(&self.noted) }));
                self.places.push(Place { seat: None, waker });
                self.noted.lock().is_woken.push(false);
                place
            }
        };
        self.places[place].seat = Some(seat);
        self.noted.wake(place);
    }

    /// Polls each stream that was woken, once; answers how many. One that wakes itself has its turn after others of the worker.
    pub(crate) fn poll(&mut self, seats: &Seats<W>, context: &Context<'_>) -> usize {
        {
            let mut list = self.noted.lock();
            if !list.task.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                list.task = Some(context.waker().clone());
            }
            std::mem::swap(&mut list.woken, &mut self.turn);
            for &place in &self.turn {
                list.is_woken[place] = false;
            }
        }
        let polled = self.turn.len();
        for place in self.turn.drain(..) {
            let Place { seat, waker } = &mut self.places[place];
            if let Some(held) = seat
                && held.0.poll(&mut Context::from_waker(waker)).is_ready()
                && let Some(seat) = seat.take()
            {
                seats.give_back(seat);
                self.free.push(place);
            }
        }
        polled
    }

    /// Gives memory back while none is under way, if it is more than a little.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() && self.places.len() > FEW {
            *self = Self::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::rc::Rc;

    use tokio::sync::Semaphore;

    use super::*;

    /// Counts what is alive.
    struct Alive(Rc<Cell<usize>>);

    impl Alive {
        fn new(count: &Rc<Cell<usize>>) -> Self {
            count.set(count.get() + 1);
            Self(Rc::clone(count))
        }
    }

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    /// Goes through the gate so many times, or only yields without one.
    struct Work {
        alive: Alive,
        turns: usize,
        gate: Option<Rc<Semaphore>>,
    }

    fn build() -> Seat<Work> {
        Seat::new(|Work { alive, turns, gate }| async move {
            let memory = [1u8; 1000];
            for _ in 0..turns {
                match &gate {
                    Some(gate) => gate.acquire().await.unwrap().forget(),
                    None => tokio::task::yield_now().await,
                }
            }
            assert_eq!(memory.iter().filter(|byte| **byte == 1).count(), 1000);
            drop(alive);
        })
    }

    async fn finish(streams: &mut Streams<Work>, seats: &Seats<Work>) {
        poll_fn(|context| {
            streams.poll(seats, context);
            if streams.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[tokio::test]
    async fn seats_are_used_again_and_hold_nothing_meanwhile() {
        let (seats, count) = (Seats::new(build), Rc::default());
        let mut streams = Streams::new();
        for turns in [0, 3, 1] {
            for more in 0..5 {
                streams.add(&seats, Work { alive: Alive::new(&count), turns: turns + more, gate: None });
            }
            assert_eq!((count.get(), streams.is_empty()), (5, false));
            finish(&mut streams, &seats).await;
            assert_eq!((count.get(), seats.free.borrow().len(), streams.places.len()), (0, 5, 5));
        }
        streams.shrink();
        assert!(streams.is_empty() && streams.places.is_empty());
    }

    #[tokio::test]
    async fn at_most_so_many_are_kept() {
        let (seats, count) = (Seats::new(build), Rc::default());
        let mut streams = Streams::new();
        for _ in 0..KEPT + 5 {
            streams.add(&seats, Work { alive: Alive::new(&count), turns: 0, gate: None });
        }
        finish(&mut streams, &seats).await;
        assert_eq!((count.get(), seats.free.borrow().len()), (0, KEPT));
    }

    #[tokio::test]
    async fn only_who_is_woken_is_polled_and_nobody_is_forgotten() {
        let (seats, count) = (Seats::new(build), Rc::default());
        let gates: Vec<Rc<Semaphore>> = (0..20).map(|_| Rc::new(Semaphore::new(0))).collect();
        let mut streams = Streams::new();
        for (turns, gate) in gates.iter().enumerate() {
            let gate = Some(Rc::clone(gate));
            streams.add(&seats, Work { alive: Alive::new(&count), turns, gate });
        }
        // A task wakes them from outside, one after the other, and often.
        let waking = async {
            for round in 0..20 {
                for gate in gates.iter().skip(round) {
                    gate.add_permits(1);
                    tokio::task::yield_now().await;
                }
            }
        };
        let all = async { tokio::join!(finish(&mut streams, &seats), waking) };
        tokio::time::timeout(std::time::Duration::from_secs(60), all).await.expect("nobody is forgotten");
        assert_eq!(count.get(), 0);
        // Without a wake nothing is polled.
        let gate = Rc::new(Semaphore::new(0));
        streams.add(&seats, Work { alive: Alive::new(&count), turns: 1, gate: Some(Rc::clone(&gate)) });
        let polled: Vec<usize> = poll_fn(|context| {
            let first = streams.poll(&seats, context);
            let second = streams.poll(&seats, context);
            gate.add_permits(1);
            Poll::Ready(vec![first, second, streams.poll(&seats, context)])
        })
        .await;
        assert_eq!((polled, count.get()), (vec![1, 0, 1], 0));
    }

    #[tokio::test]
    async fn what_is_dropped_in_the_middle_is_gone() {
        let (seats, count) = (Seats::new(build), Rc::default());
        let mut streams = Streams::new();
        streams.add(&seats, Work { alive: Alive::new(&count), turns: 5, gate: None });
        poll_fn(|context| Poll::Ready(streams.poll(&seats, context))).await;
        assert_eq!(count.get(), 1);
        drop(streams);
        assert_eq!((count.get(), seats.free.borrow().len()), (0, 0));
    }
}
