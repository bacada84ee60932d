//! Where a request ends: lengths, codings, chunks.

use super::{Row, SMUGGLED, check, passed, passed_last, post, refused};

/// Two answers to where the body ends.
#[tokio::test]
async fn lengths_and_codings() {
    let te = |line: &str| refused(post(&format!("{line}\r\n"), &format!("0\r\n\r\n{SMUGGLED}")), 400);
    let cl = |value: &str| {
        refused(post(&format!("Content-Length: {value}\r\n"), &format!("hello{SMUGGLED}")), 400)
    };
    let both = |lines: &str| refused(post(lines, &format!("0\r\n\r\n{SMUGGLED}")), 400);
    check(vec![
        ("CL.TE", both("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")),
        ("TE.CL", both("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")),
        ("TE with CL 0", both("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n")),
        ("CL with a coding that is none", both("Content-Length: 5\r\nTransfer-Encoding: identity\r\n")),
        ("TE nominated away", both("Connection: transfer-encoding\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n")),
        ("CL nominated away", both("Connection: content-length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n")),
        ("CL.CL same", both("Content-Length: 5\r\nContent-Length: 5\r\n")),
        ("CL.CL other", both("Content-Length: 0\r\nContent-Length: 40\r\n")),
        ("CL.CL in other letters", both("Content-Length: 5\r\ncontent-length: 6\r\n")),
        ("CL list", cl("5, 5")),
        ("CL list of two", cl("5, 45")),
        ("CL empty", cl("")),
        ("CL plus", cl("+5")),
        ("CL minus", cl("-5")),
        ("CL hex", cl("0x5")),
        ("CL with a blank inside", cl("5 0")),
        ("CL with a fraction", cl("5.0")),
        ("CL quoted", cl("\"5\"")),
        ("CL with an underscore", cl("5_0")),
        ("CL too large", cl("18446744073709551621")),
        ("CL just too large", cl("9223372036854775808")),
        ("CL in other digits", cl("\u{0665}")),
        ("CL with a vertical tab", cl("\u{b}5")),
        ("TE blank before the colon", te("Transfer-Encoding : chunked")),
        ("TE tab before the colon", te("Transfer-Encoding\t: chunked")),
        ("TE vertical tab", te("Transfer-Encoding: \u{b}chunked")),
        ("TE form feed", te("Transfer-Encoding: chunked\u{c}")),
        ("TE NUL", te("Transfer-Encoding: chunked\0")),
        ("TE quoted", te("Transfer-Encoding: \"chunked\"")),
        ("TE parameter", te("Transfer-Encoding: chunked;q=1")),
        ("TE list", te("Transfer-Encoding: gzip, chunked")),
        ("TE list the other way", te("Transfer-Encoding: chunked, gzip")),
        ("TE list with identity", te("Transfer-Encoding: chunked, identity")),
        ("TE twice in a list", te("Transfer-Encoding: chunked, chunked")),
        ("TE empty member", te("Transfer-Encoding: , chunked")),
        ("TE prefix", te("Transfer-Encoding: xchunked")),
        ("TE suffix", te("Transfer-Encoding: chunkedx")),
        ("TE cut", te("Transfer-Encoding: chunke")),
        ("TE empty", te("Transfer-Encoding:")),
        ("TE twice", te("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
        ("TE twice, one not", te("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked")),
        ("TE twice, one hidden", te("Transfer-Encoding: chunked\r\nTransfer-encoding: x")),
        ("TE folded", te("Transfer-Encoding:\r\n chunked")),
        ("TE folded after", te("Transfer-Encoding: chunked\r\n\tx")),
        ("TE after a bare line feed", te("X: y\nTransfer-Encoding: chunked")),
        ("TE after a bare return", te("X: y\rTransfer-Encoding: chunked")),
        ("TE non-ASCII", te("Transfer-Encoding: chunked\u{a0}")),
        ("TE long s", te("Transfer-Encoding: \u{17f}chunked")),
        (
            "TE in HTTP/1.0",
            refused(
                format!("POST /p HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
                400,
            ),
        ),
        (
            "CL with white space around it",
            passed(post("Content-Length: \t 5\t\r\n", "hello"), &["POST /p HTTP/1.1|Host: shop.test|Content-Length: 5|=hello"]),
        ),
        (
            "CL with zeros in front",
            passed(post("Content-Length: 0005\r\n", "hello"), &["POST /p HTTP/1.1|Host: shop.test|Content-Length: 5|=hello"]),
        ),
        (
            "names that servers map to CL",
            passed(post("Content_Length: 40\r\nX: y\r\n", ""), &["POST /p HTTP/1.1|Host: shop.test|Content_Length: 40|X: y"]),
        ),
        (
            "GET with a body that is a request",
            passed(
                format!("GET /g HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()),
                &["GET /g HTTP/1.1|Host: shop.test|Content-Length: 43|=GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"],
            ),
        ),
        (
            "a request behind a body is one more request, never part of the first",
            passed(
                format!("{}{SMUGGLED}", post("Content-Length: 2\r\n", "hi")),
                &["POST /p HTTP/1.1|Host: shop.test|Content-Length: 2|=hi", "GET /smuggled HTTP/1.1|Host: shop.test"],
            ),
        ),
        (
            "HEAD with a body that is a request",
            passed(
                format!("HEAD /h HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 43\r\n\r\n{SMUGGLED}"),
                &["HEAD /h HTTP/1.1|Host: shop.test|Content-Length: 43|=GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"],
            ),
        ),
    ])
    .await;
}

/// Chunks that two readers count differently.
#[tokio::test]
async fn chunks() {
    let bad = |body: &str| refused(post("Transfer-Encoding: chunked\r\n", &format!("{body}{SMUGGLED}")), 400);
    let good = |body: &str, seen: &str| {
        passed(
            post("Transfer-Encoding: chunked\r\n", body),
            &[&format!("POST /p HTTP/1.1|Host: shop.test|Transfer-Encoding: chunked{seen}")],
        )
    };
    check(vec![
        ("size with 0x", bad("0x5\r\nhello\r\n0\r\n\r\n")),
        ("size with plus", bad("+5\r\nhello\r\n0\r\n\r\n")),
        ("size with minus", bad("-5\r\nhello\r\n0\r\n\r\n")),
        ("size empty", bad("\r\nhello\r\n0\r\n\r\n")),
        ("size with a blank before", bad(" 5\r\nhello\r\n0\r\n\r\n")),
        ("size with a blank inside", bad("5 5\r\nhello\r\n0\r\n\r\n")),
        ("size with a blank after", bad("5 \r\nhello\r\n0\r\n\r\n")),
        ("size with an underscore", bad("5_\r\nhello\r\n0\r\n\r\n")),
        ("size that overflows 64 bits", bad("10000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("size that overflows 63 bits", bad("8000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("size that overflows 32 bits and more", bad("fffffffffffffffff\r\nhello\r\n0\r\n\r\n")),
        ("size with many zeros", bad("00000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("size and bare line feed", bad("5\nhello\r\n0\r\n\r\n")),
        ("size and bare return", bad("5\rhello\r\n0\r\n\r\n")),
        ("size and two returns", bad("5\r\r\nhello\r\n0\r\n\r\n")),
        ("TERM.EXT: line feed in an extension", bad("5;\nhello\r\n0\r\n\r\n")),
        ("EXT.TERM: return in an extension", bad("5;a\rb\r\nhello\r\n0\r\n\r\n")),
        ("NUL in an extension", bad("5;\0\r\nhello\r\n0\r\n\r\n")),
        ("data and bare line feed", bad("5\r\nhello\n0\r\n\r\n")),
        ("data without an end", bad("5\r\nhello0\r\n\r\n")),
        ("TERM.SPILL: two bytes that are no CRLF", bad("5\r\nhelloXX0\r\n\r\n")),
        ("data longer than its size", bad("4\r\nhello\r\n0\r\n\r\n")),
        ("last chunk and bare line feed", bad("0\n\r\n")),
        ("trailers end with a bare line feed", bad("0\r\nX: y\n\r\n")),
        ("trailers end with two line feeds", bad("0\r\nX: y\r\n\n")),
        ("trailer with a blank before the colon", bad("0\r\nX : y\r\n\r\n")),
        ("trailer that is folded", bad("0\r\nX: y\r\n z\r\n\r\n")),
        ("trailer without a name", bad("0\r\n: y\r\n\r\n")),
        ("trailer with NUL", bad("0\r\nX: \0\r\n\r\n")),
        ("trailer with a bare return", bad("0\r\nX: a\rb\r\n\r\n")),
        ("trailer without a colon", bad("0\r\nX\r\n\r\n")),
        ("extension too long", bad(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(2000)))),
        ("trailers too large", bad(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(2000)))),
        ("too many trailers", bad(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(40)))),
        ("plain", good("5\r\nhello\r\n0\r\n\r\n", "|=hello")),
        ("extensions are dropped", good("5;a=b;c\r\nhello\r\n0;x\r\n\r\n", "|=hello")),
        ("quoted extension that looks like an end", good("5;a=\";0\"\r\nhello\r\n0\r\n\r\n", "|=hello")),
        ("blank before an extension", good("5 ;a\r\nhello\r\n0\r\n\r\n", "|=hello")),
        ("capital letters", good("A\r\n0123456789\r\n0\r\n\r\n", "|=0123456789")),
        ("several zeros at the end", good("5\r\nhello\r\n000\r\n\r\n", "|=hello")),
        ("nothing", good("0\r\n\r\n", "")),
        ("a request inside", good("2b\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n\r\n0\r\n\r\n", "|=GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n")),
        ("trailers", good("0\r\nX-T: 1\r\nX-U:2\r\n\r\n", "|+X-T: 1|+X-U: 2")),
        (
            "trailers that mean something",
            good(
                "0\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\nHost: other\r\nX-T: 1\r\nAuthorization: x\r\nCookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\nVamp-Hops: 0\r\nConnection: close\r\nUpgrade: x\r\n\r\n",
                "|+X-T: 1",
            ),
        ),
        (
            "a coding in capital letters",
            passed(
                post("transfer-encoding:\tCHUNKED \r\n", "5\r\nhello\r\n0\r\n\r\n"),
                &["POST /p HTTP/1.1|Host: shop.test|Transfer-Encoding: chunked|=hello"],
            ),
        ),
    ])
    .await;
}

/// A body that is announced and does not come, or comes to somebody else.
#[tokio::test]
async fn expectations() {
    check(vec![
        (
            "0.CL: an early answer to an expectation",
            Row {
                then: SMUGGLED,
                ..passed_last(
                    "POST /early HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 43\r\n\r\n",
                    &["POST /early HTTP/1.1|Host: shop.test|Expect: 100-continue|Content-Length: 43"],
                )
            },
        ),
        (
            "0.CL without an expectation",
            Row {
                then: SMUGGLED,
                ..passed_last(
                    "POST /early HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 43\r\n\r\n",
                    &["POST /early HTTP/1.1|Host: shop.test|Content-Length: 43"],
                )
            },
        ),
        (
            "an early answer to chunks",
            Row {
                then: "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
                ..passed_last(
                    "POST /early HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
                    &["POST /early HTTP/1.1|Host: shop.test|Expect: 100-continue|Transfer-Encoding: chunked"],
                )
            },
        ),
        ("another expectation", refused(post("Expect: 100-continue, x\r\n", SMUGGLED), 417)),
        ("an expectation with something before it", refused(post("Expect: y 100-continue\r\nContent-Length: 5\r\n", "hello"), 417)),
        ("an expectation with a fold", refused(post("Expect:\r\n 100-continue\r\nContent-Length: 5\r\n", "hello"), 400)),
        (
            "an expectation without a body",
            passed(post("Expect: 100-continue\r\n", ""), &["POST /p HTTP/1.1|Host: shop.test"]),
        ),
        (
            "an expectation whose body is here",
            passed(
                post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
                &["POST /p HTTP/1.1|Host: shop.test|Content-Length: 5|=hello"],
            ),
        ),
        (
            "an expectation of HTTP/1.0",
            passed_last(
                "POST /p HTTP/1.0\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
                &["POST /p HTTP/1.1|Host: shop.test|Content-Length: 5|=hello"],
            ),
        ),
    ])
    .await;
}
