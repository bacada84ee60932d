//! Searching in bytes that came from a request.

use memchr::{memchr2_iter, memmem};

/// A text to be found inside other texts, prepared once.
#[derive(Debug)]
pub(crate) enum Needle {
    /// As it stands.
    Exact(Box<memmem::Finder<'static>>),
    /// In any ASCII case; kept in lower case.
    AnyCase(Box<[u8]>),
}

impl Needle {
    pub(crate) fn new(text: &str, ignore_case: bool) -> Self {
        if ignore_case {
            Self::AnyCase(text.to_ascii_lowercase().into_bytes().into())
        } else {
            Self::Exact(Box::new(memmem::Finder::new(text.as_bytes()).into_owned()))
        }
    }

    /// True when `text` contains it.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(finder) => finder.find(text).is_some(),
            Self::AnyCase(needle) => {
                let Some(&first) = needle.first() else { return true };
                memchr2_iter(first, first.to_ascii_uppercase(), text).any(|start| {
                    text.get(start..start + needle.len())
                        .is_some_and(|part| part.eq_ignore_ascii_case(needle))
                })
            }
        }
    }
}

/// Equality, ignoring ASCII case when asked to.
pub(crate) fn equal(a: &[u8], b: &[u8], ignore_case: bool) -> bool {
    if ignore_case { a.eq_ignore_ascii_case(b) } else { a == b }
}

/// True when `text` holds `word` with a delimiter or an end of the text on both sides. Delimiters around the word do not count,
/// so `/api/` finds the segment `api`; delimiters inside do, so `a/b` finds two neighbouring segments.
pub(crate) fn has_word(text: &[u8], word: &[u8], delimiters: &[u8], ignore_case: bool) -> bool {
    let delimits = |byte: &u8| delimiters.contains(byte);
    let Some(start) = word.iter().position(|byte| !delimits(byte)) else { return false };
    let end = word.iter().rposition(|byte| !delimits(byte)).map_or(start, |last| last + 1);
    let word = &word[start..end];
    text.windows(word.len()).enumerate().any(|(at, part)| {
        (at == 0 || delimits(&text[at - 1]))
            && text.get(at + word.len()).is_none_or(delimits)
            && equal(part, word, ignore_case)
    })
}

/// Without blanks and tabs at both ends.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// A whole number at the start of a text, as HAProxy reads header values: `12`, `-3`, `12;q=1`.
pub(crate) fn leading_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let number: i64 = std::str::from_utf8(&digits[..end]).ok()?.parse().ok()?;
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needles() {
        let check = |text: &str, needle: &str, exact: bool, any_case: bool| {
            assert_eq!(Needle::new(needle, false).is_in(text.as_bytes()), exact, "{needle} in {text}");
            assert_eq!(
                Needle::new(needle, true).is_in(text.as_bytes()),
                any_case,
                "{needle} in {text}, any case"
            );
        };
        check("Mozilla Firefox", "Firefox", true, true);
        check("Mozilla Firefox", "firefox", false, true);
        check("Mozilla firefo", "Firefox", false, false);
        check("FFirefox", "firefox", false, true);
        check("", "", true, true);
        check("a", "", true, true);
        check("", "a", false, false);
        check("a1b2", "1B", false, true);
    }

    #[test]
    fn words() {
        let check = |text: &str, word: &str, held: bool| {
            assert_eq!(has_word(text.as_bytes(), word.as_bytes(), b"/?", false), held, "{word} in {text}");
        };
        check("/api/v1", "api", true);
        check("/api/v1", "/api/", true);
        check("/api/v1", "api/v1", true);
        check("/api/v1", "ap", false);
        check("/rapi/v1", "api", false);
        check("/rapi/api", "api", true);
        check("api", "api", true);
        check("/api/v1", "/", false);
        check("/", "api", false);
        check("", "api", false);
        check("/api/v1", "API", false);
        assert!(has_word(b"/api/v1", b"API", b"/?", true));
    }

    #[test]
    fn integers() {
        let check =
            |text: &str, number: Option<i64>| assert_eq!(leading_integer(text.as_bytes()), number, "{text}");
        check("12", Some(12));
        check("-12", Some(-12));
        check("12;q=1", Some(12));
        check("", None);
        check("-", None);
        check("x1", None);
        check("99999999999999999999", None);
    }

    #[test]
    fn trimming() {
        assert_eq!(trim(b" \t a b "), b"a b");
        assert_eq!(trim(b"  "), b"");
    }
}
