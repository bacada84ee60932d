//! What heads cost: no allocation, and how long.

use std::hint::black_box;
use std::time::Instant;

use super::chunked::Decoder;
use super::framing;
use super::head::{Bounds, Progress, Request, Response};
use super::target::identify;
use crate::forward::{self, Back, Onward};
use crate::h1::head::Version;

const BOUNDS: Bounds = Bounds { head: 32 * 1024, target: 8 * 1024, fields: 100 };

const REQUEST: &[u8] = b"GET /api/items?id=7 HTTP/1.1\r\nHost: shop.example:9050\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) \
Gecko/20100101 Firefox/128.0\r\nAccept: text/html,application/xhtml+xml,application/json;q=0.8\r\nAccept-Encoding: gzip, br\r\n\
Accept-Language: en-GB,en;q=0.5\r\nCookie: session=0123456789abcdef; theme=dark\r\nConnection: keep-alive\r\n\r\n";

const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n\
Content-Length: 1024\r\nETag: \"0123456789\"\r\nVary: Accept-Encoding\r\n\r\n";

/// Everything between the bytes of a client and those for a target.
fn request(read: &mut Request, out: &mut Vec<u8>) {
    assert_eq!(read.parse(black_box(REQUEST), BOUNDS), Ok(Progress::Complete));
    let identity = identify(read, REQUEST).unwrap();
    let body = framing::of_request(read, REQUEST).unwrap();
    out.clear();
    let onward = Onward {
        method: identity.method,
        target: identity.target,
        host: identity.host,
        client: "192.0.2.1",
        forwarded: b"X-Forwarded-Port: 9050\r\nX-Forwarded-Proto: http\r\n",
        body,
        upgrade: forward::may_upgrade(read, REQUEST),
        to_gateway: false,
        hops: None,
        expects: false,
        trace: None,
    };
    forward::request(out, read, REQUEST, &onward);
    black_box(out);
}

/// And back; this one is passed on as it is.
fn response(read: &mut Response) {
    assert_eq!(read.parse(black_box(RESPONSE), BOUNDS), Ok(Progress::Complete));
    black_box(framing::of_response(read, RESPONSE, "GET").unwrap());
    let back = Back {
        client: Version::Http11,
        keep: true,
        chunked: false,
        set_cookies: &[],
        extra: b"",
        from_gateway: false,
    };
    assert!(forward::response_is_plain(read, RESPONSE, &back));
}

#[test]
fn heads_are_read_and_written_without_allocation() {
    let (mut read, mut answer, mut out) = (Request::default(), Response::default(), Vec::with_capacity(4096));
    // The lists of fields keep their size from one request to the next.
    request(&mut read, &mut out);
    response(&mut answer);
    let measured = allocation_counter::measure(|| {
        for _ in 0..100 {
            request(&mut read, &mut out);
            response(&mut answer);
        }
    });
    assert_eq!(measured.count_total, 0);
    let counted = allocation_counter::measure(|| request(&mut Request::default(), &mut Vec::new()));
    assert!(counted.count_total > 0, "the counter works");
}

/// `cargo test --release -p proxy --lib -- --ignored --nocapture take_how_long`
#[test]
#[ignore = "measures time: only meaningful alone and optimised"]
#[allow(clippy::print_stdout, reason = "a measurement")]
fn heads_take_how_long() {
    let time = |what: &str, work: &mut dyn FnMut()| {
        let mut best = f64::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            for _ in 0..50_000 {
                work();
            }
            best = best.min(start.elapsed().as_secs_f64() * 1e9 / 50_000.0);
        }
        println!("{what}: {best:.0} ns");
    };
    let (mut read, mut answer, mut out) = (Request::default(), Response::default(), Vec::with_capacity(4096));
    time("a request of 8 fields, read and written", &mut || request(&mut read, &mut out));
    time("a response of 5 fields, read and passed on", &mut || response(&mut answer));
    let mut body = b"400\r\n".to_vec();
    body.extend(std::iter::repeat_n(b'x', 1024));
    body.extend_from_slice(b"\r\n0\r\n\r\n");
    time("a chunked body of 1 KiB", &mut || {
        // Payload that is in one piece stays where it is, so the buffer is good for the next round.
        assert!(Decoder::default().decode(black_box(&mut body)).unwrap().done);
    });
}
