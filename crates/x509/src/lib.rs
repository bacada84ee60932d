//! What has to be read from a certificate: its names and when it ends. Whether it is to be trusted is for others to check. Pure.
//!
//! ```text
//! Certificate { TBSCertificate { [0] version, serial, algorithm, issuer, Validity { from, until }, subject, key, .., [3] extensions }, .. }
//! ```

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const DNS_NAME: u8 = 0x82;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17, subject alternative names.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// What a certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// DNS names (RFC 5280, 4.2.1.6), lower case, wildcards as they are.
    pub names: Vec<String>,
    /// The last moment at which it is good.
    pub not_after: Timestamp,
}

/// Reads a certificate in DER; `None` when it is none.
pub fn facts(certificate: &[u8]) -> Option<Facts> {
    let certificate = inside(SEQUENCE, certificate)?;
    let mut fields = inside(SEQUENCE, certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (tag, validity, mut fields) = element(fields)?;
    let (_, _, until) = element(validity)?;
    let (kind, until, _) = element(until)?;
    let not_after = if tag == SEQUENCE { time(kind, until)? } else { return None };
    let mut names = Vec::new();
    // Subject, key, and perhaps unique ids.
    while let Some((tag, content, rest)) = element(fields) {
        if tag == EXTENSIONS {
            names = alternative_names(inside(SEQUENCE, content)?).unwrap_or_default();
        }
        fields = rest;
    }
    Some(Facts { names, not_after })
}

fn alternative_names(mut extensions: &[u8]) -> Option<Vec<String>> {
    while let Some((_, extension, rest)) = element(extensions) {
        extensions = rest;
        let (tag, id, mut value) = element(extension)?;
        if tag != OBJECT || id != ALTERNATIVE_NAMES {
            continue;
        }
        if value.first() == Some(&BOOLEAN) {
            value = element(value)?.2;
        }
        let mut list = inside(SEQUENCE, inside(OCTETS, value)?)?;
        let mut names = Vec::new();
        while let Some((tag, name, rest)) = element(list) {
            list = rest;
            if tag == DNS_NAME
                && let Ok(name) = std::str::from_utf8(name)
                && name.is_ascii()
            {
                names.push(name.trim_end_matches('.').to_ascii_lowercase());
            }
        }
        return Some(names);
    }
    None
}

fn inside(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    element(bytes).filter(|element| element.0 == tag).map(|element| element.1)
}

/// Tag, content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    let (length, bytes) = if first < 0x80 {
        (usize::from(first), bytes)
    } else {
        let size = usize::from(first & 0x7f);
        // Longer lengths are those of no certificate.
        if !(1..=4).contains(&size) {
            return None;
        }
        let (digits, bytes) = bytes.split_at_checked(size)?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), bytes)
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` (of 1950 to 2049) or `YYYYMMDDhhmmssZ`.
fn time(kind: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = match (kind, text.len()) {
        (UTC_TIME, 12) if text < "50" => format!("20{text}"),
        (UTC_TIME, 12) => format!("19{text}"),
        (GENERALIZED_TIME, 14) => text.to_owned(),
        _ => return None,
    };
    let number = |from: usize, until: usize| digits.get(from..until)?.parse::<i8>().ok();
    let time = DateTime::new(
        digits.get(..4)?.parse().ok()?,
        number(4, 6)?,
        number(6, 8)?,
        number(8, 10)?,
        number(10, 12)?,
        number(12, 14)?,
        0,
    );
    time.ok()?.to_zoned_datetime(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(names: &[&str], year: i32) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn names_and_end() {
        for (names, expected, year) in [
            (&["a.example", "*.B.example", "10.1.2.3"][..], &["a.example", "*.b.example"][..], 2030),
            (&["a.example"], &["a.example"], 2056),
            (&[], &[], 2030),
        ] {
            let facts = facts(&made(names, year)).unwrap();
            assert_eq!(facts.names, expected);
            assert_eq!(facts.not_after.to_string(), format!("{year}-02-03T00:00:00Z"));
        }
    }

    #[test]
    fn times_of_both_kinds() {
        let at = |text: &str| text.parse::<Timestamp>().ok();
        for (kind, text, expected) in [
            (UTC_TIME, "260102030405Z", at("2026-01-02T03:04:05Z")),
            (UTC_TIME, "500102030405Z", at("1950-01-02T03:04:05Z")),
            (GENERALIZED_TIME, "20560102030405Z", at("2056-01-02T03:04:05Z")),
            (GENERALIZED_TIME, "20561302030405Z", None),
            (UTC_TIME, "2601020304Z", None),
            (UTC_TIME, "26010203040xZ", None),
            (0, "260102030405Z", None),
        ] {
            assert_eq!(time(kind, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        for bytes in
            [&b""[..], &[0x30], &[0x30, 0x80], &[0x30, 0x85, 1, 1, 1, 1, 1], &[0x30, 2, 0x30, 0], &[0x30; 64]]
        {
            assert_eq!(facts(bytes), None, "{bytes:x?}");
        }
    }

    proptest! {
        /// Whatever stands there, it is read or it is not.
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..800, with: u8) {
            let _ = facts(&bytes);
            let mut bent = made(&["a.example"], 2030);
            let at = at % bent.len();
            bent[at] = with;
            let _ = facts(&bent);
            let _ = facts(&bent[..at]);
        }
    }
}
