//! Whom a request is for: Host, absolute form, CONNECT.

use super::{SMUGGLED, check, passed, passed_last, refused};

#[tokio::test]
async fn hosts() {
    let host = |lines: &str| refused(format!("GET /x HTTP/1.1\r\n{lines}\r\n{SMUGGLED}"), 400);
    check(vec![
        ("missing", host("")),
        ("empty", host("Host:\r\n")),
        ("twice", host("Host: shop.test\r\nHost: shop.test\r\n")),
        ("two", host("Host: shop.test\r\nhost: other.test\r\n")),
        ("two with something between", host("Host: shop.test\r\nX: y\r\nHost: other.test\r\n")),
        ("list", host("Host: shop.test, other.test\r\n")),
        ("with a user", host("Host: a@shop.test\r\n")),
        ("with a user and a password", host("Host: a:b@shop.test\r\n")),
        ("with a path", host("Host: shop.test/x\r\n")),
        ("with a query", host("Host: shop.test?x\r\n")),
        ("with a fragment", host("Host: shop.test#x\r\n")),
        ("with a scheme", host("Host: http://shop.test\r\n")),
        ("with a blank", host("Host: shop.test other.test\r\n")),
        ("with a backslash", host("Host: shop.test\\other.test\r\n")),
        ("with a port that is none", host("Host: shop.test:x\r\n")),
        ("with a port out of range", host("Host: shop.test:70000\r\n")),
        ("with two ports", host("Host: shop.test:80:81\r\n")),
        ("with a port and a user", host("Host: shop.test:80@other.test\r\n")),
        ("only a port", host("Host: :80\r\n")),
        ("bad brackets", host("Host: [::1\r\n")),
        ("bad address in brackets", host("Host: [shop.test]\r\n")),
        ("something after the brackets", host("Host: [::1]x\r\n")),
        ("non-ASCII", host("Host: sh\u{f6}p.test\r\n")),
        ("NUL", host("Host: shop.test\0\r\n")),
        ("a comma at the end", host("Host: shop.test,\r\n")),
        ("hidden behind a fold", host("X: y\r\n Host: other.test\r\nHost: shop.test\r\n")),
        ("hidden behind a blank", host("Host : other.test\r\nHost: shop.test\r\n")),
        ("folded", host("Host:\r\n shop.test\r\n")),
        ("twice in HTTP/1.0", refused("GET /x HTTP/1.0\r\nHost: shop.test\r\nHost: other.test\r\n\r\n", 400)),
        ("nobody", super::Row { open: true, ..refused("GET /x HTTP/1.1\r\nHost: nobody.test\r\n\r\n", 404) }),
        (
            "in other letters, with a port and a dot at the end",
            passed(
                "GET /x HTTP/1.1\r\nHost: SHOP.test.:80\r\n\r\n",
                &["GET /x HTTP/1.1|Host: SHOP.test.:80"],
            ),
        ),
        (
            "not dropped because Connection names it",
            passed(
                "GET /x HTTP/1.1\r\nHost: shop.test\r\nConnection: host\r\n\r\n",
                &["GET /x HTTP/1.1|Host: shop.test"],
            ),
        ),
        (
            "other names for a host are only fields",
            passed(
                "GET /x HTTP/1.1\r\nHost: shop.test\r\nX-Host: other.test\r\n\r\n",
                &["GET /x HTTP/1.1|Host: shop.test|X-Host: other.test"],
            ),
        ),
    ])
    .await;
}

#[tokio::test]
async fn targets() {
    let target =
        |target: &str| refused(format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n{SMUGGLED}"), 400);
    let connect = |target: &str| {
        refused(format!("CONNECT {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n{SMUGGLED}"), 405)
    };
    check(vec![
        ("absolute form for another host", target("http://other.test/x")),
        ("absolute form with a user", target("http://a@shop.test/x")),
        ("absolute form with a user that looks like a host", target("http://shop.test@other.test/x")),
        ("absolute form with another port", target("http://shop.test:81/x")),
        ("absolute form without a host", target("http:///x")),
        ("absolute form with one slash", target("http:/shop.test/x")),
        ("absolute form with backslashes", target("http:\\\\shop.test\\x")),
        ("absolute form with a query for a path", target("http://shop.test?x")),
        ("absolute form of another scheme", target("ftp://shop.test/x")),
        ("absolute form of a scheme that is none", target("gopher://shop.test/x")),
        ("absolute form with a bad host", target("http://shop.test,other.test/x")),
        ("authority form", target("shop.test:80")),
        ("no slash", target("x")),
        ("a star", target("*")),
        ("a question mark", target("?x")),
        ("a colon", target(":80/x")),
        (
            "absolute form without Host",
            refused(format!("GET http://shop.test/x HTTP/1.1\r\n\r\n{SMUGGLED}"), 400),
        ),
        ("CONNECT", connect("other.test:443")),
        ("CONNECT with a path", connect("/x")),
        ("CONNECT to nothing", connect("*")),
        (
            "CONNECT in small letters is a method like others",
            passed(
                "connect /x HTTP/1.1\r\nHost: shop.test\r\n\r\n",
                &["connect /x HTTP/1.1|Host: shop.test"],
            ),
        ),
        (
            "absolute form becomes origin form",
            passed(
                "GET http://SHOP.test/x?y HTTP/1.1\r\nHost: shop.test\r\n\r\n",
                &["GET /x?y HTTP/1.1|Host: shop.test"],
            ),
        ),
        (
            "absolute form in HTTP/1.0 names the host",
            passed_last("GET http://shop.test HTTP/1.0\r\n\r\n", &["GET / HTTP/1.1|Host: shop.test"]),
        ),
        (
            "two slashes are a path",
            passed(
                "GET //other.test/x HTTP/1.1\r\nHost: shop.test\r\n\r\n",
                &["GET //other.test/x HTTP/1.1|Host: shop.test"],
            ),
        ),
        (
            "a path that looks absolute",
            passed(
                "GET /http://other.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n",
                &["GET /http://other.test/ HTTP/1.1|Host: shop.test"],
            ),
        ),
        (
            "the whole server",
            passed("OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n", &["OPTIONS * HTTP/1.1|Host: shop.test"]),
        ),
    ])
    .await;
}
