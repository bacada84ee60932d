//! Chunked bodies, row by row, whole and cut at every place.

use super::chunked::{Decoder, size_line};

/// What a body says: payload, trailers as passed on, bytes after it.
#[derive(Debug, PartialEq, Eq)]
struct Body {
    payload: String,
    trailers: String,
    rest: String,
    done: bool,
}

fn read(parts: &[&[u8]]) -> Option<Body> {
    let mut decoder = Decoder::default();
    let (mut payload, mut rest) = (Vec::new(), Vec::new());
    for part in parts {
        let mut buffer = part.to_vec();
        let decoded = decoder.decode(&mut buffer).ok()?;
        assert!(decoded.consumed == buffer.len() || decoded.done);
        assert_eq!(decoded.done, decoder.is_done());
        payload.extend_from_slice(&buffer[decoded.payload]);
        rest.extend_from_slice(&buffer[decoded.consumed..]);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Body {
        payload: text(&payload),
        trailers: text(decoder.trailers()),
        rest: text(&rest),
        done: decoder.is_done(),
    })
}

/// Reads in one piece, in two at every place, and byte by byte: always the same.
#[track_caller]
fn check(body: &str, expected: Option<(&str, &str, &str)>) {
    let bytes = body.as_bytes();
    let expected = expected.map(|(payload, trailers, rest)| Body {
        payload: payload.into(),
        trailers: trailers.into(),
        rest: rest.into(),
        done: true,
    });
    assert_eq!(read(&[bytes]), expected, "{body:?}");
    for cut in 0..bytes.len() {
        assert_eq!(read(&[&bytes[..cut], &bytes[cut..]]), expected, "{body:?} cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&single), expected, "{body:?} byte by byte");
}

#[test]
fn good_bodies() {
    for (body, payload, trailers, rest) in [
        ("0\r\n\r\n", "", "", ""),
        ("3\r\nabc\r\n0\r\n\r\n", "abc", "", ""),
        ("3\r\nabc\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n", "abcdef", "", ""),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789", "", ""),
        ("a\r\n0123456789\r\n00\r\n\r\n", "0123456789", "", ""),
        ("000000000000003\r\nabc\r\n0\r\n\r\n", "abc", "", ""),
        ("3;x\r\nabc\r\n0;y=z\r\n\r\n", "abc", "", ""),
        ("3;x=\"a b;c\"\r\nabc\r\n0\r\n\r\n", "abc", "", ""),
        ("3 ;x\r\nabc\r\n0\t ; y\r\n\r\n", "abc", "", ""),
        ("3;\r\nabc\r\n0\r\n\r\n", "abc", "", ""),
        ("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", "", ""),
        ("3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1", "abc", "", "GET / HTTP/1.1"),
        ("0\r\n\r\n0\r\n\r\n", "", "", "0\r\n\r\n"),
        ("0\r\nX: y\r\n\r\n", "", "X: y\r\n", ""),
        ("0\r\nX:y\r\nZ: \r\n\r\nrest", "", "X: y\r\nZ: \r\n", "rest"),
        (
            "0\r\nContent-Length: 5\r\nX: y\r\ntransfer-encoding: chunked\r\nHost: b\r\n\r\n",
            "",
            "X: y\r\n",
            "",
        ),
        ("0\r\nTrailer: x\r\nConnection: close\r\nCookie: a\r\nVamp-Debug: 1\r\n\r\n", "", "", ""),
        ("0\r\nX-Forwarded-For: 1.2.3.4\r\nAuthorization: x\r\n\r\n", "", "", ""),
    ] {
        check(body, Some((payload, trailers, rest)));
    }
}

#[test]
fn bad_bodies() {
    for body in [
        "\r\n",
        "\n",
        "x\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\t\r\nabc\r\n0\r\n\r\n",
        "3 x\r\nabc\r\n0\r\n\r\n",
        "3,3\r\nabc\r\n0\r\n\r\n",
        "3_\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3\r\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\r0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3\r\nabc\r\n\r\n0\r\n\r\n",
        "3;x\nabc\r\n0\r\n\r\n",
        "3;x\rabc\r\n0\r\n\r\n",
        "3;x\u{0}\r\nabc\r\n0\r\n\r\n",
        "3;x\u{7f}\r\nabc\r\n0\r\n\r\n",
        "3;\n\r\nabc\r\n0\r\n\r\n",
        "0000000000000003\r\nabc\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "0\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: y\r\n\n",
        "0\r\n\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX: a\r\n b\r\n\r\n",
        "0\r\nX: \u{0}\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "٣\r\nabc\r\n0\r\n\r\n",
    ] {
        check(body, None);
    }
}

#[test]
fn unfinished_bodies_are_not_done() {
    let body = "3;e\r\nabc\r\n0\r\nX: y\r\n\r\n";
    for cut in 0..body.len() {
        let got = read(&[&body.as_bytes()[..cut]]);
        assert!(got.is_some_and(|got| !got.done && got.trailers.is_empty()), "{:?}", &body[..cut]);
    }
}

#[test]
fn extensions_and_trailers_are_bounded() {
    let long = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(1025));
    assert_eq!(read(&[long.as_bytes()]), None);
    let many = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(17) + "0\r\n\r\n";
    assert_eq!(read(&[many.as_bytes()]), None);
    let large = format!("0\r\nX: {}\r\n\r\n", "x".repeat(8192));
    assert_eq!(read(&[large.as_bytes()]), None);
    let fields = format!("0\r\n{}\r\n", "X: y\r\n".repeat(33));
    assert_eq!(read(&[fields.as_bytes()]), None);
    let spaces = format!("3{};x\r\nabc\r\n0\r\n\r\n", " ".repeat(40));
    assert_eq!(read(&[spaces.as_bytes()]), None);
}

#[test]
fn size_lines() {
    for (size, expected) in [(0, "0\r\n"), (1, "1\r\n"), (10, "a\r\n"), (16, "10\r\n"), (65536, "10000\r\n")]
    {
        let mut out = Vec::new();
        size_line(&mut out, size);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

proptest::proptest! {
    /// What is written in chunks of any size is read back, whatever the reads look like.
    #[test]
    fn round_trip(chunks in proptest::collection::vec("[a-z]{1,40}", 0..8), step in 1usize..50) {
        let mut body = Vec::new();
        for chunk in &chunks {
            size_line(&mut body, chunk.len());
            body.extend_from_slice(chunk.as_bytes());
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        let parts: Vec<&[u8]> = body.chunks(step).collect();
        let got = read(&parts);
        proptest::prop_assert!(got.is_some_and(|got| got.done && got.payload == chunks.concat()));
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = read(&[&bytes]);
    }
}
