//! Texts that are conditions, with their canonical text and, where it matters, their tree.

use crate::condition::{Condition, Expression, Operand};
use crate::matcher::Matcher;
use crate::syntax::TEXT_LIMIT;

#[track_caller]
fn accept(text: &str, canonical: &str) {
    let condition =
        Condition::parse(text).unwrap_or_else(|error| panic!("{text:?}:\n{}", error.render(text)));
    assert_eq!(condition.expression().to_string(), canonical, "of {text:?}");
    assert_eq!(condition.text(), text);
    assert_eq!(condition.to_string(), text);
    let again = Condition::parse(canonical).unwrap_or_else(|error| panic!("{}", error.render(canonical)));
    assert_eq!(again.expression(), condition.expression(), "of {text:?}");
}

#[track_caller]
fn tree(text: &str, operand: Operand, negated: bool) {
    let condition =
        Condition::parse(text).unwrap_or_else(|error| panic!("{text:?}:\n{}", error.render(text)));
    assert_eq!(*condition.expression(), Expression::Test { operand, negated }, "of {text:?}");
}

fn s(text: &str) -> String {
    text.to_owned()
}

#[test]
fn host() {
    for text in [
        "host == a.example",
        "host = a.example",
        "host is a.example",
        "host has a.example",
        "host contains a.example",
        "host==a.example",
        "host=a.example",
        "host== a.example",
        "host ==a.example",
        "HOST == a.example",
        "Host Is a.example",
        "host HAS a.example",
        "host CoNtAiNs a.example",
        "host == 'a.example'",
        "host == \"a.example\"",
        "host=='a.example'",
        "  host\t==\r\n a.example \x0c",
        "(host == a.example)",
        "host\nis\na.example",
    ] {
        tree(text, Operand::Host(s("a.example")), false);
    }
    for text in [
        "host != a.example",
        "host ! a.example",
        "host not a.example",
        "host misses a.example",
        "host!=a.example",
        "host!a.example",
        "host !a.example",
        "Host NOT a.example",
        "host MISSES 'a.example'",
    ] {
        tree(text, Operand::Host(s("a.example")), true);
    }
}

#[test]
fn user_agent() {
    for text in [
        "user-agent == Firefox",
        "user.agent == Firefox",
        "useragent == Firefox",
        "User-Agent == Firefox",
        "User-Agent = Firefox",
        "USER.AGENT is Firefox",
        "UserAgent has Firefox",
        "user-agent contains Firefox",
        "user-agent=Firefox",
        "User-Agent==Firefox",
        "user-agent == \"Firefox\"",
    ] {
        tree(text, Operand::UserAgent(s("Firefox")), false);
    }
    for text in
        ["user-agent != Firefox", "user-agent!Firefox", "User.Agent not Firefox", "useragent misses Firefox"]
    {
        tree(text, Operand::UserAgent(s("Firefox")), true);
    }
}

#[test]
fn presence() {
    for (text, negated) in [
        ("has header X-Beta", false),
        ("Has Header X-Beta", false),
        ("HAS HEADER X-Beta", false),
        ("contains header X-Beta", false),
        ("misses header X-Beta", true),
        ("Misses Header 'X-Beta'", true),
        ("has \t header\n\"X-Beta\"", false),
    ] {
        tree(text, Operand::HasHeader(s("X-Beta")), negated);
        let cookie = text.replace("eader", "ookie").replace("EADER", "OOKIE");
        let cookie = cookie.replace("hook", "cook").replace("Hook", "Cook").replace("HOOK", "COOK");
        tree(&cookie, Operand::HasCookie(s("X-Beta")), negated);
    }
}

#[test]
fn values_of_headers_and_cookies() {
    for (word, negated) in [
        ("has", false),
        ("contains", false),
        ("misses", true),
        ("Has", false),
        ("Contains", false),
        ("MISSES", true),
    ] {
        let (name, value) = (s("Accept"), s("v1"));
        tree(
            &format!("header Accept {word} v1"),
            Operand::HeaderContains { name: name.clone(), value: value.clone() },
            negated,
        );
        tree(
            &format!("Header 'Accept' {word} 'v1'"),
            Operand::HeaderContains { name: name.clone(), value: value.clone() },
            negated,
        );
        tree(&format!("COOKIE Accept\t{word}\nv1"), Operand::CookieContains { name, value }, negated);
    }
    // Names may be keywords.
    tree("cookie has has has", Operand::CookieContains { name: s("has"), value: s("has") }, false);
    tree(
        "header header misses header",
        Operand::HeaderContains { name: s("header"), value: s("header") },
        true,
    );
    tree("has cookie cookie", Operand::HasCookie(s("cookie")), false);
    tree("has header and", Operand::HasHeader(s("and")), false);
}

#[test]
fn texts() {
    for (text, value) in [
        ("'a b'", "a b"),
        ("\"a b\"", "a b"),
        ("''", ""),
        ("\"\"", ""),
        ("'it''s'", "it's"),
        ("\"say \"\"hi\"\"\"", "say \"hi\""),
        ("''''", "'"),
        ("\"\"\"\"", "\""),
        // R15: the other quote is allowed inside.
        ("'say \"hi\"'", "say \"hi\""),
        ("\"it's\"", "it's"),
        ("'(a)'", "(a)"),
        ("'a && b'", "a && b"),
        ("' '", " "),
        ("it's", "it's"),
        ("a\"b", "a\"b"),
        ("a:9050", "a:9050"),
        ("a&&", "a&&"),
        ("a&b|c", "a&b|c"),
        ("&&", "&&"),
        ("<x>", "<x>"),
        ("=a", "=a"),
        ("!a", "!a"),
        ("not", "not"),
        ("or", "or"),
        ("host", "host"),
        ("==", "=="),
        ("a\\b", "a\\b"),
        ("~", "~"),
        ("$%^*{}[];,./?", "$%^*{}[];,./?"),
    ] {
        tree(
            &format!("header X has {text}"),
            Operand::HeaderContains { name: s("X"), value: s(value) },
            false,
        );
        tree(
            &format!("header {text} has v"),
            Operand::HeaderContains { name: s(value), value: s("v") },
            false,
        );
        tree(&format!("has cookie {text}"), Operand::HasCookie(s(value)), false);
        tree(&format!("host == {text}"), Operand::Host(s(value)), false);
        tree(&format!("(host == {text})"), Operand::Host(s(value)), false);
    }
}

#[test]
fn canonical_texts() {
    for (text, canonical) in [
        ("HOST=a", "host == a"),
        ("host ! a", "host != a"),
        ("User.Agent has Safari", "user-agent == Safari"),
        ("Contains Header X", "has header X"),
        ("misses cookie X", "misses cookie X"),
        ("cookie a contains b", "cookie a has b"),
        ("header a misses 'b'", "header a misses b"),
        ("host == 'a b'", "host == \"a b\""),
        ("host == 'a\"b'", "host == 'a\"b'"),
        ("host == 'a\"''b'", "host == \"a\"\"'b\""),
        ("host == ''", "host == \"\""),
        ("<path_beg  /x>", "< path_beg /x >"),
        ("path_beg /x", "< path_beg /x >"),
    ] {
        accept(text, canonical);
    }
}

#[test]
fn operators_and_precedence() {
    let a = "host == a";
    let b = "has header b";
    let c = "has cookie c";
    for (text, canonical) in [
        (format!("{a} and {b}"), format!("{a} and {b}")),
        (format!("{a} && {b}"), format!("{a} and {b}")),
        (format!("{a} & {b}"), format!("{a} and {b}")),
        (format!("{a} AND {b}"), format!("{a} and {b}")),
        (format!("{a} or {b}"), format!("{a} or {b}")),
        (format!("{a} || {b}"), format!("{a} or {b}")),
        (format!("{a} | {b}"), format!("{a} or {b}")),
        (format!("{a} Or {b}"), format!("{a} or {b}")),
        (format!("!{a}"), format!("not {a}")),
        (format!("! {a}"), format!("not {a}")),
        (format!("not {a}"), format!("not {a}")),
        (format!("NOT {a}"), format!("not {a}")),
        (format!("not({a})"), format!("not {a}")),
        (format!("NOT({a})"), format!("not {a}")),
        (format!("not ({a} or {b})"), format!("not ({a} or {b})")),
        (format!("!!{a}"), format!("not (not {a})")),
        (format!("not not not {a}"), format!("not {a}")),
        (format!("{a} or {b} and {c}"), format!("{a} or {b} and {c}")),
        (format!("{a} and {b} or {c}"), format!("{a} and {b} or {c}")),
        (format!("({a} or {b}) and {c}"), format!("({a} or {b}) and {c}")),
        (format!("{a} and ({b} or {c})"), format!("{a} and ({b} or {c})")),
        (format!("{a} and ({b} and {c})"), format!("{a} and ({b} and {c})")),
        (format!("not {a} and {b}"), format!("not {a} and {b}")),
        (format!("({a})and({b})"), format!("{a} and {b}")),
        (format!("({a})&&({b})"), format!("{a} and {b}")),
        (format!("({a})or not({b})"), format!("{a} or not {b}")),
        (format!("{a} &&{b}"), format!("{a} and {b}")),
        (format!("{a} |{b}"), format!("{a} or {b}")),
        (format!("host == 'a'&&{b}"), format!("{a} and {b}")),
        ("<path /x>&&<path /y>".to_owned(), "< path /x > and < path /y >".to_owned()),
        (format!("{a} and not < path_beg /x >"), format!("{a} and not < path_beg /x >")),
        (format!("(({a}))"), a.to_owned()),
        (format!("({a}) and {b} and {c}"), format!("{a} and {b} and {c}")),
        // R26 names these two: nothing is lost.
        (
            "host == a and host == b or !host == a and !host == b".to_owned(),
            "host == a and host == b or not host == a and not host == b".to_owned(),
        ),
        ("host == a and host != a".to_owned(), "host == a and host != a".to_owned()),
    ] {
        accept(&text, &canonical);
    }
}

#[test]
fn structure() {
    let test = |name: &str| Expression::Test { operand: Operand::HasHeader(s(name)), negated: false };
    let parsed = |text: &str| Condition::parse(text).unwrap().expression().clone();
    assert_eq!(
        parsed("has header a or has header b and not has header c or has header d"),
        Expression::Or(vec![
            test("a"),
            Expression::And(vec![test("b"), Expression::Not(Box::new(test("c")))]),
            test("d"),
        ])
    );
    assert_eq!(
        parsed("(has header a or has header b) and has header c"),
        Expression::And(vec![Expression::Or(vec![test("a"), test("b")]), test("c")])
    );
}

#[test]
fn raw_matchers() {
    let matcher = |text: &str| Operand::Raw(Matcher::parse(text).unwrap());
    for (text, raw) in [
        ("< url_beg /2 >", "url_beg /2"),
        ("<url_beg /2>", "url_beg /2"),
        ("<   url_beg   /2   >", "url_beg   /2"),
        ("(< url_beg /2 >)", "url_beg /2"),
        ("hdr_sub(user-agent) Android", "hdr_sub(user-agent) Android"),
        ("  hdr_sub(user-agent) Android ", "hdr_sub(user-agent) Android"),
        ("hdr_sub(user-agent) Chrome", "hdr_sub(user-agent) Chrome"),
        ("path_beg /a /b", "path_beg /a /b"),
        ("always_true", "always_true"),
        ("ssl_fc", "ssl_fc"),
        ("< always_false >", "always_false"),
        ("path_reg ^/(a|b)$", "path_reg ^/(a|b)$"),
        ("< path_reg ^/(a|b)$ >", "path_reg ^/(a|b)$"),
        ("< hdr(x) 'a b' >", "hdr(x) 'a b'"),
        ("src 10.0.0.0/8", "src 10.0.0.0/8"),
        ("< path /ü >", "path /ü"),
    ] {
        tree(text, matcher(raw), false);
    }
}

#[test]
fn limits() {
    let term = "host == a";
    let (open, close) = ("(".repeat(2000), ")".repeat(2000));
    accept(&format!("{open}{term}{close}"), term);
    accept(&format!("{}{term}", "!".repeat(2001)), &format!("not {term}"));
    let many = vec!["host = a"; 300].join(" or ");
    accept(&many, &vec!["host == a"; 300].join(" or "));
    let ten_thousand = vec![term; 10_000].join(" and ");
    let error = Condition::parse(&ten_thousand).unwrap_err();
    assert!(error.message.contains("at most 4096 are allowed"), "{}", error.message);
    assert_eq!(error.offset, TEXT_LIMIT);
    let deep = format!("{}host=a{}", "!(".repeat(1000), ")".repeat(1000));
    let error = Condition::parse(&deep).unwrap_err();
    assert!(error.message.contains("nested too deeply, at most 200"), "{}", error.message);
}

#[test]
fn json() {
    let condition: Condition = serde_json::from_str("\"Has Header X\"").unwrap();
    assert_eq!(serde_json::to_string(&condition).unwrap(), "\"Has Header X\"");
    let error = serde_json::from_str::<Condition>("\"Has Haeder X\"").unwrap_err().to_string();
    assert!(error.contains("expected 'header' or 'cookie'") && error.contains("column 5"), "{error}");
}
