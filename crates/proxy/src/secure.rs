//! Client connections with TLS: the handshake before everything else. What a request on one must fit is in [`crate::origin`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::connection::{self, Client};
use crate::exchange;
use crate::listener::Key;
use crate::reply::Own;
use crate::tcp;
use crate::tls::HandshakeFault;

/// TLS handshakes with clients since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshakes {
    /// Those that led to a session.
    pub done: u64,
    /// Those that did not, by what was in the way: `closed`, `timeout`, `not_tls`, `no_certificate`, `refused`.
    pub failed: [(&'static str, u64); CODES.len()],
}

const CODES: [&str; 5] = ["closed", "timeout", "not_tls", "no_certificate", "refused"];

impl Default for Handshakes {
    fn default() -> Self {
        Counts::default().read()
    }
}

/// Counts handshakes, for all workers: beside what a handshake costs, sharing costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    done: AtomicU64,
    failed: [AtomicU64; CODES.len()],
}

impl Counts {
    fn count(&self, result: Result<(), &str>) {
        let counter = match result {
            Ok(()) => Some(&self.done),
            Err(code) => CODES.iter().position(|known| *known == code).map(|index| &self.failed[index]),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Handshakes {
        let failed = std::array::from_fn(|index| (CODES[index], self.failed[index].load(Relaxed)));
        Handshakes { done: self.done.load(Relaxed), failed }
    }
}

/// Serves a connection that begins with a handshake. What is answered are the first bytes of a client that speaks HTTP/2.
pub(crate) async fn serve(client: &Client, tcp: bool) -> Option<Vec<u8>> {
    // Boxed: it is over soon, and its state is large.
    if let Err(fault) = Box::pin(handshake(client)).await {
        client.worker.shared.handshakes.count(Err(fault.code()));
        Box::pin(turn_away(client, fault, tcp)).await;
        return None;
    }
    client.worker.shared.handshakes.count(Ok(()));
    if tcp {
        Box::pin(tcp::serve(client)).await;
        return None;
    }
    connection::serve(client).await
}

async fn handshake(client: &Client) -> Result<(), HandshakeFault> {
    let worker = &client.worker;
    client.watch.set(worker.shared.settings.limits.head_timeout);
    let choose = |name: Option<&str>| {
        // On a port there is one gateway, whatever the name; on the shared listener the name decides.
        let served = match (client.listener.key(), name) {
            (Key::VirtualHostsTls, None) => None,
            (_, name) => client.listener.gateway(worker, name.unwrap_or_default()),
        };
        served?.tls.as_ref()?.config()
    };
    client.stream.accept_tls(&client.watch, &worker.buffers, choose).await
}

/// Ends a connection without a session.
async fn turn_away(client: &Client, fault: HandshakeFault, tcp: bool) {
    match fault {
        HandshakeFault::NotTls if !tcp => {
            // Whoever speaks HTTP here understands this.
            exchange::refuse_head(client, Own::TLS_EXPECTED).await;
            connection::linger(client).await;
        }
        HandshakeFault::NoCertificate(name) => {
            let name = name.as_deref().unwrap_or("(none)");
            tracing::warn!(
                name,
                port = client.listener.port(),
                peer = %client.peer,
                "a client asked with TLS for a name that no gateway has a certificate for"
            );
            connection::linger(client).await;
        }
        HandshakeFault::Refused(reason) => {
            tracing::debug!(reason, port = client.listener.port(), peer = %client.peer, "no TLS session");
            connection::linger(client).await;
        }
        HandshakeFault::Closed | HandshakeFault::TimedOut | HandshakeFault::NotTls => {}
    }
}
