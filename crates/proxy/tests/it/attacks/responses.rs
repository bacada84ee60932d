//! Answers that break rules: what the client gets is well-formed, or visibly cut, and nobody gets another's.

use std::io;
use std::sync::Arc;

use testkit::target::{Seen, Target};
use testkit::wire::Wire;

use super::serving;
use crate::support::get;

/// What the client gets.
#[derive(Debug)]
enum Gets {
    /// 502 from the proxy.
    Refusal,
    /// A head, and a body that is visibly incomplete.
    Part,
    /// A whole answer with this body.
    Whole(&'static str),
}

/// Sends the answer number `n` on the path `/n`, and its path on all others.
async fn answer(mut wire: Wire, seen: Arc<Seen>, answers: Arc<Vec<(Vec<u8>, bool)>>) -> io::Result<()> {
    while let Some(request) = wire.read_request().await? {
        let path = request.start.split(' ').nth(1).unwrap_or_default().to_owned();
        seen.record(request);
        let number = path.strip_prefix('/').and_then(|number| number.parse::<usize>().ok());
        let Some((bytes, close)) = number.and_then(|number| answers.get(number)) else {
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).as_bytes())
                .await?;
            continue;
        };
        wire.send(bytes).await?;
        if *close {
            return Ok(());
        }
    }
    Ok(())
}

#[tokio::test]
async fn answers() {
    use Gets::{Part, Refusal, Whole};
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}");
    let (keep, close) = (false, true);
    let rows: Vec<(&str, String, bool, Gets)> = vec![
        (
            "CL and TE",
            ok(&format!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{evil}")),
            keep,
            Refusal,
        ),
        ("CL twice", ok(&format!("Content-Length: 1\r\nContent-Length: 2\r\n\r\na{evil}")), keep, Refusal),
        ("CL list", ok("Content-Length: 1, 1\r\n\r\na"), keep, Refusal),
        ("CL negative", ok("Content-Length: -1\r\n\r\na"), keep, Refusal),
        ("CL hex", ok("Content-Length: 0x1\r\n\r\na"), keep, Refusal),
        ("CL too large", ok("Content-Length: 18446744073709551617\r\n\r\na"), keep, Refusal),
        ("TE unknown", ok("Transfer-Encoding: gzip\r\n\r\na"), keep, Refusal),
        ("TE list", ok("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), keep, Refusal),
        ("TE obfuscated", ok("Transfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n"), keep, Refusal),
        (
            "TE in HTTP/1.0",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            keep,
            Refusal,
        ),
        ("NUL in a value", ok("X: a\0b\r\nContent-Length: 0\r\n\r\n"), keep, Refusal),
        ("a bare return in a value", ok("X: a\rb\r\nContent-Length: 0\r\n\r\n"), keep, Refusal),
        ("a bare line feed", ok("X: a\nContent-Length: 0\r\n\r\n"), keep, Refusal),
        (
            "a bare line feed after the status",
            "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n".into(),
            keep,
            Refusal,
        ),
        (
            "a control character in the reason",
            "HTTP/1.1 200 O\u{1}K\r\nContent-Length: 0\r\n\r\n".into(),
            keep,
            Refusal,
        ),
        (
            "a bare return in the reason",
            "HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n".into(),
            keep,
            Refusal,
        ),
        ("a fold", ok("X: a\r\n b\r\nContent-Length: 0\r\n\r\n"), keep, Refusal),
        ("blank before the colon", ok("Content-Length : 0\r\n\r\n"), keep, Refusal),
        ("no name", ok(": x\r\nContent-Length: 0\r\n\r\n"), keep, Refusal),
        ("status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n".into(), keep, Refusal),
        ("status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n".into(), keep, Refusal),
        ("status out of range", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n".into(), keep, Refusal),
        ("status far out of range", "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n".into(), keep, Refusal),
        ("status with a sign", "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n".into(), keep, Refusal),
        ("HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n".into(), keep, Refusal),
        ("HTTP/0.9", "<html>evil</html>".into(), close, Refusal),
        ("another protocol", "SSH-2.0-x\r\n".into(), keep, Refusal),
        ("blanks in front", format!(" {}", ok("Content-Length: 0\r\n\r\n")), keep, Refusal),
        ("an empty line in front", format!("\r\n{}", ok("Content-Length: 0\r\n\r\n")), keep, Refusal),
        ("nothing", String::new(), close, Refusal),
        ("half a head", ok("Content-Len"), close, Refusal),
        ("a huge head", ok(&format!("X: {}\r\n\r\n", "x".repeat(70_000))), keep, Refusal),
        ("a huge head of many lines", ok(&format!("{}\r\n", "X: y\r\n".repeat(2000))), keep, Refusal),
        (
            "a switch that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".into(),
            keep,
            Refusal,
        ),
        (
            "a storm of interim answers",
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(1000),
            keep,
            Refusal,
        ),
        (
            "an interim answer with a length",
            format!("HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\n{}", ok("Content-Length: 0\r\n\r\n")),
            keep,
            Whole(""),
        ),
        (
            "an interim answer with both",
            format!("HTTP/1.1 100 Continue\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{evil}"),
            keep,
            Refusal,
        ),
        ("a size with 0x", ok("Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"), keep, Refusal),
        (
            "a size with a bare line feed",
            ok("Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"),
            keep,
            Refusal,
        ),
        ("fewer bytes than announced", ok("Content-Length: 10\r\n\r\nabc"), close, Part),
        ("a chunk that ends early", ok("Transfer-Encoding: chunked\r\n\r\n5\r\nabc"), close, Part),
        ("no last chunk", ok("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), close, Part),
        (
            "a last chunk without an end",
            ok("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"),
            close,
            Part,
        ),
        ("more bytes than announced", ok(&format!("Content-Length: 3\r\n\r\nabc{evil}")), keep, Whole("abc")),
        (
            "more bytes than the last chunk",
            ok(&format!("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{evil}")),
            keep,
            Whole("abc"),
        ),
        ("an answer too many", format!("{}{evil}", ok("Content-Length: 3\r\n\r\nabc")), keep, Whole("abc")),
        (
            "a body where none may be: 204",
            format!("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n{evil}"),
            keep,
            Whole(""),
        ),
        (
            "a body where none may be: 304",
            format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n{evil}"),
            keep,
            Whole(""),
        ),
        ("a length that is written oddly", ok("Content-Length: 0003\r\n\r\nabc"), keep, Whole("abc")),
        ("everything until the close", ok("\r\nabc"), close, Whole("abc")),
        ("no reason", "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc".into(), keep, Whole("abc")),
        (
            "framing nominated away",
            ok("Connection: content-length\r\nContent-Length: 3\r\n\r\nabc"),
            keep,
            Whole("abc"),
        ),
        (
            "trailers that mean something",
            ok(
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\n\r\n",
            ),
            keep,
            Whole("abc"),
        ),
        (
            "an error that is said to be the proxy's",
            ok("Vamp-Proxy-Error: connect\r\nContent-Length: 3\r\n\r\nabc"),
            keep,
            Whole("abc"),
        ),
    ];
    let sent = Arc::new(
        rows.iter().map(|(_, bytes, close, _)| (bytes.clone().into_bytes(), *close)).collect::<Vec<_>>(),
    );
    let target =
        Target::start(move |wire, _, seen| Box::pin(answer(wire, seen, Arc::clone(&sent)))).await.unwrap();
    let bench = serving(&target).await;
    let mut faults = Vec::new();
    for (number, (name, _, _, expected)) in rows.iter().enumerate() {
        let mut client = bench.connect().await;
        // Not to be repeated: one answer for one request.
        let request = format!("POST /{number} HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\n\r\nx");
        client.send(request.as_bytes()).await.unwrap();
        let got = loop {
            match client.read_response().await {
                Ok(answer) if answer.status() < 200 => {}
                got => break got,
            }
        };
        let error = got.as_ref().ok().and_then(|answer| answer.field("vamp-proxy-error"));
        let holds = match (&got, expected) {
            (Ok(answer), Refusal) => (answer.status(), error.as_deref()) == (502, Some("bad_response")),
            (Ok(answer), Whole(body)) => answer.text() == *body && error.is_none() && answer.status() < 500,
            (Err(_), Part) => true,
            _ => false,
        };
        if !holds {
            faults.push(format!("{name}: {got:?}, expected {expected:?}"));
        }
        // The same client, if its connection goes on, and others: each gets its own.
        let open = got.is_ok_and(|answer| answer.field("connection").as_deref() != Some("close"));
        for mut client in [open.then_some(client), Some(bench.connect().await)].into_iter().flatten() {
            match client.ask(&get("shop", "/after")).await {
                Ok(answer) if answer.text() == "/after" => {}
                got => faults.push(format!("{name}: the next request got {got:?}")),
            }
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), rows.len(), faults.join("\n"));
}
