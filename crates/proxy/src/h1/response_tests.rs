//! Responses, row by row. A target that is not understood for certain is answered for with 502.

use super::framing::{self, Body};
use super::head::{Bounds, Progress, Response, Version};

const BOUNDS: Bounds = Bounds { head: 2048, target: 0, fields: 128 };

fn read(bytes: &[u8], method: &str) -> Result<Option<(u16, Body)>, u16> {
    let mut response = Response::default();
    match response.parse(bytes, BOUNDS).map_err(|refusal| refusal.status)? {
        Progress::Partial => Ok(None),
        Progress::Complete => framing::of_response(&response, bytes, method)
            .map(|body| Some((response.status, body)))
            .map_err(|refusal| refusal.status),
    }
}

#[track_caller]
fn check(method: &str, response: &str, expected: Result<(u16, Body), u16>) {
    assert_eq!(read(response.as_bytes(), method), expected.map(Some), "{response:?}");
    for cut in 0..response.len() {
        let part = read(&response.as_bytes()[..cut], method);
        assert!(matches!(part, Ok(None) | Err(502)), "{:?}", &response[..cut]);
        if expected.is_ok() {
            assert_eq!(part, Ok(None), "{:?}", &response[..cut]);
        }
    }
}

fn with(status: &str, fields: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}\r\n")
}

#[test]
fn framing_of_responses() {
    for (status, fields, method, expected) in [
        ("200 OK", "Content-Length: 5\r\n", "GET", (200, Body::Length(5))),
        ("200 OK", "Content-Length: 0\r\n", "GET", (200, Body::Empty)),
        ("200 OK", "Transfer-Encoding: chunked\r\n", "GET", (200, Body::Chunked)),
        ("200 OK", "", "GET", (200, Body::UntilClose)),
        ("200", "Content-Length: 5\r\n", "GET", (200, Body::Length(5))),
        ("200 ", "Content-Length: 5\r\n", "GET", (200, Body::Length(5))),
        ("404 N\u{e9}", "Content-Length: 5\r\n", "GET", (404, Body::Length(5))),
        ("200 OK", "Content-Length: 5\r\n", "HEAD", (200, Body::Empty)),
        ("200 OK", "Transfer-Encoding: chunked\r\n", "HEAD", (200, Body::Empty)),
        ("204 No Content", "", "GET", (204, Body::Empty)),
        ("204 No Content", "Content-Length: 5\r\n", "GET", (204, Body::Empty)),
        ("304 Not Modified", "Content-Length: 5\r\n", "GET", (304, Body::Empty)),
        ("100 Continue", "", "POST", (100, Body::Empty)),
        ("103 Early Hints", "Link: x\r\n", "GET", (103, Body::Empty)),
        ("101 Switching Protocols", "Upgrade: x\r\n", "GET", (101, Body::Empty)),
        ("205 Reset", "Content-Length: 0\r\n", "GET", (205, Body::Empty)),
        ("599 x", "Content-Length: 1\r\n", "GET", (599, Body::Length(1))),
    ] {
        check(method, &with(status, fields), Ok(expected));
    }
}

#[test]
fn responses_that_are_refused() {
    for (status, fields) in [
        ("200 OK", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("200 OK", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("200 OK", "Content-Length: 5\r\nContent-Length: 5\r\n"),
        ("200 OK", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("200 OK", "Content-Length: 5, 5\r\n"),
        ("200 OK", "Content-Length: +5\r\n"),
        ("200 OK", "Content-Length: -1\r\n"),
        ("200 OK", "Content-Length:\r\n"),
        ("200 OK", "Content-Length: 18446744073709551616\r\n"),
        ("200 OK", "Transfer-Encoding: gzip\r\n"),
        ("200 OK", "Transfer-Encoding: gzip, chunked\r\n"),
        ("200 OK", "Transfer-Encoding: chunked, chunked\r\n"),
        ("200 OK", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("200 OK", "Transfer-Encoding: identity\r\n"),
        ("200 OK", "Transfer-Encoding: xchunked\r\n"),
        ("200 OK", "Transfer-Encoding : chunked\r\n"),
        ("200 OK", "Content-Length : 5\r\n"),
        ("200 OK", "X: a\u{0}b\r\n"),
        ("200 OK", "X: a\r\n b\r\n"),
        ("200 OK", "X: a\nY: b\r\n"),
        ("200 OK", " X: a\r\n"),
        ("200 OK", ": a\r\n"),
        ("200 OK", "X\r\n"),
        ("200 OK", "X y: a\r\n"),
        ("204 No Content", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("99 x", ""),
        ("099 x", ""),
        ("600 x", ""),
        ("999 x", ""),
        ("2000 x", ""),
        ("20 x", ""),
        ("2x0 x", ""),
        ("-200 x", ""),
        (" 200 OK", ""),
        ("200\u{1} OK", ""),
        ("200 O\u{0}K", ""),
        ("200 O\rK", ""),
    ] {
        check("GET", &with(status, fields), Err(502));
    }
    for response in [
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        " HTTP/1.1 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "garbage",
        "<html>",
        "{}",
    ] {
        assert_eq!(read(response.as_bytes(), "GET"), Err(502), "{response:?}");
    }
    assert_eq!(read(with("200 OK", &"X: y\r\n".repeat(129)).as_bytes(), "GET"), Err(502));
    assert_eq!(read(with("200 OK", &format!("X: {}\r\n", "x".repeat(2048))).as_bytes(), "GET"), Err(502));
    assert_eq!(read(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(2048)).as_bytes(), "GET"), Err(502));
}

#[test]
fn reason_and_version_are_kept() {
    for (line, version, reason) in [
        ("HTTP/1.1 200 All good", Version::Http11, "All good"),
        ("HTTP/1.0 404 Not Found", Version::Http10, "Not Found"),
        ("HTTP/1.1 200", Version::Http11, ""),
        ("HTTP/1.1 200 ", Version::Http11, ""),
    ] {
        let text = format!("{line}\r\n\r\n");
        let mut response = Response::default();
        assert_eq!(response.parse(text.as_bytes(), BOUNDS), Ok(Progress::Complete), "{line:?}");
        assert_eq!((response.version, response.reason.text(text.as_bytes())), (version, reason));
    }
}
