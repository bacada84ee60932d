use proptest::prelude::*;

use super::super::{Match, Pattern, Program};

fn is_wildcard(pattern: &str) -> bool {
    matches!(Pattern::new(pattern, 1 << 20).unwrap().program, Program::Wildcard(_))
}

#[test]
fn what_needs_no_program() {
    for pattern in [
        "sava-product",
        "(1)",
        "",
        "()",
        r"1\.0\.5",
        ".*",
        "(.*)",
        ".+",
        "(.+)",
        "(.*?)",
        r"1\.(.*)",
        "(.*)-canary",
        "a(.+)b",
        "(v.*)",
        "(?:a)(?:.*)",
        "[a].*",
        r"[^\n]*",
    ] {
        assert!(is_wildcard(pattern), "{pattern}");
    }
    for pattern in [
        "a|b",
        ".",
        "a?",
        ".{2,}",
        ".{0,3}",
        "(v.*)-canary",
        "a(b)c",
        "(a).*",
        ".*a.*",
        "(?s).*",
        "(?s:.)*",
        "(?R).*",
        "^.*$",
        "(?i)a",
        "(?m)^.*",
        r"\w+",
        "(.)*",
        "(.*)?",
        "(?:.*)+",
    ] {
        assert!(!is_wildcard(pattern), "{pattern}");
    }
}

#[test]
fn fixed_ends_do_not_overlap_and_lines_do_not_break() {
    for (pattern, text, expected) in [
        ("ab.*ba", "aba", Match::No),
        ("ab.*ba", "abba", Match::Plain),
        ("ab(.*)ba", "abba", Match::Captured("")),
        ("ab(.+)ba", "abba", Match::No),
        ("(.*)", "a\nb", Match::No),
        ("(.*)", "", Match::Captured("")),
        ("(.+)", "", Match::No),
        (r"(a\n.*)", "a\nb", Match::Captured("a\nb")),
        ("(.*)", "a\r\u{2028}b", Match::Captured("a\r\u{2028}b")),
    ] {
        assert_eq!(Pattern::new(pattern, 1 << 20).unwrap().matches(text), expected, "{pattern} on {text:?}");
    }
}

/// Patterns out of pieces that come near to a wildcard.
fn pattern() -> impl Strategy<Value = String> {
    let piece = || {
        prop::sample::select(vec![
            "a", "b", r"\n", ".", ".*", ".+", ".*?", ".+?", "a*", "(?:.*)", "(?s:.*)", "[^\\n]*", "é",
            "(?:)", "^", "$",
        ])
    };
    let pieces = || prop::collection::vec(piece(), 0..3).prop_map(|pieces| pieces.concat());
    (pieces(), prop::option::of(pieces()), pieces()).prop_map(|(before, group, after)| match group {
        Some(group) => format!("{before}({group}){after}"),
        None => format!("{before}{after}"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_pattern_means_what_the_regular_expression_means(pattern in pattern(), text in "[ab\né]{0,6}") {
        let reference = regex::Regex::new(&format!(r"\A(?:{pattern})\z")).unwrap();
        let expected = match reference.captures(&text) {
            None => Match::No,
            Some(_) if reference.captures_len() == 1 => Match::Plain,
            Some(found) => Match::Captured(found.get(1).map_or("", |group| group.as_str())),
        };
        prop_assert_eq!(Pattern::new(&pattern, 1 << 20).unwrap().matches(&text), expected);
    }
}
