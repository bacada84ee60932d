//! Requests, row by row: what is accepted and how it is understood, and what is refused with which status.

use super::framing::{self, Body};
use super::head::{Bounds, Progress, Request};
use super::target::identify;

const BOUNDS: Bounds = Bounds { head: 2048, target: 256, fields: 20 };

/// `Ok("METHOD target host body")`, `Ok("partial")` or the status of the refusal.
fn read(bytes: &[u8]) -> Result<String, u16> {
    let mut request = Request::default();
    match request.parse(bytes, BOUNDS).map_err(|refusal| refusal.status)? {
        Progress::Partial => Ok("partial".into()),
        Progress::Complete => {
            let identity = identify(&request, bytes).map_err(|refusal| refusal.status)?;
            let body = framing::of_request(&request, bytes).map_err(|refusal| refusal.status)?;
            let body = match body {
                Body::Empty => "-".into(),
                Body::Length(length) => length.to_string(),
                Body::Chunked => "chunked".into(),
                Body::UntilClose => "close".into(),
            };
            Ok(format!("{} {} {} {body}", identity.method, identity.target, identity.host))
        }
    }
}

#[track_caller]
fn check(request: &str, expected: Result<&str, u16>) {
    let got = read(request.as_bytes());
    assert_eq!(got, expected.map(str::to_owned), "{request:?}");
    // However the bytes arrive, an incomplete head is never taken for a complete one, nor understood differently.
    for cut in 0..request.len() {
        let part = read(&request.as_bytes()[..cut]);
        match (part, expected) {
            (Ok(part), Ok(_)) => assert_eq!(part, "partial", "{:?}", &request[..cut]),
            (Err(status), Ok(_)) => panic!("{status} for the first {cut} bytes of {request:?}"),
            (Ok(part), Err(_)) => assert_eq!(part, "partial", "{:?}", &request[..cut]),
            (Err(_), Err(_)) => {}
        }
    }
}

/// A request with these field lines after Host.
fn with(fields: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn plain_requests() {
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok("GET / a -"));
    check("GET / HTTP/1.0\r\n\r\n", Ok("GET /  -"));
    check("GET / HTTP/1.0\r\nHost: a\r\n\r\n", Ok("GET / a -"));
    check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok("GET / a -"));
    check("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok("GET / a -"));
    check("GET /a?b=c&d=%20{x}|y HTTP/1.1\r\nHost: a\r\n\r\n", Ok("GET /a?b=c&d=%20{x}|y a -"));
    check("M-SEARCH /a//b/../c HTTP/1.1\r\nHost:a\r\n\r\n", Ok("M-SEARCH /a//b/../c a -"));
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Ok("OPTIONS * a -"));
    check("GET / HTTP/1.1\r\nHost: \t a \t \r\nX:\r\nY: \r\nZ: \u{e9}\r\n\r\n", Ok("GET / a -"));
}

#[test]
fn start_lines_that_are_refused() {
    for (line, status) in [
        ("GET /", 400),
        ("GET / ", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET\t/ HTTP/1.1", 400),
        ("GET /\tHTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("G ET / HTTP/1.1", 400),
        ("G\"ET / HTTP/1.1", 400),
        ("GET(x) / HTTP/1.1", 400),
        ("G\u{e9}T / HTTP/1.1", 400),
        ("GET /\u{e9} HTTP/1.1", 400),
        ("GET /\u{1}x HTTP/1.1", 400),
        ("GET /\u{0}x HTTP/1.1", 400),
        ("GET /\u{7f}x HTTP/1.1", 400),
        ("GET /a#b HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET ?a HTTP/1.1", 400),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.10", 400),
        ("GET / HTTP/11", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTPS/1.1", 400),
        ("PRI * HTTP/2.0", 505),
        ("CONNECT a:80 HTTP/1.1", 405),
        ("\u{16}\u{3}\u{1}\u{2}", 400),
    ] {
        check(&format!("{line}\r\nHost: a\r\n\r\n"), Err(status));
    }
    check("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(400));
    check("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(400));
    check("\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(400));
}

#[test]
fn line_endings_must_be_crlf() {
    for request in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
    ] {
        check(request, Err(400));
    }
}

#[test]
fn fields_that_are_refused() {
    for fields in [
        "X : y",
        "X\t: y",
        "X\u{b}: y",
        ": y",
        " X: y",
        "\tX: y",
        "X: y\r\n z",
        "X: y\r\n\tz",
        "X: y\r\n ",
        "X",
        "X y",
        "X[: y",
        "X\u{e9}: y",
        "X\u{0}: y",
        "X: \u{0}",
        "X: a\u{0}b",
        "X: a\u{1}b",
        "X: a\u{8}b",
        "X: a\u{b}b",
        "X: a\u{c}b",
        "X: a\u{1b}b",
        "X: a\u{7f}b",
        "X: a\rb",
        "\"X\": y",
        "X(comment): y",
        "Content-Length : 5",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\u{b}: chunked",
    ] {
        check(&with(&format!("{fields}\r\n")), Err(400));
    }
}

#[test]
fn framing_of_requests() {
    for (fields, body) in [
        ("", "-"),
        ("Content-Length: 0\r\n", "-"),
        ("Content-Length: 5\r\n", "5"),
        ("content-length:5\r\n", "5"),
        ("CONTENT-LENGTH: \t5 \r\n", "5"),
        ("Content-Length: 005\r\n", "5"),
        ("Content-Length: 999999999999999999\r\n", "999999999999999999"),
        ("Transfer-Encoding: chunked\r\n", "chunked"),
        ("transfer-encoding:CHUNKED\r\n", "chunked"),
        ("Connection: content-length, transfer-encoding\r\nTransfer-Encoding: chunked\r\n", "chunked"),
        ("Content-Lengt: 5\r\n", "-"),
        ("Content_Length: 5\r\n", "-"),
    ] {
        check(&with(fields), Ok(&format!("POST /p a {body}")));
    }
}

#[test]
fn framing_that_is_refused() {
    let lengths = [
        "",
        "+5",
        "-5",
        "-0",
        "0x5",
        "5a",
        "a",
        "5 5",
        "5,5",
        "5, 5",
        "5,",
        ",5",
        "5;",
        "5.0",
        "5e1",
        "\"5\"",
        "٥",
        "1_0",
        "18446744073709551616",
        "9999999999999999999",
        "18446744073709551621",
        "0000000000000000005",
        "5\u{e9}",
    ];
    for value in lengths {
        check(&with(&format!("Content-Length: {value}\r\n")), Err(400));
    }
    let codings = [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked, identity",
        "chunked,",
        ",chunked",
        "chunked;",
        "chunked; q=1",
        "chunked;foo=bar",
        "\"chunked\"",
        "'chunked'",
        "xchunked",
        "chunkedx",
        "chunke",
        "chunked chunked",
        "chun ked",
        "chunked\u{e9}",
        "identity, chunked",
        "x, chunked",
        "compress",
        "deflate",
        "trailers",
    ];
    for value in codings {
        check(&with(&format!("Transfer-Encoding: {value}\r\n")), Err(400));
    }
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ncontent-length: 5\r\n",
        "Content-Length: 5\r\nX: y\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length:\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: chunked\r\n , identity\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding: chunked\u{b}\r\n",
        "Transfer-Encoding:\u{0}chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\n6\r\n",
        "Content-Length:\r\n 5\r\n",
    ] {
        check(&with(fields), Err(400));
    }
    check("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Err(400));
    check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", Err(400));
    check("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n", Ok("POST /  3"));
}

#[test]
fn host_is_one_and_well_formed() {
    for host in [
        "a",
        "A.b-c.D",
        "a.",
        "a:80",
        "a:",
        "a_b",
        "127.0.0.1",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:80",
        "x%41",
    ] {
        check(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Ok(&format!("GET / {host} -")));
    }
    for host in [
        "", "a b", "a,b", "a, b", "a/b", "a?b", "a#b", "u@a", "u:p@a", "a@", "http://a", "a:x", "a:80:80",
        "a:65536", "a:-1", "a:+1", ":80", "[::1", "::1", "[x]", "[::1]x", "[::1]:x", "a\tb", "a\u{e9}",
        "a\\b", "a\"b", "a<b", "a|b", "a^b", "a`b", "a{b}",
    ] {
        check(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Err(400));
    }
    check("GET / HTTP/1.1\r\n\r\n", Err(400));
    check("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Err(400));
    check("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: b\r\n\r\n", Err(400));
    check("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Err(400));
    check("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", Err(400));
}

#[test]
fn absolute_form_is_made_origin_form() {
    for (target, host, expected) in [
        ("http://a/x", "a", Ok("GET /x a -")),
        ("HTTP://A/x?y", "a", Ok("GET /x?y a -")),
        ("http://a", "a", Ok("GET / a -")),
        ("http://a:80/", "a", Ok("GET / a -")),
        ("https://a/x?y", "a", Ok("GET /x?y a -")),
        ("HTTPS://a:8443", "a:8443", Ok("GET / a:8443 -")),
        ("https://b/x", "a", Err(400)),
        ("ftp://a/x", "a", Err(400)),
        ("http://a/", "a:80", Ok("GET / a:80 -")),
        ("http://a:81/", "a:81", Ok("GET / a:81 -")),
        ("http://[::1]/", "[::1]", Ok("GET / [::1] -")),
        ("http://a/http://b/", "a", Ok("GET /http://b/ a -")),
        ("http://b/x", "a", Err(400)),
        ("http://a:81/x", "a", Err(400)),
        ("http://u@a/x", "a", Err(400)),
        ("http://a@b/x", "a", Err(400)),
        ("http://u:p@a/x", "a", Err(400)),
        ("http:///x", "a", Err(400)),
        ("http://", "a", Err(400)),
        ("http:/a/x", "a", Err(400)),
        ("http:a", "a", Err(400)),
        ("ftp://a/x", "a", Err(400)),
        ("http://a?x", "a", Err(400)),
        ("http://a:x/", "a", Err(400)),
        ("//a/x", "a", Ok("GET //a/x a -")),
    ] {
        check(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"), expected);
    }
    check("GET http://a/x HTTP/1.0\r\n\r\n", Ok("GET /x a -"));
    check("GET http://a/x HTTP/1.1\r\n\r\n", Err(400));
    check("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", Ok("OPTIONS * a -"));
}

#[test]
fn bounds() {
    let target = "/".repeat(256);
    check(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(&format!("GET {target} a -")));
    check(&format!("GET {target}/ HTTP/1.1\r\nHost: a\r\n\r\n"), Err(414));
    // Refused before the line ends: an endless target is not waited for.
    assert_eq!(read("GET /".repeat(200).as_bytes()), Err(400));
    assert_eq!(read(format!("GET /{}", "x".repeat(400)).as_bytes()), Err(414));
    assert_eq!(read(with(&format!("X: {}\r\n", "x".repeat(2048))).as_bytes()), Err(431));
    assert_eq!(read(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(2048)).as_bytes()), Err(431));
    check(&with(&"X: y\r\n".repeat(19)), Ok("POST /p a -"));
    check(&with(&"X: y\r\n".repeat(20)), Err(431));
    assert_eq!(read(with(&"X: y\r\n".repeat(200)).as_bytes()), Err(431));
}

#[test]
fn connection_fields() {
    for (version, fields, keeps) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Close, x\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        let mut request = Request::default();
        assert_eq!(request.parse(text.as_bytes(), BOUNDS), Ok(Progress::Complete), "{text:?}");
        assert_eq!(request.keeps_alive(), keeps, "{text:?}");
    }
}

proptest::proptest! {
    /// Whatever comes: an answer, no panic, and what is accepted has lines as the reader after us will see them.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn mutated_requests(at in 0usize..90, byte in proptest::num::u8::ANY) {
        let mut bytes = b"POST /path HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nConnection: x\r\nX: y\r\n\r\nhello".to_vec();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        if let Ok(text) = read(&bytes) && text != "partial" {
            let mut request = Request::default();
            let _ = request.parse(&bytes, BOUNDS);
            let lines = bytes[..request.len].split(|b| *b == b'\n').count();
            proptest::prop_assert_eq!(lines, request.fields.list.len() + 3);
        }
    }
}
