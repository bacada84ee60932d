//! Binary upgrade: a new process follows the one that runs with the same data, and nobody who connects meanwhile is refused.
//!
//! ```text
//!  running process                      new process (--takeover)
//!     listens on DATA-DIR/takeover.sock
//!        <------------------------------ connects
//!     sockets -------------------------> has them, beside the running one; checks everything that needs no state
//!        <------------------------------ "release"
//!     closes API and store               (traffic goes on through the running proxy)
//!     "released" ----------------------> opens store, plans, applies the table, accepts connections
//!        <------------------------------ "serving"
//!     "over"; drains and ends
//! ```
//!
//! Listening sockets go over as descriptors (`SCM_RIGHTS`): the kernel's queue of connections belongs to the socket, not to a process. At
//! no time do two processes write the state. If the new one fails on its way, the running one starts again from the store, on
//! the same sockets, and its proxy has served all the time.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use proxy::{Proxy, Sockets};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde_json::Value;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::process;

const FILE: &str = "takeover.sock";
/// Names the protocol; another version is refused.
const GREETING: &str = "vamp-takeover 1";
/// Descriptors in one message; the kernel takes 253.
const BATCH: usize = 64;
/// More sockets than any proxy has.
const MOST: usize = 1 << 20;
/// How long either side may take for a step that needs no state.
const STEP: Duration = Duration::from_secs(30);
/// How long the new process may take from the state to its first table.
const START: Duration = Duration::from_secs(120);
/// Between two attempts of a process to start again after its successor failed.
const AGAIN: Duration = Duration::from_secs(1);

/// What can be followed by another process.
pub(crate) trait Service {
    type Running: Running;

    /// Starts with the sockets of a predecessor, if any; asks it for its state before touching that.
    async fn start(
        &self,
        sockets: Sockets,
        predecessor: Option<&mut Predecessor>,
    ) -> anyhow::Result<Self::Running>;
}

/// A service that runs.
pub(crate) trait Running {
    /// The first line on standard output.
    fn announcement(&self) -> Value;

    /// Copies of all its listening sockets, or why it cannot be followed now.
    async fn sockets(&self) -> Result<Vec<TcpListener>, String>;

    /// Gives up everything but the proxy, which serves on.
    async fn release(self) -> Proxy;

    /// Drains and ends.
    async fn stop(self, drain: Duration);
}

/// Runs a service until it is told to stop, or followed by another process.
pub(crate) async fn run<S: Service>(
    service: S,
    data_dir: &Path,
    takeover: bool,
    stopped: CancellationToken,
    drain: Duration,
) -> anyhow::Result<()> {
    let found = if takeover { Predecessor::find(data_dir).await? } else { None };
    let (mut predecessor, sockets) = match found {
        Some((predecessor, sockets)) => (Some(predecessor), sockets),
        None => (None, Sockets::default()),
    };
    let mut running = service.start(sockets, predecessor.as_mut()).await?;
    if let Some(predecessor) = predecessor {
        predecessor.serving().await?;
        info!("took over; the predecessor drains");
    }
    process::announce(&running.announcement())?;
    let mut successors = Successors::listen(data_dir);
    loop {
        let mut successor = tokio::select! {
            biased;
            () = stopped.cancelled() => {
                info!("stopping");
                running.stop(drain).await;
                successors.remove();
                return Ok(());
            }
            successor = successors.next() => successor,
        };
        let sockets = match running.sockets().await {
            Ok(sockets) => sockets,
            Err(reason) => {
                warn!(reason, "another process wants to take over and cannot");
                successor.refuse(reason).await;
                continue;
            }
        };
        let copies: io::Result<Vec<TcpListener>> = sockets.iter().map(TcpListener::try_clone).collect();
        let handed = match copies {
            Ok(copies) => successor.hand(copies).await,
            Err(error) => Err(error),
        };
        if let Err(error) = handed {
            warn!(%error, "another process wanted to take over and gave up; nothing has changed");
            continue;
        }
        info!("another process takes over");
        let proxy = running.release().await;
        let followed = tokio::select! {
            biased;
            followed = successor.released() => followed,
            // It may be about to serve; what is open here is finished either way.
            () = stopped.cancelled() => Ok(()),
        };
        match followed {
            Ok(()) => {
                drop(sockets);
                let drained = proxy.drain(drain).await;
                info!(?drained, "another process has taken over");
                return Ok(());
            }
            Err(error) => warn!(%error, "the other process failed; starting again"),
        }
        running = loop {
            let copies = sockets.iter().map(TcpListener::try_clone).filter_map(Result::ok);
            match service.start(Sockets::new(copies), None).await {
                Ok(running) => break running,
                Err(error) => {
                    warn!("cannot start again yet, the last routing table stays in force: {error:#}")
                }
            }
            tokio::select! {
                () = stopped.cancelled() => {
                    proxy.drain(drain).await;
                    return Ok(());
                }
                () = tokio::time::sleep(AGAIN) => {}
            }
        };
        drop(sockets);
        // What it has under way is finished beside the new one.
        tokio::spawn(async move { proxy.drain(drain).await });
        successors = Successors::listen(data_dir);
    }
}

/// Takes the socket of an address over, or opens it.
pub(crate) async fn listener(address: SocketAddr, sockets: &Sockets) -> io::Result<tokio::net::TcpListener> {
    match sockets.take(address).pop() {
        Some(socket) => {
            socket.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(socket)
        }
        None => tokio::net::TcpListener::bind(address).await,
    }
}

/// The socket once more, for a successor.
pub(crate) fn copy(listener: &tokio::net::TcpListener) -> io::Result<TcpListener> {
    Ok(TcpListener::from(listener.as_fd().try_clone_to_owned()?))
}

/// The process that runs, as its successor sees it.
#[derive(Debug)]
pub(crate) struct Predecessor(UnixStream);

impl Predecessor {
    /// Asks the process that runs with this data for its sockets; `None` when there is none.
    async fn find(data_dir: &Path) -> anyhow::Result<Option<(Self, Sockets)>> {
        let path = data_dir.join(FILE);
        blocking(move || {
            let stream = match UnixStream::connect(&path) {
                Ok(stream) => stream,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error).context("cannot reach the process to take over from"),
            };
            patience(&stream, STEP).context("the socket for a takeover")?;
            let sockets = receive(&stream).context("cannot take over the sockets of the running process")?;
            info!(sockets = sockets.len(), "taking over");
            Ok(Some((Self(stream), Sockets::new(sockets))))
        })
        .await
    }

    /// Asks for the state; when this returns nobody else writes it.
    ///
    /// # Errors
    /// The predecessor is gone, or does not let go.
    pub(crate) async fn release(&mut self) -> anyhow::Result<()> {
        let stream = self.0.try_clone()?;
        blocking(move || {
            patience(&stream, START)?;
            say(&stream, "release")?;
            expect(&stream, "released")
        })
        .await
        .context("the running process does not let go of its state")
    }

    /// Says that it may end.
    async fn serving(self) -> anyhow::Result<()> {
        blocking(move || {
            let answer = say(&self.0, "serving").and_then(|()| hear(&self.0));
            match answer.as_deref() {
                // It has gone back to work, and has or wants the state.
                Ok("late") => anyhow::bail!("it took too long to start: the predecessor serves on"),
                // One that was killed meanwhile needs to know nothing any more.
                _ => Ok(()),
            }
        })
        .await
    }
}

/// Where successors come to.
#[derive(Debug)]
struct Successors {
    path: PathBuf,
    listener: Option<UnixListener>,
}

impl Successors {
    /// Without this place the service runs as well; it only cannot be followed.
    fn listen(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let open = || {
            // What is left of a process that was killed, or of the predecessor, which needs it no more.
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            let listener = UnixListener::bind(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = open()
            .inspect_err(
                |error| warn!(path = %path.display(), %error, "no other process can take over from this one"),
            )
            .ok();
        Self { path, listener }
    }

    /// The next one that may follow: of the same user.
    async fn next(&self) -> Successor {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        loop {
            match listener.accept().await.and_then(|(stream, _)| Successor::greet(stream)) {
                Ok(successor) => return successor,
                Err(error) => {
                    warn!(%error, "a process that wanted to take over was turned away");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn remove(self) {
        if self.listener.is_some() {
            // Whoever finds it later finds nobody behind it.
            let _ = std::fs::remove_file(self.path);
        }
    }
}

/// A process that wants to follow.
#[derive(Debug)]
struct Successor(UnixStream);

impl Successor {
    fn greet(stream: tokio::net::UnixStream) -> io::Result<Self> {
        let user = stream.peer_cred()?.uid();
        if user != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other(format!("it runs as another user ({user})")));
        }
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        patience(&stream, STEP)?;
        Ok(Self(stream))
    }

    async fn refuse(self, reason: String) {
        let told = blocking(move || Ok(say(&self.0, &format!("refused {reason}"))?)).await;
        if let Err(error) = told {
            warn!(%error, "it could not be told");
        }
    }

    /// Gives it the sockets and waits until it asks for the state.
    async fn hand(&mut self, sockets: Vec<TcpListener>) -> io::Result<()> {
        let stream = self.0.try_clone()?;
        blocking(move || {
            send(&stream, &sockets)?;
            expect(&stream, "release")
        })
        .await
        .map_err(io::Error::other)
    }

    /// Says that the state is free and waits until it serves.
    async fn released(&mut self) -> io::Result<()> {
        let stream = self.0.try_clone()?;
        blocking(move || {
            patience(&stream, START)?;
            say(&stream, "released")?;
            let serving = expect(&stream, "serving");
            // Should it be only late, it must know; if it is gone, nobody listens.
            let _ = say(&stream, if serving.is_ok() { "over" } else { "late" });
            serving
        })
        .await
        .map_err(io::Error::other)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("a thread for the takeover")?
}

fn patience(stream: &UnixStream, time: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(time))?;
    stream.set_write_timeout(Some(time))
}

fn say(mut stream: &UnixStream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes())
}

/// Reads a line, and not a byte further: descriptors may come next.
fn hear(mut stream: &UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        match byte[0] {
            b'\n' => return String::from_utf8(line).map_err(io::Error::other),
            _ if line.len() >= 1024 => {
                return Err(io::Error::other("the other side does not speak this language"));
            }
            byte => line.push(byte),
        }
    }
}

fn expect(stream: &UnixStream, line: &str) -> anyhow::Result<()> {
    let heard = hear(stream)?;
    anyhow::ensure!(heard == line, "the other process says '{heard}' where '{line}' is due");
    Ok(())
}

/// A line with their number, then the sockets in batches, each with one byte.
fn send(stream: &UnixStream, sockets: &[TcpListener]) -> io::Result<()> {
    say(stream, &format!("{GREETING} {}", sockets.len()))?;
    for batch in sockets.chunks(BATCH) {
        let descriptors: Vec<_> = batch.iter().map(|socket| socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        rustix::net::sendmsg(stream, &[IoSlice::new(b"S")], &mut ancillary, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

fn receive(stream: &UnixStream) -> anyhow::Result<Vec<TcpListener>> {
    let line = hear(stream)?;
    if let Some(reason) = line.strip_prefix("refused ") {
        anyhow::bail!("it refuses: {reason}");
    }
    let number = line.strip_prefix(GREETING).and_then(|number| number.trim().parse::<usize>().ok());
    let number = number.filter(|number| *number <= MOST);
    let number = number.with_context(|| format!("it speaks another language: '{line}'"))?;
    let mut sockets = Vec::new();
    while sockets.len() < number {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let read = rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags)?;
        anyhow::ensure!(read.bytes == 1, "it ended in the middle");
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                sockets.extend(descriptors.map(|descriptor: OwnedFd| TcpListener::from(descriptor)));
            }
        }
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_go_over_in_batches_and_keep_their_queue() {
        let (left, right) = UnixStream::pair().unwrap();
        let sockets: Vec<TcpListener> = (0..150).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let waiting = std::net::TcpStream::connect(addresses[149]).unwrap();
        let sent = std::thread::spawn(move || {
            send(&left, &sockets).unwrap();
            drop(sockets);
            say(&left, "release").unwrap();
        });
        let received = receive(&right).unwrap();
        sent.join().unwrap();
        assert_eq!(received.iter().map(|socket| socket.local_addr().unwrap()).collect::<Vec<_>>(), addresses);
        // Who waited is still there, though the first owner has closed.
        let (_, peer) = received[149].accept().unwrap();
        assert_eq!(peer, waiting.local_addr().unwrap());
        expect(&right, "release").unwrap();
    }

    #[test]
    fn other_languages_are_refused() {
        for (line, message) in [
            ("refused not now", "not now"),
            ("HTTP/1.1 400 Bad Request", "another language"),
            ("vamp-takeover 2 1", "another language"),
            ("vamp-takeover 1 x", "another language"),
            ("vamp-takeover 1 99999999999", "another language"),
        ] {
            let (left, right) = UnixStream::pair().unwrap();
            say(&left, line).unwrap();
            drop(left);
            let error = format!("{:#}", receive(&right).unwrap_err());
            assert!(error.contains(message), "{line}: {error}");
        }
        let (left, right) = UnixStream::pair().unwrap();
        say(&left, "vamp-takeover 1 3").unwrap();
        drop(left);
        assert!(receive(&right).is_err());
    }
}
