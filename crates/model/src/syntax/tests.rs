//! Tests of what the languages share.

use super::pattern::{Match, Pattern};
use super::{SyntaxError, closest};
use crate::problem::Position;

#[track_caller]
fn check(text: &str, offset: usize, (line, column): (usize, usize), rendered: &str) {
    let error = SyntaxError::new(offset, "oops");
    assert_eq!(error.position(text), Position { line, column });
    assert_eq!(error.render(text), rendered);
}

#[test]
fn positions() {
    check("abc", 0, (1, 1), "abc\n^ oops");
    check("abc", 3, (1, 4), "abc\n   ^ oops");
    check("abc", 99, (1, 4), "abc\n   ^ oops");
    check("é b", 3, (1, 3), "é b\n  ^ oops");
    // Inside of a character: its start.
    check("é b", 1, (1, 1), "é b\n^ oops");
    check("a\nbc\nd", 3, (2, 2), "bc\n ^ oops");
    check("a\nbc\nd", 2, (2, 1), "bc\n^ oops");
    check("a\nbc\nd", 1, (1, 2), "a\n ^ oops");
    check("a\tb", 2, (1, 3), "a b\n  ^ oops");
    check("", 0, (1, 1), "\n^ oops");
    let long = "x".repeat(200);
    let shown = format!("...{}...\n{}^ oops", "x".repeat(80), " ".repeat(63));
    check(&long, 100, (1, 101), &shown);
    assert_eq!(SyntaxError::new(1, "oops").describe("abc"), "oops (column 2)");
    assert_eq!(SyntaxError::new(2, "oops").describe("a\nb"), "oops (line 2, column 1)");
}

#[test]
fn suggestions() {
    let known = ["label", "name", "port", "namespace", "ip"];
    for (word, expected) in [
        ("lable", Some("label")),
        ("labels", Some("label")),
        ("LABEL", Some("label")),
        ("nam", Some("name")),
        ("nme", Some("name")),
        ("prot", Some("port")),
        ("namespcae", Some("namespace")),
        ("ipp", Some("ip")),
        ("x", None),
        ("", None),
        ("completely", None),
        ("tr", None),
    ] {
        assert_eq!(closest(word, &known), expected, "of {word}");
    }
    assert_eq!(closest(&"a".repeat(5000), &known), None);
}

#[test]
fn patterns() {
    for (pattern, text, expected) in [
        ("a.c", "abc", Match::Plain),
        ("a.c", "xabc", Match::No),
        ("a.c", "abcx", Match::No),
        ("abc", "abc", Match::Plain),
        ("abc", "abcd", Match::No),
        (r"a\.c", "a.c", Match::Plain),
        (r"a\.c", "abc", Match::No),
        ("a|ab", "ab", Match::Plain),
        ("(a|ab)(?:c|bcd)", "abcd", Match::Captured("a")),
        ("(?:)", "", Match::Plain),
        ("(x)?", "", Match::Captured("")),
        ("^abc$", "abc", Match::Plain),
        ("(?m)^abc$", "abc\n", Match::No),
        (r"\w+", "é", Match::No),
        (r".", "é", Match::Plain),
        ("é", "é", Match::Plain),
        (r"[\w.-]{1,63}", "sava-product.1", Match::Plain),
        (r"(?i)\d\D", "1x", Match::Plain),
    ] {
        assert_eq!(Pattern::new(pattern, 1 << 20).unwrap().matches(text), expected, "{pattern} on {text}");
    }
}
