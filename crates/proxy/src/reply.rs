//! Responses that the proxy makes itself. Each says so in `Vamp-Proxy-Error`: whether the application or the proxy
//! answered is never a question.

use crate::h1::head::Refusal;

/// Why the proxy answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) status: u16,
    /// The word in `Vamp-Proxy-Error`, metrics and body.
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
}

impl Own {
    const fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }

    pub(crate) const NO_GATEWAY: Self = Self::new(404, "no_gateway", "no gateway serves this host");
    pub(crate) const GATEWAY_GONE: Self = Self::new(503, "no_gateway", "this gateway was removed");
    pub(crate) const NO_TARGET: Self =
        Self::new(503, "no_target", "no route of this gateway has a target for this request");
    pub(crate) const CONNECT: Self = Self::new(503, "connect", "no connection to a target could be made");
    pub(crate) const TLS: Self =
        Self::new(502, "tls", "the target could not be spoken to with TLS, or its certificate is not good");
    pub(crate) const CONNECT_TIMEOUT: Self =
        Self::new(504, "timeout", "connecting to the target took too long");
    pub(crate) const RESPONSE_TIMEOUT: Self = Self::new(504, "timeout", "the target did not answer in time");
    pub(crate) const HEAD_TIMEOUT: Self = Self::new(408, "timeout", "the request head took too long");
    pub(crate) const BODY_TIMEOUT: Self = Self::new(408, "timeout", "the request body took too long");
    pub(crate) const CLOSED: Self =
        Self::new(502, "bad_response", "the target closed the connection without an answer");
    pub(crate) const RESET: Self = Self::new(502, "bad_response", "the target gave up the request");
    pub(crate) const HEAD_TOO_LARGE: Self = Self::new(431, "bad_request", "request head too large");
    pub(crate) const LOOP: Self = Self::new(508, "loop", "the request passed too many gateways");
    pub(crate) const MISDIRECTED: Self =
        Self::new(421, "misdirected", "this connection was made for the host of another gateway");
    pub(crate) const TLS_EXPECTED: Self =
        Self::new(400, "bad_request", "TLS is expected on this port; use https://");
    pub(crate) const USE_TLS: Self = Self::new(308, "redirect", "this host is served by https");
    pub(crate) const OVERLOAD: Self = Self::new(503, "overload", "too many connections");
    pub(crate) const TARGETS_FULL: Self =
        Self::new(503, "overload", "the targets of this route have as many requests as they may");
    pub(crate) const EXPECTATION: Self =
        Self::new(417, "bad_request", "only the expectation '100-continue' can be met");

    pub(crate) const fn bad_response(message: &'static str) -> Self {
        Self::new(502, "bad_response", message)
    }

    pub(crate) const fn bad_request(message: &'static str) -> Self {
        Self::new(400, "bad_request", message)
    }

    /// Writes the whole response. `with_body` is false for HEAD.
    pub(crate) fn write(&self, out: &mut Vec<u8>, connection: &str, with_body: bool, extra: &[u8]) {
        let plain = self.status == 404;
        let body = if plain {
            format!("{}\n", self.message)
        } else {
            format!("{{\"message\":\"{}\",\"code\":\"{}\"}}\n", self.message, self.code)
        };
        let kind = if plain { "text/plain; charset=utf-8" } else { "application/json" };
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             Vamp-Proxy-Error: {}\r\n{connection}",
            self.status,
            phrase(self.status),
            body.len(),
            self.code
        );
        out.extend_from_slice(head.as_bytes());
        if self.status == 405 {
            out.extend_from_slice(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
        }
        out.extend_from_slice(extra);
        out.extend_from_slice(b"\r\n");
        if with_body {
            out.extend_from_slice(body.as_bytes());
        }
    }
}

impl From<Refusal> for Own {
    fn from(refusal: Refusal) -> Self {
        let code = if refusal.status == 502 { "bad_response" } else { "bad_request" };
        Self::new(refusal.status, code, refusal.message)
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        308 => "Permanent Redirect",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        501 => "Not Implemented",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "Error",
    }
}
