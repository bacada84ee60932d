//! The access log (spec: gateways 20, R44): one JSON line for each request, written by a thread of its own. A disk that does
//! not keep up costs lines, never requests; how many is said once a second at most, and counted.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::h1::head::{Name, Request};
use crate::meter::Outcome;
use crate::settings::AccessLog;
use crate::table::Served;
use crate::trace::{Context, Incoming, incoming};
use routing::decide::Chosen;

/// All requests, in hundredths of a percent.
const ALL: u16 = 10_000;
/// Lines that may wait for the disk.
const QUEUE: usize = 8192;

/// Where workers hand in lines.
#[derive(Debug)]
pub(crate) struct AccessLogger {
    lines: SyncSender<Vec<u8>>,
    lost: Arc<AtomicU64>,
    /// The file is to be opened again.
    moved: Arc<AtomicBool>,
    /// Share of the requests that are written, in hundredths of a percent.
    sample: u16,
    /// Requests that went well.
    seen: AtomicU64,
}

/// What is known about a finished request or connection.
pub(crate) struct Entry<'a> {
    pub(crate) client: SocketAddr,
    /// Head and the buffer that holds it; `None` for tcp and for heads that could not be read.
    pub(crate) request: Option<(&'a Request, &'a [u8])>,
    pub(crate) served: Option<&'a Served>,
    pub(crate) chosen: Option<Chosen>,
    pub(crate) outcome: &'a Outcome,
    /// The proxy's own place in a trace; else that of the request counts.
    pub(crate) trace: Option<Context>,
}

/// One line, in the order of its keys.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway_lookup: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route_lookup: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    client: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    status: u16,
    request_bytes: u64,
    response_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    total_ms: f64,
    retries: u8,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    /// Share of such requests that are written, when it is not all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<f64>,
}

impl AccessLogger {
    /// Opens the log and starts its writer.
    pub(crate) fn start(target: &AccessLog, sample: u16) -> io::Result<Self> {
        let out: Out = match target {
            AccessLog::Stdout => Box::new(io::stdout()),
            AccessLog::File(path) => append_to(path)?,
        };
        let (lines, queue) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let moved = Arc::<AtomicBool>::default();
        let (again, target) = (Arc::clone(&moved), target.clone());
        let reopen = move || match &target {
            AccessLog::File(path) if again.swap(false, Relaxed) => Some(append_to(path)),
            _ => None,
        };
        std::thread::Builder::new()
            .name("vamp-access-log".into())
            .spawn(move || write_lines(BufWriter::new(out), &queue, &counter, reopen))?;
        Ok(Self { lines, lost, moved, sample, seen: AtomicU64::new(0) })
    }

    /// Opens the file again before the next line, since it was moved away.
    pub(crate) fn reopen(&self) {
        self.moved.store(true, Relaxed);
    }

    /// Hands in one entry, or not if it is not among those that are written; never waits.
    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let mut line = entry.line_if(|| self.draws());
        let Some(line) = &mut line else { return };
        if line.error.is_none() && line.status < 500 && self.sample < ALL {
            line.sample = Some(f64::from(self.sample) / f64::from(ALL));
        }
        let Ok(mut line) = serde_json::to_vec(line) else { return };
        line.push(b'\n');
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// True for the share of calls that are written, evenly spread.
    fn draws(&self) -> bool {
        let (all, share) = (u64::from(ALL), u64::from(self.sample.min(ALL)));
        let turn = self.seen.fetch_add(1, Relaxed) % all;
        (turn + 1) * share / all > turn * share / all
    }

    /// Lines lost since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

impl<'a> Entry<'a> {
    /// The line of a request that failed, or that is drawn.
    fn line_if(&self, drawn: impl FnOnce() -> bool) -> Option<Line<'a>> {
        let failed = self.outcome.error.is_some() || self.outcome.status >= 500;
        (failed || drawn()).then(|| self.line())
    }

    fn line(&self) -> Line<'a> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ms = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        let config = self.served.map(|served| &*served.gateway.config);
        let route = config.zip(self.chosen).map(|(config, chosen)| &config.routes[chosen.route]);
        let target = self.served.zip(self.chosen).map(|(served, chosen)| &served.compiled(chosen).config);
        let request = self.request;
        let came = || match incoming(request?.0, request?.1) {
            Incoming::Valid(context) => Some(context),
            _ => None,
        };
        Line {
            time: jiff::Timestamp::now().to_string(),
            gateway: config.map(|config| config.name.as_str()),
            gateway_lookup: config.map(|config| config.lookup.as_str()),
            route: route.map(|route| route.path.as_str()),
            route_lookup: route.map(|route| route.lookup.as_str()),
            target: target.map(|target| target.name.as_str()),
            client: self.client,
            method: request.map(|(request, buffer)| text(request.method.of(buffer))),
            host: request.and_then(|(request, buffer)| {
                request.fields.known(Name::Host).next().map(|field| text(field.value.of(buffer)))
            }),
            path: request.map(|(request, buffer)| text(request.target.of(buffer))),
            status: self.outcome.status,
            request_bytes: self.outcome.received,
            response_bytes: self.outcome.sent,
            wait_ms: self.outcome.waited.map(ms),
            connect_ms: self.outcome.connected.map(ms),
            first_byte_ms: self.outcome.first_byte.map(ms),
            total_ms: ms(self.outcome.total),
            retries: self.outcome.retries,
            reason: self.outcome.reason.as_str(),
            error: self.outcome.error,
            trace: self.trace.or_else(came).map(|context| format!("{:032x}", context.trace)),
            sample: None,
        }
    }
}

type Out = Box<dyn Write + Send>;

fn append_to(path: &Path) -> io::Result<Out> {
    Ok(Box::new(OpenOptions::new().create(true).append(true).open(path)?))
}

/// `reopen` answers what to write to from now on, if that has changed.
fn write_lines(
    mut out: BufWriter<Out>,
    queue: &Receiver<Vec<u8>>,
    lost: &AtomicU64,
    mut reopen: impl FnMut() -> Option<io::Result<Out>>,
) {
    let (mut failing, mut told, mut told_at) = (false, 0, Instant::now());
    let mut check = |result: io::Result<()>| match result {
        Ok(()) => failing = false,
        Err(error) => {
            if !std::mem::replace(&mut failing, true) {
                tracing::error!(%error, "the access log cannot be written");
            }
        }
    };
    loop {
        let line = match queue.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                check(out.flush());
                match queue.recv() {
                    Ok(line) => line,
                    Err(_) => break,
                }
            }
        };
        match reopen() {
            None => {}
            Some(Ok(other)) => {
                check(out.flush());
                out = BufWriter::new(other);
            }
            Some(Err(error)) => {
                tracing::error!(%error, "the access log cannot be opened again; the old file goes on")
            }
        }
        let result = out.write_all(&line);
        if result.is_err() {
            lost.fetch_add(1, Relaxed);
        }
        check(result);
        let so_far = lost.load(Relaxed);
        if so_far > told && told_at.elapsed() >= Duration::from_secs(1) {
            tracing::warn!(lines = so_far - told, "lines of the access log were lost");
            (told, told_at) = (so_far, Instant::now());
        }
    }
    // The last lines; nobody is left to be told if that fails.
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refuses everything.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let (lines, queue) = sync_channel(QUEUE);
        let lost = AtomicU64::new(0);
        for _ in 0..3 {
            // Larger than the buffer of the writer.
            lines.send(vec![b'x'; 64 * 1024]).unwrap();
        }
        drop(lines);
        write_lines(BufWriter::new(Box::new(Full)), &queue, &lost, || None);
        assert_eq!(lost.load(Relaxed), 3);
    }

    #[test]
    fn lines_beyond_the_queue_are_counted() {
        let (lines, _queue) = sync_channel(2);
        let log = AccessLogger {
            lines,
            lost: Arc::default(),
            moved: Arc::default(),
            sample: ALL,
            seen: AtomicU64::new(0),
        };
        let outcome = Outcome::new(200, routing::decide::Reason::Weight, Duration::ZERO);
        for _ in 0..5 {
            log.write(&Entry {
                client: SocketAddr::from(([127, 0, 0, 1], 1)),
                request: None,
                served: None,
                chosen: None,
                outcome: &outcome,
                trace: None,
            });
        }
        assert_eq!(log.lost(), 3);
    }

    #[test]
    fn a_share_is_written_and_every_failure() {
        let (lines, queue) = sync_channel(QUEUE);
        let log = AccessLogger {
            lines,
            lost: Arc::default(),
            moved: Arc::default(),
            sample: 1_000,
            seen: AtomicU64::new(0),
        };
        let good = Outcome::new(200, routing::decide::Reason::Weight, Duration::ZERO);
        let entry = |outcome| Entry {
            client: SocketAddr::from(([127, 0, 0, 1], 1)),
            request: None,
            served: None,
            chosen: None,
            outcome,
            trace: None,
        };
        let (bad, gone) = (Outcome { status: 500, ..good }, good.with_error("client"));
        for _ in 0..100 {
            log.write(&entry(&good));
        }
        log.write(&entry(&bad));
        log.write(&entry(&gone));
        drop(log);
        let lines: Vec<serde_json::Value> =
            queue.iter().map(|line| serde_json::from_slice(&line).unwrap()).collect();
        assert_eq!(lines.len(), 12);
        assert!(lines[..10].iter().all(|line| line["sample"] == 0.1), "{lines:?}");
        assert!(lines[10..].iter().all(|line| line.get("sample").is_none()), "{lines:?}");
    }
}
