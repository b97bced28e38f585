//! The keeper's connections: many wardens may be connected at once (an old one and its successor), and each gets
//! every change. States are levels: who reads slowly gets the newest one and misses nothing that matters.

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixListener;

use creel_api::keeper::KeeperState;
use rustix::event::{PollFd, PollFlags};
use std::os::fd::AsFd;

use crate::lines::Lines;

/// More than this many are not wardens.
const CONNECTIONS_MAX: usize = 16;

/// All connections.
#[derive(Debug)]
pub(crate) struct Wardens {
    listener: UnixListener,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    lines: Lines,
    /// The version of the state that it was sent last.
    seen: u64,
}

impl Wardens {
    pub(crate) fn new(listener: UnixListener) -> Self {
        Self { listener, connections: Vec::new() }
    }

    /// What to wait for.
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let listener = PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN);
        std::iter::once(listener).chain(self.connections.iter().map(Connection::poll_fd))
    }

    /// Takes in new connections, which know the state of this version only when they ask.
    pub(crate) fn accept(&mut self, version: u64) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.connections.len() >= CONNECTIONS_MAX {
                continue;
            }
            if let Ok(lines) = Lines::new(stream) {
                self.connections.push(Connection { lines, seen: version });
            }
        }
    }

    /// The next ask of anybody, and the number to answer to.
    pub(crate) fn next_ask(&mut self) -> Option<(usize, Vec<u8>)> {
        let mut numbered = self.connections.iter_mut().enumerate();
        numbered.find_map(|(number, connection)| Some((number, connection.lines.next_line()?)))
    }

    /// Answers with the state, which is of this version.
    pub(crate) fn answer(&mut self, number: usize, state: &KeeperState, version: u64) {
        if let Some(connection) = self.connections.get_mut(number) {
            connection.lines.send(state);
            connection.seen = version;
        }
    }

    /// Sends the state to all who have not seen this version of it, and forgets those that are gone.
    pub(crate) fn push(&mut self, state: &KeeperState, version: u64) {
        for connection in &mut self.connections {
            connection.lines.flush();
            if connection.seen < version && !connection.lines.is_owing() {
                connection.lines.send(state);
                connection.seen = version;
            }
        }
        self.connections.retain(|connection| !connection.lines.ended());
    }
}

impl Connection {
    fn poll_fd(&self) -> PollFd<'_> {
        let flags = if self.lines.is_owing() { PollFlags::OUT } else { PollFlags::IN };
        let fd: BorrowedFd<'_> = self.lines.stream.as_fd();
        PollFd::from_borrowed_fd(fd, flags)
    }
}
