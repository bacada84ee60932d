//! Names of groups and their order (section 9.1, R21, R22).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::selector::{group, natural_order};

#[track_caller]
fn check(captures: &[&str], title: &str, path: &str) {
    let captures: BTreeSet<String> = captures.iter().map(|&text| text.to_owned()).collect();
    let group = group(&captures);
    assert_eq!(group.title, title);
    assert_eq!(group.path.as_str(), path);
}

#[test]
fn names() {
    for (captures, name) in [
        (&[][..], "()"),
        (&[""], "()"),
        (&["1.0.3"], "(1.0.3)"),
        (&["1.0.5", "IE"], "(1.0.5),(IE)"),
        (&["IE", "1.0.5"], "(1.0.5),(IE)"),
        (&["x", "x"], "(x)"),
        (&["version=1.0"], "(version=1.0)"),
        (&["b", "B", "a"], "(B),(a),(b)"),
        (&["10", "9"], "(10),(9)"),
        (&["", "x"], "(),(x)"),
        (&["a,b"], "(a,b)"),
        (&["(x)"], "((x))"),
        (&["é"], "(é)"),
        (&["a=1", "b=2"], "(a=1),(b=2)"),
    ] {
        check(captures, name, name);
    }
}

/// Digests as `sha1sum` gives them, followed by `0000`.
#[test]
fn digests() {
    check(&["a/b"], "(a/b)", "8b24946c697a744b68756b9bbb9db37d8134cfaa0000");
    check(&["a b"], "(a b)", "752848797c854b8af57db419ecd8c1fe5c00fa6f0000");
    check(&["a[0]"], "(a[0])", "2d2f50ae2cbec533291a5f24898749801ede04100000");
    check(
        &["magneticio/sava:1.0", "IE"],
        "(IE),(magneticio/sava:1.0)",
        "94919dd946b3852ea4c3bc053a726d8598f72f9b0000",
    );
    check(&["a\u{a0}b"], "(a\u{a0}b)", "6a48ba5b0827df82d72df6f7acd04b0e41e4adc70000");
}

#[test]
fn natural() {
    for names in [
        &["(1.9)", "(1.10)", "(1.11)", "(2.0)"][..],
        &["", "(", "()", "(1)", "(1),(IE)", "(2)", "(10)"],
        &["(1.0)", "(1.0.0)"],
        &["(01)", "(1)", "(02)"],
        &["(9)", "(99999999999999999999999)", "(100000000000000000000000)"],
        &["(1.0.0-alpha)", "(1.0.0-alpha2)", "(1.0.0-alpha10)", "(1.0.0-beta)"],
        &["(A)", "(a)", "(b)"],
        &["(v0)", "(v00)", "(v1)"],
        &["a", "a0", "a1", "ab"],
    ] {
        for (i, a) in names.iter().enumerate() {
            for (j, b) in names.iter().enumerate() {
                assert_eq!(natural_order(a, b), i.cmp(&j), "{a} and {b}");
            }
        }
    }
    assert_eq!(natural_order("(1.0)", "(1.0)"), Ordering::Equal);
}
