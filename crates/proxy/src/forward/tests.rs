//! Heads on their way through, row by row.

use super::*;
use crate::h1::head::{Bounds, Progress};

const BOUNDS: Bounds = Bounds { head: 4096, target: 1024, fields: 100 };

/// The field lines of the forwarded request, without those that are always added.
#[track_caller]
fn onward(fields: &str, change: impl FnOnce(&mut Onward<'_>)) -> Vec<String> {
    let text = format!("GET /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let buffer = text.as_bytes();
    let mut parsed = Request::default();
    assert_eq!(parsed.parse(buffer, BOUNDS), Ok(Progress::Complete), "{fields:?}");
    let mut onward = Onward {
        method: "GET",
        target: "/x",
        host: "a",
        client: "10.0.0.9",
        forwarded: b"X-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n",
        body: Body::Empty,
        upgrade: false,
        to_gateway: false,
        hops: None,
        expects: false,
        trace: None,
    };
    change(&mut onward);
    let mut out = Vec::new();
    request(&mut out, &parsed, buffer, &onward);
    let text = String::from_utf8(out).unwrap();
    let head = text.strip_suffix("\r\n\r\n").unwrap();
    let mut lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
    assert_eq!(lines.remove(0), "GET /x HTTP/1.1");
    let always = ["Host: a", "X-Forwarded-Port: 80", "X-Forwarded-Proto: http", "X-Forwarded-For: 10.0.0.9"];
    lines.retain(|line| !always.contains(&line.as_str()));
    lines
}

#[test]
fn request_fields() {
    let none: &[&str] = &[];
    for (fields, expected) in [
        ("", none),
        ("Accept: x\r\nUser-Agent:  y \r\n", &["Accept: x", "User-Agent:  y "]),
        (
            "Connection: keep-alive\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nA: b\r\n",
            &["A: b"],
        ),
        ("Connection: x-secret, close\r\nX-Secret: 1\r\nx-SECRET: 2\r\nB: c\r\n", &["B: c"]),
        ("Connection: host, cache-control\r\nCache-Control: no-cache\r\n", &["Cache-Control: no-cache"]),
        ("Upgrade: h2c\r\nHTTP2-Settings: AAA\r\nConnection: Upgrade, HTTP2-Settings\r\n", none),
        ("Vamp-Debug: 1\r\nVamp-Hops: 3\r\nvamp-hops: 4\r\n", none),
        ("Expect: 100-continue\r\n", none),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\n", none),
        ("Content-Length: 0\r\n", &["Content-Length: 0"]),
        ("Cookie: a=b; c=d\r\n", &["Cookie: a=b; c=d"]),
        ("Cookie: a=b; vamp_r_1=x; c=d\r\n", &["Cookie: a=b; c=d"]),
        ("Cookie: vamp_r_1=x\r\nZ: y\r\n", &["Z: y"]),
        ("Cookie: vamp_i_1=x;vamp_c_2=y; ;a=b\r\n", &["Cookie: a=b"]),
        ("Cookie: notvamp_r_1=x\r\n", &["Cookie: notvamp_r_1=x"]),
        ("Cookie: a=vamp_r_1\r\nCookie: vamp_r_1=y\r\n", &["Cookie: a=vamp_r_1"]),
    ] {
        assert_eq!(onward(fields, |_| {}), expected, "{fields:?}");
    }
}

#[test]
fn a_gateway_further_down_gets_all_cookies() {
    let fields = "Cookie: vamp_r_1=x; a=b\r\nCookie: vamp_i_2=y\r\n";
    let lines = onward(fields, |onward| (onward.to_gateway, onward.hops) = (true, Some(2)));
    assert_eq!(lines, ["Cookie: vamp_r_1=x; a=b", "Cookie: vamp_i_2=y", "Vamp-Hops: 2"]);
    assert_eq!(onward(fields, |_| {}), ["Cookie: a=b"]);
    assert_eq!(onward(fields, |onward| onward.hops = Some(2)), ["Cookie: a=b", "Vamp-Hops: 2"]);
}

#[test]
fn forwarded_for_is_one_line_that_grows() {
    let fields = "X-Forwarded-For: 1.1.1.1\r\nA: b\r\nx-forwarded-for: 2.2.2.2, 3.3.3.3\r\n";
    let expected = ["A: b", "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9"];
    assert_eq!(onward(fields, |_| {}), expected);
    // Not even a client that nominates it can make its own address vanish.
    let fields = "Connection: x-forwarded-for\r\nX-Forwarded-For: 1.1.1.1\r\n";
    assert_eq!(onward(fields, |_| {}), ["X-Forwarded-For: 1.1.1.1, 10.0.0.9"]);
}

#[test]
fn framing_is_written_anew() {
    assert_eq!(onward("Content-Length: 007\r\n", |o| o.body = Body::Length(7)), ["Content-Length: 7"]);
    let chunked = onward("Transfer-Encoding: Chunked\r\n", |o| o.body = Body::Chunked);
    assert_eq!(chunked, ["Transfer-Encoding: chunked"]);
    let expects = onward("Expect: 100-continue\r\n", |o| o.expects = true);
    assert_eq!(expects, ["Expect: 100-continue"]);
    assert_eq!(onward("Vamp-Hops: 9\r\n", |o| o.hops = Some(3)), ["Vamp-Hops: 3"]);
    let upgrade = onward("Connection: Upgrade\r\nUpgrade: websocket\r\n", |o| o.upgrade = true);
    assert_eq!(upgrade, ["Connection: upgrade", "Upgrade: websocket"]);
}

#[test]
fn upgrades_that_are_passed_on() {
    for (version, fields, expected) in [
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true),
        ("1.1", "Connection: keep-alive, upgrade\r\nUpgrade: a/1, b\r\n", true),
        ("1.1", "Upgrade: websocket\r\n", false),
        ("1.1", "Connection: upgrade\r\n", false),
        ("1.1", "Connection: upgrade\r\nUpgrade: h2c\r\n", false),
        ("1.1", "Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", false),
        ("1.1", "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", false),
        ("1.1", "Connection: upgrade\r\nUpgrade:\r\n", false),
        ("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n", false),
    ] {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        let mut request = Request::default();
        assert_eq!(request.parse(text.as_bytes(), BOUNDS), Ok(Progress::Complete));
        assert_eq!(may_upgrade(&request, text.as_bytes()), expected, "{text:?}");
    }
}

fn back<'a>() -> Back<'a> {
    Back {
        client: Version::Http11,
        keep: true,
        chunked: false,
        set_cookies: &[],
        extra: b"",
        from_gateway: false,
    }
}

/// The head as it goes to the client; `=` in front when it is passed on byte for byte.
#[track_caller]
fn answered(text: &str, back: &Back<'_>) -> String {
    let mut parsed = Response::default();
    assert_eq!(parsed.parse(text.as_bytes(), BOUNDS), Ok(Progress::Complete), "{text:?}");
    if response_is_plain(&parsed, text.as_bytes(), back) {
        return "=".into();
    }
    let mut out = Vec::new();
    response(&mut out, &parsed, text.as_bytes(), back);
    String::from_utf8(out).unwrap().strip_suffix("\r\n\r\n").unwrap().replace("\r\n", "|")
}

#[test]
fn response_heads() {
    let cookies = ["vamp_r_1=x; Path=/".to_owned()];
    let private = || Back { set_cookies: &cookies, ..back() };
    for (head, back, expected) in [
        ("200 OK|Content-Length: 5|A: b", back(), "="),
        ("200 OK|Connection: keep-alive|A: b", back(), "200 OK|A: b"),
        ("200 OK|Connection: x|X: y|A: b", back(), "200 OK|A: b"),
        ("200 OK|Keep-Alive: 5|Content-Length: 5", back(), "200 OK|Content-Length: 5"),
        ("200 OK|Content-Length: 005", back(), "200 OK|Content-Length: 5"),
        ("200 OK|Content-Length: 000", back(), "200 OK|Content-Length: 0"),
        ("200 OK|A: b", Back { chunked: true, ..back() }, "200 OK|A: b|Transfer-Encoding: chunked"),
        (
            "200 OK|A: b|Content-Length: 0",
            Back { keep: false, ..back() },
            "200 OK|A: b|Content-Length: 0|Connection: close",
        ),
        (
            "200 OK|Content-Length: 5",
            Back { client: Version::Http10, ..back() },
            "200 OK|Content-Length: 5|Connection: keep-alive",
        ),
        ("204 No Content|Content-Length: 5|Transfer-Encoding: chunked", back(), "204 No Content"),
        ("304 Not Modified|Content-Length: 5", back(), "="),
        ("200 OK|Vamp-Proxy-Error: connect", back(), "200 OK"),
        ("200 OK|Vamp-Proxy-Error: connect", Back { from_gateway: true, ..back() }, "="),
        (
            "200 OK|Set-Cookie: a",
            private(),
            "200 OK|Set-Cookie: a|Cache-Control: private|Set-Cookie: vamp_r_1=x; Path=/",
        ),
        (
            "200 OK|Cache-Control: public, max-age=5, s-maxage=9",
            private(),
            "200 OK|Cache-Control: private, max-age=5|Set-Cookie: vamp_r_1=x; Path=/",
        ),
        (
            "200 OK|Cache-Control: no-store|B: c",
            private(),
            "200 OK|Cache-Control: private, no-store|B: c|Set-Cookie: vamp_r_1=x; Path=/",
        ),
        ("200 OK", Back { extra: b"Vamp-Route: a\r\n", ..back() }, "200 OK|Vamp-Route: a"),
    ] {
        let text = format!("HTTP/1.1 {}\r\n\r\n", head.replace('|', "\r\n"));
        let expected = if expected == "=" { "=".to_owned() } else { format!("HTTP/1.1 {expected}") };
        assert_eq!(answered(&text, &back), expected, "{head:?}");
    }
    assert_eq!(answered("HTTP/1.0 200 OK\r\nA: b\r\n\r\n", &back()), "HTTP/1.1 200 OK|A: b");
}
