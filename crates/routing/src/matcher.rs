//! Raw matchers, compiled (spec: gateways 10.4, R27). The language and its types are in [`model::matcher`].

use std::net::IpAddr;

use ipnet::IpNet;
use model::matcher::{Comparison, Fetch, Matcher, NumberTest, Relation, compile_regex};
use regex::bytes::Regex;

use crate::seen::Seen;
use crate::text::{Needle, equal, has_word, leading_integer};

/// A matcher ready to run.
#[derive(Debug)]
pub(crate) struct Compiled {
    fetch: Fetch,
    compare: Compare,
    ignore_case: bool,
}

/// [`Comparison`] with everything prepared that can be.
#[derive(Debug)]
enum Compare {
    Equal(Vec<Box<[u8]>>),
    Prefix(Vec<Box<[u8]>>),
    Suffix(Vec<Box<[u8]>>),
    Substring(Vec<Needle>),
    /// Whole words between these delimiters.
    Word(&'static [u8], Vec<Box<[u8]>>),
    Regex(Vec<Regex>),
    Length(Vec<NumberTest>),
    Number(Vec<NumberTest>),
    Network(Vec<IpNet>),
    Found,
}

impl Compiled {
    pub(crate) fn new(matcher: &Matcher) -> Self {
        let Matcher { fetch, comparison, ignore_case } = matcher.clone();
        Self { fetch, compare: Compare::new(comparison, ignore_case), ignore_case }
    }

    /// Whether some sample of the request compares well. Combinations that mean nothing, such as the length of an address,
    /// never hold; the parser does not make them.
    pub(crate) fn holds(&self, seen: &Seen<'_>) -> bool {
        let request = seen.request;
        let text = |sample: &[u8]| self.compare.text(sample, self.ignore_case);
        match &self.fetch {
            Fetch::Header { name, whole: false } => seen.any_value(name, text),
            Fetch::Header { name, whole: true } => seen.any_line(name, text),
            Fetch::HeaderCount { name, whole: false } => {
                self.compare.count(|count| seen.any_value(name, count))
            }
            Fetch::HeaderCount { name, whole: true } => {
                self.compare.count(|count| seen.any_line(name, count))
            }
            Fetch::HeaderNumber(name) => seen.any_value(name, |value| {
                leading_integer(value).is_some_and(|number| self.compare.number(number, true))
            }),
            Fetch::Cookie(name) => seen.any_cookie(name, text),
            Fetch::CookieCount(name) => self.compare.count(|count| seen.any_cookie(name, count)),
            Fetch::Path => text(seen.path().as_bytes()),
            Fetch::Url => text(seen.target.as_bytes()),
            Fetch::Query => seen.query().is_some_and(|query| text(query.as_bytes())),
            Fetch::UrlParameter(name) => seen.parameters(name).any(|value| text(value.as_bytes())),
            Fetch::Method => text(request.method.as_bytes()),
            Fetch::Source => self.compare.address(request.source.to_canonical()),
            Fetch::DestinationPort => self.compare.number(i64::from(request.port), true),
            Fetch::Tls => self.compare.number(i64::from(request.tls), request.tls),
            Fetch::Always(value) => self.compare.number(i64::from(*value), *value),
        }
    }
}

impl Compare {
    fn new(comparison: Comparison, ignore_case: bool) -> Self {
        let texts = |texts: Vec<String>| texts.into_iter().map(|text| text.into_bytes().into()).collect();
        match comparison {
            Comparison::Equal(values) => Self::Equal(texts(values)),
            Comparison::Prefix(values) => Self::Prefix(texts(values)),
            Comparison::Suffix(values) => Self::Suffix(texts(values)),
            Comparison::Substring(values) => {
                Self::Substring(values.iter().map(|value| Needle::new(value, ignore_case)).collect())
            }
            Comparison::PathSegments(values) => Self::Word(b"/?", texts(values)),
            Comparison::DomainLabels(values) => Self::Word(b"/?.:", texts(values)),
            // Expressions were compiled when they were parsed; one that fails now all the same never matches.
            Comparison::Regex(patterns) => Self::Regex(
                patterns.iter().filter_map(|pattern| compile_regex(pattern, ignore_case).ok()).collect(),
            ),
            Comparison::Length(tests) => Self::Length(tests),
            Comparison::Number(tests) => Self::Number(tests),
            Comparison::Network(networks) => Self::Network(networks),
            Comparison::Found => Self::Found,
        }
    }

    fn text(&self, sample: &[u8], ignore_case: bool) -> bool {
        match self {
            Self::Equal(values) => values.iter().any(|value| equal(sample, value, ignore_case)),
            Self::Prefix(values) => values
                .iter()
                .any(|value| sample.get(..value.len()).is_some_and(|part| equal(part, value, ignore_case))),
            Self::Suffix(values) => values.iter().any(|value| {
                let start = sample.len().checked_sub(value.len());
                start.is_some_and(|start| equal(&sample[start..], value, ignore_case))
            }),
            Self::Substring(needles) => needles.iter().any(|needle| needle.is_in(sample)),
            Self::Word(delimiters, words) => {
                words.iter().any(|word| has_word(sample, word, delimiters, ignore_case))
            }
            Self::Regex(expressions) => expressions.iter().any(|expression| expression.is_match(sample)),
            Self::Length(tests) => {
                let length = i64::try_from(sample.len()).unwrap_or(i64::MAX);
                tests.iter().any(|test| satisfies(length, *test))
            }
            Self::Found => true,
            Self::Number(_) | Self::Network(_) => false,
        }
    }

    /// `found` is what [`Comparison::Found`] says of the number.
    fn number(&self, number: i64, found: bool) -> bool {
        match self {
            Self::Number(tests) => tests.iter().any(|test| satisfies(number, *test)),
            Self::Found => found,
            _ => false,
        }
    }

    /// Counts the samples that `each` visits.
    fn count(&self, each: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool) -> bool) -> bool {
        let mut count = 0;
        each(&mut |_| {
            count += 1;
            false
        });
        self.number(count, count > 0)
    }

    fn address(&self, address: IpAddr) -> bool {
        match self {
            Self::Network(networks) => networks.iter().any(|network| network.contains(&address)),
            Self::Found => true,
            _ => false,
        }
    }
}

fn satisfies(number: i64, test: NumberTest) -> bool {
    match test.relation {
        Relation::Equal => number == test.value,
        Relation::Greater => number > test.value,
        Relation::GreaterOrEqual => number >= test.value,
        Relation::Less => number < test.value,
        Relation::LessOrEqual => number <= test.value,
    }
}
