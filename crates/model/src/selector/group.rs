//! Captures to the name of a route (section 9.1), and the order of such names (R22).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use sha1::{Digest, Sha1};

use super::Group;
use crate::name::RoutePath;

/// The group of a set of captures: each in parentheses, sorted, joined with commas; `()` for none.
///
/// A name that is no route path (white space, `/`, `[`, `]`) is replaced by its digest; the title stays readable (R21).
pub fn group(captures: &BTreeSet<String>) -> Group {
    let mut parts: Vec<String> = captures.iter().map(|capture| format!("({capture})")).collect();
    parts.sort();
    let title = if parts.is_empty() { "()".to_owned() } else { parts.join(",") };
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '/' | '[' | ']');
    let path =
        if title.chars().all(plain) { RoutePath::parse(&title) } else { RoutePath::parse(&digest(&title)) };
    Group { path: path.expect("one segment of characters that a route path allows"), title }
}

fn digest(name: &str) -> String {
    let mut digest: String = Sha1::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    digest.push_str("0000");
    digest
}

/// Compares names the way people read versions: runs of digits count as numbers, so `(1.9)` comes before `(1.10)`.
///
/// A total order: names that differ only in leading zeros are told apart by their bytes.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    while let (Some(&x), Some(&y)) = (left.first(), right.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, n) = (take_number(&mut left), take_number(&mut right));
            m.len().cmp(&n.len()).then_with(|| m.cmp(n))
        } else {
            (left, right) = (&left[1..], &right[1..]);
            x.cmp(&y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// Takes a run of digits; what is returned has no leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    let zeros = run.iter().position(|&byte| byte != b'0').unwrap_or(run.len());
    &run[zeros..]
}
