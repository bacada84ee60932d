//! The PROXY protocol, versions 1 and 2: a load balancer in front says who the client is, before anything else.
//!
//! It is expected only where it is asked for, and then it must be there: otherwise whoever reaches the port could claim to be
//! anybody, or be taken for the load balancer. Not a byte beyond it is read, since what follows belongs to TLS or HTTP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::stream::{Stream, Wait};
use crate::timer::Watch;

/// How a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of the fixed part of version 2.
const FIXED: usize = 16;
/// Bytes of a whole header of version 2: addresses, and what a balancer adds about itself.
const LONGEST: usize = 2048;
/// Bytes of a line of version 1, its end included.
const LONGEST_LINE: usize = 107;
/// How it begins.
const WORD: &[u8] = b"PROXY ";
/// Bytes of the shortest header of either version: `PROXY UNKNOWN`.
const SHORTEST: usize = 15;

/// What is to be done with the bytes so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// At least so many bytes more belong to the header.
    More(usize),
    /// It is complete; nobody is named when the balancer speaks for itself.
    Done(Option<SocketAddr>),
}

/// Not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed;

/// Reads a header. `None`: the balancer speaks for itself, for example to see whether anybody is there.
///
/// # Errors
/// The connection ended, the time that `watch` holds is over, or what came is no header.
pub(crate) async fn read(stream: &Stream, watch: &Watch) -> Result<Option<SocketAddr>, Wait> {
    let mut bytes = [0; LONGEST];
    let mut have = 0;
    loop {
        match step(&bytes[..have]) {
            Ok(Step::Done(source)) => return Ok(source),
            Ok(Step::More(more)) if have + more <= bytes.len() => {
                let read = stream.read(&mut bytes[have..have + more], watch).await?;
                if read == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                have += read;
            }
            Ok(Step::More(_)) | Err(Malformed) => {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
        }
    }
}

fn step(bytes: &[u8]) -> Result<Step, Malformed> {
    let begins = |with: &[u8]| {
        let length = bytes.len().min(with.len());
        bytes[..length] == with[..length]
    };
    if begins(SIGNATURE) && bytes.len() >= SHORTEST {
        return step_binary(bytes);
    }
    if !begins(SIGNATURE) && !begins(WORD) {
        return Err(Malformed);
    }
    if bytes.len() < SHORTEST {
        return Ok(Step::More(SHORTEST - bytes.len()));
    }
    step_line(bytes)
}

fn step_line(bytes: &[u8]) -> Result<Step, Malformed> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if end + 1 == bytes.len() && end < LONGEST_LINE => {
            let line = bytes[..end].strip_suffix(b"\r").ok_or(Malformed)?;
            line_source(line).map(Step::Done)
        }
        Some(_) => Err(Malformed),
        None if bytes.len() >= LONGEST_LINE => Err(Malformed),
        None if bytes.last() == Some(&b'\r') => Ok(Step::More(1)),
        None => Ok(Step::More(2)),
    }
}

fn line_source(line: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", family, source, destination, from, to] => {
            let address = |text: &str| match family {
                "TCP4" => text.parse().map(IpAddr::V4).map_err(|_| Malformed),
                "TCP6" => text.parse().map(IpAddr::V6).map_err(|_| Malformed),
                _ => Err(Malformed),
            };
            let port = |text: &str| {
                let plain =
                    text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
                text.parse::<u16>().ok().filter(|_| plain).ok_or(Malformed)
            };
            address(destination)?;
            port(to)?;
            Ok(Some(SocketAddr::new(address(source)?, port(from)?)))
        }
        _ => Err(Malformed),
    }
}

fn step_binary(bytes: &[u8]) -> Result<Step, Malformed> {
    let (version, command) = (bytes[12] >> 4, bytes[12] & 15);
    if version != 2 || command > 1 {
        return Err(Malformed);
    }
    let Some(fixed) = bytes.get(..FIXED) else { return Ok(Step::More(FIXED - bytes.len())) };
    let length = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > LONGEST {
        return Err(Malformed);
    }
    if bytes.len() < length {
        return Ok(Step::More(length - bytes.len()));
    }
    let rest = &bytes[FIXED..length];
    let port = |at: usize| rest.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let source = match (command, fixed[13]) {
        // The balancer itself, or a family that it does not name.
        (0, _) | (_, 0) => None,
        (_, 0x11) => {
            let address = rest.first_chunk::<4>().ok_or(Malformed)?;
            let port = port(8).filter(|_| rest.len() >= 12).ok_or(Malformed)?;
            Some(SocketAddr::new(Ipv4Addr::from(*address).into(), port))
        }
        (_, 0x21) => {
            let address = rest.first_chunk::<16>().ok_or(Malformed)?;
            let port = port(32).filter(|_| rest.len() >= 36).ok_or(Malformed)?;
            Some(SocketAddr::new(Ipv6Addr::from(*address).into(), port))
        }
        // Datagrams and sockets of files: nothing that could come here.
        _ => return Err(Malformed),
    };
    Ok(Step::Done(source))
}

/// Feeds a header as it is asked for: whom it names, and how many bytes it took; `None` when it is none, or not all of it.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fed(bytes: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let mut have = 0;
    loop {
        match step(&bytes[..have]).ok()? {
            Step::Done(source) => return Some((source, have)),
            Step::More(more) => {
                assert_ne!(more, 0, "no progress");
                have = Some(have + more).filter(|have| *have <= bytes.len().min(LONGEST))?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &length, rest].concat()
    }

    #[test]
    fn lines() {
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443", Some(Some("192.0.2.1:56324"))),
            ("PROXY TCP6 2001:db8::1 ::1 1 65535", Some(Some("[2001:db8::1]:1"))),
            ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0", Some(Some("0.0.0.0:0"))),
            ("PROXY UNKNOWN", Some(None)),
            ("PROXY UNKNOWN whatever it is", Some(None)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 1", None),
            ("PROXY TCP4 192.0.2.1  192.0.2.2 56324 443", None),
            ("PROXY TCP4 2001:db8::1 ::1 1 2", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 056324 443", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 +6324 443", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 65536 443", None),
            ("PROXY UDP4 192.0.2.1 192.0.2.2 1 443", None),
            ("proxy TCP4 192.0.2.1 192.0.2.2 1 443", None),
            ("GET / HTTP/1.1", None),
        ] {
            let expected: Option<Option<SocketAddr>> =
                expected.map(|source: Option<&str>| source.map(|text| text.parse().unwrap()));
            let text = format!("{line}\r\n");
            assert_eq!(fed(text.as_bytes()).map(|(source, _)| source), expected, "{line}");
            // What follows is not touched.
            let followed = format!("{text}GET / HTTP/1.1\r\n\r\n");
            assert_eq!(fed(followed.as_bytes()), fed(text.as_bytes()), "{line}");
            assert!(fed(format!("{line}\n").as_bytes()).is_none(), "{line}");
        }
        assert!(fed(format!("PROXY UNKNOWN {}\r\n", "x".repeat(200)).as_bytes()).is_none());
    }

    #[test]
    fn binaries() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb];
        let with_more = [&v4[..], &[4, 0, 1, 0]].concat();
        let mut v6 = [0; 36];
        v6[15] = 1;
        v6[33] = 80;
        for (bytes, expected) in [
            (binary(1, 0x11, &v4), Some(Some("192.0.2.1:56324"))),
            (binary(1, 0x11, &with_more), Some(Some("192.0.2.1:56324"))),
            (binary(1, 0x21, &v6), Some(Some("[::1]:80"))),
            (binary(0, 0, &[]), Some(None)),
            (binary(0, 0x11, &v4), Some(None)),
            (binary(1, 0, &v4), Some(None)),
            (binary(1, 0x11, &v4[..11]), None),
            (binary(1, 0x21, &v6[..35]), None),
            (binary(1, 0x12, &v4), None),
            (binary(1, 0x31, &[0; 216]), None),
            (binary(2, 0x11, &v4), None),
            (binary(1, 0x11, &[0; 3000]), None),
        ] {
            let expected: Option<Option<SocketAddr>> =
                expected.map(|source: Option<&str>| source.map(|text| text.parse().unwrap()));
            assert_eq!(fed(&bytes).map(|(source, _)| source), expected, "{bytes:x?}");
        }
        let mut old = binary(1, 0x11, &v4);
        old[12] = 0x11;
        assert!(fed(&old).is_none());
    }

    proptest! {
        /// What version 1 says comes out again.
        #[test]
        fn round_trip(source: SocketAddr, destination: SocketAddr) {
            let (source, destination) = match (source, destination) {
                (SocketAddr::V6(a), SocketAddr::V6(b)) => {
                    (SocketAddr::new((*a.ip()).into(), a.port()), SocketAddr::new((*b.ip()).into(), b.port()))
                }
                (a, b) => (
                    SocketAddr::from(([1, 2, 3, 4], a.port())),
                    SocketAddr::from(([5, 6, 7, 8], b.port())),
                ),
            };
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!(
                "PROXY {family} {} {} {} {}\r\n",
                source.ip(), destination.ip(), source.port(), destination.port()
            );
            prop_assert_eq!(fed(line.as_bytes()), Some((Some(source), line.len())));
        }
    }
}
