//! A request as conditions look at it.

use std::ops::ControlFlow;

use crate::cookies;
use crate::request::RequestHead;
use crate::text::trim;

/// A request head whose target can be taken apart, which is done only for those who ask. A rewrite looks at the target that the
/// rewrite before it left, everything else at the request as received.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) request: &'a RequestHead<'a>,
    /// Path and query.
    pub(crate) target: &'a str,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(request: &'a RequestHead<'a>) -> Self {
        Self::with_target(request, request.target)
    }

    pub(crate) fn with_target(request: &'a RequestHead<'a>, target: &'a str) -> Self {
        Self { request, target }
    }

    /// The target up to the `?`.
    pub(crate) fn path(&self) -> &'a str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// What follows the `?`; `None` when there is none.
    pub(crate) fn query(&self) -> Option<&'a str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Calls `visit` with each line of a header until it returns true; returns whether it did. For `host` without such a field,
    /// as in HTTP/2, the authority stands in.
    pub(crate) fn any_line(&self, name: &str, mut visit: impl FnMut(&[u8]) -> bool) -> bool {
        let (mut found, mut present) = (false, false);
        self.request.fields.each(name, &mut |line| {
            present = true;
            found = visit(trim(line));
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if !present && !self.request.host.is_empty() && name.eq_ignore_ascii_case("host") {
            found = visit(self.request.host.as_bytes());
        }
        found
    }

    /// The same with each comma-separated value. Commas inside double quotes do not separate; empty elements do not count
    /// (RFC 9110, 5.6.1), but a line without any value yields one empty value.
    pub(crate) fn any_value(&self, name: &str, mut visit: impl FnMut(&[u8]) -> bool) -> bool {
        self.any_line(name, |line| {
            if line.is_empty() {
                return visit(line);
            }
            let mut rest = line;
            loop {
                let end = value_end(rest);
                let value = trim(&rest[..end]);
                if !value.is_empty() && visit(value) {
                    return true;
                }
                match rest.get(end + 1..) {
                    Some(next) => rest = next,
                    None => return false,
                }
            }
        })
    }

    /// The same with each non-empty value of a cookie.
    pub(crate) fn any_cookie(&self, name: &str, mut visit: impl FnMut(&[u8]) -> bool) -> bool {
        cookies::any(self.request.fields, name, |value| !value.is_empty() && visit(value))
    }

    /// The values of a query parameter, not decoded. `;` separates like `&`, as in HAProxy.
    pub(crate) fn parameters<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let pairs = self.query().unwrap_or_default().split(['&', ';']);
        pairs.filter_map(move |pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Where the first comma-separated value ends.
fn value_end(text: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}
