//! Tests of rewrites, drawn from section 14.

use proptest::prelude::*;

use super::{Part, Rewrite};

fn literal(text: &str) -> Part {
    Part::Literal(text.to_owned())
}

#[track_caller]
fn accept(text: &str, template: &[Part], condition: &str) {
    let rewrite = Rewrite::parse(text).unwrap_or_else(|error| panic!("{text:?}:\n{}", error.render(text)));
    assert_eq!(rewrite.template(), template, "of {text:?}");
    assert_eq!(rewrite.condition().to_string(), condition, "of {text:?}");
    assert_eq!(rewrite.text(), text);
    assert_eq!(rewrite.to_string(), text);
}

#[track_caller]
fn template(new: &str, template: &[Part]) {
    accept(&format!("{new} if always_true"), template, "< always_true >");
}

#[track_caller]
fn condition(text: &str, canonical: &str) {
    accept(&format!("/x if {text}"), &[literal("/x")], canonical);
}

#[track_caller]
fn refuse(text: &str, offset: usize, message: &str) {
    match Rewrite::parse(text) {
        Ok(rewrite) => panic!("{text:?} is accepted as {:?} if {}", rewrite.template(), rewrite.condition()),
        Err(error) => {
            assert!(error.message.contains(message), "{text:?}: {}", error.message);
            assert_eq!(error.offset, offset, "{text:?}: {}", error.message);
        }
    }
}

#[test]
fn split() {
    accept("/v2%[path] if path_beg /api", &[literal("/v2"), Part::Path], "< path_beg /api >");
    accept("/x IF path_beg /a", &[literal("/x")], "< path_beg /a >");
    accept("/x If path_beg /a", &[literal("/x")], "< path_beg /a >");
    accept("/x iF path_beg /a", &[literal("/x")], "< path_beg /a >");
    accept("  /x  if  path_beg /a  ", &[literal("/x")], "< path_beg /a >");
    accept("/x\nif\npath_beg /a", &[literal("/x")], "< path_beg /a >");
    // The last one counts.
    accept("/a if b if path_beg /c", &[literal("/a%20if%20b")], "< path_beg /c >");
    accept("/x if if path_beg /c", &[literal("/x%20if")], "< path_beg /c >");
    accept("/gif if path /if", &[literal("/gif")], "< path /if >");
    refuse("/x if header a has 'b if c'", 25, "unknown operand 'c'");
    refuse("", 0, "expected 'NEW if CONDITION'");
    refuse("/x", 2, "expected 'NEW if CONDITION'");
    refuse("/x path_beg /a", 14, "expected 'NEW if CONDITION'");
    refuse("/xif path_beg /a", 16, "expected 'NEW if CONDITION'");
    refuse("/x ifpath_beg /a", 16, "expected 'NEW if CONDITION'");
    refuse("if path_beg /a", 0, "the new path before 'if' is empty");
    refuse(" if path_beg /a", 0, "the new path before 'if' is empty");
    refuse("/x if", 5, "the condition after 'if' is empty");
    refuse("/x if ", 6, "the condition after 'if' is empty");
    refuse(&format!("/{} if always_true", "x".repeat(5000)), 4096, "at most 4096");
}

#[test]
fn templates() {
    template("/a/b", &[literal("/a/b")]);
    template("a", &[literal("a")]);
    template("%[path]", &[Part::Path]);
    template("/images/%[path]", &[literal("/images/"), Part::Path]);
    template("%[path]%[path]", &[Part::Path, Part::Path]);
    template("/%[query]", &[literal("/"), Part::Query]);
    template("/%[method]/x", &[literal("/"), Part::Method, literal("/x")]);
    template("/%[req.hdr(Host)]%[path]", &[literal("/"), Part::Header("Host".into()), Part::Path]);
    template("/%[url_param(id)]", &[literal("/"), Part::UrlParameter("id".into())]);
    template("/a%%b", &[literal("/a%b")]);
    template("/a%%20b", &[literal("/a%20b")]);
    template("/%%[path]", &[literal("/%%5Bpath%5D")]);
    template("/%%%[path]", &[literal("/%"), Part::Path]);
    template("/%%%%", &[literal("/%%")]);
    template("/a b", &[literal("/a%20b")]);
    template("/é\"<>", &[literal("/%C3%A9%22%3C%3E")]);
    template("/a-b_c.d~e!$&'()*+,;=:@", &[literal("/a-b_c.d~e!$&'()*+,;=:@")]);

    let replace = |pattern: &str, replacement: &str| Part::PathReplace {
        pattern: pattern.to_owned(),
        replacement: replacement.to_owned(),
    };
    template("%[path,regsub(^/a,/b)]", &[replace("^/a", "/b")]);
    template("%[path,regsub(^/a/,)]", &[replace("^/a/", "")]);
    template("/x%[path,regsub(a{1,2},b)]/y", &[literal("/x"), replace("a{1,2}", "b"), literal("/y")]);
    template("%[path,regsub(^/(a|b),/\\1/x)]", &[replace("^/(a|b)", "/\\1/x")]);
    template("%[path,regsub([,)],x)]", &[replace("[,)]", "x")]);
    template("%[path,regsub([^]],x)]", &[replace("[^]]", "x")]);
    template("%[path,regsub(\\),x)]", &[replace("\\)", "x")]);
    template("%[path,regsub((x,y),z)]", &[replace("(x,y)", "z")]);
    template("%[path,regsub('a,b',\"c\")]", &[replace("a,b", "c")]);
    template("%[path,regsub(a,\\0%20 )]", &[replace("a", "\\0%20%20")]);
    template("%[path,regsub(a,b,c)]", &[replace("a", "b,c")]);
}

#[test]
fn refused_templates() {
    for (new, offset, message) in [
        ("/%", 1, "a single '%'"),
        ("/a%20b", 2, "write %% for a '%'"),
        ("/%path", 1, "a single '%'"),
        ("/%{path}", 1, "a single '%'"),
        ("/%[path", 1, "missing ']'"),
        ("/%[]", 3, "the variable '%[]' is not supported"),
        ("/%[ path ]", 3, "is not supported"),
        ("/%[PATH]", 3, "is not supported"),
        ("/%[url]", 3, "the variable '%[url]' is not supported; supported are %[path]"),
        ("/%[src]", 3, "is not supported"),
        ("/%[hdr(host)]", 3, "write req.hdr(NAME)"),
        ("/%[urlp(a)]", 3, "write url_param(NAME)"),
        ("/%[req.hdr]", 3, "is not supported"),
        ("/%[req.hdr()]", 3, "is not supported"),
        ("/%[req.hdr(a,1)]", 3, "is not supported"),
        ("/%[url_param(a]", 3, "is not supported"),
        ("/%[path,lower]", 3, "is not supported"),
        ("/%[req.hdr(host),lower]", 3, "is not supported"),
        ("/%[query,regsub(a,b)]", 3, "is not supported"),
        ("/x?a=b", 2, "changes only the path"),
        ("/x#a", 2, "changes only the path"),
        ("/a\u{7}", 2, "a path cannot hold the character '\\u{7}'"),
        ("/a\nb", 2, "a path cannot hold the character '\\n'"),
        ("%[path,regsub(a)]", 0, "expected %[path,regsub(RE,TEXT)]"),
        ("%[path,regsub(a,b]", 0, "expected ')]'"),
        ("%[path,regsub(a,b)", 0, "expected ')]'"),
        ("%[path,regsub((,b)]", 0, "expected %[path,regsub(RE,TEXT)]"),
        ("%[path,regsub(*,b)]", 14, "invalid regular expression"),
        ("%[path,regsub((?=a),b)]", 14, "look-around"),
        ("%[path,regsub((a{1000}){1000},b)]", 14, "too large"),
        ("%[path,regsub(a,\\1)]", 16, "\\1 refers to a group"),
        ("%[path,regsub((a),\\2)]", 18, "\\2 refers to a group"),
        ("%[path,regsub(a,\\x)]", 16, "must be followed by the number of a group"),
        ("%[path,regsub(a,\\)]", 16, "must be followed by the number of a group"),
        ("%[path,regsub(a,b?c)]", 16, "changes only the path"),
    ] {
        refuse(&format!("{new} if always_true"), offset, message);
        refuse(&format!("  {new} if always_true"), offset + 2, message);
    }
}

#[test]
fn conditions() {
    for (text, canonical) in [
        ("host == a", "host == a"),
        ("Has Header X and not host == b", "has header X and not host == b"),
        ("< path_beg /x > or < path_beg /y >", "< path_beg /x > or < path_beg /y >"),
        ("path_beg /x", "< path_beg /x >"),
        ("{ path_beg /x }", "< path_beg /x >"),
        ("!{ path_beg /x }", "not < path_beg /x >"),
        ("! { path_beg /x }", "not < path_beg /x >"),
        ("{ path_beg /x } { method GET }", "< path_beg /x > and < method GET >"),
        ("{ path_beg /x } !{ hdr(a) b }", "< path_beg /x > and not < hdr(a) b >"),
        ("{ path_beg /x }!{ hdr(a) b }", "< path_beg /x > and not < hdr(a) b >"),
        ("{path_beg /x }{ hdr(a) b }", "< path_beg /x > and < hdr(a) b >"),
        ("!{ path /a } !{ path /b } !{ path /c }", "not < path /a > and not < path /b > and not < path /c >"),
        ("{ path_reg ^/a{1,2}$ }", "< path_reg ^/a{1,2}$ >"),
        ("{ hdr(x) '} a' }", "< hdr(x) \"} a\" >"),
        ("{ hdr(x) a} }", "< hdr(x) a} >"),
        ("  {   always_true   }  ", "< always_true >"),
    ] {
        condition(text, canonical);
    }
}

#[test]
fn refused_conditions() {
    for (text, offset, message) in [
        ("foo", 6, "unknown operand 'foo'"),
        ("host = = a", 15, "expected 'and' or 'or'"),
        ("hdr_ip(x) 1", 9, "the suffix '_ip'"),
        ("{ }", 6, "expected a raw matcher"),
        ("{}", 6, "missing ' }'"),
        ("{", 6, "missing ' }'"),
        ("{ path_beg /x", 6, "missing ' }'"),
        ("{ path_beg /x}", 6, "missing ' }' for this '{', with a blank before it"),
        ("{ foo }", 8, "the fetch 'foo' is not supported"),
        ("{ host == a }", 8, "the fetch 'host' is not supported"),
        ("{ path /a } or { path /b }", 18, "to join with 'or' write < matcher > or < matcher >"),
        ("{ path /a } and { path /b }", 18, "expected '{ matcher }'"),
        ("{ path /a } path /b", 18, "expected '{ matcher }'"),
        ("{ path /a } !", 19, "found the end"),
        ("!!{ path /a }", 8, "expected a condition"),
        ("{ path /a } }", 18, "found '}'"),
        ("path_beg /a or path_beg /b", 18, "a raw matcher holds no 'or'"),
    ] {
        refuse(&format!("/x if {text}"), offset, message);
    }
}

#[test]
fn json() {
    let rewrite: Rewrite = serde_json::from_str("\"/a if always_true\"").unwrap();
    assert_eq!(serde_json::to_string(&rewrite).unwrap(), "\"/a if always_true\"");
    let error = serde_json::from_str::<Rewrite>("\"/a\"").unwrap_err().to_string();
    assert!(error.contains("column 3"), "{error}");
}

proptest! {
    #[test]
    fn never_panics(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "/a", "%", "[", "]", "%[path]", "%[path,regsub(", "(", ")", ",", "\\1", " if ", "if", "{ ", " }", "!", "path_beg /x",
                "always_true", "'", "\"", "é", " ", "\n", "%%", "host == a",
            ]),
            0..30,
        )
    ) {
        let text = tokens.concat();
        if let Err(error) = Rewrite::parse(&text) {
            prop_assert!(error.offset <= text.len() && text.is_char_boundary(error.offset));
        }
    }
}
