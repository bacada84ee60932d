//! Bytes that do not belong into a head, and versions that are not spoken.

use super::{SMUGGLED, check, passed, passed_last, post, refused};

#[tokio::test]
async fn request_lines() {
    let line =
        |line: &str, status: u16| refused(format!("{line}\r\nHost: shop.test\r\n\r\n{SMUGGLED}"), status);
    check(vec![
        ("HTTP/0.9", line("GET /x", 400)),
        ("HTTP/0.9 in words", line("GET /x HTTP/0.9", 505)),
        ("HTTP/1.2", line("GET /x HTTP/1.2", 505)),
        ("HTTP/1.10", line("GET /x HTTP/1.10", 400)),
        ("HTTP/1.01", line("GET /x HTTP/1.01", 400)),
        ("HTTP/01.1", line("GET /x HTTP/01.1", 400)),
        ("HTTP/2.0", line("GET /x HTTP/2.0", 505)),
        ("HTTP/3.0", line("GET /x HTTP/3.0", 505)),
        ("HTTP/1,1", line("GET /x HTTP/1,1", 400)),
        ("HTTP/1", line("GET /x HTTP/1", 400)),
        ("http/1.1", line("GET /x http/1.1", 400)),
        ("HTTP/+1.1", line("GET /x HTTP/+1.1", 400)),
        ("two blanks before the target", line("GET  /x HTTP/1.1", 400)),
        ("two blanks after the target", line("GET /x  HTTP/1.1", 400)),
        ("a blank in front", line(" GET /x HTTP/1.1", 400)),
        ("a blank at the end", line("GET /x HTTP/1.1 ", 400)),
        ("a tab for a blank", line("GET\t/x HTTP/1.1", 400)),
        ("another tab for a blank", line("GET /x\tHTTP/1.1", 400)),
        ("a vertical tab", line("GET\u{b}/x HTTP/1.1", 400)),
        ("a blank in the target", line("GET /x /smuggled HTTP/1.1", 400)),
        ("two versions", line("GET /x HTTP/1.1 HTTP/1.1", 400)),
        ("a return in the target", line("GET /x\rX HTTP/1.1", 400)),
        ("a line feed in the target", line("GET /x\nX HTTP/1.1", 400)),
        ("NUL in the target", line("GET /x\0 HTTP/1.1", 400)),
        ("a control character in the target", line("GET /x\u{1} HTTP/1.1", 400)),
        ("DEL in the target", line("GET /x\u{7f} HTTP/1.1", 400)),
        ("non-ASCII in the target", line("GET /\u{e9} HTTP/1.1", 400)),
        ("a fragment", line("GET /x#y HTTP/1.1", 400)),
        ("a method with a colon", line("GET: /x HTTP/1.1", 400)),
        ("a method with a NUL", line("GE\0T /x HTTP/1.1", 400)),
        ("no method", line("/x HTTP/1.1", 400)),
        ("a bare line feed", refused(format!("GET /x HTTP/1.1\nHost: shop.test\r\n\r\n{SMUGGLED}"), 400)),
        ("a bare return", refused(format!("GET /x HTTP/1.1\rHost: shop.test\r\n\r\n{SMUGGLED}"), 400)),
        (
            "a line feed in front",
            refused(format!("\nGET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n{SMUGGLED}"), 400),
        ),
        ("NUL in front", refused(format!("\0GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n{SMUGGLED}"), 400)),
        ("three empty lines in front", refused(format!("\r\n\r\n\r\n{SMUGGLED}"), 400)),
        (
            "one empty line in front",
            passed("\r\nGET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n", &["GET /x HTTP/1.1|Host: shop.test"]),
        ),
        ("TLS", refused("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n", 400)),
        ("a preface of HTTP/2 that goes wrong", refused("PRI * HTTP/2.0\r\n\r\nMS\r\n\r\n", 400)),
        (
            "HTTP/1.0",
            passed_last("GET /x HTTP/1.0\r\nHost: shop.test\r\n\r\n", &["GET /x HTTP/1.1|Host: shop.test"]),
        ),
        (
            "HTTP/1.0 with a request behind it",
            passed_last(
                format!("GET /x HTTP/1.0\r\nHost: shop.test\r\n\r\n{SMUGGLED}"),
                &["GET /x HTTP/1.1|Host: shop.test"],
            ),
        ),
        (
            "an odd method",
            passed("X-Y!# /x HTTP/1.1\r\nHost: shop.test\r\n\r\n", &["X-Y!# /x HTTP/1.1|Host: shop.test"]),
        ),
        (
            "an encoded line ending stays encoded",
            passed(
                "GET /x%0d%0aHost:%20y%00 HTTP/1.1\r\nHost: shop.test\r\n\r\n",
                &["GET /x%0d%0aHost:%20y%00 HTTP/1.1|Host: shop.test"],
            ),
        ),
        (
            "dot segments stay as they are",
            passed(
                "GET /a/../b/%2e%2e//c/./d\\e HTTP/1.1\r\nHost: shop.test\r\n\r\n",
                &["GET /a/../b/%2e%2e//c/./d\\e HTTP/1.1|Host: shop.test"],
            ),
        ),
    ])
    .await;
}

#[tokio::test]
async fn fields() {
    let bad = |field: &str| refused(post(&format!("{field}\r\n"), SMUGGLED), 400);
    check(vec![
        ("blank before the colon", bad("X : y")),
        ("tab before the colon", bad("X\t: y")),
        ("vertical tab before the colon", bad("X\u{b}: y")),
        ("no name", bad(": y")),
        ("no colon", bad("X")),
        ("a blank in front", bad(" X: y")),
        ("a fold", bad("X: y\r\n z")),
        ("a fold with a tab", bad("X: y\r\n\tz")),
        ("a fold of nothing", bad("X: y\r\n ")),
        (
            "a fold of the first line",
            refused(format!("GET /x HTTP/1.1\r\n Host: shop.test\r\n\r\n{SMUGGLED}"), 400),
        ),
        ("NUL in a name", bad("X\0: y")),
        ("non-ASCII in a name", bad("X\u{e9}: y")),
        ("a bracket in a name", bad("X[: y")),
        ("a quote in a name", bad("\"X\": y")),
        ("NUL in a value", bad("X: a\0b")),
        ("a bare return in a value", bad("X: a\rb")),
        ("a bare return at the end", bad("X: a\r")),
        ("a bare line feed at the end", refused(post("X: a\n", SMUGGLED), 400)),
        ("a bare line feed in a value", bad("X: a\nContent-Length: 43")),
        ("a control character in a value", bad("X: a\u{1}b")),
        ("an escape in a value", bad("X: a\u{1b}[0m")),
        ("DEL in a value", bad("X: a\u{7f}b")),
        (
            "two line feeds for an end",
            refused(format!("GET /x HTTP/1.1\r\nHost: shop.test\n\n{SMUGGLED}"), 400),
        ),
        ("CR LF LF for an end", refused(format!("GET /x HTTP/1.1\r\nHost: shop.test\r\n\n{SMUGGLED}"), 400)),
        (
            "CR CR LF for an end",
            refused(format!("GET /x HTTP/1.1\r\nHost: shop.test\r\r\n\r\n{SMUGGLED}"), 400),
        ),
        ("too many", refused(post(&"X: y\r\n".repeat(101), SMUGGLED), 431)),
        ("too many to be read", refused(post(&"X: y\r\n".repeat(400), SMUGGLED), 431)),
        ("too large", refused(post(&format!("X: {}\r\n", "x".repeat(33_000)), ""), 431)),
        (
            "a long target",
            refused(format!("GET /{} HTTP/1.1\r\nHost: shop.test\r\n\r\n", "x".repeat(9000)), 414),
        ),
        (
            "values that are odd and good",
            passed(
                post("X:\r\nY: \t\r\nZ: a\tb  c\r\n", ""),
                &["POST /p HTTP/1.1|Host: shop.test|X: |Y: |Z: a\tb  c"],
            ),
        ),
        (
            "the same twice",
            passed(post("X: a\r\nx: b\r\n", ""), &["POST /p HTTP/1.1|Host: shop.test|X: a|x: b"]),
        ),
    ])
    .await;
}
