//! One TLS session, without a socket: records in, bytes out, and the other way round.

use std::io;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    AppDataRecord, ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};

/// Bytes of plaintext in one record at most (RFC 8446, 5.1).
pub(super) const FRAGMENT: usize = 16 * 1024;
/// Bytes that a record may have on the wire: TLS 1.2 lets it grow by 2 KiB.
pub(super) const RECORD: usize = FRAGMENT + 2048 + 5;
/// Bytes that a record adds to what is in it, with room to spare.
const OVERHEAD: usize = 64;
/// States that one call may go through without taking a byte: more means that something goes round in circles.
const TURNS: usize = 64;

/// Which end of the session this is.
pub(super) enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// A session.
pub(super) struct Session {
    side: Side,
    /// The start of a record whose rest has not come yet, or of a message in several records.
    partial: Vec<u8>,
    /// Records to be sent: handshake, alerts, and what the socket did not take at once.
    outbox: Vec<u8>,
    /// The handshake is over.
    established: bool,
    /// The peer said that it sends nothing more.
    peer_closed: bool,
    /// We did.
    closed: bool,
    /// Nothing can be had from it any more.
    failed: bool,
}

/// What one turn of the session came to.
enum Turn {
    Again,
    Idle,
}

impl Session {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            partial: Vec::new(),
            outbox: Vec::new(),
            established: false,
            peer_closed: false,
            closed: false,
            failed: false,
        }
    }

    pub(super) fn is_established(&self) -> bool {
        self.established
    }

    pub(super) fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    pub(super) fn is_failed(&self) -> bool {
        self.failed
    }

    pub(super) fn fail(&mut self) {
        self.failed = true;
    }

    /// The protocol that both ends agreed on by ALPN.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        match &self.side {
            Side::Server(connection) => connection.alpn_protocol(),
            Side::Client(connection) => connection.alpn_protocol(),
        }
    }

    /// What must be in front of newly received records in the next [`Session::receive`]; it is handed over.
    pub(super) fn take_partial(&mut self, buffer: &mut [u8]) -> usize {
        let length = self.partial.len();
        if length > 0 {
            buffer[..length].copy_from_slice(&self.partial);
            // An idle connection keeps no buffer.
            self.partial = Vec::new();
        }
        length
    }

    pub(super) fn partial_len(&self) -> usize {
        self.partial.len()
    }

    /// Records that wait to be sent.
    pub(super) fn outbox(&mut self) -> &mut Vec<u8> {
        &mut self.outbox
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Takes in what came from the peer, hands plaintext to `sink`, and leaves in the outbox what is to be answered. What is the
    /// start of something longer is kept.
    ///
    /// # Errors
    /// The peer broke the protocol, or does not want what is offered. An alert is in the outbox then.
    pub(super) fn receive(
        &mut self,
        records: &mut [u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), rustls::Error> {
        let mut at = 0;
        for _ in 0..records.len() + TURNS {
            let (discard, turn) = self.turn(&mut records[at..], &mut sink);
            at += discard;
            match turn {
                Ok(Turn::Again) => {}
                Ok(Turn::Idle) => {
                    // After the end nothing is worth keeping.
                    if at < records.len() && !self.peer_closed {
                        self.partial.extend_from_slice(&records[at..]);
                    }
                    return Ok(());
                }
                Err(error) => {
                    self.failed = true;
                    self.collect_alert(&mut records[at..]);
                    return Err(error);
                }
            }
        }
        self.failed = true;
        Err(rustls::Error::General("the session makes no progress".into()))
    }

    /// One state of the session.
    fn turn(
        &mut self,
        records: &mut [u8],
        sink: &mut impl FnMut(&[u8]),
    ) -> (usize, Result<Turn, rustls::Error>) {
        macro_rules! step {
            ($connection:expr) => {{
                let UnbufferedStatus { mut discard, state, .. } = $connection.process_tls_records(records);
                let state = match state {
                    Ok(state) => state,
                    Err(error) => return (discard, Err(error)),
                };
                let turn = match state {
                    ConnectionState::ReadTraffic(mut traffic) => loop {
                        match traffic.next_record() {
                            Some(Ok(AppDataRecord { discard: more, payload, .. })) => {
                                discard += more;
                                sink(payload);
                            }
                            Some(Err(error)) => return (discard, Err(error)),
                            None => break Turn::Again,
                        }
                    },
                    ConnectionState::EncodeTlsData(mut data) => {
                        encode(&mut self.outbox, |room| data.encode(room));
                        Turn::Again
                    }
                    ConnectionState::TransmitTlsData(transmit) => {
                        // It is in the outbox, which goes out before anybody waits.
                        transmit.done();
                        Turn::Again
                    }
                    ConnectionState::PeerClosed => {
                        self.peer_closed = true;
                        Turn::Again
                    }
                    ConnectionState::WriteTraffic(_) => {
                        self.established = true;
                        Turn::Idle
                    }
                    ConnectionState::BlockedHandshake | ConnectionState::Closed => Turn::Idle,
                    // Early data is never asked for.
                    _ => return (discard, Err(rustls::Error::HandshakeNotComplete)),
                };
                (discard, Ok(turn))
            }};
        }
        match &mut self.side {
            Side::Server(connection) => step!(connection),
            Side::Client(connection) => step!(connection),
        }
    }

    /// Starts the handshake of a client.
    pub(super) fn start(&mut self) -> Result<(), rustls::Error> {
        self.receive(&mut [], |_| {})
    }

    /// After a failure: what tells the peer. It comes before the failure, which then comes again. `records` are those that are left:
    /// the session may still look at them.
    fn collect_alert(&mut self, records: &mut [u8]) {
        let mut at = 0;
        for _ in 0..TURNS {
            match self.turn(&mut records[at..], &mut |_| {}) {
                (discard, Ok(Turn::Again)) => at += discard,
                _ => return,
            }
        }
    }

    /// Encrypts as much of `pieces` as `out` has room for. Answers bytes taken and bytes written. Several small pieces share
    /// a record, in `staging`.
    ///
    /// # Errors
    /// The session is over.
    pub(super) fn send(
        &mut self,
        pieces: &[io::IoSlice<'_>],
        staging: &mut Vec<u8>,
        out: &mut [u8],
    ) -> io::Result<(usize, usize)> {
        let (mut taken, mut written) = (0, 0);
        let mut position = (0, 0);
        loop {
            let room = out.len() - written;
            if room <= OVERHEAD {
                break;
            }
            let most = FRAGMENT.min(room - OVERHEAD);
            let (fragment, next) = next_fragment(pieces, position, most, staging);
            if fragment.is_empty() {
                break;
            }
            let length = fragment.len();
            written += self.encrypt(fragment, &mut out[written..])?;
            taken += length;
            position = next;
        }
        Ok((taken, written))
    }

    fn encrypt(&mut self, fragment: &[u8], out: &mut [u8]) -> io::Result<usize> {
        self.write(
            out,
            |traffic, out| traffic.encrypt(fragment, out),
            |traffic, out| traffic.encrypt(fragment, out),
        )
    }

    /// Puts the end of our side of the session into the outbox, once.
    pub(super) fn close(&mut self) {
        if self.closed || self.failed || !self.established {
            return;
        }
        self.closed = true;
        let mut out = [0; 256];
        let closing = self.write(
            &mut out,
            |traffic, out| traffic.queue_close_notify(out),
            |traffic, out| traffic.queue_close_notify(out),
        );
        match closing {
            Ok(written) => self.outbox.extend_from_slice(&out[..written]),
            Err(_) => self.failed = true,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Brings the session to where it can write. What has to go before it is put in front.
    fn write(
        &mut self,
        out: &mut [u8],
        server: impl FnOnce(
            &mut WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
        client: impl FnOnce(
            &mut WriteTraffic<'_, rustls::client::ClientConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        macro_rules! step {
            ($connection:expr, $act:expr) => {{
                let mut before = 0;
                for _ in 0..TURNS {
                    let UnbufferedStatus { discard, state, .. } =
                        $connection.process_tls_records(&mut self.partial);
                    match state.map_err(|_| broken())? {
                        ConnectionState::WriteTraffic(mut traffic) => {
                            let written = $act(&mut traffic, &mut out[before..]).map_err(|_| broken())?;
                            return Ok(before + written);
                        }
                        ConnectionState::EncodeTlsData(mut data) => {
                            before += data.encode(&mut out[before..]).map_err(|_| broken())?;
                        }
                        ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                        ConnectionState::PeerClosed => self.peer_closed = true,
                        _ => return Err(broken()),
                    }
                    if discard > 0 {
                        self.partial.drain(..discard);
                    }
                }
                Err(broken())
            }};
        }
        match &mut self.side {
            Side::Server(connection) => step!(connection, server),
            Side::Client(connection) => step!(connection, client),
        }
    }
}

/// Appends what `encode` writes, which says how much room it needs.
fn encode(outbox: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let start = outbox.len();
    let mut room = 512;
    loop {
        outbox.resize(start + room, 0);
        match encode(&mut outbox[start..]) {
            Ok(written) => return outbox.truncate(start + written),
            Err(EncodeError::InsufficientSize(needed)) if needed.required_size > room => {
                room = needed.required_size;
            }
            Err(_) => return outbox.truncate(start),
        }
    }
}

/// What goes into the next record: at most `most` bytes from `position` (piece, offset) on, and the position after it. A piece that fills
/// a record by itself is not copied.
fn next_fragment<'a>(
    pieces: &'a [io::IoSlice<'_>],
    mut position: (usize, usize),
    most: usize,
    staging: &'a mut Vec<u8>,
) -> (&'a [u8], (usize, usize)) {
    staging.clear();
    while let Some(piece) = pieces.get(position.0) {
        let rest = &piece[position.1..];
        let last = pieces[position.0 + 1..].iter().all(|piece| piece.is_empty());
        if rest.is_empty() {
            position = (position.0 + 1, 0);
            continue;
        }
        if staging.is_empty() && (rest.len() >= most || last) {
            let length = rest.len().min(most);
            return (&rest[..length], (position.0, position.1 + length));
        }
        let length = rest.len().min(most - staging.len());
        staging.extend_from_slice(&rest[..length]);
        position.1 += length;
        if staging.len() == most {
            break;
        }
    }
    (staging, position)
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("established", &self.established)
            .field("peer_closed", &self.peer_closed)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the pieces and the room, all bytes come once and in order.
        #[test]
        fn fragments_are_the_pieces(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5),
            most in 1_usize..200,
        ) {
            let slices: Vec<io::IoSlice<'_>> = pieces.iter().map(|piece| io::IoSlice::new(piece)).collect();
            let (mut all, mut position, mut staging) = (Vec::new(), (0, 0), Vec::new());
            loop {
                let (fragment, next) = next_fragment(&slices, position, most, &mut staging);
                if fragment.is_empty() {
                    break;
                }
                prop_assert!(fragment.len() <= most);
                all.extend_from_slice(fragment);
                position = next;
            }
            prop_assert_eq!(all, pieces.concat());
        }
    }
}
