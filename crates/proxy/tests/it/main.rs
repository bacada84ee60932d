//! The proxy on real sockets: raw clients, fake targets.

mod basics;
mod support;
