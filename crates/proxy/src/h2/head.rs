//! Heads and trailers between HTTP/2 and lines. What the `h2` crate refuses (pseudo-fields out of order, twice, unknown or missing,
//! fields of a connection, upper case, `te` other than `trailers`, lengths that contradict the data) does not get here.

use bytes::Bytes;
use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request as H2Request, Response as H2Response, StatusCode, Uri, request};
use memchr::{memchr, memchr_iter};

use super::websocket;
use crate::forward;
use crate::h1::chunked::is_forbidden;
use crate::h1::framing::{self, Body};
use crate::h1::head::{Bounds, Name, Refusal, Request, Response};
use crate::h1::target::{is_authority, same_authority};

/// Puts the head of a request into lines.
pub(crate) fn request(
    into: &mut Request,
    buffer: &mut Vec<u8>,
    parts: &request::Parts,
    bounds: Bounds,
    key: impl FnOnce() -> String,
) -> Result<(), Refusal> {
    let protocol = parts.extensions.get::<Protocol>();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let connect = parts.method == Method::CONNECT;
    let method = if protocol.is_some() { "GET" } else { parts.method.as_str() };
    // Begun before anything is refused: what is refused goes to the access log with its method and as much of its target as is read.
    if target.len() > bounds.target {
        into.begin(buffer, method, target.get(..bounds.target).unwrap_or_default());
        return Err(Refusal::new(414, "request target too long"));
    }
    into.begin(buffer, method, target);
    if !connect || protocol.is_some() {
        let rooted = target.starts_with('/') || (target == "*" && parts.method == Method::OPTIONS);
        if !rooted {
            return Err(Refusal::bad("the request target must start with a slash"));
        }
        let scheme = parts.uri.scheme_str().unwrap_or("http");
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(Refusal::bad("only the schemes http and https are served"));
        }
    }
    let fields = &mut into.fields;
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    if let Some(authority) = authority {
        if !is_authority(authority) {
            return Err(Refusal::bad("malformed :authority"));
        }
        fields.push(buffer, "host", authority.as_bytes());
    }
    let mut crumbs = false;
    for (name, value) in &parts.headers {
        let bytes = value.as_bytes();
        if bytes.first().is_some_and(is_blank) || bytes.last().is_some_and(is_blank) {
            return Err(Refusal::bad("white space around a field value"));
        }
        if fields.list.len() >= bounds.fields {
            return Err(Refusal::new(431, "too many header fields"));
        }
        if *name == HOST && authority.is_some() {
            let same =
                authority.zip(value.to_str().ok()).is_some_and(|(left, right)| same_authority(left, right));
            if !same {
                return Err(Refusal::bad("Host and :authority disagree"));
            }
        } else if *name == COOKIE {
            // Crumbs of one cookie list (RFC 9113, 8.2.3).
            if !std::mem::replace(&mut crumbs, true) {
                let all: Vec<&[u8]> =
                    parts.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
                fields.push(buffer, "cookie", &all.join(&b"; "[..]));
            }
        } else {
            fields.push(buffer, name.as_str(), bytes);
        }
        if buffer.len() > bounds.head {
            return Err(Refusal::new(431, "request head too large"));
        }
    }
    if let Some(protocol) = protocol {
        if protocol.as_str() != "websocket" {
            return Err(Refusal::new(501, "only the protocol 'websocket' is offered with CONNECT"));
        }
        fields.push(buffer, "connection", b"Upgrade");
        fields.push(buffer, "upgrade", b"websocket");
        fields.push(buffer, websocket::KEY, key().as_bytes());
    }
    into.end(buffer);
    Ok(())
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Where a request ends: with its head, after the length that it says, or when its stream does.
pub(crate) fn request_framing(request: &Request, buffer: &[u8], ended: bool) -> Result<Body, Refusal> {
    let upgrade = request.fields.connection.upgrade;
    match framing::of_request(request, buffer)? {
        Body::Empty if !ended && !upgrade && request.fields.known(Name::ContentLength).next().is_none() => {
            Ok(Body::Chunked)
        }
        body => Ok(body),
    }
}

/// Puts the head of a response into lines. `empty`: nothing follows, and the lines have to say so.
pub(crate) fn response(
    into: &mut Response,
    buffer: &mut Vec<u8>,
    status: StatusCode,
    headers: &HeaderMap,
    empty: bool,
) -> Result<(), Refusal> {
    if !(100..600).contains(&status.as_u16()) {
        return Err(Refusal::new(502, "status code out of range"));
    }
    into.begin(buffer, status.as_u16(), status.canonical_reason().unwrap_or(""));
    for (name, value) in headers {
        into.fields.push(buffer, name.as_str(), value.as_bytes());
        if into.fields.list.len() > 256 {
            return Err(Refusal::new(502, "too many header fields in the response"));
        }
    }
    if empty && !headers.contains_key(CONTENT_LENGTH) {
        into.fields.push(buffer, "content-length", b"0");
    }
    into.end(buffer);
    Ok(())
}

/// The fields in the lines of a head; those of a connection, and those in `without`, are left out.
fn fields(lines: &[u8], without: &[&str]) -> Option<HeaderMap> {
    // One piece of memory for all values, and no more room than there are fields: maps with room to spare are too large for what the
    // allocator keeps at hand.
    let lines = Bytes::copy_from_slice(lines.get(memchr(b'\n', lines)? + 1..)?);
    let mut map = HeaderMap::with_capacity(memchr_iter(b'\n', &lines).count());
    let mut start = 0;
    while let Some(length) = memchr(b'\n', &lines[start..]) {
        let line = lines[start..start + length].strip_suffix(b"\r")?;
        start += length + 1;
        if line.is_empty() {
            break;
        }
        let colon = memchr(b':', line)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let name = HeaderName::from_bytes(name).ok()?;
        if is_of_connection(name.as_str()) || without.contains(&name.as_str()) {
            continue;
        }
        map.try_append(name, HeaderValue::from_maybe_shared(lines.slice_ref(value)).ok()?).ok()?;
    }
    Some(map)
}

fn is_of_connection(name: &str) -> bool {
    matches!(
        name,
        "connection" | "transfer-encoding" | "upgrade" | "keep-alive" | "proxy-connection" | "http2-settings"
    )
}

/// A request as it goes to a target, from the lines that it would be over HTTP/1.1.
pub(crate) fn to_request(
    lines: &[u8],
    method: &str,
    target: &str,
    (scheme, host): (&str, &str),
    trailers: bool,
    websocket: bool,
) -> Option<H2Request<()>> {
    let mut headers = fields(lines, &["host", websocket::KEY])?;
    if trailers {
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    let uri = Uri::builder().scheme(scheme).authority(host);
    let uri =
        if target == "*" { uri.path_and_query("*") } else { uri.path_and_query(target) }.build().ok()?;
    let method = if websocket { Method::CONNECT } else { Method::from_bytes(method.as_bytes()).ok()? };
    let mut request = H2Request::builder().method(method).uri(uri).body(()).ok()?;
    if websocket {
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    *request.headers_mut() = headers;
    Some(request)
}

/// A response as it goes to a client, from the lines that it would be over HTTP/1.1.
pub(crate) fn to_response(lines: &[u8], status: u16) -> Option<H2Response<()>> {
    let mut response = H2Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    *response.headers_mut() = fields(lines, &[websocket::ACCEPT])?;
    Some(response)
}

/// Trailers out of the lines of a chunked body.
pub(crate) fn trailers_of(lines: &[u8]) -> Option<HeaderMap> {
    if lines.is_empty() {
        return None;
    }
    let mut all = b"\n".to_vec();
    all.extend_from_slice(lines);
    fields(&all, &[])
}

/// Trailers as the lines of a chunked body; what would mean something to framing or routing is left out.
pub(crate) fn trailer_lines(out: &mut Vec<u8>, trailers: &HeaderMap) {
    for (name, value) in trailers.iter().filter(|(name, _)| !is_forbidden(name.as_str())) {
        forward::line(out, name.as_str(), value.as_bytes());
    }
}

/// The trailers that may be passed on.
pub(crate) fn allowed(trailers: HeaderMap) -> HeaderMap {
    if trailers.keys().any(|name| is_forbidden(name.as_str())) {
        trailers
            .iter()
            .filter(|(name, _)| !is_forbidden(name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    } else {
        trailers
    }
}
