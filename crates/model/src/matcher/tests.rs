//! Tests of raw matchers, drawn from section 10.4.

use proptest::prelude::*;

use super::{Comparison, Fetch, Matcher, NumberTest, Relation, compile_regex};

#[track_caller]
fn accept(text: &str, canonical: &str) -> Matcher {
    let matcher = Matcher::parse(text).unwrap_or_else(|error| panic!("{text:?}:\n{}", error.render(text)));
    assert_eq!(matcher.to_string(), canonical, "of {text:?}");
    let again = Matcher::parse(canonical).unwrap_or_else(|error| panic!("{}", error.render(canonical)));
    assert_eq!(again, matcher, "of {text:?}");
    matcher
}

#[track_caller]
fn refuse(text: &str, offset: usize, message: &str) {
    match Matcher::parse(text) {
        Ok(matcher) => panic!("{text:?} is accepted as {matcher}"),
        Err(error) => {
            assert!(error.message.contains(message), "{text:?}: {}", error.message);
            assert_eq!(error.offset, offset, "{text:?}: {}", error.message);
        }
    }
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

#[test]
fn fetches() {
    let name = || "n".to_owned();
    for (text, fetch) in [
        ("hdr(n) a", Fetch::Header { name: name(), whole: false }),
        ("req.hdr(n) a", Fetch::Header { name: name(), whole: false }),
        ("req.fhdr(n) a", Fetch::Header { name: name(), whole: true }),
        ("hdr_cnt(n) 1", Fetch::HeaderCount { name: name(), whole: false }),
        ("req.hdr_cnt(n) 1", Fetch::HeaderCount { name: name(), whole: false }),
        ("req.fhdr_cnt(n) 1", Fetch::HeaderCount { name: name(), whole: true }),
        ("hdr_val(n) 1", Fetch::HeaderNumber(name())),
        ("cook(n) a", Fetch::Cookie(name())),
        ("req.cook(n) a", Fetch::Cookie(name())),
        ("req.cook_cnt(n) 1", Fetch::CookieCount(name())),
        ("cook_cnt(n) 1", Fetch::CookieCount(name())),
        ("path a", Fetch::Path),
        ("url a", Fetch::Url),
        ("query a", Fetch::Query),
        ("url_param(n) a", Fetch::UrlParameter(name())),
        ("urlp(n) a", Fetch::UrlParameter(name())),
        ("method GET", Fetch::Method),
        ("src 10.0.0.1", Fetch::Source),
        ("dst_port 80", Fetch::DestinationPort),
        ("ssl_fc", Fetch::Tls),
        ("always_true", Fetch::Always(true)),
        ("always_false", Fetch::Always(false)),
    ] {
        assert_eq!(Matcher::parse(text).unwrap().fetch, fetch, "of {text}");
    }
}

#[test]
fn comparisons() {
    for (suffix, flag, comparison) in [
        ("", "-m str", Comparison::Equal as fn(Vec<String>) -> Comparison),
        ("_beg", "-m beg", Comparison::Prefix),
        ("_end", "-m end", Comparison::Suffix),
        ("_sub", "-m sub", Comparison::Substring),
        ("_dir", "-m dir", Comparison::PathSegments),
        ("_dom", "-m dom", Comparison::DomainLabels),
        ("_reg", "-m reg", Comparison::Regex),
    ] {
        let expected = comparison(strings(&["a", "b"]));
        for (fetch, name) in [
            ("hdr", "(n)"),
            ("req.hdr", "(n)"),
            ("req.fhdr", "(n)"),
            ("cook", "(n)"),
            ("req.cook", "(n)"),
            ("path", ""),
            ("url", ""),
            ("query", ""),
            ("url_param", "(n)"),
            ("urlp", "(n)"),
            ("method", ""),
        ] {
            for text in [
                format!("{fetch}{suffix}{name} a b"),
                format!("{fetch}{name} {flag} a b"),
                format!("{fetch}{name} {flag} -- a b"),
                format!("{fetch}{name}  {flag}\ta  'b' "),
            ] {
                let matcher = Matcher::parse(&text).unwrap_or_else(|error| panic!("{}", error.render(&text)));
                assert_eq!(matcher.comparison, expected, "of {text}");
                assert!(!matcher.ignore_case);
            }
            let text = format!("{fetch}{name} -i {flag} a b");
            assert!(Matcher::parse(&text).unwrap().ignore_case, "of {text}");
            let text = format!("{fetch}{suffix}{name} -i a b");
            assert!(Matcher::parse(&text).unwrap().ignore_case, "of {text}");
        }
    }
}

#[test]
fn canonical_texts() {
    for (text, canonical) in [
        ("hdr_sub(user-agent) Android", "hdr_sub(user-agent) Android"),
        ("hdr_sub(user-agent) -i android iphone", "hdr_sub(user-agent) -i android iphone"),
        ("req.hdr_sub(x) a", "hdr_sub(x) a"),
        ("req.cook_sub(n) v", "cook_sub(n) v"),
        ("cook_sub(n) v", "cook_sub(n) v"),
        ("req.cook(n) -m sub v", "cook_sub(n) v"),
        ("req.fhdr(n) -m sub v", "req.fhdr(n) -m sub v"),
        ("req.fhdr_sub(n) v", "req.fhdr(n) -m sub v"),
        ("query -m sub a=b", "query -m sub a=b"),
        ("query_sub a=b", "query -m sub a=b"),
        ("path -m beg /a", "path_beg /a"),
        ("path_beg -m beg /a", "path_beg /a"),
        ("path_beg -m end /a", "path_end /a"),
        ("path -m str /a", "path /a"),
        ("path -m len gt 3", "path_len gt 3"),
        ("path_len 3 4", "path_len 3 4"),
        ("query -m len 3", "query -m len eq 3"),
        ("hdr(x) -m found", "hdr(x) -m found"),
        ("hdr_sub(x) -m found", "hdr(x) -m found"),
        ("hdr(x) -i -m found", "hdr(x) -i -m found"),
        ("src -m found", "src -m found"),
        ("hdr_val(x) -m found", "hdr_val(x) -m found"),
        ("hdr_cnt(x) gt 1", "hdr_cnt(x) gt 1"),
        ("hdr_cnt(x) 1", "hdr_cnt(x) eq 1"),
        ("hdr_cnt(x) 1 2 3", "hdr_cnt(x) 1 2 3"),
        ("hdr_val(x) ge -5", "hdr_val(x) ge -5"),
        ("hdr_val(x) -5", "hdr_val(x) eq -5"),
        ("hdr_val(x) -- -5 6", "hdr_val(x) -5 6"),
        ("dst_port 80 443", "dst_port 80 443"),
        ("dst_port lt 1024", "dst_port lt 1024"),
        ("dst_port le 01024", "dst_port le 1024"),
        ("req.cook_cnt(n) ge 1", "req.cook_cnt(n) ge 1"),
        ("src 10.0.0.0/8", "src 10.0.0.0/8"),
        ("src 10.1.2.3/8", "src 10.0.0.0/8"),
        ("src 10.1.2.3", "src 10.1.2.3/32"),
        ("src ::1 fd00::/8", "src ::1/128 fd00::/8"),
        ("src -i 10.1.2.3", "src -i 10.1.2.3/32"),
        ("method GET HEAD", "method GET HEAD"),
        ("method -m reg ^(GET|HEAD)$", "method -m reg ^(GET|HEAD)$"),
        ("always_true", "always_true"),
        ("always_true -i", "always_true -i"),
        ("ssl_fc", "ssl_fc"),
        ("hdr(x) -- -a", "hdr(x) \"-a\""),
        ("hdr(x) \"-i\"", "hdr(x) \"-i\""),
        ("hdr(x) a -i", "hdr(x) a \"-i\""),
        ("hdr(x) -- --", "hdr(x) \"--\""),
        ("hdr(x) 'a b' \"c d\"", "hdr(x) \"a b\" \"c d\""),
        ("hdr(x) a\\ b", "hdr(x) \"a b\""),
        ("hdr(x) it's", "hdr(x) it's"),
        ("hdr(x) 'it''s'", "hdr(x) it's"),
        ("hdr(x) ''", "hdr(x) \"\""),
        ("hdr(x) 'and' \"or\" '&&'", "hdr(x) \"and\" \"or\" \"&&\""),
        ("hdr(x) \"a\"\"b\"", "hdr(x) a\"b"),
        ("path_reg ^/a\\.b$", "path_reg ^/a\\.b$"),
        ("path_reg ^/(a|b)[0-9]{1,3}$", "path_reg ^/(a|b)[0-9]{1,3}$"),
        ("hdr_reg(x) -i ^a \\d+", "hdr_reg(x) -i ^a \\d+"),
        ("hdr(Host) -i A.example", "hdr(Host) -i A.example"),
        ("urlp(a[b]) c", "urlp(a[b]) c"),
        ("url_param(a) b", "urlp(a) b"),
        ("url_param_sub(a) b", "urlp_sub(a) b"),
        ("path /a\tb", "path /a b"),
        ("path gt", "path gt"),
    ] {
        accept(text, canonical);
    }
}

/// The fetches that section 10.4 lists as checked.
#[test]
fn checked_in_the_specification() {
    for text in [
        "hdr(x) a",
        "hdr_sub(x) a",
        "hdr_beg(x) a",
        "hdr_end(x) a",
        "hdr_dir(x) a",
        "hdr_dom(x) a",
        "hdr_reg(x) a",
        "hdr_cnt(x) 1",
        "path a",
        "path_beg a",
        "path_end a",
        "path_sub a",
        "path_reg a",
        "path_dir a",
        "url_beg a",
        "url_sub a",
        "method a",
        "src 10.0.0.1",
        "url_param(x) a",
        "urlp(x) a",
        "query -m sub a",
        "cook(x) a",
        "cook_sub(x) a",
        "req.cook(x) -m sub a",
        "req.cook_sub(x) a",
    ] {
        assert!(Matcher::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn refused() {
    for (text, offset, message) in [
        ("", 0, "expected a fetch"),
        ("(x)", 0, "expected a fetch"),
        ("foo bar", 0, "the fetch 'foo' is not supported"),
        ("HDR(x) a", 0, "write 'hdr' in lower case"),
        ("Path_Beg /", 0, "write 'path_beg' in lower case"),
        ("fhdr(x) a", 0, "write 'req.fhdr'"),
        ("pth /a", 0, "did you mean 'path'?"),
        ("req.path /a", 0, "the fetch 'req.path' is not supported"),
        ("res.hdr(x) a", 0, "the fetch 'res.hdr' is not supported"),
        ("base_beg a", 0, "the fetch 'base_beg' is not supported"),
        ("path_foo a", 4, "the suffix '_foo' of 'path_foo' is not supported"),
        ("hdr_ip(x) 1.2.3.4", 3, "the suffix '_ip'"),
        ("path_cnt 1", 4, "the suffix '_cnt' of 'path_cnt' is not supported"),
        ("cook_val(x) 1", 4, "the suffix '_val'"),
        ("req.fhdr_val(x) 1", 8, "the suffix '_val'"),
        ("src_beg 10", 3, "the suffix '_beg'"),
        ("dst_port_len 1", 8, "the suffix '_len'"),
        ("ssl_fc_sub a", 6, "the suffix '_sub'"),
        ("always_true_beg", 11, "the suffix '_beg'"),
        ("hdr a", 3, "'hdr' needs a name, write hdr(NAME)"),
        ("hdr", 3, "needs a name"),
        ("hdr_sub a", 7, "needs a name"),
        ("cook a", 4, "needs a name"),
        ("urlp a", 4, "needs a name"),
        ("hdr() a", 4, "the name of 'hdr' is empty"),
        ("hdr (x) a", 3, "needs a name"),
        ("hdr(x", 3, "missing ')'"),
        ("hdr(x,1) a", 5, "a second argument of 'hdr'"),
        ("hdr( x ) a", 4, "cannot hold white space"),
        ("hdr('x') a", 4, "cannot hold"),
        ("path(x) a", 4, "takes no name"),
        ("src(x) 10.0.0.1", 3, "takes no name"),
        ("always_true()", 11, "takes no name"),
        ("hdr(x)a", 6, "expected white space"),
        ("hdr(x),lower a", 6, "expected white space after the fetch, found ','"),
        ("hdr(x)", 6, "'hdr' needs at least one value, or '-m found'"),
        ("path_beg", 8, "needs at least one value"),
        ("path_beg -i", 11, "needs at least one value"),
        ("path_beg --", 11, "needs at least one value"),
        ("hdr_cnt(x)", 10, "for example 'gt 0'"),
        ("src", 3, "for example 10.0.0.0/8"),
        ("hdr(x) -m found a", 16, "takes no values"),
        ("hdr(x) -m found --", 18, "takes no values"),
        ("hdr(x) -m", 9, "'-m' needs a method"),
        ("hdr(x) -m foo a", 10, "the method '-m foo' is not supported"),
        ("hdr(x) -m int 1", 10, "the method '-m int' is not supported"),
        ("src -m ip 10.0.0.1", 7, "the method '-m ip' is not supported"),
        ("hdr(x) -m sub -m beg a", 17, "given twice"),
        ("hdr(x) -f /etc/passwd", 7, "the flag '-f' is not supported"),
        ("hdr(x) -n a", 7, "the flag '-n' is not supported"),
        ("hdr(x) -I a", 7, "the flag '-I' is not supported"),
        ("hdr(x) -x", 7, "write -- before values"),
        ("hdr_cnt(x) -m sub a", 14, "only '-m found' is supported"),
        ("src -m str 10.0.0.1", 7, "only '-m found' is supported"),
        ("dst_port -m len 1", 12, "only '-m found' is supported"),
        ("always_true 1", 12, "takes no values"),
        ("always_false x", 13, "takes no values"),
        ("always_true --", 14, "takes no values"),
        ("ssl_fc 1", 7, "takes no values"),
        ("ssl_fc -m found", 10, "takes no '-m'"),
        ("hdr_cnt(x) a", 11, "expected an integer"),
        ("hdr_cnt(x) 1.5", 11, "expected an integer"),
        ("hdr_cnt(x) +1", 11, "expected an integer"),
        ("hdr_cnt(x) ''", 11, "expected an integer"),
        ("hdr_cnt(x) gt", 11, "needs an integer"),
        ("hdr_cnt(x) gt a", 14, "expected an integer"),
        ("hdr_cnt(x) gt 1 2", 16, "exactly one integer"),
        ("hdr_cnt(x) ne 1", 11, "expected an integer"),
        ("hdr_cnt(x) 1:5", 11, "join two matchers with 'and'"),
        ("hdr_cnt(x) GT 1", 11, "expected an integer"),
        ("hdr_cnt(x) 1 gt 2", 13, "expected an integer"),
        ("hdr_cnt(x) 99999999999999999999", 11, "expected an integer"),
        ("path_len a", 9, "expected an integer"),
        ("dst_port http", 9, "expected an integer"),
        ("src a", 4, "expected an address or a network"),
        ("src 10.0.0.0/33", 4, "expected an address or a network"),
        ("src 10.0.0", 4, "expected an address or a network"),
        ("src 10.0.0.0/255.0.0.0", 4, "expected an address or a network"),
        ("src 10.0.0.1 b", 13, "found 'b'"),
        ("path_reg (", 9, "invalid regular expression: unclosed group"),
        ("path_reg a (?=b)", 11, "look-around is not supported"),
        ("path_reg '(a)\\1'", 13, "back-references are not supported"),
        ("hdr(x) -m reg [z-a]", 15, "invalid regular expression"),
        ("path_reg (a{1000}){1000}", 9, "too large"),
        ("hdr(x) 'a", 7, "missing closing '"),
        ("hdr(x) \"a", 7, "missing closing \""),
        ("hdr(x) 'a'b", 10, "expected white space after the closing quote"),
        ("path_beg /a or /b", 12, "a raw matcher holds no 'or'"),
        ("path_beg /a || path_beg /b", 12, "a raw matcher holds no '||'"),
        ("path_beg AND", 9, "a raw matcher holds no 'AND'"),
        ("path_beg /<", 10, "cannot hold '<' or '>'"),
    ] {
        refuse(text, offset, message);
    }
    refuse(&format!("path {}", "a".repeat(5000)), 4096, "at most 4096");
}

#[test]
fn numbers() {
    for (text, relation) in [
        ("eq", Relation::Equal),
        ("gt", Relation::Greater),
        ("ge", Relation::GreaterOrEqual),
        ("lt", Relation::Less),
        ("le", Relation::LessOrEqual),
    ] {
        let matcher = Matcher::parse(&format!("hdr_cnt(x) {text} 7")).unwrap();
        assert_eq!(matcher.comparison, Comparison::Number(vec![NumberTest { relation, value: 7 }]));
        let matcher = Matcher::parse(&format!("path_len {text} 7")).unwrap();
        assert_eq!(matcher.comparison, Comparison::Length(vec![NumberTest { relation, value: 7 }]));
    }
}

#[test]
fn regular_expressions_search_bytes() {
    let found =
        |pattern: &str, ignore_case, text: &[u8]| compile_regex(pattern, ignore_case).unwrap().is_match(text);
    assert!(found("b", false, b"abc"));
    assert!(!found("B", false, b"abc"));
    assert!(found("B", true, b"abc"));
    assert!(found("^.$", false, b"\xff"));
    assert!(compile_regex("(", false).is_err());
}

/// Any matcher that the parser can produce.
pub(crate) fn any_matcher() -> impl Strategy<Value = Matcher> {
    let name = || "[a-zA-Z][a-zA-Z0-9_-]{0,6}";
    let text_fetch = prop_oneof![
        (name(), any::<bool>()).prop_map(|(name, whole)| Fetch::Header { name, whole }),
        name().prop_map(Fetch::Cookie),
        Just(Fetch::Path),
        Just(Fetch::Url),
        Just(Fetch::Query),
        name().prop_map(Fetch::UrlParameter),
        Just(Fetch::Method),
    ];
    let number_fetch = prop_oneof![
        (name(), any::<bool>()).prop_map(|(name, whole)| Fetch::HeaderCount { name, whole }),
        name().prop_map(Fetch::HeaderNumber),
        name().prop_map(Fetch::CookieCount),
        Just(Fetch::DestinationPort),
    ];
    let word = prop_oneof![
        "[ -;=?-~]{0,8}",
        "[a-z/.]{1,8}",
        Just("-i".to_owned()),
        Just("or".to_owned()),
        Just("a\\".to_owned()),
        Just("é\n".to_owned()),
    ];
    let words = || prop::collection::vec(word.clone(), 1..4);
    let relation = prop::sample::select(vec![
        Relation::Equal,
        Relation::Greater,
        Relation::GreaterOrEqual,
        Relation::Less,
        Relation::LessOrEqual,
    ]);
    let tests = prop_oneof![
        (relation, any::<i64>()).prop_map(|(relation, value)| vec![NumberTest { relation, value }]),
        prop::collection::vec(any::<i64>(), 2..4).prop_map(|values| {
            values.into_iter().map(|value| NumberTest { relation: Relation::Equal, value }).collect()
        }),
    ];
    let text_comparison = prop_oneof![
        words().prop_map(Comparison::Equal),
        words().prop_map(Comparison::Prefix),
        words().prop_map(Comparison::Suffix),
        words().prop_map(Comparison::Substring),
        words().prop_map(Comparison::PathSegments),
        words().prop_map(Comparison::DomainLabels),
        prop::collection::vec("[a-z.^$]{0,5}( |\\\\d|\\(a\\))?", 1..3).prop_map(Comparison::Regex),
        tests.clone().prop_map(Comparison::Length),
        Just(Comparison::Found),
    ];
    let networks = prop::collection::vec((any::<std::net::IpAddr>(), 0_u8..=32), 1..3).prop_map(|networks| {
        let network = |(address, length)| ipnet::IpNet::new(address, length).unwrap().trunc();
        Comparison::Network(networks.into_iter().map(network).collect())
    });
    let pair = prop_oneof![
        6 => (text_fetch, text_comparison),
        2 => (number_fetch, prop_oneof![tests.prop_map(Comparison::Number), Just(Comparison::Found)]),
        1 => networks.prop_map(|networks| (Fetch::Source, networks)),
        1 => prop::sample::select(vec![Fetch::Tls, Fetch::Always(true), Fetch::Always(false)])
            .prop_map(|fetch| (fetch, Comparison::Found)),
    ];
    (pair, any::<bool>()).prop_map(|((fetch, comparison), ignore_case)| Matcher {
        fetch,
        comparison,
        ignore_case,
    })
}

proptest! {
    #[test]
    fn prints_back(matcher in any_matcher()) {
        let text = matcher.to_string();
        let parsed = Matcher::parse(&text).map_err(|error| TestCaseError::fail(error.render(&text)))?;
        prop_assert_eq!(&parsed, &matcher);
        prop_assert_eq!(parsed.to_string(), text);
    }

    #[test]
    fn never_panics(text in "(hdr|path|cook|url|src|req\\.)?[_(]?\\PC{0,30}") {
        if let Err(error) = Matcher::parse(&text) {
            prop_assert!(error.offset <= text.len());
        }
    }
}
