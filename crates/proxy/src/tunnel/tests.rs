use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use tokio::task::LocalSet;

use super::*;
use crate::timer::Sweeper;

/// A way between two peers that are driven by the test.
struct World {
    from: Stream,
    to: Stream,
    sweeper: Rc<Sweeper>,
    buffers: Rc<Buffers>,
    pipes: Rc<Pipes>,
    moved: Cell<u64>,
}

/// The two ends of a way.
struct Peers {
    source: TcpStream,
    sink: TcpStream,
}

impl World {
    fn new() -> (Self, Peers) {
        let pair = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let outer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (inner, _) = listener.accept().unwrap();
            inner.set_nonblocking(true).unwrap();
            (outer, Stream::accepted(inner))
        };
        let ((source, from), (sink, to)) = (pair(), pair());
        let world = Self {
            from,
            to,
            sweeper: Sweeper::new(Arc::default()),
            buffers: Rc::default(),
            pipes: Rc::default(),
            moved: Cell::new(0),
        };
        (world, Peers { source, sink })
    }

    async fn run(&self, patience: Duration) -> Result<(), Wait> {
        let watch = self.sweeper.watch(0);
        watch.set(patience);
        let way = Way {
            from: &self.from,
            to: &self.to,
            watch: &watch,
            patience,
            buffers: &self.buffers,
            pipes: &self.pipes,
            moved: &self.moved,
        };
        way.run().await
    }
}

fn on_a_worker<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, future)
}

fn runs<T>(world: &Rc<World>, future: impl Future<Output = T>) -> T {
    on_a_worker(async {
        let sweeper = Rc::clone(&world.sweeper);
        tokio::task::spawn_local(async move { sweeper.run(|| false).await });
        future.await
    })
}

async fn until(mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + LONG;
    while !holds() {
        assert!(std::time::Instant::now() < end, "never");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

const LONG: Duration = Duration::from_secs(30);

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(31) >> 7) as u8).collect()
}

#[test]
fn what_is_expected_of_a_burst() {
    for (before, came, expected) in [
        (false, 0, false),
        (false, MUCH - 1, false),
        (false, MUCH, true),
        (true, MUCH, true),
        (true, LITTLE, true),
        (true, LITTLE - 1, false),
    ] {
        assert_eq!(is_bulk(before, came), expected, "{before} {came}");
    }
}

#[test]
fn much_goes_through_a_pipe_and_arrives_as_it_was() {
    let (world, Peers { mut source, mut sink }) = World::new();
    let world = Rc::new(world);
    let sent = pattern(20_000_000);
    let expected = sent.clone();
    let writes = thread::spawn(move || {
        source.write_all(&sent).unwrap();
        source.shutdown(Shutdown::Write).unwrap();
    });
    let reads = thread::spawn(move || {
        let mut got = Vec::new();
        sink.read_to_end(&mut got).unwrap();
        got
    });
    assert_eq!(runs(&world, world.run(LONG)), Ok(()));
    writes.join().unwrap();
    assert!(reads.join().unwrap() == expected);
    assert_eq!(world.moved.get(), 20_000_000);
    assert_eq!((world.pipes.lent(), world.pipes.kept()), (0, 1));
}

#[test]
fn little_is_copied_and_who_waits_has_no_pipe() {
    let (world, Peers { mut source, mut sink }) = World::new();
    let world = Rc::new(world);
    let talk = thread::spawn(move || {
        let mut got = [0; 1000];
        for _ in 0..50 {
            source.write_all(&[7; 1000]).unwrap();
            sink.read_exact(&mut got).unwrap();
        }
        source.shutdown(Shutdown::Write).unwrap();
        sink.read_to_end(&mut Vec::new()).unwrap()
    });
    assert_eq!(runs(&world, world.run(LONG)), Ok(()));
    assert_eq!((talk.join().unwrap(), world.moved.get()), (0, 50_000));
    assert_eq!((world.pipes.lent(), world.pipes.kept()), (0, 0));
}

/// Much, then a word and its answer, then much again: the pipe is given back in between.
#[test]
fn a_pipe_is_held_for_no_longer_than_a_burst() {
    let (world, Peers { mut source, mut sink }) = World::new();
    let world = Rc::new(world);
    let (quiet, is_quiet) = std::sync::mpsc::channel();
    let (go, goes) = std::sync::mpsc::channel();
    let talk = thread::spawn(move || {
        let mut clone = source.try_clone().unwrap();
        for _ in 0..3 {
            let writes = thread::spawn(move || {
                clone.write_all(&pattern(3_000_000)).unwrap();
                clone
            });
            let mut got = vec![0; 3_000_000];
            sink.read_exact(&mut got).unwrap();
            assert!(got == pattern(3_000_000));
            clone = writes.join().unwrap();
            quiet.send(()).unwrap();
            goes.recv().unwrap();
        }
        source.write_all(b"bye").unwrap();
        source.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        sink.read_to_end(&mut rest).unwrap();
        rest
    });
    let result = runs(&world, async {
        let looks = async {
            for _ in 0..3 {
                until(|| is_quiet.try_recv().is_ok()).await;
                until(|| world.pipes.lent() == 0).await;
                go.send(()).unwrap();
            }
        };
        tokio::join!(world.run(LONG), looks).0
    });
    assert_eq!(result, Ok(()));
    assert_eq!(talk.join().unwrap(), b"bye");
    assert_eq!((world.moved.get(), world.pipes.lent(), world.pipes.kept()), (9_000_003, 0, 1));
}

/// Who reads nothing holds up who writes, and not for longer than anybody may be silent.
#[test]
fn back_pressure_and_its_end() {
    let (world, Peers { mut source, sink }) = World::new();
    let world = Rc::new(world);
    let writes = thread::spawn(move || {
        source.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let (mut sent, piece) = (0, vec![1; 64 * 1024]);
        while sent < 500_000_000 {
            match source.write(&piece) {
                Ok(written) => sent += written,
                Err(_) => break,
            }
        }
        (sent, source)
    });
    assert_eq!(runs(&world, world.run(Duration::from_secs(1))), Err(Wait::TimedOut));
    let (sent, _source) = writes.join().unwrap();
    assert!(sent < 100_000_000, "{sent} bytes went nowhere");
    assert_eq!((world.pipes.lent(), world.pipes.kept()), (0, 0), "one with bytes in it is closed");
    drop(sink);
}

/// Processor time of a worker for the same bytes, copied and moved by the system in turn.
#[test]
#[ignore = "measures; run alone: cargo test --release -p proxy -- --ignored --nocapture splice_takes"]
#[allow(clippy::print_stderr, reason = "says what was measured")]
fn splice_takes_how_much() {
    fn spent() -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }
    fn once(total: usize, piece: usize, pause: Duration, splices: bool) -> u64 {
        let (world, Peers { mut source, mut sink }) = World::new();
        let world = Rc::new(world);
        let all: Vec<_> = std::iter::from_fn(|| if splices { None } else { world.pipes.lend() }).collect();
        let writes = thread::spawn(move || {
            let bytes = vec![5; piece];
            for _ in 0..total / piece {
                source.write_all(&bytes).unwrap();
                if !pause.is_zero() {
                    thread::sleep(pause);
                }
            }
            source.shutdown(Shutdown::Write).unwrap();
        });
        let reads = thread::spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            while sink.read(&mut buffer).unwrap() > 0 {}
        });
        let before = spent();
        assert_eq!(runs(&world, world.run(LONG)), Ok(()));
        let took = spent() - before;
        drop(all);
        writes.join().unwrap();
        reads.join().unwrap();
        took
    }
    for (total, piece, pause) in [
        (10 << 20, 1 << 20, 0),
        (10 << 20, 256 << 10, 300),
        (4 << 20, 64 << 10, 300),
        (2 << 20, 32 << 10, 300),
        (1 << 20, 16 << 10, 300),
        (1 << 19, 8 << 10, 300),
    ] {
        let pause = Duration::from_micros(pause);
        let mut took = [Vec::new(), Vec::new()];
        for round in 0..42 {
            took[round % 2].push(once(total, piece, pause, round % 2 == 1));
        }
        let [copied, moved] = took.map(|mut took| {
            took.sort_unstable();
            took[took.len() / 2] as f64 / 1e3
        });
        eprintln!(
            "{:>8} bytes, written {:>7} at a time: copied {copied:>8.0} us, moved {moved:>8.0} us, ratio {:.2}",
            total,
            piece,
            moved / copied
        );
    }
}
