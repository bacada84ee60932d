//! What is a selector and what is not (section 8.1, R15).

use crate::selector::Selector;
use crate::syntax::TEXT_LIMIT;

/// Accepted, with the canonical text, which shows precedence and grouping.
#[track_caller]
fn accept(text: &str, canonical: &str) {
    match Selector::parse(text) {
        Ok(selector) => {
            assert_eq!(selector.canonical(), canonical, "of {text:?}");
            assert_eq!(selector.text(), text);
            assert_eq!(selector.to_string(), text);
        }
        Err(error) => panic!("{text:?} is refused:\n{}", error.render(text)),
    }
}

/// Refused at a byte offset with a message that contains `message`.
#[track_caller]
fn refuse(text: &str, offset: usize, message: &str) {
    match Selector::parse(text) {
        Ok(selector) => panic!("{text:?} is accepted as {}", selector.canonical()),
        Err(error) => {
            assert!(error.message.contains(message), "{text:?}: {}", error.message);
            assert_eq!(error.offset, offset, "{text:?}: {}", error.message);
        }
    }
}

#[test]
fn operands() {
    for (text, canonical) in [
        ("namespace(default)", "namespace(default)"),
        ("group(default)", "namespace(default)"),
        ("namespace($namespace)", "namespace($namespace)"),
        ("namespace(${namespace})", "namespace($namespace)"),
        ("group($namespace)", "namespace($namespace)"),
        ("group(${namespace})", "namespace($namespace)"),
        ("name(cart)", "name(cart)"),
        ("id(cart)", "name(cart)"),
        ("kind(container)", "kind(container)"),
        ("type(service)", "kind(service)"),
        ("kind(pod)", "kind(pod)"),
        ("image(magneticio/sava:1.0.0)", "image(magneticio/sava:1.0.0)"),
        ("label(app)(sava)", "label(app)(sava)"),
        ("ip(10.0.0.1)", "ip(10.0.0.1)"),
        ("host(10.0.0.1)", "ip(10.0.0.1)"),
        ("port(8080)", "port(8080)"),
        ("port(0)", "port(0)"),
        ("port(0080)", "port(80)"),
        ("port(70000)", "port(70000)"),
        ("port(2147483647)", "port(2147483647)"),
        ("port(4294967295)", "port(4294967295)"),
        ("index(0)", "index(0)"),
        ("port_index(12)", "index(12)"),
        ("true", "true"),
        ("t", "true"),
        ("1", "true"),
        ("false", "false"),
        ("f", "false"),
        ("0", "false"),
        ("TRUE", "true"),
        ("True", "true"),
        ("T", "true"),
        ("FALSE", "false"),
        ("fAlSe", "false"),
        ("F", "false"),
    ] {
        accept(text, canonical);
    }
}

#[test]
fn white_space() {
    for (text, canonical) in [
        (" true ", "true"),
        ("\ttrue\r\n", "true"),
        ("\x0ctrue\x0c", "true"),
        ("label (a) (b)", "label(a)(b)"),
        ("label\n(a)\t(b)", "label(a)(b)"),
        ("label\r\n(a)\x0c(b)", "label(a)(b)"),
        ("label(a)(b)\n  && label(c)(d)\n", "label(a)(b) && label(c)(d)"),
        ("name  (x)", "name(x)"),
        ("port (80)", "port(80)"),
        ("index\t(1)", "index(1)"),
        ("( true )", "true"),
        ("(\ntrue\n)", "true"),
        ("! true", "!true"),
        ("!\ttrue", "!true"),
        // Inside the parentheses of a pattern it belongs to the pattern.
        ("name( x )", "name( x )"),
        ("name( )", "name( )"),
        ("name(a\tb)", "name(a\tb)"),
        ("label( a)(b )", "label( a)(b )"),
    ] {
        accept(text, canonical);
    }
    refuse("port( 80)", 5, "expected a number");
    refuse("port(80 )", 7, "expected ')' after the number, found white space");
    refuse("port(8 0)", 6, "expected ')' after the number");
    refuse("index( 0)", 6, "expected a number");
    refuse("true\u{a0}", 4, "expected 'and' or 'or'");
    refuse("\u{b}true", 0, "expected an operand");
}

#[test]
fn operators() {
    for (text, canonical) in [
        ("t && f", "true && false"),
        ("t & f", "true && false"),
        ("t and f", "true && false"),
        ("t AND f", "true && false"),
        ("t aNd f", "true && false"),
        ("t || f", "true || false"),
        ("t | f", "true || false"),
        ("t or f", "true || false"),
        ("t OR f", "true || false"),
        ("!t", "!true"),
        ("not t", "!true"),
        ("NOT t", "!true"),
        ("Not t", "!true"),
        ("not(t)", "!true"),
        ("not (t)", "!true"),
        ("NOT(t)", "!true"),
        // R15: white space after symbols is optional.
        ("t&&f", "true && false"),
        ("t&f", "true && false"),
        ("t||f", "true || false"),
        ("t|f", "true || false"),
        ("t&&!f", "true && !false"),
        ("t&&not f", "true && !false"),
        ("t|!f", "true || !false"),
        ("name(a)and name(b)", "name(a) && name(b)"),
        ("name(a) and(name(b))", "name(a) && name(b)"),
        ("(t)and(f)", "true && false"),
        ("(t)or(f)", "true || false"),
        ("(t)OR(f)", "true || false"),
        ("name(a)&&name(b)", "name(a) && name(b)"),
        ("name(a)|name(b)", "name(a) || name(b)"),
        ("t and not f", "true && !false"),
        ("t and not(f)", "true && !false"),
        ("t and NOT f or t", "true && !false || true"),
        // Repeated negation.
        ("!!t", "!(!true)"),
        ("! ! t", "!(!true)"),
        ("not not t", "!(!true)"),
        ("not ! t", "!(!true)"),
        ("!not t", "!(!true)"),
        ("!!!t", "!true"),
        ("!!!!t", "!(!true)"),
        ("!(!t)", "!(!true)"),
    ] {
        accept(text, canonical);
    }
}

#[test]
fn precedence() {
    for (text, canonical) in [
        ("t || f && t", "true || false && true"),
        ("t && f || t", "true && false || true"),
        ("t || f || t", "true || false || true"),
        ("t && f && t", "true && false && true"),
        ("(t || f) && t", "(true || false) && true"),
        ("t && (f || t)", "true && (false || true)"),
        ("(t && f) || t", "true && false || true"),
        ("!t && f", "!true && false"),
        ("!(t && f)", "!(true && false)"),
        ("!t || f", "!true || false"),
        ("!(t || f) && t", "!(true || false) && true"),
        ("(t && f) && t", "(true && false) && true"),
        ("t || (f || t)", "true || (false || true)"),
        ("((t))", "true"),
        ("(((t)) && ((f)))", "true && false"),
        ("t or f and not t or f", "true || false && !true || false"),
        ("t | f & t", "true || false && true"),
    ] {
        accept(text, canonical);
    }
}

#[test]
fn patterns() {
    for text in [
        "label(version)((.*))",
        "label(version)(v(.*))",
        "label(version)((?:a|b))",
        "label(version)((?:a|b)-(.*))",
        "label(version)((?P<v>.*))",
        "label(version)((?<v>.*))",
        "label((.*))((.*))",
        "label(app|name)(a)",
        "name(a{2,3})",
        r"name(\()",
        r"name(\))",
        r"name(\(\))",
        "name([(])",
        "name([)])",
        "name([^)])",
        "name([])])",
        "name([^])])",
        "name([a[)]])",
        "name([[:alpha:]]+)",
        r"name(\[\()",
        r"name(a\\)",
        "name((?:(?:a)))",
        "name((?:a)(?:b)(c))",
        "name(((?:a)))",
        "name(é+)",
        "name(版本)",
        "name(&&)",
        "name(a && b)",
        "name(!)",
        "name(true)",
        "label(io.kubernetes/name)(a)",
        "image(registry:5000/a/b:1.0)",
        "ip(10\\.0\\.0\\..*)",
        "name(|)",
        "name(\")",
        "name(')",
        "namespace(.*)",
        "namespace((.*))",
        "namespace( $namespace)",
        "label(ns)($namespace)",
        r"name(\d+\w\s)",
        r"name(\p{Greek})",
        r"name([\w.-]{1,63})",
        r"name((?i)abc)",
        "name((?s).)",
    ] {
        accept(text, text);
    }
    refuse("name()", 5, "empty pattern");
    refuse("label()(a)", 6, "empty pattern");
    refuse("label(a)()", 9, "empty pattern");
    refuse("name(a\u{7})", 6, "control characters");
    refuse("name(*)", 5, "invalid regular expression");
    refuse("name(+a)", 5, "invalid regular expression");
    refuse("name(a{2,1})", 6, "invalid regular expression");
    refuse("label(app)([z-a])", 12, "invalid regular expression");
    refuse("name((?=a))", 5, "look-around is not supported");
    refuse("name((?!a)b)", 5, "look-around is not supported");
    refuse("name((?<=a)b)", 5, "look-around is not supported");
    refuse(r"name((a)\1)", 8, "back-references are not supported");
    refuse(r"name(\8)", 5, "back-references are not supported");
    refuse("name((a)(b))", 5, "at most one capture group");
    refuse("image((a)(b))", 6, "at most one capture group");
    refuse("name((a(b)))", 5, "at most one capture group");
    refuse("label(a)((a)(b))", 9, "at most one capture group");
    refuse("name((?<x>a)(?<y>b))", 5, "at most one capture group");
    refuse("name(a", 4, "missing ')'");
    refuse("name((a)", 4, "missing ')'");
    refuse("name(a\\)", 4, "missing ')'");
    refuse("name([)", 4, "missing ']' and ')'");
    refuse("name(a))", 7, "unexpected ')'");
    refuse("name((a{1000}){1000})", 5, "too large");
    refuse(r"name(((\w{100}){100}){100})", 5, "capture group");
    refuse(r"name((?:\pL{100}){100})", 5, "too large");
    refuse("name((?x)a*#)", 5, "invalid regular expression");
    refuse(&format!("name({}a{})", "(?:".repeat(300), ")".repeat(300)), 305, "nested too deeply");
}

#[test]
fn refused_operands() {
    for (text, offset, message) in [
        ("", 0, "the selector is empty"),
        (" \n", 0, "the selector is empty"),
        ("lable(app)(sava)", 0, "did you mean 'label'?"),
        ("labels(app)(sava)", 0, "did you mean 'label'?"),
        ("Label(app)(sava)", 0, "lower case, write 'label'"),
        ("NAME(a)", 0, "write 'name'"),
        ("Port(80)", 0, "write 'port'"),
        ("namespce(a)", 0, "did you mean 'namespace'?"),
        ("user-agent == x", 0, "unknown operand 'user-agent'"),
        ("foo(bar)", 0, "unknown operand 'foo'"),
        ("yes", 0, "unknown operand 'yes'"),
        ("2", 0, "unknown operand '2'"),
        ("tru", 0, "unknown operand 'tru'"),
        ("10", 0, "unknown operand '10'"),
        ("label", 5, "expected '(' after 'label', found the end; write label(name)(value)"),
        ("label(app)", 10, "label takes two patterns"),
        ("label(app) && true", 11, "label takes two patterns"),
        ("label(app) sava", 11, "label takes two patterns"),
        ("name", 4, "expected '(' after 'name'"),
        ("name x", 5, "expected '(' after 'name', found 'x'"),
        ("name = x", 5, "expected '('"),
        ("name(a)(b)", 7, "takes no further '(...)'"),
        ("port(80)(81)", 8, "takes no further '(...)'"),
        ("true(a)", 4, "takes no further '(...)'"),
        ("label(a)(b)(c)", 11, "takes no further '(...)'"),
        ("port", 4, "write port(8080)"),
        ("port()", 5, "expected a number in 'port(...)'"),
        ("port(http)", 5, "expected a number"),
        ("port(-1)", 5, "expected a number"),
        ("port(+1)", 5, "expected a number"),
        ("port(1.5)", 6, "expected ')' after the number"),
        ("port(80,81)", 7, "expected ')' after the number"),
        ("port(.*)", 5, "expected a number"),
        ("port((80))", 5, "expected a number"),
        ("port(٣)", 5, "expected a number"),
        ("port(80", 7, "expected ')' after the number, found the end"),
        ("port(4294967296)", 5, "32 bits"),
        ("port(99999999999999999999)", 5, "32 bits"),
        ("index(99999999999)", 6, "32 bits"),
        ("index(a)", 6, "expected a number in 'index(...)'"),
        ("port_index()", 11, "expected a number"),
        ("$namespace", 0, "expected an operand"),
        ("\"true\"", 0, "expected an operand"),
    ] {
        refuse(text, offset, message);
    }
}

#[test]
fn refused_operators() {
    for (text, offset, message) in [
        ("t &&", 4, "expected an operand such as label(name)(value)"),
        ("t and", 5, "found the end"),
        ("&& t", 0, "expected an operand"),
        ("and t", 0, "unknown operand 'and'"),
        ("t && && f", 5, "expected an operand"),
        ("t &&& f", 4, "expected an operand"),
        ("t ||| f", 4, "expected an operand"),
        ("t & & f", 4, "expected an operand"),
        ("t && || f", 5, "expected an operand"),
        ("t and or f", 6, "unknown operand 'or'"),
        ("t f", 2, "expected 'and' or 'or', found 'f'"),
        ("label(a)(b) label(c)(d)", 12, "missing 'and' or 'or' between two operands"),
        ("label(a)(b), label(c)(d)", 11, "expected 'and' or 'or', found ','"),
        ("t xor f", 2, "expected 'and' or 'or', found 'xor'"),
        ("t !f", 2, "expected 'and' or 'or', found '!'"),
        ("t not f", 2, "found 'not'"),
        ("t andf", 2, "found 'andf'"),
        ("tand f", 0, "unknown operand 'tand'"),
        ("nott", 0, "unknown operand 'nott'"),
        ("not", 3, "found the end"),
        ("!", 1, "found the end"),
        ("!!", 2, "found the end"),
        ("! && t", 2, "expected an operand"),
        ("()", 1, "expected an operand"),
        ("(t", 0, "missing ')' for this '('"),
        ("(t && (f)", 0, "missing ')' for this '('"),
        ("t && (f || (t)", 5, "missing ')' for this '('"),
        ("t)", 1, "unexpected ')'"),
        (")", 0, "expected an operand"),
        ("(t))", 3, "unexpected ')'"),
        ("(t) f", 4, "expected 'and' or 'or'"),
        ("(t)(f)", 3, "no further '(...)'"),
        ("t (f)", 2, "no further '(...)'"),
        ("t ; f", 2, "found ';'"),
        ("t == t", 2, "found '='"),
        ("{t}", 0, "expected an operand"),
    ] {
        refuse(text, offset, message);
    }
}

#[test]
fn limits() {
    accept(&format!("{}t{}", "(".repeat(2000), ")".repeat(2000)), "true");
    accept(&format!("{}t", "!".repeat(4000)), "!(!true)");
    accept(&format!("{}t", "!".repeat(4001)), "!true");
    accept(&format!("{}t", "not ".repeat(1001)), "!true");
    accept(
        &format!("{}t{}", "!(".repeat(150), ")".repeat(150)),
        &format!("{}!true{}", "!(".repeat(149), ")".repeat(149)),
    );
    refuse(&format!("{}t{}", "!(".repeat(1300), ")".repeat(1300)), 2 * 1100 + 1, "nested too deeply");
    refuse(&format!("{}t{}", "t&(t|(".repeat(500), ")".repeat(1000)), 6 * 400 - 1, "nested too deeply");
    refuse(&"(".repeat(TEXT_LIMIT), TEXT_LIMIT, "expected an operand");
    accept(&vec!["t"; 2048].join("&"), &vec!["true"; 2048].join(" && "));
    accept(&format!("t{}", " ".repeat(TEXT_LIMIT - 1)), "true");
    refuse(&format!("t{}", " ".repeat(TEXT_LIMIT)), TEXT_LIMIT, "at most 4096 are allowed");
    refuse(&"é".repeat(TEXT_LIMIT), TEXT_LIMIT, "8192 bytes long");
    let many = vec!["port(80)"; 10_000].join("||");
    refuse(&many, TEXT_LIMIT, "at most 4096");
}

/// Patterns that are costly to compile, as many as fit, are refused or compiled in reasonable time and space.
#[test]
fn hostile_patterns_together() {
    for pattern in
        [r"(?i)\pL{9}", r"\w{99}", ".{999}", "(?:a{99}){99}", r"(?i)[\w\pL\pN]{9}", "(?:a?){99}a{99}"]
    {
        let operand = format!("name({pattern})|");
        let text = format!("{}t", operand.repeat(4000 / operand.len()));
        let _ = Selector::parse(&text);
    }
}
