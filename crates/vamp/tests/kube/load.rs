//! A steady load that looks at every response: requests leave when it is their time, whether or not earlier ones were answered, and
//! how long they take counts from then.
//!
//! It shares the processors with the cluster that it measures. So it speaks HTTP/1.1 over bare sockets, from a thread of its own, and
//! says in the end how late its requests left: figures of a load that could not keep up with itself mean nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Requests that may be under way at once. When all are, the next leave late. Without a given rate they are few: a machine that is too
/// busy for the usual one then slows the load down, instead of being asked for more and more.
fn most() -> usize {
    if std::env::var_os("VAMP_TEST_RATE").is_some() { 256 } else { 32 }
}

/// How long a request may take. Far above what a machine that has too much to do makes of it: a connection whose first packets are lost
/// is tried again by the kernel after 1, 3, 7 and 15 s, and all of that would be seen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What takes longer has met more than a busy machine: a packet that was lost and sent again, for example.
const SLOW: Duration = Duration::from_millis(900);

/// How clients use their connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// One request after the other.
    Kept,
    /// A new one for each request.
    New,
}

/// A load that runs.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<Seen>,
}

struct Shared {
    address: SocketAddr,
    request: Vec<u8>,
    connections: Connections,
    /// Requests a second.
    rate: u64,
    begin: Instant,
    /// The next request's place in time.
    next: AtomicU64,
    answered: AtomicU64,
    stop: AtomicBool,
}

/// What a load saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How often each outcome came: `200`, or all that is known of what went wrong.
    outcomes: BTreeMap<String, usize>,
    /// Microseconds for each request, from when it was due.
    took: Vec<u64>,
    /// Microseconds from when each request was due until it left.
    late: Vec<u64>,
    connects: usize,
    /// Requests that took longer than [`SLOW`], by the second they were due in: how many, and how many of them waited for a connection.
    slow: BTreeMap<u64, (usize, usize)>,
    elapsed: Duration,
}

impl Load {
    /// Begins with `rate` requests a second for an `http` URL with an address in it.
    pub(crate) fn start(url: &str, rate: u64, connections: Connections) -> Self {
        let url = reqwest::Url::parse(url).unwrap();
        let address = url.socket_addrs(|| None).unwrap()[0];
        let close = if connections == Connections::New { "Connection: close\r\n" } else { "" };
        let request = format!("GET {} HTTP/1.1\r\nHost: {address}\r\n{close}\r\n", url.path());
        let shared = Arc::new(Shared {
            address,
            request: request.into_bytes(),
            connections,
            rate,
            begin: Instant::now(),
            next: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let running = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("load".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&running))
        });
        Self { shared, thread: thread.unwrap() }
    }

    /// Waits until `count` more requests were answered.
    pub(crate) async fn more(&self, count: u64) {
        let goal = self.shared.answered.load(Ordering::Acquire) + count;
        let end = Instant::now() + testkit::kube::PATIENCE;
        while self.shared.answered.load(Ordering::Acquire) < goal {
            assert!(Instant::now() < end, "the load does not get on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Seconds since it began.
    pub(crate) fn seconds(&self) -> f64 {
        self.shared.begin.elapsed().as_secs_f64()
    }

    /// Ends, after what is under way is answered.
    pub(crate) async fn finish(self) -> Seen {
        self.shared.stop.store(true, Ordering::Release);
        let elapsed = self.shared.begin.elapsed();
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await.unwrap();
        Seen { elapsed, ..joined.expect("a load that ends") }
    }
}

async fn run(shared: &Arc<Shared>) -> Seen {
    let mut clients = JoinSet::new();
    for _ in 0..most() {
        clients.spawn(client(Arc::clone(shared)));
    }
    let mut all = Seen::default();
    while let Some(seen) = clients.join_next().await {
        let seen = seen.expect("a client that ends");
        all.took.extend(seen.took);
        all.late.extend(seen.late);
        all.connects += seen.connects;
        for (second, (count, connecting)) in seen.slow {
            let known = all.slow.entry(second).or_default();
            *known = (known.0 + count, known.1 + connecting);
        }
        for (outcome, count) in seen.outcomes {
            *all.outcomes.entry(outcome).or_default() += count;
        }
    }
    all.took.sort_unstable();
    all.late.sort_unstable();
    all
}

/// Takes the next request that nobody has taken, whenever it is free.
async fn client(shared: Arc<Shared>) -> Seen {
    let mut seen = Seen::default();
    let mut connection = None;
    loop {
        let turn = shared.next.fetch_add(1, Ordering::Relaxed);
        let due = shared.begin + Duration::from_micros(1_000_000 * turn / shared.rate);
        sleep_until(due).await;
        if shared.stop.load(Ordering::Acquire) {
            return seen;
        }
        seen.late.push(micros(due.elapsed()));
        let mut connecting = Duration::ZERO;
        let exchanged = exchange(&shared, connection.take(), &mut connecting).await;
        seen.connects += usize::from(!connecting.is_zero());
        if due.elapsed() > SLOW {
            let slow = seen.slow.entry(due.duration_since(shared.begin).as_secs()).or_default();
            *slow = (slow.0 + 1, slow.1 + usize::from(connecting > SLOW));
        }
        let (outcome, kept) = match exchanged {
            Ok((answer, kept)) => (answer.to_string(), kept),
            Err(failure) => (failure, None),
        };
        connection = kept;
        seen.took.push(micros(due.elapsed()));
        shared.answered.fetch_add(1, Ordering::AcqRel);
        if outcome != "200" {
            eprintln!("at {:.1} s: {outcome}", shared.begin.elapsed().as_secs_f64());
        }
        *seen.outcomes.entry(outcome).or_default() += 1;
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// One request. The answer, and the connection if it can be used again. `connecting`: how long a new one took, if it needed one.
async fn exchange(
    shared: &Shared,
    kept: Option<TcpStream>,
    connecting: &mut Duration,
) -> Result<(Head, Option<TcpStream>), String> {
    let end = Instant::now() + PATIENCE;
    let said = |what: &str, stream: Option<&TcpStream>, error: &dyn fmt::Display| {
        let own = stream.and_then(|stream| stream.local_addr().ok());
        format!("{what} (from {own:?}): {error}")
    };
    // One that the other side has closed in order is not used again.
    let kept = kept.filter(
        |stream| matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock),
    );
    let mut stream = match kept {
        Some(stream) => stream,
        None => {
            let begin = Instant::now();
            let connected = timeout_at(end, TcpStream::connect(shared.address)).await;
            *connecting = begin.elapsed();
            match connected {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(said("not connected", None, &error)),
                Err(late) => return Err(said("not connected", None, &late)),
            }
        }
    };
    let mut answer = Vec::new();
    let conversed = timeout_at(end, async {
        stream.set_nodelay(true)?;
        stream.write_all(&shared.request).await?;
        receive(&mut stream, &mut answer).await
    });
    match conversed.await {
        Ok(Ok(head)) => {
            let again = shared.connections == Connections::Kept && !head.closes;
            Ok((head, again.then_some(stream)))
        }
        Ok(Err(error)) => Err(said(&format!("cut after {} bytes", answer.len()), Some(&stream), &error)),
        Err(late) => Err(said(&format!("stopped after {} bytes", answer.len()), Some(&stream), &late)),
    }
}

/// What matters of the head of a response.
struct Head {
    status: u16,
    length: Length,
    closes: bool,
    /// Why the proxy made it, if it did.
    own: Option<String>,
}

enum Length {
    Bytes(usize),
    Chunks,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        self.own.as_ref().map_or(Ok(()), |reason| write!(f, ", made by the proxy: {reason}"))
    }
}

/// Reads a whole response.
async fn receive(stream: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<Head> {
    let mut head = None;
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if head.is_none() {
            head = parse(answer)?;
        }
        if let Some((begin, found)) = head.take() {
            let body = &answer[begin..];
            let whole = match found.length {
                Length::Bytes(length) => body.len() >= length,
                Length::Chunks => body.ends_with(b"0\r\n\r\n"),
            };
            if whole {
                return Ok(found);
            }
            head = Some((begin, found));
        }
    }
}

/// The head and where it ends, once it is there.
fn parse(answer: &[u8]) -> io::Result<Option<(usize, Head)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let end = match response.parse(answer).map_err(io::Error::other)? {
        httparse::Status::Complete(end) => end,
        httparse::Status::Partial => return Ok(None),
    };
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let length = match value("content-length") {
        Some(text) => Length::Bytes(text.parse().map_err(io::Error::other)?),
        None if value("transfer-encoding").is_some() => Length::Chunks,
        None => return Err(io::Error::other("a response without an end")),
    };
    let closes = value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let own = value("vamp-proxy-error").map(str::to_owned);
    Ok(Some((end, Head { status: response.code.unwrap_or_default(), length, closes, own })))
}

impl Seen {
    /// All outcomes but good ones.
    pub(crate) fn failed(&self) -> BTreeMap<&str, usize> {
        self.outcomes.iter().filter(|(o, _)| *o != "200").map(|(o, count)| (o.as_str(), *count)).collect()
    }

    /// The figures.
    pub(crate) fn figures(&self) -> String {
        let at = |values: &[u64], share: usize| {
            let index = (values.len() * share / 1000).min(values.len().saturating_sub(1));
            values.get(index).copied().unwrap_or_default() as f64 / 1000.0
        };
        let took = |share| at(&self.took, share);
        format!(
            "{} requests over {} connections, {:.0}/s, {} failed; p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, most {:.1} ms; \
             left late: p50 {:.1} ms, p99 {:.1} ms; longer than {SLOW:?}, by second, and how many of them to connect: {:?}",
            self.took.len(),
            self.connects,
            self.took.len() as f64 / self.elapsed.as_secs_f64(),
            self.failed().values().sum::<usize>(),
            took(500),
            took(990),
            took(999),
            took(1000),
            at(&self.late, 500),
            at(&self.late, 990),
            self.slow,
        )
    }
}
