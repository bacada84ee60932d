//! Pipes on loan. What the system moves from one socket to another without showing it to us goes through one (`splice(2)`): the pages
//! are handed on, and nobody copies them out of the system and in again.
//!
//! A connection has a pipe only while it moves much, and gives it back empty. A worker lends [`MOST`] at a time; whoever comes when all
//! are out copies instead, and so does everybody where there is no such call.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Pipes that a worker lends at a time. What is in them is memory of the system: 64 KiB for each, as for a buffer.
const MOST: usize = 128;
/// Pipes kept for the next loan.
const KEPT: usize = 16;

/// The pipes of a worker.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    free: RefCell<Vec<Ends>>,
    lent: Cell<usize>,
    /// The system does not do it for these sockets, or not for this process.
    useless: Cell<bool>,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

/// A pipe that goes back when it is dropped. One that is dropped with something in it is closed.
#[derive(Debug)]
pub(crate) struct Pipe {
    pipes: Rc<Pipes>,
    ends: Option<Ends>,
    held: usize,
}

impl Pipes {
    /// Lends an empty pipe; `None` when there is none to be had.
    pub(crate) fn lend(self: &Rc<Self>) -> Option<Pipe> {
        if self.useless.get() || self.lent.get() >= MOST {
            return None;
        }
        let kept = self.free.borrow_mut().pop();
        // A process without descriptors for two more copies, which needs none.
        let ends = kept.or_else(|| system::open().ok())?;
        self.lent.set(self.lent.get() + 1);
        Some(Pipe { pipes: Rc::clone(self), ends: Some(ends), held: 0 })
    }

    /// How many are on loan.
    #[cfg(test)]
    pub(crate) fn lent(&self) -> usize {
        self.lent.get()
    }

    /// How many wait for the next loan.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.free.borrow().len()
    }
}

impl Pipe {
    /// Takes what a socket has to give. 0 at its end; `WouldBlock` when there is nothing now; `Unsupported` when nothing was taken and
    /// nothing can be, so that it has to be copied. Only for an empty pipe: of a full one the system would say the same as of a socket
    /// without anything.
    pub(crate) fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        debug_assert_eq!(self.held, 0, "drained first");
        let Some(ends) = &self.ends else { return Err(io::ErrorKind::BrokenPipe.into()) };
        match system::splice(from, &ends.write, system::CAPACITY) {
            Ok(moved) => {
                self.held = moved;
                Ok(moved)
            }
            Err(error) if system::is_refusal(&error) => {
                tracing::debug!(%error, "the system moves nothing between sockets by itself; it is copied");
                self.pipes.useless.set(true);
                Err(io::ErrorKind::Unsupported.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives a socket what it takes of what is there.
    pub(crate) fn drain(&mut self, to: impl AsFd) -> io::Result<usize> {
        let Some(ends) = &self.ends else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let moved = system::splice(&ends.read, to, self.held)?;
        self.held -= moved.min(self.held);
        Ok(moved)
    }

    /// Bytes in it.
    pub(crate) fn held(&self) -> usize {
        self.held
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.pipes.lent.set(self.pipes.lent.get() - 1);
        let mut free = self.pipes.free.borrow_mut();
        if self.held == 0 && free.len() < KEPT {
            free.extend(self.ends.take());
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::AsFd;

    use rustix::io::{Errno, retry_on_intr};
    use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with};

    /// As much as is asked for at a time. A pipe takes 16 pieces, each of a page or of what the network card put together, so this is
    /// a bound for the second kind.
    pub(super) const CAPACITY: usize = 256 * 1024;

    pub(super) fn open() -> io::Result<super::Ends> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(super::Ends { read, write })
    }

    pub(super) fn splice(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(retry_on_intr(|| rustix::pipe::splice(&from, None, &to, None, most, flags))?)
    }

    /// The call is not offered: here, or to this process.
    pub(super) fn is_refusal(error: &io::Error) -> bool {
        let refusals = [Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::ACCESS, Errno::OPNOTSUPP];
        Errno::from_io_error(error).is_some_and(|error| refusals.contains(&error))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::os::fd::AsFd;

    pub(super) const CAPACITY: usize = 0;

    pub(super) fn open() -> io::Result<super::Ends> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn splice(_: impl AsFd, _: impl AsFd, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn is_refusal(_: &io::Error) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_go_through_and_the_pipe_comes_back() {
        let pipes = Rc::new(Pipes::default());
        let ((mut from, inner), (outer, mut to)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        inner.set_nonblocking(true).unwrap();
        let mut pipe = pipes.lend().unwrap();
        assert_eq!(pipe.fill(&inner).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        from.write_all(b"hello").unwrap();
        assert_eq!((pipe.fill(&inner).unwrap(), pipe.held()), (5, 5));
        assert_eq!((pipe.drain(&outer).unwrap(), pipe.held()), (5, 0));
        let mut got = [0; 5];
        to.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
        drop(from);
        assert_eq!(pipe.fill(&inner).unwrap(), 0, "the end");
        assert_eq!((pipes.lent(), pipes.kept()), (1, 0));
        drop(pipe);
        assert_eq!((pipes.lent(), pipes.kept()), (0, 1));
    }

    #[test]
    fn what_one_left_behind_nobody_else_gets() {
        let pipes = Rc::new(Pipes::default());
        let (mut from, inner) = UnixStream::pair().unwrap();
        from.write_all(b"secret").unwrap();
        let mut pipe = pipes.lend().unwrap();
        pipe.fill(&inner).unwrap();
        drop(pipe);
        assert_eq!((pipes.lent(), pipes.kept()), (0, 0));
    }

    #[test]
    fn a_bounded_number_is_lent_and_fewer_are_kept() {
        let pipes = Rc::new(Pipes::default());
        let all: Vec<_> = (0..MOST).map(|_| pipes.lend().unwrap()).collect();
        assert!(pipes.lend().is_none());
        drop(all);
        assert_eq!((pipes.lent(), pipes.kept()), (0, KEPT));
    }

    #[test]
    fn where_the_system_does_not_do_it_everybody_copies() {
        let pipes = Rc::new(Pipes::default());
        let mut pipe = pipes.lend().unwrap();
        // Not a thing to take bytes from in this way: it is only written to.
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::open(folder.path()).unwrap();
        assert_eq!(pipe.fill(&file).unwrap_err().kind(), io::ErrorKind::Unsupported);
        drop(pipe);
        assert!(pipes.lend().is_none());
    }
}
