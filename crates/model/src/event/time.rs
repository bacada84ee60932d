//! Times in events and event queries.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// An ISO 8601 date and time with zone or offset; also the looser forms that YAML knows as timestamps (D30): a blank before
/// the time or before the offset, one-digit offsets, lower-case `t`.
pub(super) fn zoned(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (at, zone) = split_zone(text)?;
    let civil = civil(at)?;
    let offset = offset_seconds(zone)?;
    let utc = TimeZone::UTC.to_timestamp(civil).ok()?;
    utc.checked_sub(SignedDuration::from_secs(offset)).ok()
}

/// One end of a time range: `now`, `now-10m`, or ISO 8601; without a zone it is UTC.
pub(super) fn bound(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("now") {
        return before(now, rest);
    }
    zoned(text).or_else(|| TimeZone::UTC.to_timestamp(civil(text)?).ok())
}

/// `-30s`, `-10m`, `-2h`, `-1d`, several of them, or nothing.
fn before(now: Timestamp, offsets: &str) -> Option<Timestamp> {
    let mut at = now;
    let mut rest = offsets.trim();
    while !rest.is_empty() {
        let body = rest.strip_prefix('-')?;
        let digits = body.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = body[..digits].parse().ok()?;
        let seconds = match body[digits..].chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        at = at.checked_sub(SignedDuration::from_secs(number.checked_mul(seconds)?)).ok()?;
        rest = &body[digits + 1..];
    }
    Some(at)
}

/// A date and time, or a date alone. The day and the time are separated by `T`, `t` or blanks.
fn civil(text: &str) -> Option<DateTime> {
    let text = text.trim();
    let valid = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'.' | b',' | b'T' | b't' | b' '));
    if !valid || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => format!("{date}T{}", time.trim()).parse().ok(),
        None => text.parse().ok(),
    }
}

/// Splits a date and time from its `Z` or offset. The time must be there: a `-` of the date is no offset.
fn split_zone(text: &str) -> Option<(&str, &str)> {
    let time = text.find(':')?;
    let zone = text[time..].find(['Z', 'z', '+', '-'])? + time;
    Some((&text[..zone], &text[zone..]))
}

/// `Z`, `+1`, `+01`, `+0100`, `+01:00`, in seconds.
fn offset_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, zone.strip_prefix('-')?),
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if rest.len() == 4 => rest.split_at_checked(2)?,
        None => (rest, "00"),
    };
    let digits = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}
