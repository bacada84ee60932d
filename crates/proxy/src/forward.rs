//! Heads on their way through: what is passed on as it is, what is dropped and what is added (spec: gateways 13, R33).

use std::ops::Range;

use routing::decide::is_own_cookie;

use crate::h1::framing::Body;
use crate::h1::head::{Field, Fields, Name, Request, Response, Version, tokens};
use crate::trace::Part;

/// What the proxy decides about a request head.
pub(crate) struct Onward<'a> {
    pub(crate) method: &'a str,
    /// After rewrites.
    pub(crate) target: &'a str,
    /// Host to add when the request has none, or to put in place of it (absolute form).
    pub(crate) host: &'a str,
    /// Address of the client as text.
    pub(crate) client: &'a str,
    /// `X-Forwarded-Port` and `X-Forwarded-Proto` lines of the listener.
    pub(crate) forwarded: &'a [u8],
    pub(crate) body: Body,
    /// The protocol switch asked for is passed on.
    pub(crate) upgrade: bool,
    /// The target is a gateway of this environment.
    pub(crate) to_gateway: bool,
    /// Gateways passed so far, told wherever a gateway may be: also an external address can lead back here.
    pub(crate) hops: Option<u32>,
    /// `Expect: 100-continue` is passed on.
    pub(crate) expects: bool,
    /// The proxy's own part in the trace, which takes the place of what came.
    pub(crate) trace: Option<&'a Part>,
}

/// Writes the head of the request to a target.
pub(crate) fn request(out: &mut Vec<u8>, request: &Request, buffer: &[u8], onward: &Onward<'_>) {
    for part in [onward.method, " ", onward.target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let fields = &request.fields;
    copy_fields(out, fields, buffer, |out, field| match field.known {
        Name::ContentLength
        | Name::ForwardedFor
        | Name::ForwardedPort
        | Name::ForwardedProto
        | Name::VampDebug
        | Name::VampHops => Keep::No,
        Name::Expect if !onward.expects => Keep::No,
        Name::TraceParent if onward.trace.is_some() => Keep::No,
        // A trace that begins here knows nothing of what others noted in another one.
        Name::TraceState if onward.trace.is_some_and(|part| part.parent.is_none()) => Keep::No,
        Name::Host => Keep::Yes,
        Name::Cookie if fields.is_nominated(buffer, field) => Keep::No,
        // The gateways further down a chain need theirs; the last one takes all of them out.
        Name::Cookie if onward.to_gateway => Keep::Yes,
        Name::Cookie => cookie(out, field.value.of(buffer)),
        name if name.is_hop_by_hop() => Keep::No,
        _ if fields.is_nominated(buffer, field) => Keep::No,
        _ => Keep::Yes,
    });
    if !onward.host.is_empty() && fields.known(Name::Host).next().is_none() {
        line(out, "Host", onward.host.as_bytes());
    }
    match onward.body {
        Body::Length(length) => number_line(out, "Content-Length", length),
        Body::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        // A request without body says so only if it said so, or if its method makes servers wonder.
        Body::Empty if fields.known(Name::ContentLength).next().is_some() => {
            out.extend_from_slice(b"Content-Length: 0\r\n");
        }
        Body::Empty | Body::UntilClose => {}
    }
    if onward.upgrade {
        out.extend_from_slice(b"Connection: upgrade\r\n");
        for field in fields.known(Name::Upgrade) {
            out.extend_from_slice(field.line.of(buffer));
        }
    }
    out.extend_from_slice(b"X-Forwarded-For: ");
    for field in fields.known(Name::ForwardedFor).filter(|field| !field.value.of(buffer).is_empty()) {
        out.extend_from_slice(field.value.of(buffer));
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(onward.client.as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(onward.forwarded);
    if let Some(part) = onward.trace {
        line(out, "traceparent", &part.own.text());
    }
    if let Some(hops) = onward.hops {
        number_line(out, "Vamp-Hops", u64::from(hops));
    }
    out.extend_from_slice(b"\r\n");
}

/// What the proxy decides about a response head.
pub(crate) struct Back<'a> {
    pub(crate) client: Version,
    /// The connection to the client goes on after this response.
    pub(crate) keep: bool,
    /// Framing towards the client.
    pub(crate) chunked: bool,
    pub(crate) set_cookies: &'a [String],
    /// Lines to add, each with CRLF.
    pub(crate) extra: &'a [u8],
    /// The target is another gateway, whose `Vamp-Proxy-Error` is genuine.
    pub(crate) from_gateway: bool,
}

/// True when a response head can be passed on byte for byte.
pub(crate) fn response_is_plain(response: &Response, buffer: &[u8], back: &Back<'_>) -> bool {
    back.client == Version::Http11
        && back.keep
        && !back.chunked
        && back.set_cookies.is_empty()
        && back.extra.is_empty()
        && response.version == Version::Http11
        && response.status != 204
        && response.fields.list.iter().all(|field| match field.known {
            Name::ContentLength => is_canonical(field.value.of(buffer)),
            Name::VampProxyError => back.from_gateway,
            name => !name.is_hop_by_hop(),
        })
}

/// Writes the head of the response to the client.
pub(crate) fn response(out: &mut Vec<u8>, response: &Response, buffer: &[u8], back: &Back<'_>) {
    status_line(out, response, buffer);
    let fields = &response.fields;
    let private = !back.set_cookies.is_empty();
    let mut cached = false;
    copy_fields(out, fields, buffer, |out, field| match field.known {
        Name::ContentLength if response.status == 204 || back.chunked => Keep::No,
        Name::ContentLength if !is_canonical(field.value.of(buffer)) => {
            let value = field.value.of(buffer);
            let zeros = value.iter().take_while(|b| **b == b'0').count().min(value.len() - 1);
            line(out, "Content-Length", &value[zeros..]);
            Keep::Replaced
        }
        Name::VampProxyError if !back.from_gateway => Keep::No,
        Name::CacheControl if private => {
            cached = true;
            private_cache_control(out, field.value.of(buffer));
            Keep::Replaced
        }
        name if name.is_hop_by_hop() => Keep::No,
        _ if fields.is_nominated(buffer, field) => Keep::No,
        _ => Keep::Yes,
    });
    if back.chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if private && !cached {
        out.extend_from_slice(b"Cache-Control: private\r\n");
    }
    for value in back.set_cookies {
        line(out, "Set-Cookie", value.as_bytes());
    }
    out.extend_from_slice(back.extra);
    out.extend_from_slice(connection_line(back.client, back.keep).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim response (1xx) or, with `switches`, the 101 that ends HTTP on this connection.
pub(crate) fn interim(out: &mut Vec<u8>, response: &Response, buffer: &[u8], switches: bool, extra: &[u8]) {
    status_line(out, response, buffer);
    copy_fields(out, &response.fields, buffer, |_, field| match field.known {
        Name::ContentLength | Name::VampProxyError => Keep::No,
        Name::Upgrade if switches => Keep::Yes,
        name if name.is_hop_by_hop() => Keep::No,
        _ if response.fields.is_nominated(buffer, field) => Keep::No,
        _ => Keep::Yes,
    });
    if switches {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    }
    out.extend_from_slice(extra);
    out.extend_from_slice(b"\r\n");
}

/// What to say to a client about the future of its connection.
pub(crate) fn connection_line(client: Version, keep: bool) -> &'static str {
    match (client, keep) {
        (Version::Http11, true) => "",
        (Version::Http10, true) => "Connection: keep-alive\r\n",
        (_, false) => "Connection: close\r\n",
    }
}

/// True when every `Upgrade` protocol asked for may be passed on. A switch to HTTP/2 would take the connection out of the
/// proxy's sight, so `h2c` is not.
pub(crate) fn may_upgrade(request: &Request, buffer: &[u8]) -> bool {
    let mut asked = false;
    for field in request.fields.known(Name::Upgrade) {
        for token in tokens(field.value.of(buffer)) {
            asked = true;
            let name = token.split(|b| *b == b'/').next().unwrap_or_default();
            if name.eq_ignore_ascii_case(b"h2c") || name.eq_ignore_ascii_case(b"h2") || token.is_empty() {
                return false;
            }
        }
    }
    asked && request.fields.connection.upgrade && request.version == Version::Http11
}

enum Keep {
    Yes,
    No,
    /// The line was written in another form.
    Replaced,
}

/// Copies the lines that `judge` keeps, runs of them in one piece.
fn copy_fields(
    out: &mut Vec<u8>,
    fields: &Fields,
    buffer: &[u8],
    mut judge: impl FnMut(&mut Vec<u8>, &Field) -> Keep,
) {
    let mut run: Range<usize> = 0..0;
    let mut scratch = Vec::new();
    for field in &fields.list {
        let line = field.line.start()..field.line.end();
        match judge(&mut scratch, field) {
            Keep::Yes if run.end == line.start => run.end = line.end,
            Keep::Yes => {
                out.extend_from_slice(&buffer[run]);
                run = line;
            }
            Keep::No => {}
            Keep::Replaced => {
                out.extend_from_slice(&buffer[run]);
                run = 0..0;
                out.append(&mut scratch);
            }
        }
    }
    out.extend_from_slice(&buffer[run]);
}

/// Takes Vamp's own cookies out of a Cookie field.
fn cookie(out: &mut Vec<u8>, value: &[u8]) -> Keep {
    let own = |pair: &[u8]| {
        let name = pair.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
        std::str::from_utf8(name).is_ok_and(is_own_cookie)
    };
    if !value.windows(5).any(|part| part == b"vamp_") {
        return Keep::Yes;
    }
    let mut written = false;
    for pair in value.split(|b| *b == b';').filter(|pair| !own(pair) && !pair.trim_ascii().is_empty()) {
        out.extend_from_slice(if written { b"; " } else { b"Cookie: " });
        out.extend_from_slice(pair.trim_ascii());
        written = true;
    }
    if !written {
        return Keep::No;
    }
    out.extend_from_slice(b"\r\n");
    Keep::Replaced
}

/// A response that sets a sticky cookie must not be handed to others by a shared cache (section 12).
fn private_cache_control(out: &mut Vec<u8>, value: &[u8]) {
    let name = |token: &[u8]| token.split(|b| *b == b'=').next().unwrap_or_default().to_ascii_lowercase();
    out.extend_from_slice(b"Cache-Control: private");
    for token in tokens(value) {
        if !matches!(name(token).as_slice(), b"" | b"public" | b"s-maxage" | b"private") {
            out.extend_from_slice(b", ");
            out.extend_from_slice(token);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut Vec<u8>, response: &Response, buffer: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    number(out, u64::from(response.status));
    out.push(b' ');
    out.extend_from_slice(response.reason.of(buffer));
    out.extend_from_slice(b"\r\n");
}

fn is_canonical(length: &[u8]) -> bool {
    length == b"0" || !length.starts_with(b"0")
}

pub(crate) fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn number_line(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    number(out, value);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests;
