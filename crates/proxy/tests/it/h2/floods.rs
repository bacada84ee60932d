//! Attacks that HTTP/2 makes possible, frame by frame. Each ends with an error for the connection or the stream, in bounded memory, and
//! others are served as ever.

use std::time::{Duration, Instant};

use testkit::target::Target;

use super::peers::{
    COMPRESSION_ERROR, CONTINUATION, Client, DATA, ENHANCE_YOUR_CALM, Frame, GO_AWAY, HEADERS, PING,
    PRIORITY, PROTOCOL_ERROR, RESET, Raw, SETTINGS, STREAM_CLOSED, WINDOW, block, frame, get, plain_get,
};
use crate::support::{Bench, gateway, route, short};

async fn bench(limits: proxy::Limits) -> (Bench, Target) {
    let target = Target::named("fine").await.unwrap();
    let bench = Bench::with(|settings| settings.limits = limits);
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    (bench, target)
}

async fn raw(bench: &Bench) -> Raw {
    Raw::connect(bench.proxy.virtual_host_address().unwrap()).await
}

async fn is_served(bench: &Bench) {
    let mut client = Client::connect(bench.proxy.virtual_host_address().unwrap()).await;
    assert_eq!(client.ask(get("shop", "/"), b"").await.text(), "fine");
}

/// Bytes of memory that this process has in use.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Sends `flood` over and over; the connection must end with that error before long, and memory must not have grown by much.
async fn flooded(
    name: &str,
    start: &[u8],
    flood: impl Fn(u32) -> Vec<u8> + Clone + Send + 'static,
    error: u32,
) {
    // Other tests of this process take memory as well: the best of some tries counts.
    let mut grown = Vec::new();
    while grown.iter().all(|grown| *grown >= 24 * 1024 * 1024) {
        assert!(grown.len() < 3, "{name}: {grown:?}");
        grown.push(flooded_once(name, start, flood.clone(), error).await);
    }
}

/// The growth of memory.
#[allow(clippy::print_stdout, reason = "figures for whoever runs it with --nocapture")]
async fn flooded_once(
    name: &str,
    start: &[u8],
    flood: impl Fn(u32) -> Vec<u8> + Send + 'static,
    error: u32,
) -> usize {
    let (bench, _target) = bench(proxy::Limits::default()).await;
    is_served(&bench).await;
    let mut raw = raw(&bench).await;
    raw.send(start).await;
    let before = resident();
    let begun = Instant::now();
    let (mut reader, mut writer) = raw.stream.into_split();
    let sending = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let mut sent = 0_usize;
        for round in 0..1_000_000 {
            let bytes = flood(round);
            if writer.write_all(&bytes).await.is_err() {
                break;
            }
            sent += bytes.len();
        }
        sent
    });
    // What comes back is read all the time: the flood must not be stopped by the client itself.
    let mut all = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut all);
    // An error is a reset, after the good-bye.
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect(name);
    let sent = tokio::time::timeout(Duration::from_secs(20), sending).await.expect(name).unwrap();
    let grown = resident().saturating_sub(before);
    println!("{name}: ended after {:?}, {sent} bytes, memory + {} KiB", begun.elapsed(), grown / 1024);
    let frames = frames(&all);
    let last = frames.iter().rfind(|frame| frame.kind == GO_AWAY);
    assert_eq!(last.map(Frame::error), Some(error), "{name}");
    is_served(&bench).await;
    grown
}

fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut all = Vec::new();
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let Some(payload) = bytes.get(9..9 + length) else { break };
        let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
        all.push(Frame { kind: bytes[3], flags: bytes[4], stream, payload: payload.to_vec() });
        bytes = &bytes[9 + length..];
    }
    all
}

fn id(round: u32) -> u32 {
    2 * round + 1
}

#[tokio::test]
async fn rapid_reset() {
    let flood = |round| {
        let mut both = frame(HEADERS, 5, id(round), &plain_get());
        both.extend(frame(RESET, 0, id(round), &8_u32.to_be_bytes()));
        both
    };
    flooded("rapid reset", b"", flood, ENHANCE_YOUR_CALM).await;
}

/// Streams that the client makes the server reset (CVE-2025-8671): by a window that overflows, by more data than it said.
#[tokio::test]
async fn made_you_reset() {
    let flood = |round| {
        let mut both = frame(HEADERS, 4, id(round), &plain_get());
        both.extend(frame(WINDOW, 0, id(round), &0x7fff_ffff_u32.to_be_bytes()));
        both
    };
    flooded("window overflow", b"", flood, ENHANCE_YOUR_CALM).await;
    let flood = |round| {
        let mut fields = plain_get();
        fields.extend(block(&[("content-length", b"1")]));
        let mut both = frame(HEADERS, 4, id(round), &fields);
        both.extend(frame(DATA, 1, id(round), b"too much"));
        both
    };
    flooded("more data than said", b"", flood, ENHANCE_YOUR_CALM).await;
}

#[tokio::test]
async fn continuations() {
    let start = frame(HEADERS, 0, 1, &plain_get());
    let more = block(&[("x-a", b"b")]);
    let flood = move |_| frame(CONTINUATION, 0, 1, &more);
    flooded("continuations", &start, flood, ENHANCE_YOUR_CALM).await;
    flooded("empty continuations", &start, |_| frame(CONTINUATION, 0, 1, &[]), ENHANCE_YOUR_CALM).await;
}

#[tokio::test]
async fn frames_without_work() {
    let open = frame(HEADERS, 4, 1, &plain_get());
    for (name, flood) in [
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("settings with content", frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("pings", frame(PING, 0, 0, &[1; 8])),
        ("answers to pings", frame(PING, 1, 0, &[1; 8])),
        ("empty data", frame(DATA, 0, 1, &[])),
        ("padding", frame(DATA, 8, 1, &[1, 0])),
        ("priorities", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        ("window updates", frame(WINDOW, 0, 0, &1_u32.to_be_bytes())),
        ("unknown frames", frame(250, 0, 0, b"hello")),
    ] {
        // A few at a time, as an attacker would.
        let many = flood.repeat(50);
        flooded(name, &open, move |_| many.clone(), ENHANCE_YOUR_CALM).await;
    }
}

/// A field in the table of the decoder, referred to again and again: a few bytes that unfold to a lot.
#[tokio::test]
async fn a_bomb_of_headers() {
    let mut define = plain_get();
    // Literal with incremental indexing.
    define.push(0x40);
    let big = block(&[("x-bomb", &[b'b'; 3900])]);
    define.extend_from_slice(&big[1..]);
    let start = frame(HEADERS, 5, 1, &define);
    // The newest entry of the dynamic table.
    let mut bomb = plain_get();
    bomb.extend(vec![0x80 | 62; 4000]);
    flooded("bomb", &start, move |round| frame(HEADERS, 5, id(round + 1), &bomb), ENHANCE_YOUR_CALM).await;

    // What is only a little too much is a refusal, not an attack.
    let (bench, target) = bench(proxy::Limits::default()).await;
    let mut raw = raw(&bench).await;
    let mut much = plain_get();
    for _ in 0..9 {
        much.extend(block(&[("x-much", &[b'm'; 3900])]));
    }
    let (first, rest) = much.split_at(16_000);
    let (second, third) = rest.split_at(16_000);
    raw.send(&frame(HEADERS, 1, 1, first)).await;
    raw.send(&frame(CONTINUATION, 0, 1, second)).await;
    raw.send(&frame(CONTINUATION, 4, 1, third)).await;
    let answer = raw.next_of(HEADERS).await.unwrap();
    // `:status 431`: the name from the static table, the value as it is or compressed.
    assert_eq!(answer.stream, 1);
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn stream_numbers() {
    for (name, first, second, error) in
        [("even", 1, 2, PROTOCOL_ERROR), ("backwards", 5, 3, PROTOCOL_ERROR), ("zero", 1, 0, PROTOCOL_ERROR)]
    {
        let (bench, _target) = bench(proxy::Limits::default()).await;
        let mut raw = raw(&bench).await;
        raw.send(&frame(HEADERS, 5, first, &plain_get())).await;
        raw.send(&frame(HEADERS, 5, second, &plain_get())).await;
        let (last, _) = raw.read_to_end().await;
        let last = last.unwrap_or_else(|| panic!("{name}"));
        assert!([error, STREAM_CLOSED].contains(&last.error()), "{name}: {last:?}");
        is_served(&bench).await;
    }
    // A stream that is over cannot be used again.
    let (bench, target) = bench(proxy::Limits::default()).await;
    let mut raw = raw(&bench).await;
    raw.send(&frame(HEADERS, 5, 1, &plain_get())).await;
    raw.next_of(DATA).await.unwrap();
    raw.send(&frame(HEADERS, 5, 1, &plain_get())).await;
    let refused = loop {
        match raw.next().await {
            Some(frame) if [RESET, GO_AWAY].contains(&frame.kind) => break frame,
            Some(_) => {}
            None => panic!("no refusal"),
        }
    };
    assert!([PROTOCOL_ERROR, STREAM_CLOSED].contains(&refused.error()), "{refused:?}");
    assert_eq!(target.count(), 1);
}

#[tokio::test]
async fn heads_that_mean_two_things() {
    let (bench, target) = bench(proxy::Limits::default()).await;
    let base: [(&str, &[u8]); 4] =
        [(":method", b"GET"), (":scheme", b"http"), (":path", b"/"), (":authority", b"shop.test")];
    let with = |extra: &[(&str, &[u8])]| {
        let mut all = block(&base);
        all.extend(block(extra));
        all
    };
    let without = |name: &str| {
        let rest: Vec<(&str, &[u8])> = base.iter().filter(|(n, _)| *n != name).copied().collect();
        block(&rest)
    };
    let replaced = |name: &str, value: &'static [u8]| {
        let all: Vec<(&str, &[u8])> =
            base.iter().map(|(n, v)| (*n, if *n == name { value } else { *v })).collect();
        block(&all)
    };
    let mut late = block(&base[..3]);
    late.extend(block(&[("x-a", b"b"), (":authority", b"shop.test")]));
    for (name, fields) in [
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("no host at all", without(":authority")),
        ("method twice", with(&[(":method", b"POST")])),
        ("path twice", with(&[(":path", b"/x")])),
        ("a response", with(&[(":status", b"200")])),
        ("unknown pseudo-field", with(&[(":what", b"x")])),
        ("pseudo-field after a field", late),
        ("empty path", replaced(":path", b"")),
        ("relative path", replaced(":path", b"x/y")),
        ("absolute path", replaced(":path", b"http://shop.test/")),
        ("space in the path", replaced(":path", b"/a b")),
        ("line feed in the path", replaced(":path", b"/a\nb")),
        ("head in the path", replaced(":path", b"/ HTTP/1.1\r\nX: y")),
        ("odd scheme", replaced(":scheme", b"ftp")),
        ("user in the authority", replaced(":authority", b"user@shop.test")),
        ("space in the authority", replaced(":authority", b"shop.test x")),
        ("line in the method", replaced(":method", b"GET / HTTP/1.1\r\nX:")),
        ("plain connect", replaced(":method", b"CONNECT")),
        ("other host", with(&[("host", b"other.test")])),
        ("connection", with(&[("connection", b"close")])),
        ("keep-alive", with(&[("keep-alive", b"1")])),
        ("proxy-connection", with(&[("proxy-connection", b"x")])),
        ("upgrade", with(&[("upgrade", b"h2c")])),
        ("transfer-encoding", with(&[("transfer-encoding", b"chunked")])),
        ("te", with(&[("te", b"gzip")])),
        ("upper case", with(&[("X-Upper", b"x")])),
        ("space in a name", with(&[("x a", b"x")])),
        ("colon in a name", with(&[("x:a", b"x")])),
        ("empty name", with(&[("", b"x")])),
        ("line feed in a value", with(&[("x-a", b"a\nb")])),
        ("return in a value", with(&[("x-a", b"a\rb")])),
        ("zero in a value", with(&[("x-a", b"a\0b")])),
        ("space before a value", with(&[("x-a", b" a")])),
        ("tab after a value", with(&[("x-a", b"a\t")])),
        ("length that is none", with(&[("content-length", b"x")])),
        ("negative length", with(&[("content-length", b"-1")])),
        ("signed length", with(&[("content-length", b"+0")])),
        ("lengths that differ", with(&[("content-length", b"0"), ("content-length", b"1")])),
        ("length without data", with(&[("content-length", b"5")])),
        ("protocol without connect", with(&[(":protocol", b"websocket")])),
    ] {
        let mut raw = raw(&bench).await;
        raw.send(&frame(HEADERS, 5, 1, &fields)).await;
        // A refusal of any kind: an answer, the end of the stream, the end of the connection.
        let frame = loop {
            match raw.next().await {
                Some(frame) if [HEADERS, RESET, GO_AWAY].contains(&frame.kind) => break Some(frame),
                Some(_) => {}
                None => break None,
            }
        };
        if let Some(Frame { kind: HEADERS, payload, .. }) = &frame {
            // Indexed `:status` 400, or its name with a value.
            assert!(payload[0] == 0x80 | 12 || payload[0] & 0xc0 == 0x40 || payload[0] & 0xf0 == 0, "{name}");
        }
        assert_eq!(target.count(), 0, "{name}: {frame:?}");
    }
    is_served(&bench).await;
}

#[tokio::test]
async fn lengths_and_data() {
    let (bench, target) = bench(short()).await;
    for (name, length, data, end) in [
        ("too much", &b"3"[..], &b"four"[..], true),
        ("too little", b"5", b"four", true),
        ("never ends", b"5", b"four", false),
    ] {
        let mut raw = raw(&bench).await;
        let mut fields = block(&[
            (":method", b"POST"),
            (":scheme", b"http"),
            (":path", b"/"),
            (":authority", b"shop.test"),
        ]);
        fields.extend(block(&[("content-length", length)]));
        raw.send(&frame(HEADERS, 4, 1, &fields)).await;
        raw.send(&frame(DATA, u8::from(end), 1, data)).await;
        let refused = loop {
            match raw.next().await {
                Some(frame) if [HEADERS, RESET, GO_AWAY].contains(&frame.kind) => break frame,
                Some(_) => {}
                None => panic!("{name}: no refusal"),
            }
        };
        assert!(refused.stream == 1, "{name}: {refused:?}");
    }
    // No target took one of them for complete.
    assert_eq!(target.count(), 0);
    is_served(&bench).await;
}

/// The preface is 24 bytes of a stream, however they arrive (RFC 9113, 3.4).
#[tokio::test]
async fn a_preface_in_two_pieces() {
    let (bench, _target) = bench(proxy::Limits::default()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for first in 1..preface.len() {
        let mut raw = Raw::dial(bench.proxy.virtual_host_address().unwrap()).await;
        assert!(raw.send(&preface[..first]).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(raw.send(&preface[first..]).await);
        raw.send(&frame(SETTINGS, 0, 0, &[])).await;
        raw.send(&frame(HEADERS, 5, 1, &plain_get())).await;
        assert_eq!(raw.next_of(HEADERS).await.map(|head| head.stream), Some(1), "{first}");
    }
}

#[tokio::test]
async fn slow_clients() {
    let (bench, _target) = bench(short()).await;
    // A preface that does not come, and one that stops.
    for part in [&b""[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut wire = testkit::target::connect(bench.proxy.virtual_host_address().unwrap()).await.unwrap();
        wire.send(part).await.unwrap();
        let begun = Instant::now();
        // Settings, a good-bye, or nothing; in any case the end.
        let _ = wire.read_to_end().await;
        assert!(begun.elapsed() < Duration::from_secs(6), "{part:?}");
    }
    let mut wire = testkit::target::connect(bench.proxy.virtual_host_address().unwrap()).await.unwrap();
    assert_eq!(wire.ask("PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n").await.unwrap().status(), 400);

    // A body that does not go on.
    let mut raw = raw(&bench).await;
    let post =
        block(&[(":method", b"POST"), (":scheme", b"http"), (":path", b"/"), (":authority", b"shop.test")]);
    raw.send(&frame(HEADERS, 4, 1, &post)).await;
    raw.send(&frame(DATA, 0, 1, b"abc")).await;
    assert_eq!(raw.next_of(HEADERS).await.unwrap().stream, 1);
    is_served(&bench).await;
}

/// A client that opens no window for what it asked for: the stream ends by the time-out of writing, the memory is bounded.
#[tokio::test]
async fn a_window_that_stays_shut() {
    // As above.
    let mut grown = Vec::new();
    while grown.iter().all(|grown| *grown >= 32 * 1024 * 1024) {
        assert!(grown.len() < 3, "{grown:?}");
        grown.push(shut_window().await);
    }
}

/// The growth of memory.
#[allow(clippy::print_stdout, reason = "a figure for whoever runs it with --nocapture")]
async fn shut_window() -> usize {
    let large = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request);
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n").await?;
                let piece = vec![b'x'; 100_000];
                for _ in 0..100 {
                    wire.send(&piece).await?;
                }
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let limits = short();
    let bench = Bench::with(|settings| settings.limits = limits);
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[large.address()])])]).await;
    let mut raw = Raw::connect(bench.proxy.virtual_host_address().unwrap()).await;
    // No bytes for any stream.
    raw.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    let before = resident();
    for round in 0..100 {
        raw.send(&frame(HEADERS, 5, id(round), &plain_get())).await;
    }
    // Streams are given up one by one; in the end the connection, whose client takes nothing at all.
    let mut reset = 0;
    while let Some(frame) = raw.next().await {
        reset += usize::from(frame.kind == RESET);
    }
    assert!(reset > 0);
    let grown = resident().saturating_sub(before);
    println!("shut window: {reset} of 100 streams were reset, memory + {} KiB", grown / 1024);
    assert_eq!(large.count(), 100);
    grown
}

/// The errors that the tests above do not name must at least exist on the wire as they are written here.
#[tokio::test]
async fn broken_compression() {
    let (bench, _target) = bench(proxy::Limits::default()).await;
    let mut raw = raw(&bench).await;
    // An index far beyond both tables.
    raw.send(&frame(HEADERS, 5, 1, &[0xff, 0xff, 0x7f])).await;
    let (last, _) = raw.read_to_end().await;
    assert!([COMPRESSION_ERROR, PROTOCOL_ERROR].contains(&last.unwrap().error()));
}
