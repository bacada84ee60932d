//! Matcher to canonical text.

use std::fmt;

use super::{Comparison, Fetch, Matcher, NumberTest, Relation};
use crate::syntax::cursor::{is_space, quote};

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (suffix, method) = method(&self.comparison);
        // Names with a prefix, `query` and `method` exist only with `-m`.
        let suffixed =
            !matches!(self.fetch, Fetch::Header { whole: true, .. } | Fetch::Query | Fetch::Method);
        fetch(f, &self.fetch, if suffixed { suffix } else { "" })?;
        if self.ignore_case {
            f.write_str(" -i")?;
        }
        match &self.comparison {
            Comparison::Found if !matches!(self.fetch, Fetch::Tls | Fetch::Always(_)) => {
                f.write_str(" -m found")
            }
            Comparison::Found => Ok(()),
            Comparison::Length(tests) => {
                if !suffixed {
                    f.write_str(" -m len")?;
                }
                numbers(f, tests)
            }
            Comparison::Number(tests) => numbers(f, tests),
            Comparison::Network(networks) => networks.iter().try_for_each(|network| write!(f, " {network}")),
            Comparison::Equal(values)
            | Comparison::Prefix(values)
            | Comparison::Suffix(values)
            | Comparison::Substring(values)
            | Comparison::PathSegments(values)
            | Comparison::DomainLabels(values)
            | Comparison::Regex(values) => {
                if !suffixed && !method.is_empty() {
                    write!(f, " -m {method}")?;
                }
                values.iter().try_for_each(|value| write!(f, " {}", word(value)))
            }
        }
    }
}

/// Suffix and argument of `-m`.
fn method(comparison: &Comparison) -> (&'static str, &'static str) {
    match comparison {
        Comparison::Prefix(_) => ("_beg", "beg"),
        Comparison::Suffix(_) => ("_end", "end"),
        Comparison::Substring(_) => ("_sub", "sub"),
        Comparison::PathSegments(_) => ("_dir", "dir"),
        Comparison::DomainLabels(_) => ("_dom", "dom"),
        Comparison::Regex(_) => ("_reg", "reg"),
        Comparison::Length(_) => ("_len", "len"),
        Comparison::Equal(_) | Comparison::Number(_) | Comparison::Network(_) | Comparison::Found => ("", ""),
    }
}

fn fetch(f: &mut fmt::Formatter<'_>, fetch: &Fetch, suffix: &str) -> fmt::Result {
    match fetch {
        Fetch::Header { name, whole: false } => write!(f, "hdr{suffix}({name})"),
        Fetch::Header { name, whole: true } => write!(f, "req.fhdr{suffix}({name})"),
        Fetch::HeaderCount { name, whole: false } => write!(f, "hdr_cnt({name})"),
        Fetch::HeaderCount { name, whole: true } => write!(f, "req.fhdr_cnt({name})"),
        Fetch::HeaderNumber(name) => write!(f, "hdr_val({name})"),
        Fetch::Cookie(name) => write!(f, "cook{suffix}({name})"),
        Fetch::CookieCount(name) => write!(f, "req.cook_cnt({name})"),
        Fetch::Path => write!(f, "path{suffix}"),
        Fetch::Url => write!(f, "url{suffix}"),
        Fetch::Query => f.write_str("query"),
        Fetch::UrlParameter(name) => write!(f, "urlp{suffix}({name})"),
        Fetch::Method => f.write_str("method"),
        Fetch::Source => f.write_str("src"),
        Fetch::DestinationPort => f.write_str("dst_port"),
        Fetch::Tls => f.write_str("ssl_fc"),
        Fetch::Always(true) => f.write_str("always_true"),
        Fetch::Always(false) => f.write_str("always_false"),
    }
}

fn numbers(f: &mut fmt::Formatter<'_>, tests: &[NumberTest]) -> fmt::Result {
    for test in tests {
        let relation = match test.relation {
            Relation::Equal if tests.len() > 1 => "",
            Relation::Equal => "eq ",
            Relation::Greater => "gt ",
            Relation::GreaterOrEqual => "ge ",
            Relation::Less => "lt ",
            Relation::LessOrEqual => "le ",
        };
        write!(f, " {relation}{}", test.value)?;
    }
    Ok(())
}

/// A value with quotes where it needs them.
fn word(value: &str) -> String {
    let special = value.is_empty()
        || value.starts_with(['-', '\'', '"'])
        || value.ends_with('\\')
        || value.contains(is_space)
        || matches!(value, "&&" | "||" | "&" | "|")
        || value.eq_ignore_ascii_case("and")
        || value.eq_ignore_ascii_case("or");
    if special { quote(value) } else { value.to_owned() }
}
