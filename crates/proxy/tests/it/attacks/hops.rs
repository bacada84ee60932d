//! Fields for one connection only, and changes of protocol.

use super::{Row, SMUGGLED, check, passed, passed_last, post};

const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: x\r\n";

#[tokio::test]
async fn fields_for_one_connection() {
    let line = |lines: &str, seen: &str| {
        passed(
            format!("GET /x HTTP/1.1\r\nHost: shop.test\r\n{lines}\r\n"),
            &[&format!("GET /x HTTP/1.1|Host: shop.test{seen}")],
        )
    };
    check(vec![
        ("named ones are dropped", line("Connection: x-a, X-B\r\nX-A: 1\r\nx-b: 2\r\nX-C: 3\r\n", "|X-C: 3")),
        ("named by a second line", line("Connection: keep-alive\r\nX-A: 1\r\nConnection: x-a\r\n", "")),
        ("cookies too, since the client wants it so", line("Connection: cookie\r\nCookie: a=b\r\n", "")),
        ("well-known ones", line("Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n", "")),
        ("settings of HTTP/2", line("Connection: HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", "")),
        (
            "what the proxy adds cannot be taken away",
            Row {
                seen: vec!["GET /x HTTP/1.1|Host: shop.test".into()],
                ..line("Connection: x-forwarded-for, x-forwarded-port, x-forwarded-proto, vamp-hops\r\n", "")
            },
        ),
        ("what the proxy says cannot be said by others", line("X-Forwarded-Port: 1\r\nX-Forwarded-Proto: https\r\nVamp-Hops: 2\r\n", "")),
        (
            "framing cannot be taken away",
            passed(
                post("Connection: content-length\r\nContent-Length: 43\r\n", SMUGGLED),
                &["POST /p HTTP/1.1|Host: shop.test|Content-Length: 43|=GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"],
            ),
        ),
        (
            "nor can chunks",
            passed(
                post("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
                &["POST /p HTTP/1.1|Host: shop.test|Transfer-Encoding: chunked|=hello"],
            ),
        ),
        (
            "a close is a close",
            passed_last(
                format!("GET /x HTTP/1.1\r\nHost: shop.test\r\nConnection: x, close\r\n\r\n{SMUGGLED}"),
                &["GET /x HTTP/1.1|Host: shop.test"],
            ),
        ),
    ])
    .await;
}

#[tokio::test]
async fn changes_of_protocol() {
    let not_passed_on = |lines: &str| {
        passed(
            format!("GET /x HTTP/1.1\r\nHost: shop.test\r\n{lines}\r\n"),
            &["GET /x HTTP/1.1|Host: shop.test"],
        )
    };
    check(vec![
        ("h2c", not_passed_on("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n")),
        ("h2c among others", not_passed_on("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n")),
        ("h2c in a second line", not_passed_on("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: H2C\r\n")),
        ("h2c with a version", not_passed_on("Connection: Upgrade\r\nUpgrade: h2c/1\r\n")),
        ("without Connection", not_passed_on("Upgrade: websocket\r\n")),
        (
            "with a body",
            passed(
                post(&format!("{UPGRADE}Content-Length: 43\r\n"), SMUGGLED),
                &["POST /p HTTP/1.1|Host: shop.test|Content-Length: 43|=GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"],
            ),
        ),
        (
            "in HTTP/1.0",
            passed_last(format!("GET /x HTTP/1.0\r\nHost: shop.test\r\n{UPGRADE}\r\n"), &["GET /x HTTP/1.1|Host: shop.test"]),
        ),
        (
            "declined, with a request behind it that was meant to pass unseen",
            Row {
                answers: vec![200, 404],
                ..passed(
                    format!("GET /x HTTP/1.1\r\nHost: shop.test\r\n{UPGRADE}\r\nGET /smuggled HTTP/1.1\r\nHost: nobody.test\r\n\r\n"),
                    &["GET /x HTTP/1.1|Host: shop.test|Connection: upgrade|Upgrade: x"],
                )
            },
        ),
        (
            "declined, with a request sent when the answer was there",
            Row {
                then: "GET /smuggled HTTP/1.1\r\nHost: nobody.test\r\n\r\n",
                answers: vec![200, 404],
                ..passed(
                    format!("GET /x HTTP/1.1\r\nHost: shop.test\r\n{UPGRADE}\r\n"),
                    &["GET /x HTTP/1.1|Host: shop.test|Connection: upgrade|Upgrade: x"],
                )
            },
        ),
        (
            "that nobody asked for",
            Row { answers: vec![502], ..passed("GET /switch HTTP/1.1\r\nHost: shop.test\r\n\r\n", &["GET /switch HTTP/1.1|Host: shop.test"]) },
        ),
        (
            "that was asked for in vain",
            Row {
                answers: vec![502],
                ..passed("GET /switch HTTP/1.1\r\nHost: shop.test\r\nUpgrade: x\r\n\r\n", &["GET /switch HTTP/1.1|Host: shop.test"])
            },
        ),
    ])
    .await;
}
