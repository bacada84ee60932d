//! Where a message ends (RFC 9112, 6.3), decided once and strictly. What is ambiguous is refused, never repaired: a
//! proxy that guesses differently from the server behind it lets one client speak in another's name.

use super::head::{Fields, Name, Refusal, Request, Response, Version};

/// How the body of a message is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// There is none.
    Empty,
    /// That many bytes, more than none.
    Length(u64),
    /// Chunked.
    Chunked,
    /// Everything until the server closes; responses only.
    UntilClose,
}

/// Framing of a request.
pub(crate) fn of_request(request: &Request, buffer: &[u8]) -> Result<Body, Refusal> {
    let length = content_length(&request.fields, buffer)?;
    match (transfer_encoding(&request.fields, buffer)?, length) {
        (true, _) if request.version == Version::Http10 => {
            Err(Refusal::bad("Transfer-Encoding in an HTTP/1.0 request"))
        }
        (true, Some(_)) => Err(Refusal::bad("both Content-Length and Transfer-Encoding")),
        (true, None) => Ok(Body::Chunked),
        (false, Some(0) | None) => Ok(Body::Empty),
        (false, Some(length)) => Ok(Body::Length(length)),
    }
}

/// Framing of a final response to a request with that method.
pub(crate) fn of_response(response: &Response, buffer: &[u8], method: &str) -> Result<Body, Refusal> {
    let bad = |refusal: Refusal| Refusal::new(502, refusal.message);
    let length = content_length(&response.fields, buffer).map_err(bad)?;
    let chunked = transfer_encoding(&response.fields, buffer).map_err(bad)?;
    if chunked && length.is_some() {
        return Err(Refusal::new(502, "both Content-Length and Transfer-Encoding"));
    }
    if chunked && response.version == Version::Http10 {
        return Err(Refusal::new(502, "Transfer-Encoding in an HTTP/1.0 response"));
    }
    if method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304) {
        return Ok(Body::Empty);
    }
    Ok(match (chunked, length) {
        (true, _) => Body::Chunked,
        (false, Some(0)) => Body::Empty,
        (false, Some(length)) => Body::Length(length),
        (false, None) => Body::UntilClose,
    })
}

fn content_length(fields: &Fields, buffer: &[u8]) -> Result<Option<u64>, Refusal> {
    let mut lines = fields.known(Name::ContentLength);
    let Some(first) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(Refusal::bad("more than one Content-Length"));
    }
    let value = first.value.of(buffer);
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).unwrap_or_default();
    match text.parse::<u64>() {
        Ok(length) if digits => Ok(Some(length)),
        _ => Err(Refusal::bad("malformed Content-Length")),
    }
}

/// True for exactly one `Transfer-Encoding: chunked`; anything else in that field is refused.
fn transfer_encoding(fields: &Fields, buffer: &[u8]) -> Result<bool, Refusal> {
    let mut lines = fields.known(Name::TransferEncoding);
    let Some(first) = lines.next() else { return Ok(false) };
    if lines.next().is_some() {
        return Err(Refusal::bad("more than one Transfer-Encoding"));
    }
    if first.value.of(buffer).eq_ignore_ascii_case(b"chunked") {
        Ok(true)
    } else {
        Err(Refusal::bad("only the transfer coding 'chunked' is accepted"))
    }
}
