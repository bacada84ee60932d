//! The handshake of WebSocket (RFC 6455), which HTTP/2 does without (RFC 8441): where one side speaks HTTP/1.1 and the other
//! HTTP/2, the proxy does the part that is missing.

use std::ops::ControlFlow;

use routing::decide::Dice;
use sha1::{Digest, Sha1};

use crate::h1::head::{Name, Request, tokens};

pub(crate) const KEY: &str = "sec-websocket-key";
pub(crate) const ACCEPT: &str = "sec-websocket-accept";
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether the head of a `GET` over HTTP/1.1 with an upgrade asks for WebSocket, and for nothing else (RFC 6455, 4.1).
pub(crate) fn is_asked_for(request: &Request, buffer: &[u8]) -> bool {
    let mut protocols = request.fields.known(Name::Upgrade).flat_map(|field| tokens(field.value.of(buffer)));
    let mut key = false;
    request.fields.each(buffer, KEY, &mut |_| {
        key = true;
        ControlFlow::Break(())
    });
    key && protocols.all(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

/// A fresh key. It only has to be new to caches between us and the target.
pub(crate) fn key(dice: &mut impl Dice) -> String {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&dice.roll().to_le_bytes());
    bytes[8..].copy_from_slice(&dice.roll().to_le_bytes());
    base64(&bytes)
}

/// What a server answers to a key.
pub(crate) fn accept(key: &[u8]) -> String {
    base64(&Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * index)) as usize & 63];
            out.push(if index <= group.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_the_one_of_the_standard() {
        // RFC 6455, 1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(base64(b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(base64(b"ab"), "YWI=");
        assert_eq!(base64(b"abc"), "YWJj");
    }
}
