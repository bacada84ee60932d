//! Reading cookies, and keeping Vamp's own ones away from targets.

use std::borrow::Cow;
use std::ops::ControlFlow;

use crate::request::Fields;
use crate::text::trim;

/// True for the names of Vamp's own cookies (`vamp_r_`, `vamp_c_`, `vamp_i_`), which never reach a target.
pub fn is_own_cookie(name: &str) -> bool {
    is_own(name.as_bytes())
}

fn is_own(name: &[u8]) -> bool {
    ["vamp_r_", "vamp_c_", "vamp_i_"].iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

/// A `Cookie` header line without Vamp's own cookies, for the request that goes to a target: the same line when it holds none,
/// `None` when nothing else is left and the line should be dropped.
///
/// Not to be used when the target is another gateway ([`crate::config::TargetKind::Gateway`]): the cookies of the gateways further down the chain
/// travel in the same line, and the last gateway of the chain removes them all.
pub fn strip_own_cookies(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !pairs(line).any(|(name, _)| is_own(name)) {
        return Some(Cow::Borrowed(line));
    }
    let mut rest = Vec::with_capacity(line.len());
    for pair in line.split(|&byte| byte == b';').map(trim) {
        let name = pair.split(|&byte| byte == b'=').next().map_or(pair, trim);
        if pair.is_empty() || is_own(name) {
            continue;
        }
        if !rest.is_empty() {
            rest.extend_from_slice(b"; ");
        }
        rest.extend_from_slice(pair);
    }
    (!rest.is_empty()).then_some(Cow::Owned(rest))
}

/// Calls `visit` with every value of the cookie called `name` (case-sensitive), over all `Cookie` lines, until it returns true.
/// Returns whether it did. Values are as sent, without blanks around.
pub(crate) fn any(fields: &dyn Fields, name: &str, mut visit: impl FnMut(&[u8]) -> bool) -> bool {
    let mut found = false;
    fields.each("cookie", &mut |line| {
        found = pairs(line).any(|(candidate, value)| candidate == name.as_bytes() && visit(value));
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    found
}

/// A value without the double quotes that some clients put around it.
pub(crate) fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

/// Names and values of a line. Parts without `=` are skipped.
fn pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|&byte| byte == b';').filter_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        Some((trim(&pair[..equals]), trim(&pair[equals + 1..])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names() {
        for own in ["vamp_r_ab12", "vamp_c_1", "vamp_i_"] {
            assert!(is_own_cookie(own), "{own}");
        }
        for foreign in ["vamp", "vamp_x_1", "VAMP_R_1", "xvamp_r_1", ""] {
            assert!(!is_own_cookie(foreign), "{foreign}");
        }
    }

    #[test]
    fn stripping() {
        let check = |line: &str, left: Option<&str>| {
            let stripped = strip_own_cookies(line.as_bytes());
            assert_eq!(stripped.as_deref(), left.map(str::as_bytes), "{line}");
        };
        check("a=1", Some("a=1"));
        check("a=1;  b=2 ;", Some("a=1;  b=2 ;"));
        check("", Some(""));
        check("vamp_r_1=0.x", None);
        check(" vamp_r_1 = \"0.x\" ; vamp_i_2=0.y;", None);
        check("a=1; vamp_r_1=0.x; b=\"2 3\"", Some("a=1; b=\"2 3\""));
        check("vamp_c_1=0.in;a=1;flag", Some("a=1; flag"));
        check("a=vamp_r_1=0.x", Some("a=vamp_r_1=0.x"));
        assert!(matches!(strip_own_cookies(b"a=1"), Some(Cow::Borrowed(_))));
    }

    #[test]
    fn values_over_several_lines() {
        let fields = vec![
            ("Cookie".to_owned(), "a=1; b = 2 ;c".to_owned()),
            ("X".to_owned(), "a=9".to_owned()),
            ("cookie".to_owned(), "a=\"3\"; A=4; b=".to_owned()),
        ];
        let check = |name: &str, expected: &[&str]| {
            let mut seen = Vec::new();
            assert!(!any(&fields, name, |value| {
                seen.push(String::from_utf8_lossy(value).into_owned());
                false
            }));
            assert_eq!(seen, expected, "{name}");
        };
        check("a", &["1", "\"3\""]);
        check("A", &["4"]);
        check("b", &["2", ""]);
        check("c", &[]);
        assert!(any(&fields, "a", |value| unquoted(value) == b"3"));
    }
}
