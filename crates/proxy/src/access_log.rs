//! The access log (spec: gateways 20, R44): one JSON line for each request, written by a thread of its own. A disk that does
//! not keep up costs lines, never requests; how many is said once a second at most, and counted.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::h1::head::{Name, Request};
use crate::meter::Outcome;
use crate::settings::AccessLog;
use crate::table::Served;
use routing::decide::Chosen;

/// Lines that may wait for the disk.
const QUEUE: usize = 8192;

/// Where workers hand in lines.
#[derive(Debug)]
pub(crate) struct AccessLogger {
    lines: SyncSender<Vec<u8>>,
    lost: Arc<AtomicU64>,
}

/// What is known about a finished request or connection.
pub(crate) struct Entry<'a> {
    pub(crate) client: SocketAddr,
    /// Head and the buffer that holds it; `None` for tcp and for heads that could not be read.
    pub(crate) request: Option<(&'a Request, &'a [u8])>,
    pub(crate) served: Option<&'a Served>,
    pub(crate) chosen: Option<Chosen>,
    pub(crate) outcome: &'a Outcome,
    pub(crate) connected: Option<Duration>,
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
    connect_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    total_ms: f64,
    retries: u8,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl AccessLogger {
    /// Opens the log and starts its writer.
    pub(crate) fn start(target: &AccessLog) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = match target {
            AccessLog::Stdout => Box::new(io::stdout()),
            AccessLog::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        let (lines, queue) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        std::thread::Builder::new()
            .name("vamp-access-log".into())
            .spawn(move || write_lines(BufWriter::new(out), &queue, &counter))?;
        Ok(Self { lines, lost })
    }

    /// Hands in one entry; never waits.
    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let Ok(mut line) = serde_json::to_vec(&entry.line()) else { return };
        line.push(b'\n');
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Lines lost since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

impl<'a> Entry<'a> {
    fn line(&self) -> Line<'a> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ms = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        let config = self.served.map(|served| &*served.gateway.config);
        let route = config.zip(self.chosen).map(|(config, chosen)| &config.routes[chosen.route]);
        let target = self.served.zip(self.chosen).map(|(served, chosen)| &served.compiled(chosen).config);
        let request = self.request;
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
            connect_ms: self.connected.map(ms),
            first_byte_ms: self.outcome.first_byte.map(ms),
            total_ms: ms(self.outcome.total),
            retries: self.outcome.retries,
            reason: self.outcome.reason.as_str(),
            error: self.outcome.error,
        }
    }
}

fn write_lines(mut out: BufWriter<Box<dyn Write + Send>>, queue: &Receiver<Vec<u8>>, lost: &AtomicU64) {
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
        write_lines(BufWriter::new(Box::new(Full)), &queue, &lost);
        assert_eq!(lost.load(Relaxed), 3);
    }

    #[test]
    fn lines_beyond_the_queue_are_counted() {
        let (lines, _queue) = sync_channel(2);
        let log = AccessLogger { lines, lost: Arc::default() };
        let outcome = Outcome::new(200, routing::decide::Reason::Weight, Duration::ZERO);
        for _ in 0..5 {
            log.write(&Entry {
                client: SocketAddr::from(([127, 0, 0, 1], 1)),
                request: None,
                served: None,
                chosen: None,
                outcome: &outcome,
                connected: None,
            });
        }
        assert_eq!(log.lost(), 3);
    }
}
