//! Conditions, compiled (spec: gateways 10.2, 10.3, R24-R26). The language and its tree are in [`model::condition`].
//!
//! The expression is evaluated as it was written, left to right, and stops as soon as the outcome is known. Negations are
//! pushed down to the tests when it is compiled, so that what is left is *all*, *any* and single tests.

use model::condition::{Expression, Operand};

use crate::host::split_port;
use crate::matcher::Compiled;
use crate::seen::Seen;
use crate::text::Needle;

/// A condition ready to run.
#[derive(Debug)]
pub(crate) enum Test {
    All(Box<[Test]>),
    Any(Box<[Test]>),
    Check { check: Check, negated: bool },
}

/// A single test.
#[derive(Debug)]
pub(crate) enum Check {
    /// The host, compared with its port only when the value has one (R24).
    Host {
        value: String,
        with_port: bool,
    },
    HasHeader(String),
    HasCookie(String),
    HeaderContains {
        name: String,
        value: Needle,
    },
    CookieContains {
        name: String,
        value: Needle,
    },
    Raw(Compiled),
}

impl Test {
    pub(crate) fn new(expression: &Expression) -> Self {
        Self::compile(expression, false)
    }

    fn compile(expression: &Expression, negated: bool) -> Self {
        match expression {
            Expression::And(parts) => {
                Self::join(parts.iter().map(|part| Self::compile(part, negated)), !negated)
            }
            Expression::Or(parts) => {
                Self::join(parts.iter().map(|part| Self::compile(part, negated)), negated)
            }
            Expression::Not(part) => Self::compile(part, !negated),
            Expression::Test { operand, negated: written } => Self::operand(operand, negated != *written),
        }
    }

    fn join(parts: impl Iterator<Item = Self>, all: bool) -> Self {
        let mut parts: Vec<Self> = parts.collect();
        match parts.pop() {
            // One of one is neither all nor any.
            Some(only) if parts.is_empty() => only,
            last => {
                parts.extend(last);
                if all { Self::All(parts.into()) } else { Self::Any(parts.into()) }
            }
        }
    }

    fn operand(operand: &Operand, negated: bool) -> Self {
        let check = match operand {
            Operand::UserAgent(value) => return user_agent(value, negated),
            Operand::Host(value) => {
                Check::Host { value: value.clone(), with_port: split_port(value).1.is_some() }
            }
            Operand::HasHeader(name) => Check::HasHeader(name.clone()),
            Operand::HasCookie(name) => Check::HasCookie(name.clone()),
            Operand::HeaderContains { name, value } => {
                Check::HeaderContains { name: name.clone(), value: Needle::new(value, false) }
            }
            Operand::CookieContains { name, value } => {
                Check::CookieContains { name: name.clone(), value: Needle::new(value, false) }
            }
            Operand::Raw(matcher) => Check::Raw(Compiled::new(matcher)),
        };
        Self::Check { check, negated }
    }

    /// Whether it holds for the request.
    pub(crate) fn holds(&self, seen: &Seen<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(seen)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(seen)),
            Self::Check { check, negated } => check.holds(seen) != *negated,
        }
    }
}

impl Check {
    fn holds(&self, seen: &Seen<'_>) -> bool {
        match self {
            Self::Host { value, with_port } => {
                let host = seen.request.host;
                let host = if *with_port { host } else { split_port(host).0 };
                host.eq_ignore_ascii_case(value)
            }
            Self::HasHeader(name) => seen.any_line(name, |_| true),
            Self::HasCookie(name) => seen.any_cookie(name, |_| true),
            Self::HeaderContains { name, value } => seen.any_line(name, |line| value.is_in(line)),
            Self::CookieContains { name, value } => seen.any_cookie(name, |text| value.is_in(text)),
            Self::Raw(matcher) => matcher.holds(seen),
        }
    }
}

/// Browser names and what their `User-Agent` contains: every text of one of the lists (section 10.3, R25).
const BROWSERS: [(&str, &[&[&str]]); 5] = [
    ("chrome", &[&["Chrome"]]),
    ("firefox", &[&["Firefox"]]),
    ("safari", &[&["Safari", "Version"]]),
    ("edge", &[&["Edge"], &["Edg/"]]),
    ("ie", &[&["MSIE"], &["Trident/"]]),
];

/// `user-agent == value`: a browser, or a substring. Case does not matter in either (R25).
fn user_agent(value: &str, negated: bool) -> Test {
    let contains = |text: &str| Test::Check {
        check: Check::HeaderContains { name: "user-agent".to_owned(), value: Needle::new(text, true) },
        negated,
    };
    match BROWSERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)) {
        None => contains(value),
        Some((_, alternatives)) => Test::join(
            alternatives.iter().map(|texts| Test::join(texts.iter().map(|text| contains(text)), !negated)),
            negated,
        ),
    }
}
