//! What must hold for any bytes from a peer. Each function panics where it does not; `fuzz/` feeds them, and so do the
//! properties below. Not part of an ordinary build.

use std::net::{IpAddr, SocketAddr};

use crate::forward::{self, Back, Onward};
use crate::h1::chunked::{Decoder, size_line};
use crate::h1::framing::{self, Body};
use crate::h1::head::{Bounds, Progress, Request, Response, Version};
use crate::h1::target::identify;
use crate::proxy_protocol::fed;

const BOUNDS: Bounds = Bounds { head: 4096, target: 1024, fields: 64 };

/// A request head that is accepted means the same to the target that gets what is written of it.
pub fn request_head(bytes: &[u8]) {
    let mut request = Request::default();
    if request.parse(bytes, BOUNDS) != Ok(Progress::Complete) {
        return;
    }
    assert!(request.len <= bytes.len());
    let head = &bytes[..request.len];
    // What follows does not change what was read, and nothing less would have done.
    let mut again = Request::default();
    assert_eq!(again.parse(head, BOUNDS), Ok(Progress::Complete));
    assert_eq!(again.len, request.len);
    for cut in [request.len - 1, request.len / 2] {
        assert_ne!(Request::default().parse(&head[..cut], BOUNDS), Ok(Progress::Complete));
    }
    let (Ok(identity), Ok(body)) = (identify(&request, bytes), framing::of_request(&request, bytes)) else {
        return;
    };
    let upgrade = body == Body::Empty && forward::may_upgrade(&request, bytes);
    let mut out = Vec::new();
    let onward = Onward {
        method: identity.method,
        target: identity.target,
        host: if identity.host.is_empty() { "made.up" } else { identity.host },
        client: "192.0.2.1",
        forwarded: b"X-Forwarded-Port: 1\r\nX-Forwarded-Proto: http\r\n",
        body,
        upgrade,
        to_gateway: false,
        hops: None,
        expects: false,
        trace: None,
    };
    forward::request(&mut out, &request, bytes, &onward);
    assert_clean(&out);
    let wide = Bounds { head: 64 * 1024, target: 1024, fields: 128 };
    let mut written = Request::default();
    assert_eq!(written.parse(&out, wide), Ok(Progress::Complete), "{}", String::from_utf8_lossy(&out));
    assert_eq!(written.len, out.len());
    assert_eq!(written.version, Version::Http11);
    let seen = identify(&written, &out).expect("a head that was written can be read");
    assert_eq!((seen.method, seen.target), (identity.method, identity.target));
    assert_eq!(seen.host, onward.host);
    assert_eq!(framing::of_request(&written, &out).expect("so can its framing"), body);
    assert_eq!(forward::may_upgrade(&written, &out), upgrade);
}

/// The same for the head of a response and the client.
pub fn response_head(bytes: &[u8]) {
    let mut response = Response::default();
    if response.parse(bytes, BOUNDS) != Ok(Progress::Complete) {
        return;
    }
    assert!(response.len <= bytes.len());
    for cut in [response.len - 1, response.len / 2] {
        assert_ne!(Response::default().parse(&bytes[..cut], BOUNDS), Ok(Progress::Complete));
    }
    let Ok(body) = framing::of_response(&response, bytes, "GET") else { return };
    let chunked = matches!(body, Body::Chunked | Body::UntilClose);
    let back = Back {
        client: Version::Http11,
        keep: true,
        chunked,
        set_cookies: &["vamp_r_x=0.y; Path=/".to_owned()],
        extra: b"Vamp-Gateway: x\r\n",
        from_gateway: false,
    };
    let mut out = Vec::new();
    forward::response(&mut out, &response, bytes, &back);
    check_response(&out, &response, if chunked { Body::Chunked } else { body });
    // One that is passed on byte for byte is one that a strict client reads as we did.
    let plain = Back { set_cookies: &[], extra: b"", ..back };
    if forward::response_is_plain(&response, bytes, &plain) {
        check_response(&bytes[..response.len], &response, body);
    }
}

fn check_response(head: &[u8], read: &Response, body: Body) {
    assert_clean(head);
    let mut written = Response::default();
    let wide = Bounds { head: 64 * 1024, target: 0, fields: 128 };
    assert_eq!(written.parse(head, wide), Ok(Progress::Complete), "{}", String::from_utf8_lossy(head));
    assert_eq!((written.len, written.status, written.version), (head.len(), read.status, Version::Http11));
    assert_eq!(framing::of_response(&written, head, "GET"), Ok(body));
}

/// No byte in a head that some reader could take for the end of a line or of a head.
fn assert_clean(head: &[u8]) {
    let text = head.strip_suffix(b"\r\n\r\n").expect("a head ends with an empty line");
    let mut lines = 0;
    for line in text.split(|byte| *byte == b'\n') {
        lines += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.is_empty() && !line.starts_with(b" ") && !line.starts_with(b"\t"), "{line:?}");
        assert!(line.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)), "{line:?}");
    }
    let ends = text.windows(2).filter(|pair| pair == b"\r\n").count();
    assert_eq!(ends + 1, lines, "a line feed without its return");
}

/// A chunked body is the same however it arrives, and the same again when it is chunked anew. The first byte says how it
/// arrives.
pub fn chunked(bytes: &[u8]) {
    let Some((step, body)) = bytes.split_first() else { return };
    let whole = read(&[body]);
    let parts: Vec<&[u8]> = body.chunks(usize::from(step % 7) + 1).collect();
    assert_eq!(read(&parts), whole);
    let Some((payload, trailers, _)) = whole else { return };
    let mut out = Vec::new();
    for chunk in payload.chunks(usize::from(*step) + 1) {
        size_line(&mut out, chunk.len());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(&trailers);
    out.extend_from_slice(b"\r\n");
    let (again, kept, rest) = read(&[&out]).expect("a body that was written can be read");
    assert_eq!((again, kept, rest), (payload, trailers, Vec::new()));
}

/// Payload, trailers, and what follows a body that is complete.
fn read(parts: &[&[u8]]) -> Option<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let mut decoder = Decoder::default();
    let (mut payload, mut rest) = (Vec::new(), Vec::new());
    for part in parts {
        let mut buffer = part.to_vec();
        let decoded = decoder.decode(&mut buffer).ok()?;
        assert!(decoded.payload.end <= decoded.consumed && decoded.consumed <= buffer.len());
        assert!(decoded.done || decoded.consumed == buffer.len());
        payload.extend_from_slice(&buffer[decoded.payload]);
        rest.extend_from_slice(&buffer[decoded.consumed..]);
    }
    decoder.is_done().then(|| (payload, decoder.trailers().to_vec(), rest))
}

/// Whom a header of the PROXY protocol names is whom a header of either version names that is written for it. Nothing beyond a header
/// is asked for, and nothing less would have done.
pub fn proxy_protocol(bytes: &[u8]) {
    let Some((source, taken)) = fed(bytes) else { return };
    assert!(taken <= bytes.len());
    assert_eq!(fed(&bytes[..taken]), Some((source, taken)));
    for cut in [taken - 1, taken / 2] {
        assert_eq!(fed(&bytes[..cut]), None);
    }
    for header in [line_for(source).into_bytes(), binary_for(source)] {
        assert_eq!(fed(&header), Some((source, header.len())), "{header:x?}");
    }
}

fn line_for(source: Option<SocketAddr>) -> String {
    let Some(source) = source else { return "PROXY UNKNOWN\r\n".into() };
    let (family, to) = if source.is_ipv4() { ("TCP4", "192.0.2.1") } else { ("TCP6", "2001:db8::1") };
    format!("PROXY {family} {} {to} {} 443\r\n", source.ip(), source.port())
}

fn binary_for(source: Option<SocketAddr>) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    let Some(source) = source else {
        header.extend_from_slice(&[0x20, 0, 0, 0]);
        return header;
    };
    let (family, address) = match source.ip() {
        IpAddr::V4(address) => (0x11, address.octets().to_vec()),
        IpAddr::V6(address) => (0x21, address.octets().to_vec()),
    };
    header.extend_from_slice(&[0x21, family, 0, address.len() as u8 * 2 + 4]);
    header.extend_from_slice(&address.repeat(2));
    header.extend_from_slice(&source.port().to_be_bytes());
    header.extend_from_slice(&443_u16.to_be_bytes());
    header
}

#[cfg(test)]
#[path = "../../../fuzz/damage.rs"]
mod damage;

#[cfg(test)]
mod tests {
    use super::damage::damaged;
    use super::*;
    use proptest::prelude::*;

    macro_rules! seed {
        ($name:literal) => {
            include_bytes!(concat!("../../../fuzz/seeds/", $name))
        };
    }

    const REQUESTS: &[&[u8]] = &[
        seed!("request_head/get"),
        seed!("request_head/post"),
        seed!("request_head/upgrade"),
        seed!("request_head/absolute"),
        seed!("request_head/chunked"),
        seed!("request_head/old"),
    ];
    const RESPONSES: &[&[u8]] = &[
        seed!("response_head/plain"),
        seed!("response_head/chunked"),
        seed!("response_head/close"),
        seed!("response_head/odd"),
    ];
    const CHUNKED: &[&[u8]] =
        &[seed!("chunked/plain"), seed!("chunked/extensions"), seed!("chunked/trailers")];
    const HEADERS: &[&[u8]] = &[
        seed!("proxy_protocol/line"),
        seed!("proxy_protocol/line_v6"),
        seed!("proxy_protocol/unknown"),
        seed!("proxy_protocol/binary"),
        seed!("proxy_protocol/binary_v6"),
        seed!("proxy_protocol/local"),
    ];
    const WORDS: &[&str] = &[
        "\r\n",
        "\n",
        "\r",
        "\0",
        " ",
        "\t",
        ":",
        ",",
        ";",
        "%0d%0a",
        "\r\n ",
        "chunked",
        "identity",
        "0x",
        "0\r\n\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Connection: content-length\r\n",
        "Host: b\r\n",
        "Upgrade: h2c\r\n",
        "HTTP/1.0",
        "http://a",
        "X : y\r\n",
        "Vamp-Hops: 1\r\n",
        "fffffffffffffffff",
        "PROXY TCP4 ",
        "::ffff:192.0.2.1",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn request_heads(bytes in damaged(REQUESTS, WORDS)) {
            request_head(&bytes);
        }

        #[test]
        fn response_heads(bytes in damaged(RESPONSES, WORDS)) {
            response_head(&bytes);
        }

        #[test]
        fn proxy_protocol_headers(bytes in damaged(HEADERS, WORDS)) {
            proxy_protocol(&bytes);
        }

        #[test]
        fn chunked_bodies(bytes in damaged(CHUNKED, WORDS)) {
            chunked(&bytes);
        }
    }
}
