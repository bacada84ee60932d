//! Damaged requests and responses through the real proxy, with a strict reader at the other end.
//!
//! ```text
//! damaged requests --> proxy --> strict target   every request that it sees is well-formed, and each is answered once
//! strict client   <--  proxy <-- damaged responses   what it sees is well-formed or cut off, and never another's answer
//! ```
//!
//! Seeds are fixed, so that a failure comes again; it prints what was sent. `VAMP_FUZZ_SEED` and `VAMP_FUZZ_CASES` widen the search.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Bench, gateway, route, short};

/// SplitMix64.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit.max(1) as u64) as usize
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// Breaks a message in a few places, or in none.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>, words: &[&[u8]]) {
        for _ in 0..self.below(5) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(12)).min(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => {
                    bytes[at] =
                        *self.pick(&[&b'\r', &b'\n', &0, &b' ', &b'\t', &b':', &0x0b, &0xff, &b',', &b';'])
                }
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let copy = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, copy);
                }
                _ => {
                    // Most words mean something at the start of a line.
                    let starts: Vec<usize> = bytes
                        .windows(2)
                        .enumerate()
                        .filter(|(_, w)| w == b"\r\n")
                        .map(|(i, _)| i + 2)
                        .collect();
                    let at = if self.below(4) == 0 || starts.is_empty() {
                        at
                    } else {
                        starts[self.below(starts.len())]
                    };
                    let word = self.pick(words);
                    bytes.splice(at..at, word.iter().copied());
                }
            }
        }
    }
}

pub(crate) const REQUESTS: &[&[u8]] = &[
    b"GET /a HTTP/1.1\r\nHost: shop.test\r\nAccept: */*\r\nCookie: a=b; vamp_r_1=x\r\n\r\n",
    b"POST /b?x=1 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 47\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\nX: y\r\n\r\n",
    b"POST /c HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;e=1\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    b"PUT http://shop.test/d HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive, x-a\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /e HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive\r\n\r\n",
    b"GET /f HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST /g HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    b"OPTIONS * HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 1.2.3.4\r\nVamp-Hops: 1\r\n\r\n",
];

pub(crate) const REQUEST_WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"\x0b",
    b"\r\n ",
    b"chunked",
    b", chunked",
    b"HTTP/1.0",
    b"%0d%0a",
    b"0\r\n\r\n",
    b"5;e\r\n",
    b"0x3\r\n",
    b"+3\r\n",
    b"fffffffffffffffff\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: +3\r\n",
    b"Content-Length: 3, 3\r\n",
    b"Content-Length:\r\n",
    b"Content_Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding:\tchunked \r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: content-length, host\r\n",
    b"Connection: close\r\n",
    b"Connection: transfer-encoding, cookie, x-forwarded-for\r\n",
    b"Host: other\r\n",
    b"Host:\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\nHTTP2-Settings: x\r\n",
    b"TE: trailers\r\n",
    b"Keep-Alive: 5\r\n",
    b"Vamp-Hops: 99999999999\r\n",
    b"X-Forwarded-For: \r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    b"GET /x\r\n",
];

const RESPONSES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;e=1\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: x\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 500 Oh no\r\nConnection: close, x-a\r\nX-A: 1\r\nContent-Length: 1\r\n\r\nx",
];

const RESPONSE_WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\r\n ",
    b"chunked",
    b"0\r\n\r\n",
    b"0x3\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 05\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: content-length\r\n",
    b"Connection: close\r\n",
    b"Upgrade: x\r\nConnection: upgrade\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    b"Vamp-Proxy-Error: x\r\n",
    b"evil",
];

/// A message that was read strictly.
#[derive(Debug)]
struct Strict {
    start: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Strict {
    fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// Why nothing was read.
#[derive(Debug)]
enum Fault {
    /// Closed, reset or silent in the middle or before.
    Ended,
    /// Not what the other side may send.
    Malformed(String),
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Ended
    }
}

/// Reads messages that keep every rule, and nothing else.
struct Reader {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Reader {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream, bytes: Vec::new() }
    }

    fn fill(&mut self) -> Result<(), Fault> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer)? {
            0 => Err(Fault::Ended),
            read => {
                self.bytes.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        while self.bytes.len() < length {
            self.fill()?;
        }
        Ok(self.bytes.drain(..length).collect())
    }

    fn line(&mut self) -> Result<String, Fault> {
        loop {
            if let Some(end) = self.bytes.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                let line =
                    line.strip_suffix(b"\r\n").ok_or_else(|| Fault::Malformed("bare line feed".into()))?;
                let bad = |b: &u8| *b != b'\t' && (*b < b' ' || *b == 0x7f);
                if line.iter().any(bad) {
                    return Err(Fault::Malformed(format!(
                        "control character in {:?}",
                        String::from_utf8_lossy(line)
                    )));
                }
                return Ok(String::from_utf8_lossy(line).into_owned());
            }
            self.fill()?;
        }
    }

    fn fields(&mut self) -> Result<Vec<(String, String)>, Fault> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            match line.split_once(':') {
                Some((name, value)) if !name.is_empty() && name.bytes().all(token) => {
                    fields.push((name.to_owned(), value.trim().to_owned()));
                }
                _ => return Err(Fault::Malformed(format!("field {line:?}"))),
            }
        }
    }

    fn message(&mut self, has_body: impl Fn(&Strict) -> bool) -> Result<Strict, Fault> {
        let mut message = Strict { start: self.line()?, fields: self.fields()?, body: Vec::new() };
        let (lengths, codings) = (message.all("content-length").len(), message.all("transfer-encoding"));
        if lengths + codings.len() > 1 || codings.iter().any(|coding| *coding != "chunked") {
            return Err(Fault::Malformed(format!("framing of {message:?}")));
        }
        let chunked = !codings.is_empty();
        if !has_body(&message) {
            return Ok(message);
        }
        if let Some(length) = message.all("content-length").first() {
            let digits =
                length.bytes().all(|b| b.is_ascii_digit()) && (*length == "0" || !length.starts_with('0'));
            let length = length.parse().ok().filter(|_| digits);
            let length = length.ok_or_else(|| Fault::Malformed(format!("length of {message:?}")))?;
            message.body = self.exactly(length)?;
        }
        if chunked {
            message.body = self.chunks()?;
        }
        Ok(message)
    }

    fn chunks(&mut self) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let hex = !line.is_empty() && line.bytes().all(|b| b.is_ascii_hexdigit());
            let size = usize::from_str_radix(&line, 16).ok().filter(|_| hex);
            let size = size.ok_or_else(|| Fault::Malformed(format!("chunk size {line:?}")))?;
            if size == 0 {
                self.fields()?;
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            if !self.line()?.is_empty() {
                return Err(Fault::Malformed("chunk without end".into()));
            }
        }
    }

    fn request(&mut self) -> Result<Strict, Fault> {
        let request = self.message(|_| true)?;
        let parts: Vec<&str> = request.start.split(' ').collect();
        let graphic = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let once = ["host", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"];
        let never = ["te", "keep-alive", "proxy-connection", "http2-settings", "vamp-hops"];
        let good = matches!(parts[..], [method, target, "HTTP/1.1"]
                if graphic(method) && graphic(target) && (target.starts_with('/') || target == "*"))
            && once.iter().all(|name| request.all(name).len() == 1)
            && never.iter().all(|name| request.all(name).is_empty())
            && request.all("connection").iter().all(|value| *value == "upgrade")
            && !request.all("cookie").iter().any(|cookie| cookie.starts_with("vamp_"));
        if good { Ok(request) } else { Err(Fault::Malformed(format!("{request:?}"))) }
    }

    fn response(&mut self) -> Result<Strict, Fault> {
        loop {
            let bodiless = |message: &Strict| matches!(status(message), 100..=199 | 204 | 304);
            let response = self.message(|message| !bodiless(message))?;
            let framed = bodiless(&response)
                || !response.all("content-length").is_empty()
                || !response.all("transfer-encoding").is_empty();
            if !response.start.starts_with("HTTP/1.1 ") || !(100..600).contains(&status(&response)) {
                return Err(Fault::Malformed(format!("{response:?}")));
            }
            // One that only the close delimits goes to HTTP/1.0 clients only.
            if !framed && !response.all("connection").contains(&"close") {
                return Err(Fault::Malformed(format!("no end: {response:?}")));
            }
            if status(&response) >= 200 {
                return Ok(response);
            }
        }
    }
}

fn status(message: &Strict) -> u16 {
    message.start.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Serves each connection on a thread of its own, as long as the process lives.
fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Counts panics of the proxy's threads, which end no more than a connection and could go unnoticed.
fn panics() -> Arc<AtomicUsize> {
    let (count, counter) = (Arc::new(AtomicUsize::new(0)), std::panic::take_hook());
    let seen = Arc::clone(&count);
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name().is_some_and(|name| name.starts_with("vamp-proxy")) {
            seen.fetch_add(1, SeqCst);
        }
        counter(info);
    }));
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn damaged_requests() {
    let panics = panics();
    let seen = Arc::new(Mutex::new((0_usize, Vec::new())));
    let record = Arc::clone(&seen);
    let target = listen(move |stream| {
        let (mut writer, mut reader) = (stream.try_clone().unwrap(), Reader::new(stream));
        loop {
            let count = match reader.request() {
                Ok(_) => {
                    let mut seen = record.lock().unwrap();
                    seen.0 += 1;
                    seen.0
                }
                Err(Fault::Ended) => return,
                Err(Fault::Malformed(what)) => return record.lock().unwrap().1.push(what),
            };
            // Closes now and then without a word, as targets do.
            if writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Seen: 1\r\n\r\nok").is_err()
                || count.is_multiple_of(7)
            {
                return;
            }
        }
    });
    let bench = Bench::with(|settings| settings.workers = 1);
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target])])]).await;
    let address = bench.proxy.virtual_host_address().unwrap();
    let (mut served, mut refused) = (0, 0);
    let first = setting("VAMP_FUZZ_SEED", 0);
    for seed in first..first + setting("VAMP_FUZZ_CASES", 3000) {
        let mut chance = Chance(seed);
        let mut bytes = Vec::new();
        for _ in 0..=chance.below(3) {
            bytes.extend_from_slice(chance.pick(REQUESTS));
        }
        chance.damage(&mut bytes, REQUEST_WORDS);
        let before = seen.lock().unwrap().0;
        let stream = TcpStream::connect(address).unwrap();
        let (mut writer, mut reader) = (stream.try_clone().unwrap(), Reader::new(stream));
        let middle = chance.below(bytes.len());
        // A proxy that has enough may have closed already.
        let _ = writer.write_all(&bytes[..middle]).and_then(|()| writer.write_all(&bytes[middle..]));
        let _ = writer.shutdown(Shutdown::Write);
        let mut answers = 0;
        let context = || format!("seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
        loop {
            match reader.response() {
                Ok(response) if response.all("x-seen").is_empty() => refused += 1,
                Ok(_) => answers += 1,
                Err(Fault::Ended) => break,
                Err(Fault::Malformed(what)) => panic!("{what}\n{}", context()),
            }
        }
        let seen = seen.lock().unwrap();
        assert!(seen.1.is_empty(), "{:?}\n{}", seen.1, context());
        assert_eq!(answers, seen.0 - before, "{}", context());
        assert_eq!(panics.load(SeqCst), 0, "{}", context());
        served += answers;
    }
    // Neither everything nor nothing gets through.
    assert!(served > 500 && refused > 500, "{served} {refused}");
}

fn damaged(seed: u64) -> Vec<u8> {
    let mut chance = Chance(seed);
    let mut bytes = chance.pick(RESPONSES).to_vec();
    chance.damage(&mut bytes, RESPONSE_WORDS);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn damaged_responses() {
    let panics = panics();
    let target = listen(|stream| {
        let (mut writer, mut reader) = (stream.try_clone().unwrap(), Reader::new(stream));
        loop {
            let Ok(request) = reader.request() else { return };
            let path = request.start.split(' ').nth(1).unwrap_or_default();
            let sent = match path.strip_prefix("/damaged/").and_then(|seed| seed.parse().ok()) {
                None => writer.write_all(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).as_bytes(),
                ),
                Some(seed) => {
                    let sent = writer.write_all(&damaged(seed));
                    // A connection that is good for more stays; one that waits for the rest of something does not.
                    if reader.stream.set_read_timeout(Some(Duration::from_millis(20))).is_err() {
                        return;
                    }
                    sent
                }
            };
            if sent.is_err() {
                return;
            }
        }
    });
    let bench = Bench::with(|settings| {
        settings.workers = 1;
        settings.limits = short();
    });
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target])])]).await;
    let address = bench.proxy.virtual_host_address().unwrap();
    let connect = || Reader::new(TcpStream::connect(address).unwrap());
    let mut client = connect();
    let (mut passed, mut refused, mut cut) = (0, 0, 0);
    let first = setting("VAMP_FUZZ_SEED", 0);
    for seed in first..first + setting("VAMP_FUZZ_CASES", 1000) {
        let ask = |client: &mut Reader, path: &str| -> Result<Strict, Fault> {
            client.stream.write_all(
                format!("POST {path} HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n").as_bytes(),
            )?;
            client.response()
        };
        match ask(&mut client, &format!("/damaged/{seed}")) {
            Ok(response) if response.all("vamp-proxy-error").is_empty() => passed += 1,
            Ok(_) => refused += 1,
            Err(Fault::Ended) => {
                // What came of it, if anything, is no answer.
                client = connect();
                cut += 1;
            }
            Err(Fault::Malformed(what)) => {
                let sent = String::from_utf8_lossy(&damaged(seed)).into_owned();
                panic!("seed {seed}: {what}\n{sent:?}")
            }
        }
        // The next request gets its own answer, on this connection if that goes on.
        let path = format!("/good/{seed}");
        let good = match ask(&mut client, &path) {
            Err(Fault::Ended) => {
                client = connect();
                ask(&mut client, &path)
            }
            answer => answer,
        };
        let good = good.unwrap_or_else(|fault| {
            panic!("seed {seed}: {fault:?}\n{:?}", String::from_utf8_lossy(&damaged(seed)))
        });
        assert_eq!(
            (status(&good), String::from_utf8_lossy(&good.body).as_ref()),
            (200, path.as_str()),
            "seed {seed}"
        );
        assert_eq!(panics.load(SeqCst), 0, "seed {seed}");
    }
    assert!(passed > 100 && refused > 100 && cut > 0, "{passed} {refused} {cut}");
}
