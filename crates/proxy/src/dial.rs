//! Connecting to targets, for requests, tcp connections and checks alike.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;
use tokio::net::{TcpSocket, TcpStream};

use crate::descriptors::Descriptors;

/// Connects within the descriptors that there are for targets; the caller bounds the time.
pub(crate) async fn dial(address: SocketAddr, descriptors: Descriptors) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if !descriptors.suffice_for_target(&socket) {
        return Err(Errno::MFILE.into());
    }
    // The system takes the own port of a connection from a range that ports of gateways lie in as well. With this on both
    // sockets, and only then, a listener can still have a port that a connection of ours happens to sit on.
    socket.set_reuseaddr(true)?;
    let stream = socket.connect(address).await?;
    // To a port of that range where nobody listens, a connection may reach itself: both ends are the same socket, and
    // what is sent comes back.
    if stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// True for failures that say nothing about the target: this side is out of descriptors, ports or memory.
pub(crate) fn is_own_fault(error: &io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL, Errno::AGAIN];
    Errno::from_io_error(error).is_some_and(|error| ours.contains(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Tests that go through many ports take turns.
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    #[test]
    fn faults() {
        for (code, own) in [(24, true), (23, true), (99, true), (111, false), (113, false), (101, false)] {
            assert_eq!(is_own_fault(&io::Error::from_raw_os_error(code)), own, "{code}");
        }
        assert!(!is_own_fault(&io::ErrorKind::ConnectionRefused.into()));
    }

    /// Connections take even ports first, and listeners that leave the choice to the system odd ones: nobody else
    /// takes this one in the meantime. Plain connects reach themselves within 15,000 attempts or so.
    #[tokio::test]
    async fn a_connection_never_reaches_itself() {
        let _alone = ALONE.lock().await;
        let even = |_: &u32| {
            let address = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
            let address = SocketAddr::new(address.ip(), address.port() & !1);
            TcpListener::bind(address).ok().map(|_| address)
        };
        let address = (0..100).find_map(|number| even(&number)).unwrap();
        for attempt in 0..40_000 {
            assert!(dial(address, Descriptors::ALL).await.is_err(), "{attempt}");
        }
    }

    /// A connection of some other program may sit on the same port, so there are several attempts; without the option none of
    /// them would do.
    #[tokio::test]
    async fn a_listener_can_have_the_port_of_a_connection() {
        let _alone = ALONE.lock().await;
        let target = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut streams = Vec::new();
        let mut last = None;
        for _ in 0..200 {
            let stream = dial(target.local_addr().unwrap(), Descriptors::ALL).await.unwrap();
            match crate::listener::bind(stream.local_addr().unwrap(), 2) {
                Ok(sockets) => return assert_eq!(sockets.len(), 2),
                Err(error) => last = Some(error),
            }
            streams.push(stream);
        }
        panic!("no listener could have the port of a connection: {last:?}");
    }
}
