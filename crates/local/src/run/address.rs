//! Loopback addresses for replicas: one each, so that declared container ports work unchanged.
//!
//! The whole of 127.0.0.0/8 is this machine (on Linux without any set-up). A platform draws from a block of its own,
//! derived from its data directory; an address is claimed by an abstract socket name, which the kernel hands out once
//! and takes back when the process ends, however it ends. The same replica prefers the same address again, so that
//! restarts do not move it.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Addresses tried before giving up: four blocks of 254.
const MAX_TRIED: u32 = 4 * 254;
/// A port that is taken on this many addresses is taken on all of them.
const MAX_TAKEN: u32 = 32;

/// Hands out addresses.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    base: u32,
    taken: Arc<Mutex<HashSet<Ipv4Addr>>>,
}

/// An address in use. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    ip: Ipv4Addr,
    taken: Arc<Mutex<HashSet<Ipv4Addr>>>,
    _guard: Option<std::os::unix::net::UnixDatagram>,
}

impl Claim {
    /// The address.
    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.ip
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.ip);
    }
}

impl Addresses {
    /// From the block of `base`, or from one that belongs to `data_dir`.
    pub(crate) fn new(base: Option<Ipv4Addr>, data_dir: &Path) -> Self {
        let base = base.map_or_else(
            || {
                let path = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
                let hash = fnv(path.as_os_str().as_encoded_bytes());
                // 127.0 is left to everybody, 127.255 to broadcasts.
                u32::from(Ipv4Addr::new(127, 1 + (hash % 254) as u8, (hash >> 16) as u8, 0))
            },
            |base| u32::from(base) & !0xff,
        );
        Self { base, taken: Arc::default() }
    }

    /// An address on which every port of `ports` is free. The same `name` gets the same one when it can.
    pub(crate) fn claim(&self, name: &str, ports: &[u16]) -> io::Result<Claim> {
        let first = (fnv(name.as_bytes()) % 254) as u32;
        let mut last = None;
        let mut in_use = 0;
        for step in 0..MAX_TRIED {
            let at = first + step;
            let ip = Ipv4Addr::from(self.base.wrapping_add((at / 254) * 256 + 1 + at % 254));
            if !ip.is_loopback() {
                break;
            }
            let Some(claim) = self.reserve(ip) else { continue };
            match ports
                .iter()
                .try_for_each(|port| TcpListener::bind((ip, *port)).map(drop).map_err(|e| (*port, e)))
            {
                Ok(()) => return Ok(claim),
                Err((port, error)) => {
                    in_use += u32::from(error.kind() == ErrorKind::AddrInUse);
                    let hopeless = error.kind() != ErrorKind::AddrInUse || in_use >= MAX_TAKEN;
                    last = Some((ip, port, error));
                    if hopeless {
                        break;
                    }
                }
            }
        }
        Err(match last {
            Some((_, port, error)) if error.kind() == ErrorKind::AddrInUse => io::Error::new(
                ErrorKind::AddrInUse,
                format!(
                    "port {port} is taken on every loopback address: some program listens on 0.0.0.0:{port}. If it is a replica, let it bind to $(POD_IP) instead; else stop it, or declare another containerPort"
                ),
            ),
            Some((_, port, error)) if error.kind() == ErrorKind::PermissionDenied => io::Error::new(
                ErrorKind::PermissionDenied,
                format!("port {port} needs privileges on this machine; declare a containerPort above 1023"),
            ),
            Some((ip, port, error)) => io::Error::new(
                error.kind(),
                format!(
                    "{ip}:{port} cannot be used ({error}); the local platform needs Linux, where all of 127.0.0.0/8 is this machine"
                ),
            ),
            None => io::Error::new(ErrorKind::AddrInUse, "no loopback address is left; run fewer replicas"),
        })
    }

    fn reserve(&self, ip: Ipv4Addr) -> Option<Claim> {
        if !self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(ip) {
            return None;
        }
        // From here on, dropping the claim gives the address back.
        let mut claim = Claim { ip, taken: self.taken.clone(), _guard: None };
        claim._guard = guard(ip).ok()?;
        Some(claim)
    }
}

/// Tells other processes on this machine that the address is in use.
#[cfg(target_os = "linux")]
fn guard(ip: Ipv4Addr) -> io::Result<Option<std::os::unix::net::UnixDatagram>> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let name = SocketAddr::from_abstract_name(format!("vamp-local/{ip}"))?;
    UnixDatagram::bind_addr(&name).map(Some)
}

#[cfg(not(target_os = "linux"))]
fn guard(_: Ipv4Addr) -> io::Result<Option<std::os::unix::net::UnixDatagram>> {
    Ok(None)
}

/// FNV-1a, 64 bits: spreads names, and gives the same answer on every run.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
