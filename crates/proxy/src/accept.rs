//! What the head of a request says, once it is found acceptable; the same for every version of HTTP.

use std::ops::ControlFlow;

use routing::request::{Fields, RequestHead};

use crate::connection::Client;
use crate::forward;
use crate::h1::framing::Body;
use crate::h1::head::{Name, Refusal, Request, Version};
use crate::h1::target::{Identity, identify};
use crate::h2::websocket;
use crate::recent::RecentRequest;
use crate::reply::Own;
use crate::table::Served;

/// The header fields of a request, for decisions.
pub(crate) struct Lines<'a> {
    pub(crate) request: &'a Request,
    pub(crate) buffer: &'a [u8],
}

impl Fields for Lines<'_> {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) {
        self.request.fields.each(self.buffer, name, visit);
    }
}

/// What the head of a request says, once it is found acceptable.
pub(crate) struct Accepted<'a> {
    pub(crate) identity: Identity<'a>,
    pub(crate) body: Body,
    pub(crate) expects: bool,
    pub(crate) upgrade: bool,
    /// The only upgrade that there is over HTTP/2; others are left out there, as an `Upgrade` may always be.
    pub(crate) websocket: bool,
    pub(crate) hops: u32,
}

/// Reads a head. `framing` says where the message ends; `hops` is how many gateways a request may pass.
pub(crate) fn accept<'a>(
    request: &Request,
    buffer: &'a [u8],
    hops: u32,
    framing: impl FnOnce(&Request, &[u8]) -> Result<Body, Refusal>,
) -> Result<Accepted<'a>, Own> {
    let identity = identify(request, buffer)?;
    let body = framing(request, buffer)?;
    let mut expects = false;
    for field in request.fields.known(Name::Expect) {
        if !field.value.of(buffer).eq_ignore_ascii_case(b"100-continue") {
            return Err(Own::EXPECTATION);
        }
        expects = request.version == Version::Http11 && body != Body::Empty;
    }
    let mut passed = 0;
    for field in request.fields.known(Name::VampHops) {
        let text = std::str::from_utf8(field.value.of(buffer)).unwrap_or_default();
        passed = passed.max(text.parse().unwrap_or(0));
    }
    if passed >= hops {
        return Err(Own::LOOP);
    }
    let upgrade = body == Body::Empty && forward::may_upgrade(request, buffer);
    let websocket = upgrade && identity.method == "GET" && websocket::is_asked_for(request, buffer);
    Ok(Accepted { identity, body, expects, upgrade, websocket, hops: passed })
}

/// A request as decisions see it.
pub(crate) fn view<'a>(
    client: &Client,
    served: &Served,
    identity: &Identity<'a>,
    lines: &'a Lines<'a>,
) -> RequestHead<'a> {
    RequestHead {
        method: identity.method,
        target: identity.target,
        host: identity.host,
        fields: lines,
        source: client.peer.ip().to_canonical(),
        port: served.gateway.config.port.unwrap_or(client.listener.port()),
        tls: client.stream.tls().is_some(),
    }
}

/// True when the client asks who serves it, and may.
pub(crate) fn wants_debug(client: &Client, view: &RequestHead<'_>, lines: &Lines<'_>) -> bool {
    lines.request.fields.known(Name::VampDebug).any(|field| field.value.of(lines.buffer) == b"1")
        && client.worker.shared.settings.debug_sources.iter().any(|net| net.contains(&view.source))
}

/// Shows the head to whoever looks at the last requests.
pub(crate) fn show(client: &Client, served: &Served, view: &RequestHead<'_>, lines: &Lines<'_>) {
    let head = || seen(view, lines.request, lines.buffer);
    client.worker.shared.recent.offer(&served.gateway.config.name, head);
}

#[cold]
fn seen(view: &RequestHead<'_>, request: &Request, buffer: &[u8]) -> RecentRequest {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = request.fields.list.iter();
    RecentRequest {
        method: view.method.to_owned(),
        target: view.target.to_owned(),
        host: view.host.to_owned(),
        fields: fields.map(|field| (text(field.name.of(buffer)), text(field.value.of(buffer)))).collect(),
        source: view.source,
        tls: view.tls,
    }
}
