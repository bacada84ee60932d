//! Ports for servers that a test starts later, or again.
//!
//! A port that the system chose (bind to 0, then let go) may be somebody else's before it is used, if only as the near end of a
//! connection. Ports from here are below those of which the system chooses, and each is given once to a process.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

const FIRST: u16 = 10_240;
/// Here begin the ports that a cluster gives to Services.
const END: u16 = 30_000;

/// A port of 127.0.0.1 on which nobody listens.
pub fn free() -> u16 {
    block(1)
}

/// The first of so many such ports in a row.
///
/// # Panics
///
/// When there are not as many.
pub fn block(count: u16) -> u16 {
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut from = next.unwrap_or_else(start);
    for _ in FIRST..END {
        if END - from < count {
            from = FIRST;
        }
        match (from..from + count).find(|port| !is_free(*port)) {
            None => {
                *next = Some(from + count);
                return from;
            }
            Some(taken) => from = taken + 1,
        }
    }
    panic!("there are no {count} free ports in a row between {FIRST} and {END}");
}

/// Processes that run at once begin at different places.
fn start() -> u16 {
    let spread = std::process::id().wrapping_mul(0x9e37_79b1) >> 16;
    FIRST + u16::try_from(spread % u32::from(END - FIRST)).unwrap_or(0)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    use super::{END, FIRST, block, free};

    #[test]
    fn no_port_is_given_twice_nor_one_that_is_taken() {
        let first = block(3);
        let held = TcpListener::bind(("127.0.0.1", first + 2)).unwrap();
        let mut given: BTreeSet<u16> = (first..first + 3).collect();
        for port in [free(), free(), block(5), free()] {
            assert!((FIRST..END).contains(&port));
            assert!(given.insert(port), "{port} again");
        }
        drop(held);
    }
}
