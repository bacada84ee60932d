//! Lists come in pages of at most 30 (section 4). A page past the end is an empty list: clients fetch until they get one.

use http::header::LINK;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::failure::Failure;
use super::origin::Origin;
use super::parameters::Parameters;
use super::reply::Reply;

/// Number of items of the whole list.
pub(crate) const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

const MAXIMUM: u64 = 30;

/// What is left readable in the query of a link.
const QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'/');

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    /// Number of the page, from 1.
    pub(crate) number: u64,
    /// Items of a page, 1 to 30.
    pub(crate) size: u64,
}

impl Page {
    /// Reads `page` and `per_page`.
    pub(crate) fn from(parameters: &Parameters) -> Result<Self, Failure> {
        let number = parameters.integer("page")?.unwrap_or(1).max(1);
        let size = parameters.integer("per_page")?.unwrap_or(30).max(1);
        Ok(Self { number: number.unsigned_abs(), size: size.unsigned_abs().min(MAXIMUM) })
    }

    /// Number of items before this page.
    pub(crate) fn offset(self) -> u64 {
        (self.number - 1).saturating_mul(self.size)
    }

    /// Answers this page of a whole list.
    pub(crate) fn of<T>(
        self,
        items: &[T],
        origin: &Origin,
        parameters: &Parameters,
        show: impl Fn(&T) -> Value,
    ) -> Reply {
        let total = items.len() as u64;
        let start = usize::try_from(self.offset()).unwrap_or(usize::MAX).min(items.len());
        let end = start.saturating_add(usize::try_from(self.size).unwrap_or(usize::MAX)).min(items.len());
        self.reply(items[start..end].iter().map(show).collect(), total, origin, parameters)
    }

    /// Answers a page that was already cut out of a list of `total` items.
    pub(crate) fn reply(
        self,
        items: Vec<Value>,
        total: u64,
        origin: &Origin,
        parameters: &Parameters,
    ) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(TOTAL_COUNT, HeaderValue::from(total));
        if let Ok(link) = HeaderValue::try_from(self.links(total, &origin.url(), parameters)) {
            headers.insert(LINK, link);
        }
        Reply::ok(Value::Array(items)).headers(headers)
    }

    fn links(self, total: u64, url: &str, parameters: &Parameters) -> String {
        let last = total.div_ceil(self.size).max(1);
        let kept: String = parameters
            .pairs()
            .filter(|(name, _)| !matches!(*name, "page" | "per_page"))
            .map(|(name, value)| {
                format!("{}={}&", utf8_percent_encode(name, QUERY), utf8_percent_encode(value, QUERY))
            })
            .collect();
        let link = |page: u64, relation: &str| {
            format!("<{url}?{kept}per_page={}&page={page}>; rel={relation}", self.size)
        };
        [
            link(1, "first"),
            link(self.number.saturating_sub(1).clamp(1, last), "prev"),
            link(self.number.saturating_add(1).min(last), "next"),
            link(last, "last"),
        ]
        .join(", ")
    }
}

#[cfg(test)]
#[path = "paging_tests.rs"]
mod tests;
