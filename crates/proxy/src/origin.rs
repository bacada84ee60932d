//! Whether a request may be served on the connection that it came on: scheme and name must be those of its gateway.

use crate::connection::Client;
use crate::h1::target::Identity;
use crate::listener::Key;
use crate::reply::Own;
use crate::table::Served;

/// What becomes of a request on the connection that it came on.
pub(crate) enum Verdict {
    Serve,
    /// To be answered by the proxy, with these header lines.
    Answer(Own, String),
}

/// A plain request for a gateway that redirects is sent to https, and one that came with TLS under the name of another gateway is
/// refused (RFC 9110, 15.5.20).
pub(crate) fn check(client: &Client, served: &Served, identity: &Identity<'_>) -> Verdict {
    match client.listener.key() {
        Key::Port(_) => Verdict::Serve,
        Key::VirtualHosts => match &served.tls {
            Some(tls) if tls.redirects() => redirect(client, identity),
            _ => Verdict::Serve,
        },
        Key::VirtualHostsTls => {
            let name = client.stream.tls().and_then(|tls| tls.server_name()).unwrap_or_default();
            // The usual case first. A certificate is shown for one gateway, and its requests are for no other.
            let same = identity.host.eq_ignore_ascii_case(name)
                || client
                    .listener
                    .gateway(&client.worker, name)
                    .is_some_and(|asked| asked.gateway.config.name == served.gateway.config.name);
            if same { Verdict::Serve } else { Verdict::Answer(Own::MISDIRECTED, String::new()) }
        }
    }
}

/// The same address with https. Where the client named a port it is that of the listener for TLS; where it did not, somebody maps the
/// well-known ports, and it is left to them.
fn redirect(client: &Client, identity: &Identity<'_>) -> Verdict {
    let (host, port) = match identity.host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (identity.host, None),
    };
    // `OPTIONS *` is about the server as a whole.
    let target = if identity.target == "*" { "/" } else { identity.target };
    let tls = client.worker.shared.settings.virtual_host_tls_listen.map(|address| address.port());
    let location = match (port, tls) {
        (Some(_), Some(tls)) if tls != 443 => format!("https://{host}:{tls}{target}"),
        _ => format!("https://{host}{target}"),
    };
    Verdict::Answer(Own::USE_TLS, format!("Location: {location}\r\n"))
}
