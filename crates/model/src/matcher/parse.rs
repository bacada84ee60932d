//! Text to matcher (section 10.4): a fetch, how to compare, flags, values.
//!
//! ```text
//! hdr_sub(user-agent) -i Android iPhone
//! fetch suffix  name  flag  values
//! ```

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Comparison, Fetch, Matcher, NumberTest, Relation};
use crate::syntax::cursor::{Cursor, is_space};
use crate::syntax::{SyntaxError, closest, pattern};

/// Fetches as they are written, and what they are.
const FETCHES: [(&str, Base); 16] = [
    ("hdr", Base::Header { whole: false }),
    ("req.hdr", Base::Header { whole: false }),
    ("req.fhdr", Base::Header { whole: true }),
    ("cook", Base::Cookie),
    ("req.cook", Base::Cookie),
    ("path", Base::Path),
    ("url", Base::Url),
    ("query", Base::Query),
    ("url_param", Base::UrlParameter),
    ("urlp", Base::UrlParameter),
    ("method", Base::Method),
    ("src", Base::Source),
    ("dst_port", Base::DestinationPort),
    ("ssl_fc", Base::Tls),
    ("always_true", Base::Always(true)),
    ("always_false", Base::Always(false)),
];

const SUFFIXES: [(&str, Method); 9] = [
    ("_beg", Method::Prefix),
    ("_end", Method::Suffix),
    ("_sub", Method::Substring),
    ("_dir", Method::PathSegments),
    ("_dom", Method::DomainLabels),
    ("_reg", Method::Regex),
    ("_len", Method::Length),
    ("_cnt", Method::Count),
    ("_val", Method::Value),
];

const FLAG_METHODS: [(&str, Method); 9] = [
    ("str", Method::Equal),
    ("beg", Method::Prefix),
    ("end", Method::Suffix),
    ("sub", Method::Substring),
    ("dir", Method::PathSegments),
    ("dom", Method::DomainLabels),
    ("reg", Method::Regex),
    ("found", Method::Found),
    ("len", Method::Length),
];

const RELATIONS: [(&str, Relation); 5] = [
    ("eq", Relation::Equal),
    ("gt", Relation::Greater),
    ("ge", Relation::GreaterOrEqual),
    ("lt", Relation::Less),
    ("le", Relation::LessOrEqual),
];

/// A fetch before its name and suffix are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Header { whole: bool },
    Cookie,
    Path,
    Url,
    Query,
    UrlParameter,
    Method,
    Source,
    DestinationPort,
    Tls,
    Always(bool),
}

/// A suffix, or the argument of `-m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Equal,
    Prefix,
    Suffix,
    Substring,
    PathSegments,
    DomainLabels,
    Regex,
    Length,
    Found,
    Count,
    Value,
}

/// What a fetch yields, and so what it can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Address,
    Boolean,
}

/// A word of the values.
struct Word {
    text: String,
    quoted: bool,
    at: usize,
}

impl Matcher {
    /// True when a text starts like a raw matcher, supported or not, and not like a condition.
    pub(crate) fn looks_like_one(text: &str) -> bool {
        let word = Cursor::new(text).peek_word();
        let next = text[word.len()..].chars().next();
        fetch(word).is_some()
            || (!word.is_empty() && next == Some('('))
            || word.starts_with("req.")
            || word.starts_with("res.")
            || word.rsplit_once('_').is_some_and(|(base, end)| {
                SUFFIXES.iter().any(|(suffix, _)| suffix[1..] == *end) || fetch(base).is_some()
            })
    }
}

/// Parses a matcher; the text is trimmed.
pub(super) fn matcher(text: &str) -> Result<Matcher, SyntaxError> {
    if let Some(at) = text.find(['<', '>']) {
        let message = "a raw matcher cannot hold '<' or '>'; in a regular expression write \\x3c or \\x3e";
        return Err(SyntaxError::new(at, message));
    }
    let mut cursor = Cursor::new(text);
    cursor.skip_space();
    let start = cursor.offset();
    let word = cursor.peek_word();
    let Some((base, suffix)) = fetch(word) else { return unknown(&cursor, word) };
    cursor.seek(start + word.len());
    let name = name(&mut cursor, word, base)?;
    if cursor.peek().is_some_and(|c| !is_space(c)) {
        return cursor.error(format!("expected white space after the fetch, found {}", cursor.found()));
    }
    let flags = flags(&mut cursor)?;
    let Some(fetch) = compose(base, suffix, name) else {
        let suffix = SUFFIXES.iter().find(|(_, method)| Some(*method) == suffix).map_or("", |(text, _)| text);
        let message = format!("the suffix '{suffix}' of '{word}' is not supported here");
        return Err(SyntaxError::new(start + word.len() - suffix.len(), message));
    };
    let comparison = comparison(&mut cursor, word, &fetch, suffix, &flags)?;
    Ok(Matcher { fetch, comparison, ignore_case: flags.ignore_case })
}

/// The longest known fetch with a known suffix behind it.
fn fetch(word: &str) -> Option<(Base, Option<Method>)> {
    let base = |word: &str| FETCHES.iter().find(|(text, _)| *text == word).map(|&(_, base)| base);
    if let Some(base) = base(word) {
        return Some((base, None));
    }
    SUFFIXES.iter().find_map(|(suffix, method)| Some((base(word.strip_suffix(suffix)?)?, Some(*method))))
}

fn unknown<T>(cursor: &Cursor<'_>, word: &str) -> Result<T, SyntaxError> {
    let lower = word.to_ascii_lowercase();
    if word.is_empty() {
        return cursor
            .error(format!("expected a fetch such as hdr(name), path or src, found {}", cursor.found()));
    }
    if lower != word && fetch(&lower).is_some() {
        return cursor.error(format!("the fetch '{word}' is not supported, write '{lower}' in lower case"));
    }
    if let Some((base, suffix)) = word.rsplit_once('_')
        && fetch(base).is_some()
    {
        let at = cursor.offset() + base.len();
        let message = format!(
            "the suffix '_{suffix}' of '{word}' is not supported; supported are _beg, _end, _sub, _dir, _dom, _reg, _len, _cnt and _val"
        );
        return Err(SyntaxError::new(at, message));
    }
    let prefixed = format!("req.{word}");
    let mut known: Vec<&str> = FETCHES.iter().map(|&(text, _)| text).collect();
    known.extend([
        "hdr_sub", "hdr_beg", "hdr_end", "hdr_reg", "hdr_cnt", "path_beg", "path_end", "path_sub", "path_reg",
    ]);
    let hint = if fetch(&prefixed).is_some() {
        format!(", write '{prefixed}'")
    } else if let Some(near) = closest(word, &known) {
        format!(", did you mean '{near}'?")
    } else {
        "; supported are hdr(n), req.fhdr(n), cook(n), path, url, query, url_param(n), method, src, dst_port, ssl_fc, always_true and always_false"
            .to_owned()
    };
    cursor.error(format!("the fetch {} is not supported{hint}", cursor.found()))
}

/// The name in parentheses behind a fetch.
fn name(cursor: &mut Cursor<'_>, word: &str, base: Base) -> Result<Option<String>, SyntaxError> {
    let named = matches!(base, Base::Header { .. } | Base::Cookie | Base::UrlParameter);
    let open = cursor.offset();
    if !cursor.eat("(") {
        return if named {
            cursor.error(format!("'{word}' needs a name, write {word}(NAME)"))
        } else {
            Ok(None)
        };
    }
    if !named {
        return Err(SyntaxError::new(open, format!("'{word}' takes no name in parentheses")));
    }
    let start = cursor.offset();
    let name = cursor.take_while(|c| c.is_ascii_graphic() && !matches!(c, '(' | ')' | ',' | '\'' | '"'));
    match cursor.peek() {
        Some(')') if name.is_empty() => cursor.error(format!("the name of '{word}' is empty")),
        Some(')') => {
            cursor.bump();
            Ok(Some(name.to_owned()))
        }
        Some(',') => cursor.error(format!("a second argument of '{word}' is not supported, only the name")),
        None => Err(SyntaxError::new(open, "missing ')' for this '('")),
        Some(_) => {
            let message = format!("the name of '{word}' cannot hold {}", cursor.found());
            Err(SyntaxError::new(cursor.offset().max(start), message))
        }
    }
}

#[derive(Default)]
struct Flags {
    ignore_case: bool,
    /// The argument of `-m`, and where it stands.
    method: Option<(Method, usize)>,
    /// After `--`.
    closed: bool,
}

fn flags(cursor: &mut Cursor<'_>) -> Result<Flags, SyntaxError> {
    let mut flags = Flags::default();
    loop {
        cursor.skip_space();
        let at = cursor.offset();
        let mut ahead = cursor.clone();
        let word = ahead.take_while(|c| !is_space(c));
        // A negative number is a value, not a flag.
        if !word.starts_with('-') || (word.len() > 1 && word[1..].bytes().all(|byte| byte.is_ascii_digit())) {
            return Ok(flags);
        }
        *cursor = ahead;
        match word {
            "-i" => flags.ignore_case = true,
            "--" => {
                flags.closed = true;
                cursor.skip_space();
                return Ok(flags);
            }
            "-m" => {
                cursor.skip_space();
                let at = cursor.offset();
                let argument = cursor.take_while(|c| !is_space(c));
                let Some(&(_, method)) = FLAG_METHODS.iter().find(|(text, _)| *text == argument) else {
                    let message = match argument {
                        "" => "'-m' needs a method".to_owned(),
                        _ => format!("the method '-m {argument}' is not supported"),
                    };
                    let known = "supported are str, beg, end, sub, dir, dom, reg, found and len";
                    return Err(SyntaxError::new(at, format!("{message}; {known}")));
                };
                if flags.method.is_some() {
                    return Err(SyntaxError::new(at, "'-m' is given twice"));
                }
                flags.method = Some((method, at));
            }
            _ => {
                let message = format!(
                    "the flag '{word}' is not supported, only -i and -m are; write -- before values that start with '-'"
                );
                return Err(SyntaxError::new(at, message));
            }
        }
    }
}

/// The fetch that base, suffix and name make; `None` when the suffix does not fit.
fn compose(base: Base, suffix: Option<Method>, name: Option<String>) -> Option<Fetch> {
    let named = name.unwrap_or_default();
    let fetch = match (base, suffix) {
        (Base::Header { whole }, Some(Method::Count)) => Fetch::HeaderCount { name: named, whole },
        (Base::Header { whole: false }, Some(Method::Value)) => Fetch::HeaderNumber(named),
        (Base::Cookie, Some(Method::Count)) => Fetch::CookieCount(named),
        (_, Some(Method::Count | Method::Value)) => return None,
        (Base::Header { whole }, _) => Fetch::Header { name: named, whole },
        (Base::Cookie, _) => Fetch::Cookie(named),
        (Base::UrlParameter, _) => Fetch::UrlParameter(named),
        (Base::Path, _) => Fetch::Path,
        (Base::Url, _) => Fetch::Url,
        (Base::Query, _) => Fetch::Query,
        (Base::Method, _) => Fetch::Method,
        (_, Some(_)) => return None,
        (Base::Source, None) => Fetch::Source,
        (Base::DestinationPort, None) => Fetch::DestinationPort,
        (Base::Tls, None) => Fetch::Tls,
        (Base::Always(value), None) => Fetch::Always(value),
    };
    Some(fetch)
}

fn kind(fetch: &Fetch) -> Kind {
    match fetch {
        Fetch::Header { .. }
        | Fetch::Cookie(_)
        | Fetch::Path
        | Fetch::Url
        | Fetch::Query
        | Fetch::UrlParameter(_)
        | Fetch::Method => Kind::Text,
        Fetch::HeaderCount { .. }
        | Fetch::HeaderNumber(_)
        | Fetch::CookieCount(_)
        | Fetch::DestinationPort => Kind::Number,
        Fetch::Source => Kind::Address,
        Fetch::Tls | Fetch::Always(_) => Kind::Boolean,
    }
}

/// What is compared and with which values. `-m` goes before a suffix.
fn comparison(
    cursor: &mut Cursor<'_>,
    word: &str,
    fetch: &Fetch,
    suffix: Option<Method>,
    flags: &Flags,
) -> Result<Comparison, SyntaxError> {
    let kind = kind(fetch);
    if kind == Kind::Boolean {
        return match flags.method {
            Some((_, at)) => Err(SyntaxError::new(at, format!("'{word}' takes no '-m'"))),
            None if flags.closed || cursor.peek().is_some() => {
                cursor.error(format!("'{word}' takes no values"))
            }
            None => Ok(Comparison::Found),
        };
    }
    let method = match (kind, flags.method) {
        (_, Some((Method::Found, _))) => {
            return if flags.closed || cursor.peek().is_some() {
                cursor.error("'-m found' takes no values")
            } else {
                Ok(Comparison::Found)
            };
        }
        (Kind::Text, Some((method, _))) => method,
        (Kind::Text, None) => suffix.unwrap_or(Method::Equal),
        (_, Some((_, at))) => {
            let what = if kind == Kind::Number { "a number" } else { "an address" };
            return Err(SyntaxError::new(
                at,
                format!("'{word}' is {what}, only '-m found' is supported for it"),
            ));
        }
        (_, None) => Method::Equal,
    };
    let words = words(cursor)?;
    if words.is_empty() {
        let way_out = match kind {
            Kind::Number => "for example 'gt 0'",
            Kind::Address => "for example 10.0.0.0/8",
            _ => "or '-m found' to test that it is there",
        };
        return cursor.error(format!("'{word}' needs at least one value, {way_out}"));
    }
    match kind {
        Kind::Number => return Ok(Comparison::Number(numbers(&words)?)),
        Kind::Address => return Ok(Comparison::Network(networks(&words)?)),
        Kind::Text | Kind::Boolean => {}
    }
    if method == Method::Length {
        return Ok(Comparison::Length(numbers(&words)?));
    }
    operators(&words)?;
    if method == Method::Regex {
        for word in &words {
            let lead = usize::from(word.quoted);
            pattern::bytes(&word.text, flags.ignore_case).map_err(|error| error.shifted(word.at + lead))?;
        }
    }
    let values = words.into_iter().map(|word| word.text).collect();
    Ok(match method {
        Method::Prefix => Comparison::Prefix(values),
        Method::Suffix => Comparison::Suffix(values),
        Method::Substring => Comparison::Substring(values),
        Method::PathSegments => Comparison::PathSegments(values),
        Method::DomainLabels => Comparison::DomainLabels(values),
        Method::Regex => Comparison::Regex(values),
        _ => Comparison::Equal(values),
    })
}

/// The words up to the end. Inside unquoted ones `\ ` stands for a blank.
fn words(cursor: &mut Cursor<'_>) -> Result<Vec<Word>, SyntaxError> {
    let mut words = Vec::new();
    loop {
        cursor.skip_space();
        let at = cursor.offset();
        let text = match cursor.peek() {
            None => return Ok(words),
            Some('\'' | '"') => {
                let text = cursor.quoted()?;
                if cursor.peek().is_some_and(|c| !is_space(c)) {
                    return cursor.error("expected white space after the closing quote");
                }
                words.push(Word { text, quoted: true, at });
                continue;
            }
            Some(_) => {
                let mut text = String::new();
                while let Some(c) = cursor.peek().filter(|&c| !is_space(c)) {
                    cursor.bump();
                    if c == '\\' && cursor.eat(" ") {
                        text.push(' ');
                    } else {
                        text.push(c);
                    }
                }
                text
            }
        };
        words.push(Word { text, quoted: false, at });
    }
}

/// Refuses unquoted operators among the values: taken as values they would silently mean something else.
fn operators(words: &[Word]) -> Result<(), SyntaxError> {
    let operator = |word: &Word| {
        !word.quoted
            && (matches!(word.text.as_str(), "&&" | "||" | "&" | "|")
                || word.text.eq_ignore_ascii_case("and")
                || word.text.eq_ignore_ascii_case("or"))
    };
    match words.iter().find(|word| operator(word)) {
        None => Ok(()),
        Some(word) => Err(SyntaxError::new(
            word.at,
            format!(
                "a raw matcher holds no '{0}'; write < matcher > {0} < matcher >, or quote '{0}' to make it a value",
                word.text
            ),
        )),
    }
}

/// A relation and one integer, or integers to be equal to.
fn numbers(words: &[Word]) -> Result<Vec<NumberTest>, SyntaxError> {
    let relation = |word: &Word| {
        RELATIONS.iter().find(|(text, _)| !word.quoted && *text == word.text).map(|&(_, relation)| relation)
    };
    match words {
        [first, rest @ ..] if relation(first).is_some() => {
            let relation = relation(first).unwrap_or(Relation::Equal);
            match rest {
                [value] => Ok(vec![NumberTest { relation, value: integer(value)? }]),
                [] => Err(SyntaxError::new(first.at, format!("'{}' needs an integer behind it", first.text))),
                [_, second, ..] => {
                    let message = format!("'{}' takes exactly one integer", first.text);
                    Err(SyntaxError::new(second.at, message))
                }
            }
        }
        _ => words
            .iter()
            .map(|word| Ok(NumberTest { relation: Relation::Equal, value: integer(word)? }))
            .collect(),
    }
}

fn integer(word: &Word) -> Result<i64, SyntaxError> {
    let digits = word.text.strip_prefix('-').unwrap_or(&word.text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match word.text.parse() {
        Ok(value) if plain => Ok(value),
        _ => {
            let hint =
                if word.text.contains(':') { "; for a range join two matchers with 'and'" } else { "" };
            let message = format!(
                "expected an integer, or one of eq, gt, ge, lt and le before it, found '{}'{hint}",
                word.text.escape_debug()
            );
            Err(SyntaxError::new(word.at, message))
        }
    }
}

fn networks(words: &[Word]) -> Result<Vec<IpNet>, SyntaxError> {
    words
        .iter()
        .map(|word| match (word.text.parse::<IpNet>(), word.text.parse::<IpAddr>()) {
            (Ok(network), _) => Ok(network.trunc()),
            (_, Ok(address)) => Ok(IpNet::from(address)),
            _ => {
                let found = word.text.escape_debug();
                let message = format!("expected an address or a network such as 10.0.0.0/8, found '{found}'");
                Err(SyntaxError::new(word.at, message))
            }
        })
        .collect()
}
