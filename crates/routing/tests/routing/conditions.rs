//! Sections 10.2 and 10.3, R24-R26.

use routing::explain::explain;

use crate::common::{Request, RouteExt, compile, get, route, shop};

/// Whether a condition holds for a request.
pub(crate) fn holds(condition: &str, request: &Request) -> bool {
    let gateway = compile(shop([route("a", 100).when(condition, 100)]));
    explain(&gateway, &request.head()).conditions[0].holds
}

pub(crate) fn check(request: &Request, condition: &str, expected: bool) {
    assert_eq!(holds(condition, request), expected, "{condition}");
}

#[test]
fn hosts() {
    let check = |host: &str, condition: &str, expected: bool| {
        let mut request = get("/");
        request.host = host.into();
        assert_eq!(holds(condition, &request), expected, "{condition} on {host}");
    };
    check("a.example", "host == a.example", true);
    check("A.Example", "host == a.eXample", true);
    check("a.example:9050", "host == a.example", true);
    check("a.example:9050", "host == a.example:9050", true);
    check("a.example:9051", "host == a.example:9050", false);
    check("a.example", "host == a.example:9050", false);
    check("b.example", "host == a.example", false);
    check("b.example", "host != a.example", true);
    check("a.example", "host not a.example", false);
    check("", "host == a.example", false);
    check("", "host != a.example", true);
    check("[::1]:9050", "host == [::1]", true);
    check("b", "host == 'a b'", false);
}

#[test]
fn browsers_and_other_agents() {
    let check = |agent: &str, condition: &str, expected: bool| {
        assert_eq!(holds(condition, &get("/").with("user-agent", agent)), expected, "{condition} on {agent}");
    };
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    let safari =
        "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15";
    let chrome = "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
    let edge = "Mozilla/5.0 (Windows NT 10.0) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0";
    check(firefox, "user-agent == Firefox", true);
    check(firefox, "User-Agent = firefox", true);
    check("firefox", "useragent is FIREFOX", true);
    check(chrome, "user-agent == Firefox", false);
    check(chrome, "user-agent != Firefox", true);
    check(chrome, "user.agent == Chrome", true);
    check(safari, "user-agent == Safari", true);
    check(chrome, "user-agent == Safari", false);
    check(chrome, "user-agent misses Safari", true);
    check(edge, "user-agent == Edge", true);
    check("Mozilla/5.0 Edge/18.0", "user-agent == edge", true);
    check(chrome, "user-agent == Edge", false);
    check(chrome, "user-agent != Edge", true);
    check("Mozilla/5.0 (Windows; Trident/7.0; rv:11.0)", "user-agent == IE", true);
    check("Mozilla/4.0 (compatible; MSIE 8.0)", "user-agent == ie", true);
    check("Mozilla/4.0 (compatible; MSIE 8.0)", "user-agent != IE", false);
    check("curl/8.1", "user-agent == CURL", true);
    check("curl/8.1", "user-agent == wget", false);
    assert!(!holds("user-agent == Firefox", &get("/")), "no header");
    assert!(holds("user-agent != Firefox", &get("/")), "no header, negated");
}

#[test]
fn headers_and_cookies() {
    let request = get("/")
        .with("X-Empty", "")
        .with("Accept", "text/html, application/vnd.sava.v1+json")
        .with("accept", "image/png")
        .with("Cookie", "group=admin; empty=; Name=x")
        .with("Cookie", "group=beta");
    let check = |condition: &str, expected: bool| check(&request, condition, expected);
    check("has header x-empty", true);
    check("contains header X-EMPTY", true);
    check("misses header x-empty", false);
    check("has header x-none", false);
    check("misses header x-none", true);
    check("header accept has v1", true);
    check("header accept has 'html, app'", true);
    check("header accept contains png", true);
    check("header accept has PNG", false);
    check("header accept misses v2", true);
    check("header accept misses v1", false);
    check("header x-none has v1", false);
    check("header x-none misses v1", true);
    check("has cookie group", true);
    check("has cookie Group", false);
    check("has cookie empty", false);
    check("misses cookie empty", true);
    check("cookie group has admin", true);
    check("cookie group has adm", true);
    check("cookie group has beta", true);
    check("cookie group has ADMIN", false);
    check("cookie group misses admin", false);
    check("cookie none has a", false);
    check("cookie none misses a", true);
    check("cookie name has x", false);
}

/// R26: every combination of three tests, against the expression computed by hand. The original lost terms of some of these.
#[test]
fn boolean_expressions_are_evaluated_as_written() {
    type Expected = fn(bool, bool, bool) -> bool;
    let rows: [(&str, Expected); 10] = [
        ("A and B", |a, b, _| a && b),
        ("A or B", |a, b, _| a || b),
        ("A and B or !A and !B", |a, b, _| a == b),
        ("(A and B) or (not (A) and not (B))", |a, b, _| a == b),
        ("not (A and B or C)", |a, b, c| !(a && b || c)),
        ("not (A or B) and C", |a, b, c| !(a || b) && c),
        ("A or B and C", |a, b, c| a || b && c),
        ("(A or B) and C", |a, b, c| (a || b) && c),
        ("A and !A", |_, _, _| false),
        ("A or !A", |_, _, _| true),
    ];
    for (text, expected) in rows {
        let condition =
            text.replace('A', "has header a").replace('B', "header b has 1").replace('C', "cookie c has 1");
        for bits in 0..8 {
            let (a, b, c) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            let mut request = get("/");
            for (present, name, value) in [(a, "a", ""), (b, "b", "1"), (c, "cookie", "c=1")] {
                if present {
                    request = request.with(name, value);
                }
            }
            assert_eq!(holds(&condition, &request), expected(a, b, c), "{text} with {a} {b} {c}");
        }
    }
}
