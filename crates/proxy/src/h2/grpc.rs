//! What a proxy has to know of gRPC: its time-outs, its statuses, and how to say no.

use std::time::Duration;

use crate::h1::head::{Name, Request};
use crate::reply::Own;

const OK: u32 = 0;
const INVALID_ARGUMENT: u32 = 3;
const DEADLINE_EXCEEDED: u32 = 4;
const NOT_FOUND: u32 = 5;
const ALREADY_EXISTS: u32 = 6;
const PERMISSION_DENIED: u32 = 7;
const RESOURCE_EXHAUSTED: u32 = 8;
const FAILED_PRECONDITION: u32 = 9;
const ABORTED: u32 = 10;
const OUT_OF_RANGE: u32 = 11;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;
const CANCELLED: u32 = 1;

/// True for a call: content type `application/grpc`, or one of its kinds. Not for gRPC-Web, whose trailers are a body.
pub(crate) fn is_call(request: &Request, buffer: &[u8]) -> bool {
    const KIND: &[u8] = b"application/grpc";
    request.fields.known(Name::ContentType).any(|field| {
        let value = field.value.of(buffer);
        value.get(..KIND.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
            && matches!(value.get(KIND.len()), None | Some(b'+' | b';' | b' '))
    })
}

/// Reads `grpc-timeout`: at most eight digits and a unit. What cannot be read bounds nothing.
pub(crate) fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The status that a call gets when the proxy answers it.
pub(crate) fn status_of(own: Own) -> u32 {
    match (own.status, own.code) {
        (_, "connect" | "overload") | (502 | 503, _) => UNAVAILABLE,
        (504, _) if own == Own::CONNECT_TIMEOUT => UNAVAILABLE,
        (408 | 504, _) => DEADLINE_EXCEEDED,
        (404 | 405 | 501, _) => UNIMPLEMENTED,
        (414 | 431, _) => RESOURCE_EXHAUSTED,
        _ => INTERNAL,
    }
}

/// The HTTP status that a gRPC status stands for: what figures, health and the access log know is HTTP. The pairs are those of
/// gRPC's own HTTP transcoding.
pub(crate) fn http_status(grpc: u32) -> u16 {
    match grpc {
        OK => 200,
        CANCELLED => 499,
        INVALID_ARGUMENT | FAILED_PRECONDITION | OUT_OF_RANGE => 400,
        UNAUTHENTICATED => 401,
        PERMISSION_DENIED => 403,
        NOT_FOUND => 404,
        ALREADY_EXISTS | ABORTED => 409,
        RESOURCE_EXHAUSTED => 429,
        UNIMPLEMENTED => 501,
        UNAVAILABLE => 503,
        DEADLINE_EXCEEDED => 504,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        let ms = Duration::from_millis;
        for (text, meant) in [
            ("1H", Some(ms(3_600_000))),
            ("2M", Some(ms(120_000))),
            ("10S", Some(ms(10_000))),
            ("99999999m", Some(ms(99_999_999))),
            ("1500u", Some(Duration::from_micros(1500))),
            ("7n", Some(Duration::from_nanos(7))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("", None),
            ("S", None),
            ("1", None),
            ("123456789S", None),
            ("-1S", None),
            ("1.5S", None),
            ("1 S", None),
            ("1s", None),
        ] {
            assert_eq!(timeout(text.as_bytes()), meant, "{text}");
        }
    }

    #[test]
    fn calls() {
        for (kind, call) in [
            ("application/grpc", true),
            ("Application/GRPC", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
            ("application/grp", false),
        ] {
            let (mut request, mut buffer) = (Request::default(), Vec::new());
            request.begin(&mut buffer, "POST", "/a.B/C");
            request.fields.push(&mut buffer, "content-type", kind.as_bytes());
            request.end(&mut buffer);
            assert_eq!(is_call(&request, &buffer), call, "{kind}");
        }
    }

    #[test]
    fn own_answers() {
        for (own, status) in [
            (Own::NO_TARGET, UNAVAILABLE),
            (Own::CONNECT, UNAVAILABLE),
            (Own::CONNECT_TIMEOUT, UNAVAILABLE),
            (Own::CLOSED, UNAVAILABLE),
            (Own::OVERLOAD, UNAVAILABLE),
            (Own::RESPONSE_TIMEOUT, DEADLINE_EXCEEDED),
            (Own::BODY_TIMEOUT, DEADLINE_EXCEEDED),
            (Own::NO_GATEWAY, UNIMPLEMENTED),
            (Own::HEAD_TOO_LARGE, RESOURCE_EXHAUSTED),
            (Own::bad_request("x"), INTERNAL),
        ] {
            assert_eq!(status_of(own), status, "{own:?}");
        }
        for status in 0..32 {
            assert!((200..600).contains(&http_status(status)), "{status}");
        }
    }
}
