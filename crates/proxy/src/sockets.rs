//! Listening sockets that another process opened and handed over. The kernel's queue of connections goes with a socket: who
//! connects while one process follows the other is neither refused nor cut.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sockets by the address that they listen on, until they are taken. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Sockets(Arc<Mutex<HashMap<SocketAddr, Vec<TcpListener>>>>);

impl Sockets {
    /// Takes sockets over; one whose address cannot be told is closed.
    pub fn new(sockets: impl IntoIterator<Item = TcpListener>) -> Self {
        let mut by_address: HashMap<SocketAddr, Vec<TcpListener>> = HashMap::new();
        for socket in sockets {
            if let Ok(address) = socket.local_addr() {
                by_address.entry(address).or_default().push(socket);
            }
        }
        Self(Arc::new(Mutex::new(by_address)))
    }

    /// The sockets of an address.
    pub fn take(&self, address: SocketAddr) -> Vec<TcpListener> {
        self.lock().remove(&address).unwrap_or_default()
    }

    /// Whether there are some for an address.
    pub fn has(&self, address: SocketAddr) -> bool {
        self.lock().contains_key(&address)
    }

    /// How many workers it takes to accept from all of them: each accepts from one of an address.
    pub fn workers(&self) -> usize {
        self.lock().values().map(Vec::len).max().unwrap_or(0)
    }

    /// Closes what nobody took.
    pub(crate) fn close(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<TcpListener>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
