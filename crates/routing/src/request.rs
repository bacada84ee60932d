//! The part of a request that a decision looks at.

use std::net::IpAddr;
use std::ops::ControlFlow;

/// Access to the header fields of a request, without copying.
pub trait Fields {
    /// Calls `visit` for each field line called `name` (ASCII case-insensitive), in order, until it breaks.
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>);
}

/// A request head as received, before rewrites.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// Method, as sent.
    pub method: &'a str,
    /// Origin-form target: path and query.
    pub target: &'a str,
    /// Host header or `:authority`, as sent, possibly with a port; empty when there is none.
    pub host: &'a str,
    /// Header fields.
    pub fields: &'a dyn Fields,
    /// Address of the client.
    pub source: IpAddr,
    /// Port of the gateway.
    pub port: u16,
    /// True on TLS.
    pub tls: bool,
}

/// Fields as a plain list; for tests and the route test of the API.
impl Fields for [(String, String)] {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) {
        for (_, value) in self.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)) {
            if visit(value.as_bytes()).is_break() {
                return;
            }
        }
    }
}

impl<T> Fields for Vec<T>
where
    [T]: Fields,
{
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) {
        self.as_slice().each(name, visit);
    }
}
