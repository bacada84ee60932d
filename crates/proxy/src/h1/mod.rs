//! HTTP/1.1 as bytes: heads, body framing and chunks. No socket, no clock; every rule is a function over a slice.
//!
//! ```text
//! bytes --head--> Request | Response   (spans into the buffer, syntax checked)
//!                     |
//!                 framing --> Body      (where the message ends; anything ambiguous is refused)
//!                     |
//!                  chunked              (payload of a chunked body, compacted in place)
//! ```
//!
//! `httparse` finds the tokens; what it tolerates and a proxy must not (bare line feeds, odd targets, framing that two
//! readers may understand differently) is refused here.

pub(crate) mod chunked;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod target;

#[cfg(test)]
mod chunked_tests;
#[cfg(test)]
mod cost_tests;
#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod response_tests;
