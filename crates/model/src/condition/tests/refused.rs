//! Texts that are no conditions, with the place and a part of the message.

use crate::condition::Condition;

#[track_caller]
fn refuse(text: &str, offset: usize, message: &str) {
    match Condition::parse(text) {
        Ok(condition) => panic!("{text:?} is accepted as {}", condition.expression()),
        Err(error) => {
            assert!(error.message.contains(message), "{text:?}: {}", error.message);
            assert_eq!(error.offset, offset, "{text:?}: {}", error.message);
        }
    }
}

#[test]
fn operands() {
    for (text, offset, message) in [
        ("", 0, "the condition is empty"),
        ("  \n", 0, "the condition is empty"),
        ("true", 0, "unknown operand 'true'"),
        ("false", 0, "unknown operand 'false'"),
        ("1", 0, "unknown operand '1'"),
        ("user_agent == Firefox", 0, "write 'user-agent'"),
        ("user agent == Firefox", 0, "write 'user-agent'"),
        ("User Agent == Firefox", 0, "write 'user-agent'"),
        ("user--agent == x", 0, "did you mean 'user-agent'?"),
        ("hots == a", 0, "did you mean 'host'?"),
        ("hosts == a", 0, "did you mean 'host'?"),
        ("cokie a has b", 0, "did you mean 'cookie'?"),
        ("headers a has b", 0, "did you mean 'header'?"),
        ("Firefox", 0, "unknown operand 'Firefox'"),
        ("label(app)(sava)", 0, "the fetch 'label' is not supported"),
        ("\"host\" == a", 0, "expected a condition such as host == a"),
        ("== a", 0, "expected a condition"),
        ("== host a", 0, "expected a condition"),
        (
            "host",
            4,
            "expected '==', '!=', 'is', 'not', 'has', 'contains' or 'misses' after 'host', found the end",
        ),
        ("host a", 5, "found 'a'"),
        ("host ==", 7, "expected a host name, found the end"),
        ("host == ", 8, "expected a host name"),
        ("host == )", 8, "expected a host name, found ')'"),
        ("(host ==)", 8, "expected a host name, found ')'"),
        ("host == (a)", 8, "values with parentheses need quotes"),
        ("host is", 7, "expected white space after 'is'"),
        ("host is'a'", 7, "expected white space after 'is'"),
        ("hostis a", 0, "unknown operand 'hostis'"),
        ("host isa", 5, "found 'isa'"),
        ("host is not a", 8, "'is not' is no comparison"),
        ("host == a b", 10, "values with blanks need quotes"),
        ("host === a", 9, "expected 'and' or 'or'"),
        ("host <> a", 5, "found '<'"),
        ("host ~ a", 5, "found '~'"),
        ("host matches a", 5, "found 'matches'"),
        ("host == a(b)", 9, "values with parentheses need quotes"),
        ("host(a)", 4, "found '('"),
        ("user-agent", 10, "after 'user-agent'"),
        ("user-agent Firefox", 11, "after 'user-agent', found 'Firefox'"),
        ("user-agent ==", 13, "expected a browser name"),
        ("cookie a == b", 9, "a cookie cannot be compared with '=='"),
        ("header a == b", 9, "a header cannot be compared with '=='"),
        ("header a = b", 9, "write 'header NAME has VALUE'"),
        ("cookie a != b", 9, "a cookie cannot be compared"),
        ("cookie a is b", 9, "expected 'has', 'contains' or 'misses'"),
        ("cookie a not b", 9, "expected 'has', 'contains' or 'misses'"),
        ("cookie a", 8, "write 'has cookie NAME'"),
        ("(cookie a)", 9, "write 'has cookie NAME'"),
        ("header", 6, "expected white space after 'header'"),
        ("header ", 7, "expected a header name"),
        ("header == a", 10, "found 'a'"),
        ("header'a' has b", 6, "expected white space after 'header'"),
        ("header 'a'has b", 10, "expected white space after the closing quote"),
        ("header a has", 12, "expected white space after 'has'"),
        ("header a has ", 13, "expected a value"),
        ("header a hasb", 9, "found 'hasb'"),
        ("header a b has c", 9, "found 'b'"),
        ("header a(has b)", 8, "found '('"),
        ("cookie a has (b)", 13, "values with parentheses need quotes"),
        ("has", 3, "expected white space after 'has'"),
        ("has ", 4, "expected 'header' or 'cookie' after 'has', found the end"),
        ("has host a", 4, "expected 'header' or 'cookie'"),
        ("has haeder a", 4, "write 'has header NAME'"),
        ("has header", 10, "expected white space after 'header'"),
        ("has header ", 11, "expected a header name"),
        ("has header a b", 13, "expected 'and' or 'or', found 'b'"),
        ("has header a has b", 13, "missing 'and' or 'or' before 'has'"),
        ("has cookie a == b", 13, "found '='"),
        ("has header(a)", 10, "expected white space after 'header'"),
        ("hasheader a", 0, "unknown operand 'hasheader'"),
        ("not misses", 10, "expected white space after 'misses'"),
        ("is header a", 0, "unknown operand 'is'"),
    ] {
        refuse(text, offset, message);
    }
}

#[test]
fn texts() {
    for (text, offset, message) in [
        ("host == 'a", 8, "missing closing '"),
        ("host == \"a", 8, "missing closing \""),
        ("host == 'a''", 8, "missing closing '"),
        ("host == 'a'b", 11, "expected white space after the closing quote"),
        ("host == 'a'and host == b", 11, "expected white space after the closing quote"),
        ("host == 'a'\"b\"", 11, "expected white space after the closing quote"),
        ("host == é", 8, "only printable ASCII"),
        ("host == aé", 9, "only printable ASCII"),
        ("host == 'é'", 9, "only printable ASCII"),
        ("host == 'a\tb'", 10, "the character '\\t' is not allowed"),
        ("host == 'a\nb'", 10, "the character '\\n' is not allowed"),
        ("host == a\u{7}", 9, "only printable ASCII"),
        ("host == a\u{a0}and has header b", 9, "only printable ASCII"),
        ("has header 'a\u{0}'", 13, "only printable ASCII"),
    ] {
        refuse(text, offset, message);
    }
}

#[test]
fn operators() {
    for (text, offset, message) in [
        ("host == a&& host == b", 9, "write a blank before '&&'"),
        ("host == a|| host == b", 9, "write a blank before '||'"),
        ("host == a| host == b", 9, "write a blank before '|'"),
        ("host == a &&", 12, "found the end"),
        ("host == a and", 13, "found the end"),
        ("host == a and and has header b", 14, "unknown operand 'and'"),
        ("host == a && && has header b", 13, "expected a condition"),
        ("host == a andhas header b", 10, "found 'andhas'"),
        ("host == a host == b", 10, "missing 'and' or 'or' before 'host'"),
        ("host == a, host == b", 11, "missing 'and' or 'or' before 'host'"),
        ("host == a xor host == b", 10, "found 'xor'"),
        ("host == a not host == b", 10, "found 'not'"),
        ("and host == a", 0, "unknown operand 'and'"),
        ("not", 3, "found the end"),
        ("!", 1, "found the end"),
        ("()", 1, "found ')'"),
        ("(host == a", 0, "missing ')' for this '('"),
        ("((host == a) and (host == b)", 0, "missing ')' for this '('"),
        ("host == a)", 9, "unexpected ')'"),
        ("(host == a))", 11, "unexpected ')'"),
        ("(host == a)(host == b)", 11, "found '('"),
        ("nothost == a", 0, "unknown operand 'nothost'"),
        ("not(host == a", 3, "missing ')' for this '('"),
    ] {
        refuse(text, offset, message);
    }
}

#[test]
fn raw_matchers() {
    for (text, offset, message) in [
        ("<", 0, "missing '>' for this '<'"),
        ("< path_beg /x", 0, "missing '>' for this '<'"),
        ("<>", 0, "expected a raw matcher"),
        ("<  >", 0, "expected a raw matcher"),
        ("< path_beg /x > >", 16, "found '>'"),
        ("< path_beg < /x >", 0, "missing '>' for this '<'"),
        ("< host == a >", 2, "the fetch 'host' is not supported"),
        ("< foo >", 2, "the fetch 'foo' is not supported"),
        ("has header a and < path_bge /x >", 23, "the suffix '_bge'"),
        ("< hdr_ip(x) 1 >", 5, "the suffix '_ip' of 'hdr_ip' is not supported"),
        ("hdr_ip(x) 1.2.3.4", 3, "the suffix '_ip' of 'hdr_ip' is not supported"),
        ("  hdr_ip(x) 1.2.3.4", 5, "the suffix '_ip'"),
        ("hdr_foo(x) a", 3, "the suffix '_foo'"),
        ("nbsrv(x) gt 1", 0, "the fetch 'nbsrv' is not supported"),
        ("req.len gt 1", 0, "the fetch 'req.len' is not supported"),
        ("path_reg (?=a)", 9, "look-around"),
        ("hdr_sub(user-agent)", 19, "needs at least one value"),
        // Operators do not join raw matchers without brackets; taken as values they would mean something else.
        ("path_beg /a or path_beg /b", 12, "write < matcher > or < matcher >"),
        ("hdr_sub(a) b and has header c", 13, "a raw matcher holds no 'and'"),
        ("path_beg /a && path_beg /b", 12, "a raw matcher holds no '&&'"),
        ("!path_beg /a", 1, "stands in angle brackets"),
        ("not path_beg /a", 4, "stands in angle brackets"),
        ("has header a and path_beg /b", 17, "stands in angle brackets"),
        ("{ path_beg /x }", 0, "expected a condition"),
        ("path_beg /a>", 11, "cannot hold '<' or '>'"),
    ] {
        refuse(text, offset, message);
    }
}
